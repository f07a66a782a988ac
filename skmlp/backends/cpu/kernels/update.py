"""Phase 2 of a minibatch: slabs of the weight matrices, and the biases.

A slab's gradient over the whole batch, or the sum of the blocks' gradients, is followed
by the optimizer's step on it while it is in the cache.
"""

from skmlp.backends.cpu.gemm.matmul import product_of_transposed, transpose
from skmlp.backends.cpu.intrinsics import min_int, vector
from skmlp.backends.cpu.kernels.elementwise import call_update
from skmlp.backends.cpu.kernels.forward_backward import (
    blocks_of,
    sums_all,
    sums_of_block,
)
from skmlp.backends.cpu.kernels.input_layer import gather_gradient
from skmlp.backends.cpu.threads.pool import next_item
from skmlp.compiler import jit


@jit.inline
def _sum_blocks(slab, room, n_blocks, add):
    """Gradient of a slab from the sums of the blocks of rows, of two or more or all."""
    start, size = slab[0], slab[1]
    out = vector(room.gradient, start, size)
    first = 0
    if add == 0:
        one = vector(room.sums, sums_of_block(room, 0) + start, size)
        other = vector(room.sums, sums_of_block(room, room.block) + start, size)
        for j in range(size):
            out[j] = one[j] + other[j]
        first = 2
    for block in range(first, n_blocks):
        part = vector(room.sums, sums_of_block(room, block * room.block) + start, size)
        for j in range(size):
            out[j] += part[j]


@jit.inline
def is_penalized(slab):
    """Whether a slab is of weights; biases and scales are not penalized."""
    return slab[2] >= 0


@jit.inline
def _is_summed(slab, room):
    """Whether a slab's gradient is summed by blocks of rows."""
    return sums_all(room) or not is_penalized(slab)


@jit.inline
def gradient_at(slab, room, n_rows):
    """Where in `Room.sums` a slab's gradient begins: a single block's is not copied."""
    if _is_summed(slab, room) and blocks_of(room, n_rows) == 1:
        return sums_of_block(room, 0) + slab[0]
    return room.sums.shape[0] - room.gradient.shape[0] + slab[0]


@jit.inline
def slab_gradient(slab, layers, data, room, rows, add):
    """Compute the gradient of one slab over the whole batch, or add it to the last."""
    layer, first, last = slab[2], slab[3], slab[5]
    at, sizes = room.at, layers.sizes
    n = rows.shape[0]
    if _is_summed(slab, room):
        n_blocks = blocks_of(room, n)
        if n_blocks > 1 or add != 0:
            _sum_blocks(slab, room, n_blocks, add)
    elif layer == 0:
        gather_gradient(
            data.x, rows, room.outputs, (room.deltas, at[1]),
            (first, last, sizes[0]), room.gradient, sizes[1], add, room.multiply,
        )  # fmt: skip
    else:
        product_of_transposed(
            room.multiply,
            (room.outputs, at[layer] + first, sizes[layer]),
            (room.deltas, at[layer + 1]),
            (room.gradient, slab[0]),
            (last - first, sizes[layer + 1], n),
            add,
        )


@jit.inline
def slabs_phase(worker, layers, data, room, parameters, rows, step, number):
    """Phase 2: gradient and optimizer step, by its number, of every slab."""
    kind = parameters.dtype.type
    decay = kind(step.decay / rows.shape[0])
    item = next_item(worker, room.slabs.shape[0])
    while item < room.slabs.shape[0]:
        slab = room.slabs[item]
        slab_gradient(slab, layers, data, room, rows, 0)
        gradient = gradient_at(slab, room, rows.shape[0])
        room.squares[item] = update_slab(
            slab, layers, room, parameters, gradient, step, number, decay
        )
        item = next_item(worker, room.slabs.shape[0])


@jit.inline
def update_slab(slab, layers, room, parameters, gradient, step, number, decay):
    """The optimizer's step on a slab; the sum of the squares of penalized parameters.

    The squares are those before the step, and zero for what is not penalized.
    """
    kind = parameters.dtype.type
    slots = step.slots
    start, size = slab[0], slab[1]
    penalized = is_penalized(slab)
    squares = call_update(
        step.update,
        (
            vector(parameters, start, size),
            vector(room.sums, gradient, size),
            vector(slots[0], start, size),
            vector(slots[min_int(1, slots.shape[0] - 1)], start, size),
            vector(slots[slots.shape[0] - 1], start, size),
            step.coefficients[number],
            step.shrinks[number] if penalized else kind(0),
            decay if penalized else kind(0),
            step.hyper,
        ),
    )
    if not penalized:
        return 0.0
    for layer in range(slab[2], slab[4] + 1):
        first = slab[3] if layer == slab[2] else 0
        last = slab[5] if layer == slab[4] else layers.sizes[layer]
        if layer > 0:
            renew_transposed(layer, first, last, layers, room, parameters)
    return squares


@jit.inline
def renew_transposed(layer, first, last, layers, room, parameters):
    """Copy rows of a layer's weights that have changed to the transposed weights."""
    fan_in, fan_out = layers.sizes[layer], layers.sizes[layer + 1]
    start = layers.weights[layer] + first * fan_out
    offset = layers.weights[layer] - layers.weights[1] + first
    sizes = (last - first, fan_out, fan_in)
    transpose(parameters, start, room.transposed, offset, sizes)


@jit.inline
def sum_of(values, size):
    """Sum of the first elements, in their order."""
    total = 0.0
    for i in range(size):
        total += values[i]
    return total
