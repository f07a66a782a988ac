"""Phases of the piecewise-linear embedding of X's columns (see `skmlp.embedding`).

A batch's rows of X lie in the workspace, with their embedded numbers beside them, as
the inputs of the first layer. The gradient by the embedded numbers takes the place of
the deltas of these inputs. The gradient by an element of a matrix is a sum over the
batch, in a fixed order, by the threads of one block: no two blocks add to one element.
"""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import backward, elementwise, gemm, reductions, tile
from skmlp.backends.cuda.runtime.jit import device, scalar_type


@device
def _fraction(x, low, high):
    """Element of an encoding: how much of a bin lies below x, from 0 to 1."""
    position = (x - low) / (high - low)
    # Not by minimum and maximum, which would hide a nan.
    if position < 0:
        return type(position)(0)
    if position > 1:
        return type(position)(1)
    return position


@device
def _embedded(ctx, x, c, k):
    """Number k of the embedding of x in the embedded column c."""
    embedding, params = ctx.net.embedding, ctx.params
    edges, dim = embedding.edges, embedding.dim
    t, last = embedding.first_bins[c], embedding.first_bins[c + 1] - 1
    # Column c has an edge more than bins, and so has each column before it.
    total = type(x)(0)
    while t < last and x >= edges[t + c + 1]:
        total += params[np.uint64(embedding.offset + t * dim + k)]
        t += 1
    own = params[np.uint64(embedding.offset + t * dim + k)]
    return total + _fraction(x, edges[t + c], edges[t + c + 1]) * own


def embed_rows(spec):
    """Copy a batch's rows of X to the workspace, followed by their embeddings."""
    threads = spec.tile.threads

    def embed(group, ctx, batch):
        embedding, data, ws = ctx.net.embedding, ctx.data, ctx.ws
        features, dim = embedding.n_features, embedding.dim
        width = ctx.net.sizes[0]
        for i in range(group.block_id, batch.n_rows, group.n_blocks):
            row = data.row_ids[batch.first + i] * features
            start = ws.offsets[0] + i * width
            for column in range(cuda.threadIdx.x, features, threads):
                ws.outputs[np.uint64(start + column)] = data.x[np.uint64(row + column)]
            for e in range(cuda.threadIdx.x, width - features, threads):
                c = e // dim
                x = data.x[np.uint64(row + embedding.columns[c])]
                value = _embedded(ctx, x, c, e - c * dim)
                ws.outputs[np.uint64(start + features + e)] = value

    return device(embed)


def embedded_deltas(spec):
    """The loss's gradient by the embedded numbers, from the first layer's deltas."""
    multiply = gemm.matmul_tile(spec.tile, spec.dtype)
    n_tiles_of_result = tile.n_tiles_of(spec.tile)
    origin_of_item = tile.tile_origin_of(spec.tile)
    split_level_of_result = tile.split_level_of(spec.tile)
    output_slice_of_thread = tile.output_slice_of(spec.tile)
    sum_k_slices = tile.sum_k_slices_of(spec.tile)

    def compute(group, ctx, batch, smem):
        net, ws, any_ids = ctx.net, ctx.ws, ctx.ws.offsets
        features, units = net.embedding.n_features, net.sizes[1]
        columns = net.sizes[0] - features
        sizes = (batch.n_rows, columns, units)
        deltas = gemm.by_rows(ws.deltas, ws.offsets[1], units, any_ids)
        first_weight = net.weight_offsets[0] + features * units
        weights = gemm.by_rows(ctx.params, first_weight, units, any_ids)
        split_level = split_level_of_result(batch.n_rows, columns)
        n_tiles = n_tiles_of_result(batch.n_rows, columns, split_level)
        for item in range(group.block_id, n_tiles, group.n_blocks):
            origin = origin_of_item(item, columns, split_level)
            multiply(smem, origin, sizes, (deltas, weights), split_level)
            out = output_slice_of_thread(origin, batch.n_rows, columns, split_level)
            for row in range(out.first_row, out.end_row, out.row_stride):
                delta = sum_k_slices(smem, row - origin.row, split_level)
                offset = np.uint64(ws.offsets[0] + row * columns + out.column)
                ws.deltas[offset] = delta

    return device(compute)


def embedding_gradient(spec):
    """Gradient of the matrices, accumulated, stored or applied as that of biases."""
    threads, scalar = spec.tile.threads, scalar_type(spec.dtype)
    lanes = reductions.lanes_of(threads)
    height = threads // lanes
    column_sum = reductions.column_sum(threads)
    use_gradient = backward.use_bias_gradient(spec)

    def compute(group, ctx, batch, update, smem):
        net, ws, embedding = ctx.net, ctx.ws, ctx.net.embedding
        edges, dim = embedding.edges, embedding.dim
        width = net.sizes[0]
        columns = width - embedding.n_features
        step = elementwise.step_of(net, batch, embedding.segment)
        n_params = embedding.bin_columns.shape[0] * dim
        y, n_items = cuda.threadIdx.x // lanes, (n_params + lanes - 1) // lanes
        for item in range(group.block_id, n_items, group.n_blocks):
            e = item * lanes + cuda.threadIdx.x % lanes
            total = scalar(0)
            if e < n_params:
                t = e // dim
                c = embedding.bin_columns[t]
                low, high = edges[t + c], edges[t + c + 1]
                first_x = ws.offsets[0] + embedding.columns[c]
                first_delta = ws.offsets[0] + c * dim + e - t * dim
                for i in range(y, batch.n_rows, height):
                    x = ws.outputs[np.uint64(first_x + i * width)]
                    delta = ws.deltas[np.uint64(first_delta + i * columns)]
                    total += _fraction(x, low, high) * delta
            total = column_sum(smem, total)
            if y == 0 and e < n_params:
                offset = np.uint64(embedding.offset + e)
                use_gradient(ctx, update, step, offset, total)

    return device(compute)
