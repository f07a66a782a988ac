"""Passes over rows, instruction by instruction: copies, and sums of columns.

The rows of a small network are one to a few vectors long. The loop that LLVM's own
vectorizer makes of a pass over one takes four vectors at a time, the rest element by
element, and looks before each row whether what it reads and writes overlap.
"""

from functools import reduce

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skmlp.backends.cpu.gemm.simd import VECTOR_BYTES, Emitter
from skmlp.backends.cpu.intrinsics import advance, flat, pointer
from skmlp.compiler import jit

# Vectors of columns that one pass over the rows sums, and how many sums are made at a
# time: an addition takes some cycles, and a line of the cache is fetched once.
_WIDE, _SUMS = 4, 8


def _lanes(scalar):
    return VECTOR_BYTES * 8 // scalar.bitwidth


def sum_columns(matrix, out):
    """Set out to the sums of a matrix's columns."""


def _sums(vectors, is_whole):
    """An intrinsic that sums the rows of some vectors of columns, or a part of one.

    Its arguments: matrix and its stride by row; number of rows; out; lanes in use of
    the last vector.
    """
    at_once = _SUMS // vectors

    @intrinsic
    def compute(typing_context, matrix, row, rows, out, tail):
        def generate(context, builder, signature, values):
            matrix, row, rows, out, tail = values
            scalar = signature.args[0].dtype
            emit = Emitter(context, builder, scalar, _lanes(scalar))
            mask = None if is_whole else emit.mask(tail)
            offsets = [emit.integer(v * emit.lanes) for v in range(vectors)]
            totals = [
                [cgutils.alloca_once_value(builder, emit.zero) for _ in offsets]
                for _ in range(at_once)
            ]

            def add(i, to):
                here = builder.gep(matrix, [builder.mul(i, row)])
                for offset, total in zip(offsets, to, strict=True):
                    value = emit.load(builder.gep(here, [offset]), mask)
                    builder.store(builder.fadd(builder.load(total), value), total)

            zero, one, several = map(emit.integer, (0, 1, at_once))
            whole = builder.sub(rows, builder.srem(rows, several))
            with cgutils.for_range_slice(builder, zero, whole, several) as (i, _):
                for k, to in enumerate(totals):
                    add(builder.add(i, emit.integer(k)), to)
            with cgutils.for_range_slice(builder, whole, rows, one) as (i, _):
                add(i, totals[0])
            for offset, parts in zip(offsets, zip(*totals, strict=True), strict=True):
                value = reduce(builder.fadd, map(builder.load, parts))
                emit.store(value, builder.gep(out, [offset]), mask)
            return context.get_dummy_value()

        n = types.intp
        return types.void(matrix, n, n, out, n), generate

    return compute


_wide_sums, _whole_sums = _sums(_WIDE, is_whole=True), _sums(1, is_whole=True)
_part_of_sums = _sums(1, is_whole=False)


@jit.overload_by_types(sum_columns)
def _sum_columns(matrix, out):
    lanes = _lanes(matrix.dtype)
    wide = _WIDE * lanes

    def by_vectors(matrix, out):
        rows, columns = matrix.shape
        row = columns
        if columns == 1:
            column = flat(matrix)
            total = matrix.dtype.type(0)
            for i in range(rows):
                total += column[i]
            out[0] = total
            return
        here, there = pointer(flat(matrix), 0), pointer(out, 0)
        while columns > 0:
            if columns >= wide:
                _wide_sums(here, row, rows, there, lanes)
                done = wide
            elif columns >= lanes:
                _whole_sums(here, row, rows, there, lanes)
                done = lanes
            else:
                _part_of_sums(here, row, rows, there, columns)
                done = columns
            here, there = advance(here, done), advance(there, done)
            columns -= done

    return by_vectors


@intrinsic
def copy_row(typing_context, source, target, size):
    """Copy some elements from one pointer to another."""

    def generate(context, builder, signature, values):
        source, target, size = values
        scalar = signature.args[0].dtype
        lanes = _lanes(scalar)
        emit = Emitter(context, builder, scalar, lanes)

        def move(start, mask):
            value = emit.load(builder.gep(source, [start]), mask)
            emit.store(value, builder.gep(target, [start]), mask)

        rest = builder.srem(size, emit.integer(lanes))
        whole = builder.sub(size, rest)
        zero, step = emit.integer(0), emit.integer(lanes)
        with cgutils.for_range_slice(builder, zero, whole, step) as (start, _):
            move(start, None)
        with builder.if_then(builder.icmp_signed(">", rest, zero)):
            move(whole, emit.mask(rest))
        return context.get_dummy_value()

    return types.void(source, target, types.intp), generate
