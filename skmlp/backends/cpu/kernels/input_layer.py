"""The first layer over dense, embedded and compressed sparse rows (CSR).

Only these functions, and those that pass X on to them, depend on the type of X: Numba
picks the version by that type.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.gemm.matmul import product, product_of_transposed
from skmlp.backends.cpu.gemm.vector_ops import copy_row
from skmlp.backends.cpu.intrinsics import (
    LINE_BYTES,
    min_int,
    pointer,
    prefetch,
    vector,
)
from skmlp.backends.cpu.kernels.embedding import embed_rows, is_embedded
from skmlp.compiler import jit

# Prefetch distance: about the time that memory takes to answer.
_BYTES_AHEAD = 8192


class SparseRows(NamedTuple):
    """X in compressed sparse rows, column indices ascending within a row.

    Attributes
    ----------
    data : ndarray of float
    indices : ndarray of int32 or int64
    indptr : ndarray of int32 or int64
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def _is_sparse(x):
    return isinstance(x, types.NamedTuple) and x.instance_class is SparseRows


def load_rows(x, row_ids, out, offset):
    """Gather dense rows into `out` at `offset`, or embed rows there.

    Does nothing for sparse rows.
    """


def n_inputs(x):
    """Inputs of the first layer, for dense or embedded rows."""


def multiply_rows(gemm, x, row_ids, loaded, weights, c, out, columns):
    """Rows of X times the first layer's weights, plus the row c as in `product`.

    `loaded` is where `load_rows` has put dense rows, which are read from there; it and
    `out` are given as (array, offset).
    """


def multiply_range(gemm, x, rows, loaded, weights, c, out, columns):
    """As `multiply_rows`, for rows lo <= i < lo + n of X, given as (lo, n).

    They are read in place, but for embedded rows, which go to `loaded`.
    """


def sum_range(x, lo, n):
    """Sum of dense rows lo <= i < lo + n; zero for sparse rows."""


def gather_gradient(gemm, x, row_ids, outputs, delta, gradient, weight_rows, beta):
    """Gradient of some rows of the weights: those columns of X.T times delta.

    `weight_rows` is (first, last, columns of the weights), `outputs` has the dense rows
    of X first, and `delta` is the vector of the first layer's deltas as (vector,
    offset). beta is 0 to overwrite, 1 to add.
    """


@jit.inline
def prefetch_targets(data, row_ids):
    """Prefetch targets and weights of a row block for its loss."""
    width = data.targets.shape[1]
    for i in range(row_ids.shape[0]):
        prefetch(data.targets, row_ids[i] * width)
        if data.sample_weight.shape[0] > 0:
            prefetch(data.sample_weight, row_ids[i])


@jit.overload_by_types(load_rows)
def _load_rows(x, row_ids, out, offset):
    if _is_sparse(x):
        return lambda x, row_ids, out, offset: None
    if is_embedded(x):

        def embedded(x, row_ids, out, offset):
            for i in range(row_ids.shape[0]):
                embed_rows(x, row_ids[i], out, offset + i * x.width)

        return embedded

    def dense(x, row_ids, out, offset):
        n, columns = row_ids.shape[0], x.shape[1]
        per_line = LINE_BYTES // x.itemsize
        ahead = 1 + _BYTES_AHEAD // (x.itemsize * columns)
        for i in range(n):
            next_row = row_ids[min_int(i + ahead, n - 1)] * columns
            for j in range(0, columns, per_line):
                prefetch(x, next_row + j)
            row = pointer(x, row_ids[i] * columns)
            copy_row(row, pointer(out, offset + i * columns), columns)

    return dense


@jit.overload_by_types(n_inputs)
def _n_inputs(x):
    if is_embedded(x):
        return lambda x: x.width
    return lambda x: x.shape[1]


