"""Phases of the backward pass: deltas, gradients, and the optimizer's update.

The epilogue of a gradient's tile updates its weights at once, unless gradient clipping
has to know the whole gradient first. Partial sums of squares, for the penalty in the
loss and for the gradient's norm, are stored once a warp and added up later in the order
of their index.
"""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, gemm, reductions, tile
from skmlp.backends.cuda.runtime.jit import device, scalar_type

# Features of a sparse X whose weights one block works on at a time.
SPARSE_FEATURES = 32


def hidden_deltas(spec):
    """Deltas of the layer below `layer`, from those of that layer."""
    multiply = gemm.matmul_tile(spec.tile, spec.dtype)
    n_tiles_of_result = tile.n_tiles_of(spec.tile)
    origin_of_item = tile.tile_origin_of(spec.tile)
    split_level_of_result = tile.split_level_of(spec.tile)
    output_slice_of_thread = tile.output_slice_of(spec.tile)
    sum_k_slices = tile.sum_k_slices_of(spec.tile)
    back = elementwise.back_through(spec)

    def compute(group, ctx, batch, layer, smem):
        net, ws, any_ids = ctx.net, ctx.ws, ctx.ws.offsets
        fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
        sizes = (batch.n_rows, fan_in, fan_out)
        deltas = gemm.by_rows(ws.deltas, ws.offsets[layer + 1], fan_out, any_ids)
        first_weight = net.weight_offsets[layer]
        weights = gemm.by_rows(ctx.params, first_weight, fan_out, any_ids)
        split_level = split_level_of_result(batch.n_rows, fan_in)
        n_tiles = n_tiles_of_result(batch.n_rows, fan_in, split_level)
        for item in range(group.block_id, n_tiles, group.n_blocks):
            origin = origin_of_item(item, fan_in, split_level)
            multiply(smem, origin, sizes, (deltas, weights), split_level)
            out = output_slice_of_thread(origin, batch.n_rows, fan_in, split_level)
            for row in range(out.first_row, out.end_row, out.row_stride):
                delta = sum_k_slices(smem, row - origin.row, split_level)
                offset = np.uint64(ws.offsets[layer] + row * fan_in + out.column)
                delta = back(ctx, batch, layer - 1, row, out.column, delta)
                ws.deltas[offset] = delta

    return device(compute)


def use_weight_gradient(spec):
    """Accumulate, store or apply one element of a weight gradient.

    It is accumulated without an optimizer, stored for gradient clipping, else applied
    at once. Returns the squares that `store_sq_sums` adds up: those of the parameter
    before the update and of the gradient.
    """
    if spec.optimizer is None:

        def accumulate(ctx, update, step, offset, gradient, l2):
            ctx.ws.gradient[offset] += gradient
            return gradient, gradient

        return device(accumulate)
    if spec.clips_gradient:

        def store(ctx, update, step, offset, gradient, l2):
            p = ctx.params[offset]
            gradient += l2 * p
            ctx.ws.gradient[offset] = gradient
            return p * p, gradient * gradient

        return device(store)

    update_one = elementwise.update_one(spec)

    def apply(ctx, update, step, offset, gradient, l2):
        p = ctx.params[offset]
        gradient += l2 * p
        update_one(ctx.params, update, step, offset, gradient)
        return p * p, gradient * gradient

    return device(apply)


def store_sq_sums(spec):
    """Store a warp's partial sums of squares, where there is an optimizer."""
    if spec.optimizer is None:
        return device(lambda ws, batch, item, weight_sq, grad_sq: None)
    threads, clips = spec.tile.threads, spec.clips_gradient
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps = threads // lanes

    def store(ws, batch, item, weight_sq, grad_sq):
        tid = cuda.threadIdx.x
        partial = item * warps + tid // lanes
        weight_sq = warp_sum(weight_sq)
        if clips:
            grad_sq = warp_sum(grad_sq)
        if tid % lanes == 0:
            ws.weight_sq_sums[batch.range_index * ws.n_partials + partial] = weight_sq
            if clips:
                ws.grad_sq_sums[partial] = grad_sq

    return device(store)


