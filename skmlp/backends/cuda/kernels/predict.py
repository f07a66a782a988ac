"""Kernels for predictions: outputs of rows of X, and losses of raw outputs.

Two kernels predict, and take the same arguments. `predicting` is for wide networks: a
cooperative grid brings all rows through one layer after the other.

`predicting_fused` is for narrow networks, where arithmetic is not what that kernel
spends its time on: every layer's outputs go to memory and come back, and the whole grid
waits for its last block in between. In the fused kernel a block takes the rows of a
tile from X to the predictions. Its layers' outputs stay in its shared memory, in two
buffers by turns; weights come from the cache, where one block finds what another has
read.

The fused kernel runs the phases of all other kernels (see `passes`) on a group of one
block whose workspace is in shared memory: there is no second copy of a rule. Each
element of a product is added up along the inner dimension in the same order, whatever
the tile, and sums over a row's units are those of a warp in both kernels. So both
predict the same bits, and `plan` is free to choose.
"""

import functools
import math

from numba import cuda

from skmlp.backends.cuda.kernels import losses, passes, reductions
from skmlp.backends.cuda.kernels.structs import Batch, TrainContext, Workspace
from skmlp.backends.cuda.runtime.jit import device, kernel, rule, scalar_type


def _by_elements(spec, row):
    """An elementwise output activation."""
    threads, value = spec.tile.threads, rule(row.value)

    def compute(group, ctx, batch, out):
        net, ws = ctx.net, ctx.ws
        last = net.sizes.shape[0] - 2
        columns, biases = net.sizes[last + 1], net.bias_offsets[last]
        start = batch.first * columns
        first = group.block_id * threads + cuda.threadIdx.x
        for e in range(first, batch.n_rows * columns, group.n_blocks * threads):
            bias = ctx.params[biases + e % columns]
            out[start + e] = value(ws.outputs[ws.offsets[last + 1] + e] + bias)

    return device(compute)


def _softmax(spec):
    """Softmax of every row: a warp a row."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    lanes = reductions.lanes_of(threads)
    warps = threads // lanes
    warp_sum, warp_max = reductions.warp_sum(threads), reductions.warp_max(threads)

    def compute(group, ctx, batch, out):
        net, ws, params = ctx.net, ctx.ws, ctx.params
        last = net.sizes.shape[0] - 2
        columns, biases = net.sizes[last + 1], net.bias_offsets[last]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        first = warp * group.n_blocks + group.block_id
        for i in range(first, batch.n_rows, warps * group.n_blocks):
            start = ws.offsets[last + 1] + i * columns
            target = (batch.first + i) * columns
            largest = scalar(-math.inf)
            for j in range(lane, columns, lanes):
                largest = max(largest, ws.outputs[start + j] + params[biases + j])
            largest = warp_max(largest)
            total = type(largest)(0)
            for j in range(lane, columns, lanes):
                z = ws.outputs[start + j] + params[biases + j]
                e = math.exp(z - largest)
                out[target + j] = e
                total += e
            total = warp_sum(total)
            for j in range(lane, columns, lanes):
                out[target + j] /= total

    return device(compute)


def output(spec, row):
    """The output activation, after the last layer's biases.

    ``output(group, ctx, batch, out)``: writes the predictions of a batch's rows.
    """
    return _softmax(spec) if row.value is None else _by_elements(spec, row)


def sum_of_x(spec):
    """Adds elements of X to sums by warp: these are not finite where X is not."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)

    def compute(group, x, sums):
        first = group.block_id * threads + cuda.threadIdx.x
        total = scalar(0)
        for e in range(first, x.shape[0], group.n_blocks * threads):
            total += x[e]
        total = warp_sum(total)
        if first % lanes == 0:
            sums[first // lanes] += total

    return device(compute)


@functools.lru_cache(maxsize=64)
def predicting(spec, row):
    """The kernel that predicts layer by layer, with an output activation.

    Its arguments: `TrainContext`, the number of rows, the array of the outputs, the
    elements of X to check, and the sums that these are added to, one a warp.
    """
    scalar, smem_size = scalar_type(spec.dtype), spec.tile.smem_size
    forward = passes.forward_pass(spec, reductions.grid_barrier)
    finish, sum_up = output(spec, row), sum_of_x(spec)

    def predict(ctx, n_rows, out, checked_x, sums):
        smem = cuda.shared.array(smem_size, scalar, alignment=16)
        group = reductions.grid_group()
        batch = Batch(
            range_index=0, first=0, n_rows=n_rows, step_index=0, scale=scalar(1)
        )
        sum_up(group, checked_x, sums)
        forward(group, ctx, batch, smem)
        finish(group, ctx, batch, out)

    return kernel(predict, spec, row)


@device
def _in_shared_memory(ctx, outputs):
    """The context with a workspace that has nothing but outputs and their offsets."""
    none = ctx.ws.outputs
    ws = Workspace(
        offsets=ctx.ws.offsets,
        outputs=outputs,
        deltas=none,
        preactivations=none,
        normalized=none,
        inv_std=none,
        norm_grad_sums=none,
        gradient=none,
        losses=none,
        weight_sq_sums=none,
        grad_sq_sums=none,
        n_partials=0,
        batch_size=0,
    )
    return TrainContext(
        net=ctx.net, data=ctx.data, ws=ws, reg=ctx.reg, params=ctx.params
    )


@functools.lru_cache(maxsize=64)
def predicting_fused(spec, row):
    """The kernel that predicts in shared memory, with an output activation.

    Its arguments are those of `predicting`. Of the workspace it uses the offsets, which
    let layers take turns in the dynamic shared memory.
    """
    scalar, smem_size = scalar_type(spec.dtype), spec.tile.smem_size
    tile_rows, barrier = spec.tile.width, reductions.block_barrier
    forward = passes.forward_pass(spec, barrier)
    finish, sum_up = output(spec, row), sum_of_x(spec)

    def predict(ctx, n_rows, out, checked_x, sums):
        smem = cuda.shared.array(smem_size, scalar, alignment=16)
        fused = _in_shared_memory(ctx, cuda.shared.array(0, scalar))
        grid, group = reductions.grid_group(), reductions.single_block()
        sum_up(grid, checked_x, sums)
        for first in range(
            grid.block_id * tile_rows, n_rows, grid.n_blocks * tile_rows
        ):
            batch = Batch(
                range_index=0,
                first=first,
                n_rows=min(tile_rows, n_rows - first),
                step_index=0,
                scale=scalar(1),
            )
            forward(group, fused, batch, smem)
            finish(group, fused, batch, out)
            barrier()

    return kernel(predict, spec, row)


@functools.lru_cache(maxsize=64)
def evaluating(spec, row):
    """The kernel for raw outputs: their losses by row, and their predictions.

    Its arguments: `TrainContext` of a network of one layer whose biases are zero, with
    the raw outputs in its workspace; the number of rows; the array of the predictions.
    """
    finish, loss = output(spec, row), losses.loss(spec)
    scalar = scalar_type(spec.dtype)

    def evaluate(ctx, n_rows, out):
        group = reductions.grid_group()
        batch = Batch(
            range_index=0, first=0, n_rows=n_rows, step_index=0, scale=scalar(1)
        )
        finish(group, ctx, batch, out)
        reductions.grid_barrier()
        loss(group, ctx, batch)

    return kernel(evaluate, spec, row)
