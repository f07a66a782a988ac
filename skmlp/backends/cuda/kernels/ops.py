"""Per-operation kernels: every phase of a minibatch in a kernel by itself.

The phases are those of the persistent kernels (see `train`). Launches on one stream run
in order, so no barrier is needed inside a kernel. Kernels read which batch is at work
from the cursor, and the last kernel of a step advances it: so one captured CUDA graph
serves every batch of a range.
"""

import functools

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import (
    backward,
    clipping,
    elementwise,
    embedding,
    forward,
    losses,
    normalization,
    reductions,
    train,
)
from skmlp.backends.cuda.kernels.structs import (
    CURSOR_BATCH,
    CURSOR_EPOCH_ROWS,
    CURSOR_FIRST_STEP,
    Batch,
)
from skmlp.backends.cuda.runtime.jit import device, kernel, scalar_type

# Weights of each thread of a block that stores one partial sum of their squares.
_WEIGHTS_PER_THREAD = 16


def weights_per_block(tile):
    """Weights that one block updates; a constant, which fixes the order of sums."""
    return _WEIGHTS_PER_THREAD * tile.threads


# Each function below makes ``phase(group, ctx, batch, update, layer, partial)``: all
# phases take the same arguments, for `operation` to call.


def _copy_rows(spec):
    copy_rows = forward.copy_rows(spec)
    return lambda group, ctx, batch, update, layer, partial: copy_rows(
        group, ctx, batch
    )


def _sparse_forward(spec):
    first_layer = forward.sparse_first_layer(spec)
    return lambda group, ctx, batch, update, layer, partial: first_layer(
        group, ctx, batch
    )


def _finish(spec):
    """Turn a hidden layer's product into its outputs, in place: a block a row."""
    threads, store = spec.tile.threads, forward.finish(spec)

    def phase(group, ctx, batch, update, layer, partial):
        units, ws = ctx.net.sizes[layer + 1], ctx.ws
        start = ws.offsets[layer + 1]
        for row in range(group.block_id, batch.n_rows, group.n_blocks):
            for column in range(cuda.threadIdx.x, units, threads):
                z = ws.outputs[np.uint64(start + row * units + column)]
                store(ctx, batch, layer, row, column, z)

    return phase


def _norm(spec):
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    norm = normalization.norm(spec)

    def phase(group, ctx, batch, update, layer, partial):
        smem = cuda.shared.array(threads, scalar)
        norm(group, ctx, batch, layer, smem)

    return phase


def _softmax(spec):
    softmax = normalization.softmax(spec)
    return lambda group, ctx, batch, update, layer, partial: softmax(
        group, ctx, batch, layer
    )


def _loss(spec):
    loss = losses.loss(spec)
    return lambda group, ctx, batch, update, layer, partial: loss(group, ctx, batch)


def _back_through(spec):
    """Turn a product into the deltas below a layer, in place: a block a row."""
    threads, back = spec.tile.threads, elementwise.back_through(spec)

    def phase(group, ctx, batch, update, layer, partial):
        units, ws = ctx.net.sizes[layer], ctx.ws
        start = ws.offsets[layer]
        for row in range(group.block_id, batch.n_rows, group.n_blocks):
            for column in range(cuda.threadIdx.x, units, threads):
                offset = np.uint64(start + row * units + column)
                delta = ws.deltas[offset]
                ws.deltas[offset] = back(ctx, batch, layer - 1, row, column, delta)

    return phase


def _softmax_back(spec):
    softmax_back = normalization.softmax_back(spec)
    return lambda group, ctx, batch, update, layer, partial: softmax_back(
        group, ctx, batch, layer
    )


def _norm_grad_sums(spec):
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    norm_grad_sums = normalization.norm_grad_sums(spec)

    def phase(group, ctx, batch, update, layer, partial):
        smem = cuda.shared.array(threads, scalar)
        norm_grad_sums(group, ctx, batch, layer, smem)

    return phase


def _norm_back(spec):
    norm_back = normalization.norm_back(spec)
    return lambda group, ctx, batch, update, layer, partial: norm_back(
        group, ctx, batch, layer
    )


def _weights(spec):
    """Add the penalty to a layer's weight gradient, and update the weights by it.

    Under gradient clipping the update waits for `update_all`.
    """
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    use_gradient = backward.use_weight_gradient(spec)
    store_sums = backward.store_sq_sums(spec)
    size = weights_per_block(spec.tile)

    def phase(group, ctx, batch, update, layer, partial):
        net, ws = ctx.net, ctx.ws
        n_weights = net.sizes[layer] * net.sizes[layer + 1]
        n_items = (n_weights + size - 1) // size
        step = elementwise.step_of(net, batch, net.weight_segments[layer])
        l2 = update.l2 / scalar(batch.n_rows)
        for item in range(group.block_id, n_items, group.n_blocks):
            weight_sq, grad_sq = scalar(0), scalar(0)
            end = min((item + 1) * size, n_weights)
            for e in range(item * size + cuda.threadIdx.x, end, threads):
                offset = np.uint64(net.weight_offsets[layer] + e)
                gradient = ws.gradient[offset]
                squares = use_gradient(ctx, update, step, offset, gradient, l2)
                weight_sq += squares[0]
                grad_sq += squares[1]
            store_sums(ws, batch, partial + item, weight_sq, grad_sq)

    return phase


