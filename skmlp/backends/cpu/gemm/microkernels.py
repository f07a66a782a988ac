"""Micro-kernels of the matrix product: register tiles in LLVM IR.

LLVM's own vectorizer does not keep a tile of accumulators in registers, so the vector
instructions of the innermost loops of `matmul` are written out here. Lanes beyond a
matrix's last column are masked: neither read nor written. Whole tiles use no masks
where masks cost something (see `simd`).
"""

from itertools import product as pairs

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skmlp.backends.cpu.gemm.simd import Emitter


def micro_kernel(rows, vectors, lanes, is_whole):
    """An intrinsic that computes a register tile of rows × vectors of the result.

    Its arguments are a (pointer, row stride, inner stride), b (pointer, inner stride),
    c (pointer, row stride, beta), out (pointer, row stride), the length k of the inner
    dimension, and the lanes in use of the last vector. The accumulators start at c
    where beta is not zero, else at zero.
    """

    @intrinsic
    def compute(typing_context, a, b, c, out, k, tail):
        def generate(context, builder, signature, values):
            *matrices, k, tail = values
            a, b, c, out = (cgutils.unpack_tuple(builder, part) for part in matrices)
            a, a_stride, a_step = a
            b, b_step = b
            c, c_stride, beta = c
            out, out_stride = out
            scalar = signature.args[0].types[0].dtype
            emit = Emitter(context, builder, scalar, lanes)
            last_mask = None if is_whole else emit.mask(tail)
            masks = [None] * (vectors - 1) + [last_mask]
            tile = list(pairs(range(rows), range(vectors)))

            def vector_address(matrix, stride, i, v):
                offset = builder.mul(stride, emit.integer(i))
                offset = builder.add(offset, emit.integer(v * lanes))
                return builder.gep(matrix, [offset])

            a_rows = [
                emit.opaque(builder.gep(a, [builder.mul(a_stride, emit.integer(i))]))
                for i in range(rows)
            ]
            from_zero = builder.append_basic_block("from_zero")
            from_c = builder.append_basic_block("from_c")
            body = builder.append_basic_block("body")
            done = builder.append_basic_block("done")
            builder.cbranch(
                builder.icmp_signed("!=", beta, emit.integer(0)), from_c, from_zero
            )
            builder.position_at_end(from_c)
            c_vectors = [
                emit.load(vector_address(c, c_stride, i, v), masks[v]) for i, v in tile
            ]
            builder.branch(body)
            builder.position_at_end(from_zero)
            builder.branch(body)

            builder.position_at_end(body)
            p = builder.phi(k.type)
            a_offset = builder.phi(k.type)
            b_row = builder.phi(b.type)
            accumulators = [builder.phi(emit.vector) for _ in tile]
            zeros = [emit.zero] * len(tile)
            for block, starts in ((from_zero, zeros), (from_c, c_vectors)):
                p.add_incoming(emit.integer(0), block)
                a_offset.add_incoming(emit.integer(0), block)
                b_row.add_incoming(b, block)
                for accumulator, start in zip(accumulators, starts, strict=True):
                    accumulator.add_incoming(start, block)
            b_vectors = [
                emit.load(builder.gep(b_row, [emit.integer(v * lanes)]), masks[v])
                for v in range(vectors)
            ]
            a_vectors = [
                emit.broadcast(builder.load(builder.gep(row, [a_offset])))
                for row in a_rows
            ]
            sums = [
                emit.multiply_add(a_vectors[i], b_vectors[v], accumulator)
                for (i, v), accumulator in zip(tile, accumulators, strict=True)
            ]
            following = builder.add(p, emit.integer(1))
            p.add_incoming(following, body)
            a_offset.add_incoming(builder.add(a_offset, a_step), body)
            b_row.add_incoming(builder.gep(b_row, [b_step]), body)
            for accumulator, total in zip(accumulators, sums, strict=True):
                accumulator.add_incoming(total, body)
            goes_on = builder.icmp_signed("<", following, k)
            branch = builder.cbranch(goes_on, body, done)
            if rows > 1:
                # Unrolled, the addresses of the rows would not fit the registers.
                emit.leave_rolled(branch)
            builder.position_at_end(done)
            for (i, v), total in zip(tile, sums, strict=True):
                emit.store(total, vector_address(out, out_stride, i, v), masks[v])
            return context.get_dummy_value()

        return types.void(a, b, c, out, types.intp, types.intp), generate

    return compute


def copy_kernel(vectors, lanes, is_whole):
    """An intrinsic that copies some vectors, for packing.

    Its arguments are the source, the target, which has memory for whole vectors, the
    lanes in use of the last vector, which is padded with zeros, and how many elements
    ahead of the source to prefetch.
    """

    @intrinsic
    def copy(typing_context, source, target, tail, ahead):
        def generate(context, builder, signature, values):
            source, target, tail, ahead = values
            emit = Emitter(context, builder, signature.args[0].dtype, lanes)
            emit.prefetch(builder.gep(source, [ahead]), vectors)
            last_mask = None if is_whole else emit.mask(tail)
            for v, mask in enumerate([None] * (vectors - 1) + [last_mask]):
                offset = [emit.integer(v * lanes)]
                value = emit.load(builder.gep(source, offset), mask)
                emit.store(value, builder.gep(target, offset), None)
            return context.get_dummy_value()

        n = types.intp
        return types.void(source, target, n, n), generate

    return copy


