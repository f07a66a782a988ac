"""What users pass as X and as weights, brought into the one form that backends take.

Kernels are compiled by type, so read-only, Fortran-ordered, strided or big-endian
arrays would each compile anew. An X that is C-contiguous and of the right dtype is
never copied.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    validate_data,
)

from skmlp.estimators.gpu_arrays import OnGpu, is_on_gpu

_INT32_MAX = np.iinfo(np.int32).max


class Sample(NamedTuple):
    """Validated data.

    Attributes
    ----------
    x : ndarray, scipy.sparse CSR or OnGpu
        Canonical (see `canonical_x`).
    y : ndarray or scipy.sparse CSR
        As the user knows it.
    targets : ndarray of shape (n_samples, n_columns)
        As the network knows it.
    weights : ndarray of shape (n_samples,) or None
    rows : ndarray of int64 or None
        Numbers of the rows that take part; None for all.
    """

    x: object
    y: object
    targets: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray | None


def reject_masked(**arrays):
    """Refuse masked arrays that hide something: validation would drop the mask.

    Raises
    ------
    ValueError
    """
    for name, array in arrays.items():
        if np.ma.is_masked(array):
            raise ValueError(
                f"{name} is a masked array with {np.ma.count_masked(array)} masked "
                "elements, which would be used as if they were not masked. Impute "
                "them or drop their rows."
            )


def validated(estimator, X, y="no_validation", *, dtype, reset, name="X"):
    """X and y by scikit-learn's validation, or by its measure for X on a GPU.

    Parameters
    ----------
    estimator : BaseMLP
        Its features are set or checked.
    X : {array-like, sparse matrix, array on a GPU}
    y : array-like
        On the host; not looked at by default.
    dtype : dtype or tuple of dtypes
        That X may have, the first being that of any other X.
    reset : bool
        Whether the estimator's features are set; else they are checked.
    name : str, default='X'
        Of an X on a GPU, for errors.

    Returns
    -------
    X : ndarray, sparse matrix or OnGpu
    y : ndarray
        If there is one.

    Raises
    ------
    ValueError, TypeError
    """
    options = {"multi_output": True, "y_numeric": is_regressor(estimator)}
    has_y = not isinstance(y, str)
    if is_on_gpu(X):
        X = OnGpu(X, estimator.device, name)
    if not isinstance(X, OnGpu):
        return validate_data(
            estimator,
            X,
            y,
            accept_sparse=["csr", "csc"],
            dtype=dtype,
            reset=reset,
            **(options if has_y else {}),
        )
    dtypes = dtype if isinstance(dtype, tuple) else (dtype,)
    X = X.checked([np.dtype(kind) for kind in dtypes])
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if not has_y:
        return X
    y = validate_data(estimator, y=y, **options)
    check_consistent_length(X, y)
    return X, y


def is_canonical(estimator, x, dtype):
    """Whether X is such that scikit-learn's validation would return it as it is.

    That validation takes longer than a small network's prediction, most of it to find
    out what kind of container X is. That all numbers are finite is not looked at: the
    backend finds out while it reads them. False means no more than that validation has
    to look.
    """
    return (
        type(x) is np.ndarray
        and x.dtype == dtype
        and x.ndim == 2
        and x.shape[0] > 0
        and x.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
    )


def canonical_x(x, dtype):
    """X as backends take it: C-contiguous and aligned, or CSR with sorted indices.

    Parameters
    ----------
    x : ndarray, scipy sparse matrix or array, or OnGpu; validated
    dtype : numpy dtype

    Returns
    -------
    ndarray, scipy sparse CSR or OnGpu
        `x` itself or a view on it wherever that will do.
    """
    if isinstance(x, OnGpu):
        return x
    if not sparse.issparse(x):
        return np.require(x, dtype=dtype, requirements=["C", "A"])
    x = x.tocsr()
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    index = np.int32 if max(x.nnz, *x.shape) <= _INT32_MAX else np.int64
    # The constructor would choose an index type of its own.
    canonical = sparse.csr_array(x.shape, dtype=dtype)
    canonical.data = np.require(x.data, dtype=dtype, requirements=["C", "A"])
    canonical.indices = np.require(x.indices, dtype=index, requirements=["C", "A"])
    canonical.indptr = np.require(x.indptr, dtype=index, requirements=["C", "A"])
    return canonical


def weigh(sample_weight, class_weight, x, y, dtype):
    """Combined weights, and the rows that take part.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
    class_weight : dict, list of dicts, 'balanced' or None
    x : validated X
    y : ndarray, validated labels; only read with class weights
    dtype : numpy dtype

    Returns
    -------
    weights : ndarray of shape (n_samples,) or None
        None where all count alike.
    rows : ndarray of int64
        Numbers of the rows of positive weight.

    Raises
    ------
    ValueError
        For weights that are negative, not finite or all zero.
    """
    n_samples = x.shape[0]
    rows = np.arange(n_samples)
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(
            sample_weight, x, dtype=np.float64, ensure_non_negative=True
        )
        rows = np.flatnonzero(weights.astype(dtype))
        if len(rows) == 0:
            raise ValueError(
                "Sample weights must contain at least one non-zero number."
            )
    if class_weight is not None:
        factors = np.zeros(n_samples)
        # Classes are balanced over the rows that take part.
        factors[rows] = compute_sample_weight(class_weight, y[rows])
        if not np.all((factors >= 0) & np.isfinite(factors)):
            raise ValueError(
                f"class_weight must have finite weights >= 0, got {class_weight!r}."
            )
        weights = factors if weights is None else weights * factors
        rows = np.flatnonzero(weights.astype(dtype))
        if len(rows) == 0:
            raise ValueError(
                f"class_weight={class_weight!r} leaves no sample of positive weight."
            )
    if weights is not None:
        weights = weights.astype(dtype)
    return weights, rows
