"""Tiles of a product of matrices, instruction by instruction.

LLVM's own vectorizer does not keep a tile of sums in registers, so the vectors are
spelled out here: what the innermost loops of `products` do, and nothing else. Lanes
beyond a matrix's last column are masked: neither read nor written. What is whole has no
masks, where these cost something (see `emitter`).
"""

from itertools import product as pairs

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from skmlp.backends.cpu.gemm.simd import Emitter


def tile(rows, vectors, lanes, is_whole):
    """An intrinsic that computes rows × vectors of the result.

    Its arguments: a, its strides by row and by inner index; b and its stride by inner
    index; what the sums begin with, its stride by row, and whether they begin with it
    or with zero; out and its stride by row; length of the inner dimension; lanes in use
    of the last vector.
    """

    @intrinsic
    def compute(
        typing_context, a, a_row, a_step, b, b_step,
        start, start_row, begins, out, out_row, inner, tail,
    ):  # fmt: skip
        def generate(context, builder, signature, values):
            a, a_row, a_step, b, b_step, *others = values
            start, start_row, begins, out, out_row, inner, tail = others
            emit = Emitter(context, builder, signature.args[0].dtype, lanes)
            last_mask = None if is_whole else emit.mask(tail)
            masks = [None] * (vectors - 1) + [last_mask]
            places = list(pairs(range(rows), range(vectors)))

            def place_in(matrix, row, i, v):
                offset = builder.mul(row, emit.integer(i))
                offset = builder.add(offset, emit.integer(v * lanes))
                return builder.gep(matrix, [offset])

            rows_of_a = [
                emit.opaque(builder.gep(a, [builder.mul(a_row, emit.integer(i))]))
                for i in range(rows)
            ]
            fresh = builder.append_basic_block("fresh")
            loaded = builder.append_basic_block("loaded")
            body = builder.append_basic_block("body")
            done = builder.append_basic_block("done")
            builder.cbranch(
                builder.icmp_signed("!=", begins, emit.integer(0)), loaded, fresh
            )
            builder.position_at_end(loaded)
            held = [
                emit.load(place_in(start, start_row, i, v), masks[v]) for i, v in places
            ]
            builder.branch(body)
            builder.position_at_end(fresh)
            builder.branch(body)

            builder.position_at_end(body)
            p = builder.phi(inner.type)
            along_a = builder.phi(inner.type)
            b_place = builder.phi(b.type)
            sums = [builder.phi(emit.vector) for _ in places]
            for block, starts in ((fresh, [emit.zero] * len(places)), (loaded, held)):
                p.add_incoming(emit.integer(0), block)
                along_a.add_incoming(emit.integer(0), block)
                b_place.add_incoming(b, block)
                for total, start in zip(sums, starts, strict=True):
                    total.add_incoming(start, block)
            row_of_b = [
                emit.load(builder.gep(b_place, [emit.integer(v * lanes)]), masks[v])
                for v in range(vectors)
            ]
            spread = [
                emit.spread(builder.load(builder.gep(row, [along_a])))
                for row in rows_of_a
            ]
            added = [
                emit.multiply_add(spread[i], row_of_b[v], total)
                for (i, v), total in zip(places, sums, strict=True)
            ]
            following = builder.add(p, emit.integer(1))
            p.add_incoming(following, body)
            along_a.add_incoming(builder.add(along_a, a_step), body)
            b_place.add_incoming(builder.gep(b_place, [b_step]), body)
            for total, new in zip(sums, added, strict=True):
                total.add_incoming(new, body)
            goes_on = builder.icmp_signed("<", following, inner)
            branch = builder.cbranch(goes_on, body, done)
            if rows > 1:
                # Twice the rows' addresses would be more than there are registers.
                emit.leave_rolled(branch)
            builder.position_at_end(done)
            for (i, v), value in zip(places, added, strict=True):
                emit.store(value, place_in(out, out_row, i, v), masks[v])
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, n, b, n, start, n, n, out, n, n, n), generate

    return compute


def mover(vectors, lanes, is_whole):
    """An intrinsic that copies some vectors to where there is room for all of them.

    Its arguments: from where, and where to; lanes in use of the last vector, which is
    filled up with zeros; and how much farther on there is what will be asked for next.
    """

    @intrinsic
    def move(typing_context, source, target, tail, ahead):
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

    return move


