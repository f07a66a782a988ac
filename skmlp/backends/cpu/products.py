"""Products of matrices, by a kernel of our own.

Training multiplies matrices that a BLAS is not made for: 20 to 800 columns by batches
of 32 to 1,000 rows, again and again with other rows. A BLAS packs both factors before
it multiplies, and picks its code by a table of processors, which lags behind them (on
one with 512-bit registers that the table does not know, half the machine's rate). Here
nothing is packed: a tile of the result stays in registers while one row of b after the
other is read as vectors, one element of a after the other is spread over a vector, and
the width of a vector is what the compiler says the processor has. A measurement beside
OpenBLAS is part of `benchmarks/products.py`.

b must therefore have contiguous rows, while a may have any strides: a transposed first
factor costs nothing, a transposed second factor has to be laid out anew (`transpose`).

An element of the result is summed over the inner dimension in one fixed order, whatever
rows and columns are asked for beside it. Hence the same bits for a row by itself and
within any block.
"""

import functools

import llvmlite.binding
from numba import from_dtype, types
from numba.core import config

from skmlp import jit
from skmlp.backends.cpu.memory import advance, least, matrix, pointer, vector
from skmlp.backends.cpu.tiles import dots, tile

# Rows of b that stay in the cache while all rows of a pass by.
_INNER = 256


def _vector_bytes():
    """Width of a vector register on the processor that Numba compiles for."""
    if config.CPU_FEATURES:
        enabled = set(config.CPU_FEATURES.split(","))
    else:
        host = llvmlite.binding.get_host_cpu_features()
        enabled = {f"+{name}" for name, present in host.items() if present}
    if "+avx512f" in enabled:
        return 64
    return 32 if "+avx" in enabled else 16


_BYTES = _vector_bytes()
# Rows and vectors of a tile: its sums, and what is loaded for them, fit the registers,
# of which AVX has 16 and both AVX-512 and NEON 32.
_ROWS, _VECTORS = (6, 2) if _BYTES == 32 else (8, 3)
_HEIGHTS = (_ROWS, 4, 1)


def _panel(vectors, lanes):
    """A function that computes all rows of up to `vectors` vectors of columns."""
    tall, middle, single = (tile(height, vectors, lanes) for height in _HEIGHTS)
    tall_rows, middle_rows, _ = _HEIGHTS

    @jit.inline
    def panel(a, strides, b, b_step, out, out_row, sizes, add):
        rows, columns, inner = sizes
        tail = columns - (vectors - 1) * lanes
        row, step = strides
        i = 0
        while i < rows:
            here = advance(a, i * row)
            there = advance(out, i * out_row)
            if rows - i >= tall_rows:
                tall(here, row, step, b, b_step, there, out_row, inner, add, tail)
                i += tall_rows
            elif rows - i >= middle_rows:
                middle(here, row, step, b, b_step, there, out_row, inner, add, tail)
                i += middle_rows
            else:
                single(here, row, step, b, b_step, there, out_row, inner, add, tail)
                i += 1

    return panel


def _single_column(lanes):
    """The product with a single column b, where rows of a are contiguous."""
    four, one = dots(4, lanes), dots(1, lanes)

    @jit.inline
    def single_column(a, row, b, out, out_row, rows, inner, add):
        i = 0
        while i < rows:
            here = advance(a, i * row)
            there = advance(out, i * out_row)
            if rows - i >= 4:
                four(here, row, b, there, out_row, add, inner)
                i += 4
            else:
                one(here, row, b, there, out_row, add, inner)
                i += 1

    return single_column


