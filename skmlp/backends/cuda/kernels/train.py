"""The kernels that train: one launch for all the minibatches of a span.

A launch costs more than the arithmetic of a minibatch at the sizes that tables of
numbers are learnt with. So the grid stays where it is, as many blocks as run at once,
and its threads meet after each phase:

  1. each layer forward, with what a normalization or a softmax adds;
  2. the loss;
  3. each layer back. The gradient of a layer's weights, and the optimizer's step on
     them, share a phase with the deltas of the layer below, since the weights are not
     read any more.

Losses are kept by row and squares by part, and added up at the end in the order of
their place, so that results do not depend on the number of blocks.
"""

import functools

from numba import cuda

from skmlp.backends.cuda.kernels import clipping, losses, reductions
from skmlp.backends.cuda.kernels.passes import back_way, forward_way
from skmlp.backends.cuda.kernels.structs import Batch
from skmlp.backends.cuda.runtime.jit import device, kernel, scalar_type


def _end_of_step(spec, meet):
    """What has to wait for the whole gradient, or for all weights."""
    limits_gradient, limits_weights = spec.limits_gradient, spec.limits_weights
    bias_squares = clipping.bias_squares(spec)
    update_all = clipping.update_all(spec)
    limit_weights = clipping.limit_weights(spec)

    def compute(team, net, room, extras, batch, parameters, step, trained):
        meet()
        if limits_gradient:
            bias_squares(team, net, room, trained)
            meet()
            update_all(team, net, room, extras, batch, parameters, step, trained)
            meet()
        if limits_weights:
            limit_weights(team, net, extras, parameters)
            meet()

    return device(compute)


def _place_of_batch(number, batch_rows, epoch_rows):
    each = (epoch_rows + batch_rows - 1) // batch_rows
    epoch = number // each
    before = (number - epoch * each) * batch_rows
    return epoch * epoch_rows + before, min(batch_rows, epoch_rows - before)


@functools.cache
def place_of_batch():
    """First row in a span's order, and rows, of a batch by its number.

    ``place(number, batch_rows, epoch_rows)``: of a span of several epochs each ends
    with a batch of fewer rows, where they cannot be divided.
    """
    return device(_place_of_batch)


def totals(spec):
    """Sums by batch of the rows' losses and the squares of the weights, by warps."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps, place = threads // lanes, place_of_batch()

    def compute(team, room, span, result):
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        for b in range(warp * team[1] + team[0], span[1], warps * team[1]):
            loss, squares = kind(0), kind(0)
            first, n = place(b, span[0], span[4])
            for i in range(first + lane, first + n, lanes):
                loss += room.losses[i]
            start = b * room.n_partials
            end = start + room.n_partials - warps
            for i in range(start + lane, end, lanes):
                squares += room.squares[i]
            loss, squares = total_of(loss), total_of(squares)
            if lane == 0:
                result[2 * b] = loss
                result[2 * b + 1] = squares

    return device(compute)


def _batch(spec):
    """A batch of the span by its number."""
    kind, place = scalar_type(spec.dtype), place_of_batch()

    def make(step, span, number):
        first, n = place(number, span[0], span[4])
        return Batch(number, first, n, span[2] + number, step.weight / kind(n))

    return device(make)


@functools.lru_cache(maxsize=64)
def training(spec):
    """The kernel that trains on the batches of a span.

    Its arguments: `Net`, `Data`, `Room`, `Extras`, the parameters, `Step`; rows of a
    batch, number of batches, number of the first step, number of trained parameters,
    rows of an epoch's part of the span; and where to put each batch's loss and the sum
    of the squares of its weights.
    """
    scalar, tile = scalar_type(spec.dtype), spec.tile
    buffer, threads = tile.buffer, tile.threads
    n_starts = threads if spec.sparse else 1
    meet = reductions.meet_in_grid
    way_forward, way_back = forward_way(spec, meet), back_way(spec, meet)
    loss, end_of_step = losses.loss(spec), _end_of_step(spec, meet)
    total, batch_of = totals(spec), _batch(spec)
    index = scalar_type("int64")

    def train(net, data, room, extras, parameters, step, span, result):
        strips = cuda.shared.array(buffer, scalar, alignment=16)
        starts = cuda.shared.array(n_starts, index)
        team = (cuda.blockIdx.x, cuda.gridDim.x)
        for number in range(span[1]):
            batch = batch_of(step, span, number)
            way_forward(team, net, data, room, extras, batch, parameters, strips)
            loss(team, net, data, room, batch, parameters)
            meet()
            way_back(
                *(team, net, data, room, extras, batch, parameters, step),
                *(strips, starts),
            )
            end_of_step(team, net, room, extras, batch, parameters, step, span[3])
        total(team, room, span, result)

    return kernel(train, spec)


@functools.lru_cache(maxsize=64)
def differentiating(spec):
    """The kernel that adds up loss and gradient over the batches of a span.

    Its arguments are those of `training`; the gradient, which the caller has set to
    zero, is added to, and rows are weighted by ``step.weight`` as it is.
    """
    scalar, tile = scalar_type(spec.dtype), spec.tile
    buffer, threads = tile.buffer, tile.threads
    n_starts = threads if spec.sparse else 1
    meet = reductions.meet_in_grid
    way_forward, way_back = forward_way(spec, meet), back_way(spec, meet)
    loss, total, place = losses.loss(spec), totals(spec), place_of_batch()
    index = scalar_type("int64")

    def differentiate(net, data, room, extras, parameters, step, span, result):
        strips = cuda.shared.array(buffer, scalar, alignment=16)
        starts = cuda.shared.array(n_starts, index)
        team = (cuda.blockIdx.x, cuda.gridDim.x)
        for number in range(span[1]):
            first, n = place(number, span[0], span[4])
            batch = Batch(number, first, n, 0, step.weight)
            way_forward(team, net, data, room, extras, batch, parameters, strips)
            loss(team, net, data, room, batch, parameters)
            meet()
            way_back(
                *(team, net, data, room, extras, batch, parameters, step),
                *(strips, starts),
            )
            meet()
        total(team, room, span, result)

    return kernel(differentiate, spec)
