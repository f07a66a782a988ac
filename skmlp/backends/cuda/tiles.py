"""Products of matrices by tiles: the inner loop of all training on a device.

A block of threads computes a tile of the result. Strips of both factors go through
shared memory, from where each thread reads what its own small tile needs, which stays
in registers; the next strip is on its way from memory meanwhile. The sum over the inner
dimension is in one fixed order, so results depend neither on the number of blocks nor
on who computes which tile.

Where the factors come from is the caller's: rows of X in the order of an epoch, weights
read along either side. Indices into shared memory are unsigned, by which the compiler
sees that loads may be joined to 16 bytes.
"""

from typing import NamedTuple

import numpy as np
from numba import cuda

from skmlp.backends.cuda.compiling import device, scalar_type


class Tile(NamedTuple):
    """How a tile is shared out.

    Attributes
    ----------
    side : int
        Threads along each side of the tile; a power of two.
    each : int
        Rows, and columns, of the result that a thread computes.
    depth : int
        Elements of the inner dimension in shared memory at a time; divides the number
        of threads.
    """

    side: int
    each: int
    depth: int

    @property
    def threads(self):
        """Threads of a block."""
        return self.side * self.side

    @property
    def width(self):
        """Rows, and columns, of a tile."""
        return self.side * self.each

    @property
    def stride(self):
        """Elements from one row of a strip in shared memory to the next."""
        return self.width + 4

    @property
    def buffer(self):
        """Elements of shared memory for a strip of one factor."""
        return self.depth * self.stride

    def count(self, rows, columns):
        """Number of tiles of a result."""
        return -(-rows // self.width) * -(-columns // self.width)


def count_of(tile):
    """The number of tiles of a result, for kernels."""
    width = tile.width

    def count(rows, columns):
        return (rows + width - 1) // width * ((columns + width - 1) // width)

    return device(count)


def _fetcher(tile, load, by_inner):
    """A function that reads a thread's share of a strip into registers."""
    threads, depth, width = tile.threads, tile.depth, tile.width
    loads = depth * width // threads
    step_i, step_k = (threads // depth, 0) if by_inner else (0, threads // width)

    def fetch(registers, source, first, limit, first_k, inner):
        tid = cuda.threadIdx.x
        i = tid // depth if by_inner else tid % width
        k = tid % depth if by_inner else tid // width
        for q in range(loads):
            row, column = first + i + q * step_i, first_k + k + q * step_k
            value = type(registers[0])(0)
            if row < limit and column < inner:
                value = load(source, row, column)
            registers[q] = value

    return device(fetch)


def _storer(tile, by_inner):
    """A function that writes a thread's share of a strip to shared memory."""
    threads, depth, width, stride = tile.threads, tile.depth, tile.width, tile.stride
    loads = depth * width // threads
    step_i, step_k = (threads // depth, 0) if by_inner else (0, threads // width)

    def store(registers, buffer):
        tid = cuda.threadIdx.x
        i = tid // depth if by_inner else tid % width
        k = tid % depth if by_inner else tid // width
        for q in range(loads):
            place = (k + q * step_k) * stride + i + q * step_i
            buffer[np.uint64(place)] = registers[q]

    return device(store)


def _multiplier(tile, dtype):
    """A function that adds the product of two strips to a thread's sums."""
    each, depth, side = tile.each, tile.depth, tile.side
    scalar = scalar_type(dtype)
    unsigned_each, unsigned_stride = np.uint64(tile.each), np.uint64(tile.stride)

    def multiply(sums, strip_a, strip_b):
        a = cuda.local.array(each, scalar)
        b = cuda.local.array(each, scalar)
        tid = cuda.threadIdx.x
        from_a = np.uint64(tid // side) * unsigned_each
        from_b = np.uint64(tid % side) * unsigned_each
        for _ in range(depth):
            for i in range(each):
                a[i] = strip_a[from_a + np.uint64(i)]
            for j in range(each):
                b[j] = strip_b[from_b + np.uint64(j)]
            for i in range(each):
                for j in range(each):
                    sums[i, j] += a[i] * b[j]
            from_a += unsigned_stride
            from_b += unsigned_stride

    return device(multiply)


def product(tile, dtype, loads, by_inner):
    """A function that computes a tile of a product.

    Parameters
    ----------
    tile : Tile
    dtype : numpy dtype
    loads : tuple of 2 device functions
        ``load(source, i, k)``, elements of the factors, the inner index last.
    by_inner : tuple of 2 bool
        Whether elements of a factor that follow each other in memory have consecutive
        inner indices.

    Returns
    -------
    device function
        ``multiply(sums, buffers, corner, sizes, sources)``: sums of the thread's rows
        and columns; two buffers in shared memory; first row and column of the tile;
        (rows, columns, inner dimension) of the whole; the sources of the factors.
        All threads of a block must call it.
    """
    scalar = scalar_type(dtype)
    each, depth = tile.each, tile.depth
    loads_of_thread = depth * tile.width // tile.threads
    fetch_a, fetch_b = (
        _fetcher(tile, load, along) for load, along in zip(loads, by_inner, strict=True)
    )
    store_a, store_b = (_storer(tile, along) for along in by_inner)
    multiply_strips = _multiplier(tile, dtype)

    def multiply(sums, buffers, corner, sizes, sources):
        coming_a = cuda.local.array(loads_of_thread, scalar)
        coming_b = cuda.local.array(loads_of_thread, scalar)
        rows, columns, inner = sizes
        for i in range(each):
            for j in range(each):
                sums[i, j] = 0
        fetch_a(coming_a, sources[0], corner[0], rows, 0, inner)
        fetch_b(coming_b, sources[1], corner[1], columns, 0, inner)
        for k in range(0, inner, depth):
            cuda.syncthreads()
            store_a(coming_a, buffers[0])
            store_b(coming_b, buffers[1])
            cuda.syncthreads()
            fetch_a(coming_a, sources[0], corner[0], rows, k + depth, inner)
            fetch_b(coming_b, sources[1], corner[1], columns, k + depth, inner)
            multiply_strips(sums, buffers[0], buffers[1])

    return device(multiply)


def corner_of(tile):
    """First row and column of a tile of a result, by its number, for kernels."""
    width = tile.width

    def corner(item, columns):
        across = (columns + width - 1) // width
        return item // across * width, item % across * width

    return device(corner)


def own_of(tile):
    """First row and column of a thread within a tile, for kernels."""
    side, each = tile.side, tile.each

    def own():
        tid = cuda.threadIdx.x
        return tid // side * each, tid % side * each

    return device(own)
