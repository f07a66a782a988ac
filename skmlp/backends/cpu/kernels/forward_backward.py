"""Phase 1 of a minibatch: blocks of rows, forward, loss, and back.

A block goes through all layers while it is in the cache. Where the weights are few, its
share of their gradient is computed on the spot, too.
"""

from skmlp.backends.cpu.gemm.matmul import product, product_of_transposed
from skmlp.backends.cpu.gemm.vector_ops import sum_columns
from skmlp.backends.cpu.intrinsics import matrix, min_int, vector
from skmlp.backends.cpu.kernels.elementwise import (
    call_activation,
    call_loss,
    call_single_slope,
    call_slope,
)
from skmlp.backends.cpu.kernels.input_layer import (
    ask_for_targets,
    load_rows,
    multiply_rows,
)
from skmlp.backends.cpu.kernels.layer_norm import call_back, call_norm
from skmlp.backends.cpu.kernels.regularization import call_drop, call_noise
from skmlp.backends.cpu.threads.pool import next_item
from skmlp.compiler import jit


@jit.inline
def _dropout_arguments(extras, layer, lo, step):
    """What dropout of a block of a hidden layer's outputs is told."""
    keys = (extras.seed, step, layer + 1)
    return keys, lo, extras.thresholds[layer], extras.factors[layer]


@jit.inline
def start_of(layers, room, layer, lo):
    """Where rows from `lo` on, a block's first, begin in what a layer puts out.

    Layer 0 is X itself.
    """
    own = lo * layers.sizes[layer] + lo // room.block * room.gap
    return room.at[layer] + own


@jit.inline
def _norm(layers, room, parameters, layer, lo, n):
    """Scales of a hidden layer, and where a block's normalized inputs are kept."""
    columns = layers.sizes[layer + 1]
    place = start_of(layers, room, layer + 1, lo)
    batch = room.inverses.shape[0] // layers.sizes.shape[0]
    return (
        vector(parameters, layers.scales[layer], columns),
        matrix(room.normed, place, n, columns),
        vector(room.inverses, layer * batch + lo, n),
    )


@jit.inline
def load_block(layers, data, room, extras, parameters, rows, lo, step):
    """Fill a block's rows of X, with noise where there is any."""
    start = start_of(layers, room, 0, lo)
    load_rows(data.x, rows, room.outputs, start)
    if extras.noise != 0:
        x = matrix(room.outputs, start, rows.shape[0], layers.sizes[0])
        deviation = parameters.dtype.type(extras.deviation)
        call_noise(extras.noise, (x, (extras.seed, step, 0), lo, deviation))


@jit.inline
def first_row(layers, parameters, layer):
    """What a layer's products begin with: the bias, unless they are normalized."""
    is_hidden = layer < layers.sizes.shape[0] - 2
    begins = 0 if is_hidden and layers.scales.shape[0] > 0 else 1
    return parameters, layers.biases[layer], begins


@jit.inline
def multiply_layer(layers, data, room, parameters, rows, lo, layer):
    """Products of a block with a layer's weights, and the bias; not the activation."""
    n = rows.shape[0]
    sizes = layers.sizes
    last = sizes.shape[0] - 2
    columns = sizes[layer + 1]
    keeps = layer < last and layers.keeps[layer] != 0
    start = start_of(layers, room, layer + 1, lo)
    out = (room.inputs if keeps else room.outputs, start)
    source = (room.outputs, start_of(layers, room, layer, lo))
    first = first_row(layers, parameters, layer)
    if layer == 0:
        multiply_rows(
            data.x, rows, source, parameters, first, out, columns, room.multiply
        )
    else:
        weights = (parameters, layers.weights[layer])
        sizes_of_product = (n, columns, sizes[layer])
        product(room.multiply, source, weights, first, out, sizes_of_product)


@jit.inline
def activate_layer(layers, room, extras, parameters, n, lo, layer, step):
    """Outputs of a block of a hidden layer from its inputs."""
    columns = layers.sizes[layer + 1]
    start = start_of(layers, room, layer + 1, lo)
    inputs = room.inputs if layers.keeps[layer] != 0 else room.outputs
    z = matrix(inputs, start, n, columns)
    if layers.norm != 0:
        bias = vector(parameters, layers.biases[layer], columns)
        known = _norm(layers, room, parameters, layer, lo, n)
        call_norm(layers.norm, (z, bias, *known))
    out = matrix(room.outputs, start, n, columns)
    call_activation(layers.activations[layer], (z, out))
    if extras.drop != 0:
        how = _dropout_arguments(extras, layer, lo, step)
        if layers.by_input[layer] != 0:
            call_drop(extras.drop, (out, *how))
        else:
            call_drop(extras.drop_to, (z, out, *how))


@jit.inline
def _forward(layers, data, room, extras, parameters, rows, lo, step):
    """Fill the outputs of a block of rows that begins at row `lo` of the batch.

    The last layer is left without activation, which belongs to the loss.
    """
    n = rows.shape[0]
    last = layers.sizes.shape[0] - 2
    load_block(layers, data, room, extras, parameters, rows, lo, step)
    for layer in range(last + 1):
        multiply_layer(layers, data, room, parameters, rows, lo, layer)
        if layer < last:
            activate_layer(layers, room, extras, parameters, n, lo, layer, step)


