"""The optimizer's step by a whole gradient, and limits of norms.

Where the gradient's norm is limited, no parameter may change before all of the gradient
is known; norms of a unit's weights are limited once all of them have changed.
"""

import math

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, reductions
from skmlp.backends.cuda.runtime.jit import device, scalar_type


def _limited_share(spec):
    """What the gradient is multiplied by, from the partial sums of its squares."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)

    def share(extras, norms, n):
        total = kind(0)
        for i in range(cuda.threadIdx.x % lanes, n, lanes):
            total += norms[i]
        norm = math.sqrt(total_of(total))
        if norm > extras.max_grad_norm:
            return extras.max_grad_norm / norm
        return kind(1)

    return device(share)


def bias_squares(spec):
    """Partial sums of squares of the gradient of all that is not penalized."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps = threads // lanes

    def compute(team, net, room, trained):
        tid = cuda.threadIdx.x
        if team[0] == 0:
            total = kind(0)
            for place in range(net.biases[0] + tid, trained, threads):
                total += room.gradient[place] * room.gradient[place]
            total = total_of(total)
            if tid % lanes == 0:
                room.norms[room.n_partials - warps + tid // lanes] = total

    return device(compute)


def fold_norms(spec):
    """Adds up the partial sums of squares of the gradient into the first of them.

    For one block; `update_all` then finds a single one in the room, where it would
    otherwise add them up in every thread.
    """
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps = threads // lanes

    def compute(room):
        sums = cuda.shared.array(warps, scalar)
        tid = cuda.threadIdx.x
        total = scalar(0)
        for i in range(tid, room.n_partials, threads):
            total += room.norms[i]
        total = total_of(total)
        if tid % lanes == 0:
            sums[tid // lanes] = total
        cuda.syncthreads()
        if tid == 0:
            for warp in range(1, warps):
                total += sums[warp]
            room.norms[0] = total

    return device(compute)


def update_all(spec):
    """The optimizer's step on every parameter, by the stored gradient."""
    threads, limits = spec.tile.threads, spec.limits_gradient
    kind = scalar_type(spec.dtype)
    change, share_of = elementwise.update(spec), _limited_share(spec)

    def compute(team, net, room, extras, batch, parameters, step, trained):
        share = kind(1)
        if limits:
            share = share_of(extras, room.norms, room.n_partials)
        shrink = step.rates[4 * batch.number]
        first = team[0] * threads + cuda.threadIdx.x
        for place in range(first, trained, team[1] * threads):
            gradient = share * room.gradient[place]
            own = shrink if place < net.biases[0] else type(shrink)(0)
            change(parameters, step, batch.number, np.uint64(place), gradient, own)

    return device(compute)


def limit_weights(spec):
    """Shrink the incoming weights of every unit to a norm: a unit a thread."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)

    def compute(team, net, extras, parameters):
        for layer in range(net.sizes.shape[0] - 1):
            fan_in, units = net.sizes[layer], net.sizes[layer + 1]
            first = team[0] * threads + cuda.threadIdx.x
            for column in range(first, units, team[1] * threads):
                total = kind(0)
                start = net.weights[layer] + column
                for i in range(fan_in):
                    weight = parameters[start + i * units]
                    total += weight * weight
                norm = math.sqrt(total)
                if norm > extras.max_norm:
                    for i in range(fan_in):
                        parameters[start + i * units] *= extras.max_norm / norm

    return device(compute)
