"""Training with hidden layers normalized over the rows of a minibatch.

All rows of a batch meet in each layer's statistics, so the blocks of rows cannot go
through all layers by themselves as in `kernels`: here they meet after every layer, on
the way forward and on the way back. That is a kernel of its own, compiled when it is
first used, so that other networks pay nothing for it.

Statistics are those of blocks, combined in the order of the blocks (Chan et al., 1983),
by everyone who needs them: it is less work than to wait for one who does it.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.intrinsics import matrix, min_int, vector
from skmlp.backends.cpu.kernels.clipping import finish_limited
from skmlp.backends.cpu.kernels.elementwise import Kinds, address_of
from skmlp.backends.cpu.kernels.forward_backward import (
    activate_layer,
    back_to_layer,
    blocks_of,
    load_block,
    loss_of_block,
    multiply_layer,
    start_of,
    sums_of_block,
)
from skmlp.backends.cpu.kernels.input_layer import ask_for_targets
from skmlp.backends.cpu.kernels.train import bounds, finish_batch
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit
from skmlp.rules.normalization import EPSILON, MOMENTUM

_call = jit.caller(types.int64)
# Vectors of a block: its means and sums of squares, and of the batch the means, the
# factors, and the means of the deltas and of their products with the inputs.
_VECTORS = 6


class BatchNorm(NamedTuple):
    """Addresses of the loops below, and what the kernel keeps of a batch.

    Attributes
    ----------
    moments, apply, products, back : int
    means, variances : ndarray of int64
        Offsets of the running statistics.
    parts : ndarray
        `_VECTORS` vectors a block and hidden unit.
    """

    moments: int
    apply: int
    products: int
    back: int
    means: np.ndarray
    variances: np.ndarray
    parts: np.ndarray


def _moments(z, mean, squares):
    """Means of the columns, and sums of the squared differences from them."""
    rows, columns = z.shape
    for j in range(columns):
        mean[j] = 0
        squares[j] = 0
    for i in range(rows):
        for j in range(columns):
            mean[j] += z[i, j]
    for j in range(columns):
        mean[j] /= rows
    for i in range(rows):
        for j in range(columns):
            squares[j] += (z[i, j] - mean[j]) * (z[i, j] - mean[j])
    return 0


def _apply(z, mean, factor, scale, bias, normed):
    """Normalize to `normed`, scaled and shifted to `z`."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            value = (z[i, j] - mean[j]) * factor[j]
            normed[i, j] = value
            z[i, j] = value * scale[j] + bias[j]
    return 0


def _products(delta, normed, sums):
    """Sums of the columns of the products: the scales' gradient."""
    for j in range(delta.shape[1]):
        sums[j] = 0
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            sums[j] += delta[i, j] * normed[i, j]
    return 0


def _back(delta, normed, factor, mean, share):
    """Deltas by a layer's inputs, in place."""
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            rest = delta[i, j] - mean[j] - normed[i, j] * share[j]
            delta[i, j] = factor[j] * rest
    return 0


@functools.cache
def _loops(dtype):
    """Addresses of the loops above, in the order of the fields."""
    kinds = Kinds(dtype)
    a, v = kinds.matrix, kinds.vector
    signatures = {
        _moments: types.int64(a, v, v),
        _apply: types.int64(a, v, v, v, v, a),
        _products: types.int64(a, a, v),
        _back: types.int64(a, a, v, v, v),
    }
    return [
        address_of(loop, f"{__name__}.{loop.__name__}", signature)
        for loop, signature in signatures.items()
    ]


def batch_norm_of(offsets, room, n_hidden_units, dtype):
    """What the kernel needs beside the layers, for a network's layout and a room."""
    n_blocks = room.losses.shape[0]
    return BatchNorm(
        **dict(
            zip(("moments", "apply", "products", "back"), _loops(dtype), strict=True)
        ),
        means=np.array(offsets.mean_offsets, dtype=np.int64),
        variances=np.array(offsets.variance_offsets, dtype=np.int64),
        parts=np.zeros(n_blocks * _VECTORS * n_hidden_units, dtype=dtype),
    )


