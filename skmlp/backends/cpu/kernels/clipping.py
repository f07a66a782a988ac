"""Training with a limit to the norm of the gradient, or of a unit's weights.

Both need all of a step's slabs before they can go on: the gradient's norm before any
weight is changed, a unit's norm after all of its weights were. So phase 2 of `kernels`
becomes up to three, with a barrier after each. It is a kernel of its own, because most
trainings have no such limits and need not wait for its compilation.
"""

import numpy as np

from skmlp.backends.cpu.intrinsics import matrix, vector
from skmlp.backends.cpu.kernels.forward_backward import blocks_of, rows_phase
from skmlp.backends.cpu.kernels.regularization import call_limit, call_penalize
from skmlp.backends.cpu.kernels.train import bounds
from skmlp.backends.cpu.kernels.update import (
    gradient_at,
    is_penalized,
    renew_transposed,
    slab_gradient,
    sum_of,
    update_slab,
)
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit


@jit.inline
def _gradient_phase(worker, layers, data, room, extras, parameters, rows, step):
    """Gradient of every slab, the penalty's included, and its squares."""
    kind = parameters.dtype.type
    n_rows = rows.shape[0]
    decay = kind(step.decay / n_rows)
    item = next_item(worker, room.slabs.shape[0])
    while item < room.slabs.shape[0]:
        slab = room.slabs[item]
        slab_gradient(slab, layers, data, room, rows, 0)
        penalized = is_penalized(slab)
        squares = call_penalize(
            extras.penalize,
            (
                vector(room.sums, gradient_at(slab, room, n_rows), slab[1]),
                vector(parameters, slab[0], slab[1]),
                decay if penalized else kind(0),
                vector(room.norms, item, 1),
            ),
        )
        room.squares[item] = squares if penalized else 0.0
        item = next_item(worker, room.slabs.shape[0])


@jit.inline
def _update_phase(worker, layers, room, extras, parameters, n_rows, step, number):
    """The optimizer's step on every slab, by the gradient made shorter."""
    norm = np.sqrt(sum_of(room.norms, room.slabs.shape[0]))
    too_long = norm > extras.max_grad_norm
    share = parameters.dtype.type(extras.max_grad_norm / norm if too_long else 1.0)
    item = next_item(worker, room.slabs.shape[0])
    while item < room.slabs.shape[0]:
        slab = room.slabs[item]
        start = gradient_at(slab, room, n_rows)
        gradient = vector(room.sums, start, slab[1])
        for i in range(gradient.shape[0]):
            gradient[i] *= share
        none = parameters.dtype.type(0)
        update_slab(slab, layers, room, parameters, start, step, number, none)
        item = next_item(worker, room.slabs.shape[0])


@jit.inline
def _weights_phase(worker, layers, room, extras, parameters):
    """Shrink the weights of every unit to their largest norm, a layer an item."""
    sizes = layers.sizes
    layer = next_item(worker, sizes.shape[0] - 1)
    while layer < sizes.shape[0] - 1:
        fan_in, fan_out = sizes[layer], sizes[layer + 1]
        start = layers.weights[layer]
        weights = matrix(parameters, start, fan_in, fan_out)
        # The gradient has been used up.
        scratch = vector(room.gradient, start, fan_out)
        largest = parameters.dtype.type(extras.max_norm)
        call_limit(extras.limit, (weights, scratch, largest))
        if layer > 0:
            renew_transposed(layer, 0, fan_in, layers, room, parameters)
        layer = next_item(worker, sizes.shape[0] - 1)


@jit.inline
def finish_limited(
    worker, layers, data, room, extras, parameters, rows, step, number, loss
):
    """As `kernels.finish_batch`, with limits of norms."""
    n_blocks = blocks_of(room, rows.shape[0])
    if worker.worker_id == 0:
        loss[0] += rows.shape[0] * sum_of(room.losses, n_blocks)
    _gradient_phase(worker, layers, data, room, extras, parameters, rows, step)
    if not barrier(worker):
        return False
    n_rows = rows.shape[0]
    _update_phase(worker, layers, room, extras, parameters, n_rows, step, number)
    if not barrier(worker):
        return False
    if worker.worker_id == 0:
        loss[0] += 0.5 * step.decay * sum_of(room.squares, room.slabs.shape[0])
    if extras.limit != 0:
        _weights_phase(worker, layers, room, extras, parameters)
        return barrier(worker)
    return True


@jit.kernel
def train_limited(worker, layers, data, room, extras, parameters, step, span, result):
    """As `kernels.train`, with limits of norms."""
    for b in range(span.first, span.last):
        first, end, epoch = bounds(span, b)
        rows = span.order[first:end]
        scale = parameters.dtype.type(span.weight / rows.shape[0])
        rows_phase(
            worker, layers, data, room, extras, parameters, rows, scale, span.steps + b
        )
        if not barrier(worker):
            return
        if not finish_limited(
            *(worker, layers, data, room, extras, parameters, rows, step),
            *(b - span.first, vector(result, epoch, 1)),
        ):
            return
