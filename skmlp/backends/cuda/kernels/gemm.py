"""Products of matrices by tiles: the inner loop of all training on a device.

A block of threads computes a tile of the result. Strips of both factors go through
shared memory, from where each thread reads what its own small tile needs, which stays
in registers; the next strip is on its way from memory meanwhile.

Most products of a training are narrow and long: a layer's gradient has few elements,
each a sum over the whole batch. Wide tiles would leave most of a device without work
there. But a thread with fewer elements of the result would read more of shared memory
than it computes. So where a result has few tiles they are halved along both sides,
once or twice, and four times as many groups of threads share the inner dimension: each
has the whole tile for its part of every strip. All else stays: what a thread holds,
brings and multiplies, which is why one kernel does for all of them.

At the end the groups' sums lie in shared memory, from where each thread takes elements
that lie beside its neighbors', so that what follows reads and writes whole lines of
memory. They are added up in the order of the groups: results do not depend on the
number of blocks, or on who computes which tile.

Where the factors come from is data, too: rows of X in the order of an epoch, weights
read along either side. Rows and columns beyond the result's are those of its edge once
more: nobody looks at the sums, and nothing has to be compared on the way. Indices into
shared memory are unsigned, by which the compiler sees that loads may be joined to 16
bytes.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import cuda

from skmlp.backends.cuda.runtime.jit import device, scalar_type

# How often a tile may be halved, and elements of shared memory between rows of a strip:
# a multiple of those that are loaded at once.
_HALVINGS = 2
_PADDING = 4


class Tile(NamedTuple):
    """How a tile is shared out; the first three numbers are powers of two.

    A tile halved n times has half the width, twice the depth and four times the groups,
    n times over.

    Attributes
    ----------
    side : int
        Threads along each side of the tile: 4 at least.
    each : int
        Rows, and columns, of the result that a thread adds up.
    depth : int
        Elements of the inner dimension in shared memory at a time: half of the tile's
        width at least.
    few : int
        Up to so many tiles of a result are halved.
    """

    side: int
    each: int
    depth: int
    few: int

    @property
    def threads(self):
        """Threads of a block."""
        return self.side * self.side

    @property
    def width(self):
        """Rows, and columns, of a tile that is not halved."""
        return self.side * self.each

    @property
    def loads(self):
        """Elements of a strip that a thread brings."""
        return self.depth * self.width // self.threads

    @property
    def strip(self):
        """Elements of shared memory for a strip of one factor, however halved."""
        return self.depth * self.width + (_PADDING * self.depth << _HALVINGS)

    @property
    def buffer(self):
        """Elements of shared memory in all."""
        return 2 * self.strip

    def halvings(self, rows, columns):
        """How often the tiles of a result are halved."""
        numbers = [_number(rows, columns, self.width >> n) for n in range(_HALVINGS)]
        return sum(number <= self.few for number in numbers)

    def number_for(self, rows, columns):
        """Number of tiles of a result."""
        return _number(rows, columns, self.width >> self.halvings(rows, columns))


def _number(rows, columns, width):
    return -(-rows // width) * -(-columns // width)


def _log(power):
    """The exponent of a power of two."""
    return power.bit_length() - 1


def halvings_of(tile):
    """How often the tiles of a result are halved, for kernels."""
    log, few = _log(tile.width), tile.few

    def halvings(rows, columns):
        found = 0
        for n in range(_HALVINGS):
            shift = log - n
            less = (1 << shift) - 1
            if ((rows + less) >> shift) * ((columns + less) >> shift) <= few:
                found += 1
        return found

    return device(halvings)


def count_of(tile):
    """The number of tiles of a result, for kernels."""
    log = _log(tile.width)

    def count(rows, columns, halvings):
        shift = log - halvings
        less = (1 << shift) - 1
        return ((rows + less) >> shift) * ((columns + less) >> shift)

    return device(count)


def corner_of(tile):
    """First row and column of a tile of a result, by its number, for kernels."""
    log = _log(tile.width)

    def corner(item, columns, halvings):
        shift = log - halvings
        across = (columns + (1 << shift) - 1) >> shift
        return (item // across) << shift, (item % across) << shift

    return device(corner)


def own_of(tile):
    """Where in a result the elements of a tile are that a thread has, for kernels.

    ``own(corner, rows, columns, halvings)``: the first element's row and the column of
    all; the row at which they end; and how many rows they are apart. Beyond the
    result's last column there are none.
    """
    log, threads = _log(tile.width), tile.threads

    def own(corner, rows, columns, halvings):
        tid, shift = cuda.threadIdx.x, log - halvings
        row, column = corner[0] + (tid >> shift), corner[1] + (tid & ((1 << shift) - 1))
        end = min(rows, corner[0] + (1 << shift)) if column < columns else row
        return row, column, end, threads >> shift

    return device(own)


def sum_of(tile):
    """The sum in one of a thread's elements of a tile, for kernels.

    ``total(strips, row, halvings)``: after a product, with the row within the tile.
    """
    log = _log(tile.width)

    def total(strips, row, halvings):
        shift = log - halvings
        stride = np.uint64((1 << shift) + _PADDING)
        place = np.uint64(row) * stride
        place += np.uint64(cuda.threadIdx.x & ((1 << shift) - 1))
        found = strips[place]
        if halvings == 0:
            return found
        onward = stride << np.uint64(shift)
        for other in range(1, 4):
            found += strips[place + np.uint64(other) * onward]
        if halvings == 2:
            for four in range(4, 16, 4):
                for other in range(4):
                    found += strips[place + np.uint64(four + other) * onward]
        return found

    return device(total)


class Factor(NamedTuple):
    """Where the elements of a factor lie; index i of the result, index k inside.

    Attributes
    ----------
    array : array
    offset, step_i, step_k : int
        Place of the first element, and from one element to the next.
    along : int
        1 for a factor whose `step_k` is 1, 0 for one whose `step_i` is. Said apart from
        the steps, for the compiler to know.
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
    along: object
    order: object
    first: object
    gathered: object