@jit.inline
def _place(layers, block, number, layer):
    """Where one of the vectors of a block for a hidden layer begins."""
    hidden = layers.biases[layers.biases.shape[0] - 1] - layers.biases[0]
    start = (block * _VECTORS + number) * hidden
    return start + layers.biases[layer] - layers.biases[0]


@jit.inline
def _combine(norm, layers, room, parameters, layer, item, n):
    """Means and factors of a batch for a block; block 0 moves the running ones."""
    kind = parameters.dtype.type
    columns = layers.sizes[layer + 1]
    mean = vector(norm.parts, _place(layers, item, 2, layer), columns)
    factor = vector(norm.parts, _place(layers, item, 3, layer), columns)
    running = vector(parameters, norm.means[layer], columns)
    variances = vector(parameters, norm.variances[layer], columns)
    if n == 1:
        for j in range(columns):
            mean[j] = running[j]
            factor[j] = kind(1) / np.sqrt(variances[j] + kind(EPSILON))
        return
    for j in range(columns):
        mean[j] = 0
        factor[j] = 0
    for block in range(blocks_of(room, n)):
        before = block * room.block
        rows = min_int(room.block, n - before)
        own = kind(rows) / kind(before + rows)
        both = own * kind(before)
        other = vector(norm.parts, _place(layers, block, 0, layer), columns)
        squares = vector(norm.parts, _place(layers, block, 1, layer), columns)
        for j in range(columns):
            difference = other[j] - mean[j]
            mean[j] += difference * own
            factor[j] += squares[j] + difference * difference * both
    if item == 0:
        for j in range(columns):
            running[j] += kind(MOMENTUM) * (mean[j] - running[j])
            variance = factor[j] / kind(n - 1)
            variances[j] += kind(MOMENTUM) * (variance - variances[j])
    for j in range(columns):
        factor[j] = kind(1) / np.sqrt(factor[j] / kind(n) + kind(EPSILON))


# A rule, that is, inlined always: how LLVM vectorizes divisions in single precision,
# and so their last bit, depends on what they are part of.
@jit.inline_always
def _normalize(norm, layers, room, parameters, layer, item, n_block, n):
    """Normalize a block of a hidden layer's inputs."""
    columns = layers.sizes[layer + 1]
    start = start_of(layers, room, layer + 1, item * room.block)
    _combine(norm, layers, room, parameters, layer, item, n)
    inputs = room.inputs if layers.keeps[layer] != 0 else room.outputs
    _call(
        norm.apply,
        (
            matrix(inputs, start, n_block, columns),
            vector(norm.parts, _place(layers, item, 2, layer), columns),
            vector(norm.parts, _place(layers, item, 3, layer), columns),
            vector(parameters, layers.scales[layer], columns),
            vector(parameters, layers.biases[layer], columns),
            matrix(room.normed, start, n_block, columns),
        ),
    )


@jit.inline
def _measure(norm, layers, room, layer, item, n_block):
    """Means and squares of a block of a hidden layer's inputs."""
    columns = layers.sizes[layer + 1]
    start = start_of(layers, room, layer + 1, item * room.block)
    inputs = room.inputs if layers.keeps[layer] != 0 else room.outputs
    z = matrix(inputs, start, n_block, columns)
    mean = vector(norm.parts, _place(layers, item, 0, layer), columns)
    _call(
        norm.moments,
        (z, mean, vector(norm.parts, _place(layers, item, 1, layer), columns)),
    )


@jit.inline
def _back_through_slope(norm, layers, room, extras, lo, n_block, layer, step):
    """Deltas by a hidden layer's normalized inputs, and their sums with these."""
    back_to_layer(layers, room, extras, n_block, lo, layer, step)
    columns = layers.sizes[layer]
    start = start_of(layers, room, layer, lo)
    first = sums_of_block(room, lo)
    _call(
        norm.products,
        (
            matrix(room.deltas, start, n_block, columns),
            matrix(room.normed, start, n_block, columns),
            vector(room.sums, first + layers.scales[layer - 1], columns),
        ),
    )


