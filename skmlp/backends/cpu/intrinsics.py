"""Raw memory for the kernels: blocks of flat vectors, and atomic words.

A block made here is an array without an owner: no reference count is touched when a
kernel cuts a vector, so threads do not contend for one, and no negative index can
occur, whose wrap-around would stop vectorization.
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
def advance(typing_context, place, n):
    """The pointer `n` elements further on."""

    def generate(context, builder, signature, values):
        return builder.gep(values[0], [values[1]])

    return place(place, types.intp), generate


def buffer(scalar, size):
    """An intrinsic that gives `size` scalars on the stack, for one call."""

    @intrinsic
    def reserve(typing_context):
        def generate(context, builder, signature, values):
            kind = ir.ArrayType(context.get_value_type(scalar), size)
            # Numba's own `alloca_once` would fill it with zeros at every call.
            with builder.goto_entry_block():
                place = builder.alloca(kind)
            place.align = LINE_BYTES
            return builder.bitcast(place, kind.element.as_pointer())

        return types.CPointer(scalar)(), generate

    return reserve


@intrinsic
def least(typing_context, a, b):
    """The lesser of two integers; Numba's ``min`` is a function to compile."""

    def generate(context, builder, signature, values):
        return builder.select(builder.icmp_signed("<", *values), *values)

    return types.intp(types.intp, types.intp), generate


def emit_prefetch(builder, place, level):
    """Write the instruction that asks for a line, to a level of the cache."""
    place = builder.bitcast(place, ir.IntType(8).as_pointer())
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    # To read; how near, 3 being the first level; data.
    builder.call(function, [place, number(0), number(4 - level), number(1)])


@intrinsic
def prefetch(typing_context, array, offset):
    """Ask for the cache line of an element before it is needed.

    Rows in random order have no pattern that the processor could guess.
    """

    def generate(context, builder, signature, values):
        place = _element(context, builder, signature.args[0], *values)
        # The second level may wait for more lines than the first at a time.
        emit_prefetch(builder, place, level=2)
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _as_array(context, builder, kind, data, shape):
    """An array of some type on memory that it does not own."""
    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    width = context.get_constant(types.intp, itemsize)
    strides = [width]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    made = context.make_array(kind)(context, builder)
    populate_array(made, data, shape, strides, width, meminfo=None)
    return made._getvalue()


@intrinsic
def vector(typing_context, array, offset, size):
    """`size` elements of a flat array as a vector."""
    kind = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, values):
        data = _element(context, builder, signature.args[0], values[0], values[1])
        return _as_array(context, builder, kind, data, [values[2]])

    return kind(array, types.intp, types.intp), generate


@intrinsic
def matrix(typing_context, array, offset, rows, columns):
    """`rows * columns` elements of a flat array as a matrix."""
    kind = types.Array(array.dtype, 2, "C")

    def generate(context, builder, signature, values):
        data = _element(context, builder, signature.args[0], values[0], values[1])
        return _as_array(context, builder, kind, data, list(values[2:]))

    return kind(array, types.intp, types.intp, types.intp), generate


@intrinsic
def flat(typing_context, array):
    """All elements of a C-contiguous matrix as a vector."""
    kind = types.Array(array.dtype, 1, "C")

    def generate(context, builder, signature, values):
        given = context.make_array(signature.args[0])(context, builder, values[0])
        size = builder.mul(*cgutils.unpack_tuple(builder, given.shape, 2))
        return _as_array(context, builder, kind, given.data, [size])

    return kind(array), generate


@intrinsic
def atomic_add(typing_context, array, index, value):
    """Add to an int64 element and return what it was."""

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
        kind = context.get_value_type(signature.return_type)
        return builder.bitcast(values[0], kind)

    return result(value), generate
