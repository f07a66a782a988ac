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
from itertools import product as pairs

import llvmlite.binding
from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils, config
from numba.extending import intrinsic

from skmlp import jit
from skmlp.backends.cpu.memory import advance, elements, matrix, pointer, vector

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


class _Emitter:
    """Writes the instructions of one tile.

    LLVM's own vectoriser does not keep a tile of sums in registers, so its vectors are
    spelled out.
    """

    def __init__(self, context, builder, scalar, lanes):
        self.builder = builder
        self.lanes = lanes
        self.scalar = context.get_value_type(scalar)
        self.vector = ir.VectorType(self.scalar, lanes)
        self.mask_type = ir.VectorType(ir.IntType(1), lanes)
        self._bytes = scalar.bitwidth // 8
        self._suffix = f"v{lanes}f{scalar.bitwidth}"
        self.zero = ir.Constant(self.vector, [0.0] * lanes)

    def integer(self, value):
        return ir.Constant(ir.IntType(64), value)

    def _function(self, name, result, kinds):
        signature = ir.FunctionType(result, kinds)
        return cgutils.get_or_insert_function(self.builder.module, signature, name)

    def spread(self, value):
        """A vector with the value in every lane."""
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        indices = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        single = self.builder.insert_element(empty, value, first)
        return self.builder.shuffle_vector(single, empty, indices)

    def mask(self, n_lanes):
        """The first lanes on, the others off."""
        kind = ir.VectorType(ir.IntType(64), self.lanes)
        numbers = ir.Constant(kind, list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.spread(n_lanes))

    def load(self, place, mask):
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self._bytes)
        kinds = [place.type, ir.IntType(32), self.mask_type, self.vector]
        name = f"llvm.masked.load.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, self.vector, kinds)
        return self.builder.call(function, [place, align, mask, self.zero])

    def store(self, value, place, mask):
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, place, align=self._bytes)
            return
        kinds = [self.vector, place.type, ir.IntType(32), self.mask_type]
        name = f"llvm.masked.store.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, ir.VoidType(), kinds)
        self.builder.call(function, [value, place, align, mask])

    def multiply_add(self, a, b, c):
        # Fused where the processor can; fma proper would be a call where it cannot.
        name = f"llvm.fmuladd.{self._suffix}"
        function = self._function(name, self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])


def _tile(rows, vectors, lanes):
    """An intrinsic that computes rows × vectors of the result.

    Its arguments: a, its strides by row and by inner index; b and its stride by inner
    index; out and its stride by row; length of the inner dimension; whether to add to
    what out holds; lanes in use of the last vector.
    """

    @intrinsic
    def tile(
        typing_context, a, a_row, a_step, b, b_step, out, out_row, inner, add, tail
    ):
        def generate(context, builder, signature, values):
            a, a_row, a_step, b, b_step, out, out_row, inner, add, tail = values
            emit = _Emitter(context, builder, signature.args[0].dtype, lanes)
            last_mask = emit.mask(tail)
            masks = [None] * (vectors - 1) + [last_mask]
            places = list(pairs(range(rows), range(vectors)))

            def out_place(i, v):
                offset = builder.mul(out_row, emit.integer(i))
                return builder.gep(out, [builder.add(offset, emit.integer(v * lanes))])

            fresh = builder.append_basic_block("fresh")
            loaded = builder.append_basic_block("loaded")
            body = builder.append_basic_block("body")
            done = builder.append_basic_block("done")
            builder.cbranch(
                builder.icmp_signed("!=", add, emit.integer(0)), loaded, fresh
            )
            builder.position_at_end(loaded)
            held = [emit.load(out_place(i, v), masks[v]) for i, v in places]
            builder.branch(body)
            builder.position_at_end(fresh)
            builder.branch(body)

            builder.position_at_end(body)
            p = builder.phi(inner.type)
            a_place = builder.phi(a.type)
            b_place = builder.phi(b.type)
            sums = [builder.phi(emit.vector) for _ in places]
            for block, starts in ((fresh, [emit.zero] * len(places)), (loaded, held)):
                p.add_incoming(emit.integer(0), block)
                a_place.add_incoming(a, block)
                b_place.add_incoming(b, block)
                for total, start in zip(sums, starts, strict=True):
                    total.add_incoming(start, block)
            row_of_b = [
                emit.load(builder.gep(b_place, [emit.integer(v * lanes)]), masks[v])
                for v in range(vectors)
            ]
            spread = []
            for i in range(rows):
                offset = builder.mul(a_row, emit.integer(i))
                spread.append(emit.spread(builder.load(builder.gep(a_place, [offset]))))
            added = [
                emit.multiply_add(spread[i], row_of_b[v], total)
                for (i, v), total in zip(places, sums, strict=True)
            ]
            following = builder.add(p, emit.integer(1))
            p.add_incoming(following, body)
            a_place.add_incoming(builder.gep(a_place, [a_step]), body)
            b_place.add_incoming(builder.gep(b_place, [b_step]), body)
            for total, new in zip(sums, added, strict=True):
                total.add_incoming(new, body)
            builder.cbranch(builder.icmp_signed("<", following, inner), body, done)
            builder.position_at_end(done)
            for (i, v), value in zip(places, added, strict=True):
                emit.store(value, out_place(i, v), masks[v])
            return context.get_dummy_value()

        integers = [types.intp] * 2
        return (
            types.void(
                a, *integers, b, types.intp, out, types.intp, *integers, types.intp
            ),
            generate,
        )

    return tile


