"""What ranks have to know of each other's data before they train."""

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import type_of_target

from skmlp.estimators.target_scaling import scale_of_parts, stand_ins
from skmlp.training.collective import all_gather

# What must be the same on all ranks, in the order in which `check_alike` gathers it.
_WHAT = ("{} features", "dtype {}", "sparse={}")


def stacked(arrays):
    """Rows of the ranks, one below the other; None where no rank has any."""
    arrays = [array for array in arrays if array is not None]
    if not arrays:
        return None
    if any(map(sparse.issparse, arrays)):
        return sparse.csr_array(sparse.vstack(arrays))
    return np.concatenate(arrays)


def check_alike(collective, x):
    """Refuse data of other widths or dtypes than those of rank 0.

    Raises
    ------
    ValueError
    """
    kinds = all_gather(collective, "columns", (x.shape[1], x.dtype, sparse.issparse(x)))
    for rank, kind in enumerate(kinds):
        for mine, other, what in zip(kinds[0], kind, _WHAT, strict=True):
            if mine != other:
                raise ValueError(
                    f"X has {what.format(mine)} on one worker and {what.format(other)} "
                    f"on another, that of rank {rank}: all partitions of X must be "
                    "alike."
                )


def distinct_rows(collective, y):
    """Distinct rows of all ranks' targets, as a target.

    Parameters
    ----------
    collective : skmlp.training.collective.Collective
    y : ndarray of shape (n_samples,) or (n_samples, n_columns), or sparse
        A sparse one has labels by its shape, and stays as it is.
    """
    if sparse.issparse(y):
        return y
    # Rank 0 would otherwise see the distinct values only.
    if type_of_target(y, input_name="y").startswith("continuous"):
        return y
    own = np.unique(y, axis=0) if y.dtype != object else _distinct_objects(y)
    return np.concatenate(all_gather(collective, "classes", own))


def _distinct_objects(y):
    """Distinct rows of a target of objects, which `numpy.unique` cannot sort by row."""
    rows = y.reshape(len(y), -1).tolist()
    _, first = np.unique([repr(row) for row in rows], return_index=True)
    return y[first]


def balanced_weights(collective, class_weight, labels, y):
    """Class weights in which 'balanced' means the rows of all ranks.

    Parameters
    ----------
    collective : skmlp.training.collective.Collective
    class_weight : 'balanced' or list of 'balanced', dict or None
    labels : skmlp.estimators.labels.Labels
    y : ndarray or scipy.sparse CSR
        Validated.

    Returns
    -------
    dict or list of dict or None
    """
    columns = list(labels.columns(y))
    if isinstance(class_weight, str):
        class_weight = [class_weight] * len(columns)
    weights = [
        _balanced(collective, *column) if isinstance(given, str) else given
        for given, column in zip(class_weight, columns, strict=True)
    ]
    return weights[0] if labels.one_column else weights


def _balanced(collective, values, classes):
    """Rows over the number of classes that occur, and over the rows of each."""
    codes = np.searchsorted(classes, values)
    own = np.bincount(codes, minlength=len(classes)).astype(np.float64)
    counts = collective.all_reduce("class counts", own)
    occurs = counts > 0
    weights = np.ones(len(classes))
    weights[occurs] = counts.sum() / (np.count_nonzero(occurs) * counts[occurs])
    return dict(zip(classes.tolist(), weights.tolist(), strict=True))


def global_scale(collective, y, weights, row_ids, *, is_centered):
    """The scale of a target over all ranks' rows (see `fitted_scale`)."""
    part = stand_ins(y, weights, row_ids, is_centered=is_centered)
    parts = all_gather(collective, "target scale", part)
    return scale_of_parts(parts, is_centered=is_centered)
