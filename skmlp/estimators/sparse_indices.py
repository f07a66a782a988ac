"""Checks of what SciPy trusts: the indices of sparse matrices.

SciPy checks indices when it makes a matrix, and remembers whether they are sorted.
Users edit them in place, and other libraries fill them. An index out of range would
read and write memory that belongs to something else, in SciPy's conversions as in
kernels, and kernels look up columns by bisection. A pass over the indices costs a
twentieth of a nanosecond each, a check of their order a tenth more.
"""

import numpy as np
from scipy import sparse

# Indices to compare at a time: a mask of all might be large.
_CHUNK = 1 << 20


def check_indices(x, name="X"):
    """Refuse a sparse matrix whose indices are out of range.

    Parameters
    ----------
    x : sparse matrix or array
    name : str
        For the message.

    Raises
    ------
    ValueError
    """
    if x.ndim != 2:
        return
    if x.format == "coo":
        for indices, length in zip((x.row, x.col), x.shape, strict=True):
            _check_range(indices, length, name)
    elif x.format in ("csr", "csc", "bsr"):
        _check_compressed(x, name)


def _check_compressed(x, name):
    n_rows, n_columns = x.shape[::-1] if x.format == "csc" else x.shape
    if x.format == "bsr":
        n_rows, n_columns = n_rows // x.blocksize[0], n_columns // x.blocksize[1]
    indptr, indices = x.indptr, x.indices
    sound = len(indptr) == n_rows + 1 and indptr[0] == 0
    sound = sound and 0 <= indptr[-1] <= min(len(indices), len(x.data))
    if not sound or (n_rows > 1 and (indptr[1:] < indptr[:-1]).any()):
        raise ValueError(
            f"{name} is a damaged sparse matrix: its indptr does not ascend from 0 to "
            "the number of its elements."
        )
    _check_range(indices[: indptr[-1]], n_columns, name)


def _check_range(indices, length, name):
    """Refuse indices that are negative, or not below a length."""
    if len(indices) == 0:
        return
    # Negative numbers are the largest ones without a sign: one pass finds both.
    unsigned = indices.view(indices.dtype.str.replace("i", "u"))
    if np.maximum.reduce(unsigned) >= length:
        wrong = indices[(indices < 0) | (indices >= length)][0]
        raise ValueError(
            f"{name} is a damaged sparse matrix: its indices contain {wrong}, which is "
            f"not in the range from 0 to {length - 1}."
        )


def with_true_flags(x):
    """A sparse X whose flags are true, which edits in place may have made untrue.

    Parameters
    ----------
    x : ndarray, sparse matrix or array, or GpuArray

    Returns
    -------
    x, or the same matrix without flags
        Where it claims to be sorted and is not.
    """
    if not sparse.issparse(x) or x.format != "csr":
        return x
    if not x.has_canonical_format or _ascends(x):
        return x
    # The flags are of the object, not of its arrays.
    return type(x)((x.data, x.indices, x.indptr), shape=x.shape)


def _ascends(x):
    """Whether the indices of each row ascend."""
    indices = x.indices[: x.indptr[-1]]
    n_drops = sum(
        np.count_nonzero(
            indices[lo + 1 : lo + 1 + _CHUNK]
            <= indices[lo : min(lo + _CHUNK, len(indices) - 1)]
        )
        for lo in range(0, len(indices) - 1, _CHUNK)
    )
    # Between two rows that have elements they may drop.
    starts = x.indptr[:-1][x.indptr[1:] > x.indptr[:-1]][1:]
    return n_drops == np.count_nonzero(indices[starts] <= indices[starts - 1])
