"""The first layer over dense rows and over compressed sparse rows.

The rest of the network does not see the difference: these functions are the
only ones that touch X, and Numba picks the version by the type of X.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.gemm.matmul import product, product_of_transposed
from skmlp.backends.cpu.gemm.vector_ops import copy_row
from skmlp.backends.cpu.intrinsics import LINE_BYTES, min_int, pointer, prefetch, vector
from skmlp.compiler import jit

# How far ahead rows are asked for: about as long as memory takes to answer.
_BYTES_AHEAD = 8192


class SparseRows(NamedTuple):
    """X in compressed sparse rows, column numbers ascending within a row.

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


def load_rows(x, rows, room, offset):
    """Copy dense rows to `room` at `offset`; of sparse rows nothing is copied."""


def multiply_rows(x, rows, loaded, weights, first, out, columns, multiply):
    """Rows of X times the first layer's weights, added to a first row as in `product`.

    `loaded` is where `load_rows` has put dense rows, which are read from there;
    it and `out` are given as (array, offset).
    """


def multiply_range(x, lo, n, weights, first, out, columns, multiply):
    """As `multiply_rows`, for rows lo <= i < lo + n of X, read in place."""


def sum_range(x, lo, n):
    """Sum of dense rows lo <= i < lo + n; zero for sparse rows."""


def gather_gradient(x, rows, room, delta, slab, gradient, columns, add, multiply):
    """Gradient of weights' rows first <= i < last: those columns of X.T times delta.

    `slab` is (first, last, number of features); `delta` the flat vector of the first
    layer's deltas as (vector, offset). add is 0 to overwrite, 1 to add.
    """


@jit.inline
def ask_for_targets(data, rows):
    """Have the targets in the cache by the time that the loss needs them."""
    width = data.targets.shape[1]
    for i in range(rows.shape[0]):
        prefetch(data.targets, rows[i] * width)
        if data.weights.shape[0] > 0:
            prefetch(data.weights, rows[i])


@jit.overload_by_types(load_rows)
def _load_rows(x, rows, room, offset):
    if _is_sparse(x):
        return lambda x, rows, room, offset: None

    def dense(x, rows, room, offset):
        n, columns = rows.shape[0], x.shape[1]
        per_line = LINE_BYTES // x.itemsize
        ahead = 1 + _BYTES_AHEAD // (x.itemsize * columns)
        for i in range(n):
            start = rows[min_int(i + ahead, n - 1)] * columns
            for j in range(0, columns, per_line):
                prefetch(x, start + j)
            row = pointer(x, rows[i] * columns)
            copy_row(row, pointer(room, offset + i * columns), columns)

    return dense


@jit.overload_by_types(multiply_rows)
def _multiply_rows(x, rows, loaded, weights, first, out, columns, multiply):
    if not _is_sparse(x):

        def dense(x, rows, loaded, weights, first, out, columns, multiply):
            sizes = (rows.shape[0], columns, x.shape[1])
            product(multiply, loaded, (weights, 0), first, out, sizes)

        return dense

    def sparse(x, rows, loaded, weights, first, out, columns, multiply):
        for i in range(rows.shape[0]):
            row = vector(out[0], out[1] + i * columns, columns)
            _multiply_sparse_row(x, rows[i], weights, first, row)

    return sparse


@jit.overload_by_types(multiply_range)
def _multiply_range(x, lo, n, weights, first, out, columns, multiply):
    if not _is_sparse(x):

        def dense(x, lo, n, weights, first, out, columns, multiply):
            sizes = (n, columns, x.shape[1])
            product(multiply, (x, lo * x.shape[1]), (weights, 0), first, out, sizes)

        return dense

    def sparse(x, lo, n, weights, first, out, columns, multiply):
        for i in range(n):
            row = vector(out[0], out[1] + i * columns, columns)
            _multiply_sparse_row(x, lo + i, weights, first, row)

    return sparse


@jit.overload_by_types(sum_range)
def _sum_range(x, lo, n):
    if _is_sparse(x):
        return lambda x, lo, n: 0.0

    def dense(x, lo, n):
        block = vector(x, lo * x.shape[1], n * x.shape[1])
        total = x.dtype.type(0)
        for e in range(block.shape[0]):
            total += block[e]
        return np.float64(total)

    return dense


@jit.inline
def _multiply_sparse_row(x, row, weights, first, out):
    """One row of X times the weights, added to a first row."""
    columns = out.shape[0]
    begin = vector(first[0], first[1], columns)
    for j in range(columns):
        out[j] = begin[j] if first[2] != 0 else 0
    for e in range(x.indptr[row], x.indptr[row + 1]):
        factor = x.data[e]
        weight = vector(weights, np.int64(x.indices[e]) * columns, columns)
        for j in range(columns):
            out[j] += factor * weight[j]


@jit.overload_by_types(gather_gradient)
def _gather_gradient(x, rows, room, delta, slab, gradient, columns, add, multiply):
    if not _is_sparse(x):

        def dense(x, rows, room, delta, slab, gradient, columns, add, multiply):
            first, last, width = slab
            product_of_transposed(
                multiply,
                (room, first, width),
                delta,
                (gradient, first * columns),
                (last - first, columns, rows.shape[0]),
                add,
            )

        return dense

    def sparse(x, rows, room, delta, slab, gradient, columns, add, multiply):
        first, last, _ = slab
        if add == 0:
            out = vector(gradient, first * columns, (last - first) * columns)
            for j in range(out.shape[0]):
                out[j] = 0
        for i in range(rows.shape[0]):
            row_delta = vector(delta[0], delta[1] + i * columns, columns)
            e = x.indptr[rows[i]]
            end = x.indptr[rows[i] + 1]
            # The slab's first column by bisection: indices ascend within a row.
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