def _beginner(tile):
    """A function that finds where what a thread reads of a factor begins."""
    log, log_across = _log(tile.width), _log(tile.threads // tile.width)

    def begin(factor, first, limit, halvings):
        tid = cuda.threadIdx.x
        if factor.along == 1:
            shift = log_across + halvings
            i = min(first + (tid >> shift), limit - 1)
            if factor.gathered == 1:
                i = factor.order[np.uint64(factor.first + i)]
            lane = tid & ((1 << shift) - 1)
            return factor.offset + i * factor.step_i + lane
        shift = log - halvings
        i = min(first + (tid & ((1 << shift) - 1)), limit - 1)
        place = factor.offset + i
        if factor.gathered != 2:
            place += (tid >> shift) * factor.step_k
        return place

    return device(begin)


def _fetcher(tile):
    """A function that reads a thread's share of a strip into registers.

    It takes the place where the share begins, and returns that in the next strip. What
    is beyond the inner dimension is zero.
    """
    log, log_across = _log(tile.width), _log(tile.threads // tile.width)
    loads = tile.loads

    def in_order(registers, factor, place, stride, across, left):
        for q in range(loads):
            value = type(registers[0])(0)
            if q * across < left:
                value = factor.array[np.uint64(place)]
            registers[q] = value
            place += stride
        return place

    def gathered(registers, factor, place, row, across, left):
        for q in range(loads):
            value = type(registers[0])(0)
            if q * across < left:
                number = factor.order[np.uint64(row + q * across)]
                value = factor.array[np.uint64(place + number * factor.step_k)]
            registers[q] = value
        return place

    read, read_gathered = device(in_order), device(gathered)

    def fetch(registers, factor, place, first_k, inner, halvings):
        tid, across = cuda.threadIdx.x, np.int32(1 << (log_across + halvings))
        if factor.along == 1:
            left = np.int32(inner - first_k - (tid & (across - 1)))
            return read(registers, factor, place, across, across, left)
        k = first_k + (tid >> (log - halvings))
        left = np.int32(inner - k)
        if factor.gathered == 2:
            row = factor.first + k
            return read_gathered(registers, factor, place, row, across, left)
        stride = across * factor.step_k
        return read(registers, factor, place, stride, across, left)

    return device(fetch)


def _storer(tile):
    """A function that writes a thread's share of a strip to shared memory."""
    log, log_across = _log(tile.width), _log(tile.threads // tile.width)
    loads = tile.loads

    def store(registers, factor, strips, start, halvings):
        tid, shift = cuda.threadIdx.x, log - halvings
        across = log_across + halvings
        i, k = tid & ((1 << shift) - 1), tid >> shift
        if factor.along == 1:
            i, k = tid >> across, tid & ((1 << across) - 1)
        stride = (1 << shift) + _PADDING
        place, onward = np.uint64(start + k * stride + i), np.uint64(stride << across)
        for q in range(loads):
            strips[place] = registers[q]
            place += onward

    return device(store)


def _multiplier(tile, dtype):
    """A function that adds a group's part of the product of two strips to its sums.

    Places are counted in runs of elements that are loaded at once.
    """
    each, log_side, depth = tile.each, _log(tile.side), tile.depth
    scalar, run = scalar_type(dtype), np.uint64(tile.each)
    second, padding = np.uint64(tile.strip // each), np.uint64(_PADDING // each)

    def multiply(sums, strips, left, halvings):
        a = cuda.local.array(each, scalar)
        b = cuda.local.array(each, scalar)
        tid, log = cuda.threadIdx.x, log_side - halvings
        column, row = tid & ((1 << log) - 1), (tid >> log) & ((1 << log) - 1)
        stride = np.uint64(1 << log) + padding
        from_a = np.uint64(tid >> 2 * log) * stride
        from_b = from_a + np.uint64(column) + second
        from_a += np.uint64(row)
        groups = 1 << 2 * halvings
        onward = np.uint64(groups) * stride
        for _ in range(min(depth >> halvings, (left + groups - 1) >> 2 * halvings)):
            for i in range(each):
                a[i] = strips[from_a * run + np.uint64(i)]
            for j in range(each):
                b[j] = strips[from_b * run + np.uint64(j)]
            for i in range(each):
                for j in range(each):
                    sums[i, j] += a[i] * b[j]
            from_a += onward
            from_b += onward

    return device(multiply)


def _shower(tile):
    """A function that writes the sums of all groups to shared memory (see `sum_of`)."""
    each, log, log_side = tile.each, _log(tile.width), _log(tile.side)
    run, padding = np.uint64(tile.each), np.uint64(_PADDING // each)

    def show(sums, strips, halvings):
        tid, side = cuda.threadIdx.x, log_side - halvings
        column, row = tid & ((1 << side) - 1), (tid >> side) & ((1 << side) - 1)
        first = ((tid >> 2 * side) << (log - halvings)) + row * each
        stride = np.uint64(1 << side) + padding
        place = np.uint64(first) * stride + np.uint64(column)
        for i in range(each):
            for j in range(each):
                strips[place * run + np.uint64(j)] = sums[i, j]
            place += stride

    return device(show)


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
        ``multiply(strips, corner, sizes, factors, halvings)``: shared memory of
        `Tile.buffer` elements, in which the sums are afterwards (see `sum_of`); first
        row and column of the tile; (rows, columns, inner dimension) of the whole; a
        pair of `Factor`. All threads of a block must call it.
    """
    scalar = scalar_type(dtype)
    each, depth, loads, strip = tile.each, tile.depth, tile.loads, tile.strip
    begin, fetch, store = _beginner(tile), _fetcher(tile), _storer(tile)
    multiply_strips, show = _multiplier(tile, dtype), _shower(tile)

    def multiply(strips, corner, sizes, factors, halvings):
        coming_a = cuda.local.array(loads, scalar)
        coming_b = cuda.local.array(loads, scalar)
        sums = cuda.local.array((each, each), scalar)
        rows, columns, inner = sizes
        a, b = factors
        for i in range(each):
            for j in range(each):
                sums[i, j] = 0
        at_a = begin(a, corner[0], rows, halvings)
        at_b = begin(b, corner[1], columns, halvings)
        at_a = fetch(coming_a, a, at_a, 0, inner, halvings)
        at_b = fetch(coming_b, b, at_b, 0, inner, halvings)
        step = depth << halvings
        for k in range(0, inner, step):
            cuda.syncthreads()
            store(coming_a, a, strips, 0, halvings)
            store(coming_b, b, strips, strip, halvings)
            cuda.syncthreads()
            at_a = fetch(coming_a, a, at_a, k + step, inner, halvings)
            at_b = fetch(coming_b, b, at_b, k + step, inner, halvings)
            multiply_strips(sums, strips, inner - k, halvings)
        cuda.syncthreads()
        show(sums, strips, halvings)
        cuda.syncthreads()

    return device(multiply)


@device
def matrix(array, offset, columns, order):
    """A row-major matrix whose rows are counted by i; `order` is any array of int64."""
    return Factor(array, offset, columns, 1, 1, order, 0, 0)


@device
def transposed(array, offset, columns, order):
    """A row-major matrix whose rows are counted by k."""
    return Factor(array, offset, 1, columns, 0, order, 0, 0)


@device
def gathered(array, columns, order, first):
    """Rows of a matrix in some order, counted by i."""
    return Factor(array, 0, columns, 1, 1, order, first, 1)


@device
def gathered_transposed(array, columns, order, first):
    """Rows of a matrix in some order, counted by k."""
    return Factor(array, 0, 1, columns, 0, order, first, 2)
