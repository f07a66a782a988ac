"""Gradient clipping by the global norm, and max-norm constraints on weights.

Where the gradient is clipped, no parameter may change before the whole gradient is
known: it is stored first, and `update_all` updates every parameter by it. The max-norm
constraint scales a unit's incoming weights once all of them have changed.
"""

import math

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, reductions
from skmlp.backends.cuda.runtime.jit import device, scalar_type


def _clip_factor(spec):
    """What the gradient is multiplied by, from the partial sums of its squares."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)

    def factor(reg, grad_sq_sums, n):
        total = scalar(0)
        for i in range(cuda.threadIdx.x % lanes, n, lanes):
            total += grad_sq_sums[i]
        norm = math.sqrt(warp_sum(total))
        if norm > reg.max_grad_norm:
            return reg.max_grad_norm / norm
        return scalar(1)

    return device(factor)


def bias_sq_sums(spec):
    """Partial sums of squares of the gradient of all that is not penalized."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps = threads // lanes

    def compute(group, ctx):
        tid, ws = cuda.threadIdx.x, ctx.ws
        if group.block_id == 0:
            total = scalar(0)
            first = ctx.net.bias_offsets[0]
            for offset in range(first + tid, ctx.net.n_trained, threads):
                total += ws.gradient[offset] * ws.gradient[offset]
            total = warp_sum(total)
            if tid % lanes == 0:
                ws.grad_sq_sums[ws.n_partials - warps + tid // lanes] = total

    return device(compute)


def fold_grad_sq_sums(spec):
    """Add up the partial sums of squares of the gradient into the first of them.

    For a kernel of one block. `update_all` then reads a single sum from the workspace,
    where it would otherwise add up all of them in every thread.
    """
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps = threads // lanes

    def compute(ws):
        warp_totals = cuda.shared.array(warps, scalar)
        tid = cuda.threadIdx.x
        total = scalar(0)
        for i in range(tid, ws.n_partials, threads):
            total += ws.grad_sq_sums[i]
        total = warp_sum(total)
        if tid % lanes == 0:
            warp_totals[tid // lanes] = total
        cuda.syncthreads()
        if tid == 0:
            for warp in range(1, warps):
                total += warp_totals[warp]
            ws.grad_sq_sums[0] = total

    return device(compute)


def update_all(spec):
    """The optimizer's update of every parameter, by the stored gradient."""
    threads, clips = spec.tile.threads, spec.clips_gradient
    scalar = scalar_type(spec.dtype)
    update_one, clip_factor = elementwise.update_one(spec), _clip_factor(spec)

    def compute(group, ctx, batch, update):
        ws, factor = ctx.ws, scalar(1)
        if clips:
            factor = clip_factor(ctx.reg, ws.grad_sq_sums, ws.n_partials)
        net, segment = ctx.net, 0
        first = group.block_id * threads + cuda.threadIdx.x
        for offset in range(first, net.n_trained, group.n_blocks * threads):
            gradient = factor * ws.gradient[offset]
            while offset >= net.segment_ends[segment]:
                segment += 1
            step = elementwise.step_of(net, batch, segment)
            update_one(ctx.params, update, step, np.uint64(offset), gradient)

    return device(compute)


def clip_weights(spec):
    """Scale every unit's incoming weights down to the max-norm: a thread a unit."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)

    def compute(group, ctx):
        net, params, max_norm = ctx.net, ctx.params, ctx.reg.max_norm
        for layer in range(net.sizes.shape[0] - 1):
            fan_in, units = net.sizes[layer], net.sizes[layer + 1]
            first = group.block_id * threads + cuda.threadIdx.x
            for column in range(first, units, group.n_blocks * threads):
                total = scalar(0)
                start = net.weight_offsets[layer] + column
                for i in range(fan_in):
                    weight = params[start + i * units]
                    total += weight * weight
                norm = math.sqrt(total)
                if norm > max_norm:
                    for i in range(fan_in):
                        params[start + i * units] *= max_norm / norm

    return device(compute)