def weight_gradient_tile(spec):
    """A tile of the gradient of a layer's weights over dense inputs."""
    multiply = gemm.matmul_tile(spec.tile, spec.dtype)
    reads_x = not (spec.copies_x or spec.sparse)
    origin_of_item = tile.tile_origin_of(spec.tile)
    split_level_of_result = tile.split_level_of(spec.tile)
    output_slice_of_thread = tile.output_slice_of(spec.tile)
    sum_k_slices = tile.sum_k_slices_of(spec.tile)
    use_gradient, store_sums = use_weight_gradient(spec), store_sq_sums(spec)

    def compute(item, partial, ctx, batch, update, layer, smem):
        net, data, ws = ctx.net, ctx.data, ctx.ws
        fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
        sizes = (fan_in, fan_out, batch.n_rows)
        inputs = gemm.by_columns(ws.outputs, ws.offsets[layer], fan_in, data.row_ids)
        if reads_x and layer == 0:
            inputs = gemm.gathered_by_columns(data.x, fan_in, data.row_ids, batch.first)
        first_delta = ws.offsets[layer + 1]
        deltas = gemm.by_columns(ws.deltas, first_delta, fan_out, data.row_ids)
        split_level = split_level_of_result(fan_in, fan_out)
        origin = origin_of_item(item, fan_out, split_level)
        multiply(smem, origin, sizes, (inputs, deltas), split_level)
        out = output_slice_of_thread(origin, fan_in, fan_out, split_level)
        step = elementwise.step_of(net, batch, net.weight_segments[layer])
        l2 = update.l2 / type(update.l2)(batch.n_rows)
        weight_sq, grad_sq = type(l2)(0), type(l2)(0)
        for row in range(out.first_row, out.end_row, out.row_stride):
            gradient = sum_k_slices(smem, row - origin.row, split_level)
            offset = np.uint64(net.weight_offsets[layer] + row * fan_out + out.column)
            squares = use_gradient(ctx, update, step, offset, gradient, l2)
            weight_sq += squares[0]
            grad_sq += squares[1]
        store_sums(ws, batch, partial, weight_sq, grad_sq)

    return device(compute)


def delta_column_sums(spec):
    """Sums of some columns of deltas over a batch, for all threads of a column."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    width = reductions.lanes_of(threads)
    height = threads // width
    column_sum = reductions.column_sum(threads)

    def compute(item, ctx, batch, layer, smem):
        columns, ws = ctx.net.sizes[layer + 1], ctx.ws
        column = item * width + cuda.threadIdx.x % width
        total = scalar(0)
        if column < columns:
            for i in range(cuda.threadIdx.x // width, batch.n_rows, height):
                total += ws.deltas[ws.offsets[layer + 1] + i * columns + column]
        return column_sum(smem, total)

    return device(compute)


def use_bias_gradient(spec):
    """Accumulate, store or apply the gradient of a bias (see `use_weight_gradient`)."""
    if spec.optimizer is None:

        def accumulate(ctx, update, step, offset, gradient):
            ctx.ws.gradient[offset] += gradient

        return device(accumulate)
    if spec.clips_gradient:

        def store(ctx, update, step, offset, gradient):
            ctx.ws.gradient[offset] = gradient

        return device(store)
    update_one = elementwise.update_one(spec)

    def apply(ctx, update, step, offset, gradient):
        update_one(ctx.params, update, step, offset, gradient)

    return device(apply)


def bias_gradients(spec):
    """Gradients of some biases of a layer, accumulated, stored or applied.

    For normalized layers the normalization has computed them, and those of the scales.
    """
    threads, trains = spec.tile.threads, spec.intercepts
    width = reductions.lanes_of(threads)
    sums, use_gradient = delta_column_sums(spec), use_bias_gradient(spec)
    normalizes = spec.normalization is not None

    def compute(item, ctx, batch, update, layer, smem):
        net, norm_grad_sums = ctx.net, ctx.ws.norm_grad_sums
        units, last = net.sizes[layer + 1], net.sizes.shape[0] - 2
        column = item * width + cuda.threadIdx.x % width
        is_first = cuda.threadIdx.x < width and column < units
        if normalizes and layer < last:
            unit = net.bias_offsets[layer] - net.bias_offsets[0] + column
            n_hidden = net.bias_offsets[last] - net.bias_offsets[0]
            if is_first:
                step = elementwise.step_of(net, batch, net.scale_segments[layer])
                offset = np.uint64(net.scale_offsets[layer] + column)
                gradient = norm_grad_sums[n_hidden + unit]
                use_gradient(ctx, update, step, offset, gradient)
            if is_first and trains:
                step = elementwise.step_of(net, batch, net.bias_segments[layer])
                offset = np.uint64(net.bias_offsets[layer] + column)
                use_gradient(ctx, update, step, offset, norm_grad_sums[unit])
            return
        total = sums(item, ctx, batch, layer, smem)
        if is_first and trains:
            step = elementwise.step_of(net, batch, net.bias_segments[layer])
            offset = np.uint64(net.bias_offsets[layer] + column)
            use_gradient(ctx, update, step, offset, total)

    return device(compute)


def _add_sparse_products(spec):
    """Add a batch's products of X and deltas to the weight gradient of some features.

    A thread owns whole columns of the weights, so no two threads add to one element.
    One thread a row searches for the row's first element of these features.
    """
    threads = spec.tile.threads

    def compute(first, last, ctx, batch, row_starts):
        net, data, ws = ctx.net, ctx.data, ctx.ws
        units, tid = net.sizes[1], cuda.threadIdx.x
        for before in range(0, batch.n_rows, threads):
            cuda.syncthreads()
            if before + tid < batch.n_rows:
                row = data.row_ids[batch.first + before + tid]
                row_starts[tid] = _lower_bound(data, row, first)
            cuda.syncthreads()
            for i in range(before, min(before + threads, batch.n_rows)):
                end = data.indptr[data.row_ids[batch.first + i] + 1]
                e = row_starts[i - before]
                while e < end and data.indices[e] < last:
                    start = net.weight_offsets[0] + data.indices[e] * units
                    for column in range(tid, units, threads):
                        delta = ws.deltas[ws.offsets[1] + i * units + column]
                        ws.gradient[start + column] += data.x[e] * delta
                    e += 1

    return device(compute)


def sparse_weight_gradient(spec):
    """Gradient of the first layer's weights over sparse rows, some features a block."""
    threads, accumulates = spec.tile.threads, spec.optimizer is None
    add_products = _add_sparse_products(spec)
    use_gradient, store_sums = use_weight_gradient(spec), store_sq_sums(spec)

    def compute(item, partial, ctx, batch, update, row_starts):
        net, ws = ctx.net, ctx.ws
        features, units, tid = net.sizes[0], net.sizes[1], cuda.threadIdx.x
        first = item * SPARSE_FEATURES
        last = min(first + SPARSE_FEATURES, features)
        if not accumulates:
            for column in range(tid, units, threads):
                for feature in range(first, last):
                    ws.gradient[net.weight_offsets[0] + feature * units + column] = 0
        add_products(first, last, ctx, batch, row_starts)
        if accumulates:
            return
        step = elementwise.step_of(net, batch, net.weight_segments[0])
        l2 = update.l2 / type(update.l2)(batch.n_rows)
        weight_sq, grad_sq = type(l2)(0), type(l2)(0)
        for column in range(tid, units, threads):
            for feature in range(first, last):
                offset = np.uint64(net.weight_offsets[0] + feature * units + column)
                gradient = ws.gradient[offset]
                squares = use_gradient(ctx, update, step, offset, gradient, l2)
                weight_sq += squares[0]
                grad_sq += squares[1]
        store_sums(ws, batch, partial, weight_sq, grad_sq)

    return device(compute)