@jit.inline
def _back_through_norm(norm, layers, room, parameters, layer, item, n_block, n):
    """Deltas of a block by the inputs of a hidden layer, from the sums of all."""
    kind = parameters.dtype.type
    columns = layers.sizes[layer + 1]
    factor = vector(norm.parts, _place(layers, item, 3, layer), columns)
    mean = vector(norm.parts, _place(layers, item, 4, layer), columns)
    share = vector(norm.parts, _place(layers, item, 5, layer), columns)
    scale = vector(parameters, layers.scales[layer], columns)
    for j in range(columns):
        mean[j] = 0
        share[j] = 0
        factor[j] *= scale[j]
    if n > 1:
        for block in range(blocks_of(room, n)):
            first = sums_of_block(room, block * room.block)
            sums = vector(room.sums, first + layers.biases[layer], columns)
            products = vector(room.sums, first + layers.scales[layer], columns)
            for j in range(columns):
                mean[j] += sums[j] / kind(n)
                share[j] += products[j] / kind(n)
    start = start_of(layers, room, layer + 1, item * room.block)
    delta = matrix(room.deltas, start, n_block, columns)
    normed = matrix(room.normed, start, n_block, columns)
    _call(norm.back, (delta, normed, factor, mean, share))


@jit.inline
def _forward_stage(
    worker, layers, data, room, extras, norm, parameters, rows, scale, step, layer
):
    """One layer forward for all blocks; from the last one, the way back begins."""
    n = rows.shape[0]
    last = layers.sizes.shape[0] - 2
    n_blocks = blocks_of(room, n)
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * room.block
        block = rows[lo : min_int(lo + room.block, n)]
        n_block = block.shape[0]
        if layer == 0:
            ask_for_targets(data, block)
            load_block(layers, data, room, extras, parameters, block, lo, step)
        else:
            _normalize(norm, layers, room, parameters, layer - 1, item, n_block, n)
            activate_layer(
                layers, room, extras, parameters, n_block, lo, layer - 1, step
            )
        multiply_layer(layers, data, room, parameters, block, lo, layer)
        if layer < last:
            _measure(norm, layers, room, layer, item, n_block)
        else:
            room.losses[item] = loss_of_block(
                layers, data, room, parameters, block, lo, scale
            )
            if last > 0:
                _back_through_slope(norm, layers, room, extras, lo, n_block, last, step)
        item = next_item(worker, n_blocks)


@jit.inline
def _backward_stage(worker, layers, room, extras, norm, parameters, n, step, layer):
    """Back through a hidden layer's normalization, and to the one below."""
    n_blocks = blocks_of(room, n)
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * room.block
        n_block = min_int(room.block, n - lo)
        _back_through_norm(norm, layers, room, parameters, layer, item, n_block, n)
        if layer > 0:
            _back_through_slope(norm, layers, room, extras, lo, n_block, layer, step)
        item = next_item(worker, n_blocks)


@jit.inline
def _finish(worker, layers, data, room, extras, parameters, rows, step, number, loss):
    """Phase 2 of a minibatch, with the limits of norms that there may be."""
    if extras.penalize != 0:
        return finish_limited(
            worker, layers, data, room, extras, parameters, rows, step, number, loss
        )
    return finish_batch(
        worker, layers, data, room, parameters, rows, step, number, loss
    )


@jit.kernel
def train_batch_norm(
    worker, layers, data, room, extras, norm, parameters, step, span, result
):
    """As `kernels.train`, for hidden layers normalized over minibatches."""
    last = layers.sizes.shape[0] - 2
    for b in range(span.first, span.last):
        first, end, epoch = bounds(span, b)
        rows = span.order[first:end]
        scale = parameters.dtype.type(span.weight / rows.shape[0])
        number = span.steps + b
        for layer in range(last + 1):
            _forward_stage(
                *(worker, layers, data, room, extras, norm, parameters),
                *(rows, scale, number, layer),
            )
            if not barrier(worker):
                return
        for layer in range(last - 1, -1, -1):
            _backward_stage(
                *(worker, layers, room, extras, norm, parameters),
                *(rows.shape[0], number, layer),
            )
            if not barrier(worker):
                return
        if not _finish(
            *(worker, layers, data, room, extras, parameters),
            *(rows, step, b - span.first, vector(result, epoch, 1)),
        ):
            return