def dots(rows, lanes):
    """An intrinsic: inner products of some rows of a with a vector.

    Its arguments: a and its stride by row; the vector; what the sums begin with, its
    stride by row, and whether they begin with it or with zero; out and its stride by
    row; length of the inner dimension.
    """

    @intrinsic
    def compute(
        typing_context, a, a_row, vector, start, start_row, begins, out, out_row, inner
    ):
        def generate(context, builder, signature, values):
            a, a_row, vector, start, start_row, begins, out, out_row, inner = values
            emit = Emitter(context, builder, signature.args[0].dtype, lanes)
            width = emit.integer(lanes)
            whole = builder.mul(builder.sdiv(inner, width), width)
            sums = [cgutils.alloca_once_value(builder, emit.zero) for _ in range(rows)]

            def add_products(p, mask):
                part = emit.load(builder.gep(vector, [p]), mask)
                for i, total in enumerate(sums):
                    offset = builder.add(builder.mul(a_row, emit.integer(i)), p)
                    row = emit.load(builder.gep(a, [offset]), mask)
                    value = emit.multiply_add(row, part, builder.load(total))
                    builder.store(value, total)

            with cgutils.for_range_slice(builder, emit.integer(0), whole, width) as (
                p,
                _,
            ):
                add_products(p, None)
            rest = builder.sub(inner, whole)
            with builder.if_then(builder.icmp_signed(">", rest, emit.integer(0))):
                add_products(whole, emit.mask(rest))
            begins = builder.icmp_signed("!=", begins, emit.integer(0))
            for i, total in enumerate(sums):
                first = cgutils.alloca_once_value(
                    builder, ir.Constant(emit.scalar, 0.0)
                )
                with builder.if_then(begins):
                    offset = builder.mul(start_row, emit.integer(i))
                    builder.store(builder.load(builder.gep(start, [offset])), first)
                value = emit.sum_lanes(builder.load(first), builder.load(total))
                offset = builder.mul(out_row, emit.integer(i))
                builder.store(value, builder.gep(out, [offset]))
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, n, vector, start, n, n, out, n, n), generate

    return compute


# Rows and columns of the squares in which matrices are transposed.
SQUARE = 8


def _transposed(builder, rows):
    """The columns of a square as vectors: swaps between ever nearer rows."""
    rows = list(rows)
    indices = ir.VectorType(ir.IntType(32), SQUARE)
    lanes = range(SQUARE)
    for d in (SQUARE // 2, SQUARE // 4, SQUARE // 8):
        above = ir.Constant(
            indices, [n if n & d == 0 else SQUARE + n - d for n in lanes]
        )
        below = ir.Constant(
            indices, [n + d if n & d == 0 else SQUARE + n for n in lanes]
        )
        for i in (i for i in lanes if i & d == 0):
            pair = rows[i], rows[i + d]
            rows[i] = builder.shuffle_vector(*pair, above)
            rows[i + d] = builder.shuffle_vector(*pair, below)
    return rows


def squares(is_whole):
    """An intrinsic that transposes a square, or where it is not whole, a part of one.

    Its arguments: source and its stride by row; target and its stride by row; rows and
    columns in use of the source.
    """

    @intrinsic
    def transpose(
        typing_context, source, source_row, target, target_row, rows, columns
    ):
        def generate(context, builder, signature, values):
            source, source_row, target, target_row, rows, columns = values
            emit = Emitter(context, builder, signature.args[0].dtype, SQUARE)

            def masks(inner, outer):
                """Of every vector: none beyond the last, and none of its last lanes."""
                if is_whole:
                    return [None] * SQUARE
                nothing = emit.integer(0)
                return [
                    emit.mask(
                        builder.select(
                            builder.icmp_signed("<", emit.integer(i), outer),
                            *(inner, nothing),
                        )
                    )
                    for i in range(SQUARE)
                ]

            def places(matrix, row):
                for i in range(SQUARE):
                    yield builder.gep(matrix, [builder.mul(row, emit.integer(i))])

            given = zip(places(source, source_row), masks(columns, rows), strict=True)
            found = _transposed(builder, [emit.load(*each) for each in given])
            wanted = zip(places(target, target_row), masks(rows, columns), strict=True)
            for value, each in zip(found, wanted, strict=True):
                emit.store(value, *each)
            return context.get_dummy_value()

        n = types.intp
        return types.void(source, n, target, n, n, n), generate

    return transpose
