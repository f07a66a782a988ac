"""The kernels: minibatch training, and the gradient over all rows.

Every member of a team runs the same kernel (see `team`). A minibatch has two phases,
each a set of numbered items, with a barrier after each:

  1. blocks of rows: gather, forward, loss, deltas back to the first layer, and where
     the weights are few, their gradient by these rows;
  2. slabs of the weight matrices: gradient over the whole batch, or the sum of the
     blocks' gradients, then the optimizer's step on that slab while it is in the cache.

A core fetches what another one has written at a tenth of its own cache's speed. So the
smaller of the two is handed over: what the layers put out, or the blocks' gradients.

Rows and slabs are cut by the batch's shape, partial losses are summed in order, so
the results do not depend on the number of threads.

Kernels neither raise nor allocate: Python has allocated, and checks the results.
"""

from skmlp.backends.cpu.intrinsics import min_int, vector
from skmlp.backends.cpu.kernels.forward_backward import blocks_of, rows_phase
from skmlp.backends.cpu.kernels.update import slab_gradient, slabs_phase, sum_of
from skmlp.backends.cpu.threads.pool import barrier, next_item
from skmlp.compiler import jit


@jit.inline
def bounds(span, b):
    """Of a batch the first row in the order, the one after its last, and the epoch."""
    per_epoch = (span.rows + span.batch - 1) // span.batch
    epoch = b // per_epoch
    first = epoch * span.rows + (b - epoch * per_epoch) * span.batch
    return first, min_int(first + span.batch, (epoch + 1) * span.rows), epoch


@jit.inline
def finish_batch(worker, layers, data, room, parameters, rows, step, number, loss):
    """Phase 2 of a minibatch; false when the work was called off.

    To loss, an array of one, the batch's is added, times its rows.
    """
    n_blocks = blocks_of(room, rows.shape[0])
    if worker.worker_id == 0:
        loss[0] += rows.shape[0] * sum_of(room.losses, n_blocks)
    slabs_phase(worker, layers, data, room, parameters, rows, step, number)
    if not barrier(worker):
        return False
    if worker.worker_id == 0:
        loss[0] += 0.5 * step.decay * sum_of(room.squares, room.slabs.shape[0])
    return True


@jit.kernel
def train(worker, layers, data, room, extras, parameters, step, span, result):
    """Train on some batches; adds their loss times their rows to their epoch's result.

    The loss of a batch is that before its update, the L2 term included. To an epoch's
    sum one batch is added after the other: however epochs are cut into calls, the bits
    are the same.
    """
    for b in range(span.first, span.last):
        first, end, epoch = bounds(span, b)
        rows = span.order[first:end]
        scale = parameters.dtype.type(span.weight / rows.shape[0])
        rows_phase(
            worker, layers, data, room, extras, parameters, rows, scale, span.steps + b
        )
        if not barrier(worker):
            return
        if not finish_batch(
            *(worker, layers, data, room, parameters, rows, step, b - span.first),
            vector(result, epoch, 1),
        ):
            return


@jit.kernel
def differentiate(worker, layers, data, room, extras, parameters, span, result):
    """Loss and gradient over batches of an order, without the penalty.

    The batches only bound the memory: the sums run over all of them, into
    room.gradient, which the caller has set to zero, and into result[0].
    """
    scale = parameters.dtype.type(span.weight / span.rows)
    for b in range(span.first, span.last):
        first, end, _ = bounds(span, b)
        rows = span.order[first:end]
        n_blocks = rows_phase(
            worker, layers, data, room, extras, parameters, rows, scale, 0
        )
        if not barrier(worker):
            return
        if worker.worker_id == 0:
            result[0] += sum_of(room.losses, n_blocks)
        item = next_item(worker, room.slabs.shape[0])
        while item < room.slabs.shape[0]:
            slab_gradient(room.slabs[item], layers, data, room, rows, 1)
            item = next_item(worker, room.slabs.shape[0])
        if not barrier(worker):
            return