def _multiply(lanes):
    """The loop over panels: out = a b, plus what out holds where `add` is 1.

    a is given by a pointer and its strides by row and inner index, one of which is 1;
    b and out, whose rows are contiguous, by a pointer and the stride from row to row.
    A single column of b, and of out for a transposed a, is contiguous too.
    """
    one, two, three = (_panel(min(v, _VECTORS), lanes) for v in (1, 2, 3))
    width = _VECTORS * lanes
    # A vector of half the width for the last few columns, of 50 or 100 for example.
    narrow_lanes = lanes // 2 if lanes >= 4 else 0
    narrow = _panel(1, max(1, narrow_lanes))
    single_column = _single_column(lanes)

    def multiply(a, strides, b, b_step, out, out_row, sizes, add):
        rows, columns, inner = sizes
        # In a single column a vector would have one lane at work.
        if columns == 1 and strides[1] == 1:
            single_column(a, strides[0], b, out, out_row, rows, inner, add)
            return 0
        if columns == 1:
            # As a row: the transposed product of the transposed factors.
            a, strides, b, b_step = b, (0, b_step), a, strides[1]
            rows, columns = 1, rows
        for p in range(0, inner, _INNER):
            depth = least(_INNER, inner - p)
            adds = add if p == 0 else 1
            from_a = advance(a, p * strides[1])
            for j in range(0, columns, width):
                n = least(width, columns - j)
                rest = n % lanes
                if rest <= narrow_lanes:
                    n -= rest
                else:
                    rest = 0
                from_b = advance(b, p * b_step + j)
                to = advance(out, j)
                part = (rows, n, depth)
                if n > 2 * lanes:
                    three(from_a, strides, from_b, b_step, to, out_row, part, adds)
                elif n > lanes:
                    two(from_a, strides, from_b, b_step, to, out_row, part, adds)
                elif n > 0:
                    one(from_a, strides, from_b, b_step, to, out_row, part, adds)
                if rest > 0:
                    from_b = advance(from_b, n)
                    to = advance(to, n)
                    part = (rows, rest, depth)
                    narrow(from_a, strides, from_b, b_step, to, out_row, part, adds)
        return 0

    return multiply


@functools.cache
def multiplier(dtype):
    """Address of the product in one dtype, for the functions below."""
    scalar = from_dtype(dtype)
    at = types.CPointer(scalar)
    pair, triple = types.UniTuple(types.intp, 2), types.UniTuple(types.intp, 3)
    signature = types.int64(
        at, pair, at, types.intp, at, types.intp, triple, types.intp
    )
    function = _multiply(_BYTES // dtype.itemsize)
    dispatcher, address = jit.loop(function, signature, f"{__name__}.multiply")
    _ALIVE.append(dispatcher)
    return address


# The addresses are in the hands of kernels for as long as the process lives.
_ALIVE: list = []
_call = jit.caller(types.int64)


@jit.inline
def product(multiply, a, b, out, sizes, add):
    """Set out to a b, or add a b to it; all row-major, given as (array, offset).

    sizes is (rows of out, columns of out, inner dimension).
    """
    _, columns, inner = sizes
    here, there, target = (
        pointer(a[0], a[1]),
        pointer(b[0], b[1]),
        pointer(out[0], out[1]),
    )
    _call(multiply, (here, (inner, 1), there, columns, target, columns, sizes, add))


@jit.inline
def product_of_transposed(multiply, a, b, out, sizes, add):
    """Set out to a.T b, or add it, for some columns of a: (array, offset, width of a).

    sizes is (columns of a that are taken, columns of b, rows of both).
    """
    columns = sizes[1]
    here, there, target = (
        pointer(a[0], a[1]),
        pointer(b[0], b[1]),
        pointer(out[0], out[1]),
    )
    _call(multiply, (here, (1, a[2]), there, columns, target, columns, sizes, add))


@jit.inline
def transpose(source, start, target, offset, sizes):
    """Lay rows of `source` out as columns of `target`, a matrix of some width.

    sizes is (rows, columns, width); rows of the source are contiguous from `start` on.
    """
    rows, columns, width = sizes
    given = matrix(source, start, rows, columns)
    for first in range(0, columns, 16):
        last = least(first + 16, columns)
        for i in range(rows):
            for j in range(first, last):
                place = vector(target, offset + j * width + i, 1)
                place[0] = given[i, j]
