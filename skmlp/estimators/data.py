"""The door for users' data: arrays of any library in, one canonical form out.

`as_supported` comes first, for X, y and sample weights together: X may stay on a GPU,
the others are on the host from then on. Validation and `canonical_x` follow. Kernels
are compiled by type, so read-only, Fortran-ordered, strided or big-endian arrays would
each need their own compilation. An X that is C-contiguous and of the right dtype is
never copied.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    validate_data,
)

from skmlp.estimators.class_weights import class_factors
from skmlp.estimators.data_advice import advising, check_x, check_y
from skmlp.estimators.gpu_arrays import GpuArray, is_on_gpu, to_host
from skmlp.estimators.sparse_indices import check_indices, with_true_flags
from skmlp.estimators.target_names import plain_table

_INT32_MAX = np.iinfo(np.int32).max
_CSR = (sparse.csr_matrix, sparse.csr_array)
# scikit-learn's word for data without a target.
NO_Y = "no_validation"


class UserInput(NamedTuple):
    """X, y and sample weights as the user has passed them."""

    X: Any
    y: Any = None
    sample_weight: Any = None


def as_supported(device, user_input):
    """Arrays of any library as the estimators use them.

    Parameters
    ----------
    device : str
        The estimator's parameter.
    user_input : UserInput or ValidationData
        X, then arrays with a number or two per row.

    Returns
    -------
    UserInput or ValidationData
        X on a GPU as a `GpuArray`; the others on the host.

    Raises
    ------
    TypeError, ValueError
        For an array on another device than the model's.
    """
    X, *others = user_input
    name, *names = user_input._fields
    return type(user_input)(
        GpuArray(X, device, name) if is_on_gpu(X) else X,
        *(to_host(x, device, name) for x, name in zip(others, names, strict=True)),
    )


class Sample(NamedTuple):
    """Validated data.

    Attributes
    ----------
    x : ndarray, scipy.sparse CSR or GpuArray
        Canonical (see `canonical_x`).
    y : ndarray or scipy.sparse CSR
        The user's labels or numbers.
    targets : ndarray of shape (n_samples, n_columns) or None
        The network's targets; None without y.
    sample_weight : ndarray of shape (n_samples,) or None
    row_ids : ndarray of int64 or None
        Indices of the rows of positive weight; None for all rows.
    """

    x: Any
    y: Any
    targets: np.ndarray | None
    sample_weight: np.ndarray | None
    row_ids: np.ndarray | None


def reject_masked(**arrays):
    """Refuse arrays with masked elements: validation would drop the mask.

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


def validated(estimator, X, y=NO_Y, *, dtype, reset):
    """X and y by scikit-learn's validation, or by the same checks for X on a GPU.

    Parameters
    ----------
    estimator : BaseMLP
        Its number and names of features are set or checked.
    X : {array-like, sparse matrix, GpuArray}
    y : array-like
        Not validated by default.
    dtype : dtype or tuple of dtypes
        Allowed dtypes of X; an X of any other dtype is converted to the first.
    reset : bool
        Whether the estimator's features are set; else they are checked.

    Returns
    -------
    X : ndarray, sparse matrix or GpuArray
    y : ndarray
        If there is one.

    Raises
    ------
    ValueError, TypeError
    """
    options = {"multi_output": True, "y_numeric": is_regressor(estimator)}
    has_y = y is not NO_Y
    if has_y:
        check_y(y, numeric=is_regressor(estimator))
        y = y if is_regressor(estimator) else plain_table(y)
    if not isinstance(X, GpuArray):
        check_x(X)
        if sparse.issparse(X):
            check_indices(X)
        with advising(X):
            found = validate_data(
                estimator,
                X,
                y,
                accept_sparse=["csr", "csc"],
                dtype=dtype,
                reset=reset,
                **(options if has_y else {}),
            )
        # Only training looks up columns by their order.
        return (with_true_flags(found[0]), found[1]) if has_y else found
    dtypes = dtype if isinstance(dtype, tuple) else (dtype,)
    X = X.checked([np.dtype(allowed) for allowed in dtypes])
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if not has_y:
        return X
    y = validate_data(estimator, y=y, **options)
    check_consistent_length(X, y)
    return X, y


def is_canonical(estimator, x, dtype):
    """Whether scikit-learn's validation would return X unchanged, finiteness aside.

    That validation takes longer than a small network's prediction; most of its time
    goes into finding out the type of X. The backend notices numbers that are not finite
    while it reads them, but for those of a sparse X. False only means that validation
    is needed.

    Raises
    ------
    ValueError
        For a sparse X whose indices are out of range.
    """
    is_sparse = type(x) in _CSR
    is_alike = (
        (type(x) is np.ndarray or is_sparse)
        and x.dtype == dtype
        and x.ndim == 2
        and x.shape[0] > 0
        and x.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
    )
    if not (is_alike and is_sparse):
        return is_alike
    check_indices(x)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.data.sum()))