@jit.inline
def blocks_of(room, n_rows):
    """How many blocks a batch of so many rows has."""
    return (n_rows + room.block - 1) // room.block


@jit.inline
def sums_of_block(room, lo):
    """Where a block's sums would begin, did they have all parameters."""
    left_out = room.gradient.shape[0] - room.sums_size
    return lo // room.block * room.sums_step - left_out


@jit.inline
def sums_all(room):
    """Whether blocks sum the gradient of all parameters, weights included."""
    return room.sums_size == room.gradient.shape[0]


@jit.inline
def loss_of_block(layers, data, room, parameters, rows, lo, scale):
    """Loss of a block of rows; the last layer's deltas and their sums."""
    n = rows.shape[0]
    sums = sums_of_block(room, lo)
    last = layers.sizes.shape[0] - 2
    columns = layers.sizes[last + 1]
    start = start_of(layers, room, last + 1, lo)
    z = matrix(room.outputs, start, n, columns)
    delta = matrix(room.deltas, start, n, columns)
    arguments = (z, delta, data.targets, data.weights, rows, scale)
    total = call_loss(layers.loss, (*arguments, layers.loss_parameters))
    sum_columns(delta, vector(room.sums, sums + layers.biases[last], columns))
    return total


@jit.inline
def _back_from_single(layers, room, lo, layer, delta, known):
    """Deltas of a block below a single output: their product needs no loop over it."""
    n, columns = delta.shape
    place = layers.weights[layer] - layers.weights[1]
    call_single_slope(
        layers.single_slopes[layer - 1],
        (
            *(delta, known),
            vector(room.deltas, start_of(layers, room, layer + 1, lo), n),
            vector(room.transposed, place, columns),
        ),
    )


@jit.inline
def _back_from_layer(layers, room, extras, lo, layer, step, delta, known):
    """Deltas of a block below a layer."""
    n, columns = delta.shape
    start = start_of(layers, room, layer, lo)
    product(
        room.multiply,
        (room.deltas, start_of(layers, room, layer + 1, lo)),
        (room.transposed, layers.weights[layer] - layers.weights[1]),
        (room.deltas, start, 0),
        (room.deltas, start),
        (n, columns, layers.sizes[layer + 1]),
    )
    if extras.drop != 0:
        how = _dropout_arguments(extras, layer - 1, lo, step)
        call_drop(extras.drop, (delta, *how))
    call_slope(layers.slopes[layer - 1], (delta, known))


@jit.inline
def back_to_layer(layers, room, extras, n, lo, layer, step):
    """Deltas of a block and their sums, from a layer to the hidden one before it."""
    columns = layers.sizes[layer]
    start = start_of(layers, room, layer, lo)
    delta = matrix(room.deltas, start, n, columns)
    source = room.inputs if layers.keeps[layer - 1] != 0 else room.outputs
    known = matrix(source, start, n, columns)
    is_single = layer == layers.single_slopes.shape[0]
    if is_single and layers.single_slopes[layer - 1] != 0:
        _back_from_single(layers, room, lo, layer, delta, known)
    else:
        _back_from_layer(layers, room, extras, lo, layer, step, delta, known)
    place = sums_of_block(room, lo) + layers.biases[layer - 1]
    sum_columns(delta, vector(room.sums, place, columns))


@jit.inline
def _backward(layers, data, room, extras, parameters, rows, lo, scale, step):
    """Loss of a block of rows; its deltas down to the first layer and their sums."""
    n = rows.shape[0]
    sums = sums_of_block(room, lo)
    total = loss_of_block(layers, data, room, parameters, rows, lo, scale)
    for layer in range(layers.sizes.shape[0] - 2, 0, -1):
        back_to_layer(layers, room, extras, n, lo, layer, step)
        if layers.norm_back != 0:
            known = _norm(layers, room, parameters, layer - 1, lo, n)
            columns = layers.sizes[layer]
            start = start_of(layers, room, layer, lo)
            delta = matrix(room.deltas, start, n, columns)
            out = vector(room.sums, sums + layers.scales[layer - 1], columns)
            call_back(layers.norm_back, (delta, *known, out))
    return total


@jit.inline
def _gradient_of_block(layers, room, n, lo):
    """Gradient of all weights by a block of rows."""
    sizes = layers.sizes
    for layer in range(sizes.shape[0] - 1):
        fan_in, columns = sizes[layer], sizes[layer + 1]
        product_of_transposed(
            room.multiply,
            (room.outputs, start_of(layers, room, layer, lo), fan_in),
            (room.deltas, start_of(layers, room, layer + 1, lo)),
            (room.sums, sums_of_block(room, lo) + layers.weights[layer]),
            (fan_in, columns, n),
            0,
        )


@jit.inline
def rows_phase(worker, layers, data, room, extras, parameters, rows, scale, step):
    """Phase 1: forward and backward for every block of rows."""
    n_blocks = blocks_of(room, rows.shape[0])
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * room.block
        block = rows[lo : min_int(lo + room.block, rows.shape[0])]
        ask_for_targets(data, block)
        _forward(layers, data, room, extras, parameters, block, lo, step)
        room.losses[item] = _backward(
            layers, data, room, extras, parameters, block, lo, scale, step
        )
        if sums_all(room):
            _gradient_of_block(layers, room, block.shape[0], lo)
        item = next_item(worker, n_blocks)
    return n_blocks
