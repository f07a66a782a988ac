"""Batch and layer normalization, and softmax: what couples a hidden layer's elements.

The epilogue of such a layer's product stores the product itself. After a barrier these
phases normalize it and activate: a warp takes a row, or the threads that share a column
take that column. The backward pass is cut up in the same manner.
"""

import math

from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, reductions
from skmlp.backends.cuda.runtime.jit import device, scalar_type
from skmlp.rules.normalization import EPSILON, MOMENTUM


def _lanes_and_warps(spec):
    """Lanes of a warp, and warps of a block."""
    lanes = reductions.lanes_of(spec.tile.threads)
    return lanes, spec.tile.threads // lanes


@device
def _unit(net, layer, column):
    """Index of a unit among all hidden ones."""
    return net.bias_offsets[layer] - net.bias_offsets[0] + column


@device
def _n_hidden(net):
    """Number of hidden units."""
    return net.bias_offsets[net.sizes.shape[0] - 2] - net.bias_offsets[0]


def _batch_statistics(spec):
    """Mean and inverse deviation of a column of a batch; moves the running statistics.

    A batch of one row has no variance: it is normalized by the running statistics.
    """
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    width = reductions.lanes_of(threads)
    height = threads // width
    column_sum = reductions.column_sum(threads)

    def compute(ctx, layer, column, n, smem):
        net, ws, params = ctx.net, ctx.ws, ctx.params
        units = net.sizes[layer + 1]
        start, y = ws.offsets[layer + 1] + column, cuda.threadIdx.x // width
        inside = column < units
        total = scalar(0)
        if inside:
            for i in range(y, n, height):
                total += ws.outputs[start + i * units]
        mean = column_sum(smem, total) / scalar(n)
        total = scalar(0)
        if inside:
            for i in range(y, n, height):
                deviation = ws.outputs[start + i * units] - mean
                total += deviation * deviation
        squares = column_sum(smem, total)
        variance = squares / scalar(n)
        if inside:
            mean_offset = net.mean_offsets[layer] + column
            variance_offset = net.variance_offsets[layer] + column
            if n == 1:
                mean, variance = params[mean_offset], params[variance_offset]
            elif y == 0:
                params[mean_offset] += scalar(MOMENTUM) * (mean - params[mean_offset])
                difference = squares / scalar(n - 1) - params[variance_offset]
                params[variance_offset] += scalar(MOMENTUM) * difference
        return mean, scalar(1) / math.sqrt(variance + scalar(EPSILON))

    return device(compute)


def _batch_norm(spec):
    """Normalize a layer over the rows of a batch, scale, add the bias, activate."""
    threads = spec.tile.threads
    width = reductions.lanes_of(threads)
    height = threads // width
    statistics, activate = _batch_statistics(spec), elementwise.activate(spec)

    def compute(group, ctx, batch, layer, smem):
        net, ws, params = ctx.net, ctx.ws, ctx.params
        units, start = net.sizes[layer + 1], ws.offsets[layer + 1]
        y, n_items = cuda.threadIdx.x // width, (units + width - 1) // width
        for item in range(group.block_id, n_items, group.n_blocks):
            column = item * width + cuda.threadIdx.x % width
            mean, inv_std = statistics(ctx, layer, column, batch.n_rows, smem)
            if column < units:
                if y == 0:
                    ws.inv_std[_unit(net, layer, column)] = inv_std
                scale = params[net.scale_offsets[layer] + column]
                bias = params[net.bias_offsets[layer] + column]
                for i in range(y, batch.n_rows, height):
                    offset = start + i * units + column
                    value = (ws.outputs[offset] - mean) * inv_std
                    ws.normalized[offset] = value
                    activate(ctx, batch, layer, i, column, value * scale + bias)

    return device(compute)


def _layer_norm(spec):
    """Normalize the rows of a layer over its units, scale, add the bias, activate."""
    scalar = scalar_type(spec.dtype)
    lanes, warps = _lanes_and_warps(spec)
    warp_sum = reductions.warp_sum(spec.tile.threads)
    activate, has_backward = elementwise.activate(spec), not spec.forward_only

    def compute(group, ctx, batch, layer, smem):
        net, ws, params = ctx.net, ctx.ws, ctx.params
        units = net.sizes[layer + 1]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        first = warp * group.n_blocks + group.block_id
        for i in range(first, batch.n_rows, warps * group.n_blocks):
            start = ws.offsets[layer + 1] + i * units
            total = scalar(0)
            for j in range(lane, units, lanes):
                total += ws.outputs[start + j]
            mean = warp_sum(total) / scalar(units)
            total = scalar(0)
            for j in range(lane, units, lanes):
                deviation = ws.outputs[start + j] - mean
                total += deviation * deviation
            variance = warp_sum(total) / scalar(units)
            inv_std = scalar(1) / math.sqrt(variance + scalar(EPSILON))
            if has_backward and lane == 0:
                ws.inv_std[layer * ws.batch_size + i] = inv_std
            for j in range(lane, units, lanes):
                value = (ws.outputs[start + j] - mean) * inv_std
                if has_backward:
                    ws.normalized[start + j] = value
                scale = params[net.scale_offsets[layer] + j]
                z = value * scale + params[net.bias_offsets[layer] + j]
                activate(ctx, batch, layer, i, j, z)

    return device(compute)


def norm(spec):
    """The normalization of a hidden layer, forward; the whole group calls it."""
    return {"batch": _batch_norm, "layer": _layer_norm}[spec.normalization](spec)


