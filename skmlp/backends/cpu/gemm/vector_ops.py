"""Vector operations on rows: copies, and sums of columns.

The rows of a small network are one to a few vectors long. The loop that LLVM's own
vectorizer makes for a row takes four vectors at a time and the remainder element by
element, and before each row it checks whether source and target overlap.
"""

from functools import reduce

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skmlp.backends.cpu.gemm.simd import VECTOR_BYTES, Emitter
from skmlp.backends.cpu.intrinsics import advance, flat, pointer
from skmlp.compiler import jit

# Vectors of columns that one pass over the rows sums, and the number of accumulators:
# an addition takes some cycles, and a cache line is fetched once.
_WIDE, _ACCUMULATORS = 4, 8


def _lanes(scalar):
    return VECTOR_BYTES * 8 // scalar.bitwidth


def sum_columns(matrix, out):
    """Set out to the sums of a matrix's columns."""


def _sum_kernel(vectors, is_whole):
    """An intrinsic that sums the rows of some vectors of columns, or of a partial one.

    Its arguments are the matrix and its row stride, the number of rows, out, and the
    lanes in use of the last vector.
    """
    unroll = _ACCUMULATORS // vectors

    @intrinsic
    def compute(typing_context, matrix, stride, rows, out, tail):
        def generate(context, builder, signature, values):
            matrix, stride, rows, out, tail = values
            scalar = signature.args[0].dtype
            emit = Emitter(context, builder, scalar, _lanes(scalar))
            mask = None if is_whole else emit.mask(tail)
            offsets = [emit.integer(v * emit.lanes) for v in range(vectors)]
            totals = [
                [cgutils.alloca_once_value(builder, emit.zero) for _ in offsets]
                for _ in range(unroll)
            ]

            def add(i, accumulators):
                row = builder.gep(matrix, [builder.mul(i, stride)])
                for offset, total in zip(offsets, accumulators, strict=True):
                    value = emit.load(builder.gep(row, [offset]), mask)
                    builder.store(builder.fadd(builder.load(total), value), total)

            zero, one, several = map(emit.integer, (0, 1, unroll))
            whole = builder.sub(rows, builder.srem(rows, several))
            with cgutils.for_range_slice(builder, zero, whole, several) as (i, _):
                for j, accumulators in enumerate(totals):
                    add(builder.add(i, emit.integer(j)), accumulators)
            with cgutils.for_range_slice(builder, whole, rows, one) as (i, _):
                add(i, totals[0])
            for offset, parts in zip(offsets, zip(*totals, strict=True), strict=True):
                value = reduce(builder.fadd, map(builder.load, parts))
                emit.store(value, builder.gep(out, [offset]), mask)
            return context.get_dummy_value()

        n = types.intp
        return types.void(matrix, n, n, out, n), generate

    return compute


_sum_wide = _sum_kernel(_WIDE, is_whole=True)
_sum_whole = _sum_kernel(1, is_whole=True)
_sum_partial = _sum_kernel(1, is_whole=False)


@jit.overload_by_types(sum_columns)
def _sum_columns(matrix, out):
    lanes = _lanes(matrix.dtype)
    wide = _WIDE * lanes

    def sum_by_vectors(matrix, out):
        rows, columns = matrix.shape
        stride = columns
        if columns == 1:
            column = flat(matrix)
            total = matrix.dtype.type(0)
            for i in range(rows):
                total += column[i]
            out[0] = total
            return
        source, target = pointer(flat(matrix), 0), pointer(out, 0)
        while columns > 0:
            if columns >= wide:
                _sum_wide(source, stride, rows, target, lanes)
                done = wide
            elif columns >= lanes:
                _sum_whole(source, stride, rows, target, lanes)
                done = lanes
            else:
                _sum_partial(source, stride, rows, target, columns)
                done = columns
            source, target = advance(source, done), advance(target, done)
            columns -= done

    return sum_by_vectors


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

        remainder = builder.srem(size, emit.integer(lanes))
        whole = builder.sub(size, remainder)
        zero, step = emit.integer(0), emit.integer(lanes)
        with cgutils.for_range_slice(builder, zero, whole, step) as (start, _):
            move(start, None)
        with builder.if_then(builder.icmp_signed(">", remainder, zero)):
            move(whole, emit.mask(remainder))
        return context.get_dummy_value()

    return types.void(source, target, types.intp), generate
