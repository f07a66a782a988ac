"""The kernels for what a network says: outputs of rows, and what outputs are worth.

Blocks of rows go through the whole network in a scratch of their own, read where they
lie; whoever of a team is free takes the next block.
"""

from skmlp.backends.cpu.gemm.matmul import product
from skmlp.backends.cpu.intrinsics import flat, matrix, min_int, vector
from skmlp.backends.cpu.kernels.elementwise import call_activation, call_loss
from skmlp.backends.cpu.kernels.forward_backward import first_row
from skmlp.backends.cpu.kernels.input_layer import (
    load_rows,
    multiply_range,
    multiply_rows,
    sum_range,
)
from skmlp.backends.cpu.kernels.layer_norm import call_norm
from skmlp.backends.cpu.threads.pool import next_item
from skmlp.compiler import jit


@jit.kernel
def predict(worker, layers, x, rows, room, parameters, out, sums):
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
    scratch = outputs[worker.worker_id]
    n_rows = out.shape[0]
    n_blocks = (n_rows + block - 1) // block
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * block
        n = min_int(block, n_rows - lo)
        half = scratch.shape[0] // 2
        columns = layers.sizes[1]
        first, target = first_row(layers, parameters, 0), (scratch, half)
        if rows.shape[0] == 0:
            # Before the product: a pass in the order of the memory is what a core
            # fetches ahead best, and the product then has the block in its cache.
            sums[item] = sum_range(x, lo, n)
            multiply_range(x, lo, n, parameters, first, target, columns, multiply)
        else:
            some = rows[lo : lo + n]
            load_rows(x, some, scratch, 0)
            loaded = (scratch, 0)
            multiply_rows(x, some, loaded, parameters, first, target, columns, multiply)
        end = _propagate(layers, parameters, scratch, half, n, multiply)
        columns = out.shape[1]
        result = matrix(scratch, end, n, columns)
        for i in range(n):
            for j in range(columns):
                out[lo + i, j] = result[i, j]
        item = next_item(worker, n_blocks)


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
                first_row(layers, parameters, layer),
                (scratch, half - here),
                (n, columns, sizes[layer]),
            )
            here = half - here
        z = matrix(scratch, here, n, columns)
        if layers.norm_in_place != 0 and layer < sizes.shape[0] - 2:
            scale = vector(parameters, layers.scales[layer], columns)
            bias = vector(parameters, layers.biases[layer], columns)
            call_norm(layers.norm_in_place, (z, bias, scale))
        call_activation(layers.activations[layer], (z, z))
    return here


@jit.kernel
def evaluate(loops, raw, data, scratch, predictions, parameters, result):
    """Sum of the weighted losses of raw outputs, and their predictions.

    The loops overwrite what they are given and leave a gradient: so they get a block's
    scratch.

    Parameters
    ----------
    loops : tuple (output, loss)
        Addresses of the output activation and of the loss.
    raw : ndarray of shape (rows, outputs)
    data : tuple (targets, weights, rows)
        With all the rows' numbers, in their order.
    scratch : tuple of 2 ndarray of the size of a block
    predictions : ndarray of shape (rows, outputs)
        Filled.
    parameters : ndarray
        The loss's.
    result : ndarray of shape (1,)
        The sum is added to it.
    """
    targets, weights, rows = data
    n_rows, columns = raw.shape
    block = scratch[0].shape[0] // columns
    for lo in range(0, n_rows, block):
        n = min_int(block, n_rows - lo)
        z = matrix(scratch[0], 0, n, columns)
        delta = matrix(scratch[1], 0, n, columns)
        out = matrix(flat(predictions), lo * columns, n, columns)
        for i in range(n):
            for j in range(columns):
                z[i, j] = raw[lo + i, j]
                out[i, j] = raw[lo + i, j]
        call_activation(loops[0], (out, out))
        some = rows[lo : lo + n]
        scale = raw.dtype.type(1)
        result[0] += call_loss(
            loops[1], (z, delta, targets, weights, some, scale, parameters)
        )
