"""The training kernel: minibatches, and the gradient over all rows for L-BFGS.

Every worker of a thread pool runs the same kernel (see `threads.pool`). A minibatch has
two phases, each a set of numbered items, with a barrier after each:

  1. row blocks: gather, forward pass, loss, deltas back to the first layer, and where
     the weights are few, their partial gradient by these rows;
  2. parameter ranges: gradient over the whole batch, or the reduction of the partial
     gradients, then the optimizer step on that range while it is in the cache.

A core fetches data that another core has written at a tenth of its own cache's speed.
So the smaller of the two is handed over: the layers' outputs, or partial gradients.

Row blocks and ranges are cut by the batch's shape and partial losses are summed in
order, so results do not depend on the number of threads.

Kernels neither raise nor allocate: Python allocates before, and checks results after.
"""

from skmlp.backends.cpu.intrinsics import min_int, vector
from skmlp.backends.cpu.kernels.forward_backward import n_row_blocks, rows_phase
from skmlp.backends.cpu.kernels.update import (
    param_range,
    range_gradient,
    sum_of,
    update_phase,
)
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit


@jit.inline
def batch_bounds(batches, b):
    """Bounds of batch b in the order, its epoch, and whether it is that's first."""
    per_epoch = (batches.n_rows + batches.batch_size - 1) // batches.batch_size
    epoch = b // per_epoch
    first = epoch * batches.n_rows + (b - epoch * per_epoch) * batches.batch_size
    end = min_int(first + batches.batch_size, (epoch + 1) * batches.n_rows)
    return first, end, epoch, first == epoch * batches.n_rows


@jit.inline
def finish_batch(worker, ctx, row_ids, update, i, is_first, sums):
    """Phase 2 of a minibatch, the i-th of this call; False when the work is aborted.

    Adds the batch's loss times its rows to the first element of `sums`. The second
    becomes the square of the gradient's norm, if it is the first batch of an epoch.
    """
    ws = ctx.ws
    n_blocks = n_row_blocks(ws, row_ids.shape[0])
    if worker.worker_id == 0:
        sums[0] += row_ids.shape[0] * sum_of(ws.losses, n_blocks)
    update_phase(worker, ctx, row_ids, update, i, is_first)
    if not barrier(worker):
        return False
    if worker.worker_id == 0:
        squares = sum_of(ws.param_sq_sums, ws.param_ranges.shape[0])
        sums[0] += 0.5 * update.l2 * squares
        if is_first:
            sums[1] = sum_of(ws.grad_sq_sums, ws.param_ranges.shape[0])
    return True


@jit.kernel
def train(worker, ctx, update, batches, result):
    """Train on some batches; adds their loss times their rows to their epoch's result.

    An epoch has two elements there: that sum, and the square of the norm of its first
    batch's gradient, the penalty's included, before clipping.

    The loss of a batch is that before its update, L2 term included. Batches are added
    to an epoch's sum one by one: the bits do not depend on how epochs are cut into
    calls.
    """
    for b in range(batches.first_batch, batches.last_batch):
        first, end, epoch, is_first = batch_bounds(batches, b)
        row_ids = batches.order[first:end]
        scale = ctx.params.dtype.type(batches.inv_mean_weight / row_ids.shape[0])
        rows_phase(worker, ctx, row_ids, scale, batches.step_offset + b)
        if not barrier(worker):
            return
        i = b - batches.first_batch
        sums = vector(result, 2 * epoch, 2)
        if not finish_batch(worker, ctx, row_ids, update, i, is_first, sums):
            return


@jit.inline
def add_gradient(worker, ctx, row_ids, result):
    """Add a batch's gradient to `Workspace.gradient`, and its loss to `result[0]`.

    After phase 1; False when the work is aborted.
    """
    ws = ctx.ws
    if worker.worker_id == 0:
        result[0] += sum_of(ws.losses, n_row_blocks(ws, row_ids.shape[0]))
    item = next_item(worker, ws.param_ranges.shape[0])
    while item < ws.param_ranges.shape[0]:
        range_gradient(ctx, param_range(ws, item), row_ids, 1)
        item = next_item(worker, ws.param_ranges.shape[0])
    return barrier(worker)


@jit.kernel
def differentiate(worker, ctx, batches, result):
    """Loss and gradient over batches of an order, without the penalty.

    For L-BFGS, or for a share of a minibatch. The batches only bound the memory: the
    sums run over all of them, into `Workspace.gradient`, which the caller has set to
    zero, and into result[0].
    """
    scale = ctx.params.dtype.type(batches.inv_mean_weight / batches.n_rows)
    for b in range(batches.first_batch, batches.last_batch):
        first, end, _, _ = batch_bounds(batches, b)
        row_ids = batches.order[first:end]
        rows_phase(worker, ctx, row_ids, scale, batches.step_offset)
        if not barrier(worker):
            return
        if not add_gradient(worker, ctx, row_ids, result):
            return
