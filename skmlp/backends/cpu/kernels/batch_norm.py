"""Training with batch normalization of the hidden layers.

Each layer's statistics need all rows of a batch, so row blocks cannot go through all
layers independently as in `train`: there is a barrier after every layer, in the forward
and in the backward pass. It is a separate kernel, compiled when it is first used, so
that other networks pay nothing for it.

Statistics of row blocks are combined in the order of the blocks (Chan et al., 1983), by
every worker that needs them: that takes less time than to wait for one that does it.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.intrinsics import matrix, min_int, vector
from skmlp.backends.cpu.kernels.clipping import finish_clipped
from skmlp.backends.cpu.kernels.elementwise import LoopTypes, address_of
from skmlp.backends.cpu.kernels.forward_backward import (
    activate_layer,
    backward_to_layer,
    block_loss,
    layer_offset,
    load_block,
    multiply_layer,
    n_row_blocks,
    partial_grads_offset,
)
from skmlp.backends.cpu.kernels.input_layer import prefetch_targets
from skmlp.backends.cpu.kernels.train import add_gradient, batch_bounds, finish_batch
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit
from skmlp.rules.normalization import EPSILON, MOMENTUM

_call = jit.caller(types.int64)
# Vectors of a row block in `BatchNormDesc.statistics`. The first two are means and sums
# of squares of the block. The others belong to the whole batch: means, factors (one
# over the standard deviation), means of the deltas, and means of their products with
# the normalized values.
_BLOCK_MEANS, _BLOCK_SQUARES, _MEANS, _FACTORS, _DELTA_MEANS, _PRODUCT_MEANS = range(6)
_N_VECTORS = 6


class BatchNormDesc(NamedTuple):
    """Batch normalization in the form that the kernel reads.

    Attributes
    ----------
    moments_fn, apply_fn, products_fn, backward_fn : int
        Addresses of the loops below.
    mean_offsets, variance_offsets : ndarray of int64
        Offsets of the running statistics in the parameter vector.
    statistics : ndarray
        `_N_VECTORS` vectors of hidden units for each row block.
    """

    moments_fn: int
    apply_fn: int
    products_fn: int
    backward_fn: int
    mean_offsets: np.ndarray
    variance_offsets: np.ndarray
    statistics: np.ndarray


def _moments(z, mean, squares):
    """Means of the columns, and sums of squared differences from them."""
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


def _apply(z, mean, factor, scale, bias, normalized):
    """Normalize z to `normalized`, and set z to it, scaled and shifted."""
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            value = (z[i, j] - mean[j]) * factor[j]
            normalized[i, j] = value
            z[i, j] = value * scale[j] + bias[j]
    return 0


def _products(delta, normalized, sums):
    """Column sums of the products: the gradient of the scales."""
    for j in range(delta.shape[1]):
        sums[j] = 0
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            sums[j] += delta[i, j] * normalized[i, j]
    return 0


def _backward(delta, normalized, factor, mean, product_mean):
    """Deltas by a layer's preactivation, in place."""
    for i in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            centered = delta[i, j] - mean[j] - normalized[i, j] * product_mean[j]
            delta[i, j] = factor[j] * centered
    return 0


@functools.cache
def _loops(dtype):
    """Addresses of the loops above, by name."""
    loop_types = LoopTypes(dtype)
    a, v = loop_types.matrix, loop_types.vector
    signatures = {
        _moments: types.int64(a, v, v),
        _apply: types.int64(a, v, v, v, v, a),
        _products: types.int64(a, a, v),
        _backward: types.int64(a, a, v, v, v),
    }
    return {
        f"{loop.__name__.lstrip('_')}_fn": address_of(
            loop, f"{__name__}.{loop.__name__}", signature
        )
        for loop, signature in signatures.items()
    }


def batch_norm_desc(offsets, ws, n_hidden_units, dtype):
    """Batch normalization for a network's layout and a workspace."""
    n_blocks = ws.losses.shape[0]
    return BatchNormDesc(
        **_loops(dtype),
        mean_offsets=np.array(offsets.mean_offsets, dtype=np.int64),
        variance_offsets=np.array(offsets.variance_offsets, dtype=np.int64),
        statistics=np.zeros(n_blocks * _N_VECTORS * n_hidden_units, dtype=dtype),
    )


@jit.inline
def _offset(net, block, which, layer):
    """Offset of one of the vectors of a row block, for the units of a hidden layer."""
    biases = net.bias_offsets
    hidden = biases[biases.shape[0] - 1] - biases[0]
    return (block * _N_VECTORS + which) * hidden + biases[layer] - biases[0]


