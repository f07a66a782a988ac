"""Instructions on vectors, for loops that LLVM's own vectorizer would not make.

AVX-512 masks lanes in any instruction for nothing. Others do not: AVX reads under a
mask that has to be a vector of sign bits (LLVM's own masks are made into one anew at
every use), and on some processors takes ten times as long to write under one; the rest
have no masks at all. There a part of a vector is written in halves.
"""

from typing import NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, config

from skmlp.backends.cpu.intrinsics import LINE_BYTES, emit_prefetch


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


VECTOR_BYTES = _vector_bytes()
MASKS_ARE_FREE = VECTOR_BYTES == 64


class Mask(NamedTuple):
    """The first lanes of a vector.

    Attributes
    ----------
    n_lanes : LLVM value of 64 bits
    lanes : LLVM vector
        In whatever form loads take it.
    """

    n_lanes: ir.Value
    lanes: ir.Value


class Emitter:
    """Writes instructions on vectors of one kind."""

    def __init__(self, context, builder, scalar, lanes):
        self.builder = builder
        self.lanes = lanes
        self.scalar = context.get_value_type(scalar)
        self.vector = ir.VectorType(self.scalar, lanes)
        self.mask_type = ir.VectorType(ir.IntType(1), lanes)
        self._bytes = scalar.bitwidth // 8
        self._suffix = f"v{lanes}f{scalar.bitwidth}"
        self._has_avx = VECTOR_BYTES == 32 and self._bytes * lanes in (16, 32)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)

    def integer(self, value):
        """A constant of 64 bits."""
        return ir.Constant(ir.IntType(64), value)

    def _function(self, name, result, kinds):
        signature = ir.FunctionType(result, kinds)
        return cgutils.get_or_insert_function(self.builder.module, signature, name)

    def opaque(self, place):
        """The same address, of which the optimizer does not know where it comes from.

        Else it computes addresses that differ by a stride one from the other, in a
        chain of additions that can take longer than what is done with them.
        """
        kind = ir.FunctionType(place.type, [place.type])
        return self.builder.asm(kind, "", "=r,0", [place], side_effect=False)

    def leave_rolled(self, branch):
        """Keep a loop from being unrolled, by the branch that goes back."""
        module = self.builder.module
        option = module.add_metadata(["llvm.loop.unroll.disable"])
        # The name of a loop is a node that refers to itself, and of no other content.
        loop = module.add_metadata([option, self.integer(len(module.metadata))])
        loop.operands = (loop, option)
        branch.set_metadata("llvm.loop", loop)

    def prefetch(self, place, vectors):
        """Ask for some vectors that will be read; of memory beyond an array, too."""
        for first in range(0, vectors * self.lanes, LINE_BYTES // self._bytes):
            there = self.builder.gep(place, [self.integer(first)])
            emit_prefetch(self.builder, there, level=1)

    def spread(self, value):
        """A vector with the value in every lane."""
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        indices = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        single = self.builder.insert_element(empty, value, first)
        return self.builder.shuffle_vector(single, empty, indices)

    def mask(self, n_lanes):
        """The first lanes on, the others off: a `Mask`."""
        kind = ir.VectorType(ir.IntType(64), self.lanes)
        numbers = ir.Constant(kind, list(range(self.lanes)))
        lanes = self.builder.icmp_signed("<", numbers, self.spread(n_lanes))
        if self._has_avx:
            signs = ir.VectorType(ir.IntType(8 * self._bytes), self.lanes)
            lanes = self.builder.sext(lanes, signs)
        return Mask(n_lanes, lanes)

    def load(self, place, mask):
        """A vector from memory, zero in the lanes that a mask turns off."""
        if mask is not None and self._has_avx:
            return self._load_by_signs(place, mask.lanes)
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self._bytes)
        kinds = [place.type, ir.IntType(32), self.mask_type, self.vector]
        name = f"llvm.masked.load.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, self.vector, kinds)
        return self.builder.call(function, [place, align, mask.lanes, self.zero])

    def _load_by_signs(self, place, lanes):
        place = self.builder.bitcast(place, ir.IntType(8).as_pointer())
        name = "ps" if self._bytes == 4 else "pd"
        if self._bytes * self.lanes == 32:
            name += ".256"
        kinds = [place.type, lanes.type]
        function = self._function(f"llvm.x86.avx.maskload.{name}", self.vector, kinds)
        return self.builder.call(function, [place, lanes])

    def store(self, value, place, mask):
        """A vector to memory, but for the lanes that a mask turns off."""
        if mask is not None and not MASKS_ARE_FREE:
            self._store_by_halves(value, place, mask.n_lanes)
            return
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, place, align=self._bytes)
            return
        kinds = [self.vector, place.type, ir.IntType(32), self.mask_type]
        name = f"llvm.masked.store.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, ir.VoidType(), kinds)
        self.builder.call(function, [value, place, align, mask.lanes])

    def _store_by_halves(self, value, place, n_lanes):
        """Store the first lanes: all, or a half and of the next half the same again."""
        builder, part = self.builder, self.lanes
        while part > 0:
            taken = builder.and_(n_lanes, self.integer(part))
            takes = builder.icmp_signed("!=", taken, self.integer(0))
            half = self._lanes_of(value, 0, part)
            with builder.if_then(takes):
                kind = half.type.as_pointer()
                builder.store(half, builder.bitcast(place, kind), align=self._bytes)
            if part < self.lanes:
                value = builder.select(takes, self._lanes_of(value, part, part), half)
                place = builder.gep(place, [taken])
            part //= 2

    def _lanes_of(self, value, first, size):
        """So many lanes of a vector from some lane on."""
        numbers = ir.VectorType(ir.IntType(32), size)
        lanes = ir.Constant(numbers, list(range(first, first + size)))
        return self.builder.shuffle_vector(value, value, lanes)

    def sum_lanes(self, start, value):
        """A start plus all lanes, in whatever order."""
        name = f"llvm.vector.reduce.fadd.{self._suffix}"
        function = self._function(name, self.scalar, [self.scalar, self.vector])
        return self.builder.call(function, [start, value], fastmath=("reassoc",))

    def multiply_add(self, a, b, c):
        """The product of a and b, plus c."""
        # Fused where the processor can; fma proper would be a call where it cannot.
        name = f"llvm.fmuladd.{self._suffix}"
        function = self._function(name, self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])