def _panel(vectors, lanes):
    """A function that computes all rows of up to `vectors` vectors of columns."""
    tall, middle, single = (_tile(height, vectors, lanes) for height in _HEIGHTS)
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


@jit.inline
def _dot_rows(a, strides, b, out, out_row, sizes, add):
    """The product with a single column b, where rows of a are contiguous."""
    rows, _, inner = sizes
    column = elements(b, inner)
    for i in range(rows):
        row = elements(advance(a, i * strides[0]), inner)
        place = elements(advance(out, i * out_row), 1)
        total = column[0] * 0
        for p in range(inner):
            total += row[p] * column[p]
        place[0] = place[0] + total if add else total


@jit.inline
def _add_rows(a, strides, b, out, sizes, add):
    """The product of a transposed matrix with a single column b."""
    rows, _, inner = sizes
    column = elements(b, inner)
    result = elements(out, rows)
    if not add:
        for i in range(rows):
            result[i] = 0
    for p in range(inner):
        row = elements(advance(a, p * strides[1]), rows)
        for i in range(rows):
            result[i] += row[i] * column[p]


def _multiply(lanes):
    """The loop over panels: out = a b, plus what out holds where `add` is 1.

    a is given by a pointer and its strides by row and inner index, one of which is 1;
    b and out, whose rows are contiguous, by a pointer and the stride from row to row.
    A single column of b, and of out for a transposed a, is contiguous too.
    """
    one, two, three = (_panel(min(v, _VECTORS), lanes) for v in (1, 2, 3))
    width = _VECTORS * lanes

    def multiply(a, strides, b, b_step, out, out_row, sizes, add):
        rows, columns, inner = sizes
        # In a single column a vector would have one lane at work.
        if columns == 1 and strides[1] == 1:
            _dot_rows(a, strides, b, out, out_row, sizes, add)
            return 0
        if columns == 1 and strides[0] == 1:
            _add_rows(a, strides, b, out, sizes, add)
            return 0
        for p in range(0, inner, _INNER):
            depth = min(_INNER, inner - p)
            adds = add if p == 0 else 1
            from_a = advance(a, p * strides[1])
            for j in range(0, columns, width):
                n = min(width, columns - j)
                from_b = advance(b, p * b_step + j)
                to = advance(out, j)
                part = (rows, n, depth)
                if n > 2 * lanes:
                    three(from_a, strides, from_b, b_step, to, out_row, part, adds)
                elif n > lanes:
                    two(from_a, strides, from_b, b_step, to, out_row, part, adds)
                else:
                    one(from_a, strides, from_b, b_step, to, out_row, part, adds)
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
        last = min(first + 16, columns)
        for i in range(rows):
            for j in range(first, last):
                place = vector(target, offset + j * width + i, 1)
                place[0] = given[i, j]
