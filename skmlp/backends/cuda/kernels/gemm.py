"""Tiled matrix products (GEMM) in shared memory: the inner loop of all training.

The terms are CUTLASS's. A block of threads computes one *threadblock tile* of the
result. Strips of both operands, `Tile.tile_k` deep, go through shared memory; each
thread reads what its own *thread tile* needs, which it accumulates in registers. Loads
of the next strip from global memory are in flight meanwhile (a software pipeline of two
stages).

Most products of a training are narrow and long: a layer's gradient has few elements,
each a sum over the whole batch. Wide tiles would leave most multiprocessors without
work. Smaller thread tiles would help, but then a thread reads more of shared memory
than it computes. So where a result has few tiles, the kernel uses *sliced-K*: it halves
the tile along both sides, once or twice (the split level), and four times as many
groups of threads, the k-slices, share the inner dimension; each has the whole tile for
its part of every strip. How much a thread holds, loads and multiplies stays the same,
so one compiled loop serves every split level.

At the end the accumulators of all k-slices lie in shared memory. In the epilogue each
thread takes elements beside its neighbors', so global memory is read and written in
whole lines. K-slices are added up in their order: results depend neither on the number
of blocks nor on which block computes which tile.

Where the operands come from is data, too: rows of X gathered in the order of an epoch,
or weights read along either side. Rows and columns beyond the edge of the result repeat
the last one inside: nobody reads those sums, and the loop needs no comparison. Indices
into shared memory are unsigned, which lets the compiler join loads to 16 bytes.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels.tile import SMEM_PADDING, log2
from skmlp.backends.cuda.runtime.jit import device, scalar_type


class Operand(NamedTuple):
    """Where the elements of an operand lie; index i of the result, k the inner one.

    Attributes
    ----------
    array : array
    offset, stride_i, stride_k : int
        Offset of the first element, and from one element to the next.
    k_is_contiguous : int
        1 for an operand whose `stride_k` is 1, 0 for one whose `stride_i` is. Not left
        to the strides: of an operand made in a kernel the compiler knows this field,
        and drops the other branch.
    row_ids : array of int64
    first_row : int
        Row i, or k, of a matrix whose rows are gathered is
        ``row_ids[first_row + i]``.
    gathered : int
        0 for a matrix that is not gathered, 1 if i counts gathered rows, 2 if k does.
    """

    array: object
    offset: object
    stride_i: object
    stride_k: object
    k_is_contiguous: object
    row_ids: object
    first_row: object
    gathered: object


def _first_offset_of(tile):
    """A function for the offset at which a thread begins to load an operand."""
    log, log_across = log2(tile.width), log2(tile.threads // tile.width)

    def first_offset(operand, first, limit, split_level):
        tid = cuda.threadIdx.x
        if operand.k_is_contiguous == 1:
            shift = log_across + split_level
            i = min(first + (tid >> shift), limit - 1)
            if operand.gathered == 1:
                i = operand.row_ids[np.uint64(operand.first_row + i)]
            lane = tid & ((1 << shift) - 1)
            return operand.offset + i * operand.stride_i + lane
        shift = log - split_level
        i = min(first + (tid & ((1 << shift) - 1)), limit - 1)
        offset = operand.offset + i
        if operand.gathered != 2:
            offset += (tid >> shift) * operand.stride_k
        return offset

    return device(first_offset)


def _load_of(tile):
    """A function that loads a thread's part of a strip into registers.

    It takes the offset of that part, and returns the offset in the next strip. Elements
    beyond the inner dimension are zero.
    """
    log, log_across = log2(tile.width), log2(tile.threads // tile.width)
    loads = tile.loads

    def strided(registers, operand, offset, stride, across, left):
        for q in range(loads):
            value = type(registers[0])(0)
            if q * across < left:
                value = operand.array[np.uint64(offset)]
            registers[q] = value
            offset += stride
        return offset

    def gathered(registers, operand, offset, row, across, left):
        for q in range(loads):
            value = type(registers[0])(0)
            if q * across < left:
                row_id = operand.row_ids[np.uint64(row + q * across)]
                value = operand.array[np.uint64(offset + row_id * operand.stride_k)]
            registers[q] = value
        return offset

    load_strided, load_gathered = device(strided), device(gathered)

    def load(registers, operand, offset, first_k, inner, split_level):
        tid, across = cuda.threadIdx.x, np.int32(1 << (log_across + split_level))
        if operand.k_is_contiguous == 1:
            left = np.int32(inner - first_k - (tid & (across - 1)))
            return load_strided(registers, operand, offset, across, across, left)
        k = first_k + (tid >> (log - split_level))
        left = np.int32(inner - k)
        if operand.gathered == 2:
            row = operand.first_row + k
            return load_gathered(registers, operand, offset, row, across, left)
        stride = across * operand.stride_k
        return load_strided(registers, operand, offset, stride, across, left)

    return device(load)


def _store_of(tile):
    """A function that stores a thread's part of a strip to shared memory."""
    log, log_across = log2(tile.width), log2(tile.threads // tile.width)
    loads = tile.loads

    def store(registers, operand, smem, start, split_level):
        tid, shift = cuda.threadIdx.x, log - split_level
        across = log_across + split_level
        i, k = tid & ((1 << shift) - 1), tid >> shift
        if operand.k_is_contiguous == 1:
            i, k = tid >> across, tid & ((1 << across) - 1)
        k_stride = (1 << shift) + SMEM_PADDING
        offset = np.uint64(start + k * k_stride + i)
        stride = np.uint64(k_stride << across)
        for q in range(loads):
            smem[offset] = registers[q]
            offset += stride

    return device(store)


def _multiply_accumulate_of(tile, dtype):
    """A function that adds a k-slice's part of the product of two strips.

    Offsets count runs of `Tile.thread_tile` elements, which are loaded at once.
    """
    thread_tile, log_side, tile_k = (
        tile.thread_tile,
        log2(tile.threads_per_side),
        tile.tile_k,
    )
    scalar, run = scalar_type(dtype), np.uint64(thread_tile)
    second = np.uint64(tile.strip_size // thread_tile)
    padding = np.uint64(SMEM_PADDING // thread_tile)

    def multiply_accumulate(accumulators, smem, left, split_level):
        a = cuda.local.array(thread_tile, scalar)
        b = cuda.local.array(thread_tile, scalar)
        tid, log = cuda.threadIdx.x, log_side - split_level
        column, row = tid & ((1 << log) - 1), (tid >> log) & ((1 << log) - 1)
        k_stride = np.uint64(1 << log) + padding
        offset_a = np.uint64(tid >> 2 * log) * k_stride
        offset_b = offset_a + np.uint64(column) + second
        offset_a += np.uint64(row)
        k_slices = 1 << 2 * split_level
        stride = np.uint64(k_slices) * k_stride
        steps = (left + k_slices - 1) >> 2 * split_level
        for _ in range(min(tile_k >> split_level, steps)):
            for i in range(thread_tile):
                a[i] = smem[offset_a * run + np.uint64(i)]
            for j in range(thread_tile):
                b[j] = smem[offset_b * run + np.uint64(j)]
            for i in range(thread_tile):
                for j in range(thread_tile):
                    accumulators[i, j] += a[i] * b[j]
            offset_a += stride
            offset_b += stride

    return device(multiply_accumulate)


def _store_accumulators_of(tile):
    """A function that stores the accumulators of all k-slices to shared memory."""
    thread_tile, log = tile.thread_tile, log2(tile.width)
    log_side = log2(tile.threads_per_side)
    run, padding = np.uint64(thread_tile), np.uint64(SMEM_PADDING // thread_tile)

    def store_accumulators(accumulators, smem, split_level):
        tid, side = cuda.threadIdx.x, log_side - split_level
        column, row = tid & ((1 << side) - 1), (tid >> side) & ((1 << side) - 1)
        first = ((tid >> 2 * side) << (log - split_level)) + row * thread_tile
        row_stride = np.uint64(1 << side) + padding
        offset = np.uint64(first) * row_stride + np.uint64(column)
        for i in range(thread_tile):
            for j in range(thread_tile):
                smem[offset * run + np.uint64(j)] = accumulators[i, j]
            offset += row_stride

    return device(store_accumulators)


@functools.cache
def matmul_tile(tile, dtype):
    """A function that computes a tile of a product.

    All products share it and differ in `Operand` strides, not in functions: the
    unrolled loops of a tile are most of a kernel's compilation.

    Parameters
    ----------
    tile : Tile
    dtype : numpy dtype

    Returns
    -------
    device function
        ``multiply(smem, origin, sizes, operands, split_level)``: shared memory of
        `Tile.smem_size` elements, which afterwards holds the accumulators (see
        `tile.sum_k_slices_of`); the `TileOrigin`; (rows, columns, inner dimension) of
        the whole product; a pair of `Operand`. All threads of a block must call it.
    """
    scalar, thread_tile, loads = scalar_type(dtype), tile.thread_tile, tile.loads
    tile_k, strip_size = tile.tile_k, tile.strip_size
    first_offset, load, store = _first_offset_of(tile), _load_of(tile), _store_of(tile)
    multiply_accumulate = _multiply_accumulate_of(tile, dtype)
    store_accumulators = _store_accumulators_of(tile)

    def multiply(smem, origin, sizes, operands, split_level):
        next_a = cuda.local.array(loads, scalar)
        next_b = cuda.local.array(loads, scalar)
        accumulators = cuda.local.array((thread_tile, thread_tile), scalar)
        rows, columns, inner = sizes
        a, b = operands
        for i in range(thread_tile):
            for j in range(thread_tile):
                accumulators[i, j] = 0
        offset_a = first_offset(a, origin.row, rows, split_level)
        offset_b = first_offset(b, origin.column, columns, split_level)
        offset_a = load(next_a, a, offset_a, 0, inner, split_level)
        offset_b = load(next_b, b, offset_b, 0, inner, split_level)
        depth = tile_k << split_level
        for k in range(0, inner, depth):
            cuda.syncthreads()
            store(next_a, a, smem, 0, split_level)
            store(next_b, b, smem, strip_size, split_level)
            cuda.syncthreads()
            offset_a = load(next_a, a, offset_a, k + depth, inner, split_level)
            offset_b = load(next_b, b, offset_b, k + depth, inner, split_level)
            multiply_accumulate(accumulators, smem, inner - k, split_level)
        cuda.syncthreads()
        store_accumulators(accumulators, smem, split_level)
        cuda.syncthreads()

    return device(multiply)


@device
def by_rows(array, offset, columns, row_ids):
    """A row-major matrix whose rows i counts; `row_ids` is any array of int64."""
    return Operand(
        array=array,
        offset=offset,
        stride_i=columns,
        stride_k=1,
        k_is_contiguous=1,
        row_ids=row_ids,
        first_row=0,
        gathered=0,
    )


@device
def by_columns(array, offset, columns, row_ids):
    """A row-major matrix whose rows k counts; `row_ids` is any array of int64."""
    return Operand(
        array=array,
        offset=offset,
        stride_i=1,
        stride_k=columns,
        k_is_contiguous=0,
        row_ids=row_ids,
        first_row=0,
        gathered=0,
    )


@device
def gathered_by_rows(array, columns, row_ids, first_row):
    """Gathered rows of a matrix, which i counts."""
    return Operand(
        array=array,
        offset=0,
        stride_i=columns,
        stride_k=1,
        k_is_contiguous=1,
        row_ids=row_ids,
        first_row=first_row,
        gathered=1,
    )


@device
def gathered_by_columns(array, columns, row_ids, first_row):
    """Gathered rows of a matrix, which k counts."""
    return Operand(
        array=array,
        offset=0,
        stride_i=1,
        stride_k=columns,
        k_is_contiguous=0,
        row_ids=row_ids,
        first_row=first_row,
        gathered=2,
    )