@jit.overload_by_types(multiply_rows)
def _multiply_rows(gemm, x, row_ids, loaded, weights, c, out, columns):
    if not _is_sparse(x):

        def dense(gemm, x, row_ids, loaded, weights, c, out, columns):
            shape = (row_ids.shape[0], columns, n_inputs(x))
            product(gemm, loaded, (weights, 0), c, out, shape)

        return dense

    def sparse(gemm, x, row_ids, loaded, weights, c, out, columns):
        array, offset = out
        for i in range(row_ids.shape[0]):
            row = vector(array, offset + i * columns, columns)
            _multiply_sparse_row(x, row_ids[i], weights, c, row)

    return sparse


@jit.overload_by_types(multiply_range)
def _multiply_range(gemm, x, rows, loaded, weights, c, out, columns):
    if is_embedded(x):

        def embedded(gemm, x, rows, loaded, weights, c, out, columns):
            lo, n = rows
            array, offset = loaded
            for i in range(n):
                embed_rows(x, lo + i, array, offset + i * x.width)
            product(gemm, loaded, (weights, 0), c, out, (n, columns, x.width))

        return embedded
    if not _is_sparse(x):

        def dense(gemm, x, rows, loaded, weights, c, out, columns):
            lo, n = rows
            shape = (n, columns, x.shape[1])
            product(gemm, (x, lo * x.shape[1]), (weights, 0), c, out, shape)

        return dense

    def sparse(gemm, x, rows, loaded, weights, c, out, columns):
        lo, n = rows
        array, offset = out
        for i in range(n):
            row = vector(array, offset + i * columns, columns)
            _multiply_sparse_row(x, lo + i, weights, c, row)

    return sparse


@jit.overload_by_types(sum_range)
def _sum_range(x, lo, n):
    if _is_sparse(x):
        return lambda x, lo, n: 0.0
    if is_embedded(x):
        return lambda x, lo, n: sum_range(x.x, lo, n)

    def dense(x, lo, n):
        elements = vector(x, lo * x.shape[1], n * x.shape[1])
        total = x.dtype.type(0)
        for e in range(elements.shape[0]):
            total += elements[e]
        return np.float64(total)

    return dense


@jit.inline
def _multiply_sparse_row(x, row, weights, c, out):
    """One row of X times the weights, plus the row c."""
    columns = out.shape[0]
    array, offset, beta = c
    start = vector(array, offset, columns)
    for j in range(columns):
        out[j] = start[j] if beta != 0 else 0
    for e in range(x.indptr[row], x.indptr[row + 1]):
        factor = x.data[e]
        weight = vector(weights, np.int64(x.indices[e]) * columns, columns)
        for j in range(columns):
            out[j] += factor * weight[j]


@jit.overload_by_types(gather_gradient)
def _gather_gradient(gemm, x, row_ids, outputs, delta, gradient, weight_rows, beta):
    if not _is_sparse(x):

        def dense(gemm, x, row_ids, outputs, delta, gradient, weight_rows, beta):
            first, last, columns = weight_rows
            product_of_transposed(
                gemm,
                (outputs, first, n_inputs(x)),
                delta,
                (gradient, first * columns),
                (last - first, columns, row_ids.shape[0]),
                beta,
            )

        return dense

    def sparse(gemm, x, row_ids, outputs, delta, gradient, weight_rows, beta):
        first, last, columns = weight_rows
        deltas, offset = delta
        if beta == 0:
            out = vector(gradient, first * columns, (last - first) * columns)
            for j in range(out.shape[0]):
                out[j] = 0
        for i in range(row_ids.shape[0]):
            row_delta = vector(deltas, offset + i * columns, columns)
            e = x.indptr[row_ids[i]]
            end = x.indptr[row_ids[i] + 1]
            # Find column `first` by bisection: indices ascend within a row.
            above = end
            while e < above:
                middle = (e + above) // 2
                if x.indices[middle] < first:
                    e = middle + 1
                else:
                    above = middle
            while e < end and x.indices[e] < last:
                factor = x.data[e]
                out = vector(gradient, np.int64(x.indices[e]) * columns, columns)
                for j in range(columns):
                    out[j] += factor * row_delta[j]
                e += 1

    return sparse
