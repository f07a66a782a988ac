"""The kernel that predicts: outputs of rows, block by block.

Two layers of a block are all the memory it needs, since there is no way back.
"""

from skmlp import jit
from skmlp.backends.cpu.first_layer import (
    load_rows,
    multiply_range,
    multiply_rows,
    sum_range,
)
from skmlp.backends.cpu.loops import call_activation
from skmlp.backends.cpu.memory import matrix, vector
from skmlp.backends.cpu.normalising import call_norm
from skmlp.backends.cpu.products import product
from skmlp.backends.cpu.team import take


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
        if layers.norm_in_place != 0 and layer < sizes.shape[0] - 2:
            scale = vector(parameters, layers.scales[layer], columns)
            call_norm(layers.norm_in_place, (z, scale))
        bias = vector(parameters, layers.biases[layer], columns)
        call_activation(layers.activations[layer], (z, bias, z))
    return here
