"""Products of matrices by tiles: the inner loop of all training on a device.

A block of threads computes a tile of the result. Strips of both factors go through
shared memory, from where each thread reads what its own small tile needs, which stays
in registers; the next strip is on its way from memory meanwhile. The sum over the inner
dimension is in one fixed order, so results depend neither on the number of blocks nor
on who computes which tile.

Where the factors come from is data, too: rows of X in the order of an epoch, weights
read along either side. Indices into shared memory are unsigned, by which the compiler
sees that loads may be joined to 16 bytes.
"""

import functools
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

    def count(self, rows, columns):  # type: ignore[override]
        """Number of tiles of a result."""
        return -(-rows // self.width) * -(-columns // self.width)


def count_of(tile):
    """The number of tiles of a result, for kernels."""
    width = tile.width

    def count(rows, columns):
        return (rows + width - 1) // width * ((columns + width - 1) // width)

    return device(count)


class Factor(NamedTuple):
    """Where the elements of a factor lie; index i of the result, index k inside.

    Attributes
    ----------
    array : array
    offset, step_i, step_k : int
        Place of the first element, and from one element to the next. One of the steps
        is 1.
    order : array of int64
    first : int
        Row i, or k, of a matrix whose rows are gathered is that of number
        ``order[first + i]``.
    gathered : int
        0 for a matrix that lies there, 1 if i counts gathered rows, 2 if k does.
    """

    array: object
    offset: object
    step_i: object
    step_k: object
    order: object
    first: object
    gathered: object


@device
def _place(factor, i, k):
    """Where an element of a factor lies."""
    if factor.gathered == 1:
        i = factor.order[np.uint64(factor.first + i)]
    elif factor.gathered == 2:
        k = factor.order[np.uint64(factor.first + k)]
    return factor.offset + i * factor.step_i + k * factor.step_k


def _fetcher(tile):
    """A function that reads a thread's share of a strip into registers."""
    threads, depth, width = tile.threads, tile.depth, tile.width
    loads = depth * width // threads

    def fetch(registers, factor, first, limit, first_k, inner):
        tid = cuda.threadIdx.x
        # Threads that follow each other read what follows each other in memory.
        along = factor.step_k == 1
        i = first + (tid // depth if along else tid % width)
        k = first_k + (tid % depth if along else tid // width)
        along_step, across_step = threads // depth, threads // width
        # One index goes on and is compared with its end, the other stays.
        moving, end, step = i, limit, along_step
        if not along:
            moving, end, step = k, inner, across_step
        if i >= limit or k >= inner:
            end = 0
        place = factor.offset + i * factor.step_i + k * factor.step_k
        stride = step * (factor.step_i if along else factor.step_k)
        for q in range(loads):
            value = type(registers[0])(0)
            if moving < end:
                if factor.gathered > 0:
                    place = _place(
                        factor, moving if along else i, k if along else moving
                    )
                value = factor.array[np.uint64(place)]
            registers[q] = value
            moving += step
            place += stride

    return device(fetch)


def _storer(tile):
    """A function that writes a thread's share of a strip to shared memory."""
    threads, depth, width, stride = tile.threads, tile.depth, tile.width, tile.stride
    loads = depth * width // threads

    def store(registers, factor, buffer):
        tid = cuda.threadIdx.x
        along = factor.step_k == 1
        i = tid // depth if along else tid % width
        k = tid % depth if along else tid // width
        place = k * stride + i
        step = threads // depth if along else threads // width * stride
        for q in range(loads):
            buffer[np.uint64(place)] = registers[q]
            place += step

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


@functools.cache
def product(tile, dtype):
    """A function that computes a tile of a product.

    It is one for all products, by steps and not by functions of their own, since most
    of a kernel's compilation is what the loops of a tile are unrolled to.

    Parameters
    ----------
    tile : Tile
    dtype : numpy dtype

    Returns
    -------
    device function
        ``multiply(sums, buffers, corner, sizes, factors)``: sums of the thread's rows
        and columns; two buffers in shared memory; first row and column of the tile;
        (rows, columns, inner dimension) of the whole; a pair of `Factor`.
        All threads of a block must call it.
    """
    scalar = scalar_type(dtype)
    each, depth = tile.each, tile.depth
    loads = depth * tile.width // tile.threads
    fetch, store = _fetcher(tile), _storer(tile)
    multiply_strips = _multiplier(tile, dtype)

    def multiply(sums, buffers, corner, sizes, factors):
        coming_a = cuda.local.array(loads, scalar)
        coming_b = cuda.local.array(loads, scalar)
        found = cuda.local.array((each, each), scalar)
        rows, columns, inner = sizes
        a, b = factors
        for i in range(each):
            for j in range(each):
                found[i, j] = 0
        fetch(coming_a, a, corner[0], rows, 0, inner)
        fetch(coming_b, b, corner[1], columns, 0, inner)
        for k in range(0, inner, depth):
            cuda.syncthreads()
            store(coming_a, a, buffers[0])
            store(coming_b, b, buffers[1])
            cuda.syncthreads()
            fetch(coming_a, a, corner[0], rows, k + depth, inner)
            fetch(coming_b, b, corner[1], columns, k + depth, inner)
            multiply_strips(found, buffers[0], buffers[1])
        for i in range(each):
            for j in range(each):
                sums[i, j] = found[i, j]

    return device(multiply)


@device
def matrix(array, offset, columns, order):
    """A row-major matrix whose rows are counted by i; `order` is any array of int64."""
    return Factor(array, offset, columns, 1, order, 0, 0)


@device
def transposed(array, offset, columns, order):
    """A row-major matrix whose rows are counted by k."""
    return Factor(array, offset, 1, columns, order, 0, 0)


@device
def gathered(array, columns, order, first):
    """Rows of a matrix in some order, counted by i."""
    return Factor(array, 0, columns, 1, order, first, 1)


@device
def gathered_transposed(array, columns, order, first):
    """Rows of a matrix in some order, counted by k."""
    return Factor(array, 0, 1, columns, order, first, 2)


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
