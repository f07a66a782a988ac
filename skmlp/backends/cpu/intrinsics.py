"""LLVM intrinsics for the kernels: views of flat vectors, atomics, prefetch.

A view made here is an array without an owner. Creating one touches no reference count,
so threads do not contend for one. And no negative index can occur, whose wrap-around
would stop vectorization.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

LINE_BYTES = 64


def _element(context, builder, array_type, array, offset):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic
def pointer(typing_context, array, offset):
    """Typed pointer to an element of a C-contiguous array."""

    def generate(context, builder, signature, values):
        return _element(context, builder, signature.args[0], *values)

    return types.CPointer(array.dtype)(array, types.intp), generate


@intrinsic
def advance(typing_context, address, n):
    """The pointer moved on by `n` elements."""

    def generate(context, builder, signature, values):
        return builder.gep(values[0], [values[1]])

    return address(address, types.intp), generate


@intrinsic
def min_int(typing_context, a, b):
    """The smaller of two integers; Numba's ``min`` is a function to compile."""

    def generate(context, builder, signature, values):
        return builder.select(builder.icmp_signed("<", *values), *values)

    return types.intp(types.intp, types.intp), generate


def emit_prefetch(builder, address, level):
    """Emit the prefetch of a cache line into a level of the cache."""
    address = builder.bitcast(address, ir.IntType(8).as_pointer())
    int32 = ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [address.type, int32, int32, int32])
    function = cgutils.get_or_insert_function(
        builder.module, signature, "llvm.prefetch.p0"
    )
    # For reading; locality, of which 3 is the first level; data.
    builder.call(function, [address, int32(0), int32(4 - level), int32(1)])


@intrinsic
def prefetch(typing_context, array, offset):
    """Prefetch the cache line of an element.

    Rows in random order follow no pattern that the hardware prefetcher could guess.
    """

    def generate(context, builder, signature, values):
        address = _element(context, builder, signature.args[0], *values)
        # The second level can have more outstanding lines than the first.
        emit_prefetch(builder, address, level=2)
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _as_array(context, builder, array_type, data, shape):
    """An array of a type on memory that it does not own."""
    itemsize = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    width = context.get_constant(types.intp, itemsize)
    strides = [width]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    array = context.make_array(array_type)(context, builder)
    populate_array(array, data, shape, strides, width, meminfo=None)
    return array._getvalue()


@intrinsic
def vector(typing_context, array, offset, size):
    """`size` elements of a flat array as a vector."""
    array_type = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, values):
        data = _element(context, builder, signature.args[0], values[0], values[1])
        return _as_array(context, builder, array_type, data, [values[2]])

    return array_type(array, types.intp, types.intp), generate


@intrinsic
def matrix(typing_context, array, offset, rows, columns):
    """`rows * columns` elements of a flat array as a matrix."""
    array_type = types.Array(array.dtype, 2, "C")

    def generate(context, builder, signature, values):
        data = _element(context, builder, signature.args[0], values[0], values[1])
        return _as_array(context, builder, array_type, data, list(values[2:]))

    return array_type(array, types.intp, types.intp, types.intp), generate


@intrinsic
def flat(typing_context, array):
    """All elements of a C-contiguous matrix as a vector."""
    array_type = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, values):
        source = context.make_array(signature.args[0])(context, builder, values[0])
        size = builder.mul(*cgutils.unpack_tuple(builder, source.shape, 2))
        return _as_array(context, builder, array_type, source.data, [size])

    return array_type(array), generate


@intrinsic
def atomic_add(typing_context, array, index, value):
    """Add to an int64 element and return its previous value."""

    def generate(context, builder, signature, values):
        element = _element(context, builder, signature.args[0], values[0], values[1])
        return builder.atomic_rmw("add", element, values[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def atomic_load(typing_context, array, index):
    """Read an int64 element that another thread may write."""

    def generate(context, builder, signature, values):
        element = _element(context, builder, signature.args[0], *values)
        return builder.load_atomic(element, "seq_cst", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def atomic_store(typing_context, array, index, value):
    """Write an int64 element that another thread may read."""

    def generate(context, builder, signature, values):
        element = _element(context, builder, signature.args[0], values[0], values[1])
        builder.store_atomic(values[2], element, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@intrinsic
def reinterpret_as_integer(typing_context, value):
    """Bits of a float scalar as the signed integer of its size."""
    result = types.int32 if value == types.float32 else types.int64

    def generate(context, builder, signature, values):
        size = 32 if signature.return_type == types.int32 else 64
        return builder.bitcast(values[0], ir.IntType(size))

    return result(value), generate


@intrinsic
def reinterpret_as_float(typing_context, value):
    """Bits of a signed integer scalar as the float of its size."""
    result = types.float32 if value == types.int32 else types.float64

    def generate(context, builder, signature, values):
        llvm_type = context.get_value_type(signature.return_type)
        return builder.bitcast(values[0], llvm_type)

    return result(value), generate
