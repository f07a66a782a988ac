"""The step of an optimizer by a gradient that comes from elsewhere.

Sessions that share a minibatch add their gradients between `train.differentiate` and
this kernel. A training of one session never leaves the kernel in between: there the
step on a range of parameters follows its gradient while that is in the cache.
"""

import numpy as np

from skmlp.backends.cpu.intrinsics import vector
from skmlp.backends.cpu.kernels.clipping import (
    clip_factor,
    max_norm_phase,
    update_clipped,
)
from skmlp.backends.cpu.kernels.update import (
    is_penalized,
    param_range,
    sum_of,
)
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit


@jit.inline
def _penalize_phase(worker, ctx, gradient, l2):
    """Copy every range of the gradient, add the penalty's, and sum the squares."""
    ws, params = ctx.ws, ctx.params
    T = params.dtype.type
    index = next_item(worker, ws.param_ranges.shape[0])
    while index < ws.param_ranges.shape[0]:
        part = param_range(ws, index)
        source = vector(gradient, part.start, part.size)
        target = vector(ws.gradient, part.start, part.size)
        values = vector(params, part.start, part.size)
        factor = l2 if is_penalized(part) else T(0)
        grad_squares, squares = T(0), T(0)
        for j in range(part.size):
            value = source[j] + factor * values[j]
            target[j] = value
            grad_squares += value * value
            squares += values[j] * values[j]
        ws.grad_sq_sums[index] = grad_squares
        ws.param_sq_sums[index] = squares if is_penalized(part) else 0.0
        index = next_item(worker, ws.param_ranges.shape[0])


@jit.inline
def _update_phase(worker, ctx, update, norm):
    """The optimizer step on every range, by the clipped gradient."""
    ws = ctx.ws
    factor = clip_factor(ctx, norm)
    beginning = ws.partial_grads.shape[0] - ws.gradient.shape[0]
    index = next_item(worker, ws.param_ranges.shape[0])
    while index < ws.param_ranges.shape[0]:
        part = param_range(ws, index)
        update_clipped(ctx, part, beginning + part.start, factor, update, 0)
        index = next_item(worker, ws.param_ranges.shape[0])


@jit.kernel
def apply_gradient(worker, ctx, update, gradient, n_rows, result):
    """One step by the gradient of a minibatch of `n_rows` rows, without the penalty.

    `result` becomes the sum of the penalized squares before the step, and the norm of
    the gradient, the penalty's included.
    """
    ws = ctx.ws
    l2 = ctx.params.dtype.type(update.l2 / n_rows)
    _penalize_phase(worker, ctx, gradient, l2)
    if not barrier(worker):
        return
    norm = np.sqrt(sum_of(ws.grad_sq_sums, ws.param_ranges.shape[0]))
    if worker.worker_id == 0:
        result[0] = sum_of(ws.param_sq_sums, ws.param_ranges.shape[0])
        result[1] = norm
    _update_phase(worker, ctx, update, norm)
    if not barrier(worker):
        return
    if ctx.reg.max_norm_fn != 0:
        max_norm_phase(worker, ctx)
        if not barrier(worker):
            return