@jit.inline
def _combine(ctx, norm, layer, block, n):
    """Batch means and factors for a block; block 0 updates the running statistics."""
    net, ws, params = ctx.net, ctx.ws, ctx.params
    T = params.dtype.type
    columns = net.sizes[layer + 1]
    mean = vector(norm.statistics, _offset(net, block, _MEANS, layer), columns)
    factor = vector(norm.statistics, _offset(net, block, _FACTORS, layer), columns)
    running_mean = vector(params, norm.mean_offsets[layer], columns)
    running_variance = vector(params, norm.variance_offsets[layer], columns)
    if n == 1:
        for j in range(columns):
            mean[j] = running_mean[j]
            factor[j] = T(1) / np.sqrt(running_variance[j] + T(EPSILON))
        return
    for j in range(columns):
        mean[j] = 0
        factor[j] = 0
    for other in range(n_row_blocks(ws, n)):
        before = other * ws.row_block
        n_rows = min_int(ws.row_block, n - before)
        fraction = T(n_rows) / T(before + n_rows)
        weight = fraction * T(before)
        block_mean = vector(
            norm.statistics, _offset(net, other, _BLOCK_MEANS, layer), columns
        )
        squares = vector(
            norm.statistics, _offset(net, other, _BLOCK_SQUARES, layer), columns
        )
        for j in range(columns):
            difference = block_mean[j] - mean[j]
            mean[j] += difference * fraction
            factor[j] += squares[j] + difference * difference * weight
    if block == 0:
        for j in range(columns):
            running_mean[j] += T(MOMENTUM) * (mean[j] - running_mean[j])
            variance = factor[j] / T(n - 1)
            running_variance[j] += T(MOMENTUM) * (variance - running_variance[j])
    for j in range(columns):
        factor[j] = T(1) / np.sqrt(factor[j] / T(n) + T(EPSILON))


# Inlined always: how LLVM vectorizes divisions in single precision, and so their last
# bit, depends on the function that they are part of.
@jit.inline_always
def _normalize(ctx, norm, layer, block, n_block, n):
    """Normalize a row block of a hidden layer's preactivation."""
    net, ws = ctx.net, ctx.ws
    columns = net.sizes[layer + 1]
    offset = layer_offset(net, ws, layer + 1, block * ws.row_block)
    _combine(ctx, norm, layer, block, n)
    stores = net.stores_preactivation[layer] != 0
    z = ws.preactivations if stores else ws.outputs
    _call(
        norm.apply_fn,
        (
            matrix(z, offset, n_block, columns),
            vector(norm.statistics, _offset(net, block, _MEANS, layer), columns),
            vector(norm.statistics, _offset(net, block, _FACTORS, layer), columns),
            vector(ctx.params, net.scale_offsets[layer], columns),
            vector(ctx.params, net.bias_offsets[layer], columns),
            matrix(ws.normalized, offset, n_block, columns),
        ),
    )


@jit.inline
def _measure(ctx, norm, layer, block, n_block):
    """Means and sums of squares of a row block of a hidden layer's preactivation."""
    net, ws = ctx.net, ctx.ws
    columns = net.sizes[layer + 1]
    offset = layer_offset(net, ws, layer + 1, block * ws.row_block)
    stores = net.stores_preactivation[layer] != 0
    z = ws.preactivations if stores else ws.outputs
    _call(
        norm.moments_fn,
        (
            matrix(z, offset, n_block, columns),
            vector(norm.statistics, _offset(net, block, _BLOCK_MEANS, layer), columns),
            vector(
                norm.statistics, _offset(net, block, _BLOCK_SQUARES, layer), columns
            ),
        ),
    )


@jit.inline
def _backward_through_slope(ctx, norm, lo, n_block, layer, step_index):
    """Deltas by a hidden layer's normalized values, and their column sums."""
    net, ws = ctx.net, ctx.ws
    backward_to_layer(ctx, n_block, lo, layer, step_index)
    columns = net.sizes[layer]
    offset = layer_offset(net, ws, layer, lo)
    grads = partial_grads_offset(ws, lo)
    _call(
        norm.products_fn,
        (
            matrix(ws.deltas, offset, n_block, columns),
            matrix(ws.normalized, offset, n_block, columns),
            vector(ws.partial_grads, grads + net.scale_offsets[layer - 1], columns),
        ),
    )


