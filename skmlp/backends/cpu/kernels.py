"""The kernels: minibatch training, the gradient over all rows, and outputs.

Every member of a team runs the same kernel (see `team`). A minibatch has two phases,
each a set of numbered items, with a barrier after each:

  1. blocks of rows: gather, forward, loss, deltas back to the first layer;
  2. slabs of the weight matrices: gradient over the whole batch, then the optimizer's
     step on that slab while it is in the cache.

Rows and slabs are cut by the batch's shape, partial losses are summed in order, so
the results do not depend on the number of threads.

Kernels neither raise nor allocate: Python has allocated, and checks the results.
"""

from typing import NamedTuple

import numpy as np

from skmlp import jit
from skmlp.backends.cpu.first_layer import (
    gather_gradient,
    load_rows,
    multiply_range,
    multiply_rows,
)
from skmlp.backends.cpu.loops import (
    call_activation,
    call_loss,
    call_slope,
    call_update,
)
from skmlp.backends.cpu.memory import matrix, vector
from skmlp.backends.cpu.products import product, product_of_transposed, transpose
from skmlp.backends.cpu.team import meet, take


class Layers(NamedTuple):
    """The network in the form that kernels read.

    Attributes
    ----------
    sizes : ndarray of int64
        Units of each layer, features and outputs included.
    weights, biases : ndarray of int64
        Offsets in the parameter vector.
    activations : ndarray of int64
        Addresses of each hidden layer's activation; in `predict` also the output's.
    slopes : ndarray of int64
        Addresses of each hidden layer's slope.
    loss : int
        Address of the loss.
    """

    sizes: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    activations: np.ndarray
    slopes: np.ndarray
    loss: int


class Data(NamedTuple):
    """The training data: X dense or sparse, targets (rows, columns), weights or ()."""

    x: object
    targets: np.ndarray
    weights: np.ndarray


class Room(NamedTuple):
    """Working memory of a fit.

    Attributes
    ----------
    outputs : ndarray of shape (batch_size * all units,)
        Layer by layer the outputs of a batch; `at` has the offsets, the batch's rows
        of X first.
    deltas : ndarray like outputs
    at : ndarray of int64
    gradient : ndarray of shape (parameters,)
    losses, squares : ndarray of float64
        Partial sums by row block and by slab.
    slabs : ndarray of int64 of shape (slabs, 3)
        Layer, first and last row of its weights; first = -1 for its biases.
    block : int
        Rows of a block.
    multiply : int
        Address of the product of matrices.
    transposed : ndarray
        Every layer's weights but the first's, transposed, for the way back.
    """

    outputs: np.ndarray
    deltas: np.ndarray
    at: np.ndarray
    gradient: np.ndarray
    losses: np.ndarray
    squares: np.ndarray
    slabs: np.ndarray
    block: int
    multiply: int
    transposed: np.ndarray


class Step(NamedTuple):
    """The optimizer: address of its loop, its vectors, and its scalars.

    Attributes
    ----------
    update : int
    slots : ndarray of shape (1 or 2, parameters)
    rates : ndarray of float64
        Learning rate of each batch of the span.
    hyper : ndarray of shape (3,)
    decay : float
        L2 penalty over the mean weight of the training rows.
    """

    update: int
    slots: np.ndarray
    rates: np.ndarray
    hyper: np.ndarray
    decay: float


class Span(NamedTuple):
    """Which rows to train on: batches first <= b < last of an order.

    Attributes
    ----------
    order : ndarray of int64
        Row numbers of an epoch.
    batch : int
        Rows of a batch, the last of an epoch excepted.
    first, last : int
    weight : float
        One over the mean weight of the training rows.
    """

    order: np.ndarray
    batch: int
    first: int
    last: int
    weight: float


@jit.inline
def _forward(layers, data, room, parameters, rows, lo):
    """Fill the outputs of a block of rows that begins at row `lo` of the batch.

    The last layer is left without bias and activation: they belong to the loss.
    """
    n = rows.shape[0]
    at, sizes = room.at, layers.sizes
    last = sizes.shape[0] - 2
    load_rows(data.x, rows, room.outputs, at[0] + lo * sizes[0])
    for layer in range(last + 1):
        columns = sizes[layer + 1]
        start = at[layer + 1] + lo * columns
        if layer == 0:
            multiply_rows(
                data.x, rows, room.outputs, at[0] + lo * sizes[0],
                parameters, room.outputs, start, columns, room.multiply,
            )  # fmt: skip
        else:
            product(
                room.multiply,
                (room.outputs, at[layer] + lo * sizes[layer]),
                (parameters, layers.weights[layer]),
                (room.outputs, start),
                (n, columns, sizes[layer]),
                0,
            )
        if layer < last:
            z = matrix(room.outputs, start, n, columns)
            bias = vector(parameters, layers.biases[layer], columns)
            call_activation(layers.activations[layer], (z, bias))


