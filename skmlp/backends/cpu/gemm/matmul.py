"""Products of matrices, by a kernel of our own.

Training multiplies matrices that a BLAS is not made for: 20 to 800 columns by batches
of 32 to 1,000 rows, again and again with other rows. A BLAS packs both factors before
it multiplies, and picks its code by a table of processors, which lags behind them (on
one with 512-bit registers that the table does not know, half the machine's rate). Here
a tile of the result stays in registers while one row of b after the other is read as
vectors, one element of a after the other is spread over a vector, and the width of a
vector is what the compiler says the processor has. A measurement beside OpenBLAS is
part of `benchmarks/products.py`.

Nothing is packed unless rows lie so far apart that every one is on lines of the cache,
or in a page, of its own, and many in the same few sets: then panels of b, and of a
transposed a the part that all panels share, are copied to the stack first.

b must have contiguous rows, while a may have any strides: a transposed first
factor costs nothing, a transposed second factor has to be laid out anew (`transpose`).

An element of the result is summed over the inner dimension in one fixed order, whatever
rows and columns are asked for beside it. Hence the same bits for a row by itself and
within any block.
"""

import functools

from numba import from_dtype, types

from skmlp.backends.cpu.gemm.microkernels import SQUARE, dots, mover, squares, tile
from skmlp.backends.cpu.gemm.simd import MASKS_ARE_FREE, VECTOR_BYTES
from skmlp.backends.cpu.gemm.vector_ops import copy_row
from skmlp.backends.cpu.intrinsics import advance, buffer, least, pointer
from skmlp.compiler import jit

# Rows of b that stay in the cache while all rows of a pass by.
_INNER = 256
# Bytes from row to row, and rows of the result, from which on packing of b pays; fewer
# rows where a is transposed: half of b, the deltas, has then been written by another
# core, and packing asks for it ahead.
_FAR_B, _MANY_ROWS, _MANY_OF_TRANSPOSED = (
    (512, 48, 48) if VECTOR_BYTES == 32 else (1024, 112, 16)
)
# The same of a transposed a, and panels that share what is packed.
_FAR_A, _MANY_PANELS = 2048, 4
# Bytes of an inner row of a that are packed at a time, all of which take 256 KB.
_PACKED_BYTES = 1024
# Rows that are asked for while one is packed: the processor does not see that the next
# will be in another page.
_ROWS_AHEAD = 8
# Panels of b that are packed at a time: a row of a single one of AVX is no more than a
# line of the cache, and a page would be asked for again and again.
_PACKED_PANELS = 4 if VECTOR_BYTES == 32 else 1

# Rows and vectors of a tile: its sums, and what is loaded for them, fit the registers,
# of which AVX has 16 and both AVX-512 and NEON 32.
_ROWS, _VECTORS = (6, 2) if VECTOR_BYTES == 32 else (8, 3)
_HEIGHTS = (_ROWS, 4, 1)
# Room for a tile's rows in a vector of its own.
_TILE = 8


def _panel(vectors, lanes, is_whole):
    """A function that computes all rows of some vectors of columns.

    Of the last vector it takes as many columns as there are, unless it is whole.
    """
    tall, middle, single = (
        tile(height, vectors, lanes, is_whole) for height in _HEIGHTS
    )
    tall_rows, middle_rows, _ = _HEIGHTS

    @jit.inline
    def panel(a, strides, b, start, begins, out, out_row, sizes):
        rows, columns, inner = sizes
        b, b_step = b
        tail = columns - (vectors - 1) * lanes
        row, step, tall_step = strides
        from_row, begin = begins
        while rows > 0:
            from_both = (a, row, step, b, b_step)
            of_result = (start, from_row, begin, out, out_row, inner, tail)
            if rows >= tall_rows:
                tall(*from_both, *of_result)
                done, onward = tall_rows, tall_step
            elif rows >= middle_rows:
                middle(*from_both, *of_result)
                done, onward = middle_rows, middle_rows * row
            else:
                single(*from_both, *of_result)
                done, onward = 1, row
            a, out = advance(a, onward), advance(out, done * out_row)
            start = advance(start, done * from_row)
            rows -= done

    return panel


def _single_column(lanes):
    """The product with a single column b, where rows of a are contiguous."""
    four, one = dots(4, lanes), dots(1, lanes)

    @jit.inline
    def single_column(a, row, b, start, begins, out, out_row, rows, inner):
        from_row, begin = begins
        i = 0
        while i < rows:
            here = advance(a, i * row)
            begun = advance(start, i * from_row)
            there = advance(out, i * out_row)
            if rows - i >= 4:
                four(here, row, b, begun, from_row, begin, there, out_row, inner)
                i += 4
            else:
                one(here, row, b, begun, from_row, begin, there, out_row, inner)
                i += 1

    return single_column