@device
def _lower_bound(data, row, feature):
    """Index of a sparse row's first element with that feature or a later one."""
    low, high = data.indptr[row], data.indptr[row + 1]
    while low < high:
        middle = (low + high) // 2
        if data.indices[middle] < feature:
            low = middle + 1
        else:
            high = middle
    return low


def gradient(spec):
    """Gradients of a layer's weights and biases, accumulated, stored or applied.

    The layer's partial sums of squares begin at item `partial`; returns how many items
    there are.
    """
    dense_part, biases = weight_gradient_tile(spec), bias_gradients(spec)
    sparse = spec.sparse
    sparse_part = sparse_weight_gradient(spec) if sparse else dense_part
    trains = spec.intercepts or spec.normalization is not None
    n_tiles_of_result = tile.n_tiles_of(spec.tile)
    split_level_of_result = tile.split_level_of(spec.tile)
    width = reductions.lanes_of(spec.tile.threads)

    def compute(group, partial, ctx, batch, update, layer, smem, row_starts):
        fan_in, fan_out = ctx.net.sizes[layer], ctx.net.sizes[layer + 1]
        is_sparse = sparse and layer == 0
        split_level = split_level_of_result(fan_in, fan_out)
        n_tiles = n_tiles_of_result(fan_in, fan_out, split_level)
        if is_sparse:
            n_tiles = (fan_in + SPARSE_FEATURES - 1) // SPARSE_FEATURES
        n_items = n_tiles
        if trains:
            n_items += (fan_out + width - 1) // width
        # From the last block on: the first ones still compute the deltas of this phase.
        for item in range(group.n_blocks - 1 - group.block_id, n_items, group.n_blocks):
            if item >= n_tiles:
                biases(item - n_tiles, ctx, batch, update, layer, smem)
            elif is_sparse:
                sparse_part(item, partial + item, ctx, batch, update, row_starts)
            else:
                dense_part(item, partial + item, ctx, batch, update, layer, smem)
        return n_tiles

    return device(compute)
