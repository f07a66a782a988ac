"""Tiles of a product of matrices, instruction by instruction.

LLVM's own vectoriser does not keep a tile of sums in registers, so the vectors are
spelled out here: what the innermost loops of `products` do, and nothing else. Lanes
beyond a matrix's last column are masked: neither read nor written.
"""

from itertools import product as pairs

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


class _Emitter:
    """Writes instructions on vectors of one kind."""

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

    def sum_lanes(self, start, value):
        name = f"llvm.vector.reduce.fadd.{self._suffix}"
        function = self._function(name, self.scalar, [self.scalar, self.vector])
        return self.builder.call(function, [start, value], fastmath=("reassoc",))

    def multiply_add(self, a, b, c):
        # Fused where the processor can; fma proper would be a call where it cannot.
        name = f"llvm.fmuladd.{self._suffix}"
        function = self._function(name, self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])


def tile(rows, vectors, lanes):
    """An intrinsic that computes rows × vectors of the result.

    Its arguments: a, its strides by row and by inner index; b and its stride by inner
    index; out and its stride by row; length of the inner dimension; whether to add to
    what out holds; lanes in use of the last vector.
    """

    @intrinsic
    def compute(
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

    return compute


def packer(vectors, lanes):
    """An intrinsic that lays rows of up to `vectors` vectors side by side.

    Its arguments: b and its stride by row; where to; number of rows; lanes in use of
    the last vector, which is filled up with zeros.
    """

    @intrinsic
    def pack(typing_context, b, b_step, target, rows, tail):
        def generate(context, builder, signature, values):
            b, b_step, target, rows, tail = values
            emit = _Emitter(context, builder, signature.args[0].dtype, lanes)
            masks = [None] * (vectors - 1) + [emit.mask(tail)]
            with cgutils.for_range(builder, rows) as loop:
                here = builder.gep(b, [builder.mul(loop.index, b_step)])
                width = emit.integer(vectors * lanes)
                there = builder.gep(target, [builder.mul(loop.index, width)])
                for v, mask in enumerate(masks):
                    offset = emit.integer(v * lanes)
                    value = emit.load(builder.gep(here, [offset]), mask)
                    emit.store(value, builder.gep(there, [offset]), None)
            return context.get_dummy_value()

        return types.void(b, types.intp, target, types.intp, types.intp), generate

    return pack


def dots(rows, lanes):
    """An intrinsic: inner products of some rows of a with a vector.

    Its arguments: a and its stride by row; the vector; out, its stride, and whether to
    add to what it holds; length of the inner dimension.
    """

    @intrinsic
    def compute(typing_context, a, a_row, vector, out, out_row, add, inner):
        def generate(context, builder, signature, values):
            a, a_row, vector, out, out_row, add, inner = values
            emit = _Emitter(context, builder, signature.args[0].dtype, lanes)
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
            add_products(whole, emit.mask(builder.sub(inner, whole)))
            adds = builder.icmp_signed("!=", add, emit.integer(0))
            for i, total in enumerate(sums):
                place = builder.gep(out, [builder.mul(out_row, emit.integer(i))])
                zero = ir.Constant(emit.scalar, 0.0)
                start = builder.select(adds, builder.load(place), zero)
                builder.store(emit.sum_lanes(start, builder.load(total)), place)
            return context.get_dummy_value()

        length = types.intp
        return types.void(a, length, vector, out, length, length, length), generate

    return compute
