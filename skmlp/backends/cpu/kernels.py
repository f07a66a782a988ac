"""The kernels: minibatch training, the gradient over all rows, and outputs.

Every member of a team runs the same kernel (see `team`). A minibatch has two phases,
each a set of numbered items, with a barrier after each:

  1. blocks of rows: gather, forward, loss, deltas back to the first layer;
  2. slabs of the weight matrices: gradient over the whole batch, then the optimizer's
     step on that slab while it is in the cache.

Rows and slabs are cut by the batch's shape, partial losses are summed in order, so
the results do not depend on the number of threads.

Kernels neither raise nor allocate: Python has allocated, and checks the results.
"""

from skmlp import jit
from skmlp.backends.cpu.first_layer import (
    gather_gradient,
    load_rows,
    multiply_range,
    multiply_rows,
    sum_range,
)
from skmlp.backends.cpu.loops import (
    call_activation,
    call_loss,
    call_slope,
    call_update,
)
from skmlp.backends.cpu.memory import flat, matrix, prefetch, vector
from skmlp.backends.cpu.products import product, product_of_transposed, transpose
from skmlp.backends.cpu.team import meet, take


@jit.inline
def _forward(layers, data, room, parameters, rows, lo):
    """Fill the outputs of a block of rows that begins at row `lo` of the batch.

    The last layer is left without bias and activation: they belong to the loss.
    """
    n = rows.shape[0]
    at, sizes = room.at, layers.sizes
    last = sizes.shape[0] - 2
    load_rows(data.x, rows, room.outputs, at[0] + lo * sizes[0])
    for layer in range(last + 1):
        columns = sizes[layer + 1]
        start = at[layer + 1] + lo * columns
        if layer == 0:
            multiply_rows(
                data.x, rows, room.outputs, at[0] + lo * sizes[0],
                parameters, room.outputs, start, columns, room.multiply,
            )  # fmt: skip
        else:
            product(
                room.multiply,
                (room.outputs, at[layer] + lo * sizes[layer]),
                (parameters, layers.weights[layer]),
                (room.outputs, start),
                (n, columns, sizes[layer]),
                0,
            )
        if layer < last:
            z = matrix(room.outputs, start, n, columns)
            bias = vector(parameters, layers.biases[layer], columns)
            call_activation(layers.activations[layer], (z, bias))


@jit.inline
def _sum_columns(matrix, out):
    """Out = sums of the columns, four rows at a time to save passes over out."""
    rows, columns = matrix.shape
    whole = rows - rows % 4
    for j in range(columns):
        out[j] = 0
    for i in range(0, whole, 4):
        for j in range(columns):
            out[j] += (matrix[i, j] + matrix[i + 1, j]) + (
                matrix[i + 2, j] + matrix[i + 3, j]
            )
    for i in range(whole, rows):
        for j in range(columns):
            out[j] += matrix[i, j]


@jit.inline
def _backward(layers, data, room, parameters, rows, lo, scale):
    """Loss of a block of rows; its deltas down to the first layer and their sums."""
    n = rows.shape[0]
    sums = lo // room.block * room.sums_size - layers.biases[0]
    at, sizes = room.at, layers.sizes
    last = sizes.shape[0] - 2
    columns = sizes[last + 1]
    start = at[last + 1] + lo * columns
    z = matrix(room.outputs, start, n, columns)
    delta = matrix(room.deltas, start, n, columns)
    bias = vector(parameters, layers.biases[last], columns)
    total = call_loss(
        layers.loss, (z, bias, delta, data.targets, data.weights, rows, scale)
    )
    _sum_columns(delta, vector(room.sums, sums + layers.biases[last], columns))
    for layer in range(last, 0, -1):
        columns = sizes[layer]
        start = at[layer] + lo * columns
        product(
            room.multiply,
            (room.deltas, at[layer + 1] + lo * sizes[layer + 1]),
            (room.transposed, layers.weights[layer] - layers.weights[1]),
            (room.deltas, start),
            (n, columns, sizes[layer + 1]),
            0,
        )
        delta = matrix(room.deltas, start, n, columns)
        output = matrix(room.outputs, start, n, columns)
        call_slope(layers.slopes[layer - 1], (delta, output))
        out = vector(room.sums, sums + layers.biases[layer - 1], columns)
        _sum_columns(delta, out)
    return total


