"""Matrix products (GEMM): loops over packed panels around a micro-kernel.

Training multiplies matrices that BLAS libraries are not tuned for: 20 to 800 columns by
batches of 32 to 1,000 rows, again and again with other rows. A BLAS packs both factors
before it multiplies, and picks its kernel from a table of processors, which lags behind
them (on a processor with 512-bit registers that the table does not know, it runs at
half the machine's rate). Here a register tile of C accumulates while rows of B are read
as vectors and elements of A are broadcast over a vector; the vector width is what the
compiler reports for the processor. `benchmarks/products.py` measures it beside
OpenBLAS.

A factor is packed only where its rows lie so far apart that each one touches its own
cache lines or its own page, and many fall into the same few cache sets. Then panels of
B, and of a transposed A the part that all panels share, are first copied to a packing
buffer, of which each worker has one: some hundred kilobytes do not fit a small
stack. Without that buffer the product is slower, and the same.

Rows of B must be contiguous, while A may have any strides: a transposed first factor
costs nothing, a transposed second factor has to be laid out anew (`transpose`).

Every element of the result is summed over the inner dimension in one fixed order, which
does not depend on the rows and columns computed beside it. Hence a row has the same
bits when it is computed alone and within any block.
"""

import functools

from numba import from_dtype, types

from skmlp.backends.cpu.gemm.microkernels import (
    SQUARE,
    copy_kernel,
    dot_kernel,
    micro_kernel,
    transpose_kernel,
)
from skmlp.backends.cpu.gemm.simd import MASKS_ARE_FREE, VECTOR_BYTES
from skmlp.backends.cpu.gemm.vector_ops import copy_row
from skmlp.backends.cpu.intrinsics import advance, min_int, pointer
from skmlp.compiler import jit

# Inner dimension of a pass (KC in BLIS): rows of B that stay in the cache while all
# rows of A are multiplied by them.
_KC = 256
# B is packed from this stride (bytes from row to row) and this many rows of C on; from
# fewer rows on where A is transposed: half of B, the deltas, has then been written by
# another core, and packing prefetches it.
_PACK_B_STRIDE, _PACK_B_ROWS, _PACK_B_ROWS_TRANSPOSED = (
    (512, 48, 48) if VECTOR_BYTES == 32 else (1024, 112, 16)
)
# A transposed A is packed from this stride, and this many panels that share it, on.
_PACK_A_STRIDE, _PACK_A_PANELS = 2048, 4
# Bytes of an inner row of A that are packed at a time; the packed block takes 256 KB.
_PACKED_A_BYTES = 1024
# Rows to prefetch ahead while packing: the hardware prefetcher stops at page borders,
# and the next row is in another page.
_ROWS_AHEAD = 8
# Panels of B that are packed at a time: a row of a single AVX panel is no more than a
# cache line, so every page would be visited again and again.
_PACKED_B_PANELS = 4 if VECTOR_BYTES == 32 else 1

# The register tile, MR rows by NR vectors: its accumulators, and the operands loaded
# for them, fit the registers, of which AVX has 16 and both AVX-512 and NEON 32.
_MR, _NR_VECTORS = (6, 2) if VECTOR_BYTES == 32 else (8, 3)
_TILE_ROWS = (_MR, 4, 1)
# Elements that MR rows of a packed A take, padding included.
_PACKED_MR = 8


def _panel_kernel(vectors, lanes, is_whole):
    """The loop of the micro-kernel over all rows of one panel, `vectors` wide.

    The last vector may be partial, with the lanes that the shape leaves, unless the
    panel is whole.
    """
    tall, middle, single = (
        micro_kernel(rows, vectors, lanes, is_whole) for rows in _TILE_ROWS
    )
    tall_rows, middle_rows, _ = _TILE_ROWS

    @jit.inline
    def panel_kernel(a, b, c, out, shape):
        m, n, k = shape
        a, a_stride, k_stride, tile_stride = a
        c, c_stride, beta = c
        out, out_stride = out
        tail = n - (vectors - 1) * lanes
        while m > 0:
            a_tile, c_tile = (a, a_stride, k_stride), (c, c_stride, beta)
            out_tile = (out, out_stride)
            if m >= tall_rows:
                tall(a_tile, b, c_tile, out_tile, k, tail)
                done, a_step = tall_rows, tile_stride
            elif m >= middle_rows:
                middle(a_tile, b, c_tile, out_tile, k, tail)
                done, a_step = middle_rows, middle_rows * a_stride
            else:
                single(a_tile, b, c_tile, out_tile, k, tail)
                done, a_step = 1, a_stride
            a, out = advance(a, a_step), advance(out, done * out_stride)
            c = advance(c, done * c_stride)
            m -= done

    return panel_kernel