def _columns(lanes):
    """A function for as many columns as a tile is wide, or fewer (see `_panel`)."""
    is_whole = not MASKS_ARE_FREE
    one, two = _panel(1, lanes, is_whole), _panel(2, lanes, is_whole)
    three = two if _VECTORS == 2 else _panel(3, lanes, is_whole)
    # A vector of half the width for the last few columns, of 50 or 100 for example.
    narrow_lanes = lanes // 2
    narrow = _panel(1, narrow_lanes, is_whole=False)
    # Where masks are free, the panels above are for parts of vectors, too.
    part, one_and_part = narrow, two
    if is_whole:
        part = _panel(1, lanes, is_whole=False)
        one_and_part = _panel(2, lanes, is_whole=False)

    @jit.inline
    def multiply_columns(a, strides, b, start, begins, out, out_row, sizes):
        rows, n, inner = sizes
        rest = n % lanes
        # The sums of one vector are too few to keep the processor busy.
        if is_whole and lanes < n < 2 * lanes:
            one_and_part(a, strides, b, start, begins, out, out_row, sizes)
            return
        if rest > narrow_lanes and not is_whole:
            rest = 0
        n -= rest
        some = (rows, n, inner)
        if n > 2 * lanes:
            three(a, strides, b, start, begins, out, out_row, some)
        elif n > lanes:
            two(a, strides, b, start, begins, out, out_row, some)
        elif n > 0:
            one(a, strides, b, start, begins, out, out_row, some)
        if rest > 0:
            b, start = (advance(b[0], n), b[1]), advance(start, n)
            out, some = advance(out, n), (rows, rest, inner)
            if rest > narrow_lanes:
                part(a, strides, b, start, begins, out, out_row, some)
            else:
                narrow(a, strides, b, start, begins, out, out_row, some)

    return multiply_columns


