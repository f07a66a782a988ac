"""Instructions on vectors, for loops that LLVM's own vectoriser would not make."""

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, config


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
        self.zero = ir.Constant(self.vector, [0.0] * lanes)

    def integer(self, value):
        """A constant of 64 bits."""
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
        """A vector from memory, zero in the lanes that a mask turns off."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self._bytes)
        kinds = [place.type, ir.IntType(32), self.mask_type, self.vector]
        name = f"llvm.masked.load.{self._suffix}.p0"
        align = ir.Constant(ir.IntType(32), self._bytes)
        function = self._function(name, self.vector, kinds)
        return self.builder.call(function, [place, align, mask, self.zero])

    def store(self, value, place, mask):
        """A vector to memory, but for the lanes that a mask turns off."""
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