@jit.inline
def _backward(layers, data, room, parameters, rows, lo, scale):
    """Loss of a block of rows; its deltas down to the first layer."""
    n = rows.shape[0]
    at, sizes = room.at, layers.sizes
    last = sizes.shape[0] - 2
    columns = sizes[last + 1]
    start = at[last + 1] + lo * columns
    z = matrix(room.outputs, start, n, columns)
    delta = matrix(room.deltas, start, n, columns)
    bias = vector(parameters, layers.biases[last], columns)
    total = call_loss(
        layers.loss, (z, bias, delta, data.targets, data.weights, rows, scale)
    )
    for layer in range(last, 0, -1):
        columns = sizes[layer]
        start = at[layer] + lo * columns
        product(
            room.multiply,
            (room.deltas, at[layer + 1] + lo * sizes[layer + 1]),
            (room.transposed, layers.weights[layer] - layers.weights[1]),
            (room.deltas, start),
            (n, columns, sizes[layer + 1]),
            0,
        )
        delta = matrix(room.deltas, start, n, columns)
        output = matrix(room.outputs, start, n, columns)
        call_slope(layers.slopes[layer - 1], (delta, output))
    return total


@jit.inline
def _rows_phase(post, layers, data, room, parameters, rows, scale):
    """Phase 1: forward and backward for every block of rows."""
    n_blocks = (rows.shape[0] + room.block - 1) // room.block
    item = take(post)
    while item < n_blocks:
        lo = item * room.block
        block = rows[lo : min(lo + room.block, rows.shape[0])]
        _forward(layers, data, room, parameters, block, lo)
        room.losses[item] = _backward(layers, data, room, parameters, block, lo, scale)
        item = take(post)
    return n_blocks


@jit.inline
def _sum_columns(delta, n, columns, out, add):
    """Out = sums of the columns of delta's first n rows + add out."""
    if add == 0:
        for j in range(columns):
            out[j] = 0
    for i in range(n):
        for j in range(columns):
            out[j] += delta[i, j]


@jit.inline
def _slab_gradient(slab, layers, data, room, rows, add):
    """Gradient of one slab over the whole batch: where it begins and its length."""
    layer, first, last = slab[0], slab[1], slab[2]
    at, sizes = room.at, layers.sizes
    n = rows.shape[0]
    columns = sizes[layer + 1]
    if first < 0:
        start = layers.biases[layer]
        delta = matrix(room.deltas, at[layer + 1], n, columns)
        _sum_columns(delta, n, columns, vector(room.gradient, start, columns), add)
        return start, columns
    if layer == 0:
        gather_gradient(
            data.x, rows, room.outputs, (room.deltas, at[1]),
            (first, last, sizes[0]), room.gradient, columns, add, room.multiply,
        )  # fmt: skip
    else:
        product_of_transposed(
            room.multiply,
            (room.outputs, at[layer] + first, sizes[layer]),
            (room.deltas, at[layer + 1]),
            (room.gradient, layers.weights[layer] + first * columns),
            (last - first, columns, n),
            add,
        )
    return layers.weights[layer] + first * columns, (last - first) * columns


@jit.inline
def _slabs_phase(post, layers, data, room, parameters, rows, step, rate):
    """Phase 2: gradient and optimizer step of every slab."""
    kind = parameters.dtype.type
    decay = kind(step.decay / rows.shape[0])
    item = take(post)
    while item < room.slabs.shape[0]:
        slab = room.slabs[item]
        start, size = _slab_gradient(slab, layers, data, room, rows, 0)
        penalised = slab[1] >= 0
        squares = call_update(
            step.update,
            (
                vector(parameters, start, size),
                vector(room.gradient, start, size),
                vector(step.slots[0], start, size),
                vector(step.slots[-1], start, size),
                kind(rate),
                decay if penalised else kind(0),
                step.hyper,
            ),
        )
        room.squares[item] = squares if penalised else 0.0
        if penalised and slab[0] > 0:
            _renew_transposed(slab, layers, room, parameters, start)
        item = take(post)


