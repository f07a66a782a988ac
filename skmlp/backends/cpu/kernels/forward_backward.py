"""Phase 1 of a minibatch: forward pass, loss and backward pass, by row block.

A row block goes through all layers while it is in the cache. Where the weights are few,
its partial gradient is computed at once, too.
"""

from skmlp.backends.cpu.gemm.matmul import product, product_of_transposed
from skmlp.backends.cpu.gemm.vector_ops import sum_columns
from skmlp.backends.cpu.intrinsics import matrix, min_int, vector
from skmlp.backends.cpu.kernels.elementwise import (
    call_activation,
    call_single_output_slope,
    call_slope,
)
from skmlp.backends.cpu.kernels.embedding import embedding_gradient
from skmlp.backends.cpu.kernels.input_layer import (
    load_rows,
    multiply_rows,
    prefetch_targets,
)
from skmlp.backends.cpu.kernels.layer_norm import (
    call_layer_norm,
    call_layer_norm_backward,
)
from skmlp.backends.cpu.kernels.losses import call_loss
from skmlp.backends.cpu.kernels.regularization import call_dropout, call_noise
from skmlp.backends.cpu.threads.pool import next_item
from skmlp.compiler import jit


@jit.inline
def _dropout_arguments(reg, layer, lo, step_index):
    """Arguments of the dropout loop for a row block of a hidden layer's outputs."""
    key = (reg.seed, step_index, layer + 1)
    place = (step_index - reg.first_step) * reg.step_stride + layer
    return key, reg.first_row + lo, reg.thresholds[place], reg.factors[place]


@jit.inline
def layer_offset(net, ws, layer, lo):
    """Offset of a row block, whose first row is `lo`, in a layer's outputs.

    Layer 0 is X itself.
    """
    return ws.offsets[layer] + lo * net.sizes[layer] + lo // ws.row_block * ws.gap


@jit.inline
def _layer_norm_arguments(ctx, layer, lo, n):
    """Scales of a hidden layer, normalized values and factors of a row block."""
    net, ws = ctx.net, ctx.ws
    columns = net.sizes[layer + 1]
    offset = layer_offset(net, ws, layer + 1, lo)
    batch_size = ws.inv_stds.shape[0] // net.sizes.shape[0]
    return (
        vector(ctx.params, net.scale_offsets[layer], columns),
        matrix(ws.normalized, offset, n, columns),
        vector(ws.inv_stds, layer * batch_size + lo, n),
    )


@jit.inline
def load_block(ctx, row_ids, lo, step_index):
    """Gather a block's rows of X, and add the input noise."""
    net, ws, reg = ctx.net, ctx.ws, ctx.reg
    offset = layer_offset(net, ws, 0, lo)
    load_rows(ctx.data.x, row_ids, ws.outputs, offset)
    if reg.noise_fn != 0:
        x = matrix(ws.outputs, offset, row_ids.shape[0], net.sizes[0])
        std = ctx.params.dtype.type(reg.noise_std)
        key, first_row = (reg.seed, step_index, 0), reg.first_row + lo
        call_noise(reg.noise_fn, (x, key, first_row, std))


@jit.inline
def bias_row(net, params, layer):
    """The row that a layer's product starts from, as in `product`.

    It is the bias, or zeros where the product is normalized before the bias is added.
    """
    is_hidden = layer < net.sizes.shape[0] - 2
    beta = 0 if is_hidden and net.scale_offsets.shape[0] > 0 else 1
    return params, net.bias_offsets[layer], beta


@jit.inline
def multiply_layer(ctx, row_ids, lo, layer):
    """Preactivation of a row block: its product with a layer's weights, plus bias."""
    net, ws, params = ctx.net, ctx.ws, ctx.params
    n = row_ids.shape[0]
    sizes = net.sizes
    last = sizes.shape[0] - 2
    columns = sizes[layer + 1]
    stores = layer < last and net.stores_preactivation[layer] != 0
    offset = layer_offset(net, ws, layer + 1, lo)
    out = (ws.preactivations if stores else ws.outputs, offset)
    source = (ws.outputs, layer_offset(net, ws, layer, lo))
    c = bias_row(net, params, layer)
    if layer == 0:
        multiply_rows(ws.gemm, ctx.data.x, row_ids, source, params, c, out, columns)
    else:
        weights = (params, net.weight_offsets[layer])
        product(ws.gemm, source, weights, c, out, (n, columns, sizes[layer]))


