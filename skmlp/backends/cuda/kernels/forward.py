"""Phases of the forward pass: rows of X, matrix products, activations."""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, embedding, gemm, tile
from skmlp.backends.cuda.runtime.jit import device, rule, scalar_type
from skmlp.rules.randomness import key_of, normal_of, word_of


def copy_rows(spec):
    """Copy a batch's rows of X to the workspace, with noise where there is any.

    Where columns of X are embedded, the embedded numbers follow them.
    """
    if spec.embeds:
        return embedding.embed_rows(spec)
    threads, has_noise = spec.tile.threads, spec.has_noise
    key_of_layer, word, normal = rule(key_of), rule(word_of), rule(normal_of)

    def copy(group, ctx, batch):
        features, data, ws = ctx.net.sizes[0], ctx.data, ctx.ws
        key = key_of_layer(ctx.reg.seed, batch.step_index, 0)
        for i in range(group.block_id, batch.n_rows, group.n_blocks):
            row = data.row_ids[batch.first + i]
            for column in range(cuda.threadIdx.x, features, threads):
                value = data.x[np.uint64(row * features + column)]
                e = i * features + column
                if has_noise:
                    counter = np.uint32(e & 0xFFFFFFFF)
                    value += normal(word(key, counter), ctx.reg.noise_std)
                ws.outputs[np.uint64(ws.offsets[0] + e)] = value

    return device(copy)


def finish(spec):
    """Epilogue of one element of a layer's product, to which no bias is added yet."""
    activate = elementwise.activate(spec)
    normalizes = spec.normalization is not None

    def store(ctx, batch, layer, row, column, z):
        net, ws = ctx.net, ctx.ws
        is_last = layer == net.sizes.shape[0] - 2
        # The loss adds the last layer's biases, a normalization its own.
        if is_last or normalizes:
            units = net.sizes[layer + 1]
            offset = ws.offsets[layer + 1] + row * units + column
            ws.outputs[np.uint64(offset)] = z
            return
        bias = ctx.params[np.uint64(net.bias_offsets[layer] + column)]
        activate(ctx, batch, layer, row, column, z + bias)

    return device(store)


def _finish_tile(spec):
    """Epilogue of a thread's elements of a tile."""
    output_slice_of_thread = tile.output_slice_of(spec.tile)
    sum_k_slices, store = tile.sum_k_slices_of(spec.tile), finish(spec)

    def finish_tile(smem, origin, split_level, ctx, batch, layer):
        units = ctx.net.sizes[layer + 1]
        out = output_slice_of_thread(origin, batch.n_rows, units, split_level)
        for row in range(out.first_row, out.end_row, out.row_stride):
            z = sum_k_slices(smem, row - origin.row, split_level)
            store(ctx, batch, layer, row, out.column, z)

    return device(finish_tile)


def sparse_first_layer(spec):
    """The first layer over sparse rows: a block a row, a thread a column."""
    threads, store = spec.tile.threads, finish(spec)
    scalar = scalar_type(spec.dtype)

    def forward(group, ctx, batch):
        units, data = ctx.net.sizes[1], ctx.data
        for i in range(group.block_id, batch.n_rows, group.n_blocks):
            row = data.row_ids[batch.first + i]
            for column in range(cuda.threadIdx.x, units, threads):
                z = scalar(0)
                for e in range(data.indptr[row], data.indptr[row + 1]):
                    offset = ctx.net.weight_offsets[0] + data.indices[e] * units
                    z += data.x[e] * ctx.params[offset + column]
                store(ctx, batch, 0, i, column, z)

    return device(forward)


def dense_layer(spec):
    """A layer's matrix product and its epilogue."""
    multiply, copies_x = gemm.matmul_tile(spec.tile, spec.dtype), spec.copies_x
    n_tiles_of_result = tile.n_tiles_of(spec.tile)
    origin_of_item = tile.tile_origin_of(spec.tile)
    split_level_of_result = tile.split_level_of(spec.tile)
    finish_tile = _finish_tile(spec)

    def forward(group, ctx, batch, layer, smem):
        net, data, ws = ctx.net, ctx.data, ctx.ws
        fan_in, units = net.sizes[layer], net.sizes[layer + 1]
        sizes = (batch.n_rows, units, fan_in)
        rows = gemm.by_rows(ws.outputs, ws.offsets[layer], fan_in, data.row_ids)
        if layer == 0 and not copies_x:
            rows = gemm.gathered_by_rows(data.x, fan_in, data.row_ids, batch.first)
        first_weight = net.weight_offsets[layer]
        weights = gemm.by_columns(ctx.params, first_weight, units, data.row_ids)
        split_level = split_level_of_result(batch.n_rows, units)
        n_tiles = n_tiles_of_result(batch.n_rows, units, split_level)
        for item in range(group.block_id, n_tiles, group.n_blocks):
            origin = origin_of_item(item, units, split_level)
            multiply(smem, origin, sizes, (rows, weights), split_level)
            finish_tile(smem, origin, split_level, ctx, batch, layer)

    return device(forward)


def layer(spec):
    """A layer, the first one over dense or sparse rows."""
    dense = dense_layer(spec)
    if not spec.sparse:
        return dense
    sparse = sparse_first_layer(spec)

    def forward(group, ctx, batch, layer, smem):
        if layer == 0:
            sparse(group, ctx, batch)
        else:
            dense(group, ctx, batch, layer, smem)

    return device(forward)