def _column_kernel(lanes):
    """The product with a single column b (GEMV), where rows of A are contiguous."""
    four, one = dot_kernel(4, lanes), dot_kernel(1, lanes)

    @jit.inline
    def column_kernel(a, b, c, out, shape):
        m, k = shape
        a, a_stride = a
        c, c_stride, beta = c
        out, out_stride = out
        i = 0
        while i < m:
            a_rows = (advance(a, i * a_stride), a_stride)
            c_rows = (advance(c, i * c_stride), c_stride, beta)
            out_rows = (advance(out, i * out_stride), out_stride)
            if m - i >= 4:
                four(a_rows, b, c_rows, out_rows, k)
                i += 4
            else:
                one(a_rows, b, c_rows, out_rows, k)
                i += 1

    return column_kernel


def _macro_kernel(lanes):
    """The product for at most NR vectors of columns (see `_panel_kernel`)."""
    is_whole = not MASKS_ARE_FREE
    one, two = _panel_kernel(1, lanes, is_whole), _panel_kernel(2, lanes, is_whole)
    three = two if _NR_VECTORS == 2 else _panel_kernel(3, lanes, is_whole)
    # A vector of half the width for the last few columns, of 50 or 100 for example.
    narrow_lanes = lanes // 2
    narrow = _panel_kernel(1, narrow_lanes, is_whole=False)
    # Where masks are free, the panels above may be partial, too.
    partial, one_and_partial = narrow, two
    if is_whole:
        partial = _panel_kernel(1, lanes, is_whole=False)
        one_and_partial = _panel_kernel(2, lanes, is_whole=False)

    @jit.inline
    def macro_kernel(a, b, c, out, shape):
        m, n, k = shape
        remainder = n % lanes
        # The accumulators of one vector are too few to hide the latency of FMA.
        if is_whole and lanes < n < 2 * lanes:
            one_and_partial(a, b, c, out, shape)
            return
        if remainder > narrow_lanes and not is_whole:
            remainder = 0
        n -= remainder
        main = (m, n, k)
        if n > 2 * lanes:
            three(a, b, c, out, main)
        elif n > lanes:
            two(a, b, c, out, main)
        elif n > 0:
            one(a, b, c, out, main)
        if remainder > 0:
            b_data, b_stride = b
            c_data, c_stride, beta = c
            out_data, out_stride = out
            b = (advance(b_data, n), b_stride)
            c = (advance(c_data, n), c_stride, beta)
            out = (advance(out_data, n), out_stride)
            last = (m, remainder, k)
            if remainder > narrow_lanes:
                partial(a, b, c, out, last)
            else:
                narrow(a, b, c, out, last)

    return macro_kernel


