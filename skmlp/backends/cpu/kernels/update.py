"""Phase 2 of a minibatch: gradient and optimizer step, by parameter range.

A range's gradient over the whole batch, or the reduction of the row blocks' partial
gradients, is followed by the optimizer step on it while it is in the cache.
"""

import numpy as np

from skmlp.backends.cpu.gemm.matmul import product_of_transposed, transpose
from skmlp.backends.cpu.intrinsics import min_int, vector
from skmlp.backends.cpu.kernels.elementwise import call_update
from skmlp.backends.cpu.kernels.embedding import (
    refresh_knots,
    update_transposed_embedded,
)
from skmlp.backends.cpu.kernels.forward_backward import (
    n_row_blocks,
    partial_grads_offset,
    reduces_in_blocks,
)
from skmlp.backends.cpu.kernels.input_layer import gather_gradient
from skmlp.backends.cpu.plan import EMBEDDING, ParamRange
from skmlp.backends.cpu.threads.pool import next_item
from skmlp.compiler import jit
from skmlp.segments import COLUMNS


@jit.inline
def param_range(ws, index):
    """One of the parameter ranges of `Workspace.param_ranges`."""
    row = ws.param_ranges[index]
    return ParamRange(
        start=row[0],
        size=row[1],
        segment=row[2],
        first_layer=row[3],
        first_row=row[4],
        last_layer=row[5],
        last_row=row[6],
    )


@jit.inline
def is_penalized(part):
    """Whether a range has weights; biases, scales and embeddings are not penalized."""
    return part.first_layer >= 0


@jit.inline
def _is_reduced(part, ws):
    """Whether a range's gradient is reduced from partial gradients of row blocks."""
    return reduces_in_blocks(ws) or not is_penalized(part)


@jit.inline
def _reduce_blocks(part, ws, n_blocks, beta):
    """Gradient of a range from partial gradients.

    With beta 1 they are added to the gradient, with 0 they replace it, and then there
    must be two blocks at least.
    """
    start, size = part.start, part.size
    out = vector(ws.gradient, start, size)
    first = 0
    if beta == 0:
        grads = partial_grads_offset(ws, 0) + start
        next_grads = partial_grads_offset(ws, ws.row_block) + start
        a = vector(ws.partial_grads, grads, size)
        b = vector(ws.partial_grads, next_grads, size)
        for j in range(size):
            out[j] = a[j] + b[j]
        first = 2
    for block in range(first, n_blocks):
        grads = partial_grads_offset(ws, block * ws.row_block) + start
        a = vector(ws.partial_grads, grads, size)
        for j in range(size):
            out[j] += a[j]


@jit.inline
def gradient_offset(part, ws, n_rows):
    """Offset of a range's gradient in `Workspace.partial_grads`.

    The partial gradient of a single row block is read in place.
    """
    if _is_reduced(part, ws) and n_row_blocks(ws, n_rows) == 1:
        return partial_grads_offset(ws, 0) + part.start
    return ws.partial_grads.shape[0] - ws.gradient.shape[0] + part.start


@jit.inline
def range_gradient(ctx, part, row_ids, beta):
    """Gradient of a range over the whole batch; with beta 1 added to the previous."""
    net, ws = ctx.net, ctx.ws
    layer, sizes = part.first_layer, net.sizes
    n = row_ids.shape[0]
    if _is_reduced(part, ws):
        n_blocks = n_row_blocks(ws, n)
        if n_blocks > 1 or beta != 0:
            _reduce_blocks(part, ws, n_blocks, beta)
    elif layer == 0:
        gather_gradient(
            ws.gemm,
            ctx.data.x,
            row_ids,
            ws.outputs,
            (ws.deltas, ws.offsets[1]),
            ws.gradient,
            (part.first_row, part.last_row, sizes[1]),
            beta,
        )
    else:
        product_of_transposed(
            ws.gemm,
            (ws.outputs, ws.offsets[layer] + part.first_row, sizes[layer]),
            (ws.deltas, ws.offsets[layer + 1]),
            (ws.gradient, part.start),
            (part.last_row - part.first_row, sizes[layer + 1], n),
            beta,
        )


@jit.inline
def _squares_of_gradient(ctx, part, gradient, l2):
    """Sum of squares of a range's gradient, including the penalty's."""
    total = ctx.params.dtype.type(0)
    values = vector(ctx.ws.partial_grads, gradient, part.size)
    params = vector(ctx.params, part.start, part.size)
    for j in range(part.size):
        value = values[j] + l2 * params[j]
        total += value * value
    return np.float64(total)


@jit.inline
def update_phase(worker, ctx, row_ids, update, i, is_measured):
    """Phase 2: gradient and optimizer step, the i-th of this call, of every range.

    Where `is_measured`, the squares of the gradient are summed, too.
    """
    ws = ctx.ws
    l2 = ctx.params.dtype.type(update.l2 / row_ids.shape[0])
    index = next_item(worker, ws.param_ranges.shape[0])
    while index < ws.param_ranges.shape[0]:
        part = param_range(ws, index)
        range_gradient(ctx, part, row_ids, 0)
        gradient = gradient_offset(part, ws, row_ids.shape[0])
        if is_measured:
            factor = l2 if is_penalized(part) else ctx.params.dtype.type(0)
            ws.grad_sq_sums[index] = _squares_of_gradient(ctx, part, gradient, factor)
        ws.param_sq_sums[index] = update_range(ctx, part, gradient, update, i, l2)
        index = next_item(worker, ws.param_ranges.shape[0])


@jit.inline
def update_range(ctx, part, gradient, update, i, l2):
    """The optimizer step on a range; returns the sum of squares of its parameters.

    The squares are those before the step, and zero for parameters without penalty.
    """
    net, ws, params = ctx.net, ctx.ws, ctx.params
    T = params.dtype.type
    slots = update.slots
    start, size = part.start, part.size
    penalized = is_penalized(part)
    step, first = update.steps[i], COLUMNS * part.segment
    squares = call_update(
        update.update_fn,
        (
            vector(params, start, size),
            vector(ws.partial_grads, gradient, size),
            (
                vector(slots[0], start, size),
                vector(slots[min_int(1, slots.shape[0] - 1)], start, size),
                vector(slots[slots.shape[0] - 1], start, size),
            ),
            vector(step, first + 1, COLUMNS - 1),
            step[first],
            l2 if penalized else T(0),
            update.hyper,
        ),
    )
    if not penalized:
        if part.first_layer == EMBEDDING:
            refresh_knots(ctx.data.x, params)
        return 0.0
    for layer in range(part.first_layer, part.last_layer + 1):
        first = part.first_row if layer == part.first_layer else 0
        last = part.last_row if layer == part.last_layer else net.sizes[layer]
        update_transposed(ctx, layer, first, last)
    return squares


@jit.inline
def update_transposed(ctx, layer, first, last):
    """Copy changed rows of a layer's weights to the transposed weights.

    Of the first layer only those of embedded numbers are there.
    """
    net, ws = ctx.net, ctx.ws
    if layer == 0:
        update_transposed_embedded(
            ctx.data.x, net, ctx.params, ws.transposed_weights, first, last
        )
        return
    fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
    source = net.weight_offsets[layer] + first * fan_out
    target = net.weight_offsets[layer] - net.weight_offsets[1] + first
    shape = (last - first, fan_out, fan_in)
    transpose(ctx.params, source, ws.transposed_weights, target, shape)


@jit.inline
def sum_of(values, size):
    """Sum of the first elements, in their order."""
    total = 0.0
    for i in range(size):
        total += values[i]
    return total