def dot_kernel(rows, lanes):
    """An intrinsic: dot products of some rows of A with a vector x.

    Its arguments are a (pointer, row stride), x, c (pointer, row stride, beta), out
    (pointer, row stride) and the length k of the rows. The sums start at c where beta
    is not zero, else at zero.
    """

    @intrinsic
    def compute(typing_context, a, x, c, out, k):
        def generate(context, builder, signature, values):
            a, x, c, out, k = values
            a, a_stride = cgutils.unpack_tuple(builder, a)
            c, c_stride, beta = cgutils.unpack_tuple(builder, c)
            out, out_stride = cgutils.unpack_tuple(builder, out)
            emit = Emitter(context, builder, signature.args[1].dtype, lanes)
            width = emit.integer(lanes)
            whole = builder.mul(builder.sdiv(k, width), width)
            sums = [cgutils.alloca_once_value(builder, emit.zero) for _ in range(rows)]

            def add_products(p, mask):
                x_vector = emit.load(builder.gep(x, [p]), mask)
                for i, total in enumerate(sums):
                    offset = builder.add(builder.mul(a_stride, emit.integer(i)), p)
                    row = emit.load(builder.gep(a, [offset]), mask)
                    value = emit.multiply_add(row, x_vector, builder.load(total))
                    builder.store(value, total)

            with cgutils.for_range_slice(builder, emit.integer(0), whole, width) as (
                p,
                _,
            ):
                add_products(p, None)
            remainder = builder.sub(k, whole)
            with builder.if_then(builder.icmp_signed(">", remainder, emit.integer(0))):
                add_products(whole, emit.mask(remainder))
            adds_c = builder.icmp_signed("!=", beta, emit.integer(0))
            for i, total in enumerate(sums):
                start = cgutils.alloca_once_value(
                    builder, ir.Constant(emit.scalar, 0.0)
                )
                with builder.if_then(adds_c):
                    offset = builder.mul(c_stride, emit.integer(i))
                    builder.store(builder.load(builder.gep(c, [offset])), start)
                value = emit.sum_lanes(builder.load(start), builder.load(total))
                offset = builder.mul(out_stride, emit.integer(i))
                builder.store(value, builder.gep(out, [offset]))
            return context.get_dummy_value()

        return types.void(a, x, c, out, types.intp), generate

    return compute


# Rows and columns of the squares in which matrices are transposed.
SQUARE = 8


def _transposed(builder, rows):
    """The columns of a square as vectors, by butterfly swaps of ever nearer rows."""
    rows = list(rows)
    indices = ir.VectorType(ir.IntType(32), SQUARE)
    lanes = range(SQUARE)
    for d in (SQUARE // 2, SQUARE // 4, SQUARE // 8):
        upper = ir.Constant(
            indices, [n if n & d == 0 else SQUARE + n - d for n in lanes]
        )
        lower = ir.Constant(
            indices, [n + d if n & d == 0 else SQUARE + n for n in lanes]
        )
        for i in (i for i in lanes if i & d == 0):
            pair = rows[i], rows[i + d]
            rows[i] = builder.shuffle_vector(*pair, upper)
            rows[i + d] = builder.shuffle_vector(*pair, lower)
    return rows


def transpose_kernel(is_whole):
    """An intrinsic that transposes a square, or a part of one unless it is whole.

    Its arguments are the source and its row stride, the target and its row stride, and
    the rows and columns of the source that are in use.
    """

    @intrinsic
    def transpose(
        typing_context, source, source_stride, target, target_stride, rows, columns
    ):
        def generate(context, builder, signature, values):
            source, source_stride, target, target_stride, rows, columns = values
            emit = Emitter(context, builder, signature.args[0].dtype, SQUARE)

            def masks(n_lanes, n_vectors):
                """Masks by vector: the lanes in use, none beyond the last vector."""
                if is_whole:
                    return [None] * SQUARE
                nothing = emit.integer(0)
                return [
                    emit.mask(
                        builder.select(
                            builder.icmp_signed("<", emit.integer(i), n_vectors),
                            n_lanes,
                            nothing,
                        )
                    )
                    for i in range(SQUARE)
                ]

            def addresses(matrix, stride):
                for i in range(SQUARE):
                    yield builder.gep(matrix, [builder.mul(stride, emit.integer(i))])

            sources = zip(
                addresses(source, source_stride), masks(columns, rows), strict=True
            )
            square = _transposed(builder, [emit.load(*row) for row in sources])
            targets = zip(
                addresses(target, target_stride), masks(rows, columns), strict=True
            )
            for value, (address, mask) in zip(square, targets, strict=True):
                emit.store(value, address, mask)
            return context.get_dummy_value()

        n = types.intp
        return types.void(source, n, target, n, n, n), generate

    return transpose
