"""Predictions of Dask collections: one task a partition, and nothing before it is used.

What a method returns is told by a row of zeros, so that the collections have the right
types from the start.
"""

import dask.array as da
import numpy as np
import pandas as pd
from dask.array import Array
from dask.delayed import delayed
from scipy import sparse

from skmlp.dask.partitions import Collections, aligned, n_rows, partitions
from skmlp.estimators.regression_score import regression_score


def lazily(local, method, X, **keywords):
    """What a method returns of each partition of X, as Dask arrays.

    Parameters
    ----------
    local : MLPClassifier or MLPRegressor
        Fitted.
    method : str
    X : Dask array, dataframe or list of Delayed
    **keywords
        Of the method.

    Returns
    -------
    dask.array.Array, or list or tuple of such
        As the method returns arrays. The sizes of the chunks are unknown where those of
        X are.
    """
    example = _on_zeros(local, method, X, keywords)
    sizes = [np.nan] * len(partitions(X))
    if isinstance(X, Array):
        X, sizes = X.rechunk({1: -1}), X.chunks[0]
    model = delayed(local)
    blocks = [
        delayed(_applied, pure=False)(model, method, block, keywords)
        for block in partitions(X)
    ]
    if not isinstance(example, list | tuple):
        return _joined(blocks, sizes, example)
    arrays = [
        _joined([block[i] for block in blocks], sizes, each)
        for i, each in enumerate(example)
    ]
    return type(example)(arrays)


def accuracy(local, X, y, sample_weight):
    """The weighted share of right rows, of the partitions' shares."""
    blocks = aligned(Collections(X, y, sample_weight))
    model = delayed(local)
    shares = [delayed(_share, pure=False)(model, *block) for block in blocks]
    return delayed(_averaged)(shares)


def regression(local, X, y, sample_weight):
    """The score of predictions, which are brought to one worker with y."""
    blocks = aligned(Collections(X, y, sample_weight))
    model = delayed(local)
    columns = [delayed(_predicted, pure=False)(model, *block) for block in blocks]
    return delayed(_regression_score)(columns, local._decoder.levels)


def _on_zeros(local, method, X, keywords):
    """What the method returns of a row of zeros."""
    row = np.zeros((1, local.n_features_in_), dtype=local.coefs_[0].dtype)
    names = getattr(local, "feature_names_in_", None)
    if names is not None:  # without them the model would warn
        row = pd.DataFrame(row, columns=names)
    return getattr(local, method)(row, **keywords)


def _applied(local, method, block, keywords):
    if n_rows(block):
        return getattr(local, method)(block, **keywords)
    empty = _on_zeros(local, method, block, keywords)
    if isinstance(empty, list | tuple):
        return type(empty)(each[:0] for each in empty)
    return empty[:0]


def _joined(blocks, sizes, example):
    """A Dask array of delayed blocks."""
    meta = example[:0]
    arrays = [
        da.from_delayed(block, (size, *example.shape[1:]), example.dtype, meta)
        for block, size in zip(blocks, sizes, strict=True)
    ]
    if sparse.issparse(example) and len(arrays) == 1:
        return arrays[0]
    return da.concatenate(arrays)


def _share(local, X, y, sample_weight):
    """Score and weight of a partition."""
    n = n_rows(X)
    if n == 0:
        return 0.0, 0.0
    weight = n if sample_weight is None else float(np.sum(np.asarray(sample_weight)))
    return local.score(X, y, sample_weight) if weight else 0.0, weight


def _averaged(shares):
    scores, weights = zip(*shares, strict=True)
    return float(np.average(scores, weights=weights))


def _predicted(local, X, y, sample_weight):
    predicted = _applied(local, "predict", X, {})
    weights = None if sample_weight is None else np.asarray(sample_weight)
    return np.asarray(y), predicted, weights


def _regression_score(columns, levels):
    y, predicted, weights = zip(*columns, strict=True)
    joined = None if weights[0] is None else np.concatenate(weights)
    return regression_score(
        np.concatenate(y), np.concatenate(predicted), joined, levels
    )