def _pack_rows():
    """A function that lays a transposed a out tile by tile, in the tile's order."""
    whole, part = mover(1, _TILE, is_whole=True), mover(1, _TILE, is_whole=False)

    @jit.inline
    def pack_rows(a, step, packed, rows, inner):
        ahead = _ROWS_AHEAD * step
        for p in range(inner):
            for i in range(0, rows, _ROWS):
                here = advance(a, p * step + i)
                to = advance(packed, (i // _ROWS * inner + p) * _TILE)
                # What is more than a tile's rows is not looked at.
                if rows - i >= _TILE:
                    whole(here, to, _TILE, ahead)
                else:
                    part(here, to, least(_ROWS, rows - i), ahead)

    return pack_rows


def _pack_columns(lanes):
    """A function that lays b out panel by panel.

    Row by row of all panels, for every row is in a page of its own.
    """
    width = _VECTORS * lanes
    move = mover(_VECTORS, lanes, is_whole=True)

    @jit.inline
    def pack_columns(b, b_step, packed, columns, inner):
        for p in range(inner):
            here, to = advance(b, p * b_step), advance(packed, p * width)
            for j in range(0, columns, width):
                n, there = least(width, columns - j), advance(to, j * inner)
                if n == width:
                    move(advance(here, j), there, lanes, _ROWS_AHEAD * b_step)
                else:
                    copy_row(advance(here, j), there, n)

    return pack_columns


def _multiply(scalar, lanes):
    """The function: out = start + a b.

    a is given by a pointer and its strides by row and inner index, one of which is 1;
    b and out, whose rows are contiguous, by a pointer and the stride from row to row.
    A single column of b, and of out for a transposed a, is contiguous too. `begins` is
    the stride by row of `start`, 0 for a row that all begin with, and 1; or 0 to begin
    with zeros.
    """
    itemsize = VECTOR_BYTES // lanes
    width = _VECTORS * lanes
    multiply_columns = _columns(lanes)
    pack_rows, pack_columns = _pack_rows(), _pack_columns(lanes)
    at_once = _PACKED_PANELS * width
    single_column = _single_column(lanes)
    tiles = _PACKED_BYTES // itemsize // _TILE
    room_of_a = buffer(scalar, tiles * _TILE * _INNER)
    room_of_b = buffer(scalar, at_once * _INNER)

    def multiply(a, strides, b, b_step, start, begins, out, out_row, sizes):
        rows, columns, inner = sizes
        # In a single column a vector would have one lane at work.
        if columns == 1 and strides[1] == 1:
            single_column(a, strides[0], b, start, begins, out, out_row, rows, inner)
            return 0
        if columns == 1:
            # As a row: the transposed product of the transposed factors.
            a, strides, b, b_step = b, (0, b_step), a, strides[1]
            rows, columns = 1, rows
        row, step = strides
        tiled, packed = room_of_a(), room_of_b()
        packs_a = row == 1 and step * itemsize >= _FAR_A
        packs_a &= columns >= _MANY_PANELS * width
        many = _MANY_ROWS if step == 1 else _MANY_OF_TRANSPOSED
        packs_b = rows >= many and b_step * itemsize >= _FAR_B
        rows_at_once = tiles * _ROWS if packs_a else rows
        for p in range(0, inner, _INNER):
            depth = least(_INNER, inner - p)
            if p > 0:
                start, begins = out, (out_row, 1)
            from_b = advance(b, p * b_step)
            for i in range(0, rows, rows_at_once):
                here = advance(a, p * step + i * row)
                begun = advance(start, i * begins[0])
                to = advance(out, i * out_row)
                high = least(rows_at_once, rows - i)
                # By row, by inner index, and by as many rows as a tile has.
                how = (row, step, _ROWS * row)
                if packs_a:
                    pack_rows(here, step, tiled, high, depth)
                    here, how = tiled, (1, _TILE, _TILE * depth)
                for j in range(0, columns, width):
                    panel = (advance(from_b, j), b_step)
                    if packs_b:
                        done = j % at_once
                        if done == 0:
                            wide = least(at_once, columns - j)
                            pack_columns(panel[0], b_step, packed, wide, depth)
                        panel = (advance(packed, done * depth), width)
                    multiply_columns(
                        *(here, how, panel),
                        *(advance(begun, j), begins, advance(to, j), out_row),
                        (high, least(width, columns - j), depth),
                    )
        return 0

    return multiply


@functools.cache
def multiplier(dtype):
    """Address of the product in one dtype, for the functions below."""
    scalar = from_dtype(dtype)
    at = types.CPointer(scalar)
    pair, triple = types.UniTuple(types.intp, 2), types.UniTuple(types.intp, 3)
    signature = types.int64(
        *(at, pair, at, types.intp, at, pair, at, types.intp, triple)
    )
    function = _multiply(scalar, VECTOR_BYTES // dtype.itemsize)
    dispatcher, address = jit.loop(function, signature, f"{__name__}.multiply")
    _ALIVE.append(dispatcher)
    return address


# The addresses are in the hands of kernels for as long as the process lives.
_ALIVE: list = []
_call = jit.caller(types.int64)


@jit.inline
def product(multiply, a, b, first, out, sizes):
    """Set out to a b, every row of it added to a first one; all row-major.

    Matrices are given as (array, offset), the first row as (array, offset, 1), or with
    0 for a row of zeros. sizes is (rows of out, columns of out, inner dimension).
    """
    _, columns, inner = sizes
    here, there = pointer(a[0], a[1]), pointer(b[0], b[1])
    start, target = pointer(first[0], first[1]), pointer(out[0], out[1])
    _call(
        multiply,
        (
            *(here, (inner, 1), there, columns, start, (0, first[2])),
            *(target, columns, sizes),
        ),
    )


@jit.inline
def product_of_transposed(multiply, a, b, out, sizes, add):
    """Set out to a.T b, or add it, for some columns of a: (array, offset, width of a).

    sizes is (columns of a that are taken, columns of b, rows of both).
    """
    columns = sizes[1]
    here, there = pointer(a[0], a[1]), pointer(b[0], b[1])
    target = pointer(out[0], out[1])
    _call(
        multiply,
        (
            *(here, (1, a[2]), there, columns, target, (columns, add)),
            *(target, columns, sizes),
        ),
    )


_whole_square, _part_of_square = squares(is_whole=True), squares(is_whole=False)


@jit.inline
def transpose(source, start, target, offset, sizes):
    """Lay rows of `source` out as columns of `target`, a matrix of some width.

    sizes is (rows, columns, width); rows of the source are contiguous from `start` on.
    """
    rows, columns, width = sizes
    if columns == 1:
        copy_row(pointer(source, start), pointer(target, offset), rows)
        return
    for j in range(0, columns, SQUARE):
        wide = least(SQUARE, columns - j)
        for i in range(0, rows, SQUARE):
            high = least(SQUARE, rows - i)
            here = pointer(source, start + i * columns + j)
            there = pointer(target, offset + j * width + i)
            if high == SQUARE and wide == SQUARE:
                _whole_square(here, columns, there, width, high, wide)
            else:
                _part_of_square(here, columns, there, width, high, wide)