def softmax(spec):
    """Softmax of the rows of a hidden layer, in place of its preactivations."""
    lanes, warps = _lanes_and_warps(spec)
    threads, has_dropout = spec.tile.threads, spec.has_dropout
    warp_sum, warp_max = reductions.warp_sum(threads), reductions.warp_max(threads)
    dropout = elementwise.dropout_factor()

    def compute(group, ctx, batch, layer):
        units, ws = ctx.net.sizes[layer + 1], ctx.ws
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        first = warp * group.n_blocks + group.block_id
        for i in range(first, batch.n_rows, warps * group.n_blocks):
            start = ws.offsets[layer + 1] + i * units
            largest = ws.outputs[start]
            for j in range(lane, units, lanes):
                largest = max(largest, ws.outputs[start + j])
            largest = warp_max(largest)
            total = type(largest)(0)
            for j in range(lane, units, lanes):
                total += math.exp(ws.outputs[start + j] - largest)
            total = warp_sum(total)
            # All lanes have read the first element; one lane now overwrites it.
            cuda.syncwarp()
            for j in range(lane, units, lanes):
                a = math.exp(ws.outputs[start + j] - largest) / total
                if has_dropout:
                    ws.preactivations[start + j] = a
                    a *= dropout(ctx.reg, batch, layer, i * units + j)
                ws.outputs[start + j] = a

    return device(compute)


def softmax_back(spec):
    """Deltas by the preactivations of a hidden softmax, in place."""
    lanes, warps = _lanes_and_warps(spec)
    warp_sum, has_dropout = reductions.warp_sum(spec.tile.threads), spec.has_dropout
    scalar = scalar_type(spec.dtype)

    def compute(group, ctx, batch, layer):
        units, ws = ctx.net.sizes[layer + 1], ctx.ws
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        outputs = ws.preactivations if has_dropout else ws.outputs
        first = warp * group.n_blocks + group.block_id
        for i in range(first, batch.n_rows, warps * group.n_blocks):
            start = ws.offsets[layer + 1] + i * units
            mean = scalar(0)
            for j in range(lane, units, lanes):
                mean += outputs[start + j] * ws.deltas[start + j]
            mean = warp_sum(mean)
            for j in range(lane, units, lanes):
                difference = ws.deltas[start + j] - mean
                ws.deltas[start + j] = outputs[start + j] * difference

    return device(compute)


def norm_grad_sums(spec):
    """Gradients of a normalized layer's biases and scales.

    They are the column sums of its deltas, and of their products with the normalized
    preactivations.
    """
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    width = reductions.lanes_of(threads)
    height = threads // width
    column_sum = reductions.column_sum(threads)

    def compute(group, ctx, batch, layer, smem):
        net, ws = ctx.net, ctx.ws
        units, start = net.sizes[layer + 1], ws.offsets[layer + 1]
        y, n_items = cuda.threadIdx.x // width, (units + width - 1) // width
        for item in range(group.block_id, n_items, group.n_blocks):
            column = item * width + cuda.threadIdx.x % width
            total = scalar(0)
            products = scalar(0)
            if column < units:
                for i in range(y, batch.n_rows, height):
                    offset = start + i * units + column
                    total += ws.deltas[offset]
                    products += ws.deltas[offset] * ws.normalized[offset]
            total = column_sum(smem, total)
            products = column_sum(smem, products)
            if y == 0 and column < units:
                unit = _unit(net, layer, column)
                ws.norm_grad_sums[unit] = total
                ws.norm_grad_sums[_n_hidden(net) + unit] = products

    return device(compute)


def _batch_norm_back(spec):
    """Deltas by the product before batch normalization, in place."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)

    def compute(group, ctx, batch, layer):
        net, ws, n = ctx.net, ctx.ws, batch.n_rows
        units, start = net.sizes[layer + 1], ws.offsets[layer + 1]
        first = group.block_id * threads + cuda.threadIdx.x
        for e in range(first, n * units, group.n_blocks * threads):
            column = e % units
            unit = _unit(net, layer, column)
            delta = ws.deltas[start + e]
            if n > 1:
                product_mean = ws.norm_grad_sums[_n_hidden(net) + unit] / scalar(n)
                mean = ws.norm_grad_sums[unit] / scalar(n)
                delta -= mean + ws.normalized[start + e] * product_mean
            scale = ctx.params[net.scale_offsets[layer] + column]
            ws.deltas[start + e] = ws.inv_std[unit] * scale * delta

    return device(compute)


def _layer_norm_back(spec):
    """Deltas by the product before layer normalization, in place, row by row."""
    scalar = scalar_type(spec.dtype)
    lanes, warps = _lanes_and_warps(spec)
    warp_sum = reductions.warp_sum(spec.tile.threads)

    def compute(group, ctx, batch, layer):
        net, ws, params = ctx.net, ctx.ws, ctx.params
        units, scales = net.sizes[layer + 1], net.scale_offsets[layer]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        first = warp * group.n_blocks + group.block_id
        for i in range(first, batch.n_rows, warps * group.n_blocks):
            start = ws.offsets[layer + 1] + i * units
            mean, product_mean = scalar(0), scalar(0)
            for j in range(lane, units, lanes):
                delta = ws.deltas[start + j] * params[scales + j]
                mean += delta
                product_mean += delta * ws.normalized[start + j]
            mean = warp_sum(mean) / scalar(units)
            product_mean = warp_sum(product_mean) / scalar(units)
            inv_std = ws.inv_std[layer * ws.batch_size + i]
            for j in range(lane, units, lanes):
                delta = ws.deltas[start + j] * params[scales + j]
                centered = delta - mean - ws.normalized[start + j] * product_mean
                ws.deltas[start + j] = inv_std * centered

    return device(compute)


def norm_back(spec):
    """The normalization of a hidden layer, backward."""
    makers = {"batch": _batch_norm_back, "layer": _layer_norm_back}
    return makers[spec.normalization](spec)