def _sparse_weights(spec):
    """The gradient of the first layer's weights over sparse rows, and the update."""
    index_type, threads = scalar_type("int64"), spec.tile.threads
    sparse_weights = backward.sparse_weight_gradient(spec)
    size = backward.SPARSE_FEATURES

    def phase(group, ctx, batch, update, layer, partial):
        row_starts = cuda.shared.array(threads, index_type)
        n_items = (ctx.net.sizes[0] + size - 1) // size
        for item in range(group.block_id, n_items, group.n_blocks):
            sparse_weights(item, partial + item, ctx, batch, update, row_starts)

    return phase


def _biases(spec):
    """The update of a layer's biases, whose gradient is in the workspace."""
    threads, use_gradient = spec.tile.threads, backward.use_bias_gradient(spec)

    def phase(group, ctx, batch, update, layer, partial):
        net, units = ctx.net, ctx.net.sizes[layer + 1]
        step = elementwise.step_of(net, batch, net.bias_segments[layer])
        first = group.block_id * threads + cuda.threadIdx.x
        for column in range(first, units, group.n_blocks * threads):
            offset = np.uint64(net.bias_offsets[layer] + column)
            use_gradient(ctx, update, step, offset, ctx.ws.gradient[offset])

    return phase


def _norm_biases(spec):
    """Gradients of a normalized layer's scales and biases, stored or applied."""
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    biases, width = backward.bias_gradients(spec), reductions.lanes_of(threads)

    def phase(group, ctx, batch, update, layer, partial):
        smem = cuda.shared.array(threads, scalar)
        n_items = (ctx.net.sizes[layer + 1] + width - 1) // width
        for item in range(group.block_id, n_items, group.n_blocks):
            biases(item, ctx, batch, update, layer, smem)

    return phase


def _embedding(spec):
    """Gradients of an embedding's matrices, stored or applied."""
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    gradient = embedding.embedding_gradient(spec)

    def phase(group, ctx, batch, update, layer, partial):
        smem = cuda.shared.array(threads, scalar)
        gradient(group, ctx, batch, update, smem)

    return phase


def _bias_sq_sums(spec):
    bias_sq_sums = clipping.bias_sq_sums(spec)
    return lambda group, ctx, batch, update, layer, partial: bias_sq_sums(group, ctx)


def _fold_grad_sq_sums(spec):
    fold = clipping.fold_grad_sq_sums(spec)
    return lambda group, ctx, batch, update, layer, partial: fold(ctx.ws)


def _update_all(spec):
    update_all = clipping.update_all(spec)
    return lambda group, ctx, batch, update, layer, partial: update_all(
        group, ctx, batch, update
    )


def _clip_weights(spec):
    clip_weights = clipping.clip_weights(spec)
    return lambda group, ctx, batch, update, layer, partial: clip_weights(group, ctx)


OPERATIONS = {
    "copy_rows": _copy_rows,
    "sparse_forward": _sparse_forward,
    "finish": _finish,
    "norm": _norm,
    "softmax": _softmax,
    "loss": _loss,
    "back_through": _back_through,
    "softmax_back": _softmax_back,
    "norm_grad_sums": _norm_grad_sums,
    "norm_back": _norm_back,
    "weights": _weights,
    "sparse_weights": _sparse_weights,
    "biases": _biases,
    "norm_biases": _norm_biases,
    "embedding": _embedding,
    "bias_sq_sums": _bias_sq_sums,
    "fold_grad_sq_sums": _fold_grad_sq_sums,
    "update_all": _update_all,
    "clip_weights": _clip_weights,
}


@functools.lru_cache(maxsize=256)
def operation(spec, name):
    """The kernel of a row of `OPERATIONS`.

    Its arguments: `TrainContext`, `UpdateParams`, the cursor, the index of a layer, and
    the index of the first of the layer's partial sums of squares.
    """
    scalar, phase = scalar_type(spec.dtype), device(OPERATIONS[name](spec))
    bounds = train.batch_bounds()

    def run(ctx, update, cursor, layer, partial):
        index, epoch_rows = cursor[CURSOR_BATCH], cursor[CURSOR_EPOCH_ROWS]
        first, n_rows = bounds(index, ctx.ws.batch_size, epoch_rows)
        batch = Batch(
            range_index=index,
            first=first,
            n_rows=n_rows,
            step_index=cursor[CURSOR_FIRST_STEP] + index,
            scale=update.inv_mean_weight / scalar(n_rows),
        )
        phase(reductions.grid_group(), ctx, batch, update, layer, partial)

    return kernel(run, spec, name)


def _advance(cursor):
    cursor[CURSOR_BATCH] += 1


@functools.cache
def advancing():
    """The kernel that advances the cursor to the next batch: one thread."""
    return kernel(_advance)


@functools.lru_cache(maxsize=64)
def totaling(spec):
    """The kernel that adds up losses and squares by batch (see `train.totals`)."""
    totals = train.totals(spec)

    def run(ws, batches, result):
        totals(reductions.grid_group(), ws, batches, result)

    return kernel(run, spec)