def frame_values(estimator, X, dtype):
    """The numbers of a pandas DataFrame that needs no validation, finiteness aside.

    As `is_canonical` says of arrays. The columns are those of the fit, in their order.

    Returns
    -------
    ndarray or None
        None for all else, which validation converts or refuses.
    """
    kind = type(X)
    if kind.__name__ != "DataFrame" or kind.__module__.partition(".")[0] != "pandas":
        return None
    names = getattr(estimator, "feature_names_in_", None)
    if names is None or len(X) == 0 or X.columns.tolist() != names.tolist():
        return None
    # Into float64 there is one way to round; extension dtypes are not NumPy's.
    exact = dtype == np.float64
    for column in X.dtypes:
        if not isinstance(column, np.dtype) or not (
            column == dtype or (exact and column.kind in "iuf" and column.itemsize <= 8)
        ):
            return None
    return X.to_numpy(dtype=dtype)


def canonical_x(x, dtype):
    """X in canonical form: C-contiguous and aligned, or CSR with sorted indices.

    Parameters
    ----------
    x : ndarray, scipy sparse matrix or array, or GpuArray
        Validated.
    dtype : numpy dtype

    Returns
    -------
    ndarray, scipy sparse CSR or GpuArray
        `x` itself or a view on it if it is canonical already.
    """
    if isinstance(x, GpuArray):
        return x
    if not sparse.issparse(x):
        return np.require(x, dtype=dtype, requirements=["C", "A"])
    x = x.tocsr()
    if not x.has_canonical_format:
        x = x.copy()
        x.sum_duplicates()
    index = np.int32 if max(x.nnz, *x.shape) <= _INT32_MAX else np.int64
    # The constructor would choose the index dtype itself.
    canonical = sparse.csr_array(x.shape, dtype=dtype)
    canonical.data = np.require(x.data, dtype=dtype, requirements=["C", "A"])
    canonical.indices = np.require(x.indices, dtype=index, requirements=["C", "A"])
    canonical.indptr = np.require(x.indptr, dtype=index, requirements=["C", "A"])
    return canonical


def combine_weights(
    sample_weight,
    x,
    dtype,
    *,
    class_weight=None,
    labels=None,
    y=None,
    may_be_empty=False,
):
    """Product of sample and class weights, and the rows where it is positive.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,) or None
    x : validated X
    dtype : numpy dtype
    class_weight : dict, list of dicts, 'balanced' or None
    labels : skmlp.estimators.labels.Labels
        All that there are; read only with class weights, like `y`.
    y : ndarray
        Validated labels of the rows.
    may_be_empty : bool
        Whether all weights may be zero, as in a part of the data.

    Returns
    -------
    weights : ndarray of shape (n_samples,) or None
        None without weights.
    row_ids : ndarray of int64
        Indices of the rows of positive weight.

    Raises
    ------
    ValueError
        For weights that are negative, not finite or all zero, or whose sum overflows,
        and for class weights of what is no class.
    """
    n_samples = x.shape[0]
    row_ids = np.arange(n_samples)
    weights = None
    if may_be_empty and sample_weight is not None and not np.any(sample_weight):
        # Newer versions of scikit-learn refuse these.
        return np.zeros(n_samples, dtype), row_ids[:0]
    if sample_weight is not None:
        weights = _check_sample_weight(
            sample_weight, x, dtype=np.float64, ensure_non_negative=True
        )
        row_ids = np.flatnonzero(weights.astype(dtype))
        if len(row_ids) == 0 and not may_be_empty:
            raise ValueError(
                "Sample weights must contain at least one non-zero number."
            )
    if class_weight is not None:
        factors = np.zeros(n_samples)
        # Classes are balanced over the rows of positive weight.
        factors[row_ids] = class_factors(class_weight, labels, y[row_ids])
        weights = factors if weights is None else weights * factors
        row_ids = np.flatnonzero(weights.astype(dtype))
        if len(row_ids) == 0 and not may_be_empty:
            raise ValueError(
                f"class_weight={class_weight!r} leaves no sample of positive weight."
            )
    if weights is not None:
        with np.errstate(over="ignore"):
            weights = weights.astype(dtype)
            total = weights.sum(dtype=np.float64)
        # Where they are divided by their mean, all would become zero.
        if not np.isfinite(total):
            raise ValueError(
                f"The sum of the weights of the samples overflows {dtype}. Divide them "
                "by their mean, which changes nothing else but the strength of alpha."
            )
    return weights, row_ids
