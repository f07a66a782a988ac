"""The kernels of prediction: raw outputs of rows, and their losses.

Row blocks go through the whole network in a scratch buffer per worker; X is read in
place. A worker that is free takes the next block.
"""

from skmlp.backends.cpu.gemm.matmul import product
from skmlp.backends.cpu.intrinsics import flat, matrix, min_int, vector
from skmlp.backends.cpu.kernels.elementwise import call_activation
from skmlp.backends.cpu.kernels.forward_backward import bias_row
from skmlp.backends.cpu.kernels.input_layer import (
    load_rows,
    multiply_range,
    multiply_rows,
    sum_range,
)
from skmlp.backends.cpu.kernels.layer_norm import call_layer_norm
from skmlp.backends.cpu.kernels.losses import call_loss
from skmlp.backends.cpu.threads.pool import next_item
from skmlp.compiler import jit


@jit.kernel
def predict(worker, net, x, row_ids, workspace, params, out, sums):
    """Outputs of rows, block by block.

    Parameters
    ----------
    x : ndarray or SparseRows
    row_ids : ndarray of int64
        Indices of the rows; empty for all rows in their order.
    workspace : tuple (scratch, half, row_block, gemm_address)
        scratch has a vector per worker, of twice `half`, large enough for a layer of a
        block, and a packing buffer.
    out : ndarray of shape (number of rows, outputs)
    sums : ndarray of float64
        Sum of a dense X by block, where all rows are asked for.
    """
    scratches, half, row_block, gemm_address = workspace
    scratch = scratches[worker.worker_id]
    packing = vector(scratch, 2 * half, scratch.shape[0] - 2 * half)
    gemm = (gemm_address, packing)
    n_rows = out.shape[0]
    n_blocks = (n_rows + row_block - 1) // row_block
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * row_block
        n = min_int(row_block, n_rows - lo)
        columns = net.sizes[1]
        c, target = bias_row(net, params, 0), (scratch, half)
        if row_ids.shape[0] == 0:
            # The sum comes first: the hardware prefetcher follows a pass in the order
            # of the memory best, and the product then finds the block in its cache.
            sums[item] = sum_range(x, lo, n)
            rows, loaded = (lo, n), (scratch, 0)
            multiply_range(gemm, x, rows, loaded, params, c, target, columns)
        else:
            block_ids = row_ids[lo : lo + n]
            load_rows(x, block_ids, scratch, 0)
            loaded = (scratch, 0)
            multiply_rows(gemm, x, block_ids, loaded, params, c, target, columns)
        offset = _propagate(net, params, scratch, half, n, gemm)
        columns = out.shape[1]
        result = matrix(scratch, offset, n, columns)
        for i in range(n):
            for j in range(columns):
                out[lo + i, j] = result[i, j]
        item = next_item(worker, n_blocks)


@jit.inline
def _propagate(net, params, scratch, half, n, gemm):
    """From the first layer's product to the outputs; returns their offset in `scratch`.

    Layers alternate between the two halves of the scratch buffer.
    """
    sizes = net.sizes
    current = half
    for layer in range(sizes.shape[0] - 1):
        columns = sizes[layer + 1]
        if layer > 0:
            product(
                gemm,
                (scratch, current),
                (params, net.weight_offsets[layer]),
                bias_row(net, params, layer),
                (scratch, half - current),
                (n, columns, sizes[layer]),
            )
            current = half - current
        z = matrix(scratch, current, n, columns)
        if net.layer_norm_predict_fn != 0 and layer < sizes.shape[0] - 2:
            scale = vector(params, net.scale_offsets[layer], columns)
            bias = vector(params, net.bias_offsets[layer], columns)
            call_layer_norm(net.layer_norm_predict_fn, (z, bias, scale))
        call_activation(net.activation_fns[layer], (z, z))
    return current


@jit.kernel
def evaluate(loops, raw, data, scratch, predictions, loss_params, result):
    """Sum of the weighted losses of raw outputs, and the predictions.

    The loops overwrite their inputs, and that of the loss leaves a gradient: so a block
    is copied to scratch buffers first.

    Parameters
    ----------
    loops : tuple (activation_fn, loss_fn)
        Addresses of the output activation and of the loss.
    raw : ndarray of shape (rows, outputs)
    data : tuple (targets, sample_weight, row_ids)
        row_ids are the indices of all rows, in their order.
    scratch : tuple of 2 ndarray of the size of a block
    predictions : ndarray of shape (rows, outputs)
        Filled.
    loss_params : ndarray
    result : ndarray of shape (1,)
        The sum is added to it.
    """
    activation_fn, loss_fn = loops
    targets, sample_weight, row_ids = data
    z_scratch, delta_scratch = scratch
    n_rows, columns = raw.shape
    row_block = z_scratch.shape[0] // columns
    for lo in range(0, n_rows, row_block):
        n = min_int(row_block, n_rows - lo)
        z = matrix(z_scratch, 0, n, columns)
        delta = matrix(delta_scratch, 0, n, columns)
        out = matrix(flat(predictions), lo * columns, n, columns)
        for i in range(n):
            for j in range(columns):
                z[i, j] = raw[lo + i, j]
                out[i, j] = raw[lo + i, j]
        call_activation(activation_fn, (out, out))
        block_ids = row_ids[lo : lo + n]
        scale = raw.dtype.type(1)
        result[0] += call_loss(
            loss_fn, (z, delta, targets, sample_weight, block_ids, scale, loss_params)
        )


@jit.kernel
def row_losses(loss_fn, raw, data, scratch, loss_params, result):
    """Loss of each row of raw outputs.

    Parameters
    ----------
    loss_fn : address of the loss
    raw : ndarray of shape (rows, outputs)
    data : tuple (targets, sample_weight, row_ids)
        As in `evaluate`, without weights.
    scratch : tuple of 2 ndarray of the size of a row
    loss_params : ndarray
    result : ndarray of shape (rows,)
        Filled.
    """
    targets, sample_weight, row_ids = data
    z_scratch, delta_scratch = scratch
    n_rows, columns = raw.shape
    z = matrix(z_scratch, 0, 1, columns)
    delta = matrix(delta_scratch, 0, 1, columns)
    scale = raw.dtype.type(1)
    for i in range(n_rows):
        for j in range(columns):
            z[0, j] = raw[i, j]
        row = row_ids[i : i + 1]
        result[i] = call_loss(
            loss_fn, (z, delta, targets, sample_weight, row, scale, loss_params)
        )