def _pack_a():
    """A function that packs a transposed A tile by tile, in the tile's order."""
    whole = copy_kernel(1, _PACKED_MR, is_whole=True)
    partial = copy_kernel(1, _PACKED_MR, is_whole=False)

    @jit.inline
    def pack_a(a, k_stride, packed, m, k):
        ahead = _ROWS_AHEAD * k_stride
        for p in range(k):
            for i in range(0, m, _MR):
                source = advance(a, p * k_stride + i)
                target = advance(packed, (i // _MR * k + p) * _PACKED_MR)
                # Elements beyond a tile's MR rows are copied but never read.
                if m - i >= _PACKED_MR:
                    whole(source, target, _PACKED_MR, ahead)
                else:
                    partial(source, target, min_int(_MR, m - i), ahead)

    return pack_a


def _pack_b(lanes):
    """A function that packs B panel by panel.

    It goes through all panels row by row, because every row is in another page.
    """
    nr = _NR_VECTORS * lanes
    move = copy_kernel(_NR_VECTORS, lanes, is_whole=True)

    @jit.inline
    def pack_b(b, b_stride, packed, n, k):
        for p in range(k):
            row, target = advance(b, p * b_stride), advance(packed, p * nr)
            for j in range(0, n, nr):
                width, panel = min_int(nr, n - j), advance(target, j * k)
                if width == nr:
                    move(advance(row, j), panel, lanes, _ROWS_AHEAD * b_stride)
                else:
                    copy_row(advance(row, j), panel, width)

    return pack_b


def _packed_sizes(itemsize):
    """Elements of a buffer to pack B, and of one to pack B and a transposed A."""
    nr = _NR_VECTORS * (VECTOR_BYTES // itemsize)
    b_size = _PACKED_B_PANELS * nr * _KC
    return b_size, b_size + _PACKED_A_BYTES // itemsize * _KC


def packing_size(width, dtype, predicted_rows=None):
    """Elements of the packing buffer for the products of a network.

    Parameters
    ----------
    width : int
        Most elements of a row of a matrix.
    dtype : numpy dtype
    predicted_rows : int, default=None
        Most rows of a result where no product is one of a transposed matrix, as in
        predictions.

    Returns
    -------
    int
        0 where no factor is packed.
    """
    if width * dtype.itemsize < _PACK_B_STRIDE:
        return 0
    b_size, both_size = _packed_sizes(dtype.itemsize)
    if predicted_rows is None:
        return both_size
    return b_size if predicted_rows >= _PACK_B_ROWS else 0


def _gemm(lanes):
    """The function ``out = beta * C + A B``, where beta is 0 or 1.

    A is given as (pointer, row stride, inner stride), and one of these strides is 1; B
    as (pointer, row stride); C as (pointer, row stride, beta), where a row stride of 0
    stands for one row that all rows of the result share; out as (pointer, row stride).
    Rows of B, C and out are contiguous. A single column of B, and of out for a
    transposed A, is contiguous, too. The shape is (m, n, k): rows and columns of out,
    and the inner dimension. The packing buffer is given as (pointer, size); a size of
    `_packed_sizes` packs B, or both factors, and any smaller one nothing.
    """
    itemsize = VECTOR_BYTES // lanes
    nr = _NR_VECTORS * lanes
    b_size, both_size = _packed_sizes(itemsize)
    macro_kernel = _macro_kernel(lanes)
    pack_a, pack_b = _pack_a(), _pack_b(lanes)
    nc = _PACKED_B_PANELS * nr
    column_kernel = _column_kernel(lanes)
    packed_tiles = _PACKED_A_BYTES // itemsize // _PACKED_MR

    def gemm(a, b, c, out, shape, packing):
        m, n, k = shape
        a_data, a_stride, k_stride = a
        b_data, b_stride = b
        c_data, c_stride, beta = c
        out_data, out_stride = out
        # In a single column only one lane of a vector would work.
        if n == 1 and k_stride == 1:
            column_kernel((a_data, a_stride), b_data, c, out, (m, k))
            return 0
        if n == 1:
            # As a row: the transposed product of the transposed factors.
            a_data, b_data = b_data, a_data
            a_stride, k_stride, b_stride = 0, b_stride, k_stride
            m, n = 1, m
        packed_b, room = packing
        packed_a = advance(packed_b, b_size)
        packs_a = room >= both_size and a_stride == 1
        packs_a &= k_stride * itemsize >= _PACK_A_STRIDE and n >= _PACK_A_PANELS * nr
        min_rows = _PACK_B_ROWS if k_stride == 1 else _PACK_B_ROWS_TRANSPOSED
        packs_b = room >= b_size and m >= min_rows
        packs_b &= b_stride * itemsize >= _PACK_B_STRIDE
        mc = packed_tiles * _MR if packs_a else m
        for p in range(0, k, _KC):
            depth = min_int(_KC, k - p)
            if p > 0:
                c_data, c_stride, beta = out_data, out_stride, 1
            b_rows = advance(b_data, p * b_stride)
            for i in range(0, m, mc):
                a_block = advance(a_data, p * k_stride + i * a_stride)
                c_block = advance(c_data, i * c_stride)
                out_block = advance(out_data, i * out_stride)
                height = min_int(mc, m - i)
                a_panel = (a_block, a_stride, k_stride, _MR * a_stride)
                if packs_a:
                    pack_a(a_block, k_stride, packed_a, height, depth)
                    a_panel = (packed_a, 1, _PACKED_MR, _PACKED_MR * depth)
                for j in range(0, n, nr):
                    b_panel = (advance(b_rows, j), b_stride)
                    if packs_b:
                        done = j % nc
                        if done == 0:
                            width = min_int(nc, n - j)
                            pack_b(advance(b_rows, j), b_stride, packed_b, width, depth)
                        b_panel = (advance(packed_b, done * depth), nr)
                    macro_kernel(
                        a_panel,
                        b_panel,
                        (advance(c_block, j), c_stride, beta),
                        (advance(out_block, j), out_stride),
                        (height, min_int(nr, n - j), depth),
                    )
        return 0

    return gemm


def multiplier(dtype, packing):
    """The matrix product of one worker, for the functions below.

    Parameters
    ----------
    dtype : numpy dtype
    packing : ndarray
        The worker's packing buffer.

    Returns
    -------
    tuple (int, ndarray)
        Address of `gemm`, and the buffer.
    """
    return gemm_address(dtype), packing


@functools.cache
def gemm_address(dtype):
    """Address of `gemm` in one dtype."""
    scalar = from_dtype(dtype)
    pointer_type, n = types.CPointer(scalar), types.intp
    a = types.Tuple((pointer_type, n, n))
    b = types.Tuple((pointer_type, n))
    signature = types.int64(a, b, a, b, types.UniTuple(n, 3), b)
    function = _gemm(VECTOR_BYTES // dtype.itemsize)
    dispatcher, address = jit.loop(function, signature, f"{__name__}.gemm")
    _ALIVE.append(dispatcher)
    return address


# Kernels use the addresses for as long as the process lives.
_ALIVE: list = []
_call = jit.caller(types.int64)


@jit.inline
def product(gemm, a, b, c, out, shape):
    """Set out to A B, plus one row c to each of its rows; all row-major.

    `gemm` is from `multiplier`. Matrices are given as (array, offset), the row as
    (array, offset, beta), where beta is 1, or 0 for a row of zeros. shape is (rows of
    out, columns of out, inner dimension).
    """
    address, packing = gemm
    a, a_offset = a
    b, b_offset = b
    c, c_offset, beta = c
    out, out_offset = out
    _, n, k = shape
    _call(
        address,
        (
            (pointer(a, a_offset), k, 1),
            (pointer(b, b_offset), n),
            (pointer(c, c_offset), 0, beta),
            (pointer(out, out_offset), n),
            shape,
            (pointer(packing, 0), packing.shape[0]),
        ),
    )


@jit.inline
def product_of_transposed(gemm, a, b, out, shape, beta):
    """Set out to A.T B, or add it where beta is 1.

    Some columns of A are given as (array, offset, columns of all of A), B and out as
    (array, offset). shape is (columns of A that are used, columns of B, rows of both).
    """
    address, packing = gemm
    a, a_offset, a_columns = a
    b, b_offset = b
    out, out_offset = out
    _, n, _ = shape
    target = pointer(out, out_offset)
    _call(
        address,
        (
            (pointer(a, a_offset), 1, a_columns),
            (pointer(b, b_offset), n),
            (target, n, beta),
            (target, n),
            shape,
            (pointer(packing, 0), packing.shape[0]),
        ),
    )


_whole_square = transpose_kernel(is_whole=True)
_partial_square = transpose_kernel(is_whole=False)


@jit.inline
def transpose(source, source_offset, target, target_offset, shape):
    """Copy rows of `source` to columns of `target`.

    shape is (rows, columns, row stride of the target); rows of the source are
    contiguous.
    """
    rows, columns, stride = shape
    if columns == 1:
        copy_row(pointer(source, source_offset), pointer(target, target_offset), rows)
        return
    for j in range(0, columns, SQUARE):
        width = min_int(SQUARE, columns - j)
        for i in range(0, rows, SQUARE):
            height = min_int(SQUARE, rows - i)
            from_square = pointer(source, source_offset + i * columns + j)
            to_square = pointer(target, target_offset + j * stride + i)
            if height == SQUARE and width == SQUARE:
                _whole_square(from_square, columns, to_square, stride, height, width)
            else:
                _partial_square(from_square, columns, to_square, stride, height, width)