@jit.inline
def activate_layer(ctx, n, lo, layer, step_index):
    """Outputs of a row block of a hidden layer from its preactivation."""
    net, ws, reg = ctx.net, ctx.ws, ctx.reg
    columns = net.sizes[layer + 1]
    offset = layer_offset(net, ws, layer + 1, lo)
    stores = net.stores_preactivation[layer] != 0
    z = matrix(ws.preactivations if stores else ws.outputs, offset, n, columns)
    if net.layer_norm_fn != 0:
        bias = vector(ctx.params, net.bias_offsets[layer], columns)
        scale, normalized, inv_stds = _layer_norm_arguments(ctx, layer, lo, n)
        call_layer_norm(net.layer_norm_fn, (z, bias, scale, normalized, inv_stds))
    out = matrix(ws.outputs, offset, n, columns)
    call_activation(net.activation_fns[layer], (z, out))
    if reg.dropout_fn != 0:
        key, first_row, threshold, factor = _dropout_arguments(
            reg, layer, lo, step_index
        )
        if net.needs_preactivation[layer] != 0:
            call_dropout(reg.dropout_fn, (out, key, first_row, threshold, factor))
        else:
            call_dropout(reg.dropout_to_fn, (z, out, key, first_row, threshold, factor))


@jit.inline
def _forward(ctx, row_ids, lo, step_index):
    """Forward pass of a row block, whose first row is row `lo` of the batch.

    The last layer is left without its activation, which belongs to the loss.
    """
    n = row_ids.shape[0]
    last = ctx.net.sizes.shape[0] - 2
    load_block(ctx, row_ids, lo, step_index)
    for layer in range(last + 1):
        multiply_layer(ctx, row_ids, lo, layer)
        if layer < last:
            activate_layer(ctx, n, lo, layer, step_index)


@jit.inline
def n_row_blocks(ws, n_rows):
    """Number of row blocks of a batch of `n_rows` rows."""
    return (n_rows + ws.row_block - 1) // ws.row_block


@jit.inline
def partial_grads_offset(ws, lo):
    """Offset of a block's partial gradients, to be indexed by parameter offset.

    It is shifted to where the gradient of parameter 0 would be if all parameters had
    partial gradients.
    """
    without = ws.gradient.shape[0] - ws.partial_grads_size
    return lo // ws.row_block * ws.partial_grads_stride - without


@jit.inline
def reduces_in_blocks(ws):
    """Whether row blocks have partial gradients of all parameters, weights included."""
    return ws.partial_grads_size == ws.gradient.shape[0]


@jit.inline
def block_loss(ctx, row_ids, lo, scale):
    """Loss of a row block; fills the last layer's deltas and their column sums."""
    net, data, ws = ctx.net, ctx.data, ctx.ws
    n = row_ids.shape[0]
    grads = partial_grads_offset(ws, lo)
    last = net.sizes.shape[0] - 2
    columns = net.sizes[last + 1]
    offset = layer_offset(net, ws, last + 1, lo)
    z = matrix(ws.outputs, offset, n, columns)
    delta = matrix(ws.deltas, offset, n, columns)
    total = call_loss(
        net.loss_fn,
        (z, delta, data.targets, data.sample_weight, row_ids, scale, net.loss_params),
    )
    bias_grad = vector(ws.partial_grads, grads + net.bias_offsets[last], columns)
    sum_columns(delta, bias_grad)
    return total


@jit.inline
def _backward_from_single_output(net, ws, lo, layer, delta, known):
    """Deltas below a single output, whose product has no inner loop."""
    n, columns = delta.shape
    weights = net.weight_offsets[layer] - net.weight_offsets[1]
    outer = vector(ws.deltas, layer_offset(net, ws, layer + 1, lo), n)
    call_single_output_slope(
        net.single_output_slope_fns[layer - 1],
        (delta, known, outer, vector(ws.transposed_weights, weights, columns)),
    )


