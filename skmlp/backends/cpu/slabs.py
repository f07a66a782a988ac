"""Phase 2 of a minibatch: slabs of the weight matrices, and the biases.

A slab's gradient over the whole batch, or the sum of the blocks' gradients, is followed
by the optimizer's step on it while it is in the cache.
"""

from skmlp import jit
from skmlp.backends.cpu.blocks import blocks_of, sums_all, sums_of_block
from skmlp.backends.cpu.first_layer import gather_gradient
from skmlp.backends.cpu.loops import call_update
from skmlp.backends.cpu.memory import least, vector
from skmlp.backends.cpu.products import product_of_transposed, transpose
from skmlp.backends.cpu.team import take


@jit.inline
def _sum_blocks(room, start, size, n_rows, add):
    """Gradient of some parameters from the sums of the blocks of rows."""
    out = vector(room.gradient, start, size)
    if add == 0:
        first = vector(room.sums, sums_of_block(room, 0) + start, size)
        for j in range(size):
            out[j] = first[j]
    for block in range(1 - add, blocks_of(room, n_rows)):
        part = vector(room.sums, sums_of_block(room, block * room.block) + start, size)
        for j in range(size):
            out[j] += part[j]


@jit.inline
def slab_range(slab, layers):
    """Where a slab begins in the flat vectors, and its length."""
    layer, first, last = slab[0], slab[1], slab[2]
    columns = layers.sizes[layer + 1]
    if first == -2:
        return layers.scales[layer], columns
    if first < 0:
        return layers.biases[layer], columns
    return layers.weights[layer] + first * columns, (last - first) * columns


@jit.inline
def slab_gradient(slab, layers, data, room, rows, add):
    """Gradient of one slab over the whole batch."""
    layer, first, last = slab[0], slab[1], slab[2]
    at, sizes = room.at, layers.sizes
    n = rows.shape[0]
    columns = sizes[layer + 1]
    if first < 0 or sums_all(room):
        start, size = slab_range(slab, layers)
        _sum_blocks(room, start, size, n, add)
    elif layer == 0:
        gather_gradient(
            data.x, rows, room.outputs, (room.deltas, at[1]),
            (first, last, sizes[0]), room.gradient, columns, add, room.multiply,
        )  # fmt: skip
    else:
        product_of_transposed(
            room.multiply,
            (room.outputs, at[layer] + first, sizes[layer]),
            (room.deltas, at[layer + 1]),
            (room.gradient, layers.weights[layer] + first * columns),
            (last - first, columns, n),
            add,
        )


@jit.inline
def slabs_phase(post, layers, data, room, parameters, rows, step, number):
    """Phase 2: gradient and optimizer step, by its number, of every slab."""
    kind = parameters.dtype.type
    decay = kind(step.decay / rows.shape[0])
    item = take(post, room.slabs.shape[0])
    while item < room.slabs.shape[0]:
        slab = room.slabs[item]
        penalised = slab[1] >= 0
        slab_gradient(slab, layers, data, room, rows, 0)
        own_decay = decay if penalised else kind(0)
        squares = update_slab(slab, layers, room, parameters, step, number, own_decay)
        room.squares[item] = squares if penalised else 0.0
        item = take(post, room.slabs.shape[0])


@jit.inline
def update_slab(slab, layers, room, parameters, step, number, decay):
    """The optimizer's step on a slab; the sum of the squares of what it was."""
    kind = parameters.dtype.type
    slots = step.slots
    start, size = slab_range(slab, layers)
    penalised = slab[1] >= 0
    squares = call_update(
        step.update,
        (
            vector(parameters, start, size),
            vector(room.gradient, start, size),
            vector(slots[0], start, size),
            vector(slots[least(1, slots.shape[0] - 1)], start, size),
            vector(slots[slots.shape[0] - 1], start, size),
            step.coefficients[number],
            step.shrinks[number] if penalised else kind(0),
            decay,
            step.hyper,
        ),
    )
    if penalised and slab[0] > 0:
        renew_transposed(slab[0], slab[1], slab[2], layers, room, parameters)
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
