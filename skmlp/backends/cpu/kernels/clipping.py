"""Training with gradient clipping, or with max-norm constraints on units' weights.

Both need all parameter ranges of a step before they can go on: the gradient's norm
before any weight is changed, a unit's norm after all of its weights were. So phase 2 of
`train` becomes up to three phases, with a barrier after each. They are in a separate
kernel, because most fits need neither and should not wait for its compilation.
"""

import numpy as np

from skmlp.backends.cpu.intrinsics import matrix, vector
from skmlp.backends.cpu.kernels.forward_backward import n_row_blocks, rows_phase
from skmlp.backends.cpu.kernels.regularization import call_add_l2, call_max_norm
from skmlp.backends.cpu.kernels.train import batch_bounds
from skmlp.backends.cpu.kernels.update import (
    gradient_offset,
    is_penalized,
    param_range,
    range_gradient,
    sum_of,
    update_range,
    update_transposed,
)
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit


@jit.inline
def _gradient_phase(worker, ctx, row_ids, update):
    """Gradient of every range, including the penalty's, and its sum of squares."""
    ws, reg, params = ctx.ws, ctx.reg, ctx.params
    T = params.dtype.type
    n_rows = row_ids.shape[0]
    l2 = T(update.l2 / n_rows)
    index = next_item(worker, ws.param_ranges.shape[0])
    while index < ws.param_ranges.shape[0]:
        part = param_range(ws, index)
        range_gradient(ctx, part, row_ids, 0)
        penalized = is_penalized(part)
        squares = call_add_l2(
            reg.add_l2_fn,
            (
                vector(ws.partial_grads, gradient_offset(part, ws, n_rows), part.size),
                vector(params, part.start, part.size),
                l2 if penalized else T(0),
                vector(ws.grad_sq_sums, index, 1),
            ),
        )
        ws.param_sq_sums[index] = squares if penalized else 0.0
        index = next_item(worker, ws.param_ranges.shape[0])


@jit.inline
def clip_factor(ctx, norm):
    """The factor of a gradient of this norm."""
    limit = ctx.reg.max_grad_norm
    return ctx.params.dtype.type(limit / norm if norm > limit else 1.0)


@jit.inline
def update_clipped(ctx, part, offset, factor, update, i):
    """The optimizer step on a range, by its gradient times the factor.

    The gradient includes the penalty's; it is scaled in place.
    """
    gradient = vector(ctx.ws.partial_grads, offset, part.size)
    for e in range(gradient.shape[0]):
        gradient[e] *= factor
    update_range(ctx, part, offset, update, i, ctx.params.dtype.type(0))


@jit.inline
def _update_phase(worker, ctx, n_rows, update, i):
    """The optimizer step on every range, by the clipped gradient."""
    ws = ctx.ws
    factor = clip_factor(
        ctx, np.sqrt(sum_of(ws.grad_sq_sums, ws.param_ranges.shape[0]))
    )
    index = next_item(worker, ws.param_ranges.shape[0])
    while index < ws.param_ranges.shape[0]:
        part = param_range(ws, index)
        offset = gradient_offset(part, ws, n_rows)
        update_clipped(ctx, part, offset, factor, update, i)
        index = next_item(worker, ws.param_ranges.shape[0])


@jit.inline
def max_norm_phase(worker, ctx):
    """Scale the weights of every unit down to the largest norm, a layer an item."""
    net, ws, reg, params = ctx.net, ctx.ws, ctx.reg, ctx.params
    sizes = net.sizes
    layer = next_item(worker, sizes.shape[0] - 1)
    while layer < sizes.shape[0] - 1:
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        offset = net.weight_offsets[layer]
        weights = matrix(params, offset, fan_in, fan_out)
        # The gradient is not needed any more.
        scratch = vector(ws.gradient, offset, fan_out)
        max_norm = params.dtype.type(reg.max_norm)
        call_max_norm(reg.max_norm_fn, (weights, scratch, max_norm))
        update_transposed(ctx, layer, 0, fan_in)
        layer = next_item(worker, sizes.shape[0] - 1)


@jit.inline
def finish_clipped(worker, ctx, row_ids, update, i, is_first, sums):
    """As `train.finish_batch`, with gradient clipping and max-norm constraints."""
    ws = ctx.ws
    n_rows = row_ids.shape[0]
    n_blocks = n_row_blocks(ws, n_rows)
    if worker.worker_id == 0:
        sums[0] += n_rows * sum_of(ws.losses, n_blocks)
    _gradient_phase(worker, ctx, row_ids, update)
    if not barrier(worker):
        return False
    _update_phase(worker, ctx, n_rows, update, i)
    if not barrier(worker):
        return False
    if worker.worker_id == 0:
        squares = sum_of(ws.param_sq_sums, ws.param_ranges.shape[0])
        sums[0] += 0.5 * update.l2 * squares
        if is_first:
            sums[1] = sum_of(ws.grad_sq_sums, ws.param_ranges.shape[0])
    if ctx.reg.max_norm_fn != 0:
        max_norm_phase(worker, ctx)
        return barrier(worker)
    return True


@jit.kernel
def train_clipped(worker, ctx, update, batches, result):
    """As `train.train`, with gradient clipping and max-norm constraints."""
    for b in range(batches.first_batch, batches.last_batch):
        first, end, epoch, is_first = batch_bounds(batches, b)
        row_ids = batches.order[first:end]
        scale = ctx.params.dtype.type(batches.inv_mean_weight / row_ids.shape[0])
        rows_phase(worker, ctx, row_ids, scale, batches.step_offset + b)
        if not barrier(worker):
            return
        i = b - batches.first_batch
        sums = vector(result, 2 * epoch, 2)
        if not finish_clipped(worker, ctx, row_ids, update, i, is_first, sums):
            return