@jit.inline
def _backward_from_layer(ctx, lo, layer, step_index, delta, known):
    """Deltas of a row block below a layer."""
    net, ws, reg = ctx.net, ctx.ws, ctx.reg
    n, columns = delta.shape
    offset = layer_offset(net, ws, layer, lo)
    product(
        ws.gemm,
        (ws.deltas, layer_offset(net, ws, layer + 1, lo)),
        (ws.transposed_weights, net.weight_offsets[layer] - net.weight_offsets[1]),
        (ws.deltas, offset, 0),
        (ws.deltas, offset),
        (n, columns, net.sizes[layer + 1]),
    )
    if reg.dropout_fn != 0:
        key, first_row, threshold, factor = _dropout_arguments(
            reg, layer - 1, lo, step_index
        )
        call_dropout(reg.dropout_fn, (delta, key, first_row, threshold, factor))
    call_slope(net.slope_fns[layer - 1], (delta, known))


@jit.inline
def backward_to_layer(ctx, n, lo, layer, step_index):
    """Deltas of a row block, and their column sums, for the hidden layer before one."""
    net, ws = ctx.net, ctx.ws
    columns = net.sizes[layer]
    offset = layer_offset(net, ws, layer, lo)
    delta = matrix(ws.deltas, offset, n, columns)
    stores = net.stores_preactivation[layer - 1] != 0
    known = matrix(ws.preactivations if stores else ws.outputs, offset, n, columns)
    is_single = layer == net.single_output_slope_fns.shape[0]
    if is_single and net.single_output_slope_fns[layer - 1] != 0:
        _backward_from_single_output(net, ws, lo, layer, delta, known)
    else:
        _backward_from_layer(ctx, lo, layer, step_index, delta, known)
    grads = partial_grads_offset(ws, lo) + net.bias_offsets[layer - 1]
    sum_columns(delta, vector(ws.partial_grads, grads, columns))


@jit.inline
def _backward(ctx, row_ids, lo, scale, step_index):
    """Loss of a row block; its deltas down to the first layer, and their sums."""
    net, ws = ctx.net, ctx.ws
    n = row_ids.shape[0]
    grads = partial_grads_offset(ws, lo)
    total = block_loss(ctx, row_ids, lo, scale)
    for layer in range(net.sizes.shape[0] - 2, 0, -1):
        backward_to_layer(ctx, n, lo, layer, step_index)
        if net.layer_norm_backward_fn != 0:
            scale_, normalized, inv_stds = _layer_norm_arguments(ctx, layer - 1, lo, n)
            columns = net.sizes[layer]
            delta = matrix(ws.deltas, layer_offset(net, ws, layer, lo), n, columns)
            scale_grad = vector(
                ws.partial_grads, grads + net.scale_offsets[layer - 1], columns
            )
            call_layer_norm_backward(
                net.layer_norm_backward_fn,
                (delta, scale_, normalized, inv_stds, scale_grad),
            )
    offsets = (layer_offset(net, ws, 0, lo), layer_offset(net, ws, 1, lo))
    embedding_gradient(ctx.data.x, net, ws, row_ids, offsets, grads)
    return total


@jit.inline
def _block_gradient(net, ws, n, lo):
    """Partial gradient of all weights by a row block."""
    sizes = net.sizes
    for layer in range(sizes.shape[0] - 1):
        fan_in, columns = sizes[layer], sizes[layer + 1]
        product_of_transposed(
            ws.gemm,
            (ws.outputs, layer_offset(net, ws, layer, lo), fan_in),
            (ws.deltas, layer_offset(net, ws, layer + 1, lo)),
            (
                ws.partial_grads,
                partial_grads_offset(ws, lo) + net.weight_offsets[layer],
            ),
            (fan_in, columns, n),
            0,
        )


@jit.inline
def rows_phase(worker, ctx, row_ids, scale, step_index):
    """Phase 1: forward and backward pass of every row block; returns their number."""
    ws = ctx.ws
    n_blocks = n_row_blocks(ws, row_ids.shape[0])
    item = next_item(worker, n_blocks)
    while item < n_blocks:
        lo = item * ws.row_block
        block_ids = row_ids[lo : min_int(lo + ws.row_block, row_ids.shape[0])]
        prefetch_targets(ctx.data, block_ids)
        _forward(ctx, block_ids, lo, step_index)
        ws.losses[item] = _backward(ctx, block_ids, lo, scale, step_index)
        if reduces_in_blocks(ws):
            _block_gradient(ctx.net, ws, block_ids.shape[0], lo)
        item = next_item(worker, n_blocks)
    return n_blocks
