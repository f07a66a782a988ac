"""The piecewise-linear embedding of X's columns: forward pass, gradient, prefix sums.

The embedding of a number is interpolated between those of the edges of its bin, the
knots, which are prefix sums of its column's trained matrix. The bins and the positions
in them stay the same in all epochs and are found once.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.gemm.matmul import product, transpose
from skmlp.backends.cpu.gemm.vector_ops import copy_row
from skmlp.backends.cpu.intrinsics import matrix, min_int, pointer, vector
from skmlp.compiler import jit


class EmbeddedRows(NamedTuple):
    """X whose columns are embedded.

    Attributes
    ----------
    x : ndarray of shape (rows, features)
    knot_ids : ndarray of int32 of shape (rows, embedded columns)
        Index of the edge below each number among the edges of all columns.
    positions : ndarray of shape (rows, embedded columns)
        Positions of the numbers in their bins, from 0 to 1.
    knots : ndarray
        Embeddings of the edges, which change with the parameters.
    n_bins : ndarray of int64
        Bins of each embedded column.
    dim : int
    width : int
        Inputs of the first layer.
    offset : int
        Of the matrices in the parameters.
    """

    x: np.ndarray
    knot_ids: np.ndarray
    positions: np.ndarray
    knots: np.ndarray
    n_bins: np.ndarray
    dim: int
    width: int
    offset: int


def is_embedded(x):
    """Whether a type of Numba is that of `EmbeddedRows`."""
    return isinstance(x, types.NamedTuple) and x.instance_class is EmbeddedRows


@jit.kernel
def find_bins(x, columns, edges, n_bins, knot_ids, positions):
    """Bins of the numbers of some columns, and positions in them; fills the last two.

    `edges` are those of all columns, one column after the other.
    """
    first = 0
    for c in range(columns.shape[0]):
        last = first + n_bins[c]
        for i in range(x.shape[0]):
            value = x[i, columns[c]]
            low, high = first, last
            while high - low > 1:
                middle = (low + high) // 2
                if edges[middle] <= value:
                    low = middle
                else:
                    high = middle
            position = (value - edges[low]) / (edges[low + 1] - edges[low])
            # Not by minimum and maximum, which would hide a nan.
            if position < 0:
                position = x.dtype.type(0)
            if position > 1:
                position = x.dtype.type(1)
            knot_ids[i, c] = low
            positions[i, c] = position
        first = last + 1


@jit.inline
def embed_rows(x, row, out, offset):
    """A row of X, followed by its embedding, to `out` at `offset`."""
    columns, dim = x.x.shape[1], x.dim
    copy_row(pointer(x.x, row * columns), pointer(out, offset), columns)
    n_embedded = x.knot_ids.shape[1]
    embedded = vector(out, offset + columns, n_embedded * dim)
    for c in range(n_embedded):
        knot = np.int64(x.knot_ids[row, c]) * dim
        position = x.positions[row, c]
        low = vector(x.knots, knot, dim)
        high = vector(x.knots, knot + dim, dim)
        for k in range(dim):
            embedded[c * dim + k] = low[k] + position * (high[k] - low[k])


def embedding_gradient(x, net, ws, row_ids, offsets, grads):
    """Partial gradient of the matrices by a row block; does nothing without them.

    `offsets` are those of the block in the deltas of the inputs and of the first layer,
    `grads` is that of its partial gradients.
    """


def refresh_knots(x, params):
    """Knots from changed matrices; does nothing without an embedding."""


def update_transposed_embedded(x, net, params, transposed, first, last):
    """Copy changed rows of the first layer's weights to the transposed weights.

    Only those of embedded numbers are there, at the end: the deltas of other inputs are
    not needed.
    """


@jit.inline
def _transposed_offset(net):
    """Offset behind the transposed weights of all layers but the first."""
    return net.bias_offsets[0] - net.sizes[0] * net.sizes[1]


@jit.overload_by_types(embedding_gradient)
def _embedding_gradient(x, net, ws, row_ids, offsets, grads):
    if not is_embedded(x):
        return lambda x, net, ws, row_ids, offsets, grads: None

    def embedded(x, net, ws, row_ids, offsets, grads):
        inputs, outer = offsets
        n, columns = row_ids.shape[0], x.knot_ids.shape[1] * x.dim
        product(
            ws.gemm,
            (ws.deltas, outer),
            (ws.transposed_weights, _transposed_offset(net)),
            (ws.deltas, inputs, 0),
            (ws.deltas, inputs),
            (n, columns, net.sizes[1]),
        )
        delta = matrix(ws.deltas, inputs, n, columns)
        size = x.n_bins.sum() * x.dim
        _gradient(x, row_ids, delta, vector(ws.partial_grads, grads + x.offset, size))

    return embedded


@jit.inline
def _gradient(x, row_ids, delta, gradient):
    """Gradient of the matrices from that by the embedded numbers.

    A number adds its delta to all bins below its own: by sums over the bins above each.
    To its own bin it adds the fraction that its position is.
    """
    n_columns, dim = x.knot_ids.shape[1], x.dim
    for e in range(gradient.shape[0]):
        gradient[e] = 0
    for i in range(row_ids.shape[0]):
        for c in range(n_columns):
            own = (np.int64(x.knot_ids[row_ids[i], c]) - c) * dim
            for k in range(dim):
                gradient[own + k] += delta[i, c * dim + k]
    first = 0
    for c in range(n_columns):
        _sum_of_bins_above(gradient, first * dim, x.n_bins[c], dim)
        first += x.n_bins[c]
    for i in range(row_ids.shape[0]):
        for c in range(n_columns):
            own = (np.int64(x.knot_ids[row_ids[i], c]) - c) * dim
            position = x.positions[row_ids[i], c]
            for k in range(dim):
                gradient[own + k] += position * delta[i, c * dim + k]


@jit.inline
def _sum_of_bins_above(gradient, first, n_bins, dim):
    """Replace a column's rows by the sums of the rows below each."""
    for k in range(dim):
        total = gradient.dtype.type(0)
        for t in range(n_bins):
            e = first + (n_bins - 1 - t) * dim + k
            own = gradient[e]
            gradient[e] = total
            total += own


@jit.overload_by_types(refresh_knots)
def _refresh_knots(x, params):
    if not is_embedded(x):
        return lambda x, params: None

    def embedded(x, params):
        dim = x.dim
        knot, row = 0, x.offset
        for c in range(x.n_bins.shape[0]):
            for k in range(dim):
                x.knots[knot + k] = 0
            for _ in range(x.n_bins[c]):
                for k in range(dim):
                    x.knots[knot + dim + k] = x.knots[knot + k] + params[row + k]
                knot += dim
                row += dim
            knot += dim

    return embedded


@jit.overload_by_types(update_transposed_embedded)
def _update_transposed_embedded(x, net, params, transposed, first, last):
    if not is_embedded(x):
        return lambda x, net, params, transposed, first, last: None

    def embedded(x, net, params, transposed, first, last):
        n_features, units = x.x.shape[1], net.sizes[1]
        if last > n_features:
            begin = -min_int(-first, -n_features)
            source = net.weight_offsets[0] + begin * units
            target = _transposed_offset(net) + begin - n_features
            shape = (last - begin, units, x.width - n_features)
            transpose(params, source, transposed, target, shape)

    return embedded
