"""Tiling: how a matrix product is cut into threadblock tiles (see `gemm`).

Host code asks `Tile` how many tiles and which split level a result has; kernels ask the
device functions below, and get the same answers.
"""

from typing import NamedTuple

import numpy as np
from numba import cuda

from skmlp.backends.cuda.runtime.jit import device

# The highest split level, and elements of padding between rows of a strip in shared
# memory: a multiple of those that are loaded at once.
_MAX_SPLIT_LEVEL = 2
SMEM_PADDING = 4


class Tile(NamedTuple):
    """Shape of a threadblock tile; the first three numbers are powers of two.

    At split level n the tile is ``width >> n`` wide and ``tile_k << n`` deep, and has
    ``4**n`` k-slices.

    Attributes
    ----------
    threads_per_side : int
        Threads along each side of the tile: 4 at least.
    thread_tile : int
        Rows, and columns, of the result that a thread accumulates.
    tile_k : int
        Elements of the inner dimension in shared memory at a time: half of the tile's
        width at least.
    split_threshold : int
        A result of at most this many tiles is split.
    """

    threads_per_side: int
    thread_tile: int
    tile_k: int
    split_threshold: int

    @property
    def threads(self):
        """Threads of a block."""
        return self.threads_per_side * self.threads_per_side

    @property
    def width(self):
        """Rows, and columns, of a tile at split level 0."""
        return self.threads_per_side * self.thread_tile

    @property
    def loads(self):
        """Elements of a strip that each thread loads."""
        return self.tile_k * self.width // self.threads

    @property
    def strip_size(self):
        """Elements of shared memory for a strip of one operand, at any split level."""
        return self.tile_k * self.width + (
            SMEM_PADDING * self.tile_k << _MAX_SPLIT_LEVEL
        )

    @property
    def smem_size(self):
        """Elements of shared memory of both operands."""
        return 2 * self.strip_size

    def split_level(self, rows, columns):
        """Split level of a result: how often its tiles are halved."""
        counts = [
            _n_tiles(rows, columns, self.width >> level)
            for level in range(_MAX_SPLIT_LEVEL)
        ]
        return sum(count <= self.split_threshold for count in counts)

    def n_tiles(self, rows, columns):
        """Number of tiles of a result."""
        return _n_tiles(rows, columns, self.width >> self.split_level(rows, columns))


def _n_tiles(rows, columns, width):
    return -(-rows // width) * -(-columns // width)


def log2(power):
    """The exponent of a power of two."""
    return power.bit_length() - 1


def split_level_of(tile):
    """`Tile.split_level` for kernels."""
    log, threshold = log2(tile.width), tile.split_threshold

    def split_level(rows, columns):
        level = 0
        for n in range(_MAX_SPLIT_LEVEL):
            shift = log - n
            mask = (1 << shift) - 1
            if ((rows + mask) >> shift) * ((columns + mask) >> shift) <= threshold:
                level += 1
        return level

    return device(split_level)


def n_tiles_of(tile):
    """`Tile.n_tiles` for kernels, by the split level."""
    log = log2(tile.width)

    def n_tiles(rows, columns, split_level):
        shift = log - split_level
        mask = (1 << shift) - 1
        return ((rows + mask) >> shift) * ((columns + mask) >> shift)

    return device(n_tiles)


class TileOrigin(NamedTuple):
    """First row and column of a tile in its result."""

    row: int
    column: int


def tile_origin_of(tile):
    """The `TileOrigin` of a tile by its index, for kernels."""
    log = log2(tile.width)

    def tile_origin(item, columns, split_level):
        shift = log - split_level
        across = (columns + (1 << shift) - 1) >> shift
        return TileOrigin(
            row=(item // across) << shift, column=(item % across) << shift
        )

    return device(tile_origin)


class OutputSlice(NamedTuple):
    """The elements of a tile that one thread writes in the epilogue.

    All are in one column of the result, in rows from `first_row` up to `end_row`,
    `row_stride` apart; none if the column is beyond the result's last one.
    """

    first_row: int
    column: int
    end_row: int
    row_stride: int


def output_slice_of(tile):
    """The `OutputSlice` of the calling thread, for kernels."""
    log, threads = log2(tile.width), tile.threads

    def output_slice(origin, rows, columns, split_level):
        tid, shift = cuda.threadIdx.x, log - split_level
        row = origin.row + (tid >> shift)
        column = origin.column + (tid & ((1 << shift) - 1))
        end = min(rows, origin.row + (1 << shift)) if column < columns else row
        return OutputSlice(
            first_row=row, column=column, end_row=end, row_stride=threads >> shift
        )

    return device(output_slice)


def sum_k_slices_of(tile):
    """Adds up one element of a tile over the k-slices, for kernels.

    ``sum_k_slices(smem, row, split_level)``: after a product, the element in the
    thread's column of the tile and a row counted within the tile.
    """
    log = log2(tile.width)

    def sum_k_slices(smem, row, split_level):
        shift = log - split_level
        row_stride = np.uint64((1 << shift) + SMEM_PADDING)
        offset = np.uint64(row) * row_stride
        offset += np.uint64(cuda.threadIdx.x & ((1 << shift) - 1))
        total = smem[offset]
        if split_level == 0:
            return total
        slice_stride = row_stride << np.uint64(shift)
        for k_slice in range(1, 4):
            total += smem[offset + np.uint64(k_slice) * slice_stride]
        if split_level == 2:
            for first in range(4, 16, 4):
                for k_slice in range(4):
                    total += smem[offset + np.uint64(first + k_slice) * slice_stride]
        return total

    return device(sum_k_slices)