@jit.inline
def _renew_transposed(slab, layers, room, parameters, start):
    """Copy a slab that has changed to the transposed weights."""
    layer, first, last = slab[0], slab[1], slab[2]
    fan_in, fan_out = layers.sizes[layer], layers.sizes[layer + 1]
    offset = layers.weights[layer] - layers.weights[1] + first
    sizes = (last - first, fan_out, fan_in)
    transpose(parameters, start, room.transposed, offset, sizes)


@jit.inline
def _sum(values, size):
    total = 0.0
    for i in range(size):
        total += values[i]
    return total


@jit.kernel
def train(post, layers, data, room, parameters, step, span, result):
    """Train on some batches of an epoch; adds their loss times their rows to result.

    The loss of a batch is that before its update, the L2 term included. result[0] is
    the sum; nothing is added for batches that were called off.
    """
    n = span.order.shape[0]
    half_decay = 0.5 * step.decay
    total = 0.0
    for b in range(span.first, span.last):
        rows = span.order[b * span.batch : min((b + 1) * span.batch, n)]
        scale = parameters.dtype.type(span.weight / rows.shape[0])
        n_blocks = _rows_phase(post, layers, data, room, parameters, rows, scale)
        if not meet(post):
            return
        if post.member == 0:
            total += rows.shape[0] * _sum(room.losses, n_blocks)
        rate = step.rates[b - span.first]
        _slabs_phase(post, layers, data, room, parameters, rows, step, rate)
        if not meet(post):
            return
        if post.member == 0:
            total += half_decay * _sum(room.squares, room.slabs.shape[0])
    if post.member == 0:
        result[0] += total


@jit.kernel
def differentiate(post, layers, data, room, parameters, span, result):
    """Loss and gradient over batches of an order, without the penalty.

    The batches only bound the memory: the sums run over all of them, into
    room.gradient, which the caller has set to zero, and into result[0].
    """
    n = span.order.shape[0]
    scale = parameters.dtype.type(span.weight / n)
    total = 0.0
    for b in range(span.first, span.last):
        rows = span.order[b * span.batch : min((b + 1) * span.batch, n)]
        n_blocks = _rows_phase(post, layers, data, room, parameters, rows, scale)
        if not meet(post):
            return
        if post.member == 0:
            total += _sum(room.losses, n_blocks)
        item = take(post)
        while item < room.slabs.shape[0]:
            _slab_gradient(room.slabs[item], layers, data, room, rows, 1)
            item = take(post)
        if not meet(post):
            return
    if post.member == 0:
        result[0] += total


@jit.kernel
def predict(post, layers, x, rows, room, parameters, out):
    """Outputs of rows, block by block.

    Parameters
    ----------
    x : ndarray or SparseRows
    rows : ndarray of int64
        Numbers of the rows; empty for all of them in their order.
    room : tuple (outputs, block, multiply)
        outputs has a vector a member, large enough for two layers of a block.
    out : ndarray of shape (number of rows, outputs)
    """
    outputs, block, multiply = room
    scratch = outputs[post.member]
    n_rows = out.shape[0]
    n_blocks = (n_rows + block - 1) // block
    item = take(post)
    while item < n_blocks:
        lo = item * block
        n = min(block, n_rows - lo)
        half = scratch.shape[0] // 2
        columns = layers.sizes[1]
        if rows.shape[0] == 0:
            multiply_range(x, lo, n, parameters, scratch, half, columns, multiply)
        else:
            some = rows[lo : lo + n]
            load_rows(x, some, scratch, 0)
            multiply_rows(
                x, some, scratch, 0, parameters, scratch, half, columns, multiply
            )
        end = _propagate(layers, parameters, scratch, half, n, multiply)
        columns = out.shape[1]
        result = matrix(scratch, end, n, columns)
        for i in range(n):
            for j in range(columns):
                out[lo + i, j] = result[i, j]
        item = take(post)


@jit.inline
def _propagate(layers, parameters, scratch, half, n, multiply):
    """From the first layer's products to the outputs; where in `scratch` they lie.

    A layer's outputs are in one half of the scratch, the next layer's in the other.
    """
    sizes = layers.sizes
    here = half
    for layer in range(sizes.shape[0] - 1):
        columns = sizes[layer + 1]
        if layer > 0:
            product(
                multiply,
                (scratch, here),
                (parameters, layers.weights[layer]),
                (scratch, half - here),
                (n, columns, sizes[layer]),
                0,
            )
            here = half - here
        z = matrix(scratch, here, n, columns)
        bias = vector(parameters, layers.biases[layer], columns)
        call_activation(layers.activations[layer], (z, bias))
    return here
