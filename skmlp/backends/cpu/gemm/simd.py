"""The emitter of vector instructions, for loops that LLVM would not vectorize well.

AVX-512 masks lanes of any instruction for free. Other instruction sets do not: an AVX
masked load takes a vector of sign bits (LLVM's own masks are converted to one at every
use), an AVX masked store takes ten times as long on some processors, and the remaining
sets have no masks at all. There a partial vector is stored in halves.
"""

from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils

from skmlp.backends.cpu.intrinsics import LINE_BYTES, emit_prefetch
from skmlp.compiler import target

# Of the processor that kernels are compiled for.
VECTOR_BYTES = target.current().vector_bytes
MASKS_ARE_FREE = VECTOR_BYTES == 64


class Mask(NamedTuple):
    """The first lanes of a vector.

    Attributes
    ----------
    n_lanes : LLVM value of 64 bits
    lanes : LLVM vector
        In the form that masked loads take: booleans, or sign bits with AVX.
    """

    n_lanes: ir.Value
    lanes: ir.Value


class Emitter:
    """Emits instructions on vectors of one scalar type and number of lanes."""

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

    def _function(self, name, result, llvm_types):
        signature = ir.FunctionType(result, llvm_types)
        return cgutils.get_or_insert_function(self.builder.module, signature, name)

    def opaque(self, address):
        """The same address, hidden from the optimizer.

        Otherwise LLVM computes addresses that differ by a stride one from the other, in
        a chain of additions that can take longer than the work on them.
        """
        llvm_type = ir.FunctionType(address.type, [address.type])
        return self.builder.asm(llvm_type, "", "=r,0", [address], side_effect=False)

    def leave_rolled(self, branch):
        """Keep a loop from being unrolled, given the branch that closes it."""
        module = self.builder.module
        option = module.add_metadata(["llvm.loop.unroll.disable"])
        # A loop is named by a node that refers to itself and is distinct from others.
        loop = module.add_metadata([option, self.integer(len(module.metadata))])
        loop.operands = (loop, option)
        branch.set_metadata("llvm.loop", loop)

    def prefetch(self, address, vectors):
        """Prefetch some vectors; the address may lie beyond the end of an array."""
        for first in range(0, vectors * self.lanes, LINE_BYTES // self._bytes):
            line = self.builder.gep(address, [self.integer(first)])
            emit_prefetch(self.builder, line, level=1)

    def broadcast(self, value):
        """A vector with the value in every lane."""
        empty = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        indices = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        single = self.builder.insert_element(empty, value, first)
        return self.builder.shuffle_vector(single, empty, indices)

    def mask(self, n_lanes):
        """A `Mask` of the first lanes."""
        llvm_type = ir.VectorType(ir.IntType(64), self.lanes)
        indices = ir.Constant(llvm_type, list(range(self.lanes)))
        lanes = self.builder.icmp_signed("<", indices, self.broadcast(n_lanes))
        if self._has_avx:
            signs = ir.VectorType(ir.IntType(8 * self._bytes), self.lanes)
            lanes = self.builder.sext(lanes, signs)
        return Mask(n_lanes, lanes)

    def load(self, address, mask):
        """A vector from memory, zero in the lanes that are masked off."""
        if mask is not None and self._has_avx:
            return self._load_by_signs(address, mask.lanes)
        address = self.builder.bitcast(address, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(address, align=self._bytes)
        llvm_types = [address.type, ir.IntType(32), self.mask_type, self.vector]
        name = f"llvm.masked.load.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, self.vector, llvm_types)
        return self.builder.call(function, [address, align, mask.lanes, self.zero])

    def _load_by_signs(self, address, lanes):
        address = self.builder.bitcast(address, ir.IntType(8).as_pointer())
        name = "ps" if self._bytes == 4 else "pd"
        if self._bytes * self.lanes == 32:
            name += ".256"
        llvm_types = [address.type, lanes.type]
        function = self._function(
            f"llvm.x86.avx.maskload.{name}", self.vector, llvm_types
        )
        return self.builder.call(function, [address, lanes])

    def store(self, value, address, mask):
        """Store a vector, except for the lanes that are masked off."""
        if mask is not None and not MASKS_ARE_FREE:
            self._store_by_halves(value, address, mask.n_lanes)
            return
        address = self.builder.bitcast(address, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, address, align=self._bytes)
            return
        llvm_types = [self.vector, address.type, ir.IntType(32), self.mask_type]
        name = f"llvm.masked.store.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, ir.VoidType(), llvm_types)
        self.builder.call(function, [value, address, align, mask.lanes])

    def _store_by_halves(self, value, address, n_lanes):
        """Store the first lanes by the binary digits of their number."""
        builder, size = self.builder, self.lanes
        while size > 0:
            digit = builder.and_(n_lanes, self.integer(size))
            is_set = builder.icmp_signed("!=", digit, self.integer(0))
            low = self._lanes_of(value, 0, size)
            with builder.if_then(is_set):
                llvm_type = low.type.as_pointer()
                builder.store(
                    low, builder.bitcast(address, llvm_type), align=self._bytes
                )
            if size < self.lanes:
                high = self._lanes_of(value, size, size)
                value = builder.select(is_set, high, low)
                address = builder.gep(address, [digit])
            size //= 2

    def _lanes_of(self, value, first, size):
        """`size` lanes of a vector, from lane `first` on."""
        index_type = ir.VectorType(ir.IntType(32), size)
        lanes = ir.Constant(index_type, list(range(first, first + size)))
        return self.builder.shuffle_vector(value, value, lanes)

    def sum_lanes(self, start, value):
        """A start plus all lanes, in any order."""
        name = f"llvm.vector.reduce.fadd.{self._suffix}"
        function = self._function(name, self.scalar, [self.scalar, self.vector])
        return self.builder.call(function, [start, value], fastmath=("reassoc",))

    def multiply_add(self, a, b, c):
        """The product of a and b, plus c."""
        # Fused where the processor can; fma proper would be a call where it cannot.
        name = f"llvm.fmuladd.{self._suffix}"
        function = self._function(name, self.vector, [self.vector] * 3)
        return self.builder.call(function, [a, b, c])
