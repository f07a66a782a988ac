"""Persistent kernels: one cooperative launch trains on all minibatches of a range.

At the sizes of networks for tabular data a launch costs more than the arithmetic of a
minibatch. So the grid stays resident, as many blocks as run at once, and its threads
wait at a grid barrier after each phase:

  1. each layer forward, with its normalization or softmax where there is one;
  2. the loss;
  3. each layer backward (see `passes.backward_pass`).

Losses are stored by row and squares as partial sums, and added up at the end in the
order of their index, so results do not depend on the number of blocks.
"""

import functools

from numba import cuda

from skmlp.backends.cuda.kernels import clipping, losses, reductions
from skmlp.backends.cuda.kernels.passes import backward_pass, forward_pass
from skmlp.backends.cuda.kernels.reductions import grid_barrier, grid_group
from skmlp.backends.cuda.kernels.structs import Batch
from skmlp.backends.cuda.runtime.jit import device, kernel, scalar_type


def _end_of_step(spec, barrier):
    """Gradient clipping and the max-norm constraint.

    The first has to wait for the whole gradient, the second for all weights.
    """
    clips_gradient, clips_weights = spec.clips_gradient, spec.clips_weights
    bias_sq_sums = clipping.bias_sq_sums(spec)
    update_all = clipping.update_all(spec)
    clip_weights = clipping.clip_weights(spec)

    def compute(group, ctx, batch, update):
        barrier()
        if clips_gradient:
            bias_sq_sums(group, ctx)
            barrier()
            update_all(group, ctx, batch, update)
            barrier()
        if clips_weights:
            clip_weights(group, ctx)
            barrier()

    return device(compute)


def _batch_bounds(index, batch_size, epoch_rows):
    per_epoch = (epoch_rows + batch_size - 1) // batch_size
    epoch = index // per_epoch
    before = (index - epoch * per_epoch) * batch_size
    return epoch * epoch_rows + before, min(batch_size, epoch_rows - before)


@functools.cache
def batch_bounds():
    """First row in a range's `row_ids`, and number of rows, of a batch by its index.

    ``bounds(index, batch_size, epoch_rows)``: in a range of several epochs the last
    batch of each may have fewer rows than the others.
    """
    return device(_batch_bounds)


def totals(spec):
    """Sums by batch of the rows' losses and the squares of the weights: a warp a batch.

    ``compute(group, ws, batches, result)``: of batch b, ``result[2 * b]`` becomes the
    loss and ``result[2 * b + 1]`` the sum of squares.
    """
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps, bounds = threads // lanes, batch_bounds()

    def compute(group, ws, batches, result):
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        first_batch = warp * group.n_blocks + group.block_id
        for b in range(first_batch, batches.n_batches, warps * group.n_blocks):
            loss, squares = scalar(0), scalar(0)
            first, n_rows = bounds(b, ws.batch_size, batches.epoch_rows)
            for i in range(first + lane, first + n_rows, lanes):
                loss += ws.losses[i]
            # The last partial sums, a block's warps, are not of weights.
            start = b * ws.n_partials
            end = start + ws.n_partials - warps
            for i in range(start + lane, end, lanes):
                squares += ws.weight_sq_sums[i]
            loss, squares = warp_sum(loss), warp_sum(squares)
            if lane == 0:
                result[2 * b] = loss
                result[2 * b + 1] = squares

    return device(compute)


@functools.lru_cache(maxsize=64)
def training(spec):
    """The persistent kernel that trains on the batches of a range.

    Its arguments: `TrainContext`, `UpdateParams`, `BatchRangeSizes`, and the array for
    each batch's loss and sum of the squares of its weights (see `totals`).
    """
    scalar, index_type = scalar_type(spec.dtype), scalar_type("int64")
    smem_size, threads = spec.tile.smem_size, spec.tile.threads
    n_row_starts = threads if spec.sparse else 1
    forward = forward_pass(spec, grid_barrier)
    backward = backward_pass(spec, grid_barrier)
    loss, end_of_step = losses.loss(spec), _end_of_step(spec, grid_barrier)
    sum_up, bounds = totals(spec), batch_bounds()

    def train(ctx, update, batches, result):
        smem = cuda.shared.array(smem_size, scalar, alignment=16)
        row_starts = cuda.shared.array(n_row_starts, index_type)
        group = grid_group()
        for index in range(batches.n_batches):
            first, n_rows = bounds(index, ctx.ws.batch_size, batches.epoch_rows)
            batch = Batch(
                range_index=index,
                first=first,
                n_rows=n_rows,
                step_index=batches.first_step_index + index,
                scale=update.inv_mean_weight / scalar(n_rows),
            )
            forward(group, ctx, batch, smem)
            loss(group, ctx, batch)
            grid_barrier()
            backward(group, ctx, batch, update, smem, row_starts)
            end_of_step(group, ctx, batch, update)
        sum_up(group, ctx.ws, batches, result)

    return kernel(train, spec)


@functools.lru_cache(maxsize=64)
def differentiating(spec):
    """The persistent kernel that sums loss and gradient over the batches of a range.

    Its arguments are those of `training`. It adds to the gradient in the workspace,
    which the caller sets to zero first, and takes ``update.inv_mean_weight`` as the
    factor of the sample weights.
    """
    scalar, index_type = scalar_type(spec.dtype), scalar_type("int64")
    smem_size, threads = spec.tile.smem_size, spec.tile.threads
    n_row_starts = threads if spec.sparse else 1
    forward = forward_pass(spec, grid_barrier)
    backward = backward_pass(spec, grid_barrier)
    loss, sum_up, bounds = losses.loss(spec), totals(spec), batch_bounds()

    def differentiate(ctx, update, batches, result):
        smem = cuda.shared.array(smem_size, scalar, alignment=16)
        row_starts = cuda.shared.array(n_row_starts, index_type)
        group = grid_group()
        for index in range(batches.n_batches):
            first, n_rows = bounds(index, ctx.ws.batch_size, batches.epoch_rows)
            batch = Batch(
                range_index=index,
                first=first,
                n_rows=n_rows,
                step_index=0,
                scale=update.inv_mean_weight,
            )
            forward(group, ctx, batch, smem)
            loss(group, ctx, batch)
            grid_barrier()
            backward(group, ctx, batch, update, smem, row_starts)
            grid_barrier()
        sum_up(group, ctx.ws, batches, result)

    return kernel(differentiate, spec)