@jit.inline
def _ask_for_targets(data, rows):
    """Have the targets in the cache by the time that the loss needs them."""
    width = data.targets.shape[1]
    for i in range(rows.shape[0]):
        prefetch(data.targets, rows[i] * width)
        if data.weights.shape[0] > 0:
            prefetch(data.weights, rows[i])


@jit.inline
def _rows_phase(post, layers, data, room, parameters, rows, scale):
    """Phase 1: forward and backward for every block of rows."""
    n_blocks = (rows.shape[0] + room.block - 1) // room.block
    item = take(post)
    while item < n_blocks:
        lo = item * room.block
        block = rows[lo : min(lo + room.block, rows.shape[0])]
        _ask_for_targets(data, block)
        _forward(layers, data, room, parameters, block, lo)
        room.losses[item] = _backward(layers, data, room, parameters, block, lo, scale)
        item = take(post)
    return n_blocks


@jit.inline
def _bias_gradient(room, start, columns, n_rows, add):
    """Gradient of some biases from the sums of the blocks of rows."""
    out = vector(room.gradient, start, columns)
    if add == 0:
        for j in range(columns):
            out[j] = 0
    first = start - (room.gradient.shape[0] - room.sums_size)
    for block in range((n_rows + room.block - 1) // room.block):
        part = vector(room.sums, block * room.sums_size + first, columns)
        for j in range(columns):
            out[j] += part[j]


@jit.inline
def _slab_gradient(slab, layers, data, room, rows, add):
    """Gradient of one slab over the whole batch: where it begins and its length."""
    layer, first, last = slab[0], slab[1], slab[2]
    at, sizes = room.at, layers.sizes
    n = rows.shape[0]
    columns = sizes[layer + 1]
    if first < 0:
        start = layers.biases[layer]
        _bias_gradient(room, start, columns, n, add)
        return start, columns
    if layer == 0:
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
    return layers.weights[layer] + first * columns, (last - first) * columns


@jit.inline
def _slabs_phase(post, layers, data, room, parameters, rows, step, rate):
    """Phase 2: gradient and optimizer step of every slab."""
    kind = parameters.dtype.type
    decay = kind(step.decay / rows.shape[0])
    item = take(post)
    while item < room.slabs.shape[0]:
        slab = room.slabs[item]
        start, size = _slab_gradient(slab, layers, data, room, rows, 0)
        penalised = slab[1] >= 0
        squares = call_update(
            step.update,
            (
                vector(parameters, start, size),
                vector(room.gradient, start, size),
                vector(step.slots[0], start, size),
                vector(step.slots[-1], start, size),
                kind(rate),
                decay if penalised else kind(0),
                step.hyper,
            ),
        )
        room.squares[item] = squares if penalised else 0.0
        if penalised and slab[0] > 0:
            _renew_transposed(slab, layers, room, parameters, start)
        item = take(post)


@jit.inline
def _renew_transposed(slab, layers, room, parameters, start):
    """Copy a slab that has changed to the transposed weights."""
    layer, first, last = slab[0], slab[1], slab[2]
    fan_in, fan_out = layers.sizes[layer], layers.sizes[layer + 1]
    offset = layers.weights[layer] - layers.weights[1] + first
    sizes = (last - first, fan_out, fan_in)
    transpose(parameters, start, room.transposed, offset, sizes)


@jit.inline
def _sum(values, size):
    total = 0.0
    for i in range(size):
        total += values[i]
    return total


@jit.kernel
def train(post, layers, data, room, parameters, step, span, result):
    """Train on some batches of an epoch; adds their loss times their rows to result.

    The loss of a batch is that before its update, the L2 term included. result[0] is
    the sum, to which one batch is added after the other: however an epoch is cut into
    calls, its bits are the same.
    """
    n = span.order.shape[0]
    half_decay = 0.5 * step.decay
    for b in range(span.first, span.last):
        rows = span.order[b * span.batch : min((b + 1) * span.batch, n)]
        scale = parameters.dtype.type(span.weight / rows.shape[0])
        n_blocks = _rows_phase(post, layers, data, room, parameters, rows, scale)
        if not meet(post):
            return
        if post.member == 0:
            result[0] += rows.shape[0] * _sum(room.losses, n_blocks)
        rate = step.rates[b - span.first]
        _slabs_phase(post, layers, data, room, parameters, rows, step, rate)
        if not meet(post):
            return
        if post.member == 0:
            result[0] += half_decay * _sum(room.squares, room.slabs.shape[0])


@jit.kernel
def differentiate(post, layers, data, room, parameters, span, result):
    """Loss and gradient over batches of an order, without the penalty.

    The batches only bound the memory: the sums run over all of them, into
    room.gradient, which the caller has set to zero, and into result[0].
    """
    n = span.order.shape[0]
    scale = parameters.dtype.type(span.weight / n)
    for b in range(span.first, span.last):
        rows = span.order[b * span.batch : min((b + 1) * span.batch, n)]
        n_blocks = _rows_phase(post, layers, data, room, parameters, rows, scale)
        if not meet(post):
            return
        if post.member == 0:
            result[0] += _sum(room.losses, n_blocks)
        item = take(post)
        while item < room.slabs.shape[0]:
            _slab_gradient(room.slabs[item], layers, data, room, rows, 1)
            item = take(post)
        if not meet(post):
            return


@jit.kernel
def predict(post, layers, x, rows, room, parameters, out, sums):
    """Outputs of rows, block by block.

    Parameters
    ----------
    x : ndarray or SparseRows
    rows : ndarray of int64
        Numbers of the rows; empty for all of them in their order.
    room : tuple (outputs, block, multiply)
        outputs has a vector a member, large enough for two layers of a block.
    out : ndarray of shape (number of rows, outputs)
    sums : ndarray of float64
        Sum of a dense X by block, where all rows are asked for.
    """
    outputs, block, multiply = room
    scratch = outputs[post.member]
    n_rows = out.shape[0]
    n_blocks = (n_rows + block - 1) // block
    item = take(post)
    while item < n_blocks:
        lo = item * block
        n = min(block, n_rows - lo)
        half = scratch.shape[0] // 2
        columns = layers.sizes[1]
        if rows.shape[0] == 0:
            multiply_range(x, lo, n, parameters, scratch, half, columns, multiply)
            sums[item] = sum_range(x, lo, n)
        else:
            some = rows[lo : lo + n]
            load_rows(x, some, scratch, 0)
            multiply_rows(
                x, some, scratch, 0, parameters, scratch, half, columns, multiply
            )
        end = _propagate(layers, parameters, scratch, half, n, multiply)
        columns = out.shape[1]
        result = matrix(scratch, end, n, columns)
        for i in range(n):
            for j in range(columns):
                out[lo + i, j] = result[i, j]
        item = take(post)


@jit.inline
def _propagate(layers, parameters, scratch, half, n, multiply):
    """From the first layer's products to the outputs; where in `scratch` they lie.

    A layer's outputs are in one half of the scratch, the next layer's in the other.
    """
    sizes = layers.sizes
    here = half
    for layer in range(sizes.shape[0] - 1):
        columns = sizes[layer + 1]
        if layer > 0:
            product(
                multiply,
                (scratch, here),
                (parameters, layers.weights[layer]),
                (scratch, half - here),
                (n, columns, sizes[layer]),
                0,
            )
            here = half - here
        z = matrix(scratch, here, n, columns)
        bias = vector(parameters, layers.biases[layer], columns)
        call_activation(layers.activations[layer], (z, bias))
    return here


@jit.kernel
def assess(loops, raw, data, bias, scratch, predictions, result):
    """Sum of the weighted losses of raw outputs, and their predictions.

    The loops add a bias, overwrite what they are given and leave a gradient: so they
    get zeros and a block's scratch.

    Parameters
    ----------
    loops : tuple (output, loss)
        Addresses of the output activation and of the loss.
    raw : ndarray of shape (rows, outputs)
    data : tuple (targets, weights, rows)
        With all the rows' numbers, in their order.
    bias : ndarray of zeros of shape (outputs,)
    scratch : tuple of 2 ndarray of the size of a block
    predictions : ndarray of shape (rows, outputs)
        Filled.
    result : ndarray of shape (1,)
        The sum is added to it.
    """
    targets, weights, rows = data
    n_rows, columns = raw.shape
    block = scratch[0].shape[0] // columns
    for lo in range(0, n_rows, block):
        n = min(block, n_rows - lo)
        z = matrix(scratch[0], 0, n, columns)
        delta = matrix(scratch[1], 0, n, columns)
        out = matrix(flat(predictions), lo * columns, n, columns)
        for i in range(n):
            for j in range(columns):
                z[i, j] = raw[lo + i, j]
                out[i, j] = raw[lo + i, j]
        call_activation(loops[0], (out, bias))
        some = rows[lo : lo + n]
        scale = raw.dtype.type(1)
        result[0] += call_loss(
            loops[1], (z, bias, delta, targets, weights, some, scale)
        )