@jit.inline
def _backward_through_norm(ctx, norm, layer, block, n_block, n):
    """Deltas of a row block by a hidden layer's preactivation."""
    net, ws, params = ctx.net, ctx.ws, ctx.params
    T = params.dtype.type
    columns = net.sizes[layer + 1]
    factor = vector(norm.statistics, _offset(net, block, _FACTORS, layer), columns)
    mean = vector(norm.statistics, _offset(net, block, _DELTA_MEANS, layer), columns)
    product_mean = vector(
        norm.statistics, _offset(net, block, _PRODUCT_MEANS, layer), columns
    )
    scale = vector(params, net.scale_offsets[layer], columns)
    for j in range(columns):
        mean[j] = 0
        product_mean[j] = 0
        factor[j] *= scale[j]
    if n > 1:
        for other in range(n_row_blocks(ws, n)):
            grads = partial_grads_offset(ws, other * ws.row_block)
            sums = vector(ws.partial_grads, grads + net.bias_offsets[layer], columns)
            products = vector(
                ws.partial_grads, grads + net.scale_offsets[layer], columns
            )
            for j in range(columns):
                mean[j] += sums[j] / T(n)
                product_mean[j] += products[j] / T(n)
    offset = layer_offset(net, ws, layer + 1, block * ws.row_block)
    delta = matrix(ws.deltas, offset, n_block, columns)
    normalized = matrix(ws.normalized, offset, n_block, columns)
    _call(norm.backward_fn, (delta, normalized, factor, mean, product_mean))


@jit.inline
def _forward_stage(worker, ctx, norm, row_ids, scale, step_index, layer):
    """One layer forward for all row blocks; the last one begins the backward pass."""
    ws = ctx.ws
    n = row_ids.shape[0]
    last = ctx.net.sizes.shape[0] - 2
    n_blocks = n_row_blocks(ws, n)
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * ws.row_block
        block_ids = row_ids[lo : min_int(lo + ws.row_block, n)]
        n_block = block_ids.shape[0]
        if layer == 0:
            prefetch_targets(ctx.data, block_ids)
            load_block(ctx, block_ids, lo, step_index)
        else:
            _normalize(ctx, norm, layer - 1, item, n_block, n)
            activate_layer(ctx, n_block, lo, layer - 1, step_index)
        multiply_layer(ctx, block_ids, lo, layer)
        if layer < last:
            _measure(ctx, norm, layer, item, n_block)
        else:
            ws.losses[item] = block_loss(ctx, block_ids, lo, scale)
            if last > 0:
                _backward_through_slope(ctx, norm, lo, n_block, last, step_index)
        item = next_item(worker, n_blocks)


@jit.inline
def _backward_stage(worker, ctx, norm, n, step_index, layer):
    """Back through a hidden layer's normalization, and to the layer before it."""
    ws = ctx.ws
    n_blocks = n_row_blocks(ws, n)
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * ws.row_block
        n_block = min_int(ws.row_block, n - lo)
        _backward_through_norm(ctx, norm, layer, item, n_block, n)
        if layer > 0:
            _backward_through_slope(ctx, norm, lo, n_block, layer, step_index)
        item = next_item(worker, n_blocks)


@jit.inline
def _finish(worker, ctx, row_ids, update, i, is_first, sums):
    """Phase 2 of a minibatch, with clipping and max-norm where the fit has them."""
    if ctx.reg.add_l2_fn != 0:
        return finish_clipped(worker, ctx, row_ids, update, i, is_first, sums)
    return finish_batch(worker, ctx, row_ids, update, i, is_first, sums)


@jit.inline
def _rows_phase(worker, ctx, norm, row_ids, scale, step_index):
    """Phase 1 of a minibatch, layer by layer; False when the work is aborted."""
    last = ctx.net.sizes.shape[0] - 2
    for layer in range(last + 1):
        _forward_stage(worker, ctx, norm, row_ids, scale, step_index, layer)
        if not barrier(worker):
            return False
    for layer in range(last - 1, -1, -1):
        _backward_stage(worker, ctx, norm, row_ids.shape[0], step_index, layer)
        if not barrier(worker):
            return False
    return True


@jit.kernel
def train_batch_norm(worker, ctx, norm, update, batches, result):
    """As `train.train`, with batch normalization."""
    for b in range(batches.first_batch, batches.last_batch):
        first, end, epoch, is_first = batch_bounds(batches, b)
        row_ids = batches.order[first:end]
        scale = ctx.params.dtype.type(batches.inv_mean_weight / row_ids.shape[0])
        step_index = batches.step_offset + b
        if not _rows_phase(worker, ctx, norm, row_ids, scale, step_index):
            return
        i = b - batches.first_batch
        sums = vector(result, 2 * epoch, 2)
        if not _finish(worker, ctx, row_ids, update, i, is_first, sums):
            return


@jit.kernel
def differentiate_batch_norm(worker, ctx, norm, batches, result):
    """As `train.differentiate`, with batch normalization, for a single batch."""
    scale = ctx.params.dtype.type(batches.inv_mean_weight / batches.n_rows)
    row_ids = batches.order[: batches.n_rows]
    step_index = batches.step_offset
    if _rows_phase(worker, ctx, norm, row_ids, scale, step_index):
        add_gradient(worker, ctx, row_ids, result)
