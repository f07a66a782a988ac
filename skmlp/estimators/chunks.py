"""Chunks of data as `fit_batches` gets them: their checks, one by one, and their rows.

A chunk is checked like the data of `fit`. What is wrong with it is said with its
number, counted from 1.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.utils.validation import _check_y, check_consistent_length

from skmlp.estimators.arrow import features_from_arrow, is_arrow, target_from_arrow
from skmlp.estimators.data import (
    UserInput,
    as_supported,
    canonical_x,
    combine_weights,
    reject_masked,
    validated,
)
from skmlp.estimators.data_advice import check_y
from skmlp.estimators.gpu_arrays import GpuArray
from skmlp.estimators.target_names import described, plain_table
from skmlp.estimators.validation import naming
from skmlp.training.shuffle_buffer import Rows


class Chunk(NamedTuple):
    """Some rows of the data, as the user has passed them.

    Attributes
    ----------
    number : int
        From 1.
    X, y, sample_weight : object
        Arrow's targets and weights are arrays already.
    """

    number: int
    X: Any
    y: Any
    sample_weight: Any

    @property
    def name(self):
        """How messages call it."""
        return f"chunk {self.number}"


class Shape(NamedTuple):
    """What all chunks have in common, by the first one.

    Attributes
    ----------
    n_features : int
    is_sparse, has_weights : bool
    """

    n_features: int
    is_sparse: bool
    has_weights: bool

    @classmethod
    def of(cls, chunk):
        """The shape of a chunk."""
        shape = getattr(chunk.X, "shape", None)
        n_features = np.shape(chunk.X)[1] if shape is None else shape[1]
        return cls(
            n_features, sparse.issparse(chunk.X), chunk.sample_weight is not None
        )

    def check(self, chunk):
        """Refuse a chunk that is of another shape.

        Raises
        ------
        ValueError
        """
        other = Shape.of(chunk)
        if other.n_features != self.n_features:
            raise ValueError(
                f"{chunk.name} has {other.n_features} features, but chunk 1 has "
                f"{self.n_features}."
            )
        for mine, theirs, words in (
            (self.is_sparse, other.is_sparse, ("is dense", "is sparse")),
            (self.has_weights, other.has_weights, ("has no weights", "has weights")),
        ):
            if mine != theirs:
                raise ValueError(
                    f"{chunk.name} {words[theirs]}, but chunk 1 {words[mine]}."
                )


def read_chunks(make_chunks):
    """The chunks of one epoch that have rows, as `Chunk`.

    Parameters
    ----------
    make_chunks : callable

    Raises
    ------
    TypeError
        For what is no iterable of chunks.
    ValueError
        For a chunk whose X has not two dimensions, or as many rows as y.
    """
    chunks = make_chunks()
    if not hasattr(chunks, "__iter__"):
        raise TypeError(
            "make_chunks() must return an iterable of chunks (X, y) or (X, y, "
            f"sample_weight), got {type(chunks).__name__}."
        )
    for number, parts in enumerate(chunks, start=1):
        if not isinstance(parts, tuple | list) or len(parts) not in (2, 3):
            got = type(parts).__name__
            if isinstance(parts, tuple | list):
                got += f" of {len(parts)}"
            advice = ""
            if is_arrow(parts) or hasattr(parts, "columns"):
                advice = ": divide its columns into those of X and y"
            raise TypeError(
                f"chunk {number} must be a tuple (X, y) or (X, y, sample_weight), got "
                f"{got}{advice}."
            )
        X, *others = parts
        others = [target_from_arrow(each) for each in others]
        chunk = Chunk(number, X, *others, *[None] * (2 - len(others)))
        if _n_rows(chunk) > 0:
            yield chunk


def _n_rows(chunk):
    """Rows of a chunk, whose X has two dimensions."""
    shape = getattr(chunk.X, "shape", None)
    shape = np.shape(chunk.X) if shape is None else shape
    if len(shape) != 2:
        raise ValueError(
            f"In {chunk.name}: X has shape {tuple(shape)}, but needs rows and columns."
        )
    return shape[0]


def checked_target(estimator, chunk):
    """The target of a chunk as an array, X being no more than counted.

    Raises
    ------
    ValueError, TypeError
    """
    with naming(chunk.name):
        user_input = UserInput(None, chunk.y, chunk.sample_weight)
        y = as_supported(estimator.device, user_input).y
        reject_masked(y=y)
        numeric = is_regressor(estimator)
        check_y(y, numeric=numeric)
        y = y if numeric else plain_table(y)
        y = _check_y(y, multi_output=True, y_numeric=numeric, estimator=estimator)
        check_consistent_length(chunk.X, y)
        return y


def checked_chunk(estimator, chunk, dtype, *, reset):
    """X and y of a chunk, validated as in `fit`, and the weights as they are.

    Parameters
    ----------
    estimator : BaseMLP
    chunk : Chunk
    dtype : dtype or tuple of dtypes
        Allowed for X.
    reset : bool
        Whether number and names of features are set, and not checked.

    Returns
    -------
    UserInput

    Raises
    ------
    ValueError, TypeError
    """
    with naming(chunk.name):
        X = features_from_arrow(chunk.X)
        user_input = UserInput(X, chunk.y, chunk.sample_weight)
        X, y, sample_weight = as_supported(estimator.device, user_input)
        if isinstance(X, GpuArray):
            raise ValueError("X is on a GPU, but chunks are gathered on the host.")
        reject_masked(X=X, y=y, sample_weight=sample_weight)
        X, y = validated(estimator, X, y, dtype=dtype, reset=reset)
        return UserInput(X, y, sample_weight)


def chunk_weights(estimator, chunk, X, y, dtype):
    """Weights of a chunk's rows, and indices of those that are positive.

    Parameters
    ----------
    estimator : BaseMLP
        Its labels are set.
    chunk : Chunk
    X, y : object
        Validated; of X the number of rows is read.
    dtype : dtype

    Returns
    -------
    weights : ndarray or None
    row_ids : ndarray of int64
    """
    with naming(chunk.name):
        return combine_weights(
            chunk.sample_weight,
            X,
            dtype,
            class_weight=getattr(estimator, "class_weight", None),
            labels=getattr(estimator, "_labels", None),
            y=y,
            may_be_empty=True,
        )


def chunk_rows(estimator, chunk, dtype):
    """The rows of a chunk to train on.

    Parameters
    ----------
    estimator : BaseMLP
        Features, labels and the scale of the target are known.
    chunk : Chunk
    dtype : dtype

    Returns
    -------
    Rows

    Raises
    ------
    ValueError, TypeError
    """
    X, y, _ = checked_chunk(estimator, chunk, dtype, reset=False)
    with naming(chunk.name):
        info = described(chunk.y)
        y = estimator._validate_y(y, info, first=False, incremental=True)
        targets = estimator._targets(y, dtype)
    weights, row_ids = chunk_weights(estimator, chunk, X, y, dtype)
    rows = Rows(canonical_x(X, dtype), targets, weights)
    return rows if len(row_ids) == len(targets) else rows.part(row_ids)
