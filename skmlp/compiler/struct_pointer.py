"""Structs passed by pointer: named tuples that compiled functions take by address.

Numba passes a tuple field by field, and an array in it as seven scalars: a function
with the arguments of a kernel has hundreds of parameters, which every call takes apart
and every function puts together again. Most of a kernel's compilation went there. A
tuple of a class marked by `passed_by_pointer` is passed by its address, and functions
load the fields that they read.

Unboxing a tuple from Python is code, too, for every field. So a tuple that many calls
share is laid out in memory once, as a `PackedStruct`, and kernels get that address. A
field of such a tuple may be another `PackedStruct`: it is a pointer, then.

A `PackedStruct` relies on how Numba lays out arrays and tuples in memory. At the first
use of each type, `_check_layout` compares that with Numba's own models and with LLVM's
offsets. Where they differ, the fallback is to let Numba unbox the tuple at every call.
"""

import array
import hashlib
import struct
from itertools import accumulate

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)

from skmlp.compiler.fallback import warn_of_fallback

# What Python passes to a kernel: a `PackedStruct`, whose memory is used; a
# `PackedStruct` whose tuple Numba unboxes, the fallback; or a tuple.
_PACKED, _UNPACKED, _TUPLE = "packed", "unpacked", "tuple"
_WORD_BYTES = 8
_ARRAY_FIELDS = ("meminfo", "parent", "nitems", "itemsize", "data", "shape", "strides")


class StructPointer(types.Type):
    """The Numba type of a pointer to a named tuple.

    Parameters
    ----------
    struct : numba.types.NamedTuple or numba.types.NamedUniTuple
    source : {'packed', 'unpacked', 'tuple'}
        What Python passes.
    """

    def __init__(self, struct, source):
        self.struct = struct
        self.source = source
        # The full name goes into the name of every function: LLVM would spend time on
        # kilobytes of it.
        digest = hashlib.sha256(str(struct).encode()).hexdigest()[:16]
        name = f"{struct.instance_class.__name__}-{digest}"
        super().__init__(name=f"StructPointer({name}, {source})")


class PackedStruct:
    """A named tuple laid out in memory as compiled code reads it.

    Parameters
    ----------
    fields : named tuple
        Of arrays, numbers, tuples and other `PackedStruct`.

    Attributes
    ----------
    fields : named tuple
    address : int
        Valid as long as this object lives.
    """

    def __init__(self, fields):
        # Keeps the fields, and the memory that they lie in, as long as this object.
        self.fields = fields
        self._numba_type_ = _pointer_type(fields)
        if self._numba_type_.source == _PACKED:
            self._memory = array.array("q", _words(fields))
            self.address = self._memory.buffer_info()[0]


def passed_by_pointer(cls):
    """Mark a class of named tuples; kernels may read its fields by their names only."""

    @typeof_impl.register(cls)
    def _type_of(value, context):
        return StructPointer(_struct_type(value), _TUPLE)

    return cls


def _type_key(value):
    """A key of a value's type, faster to compute than the type."""
    if isinstance(value, tuple):
        return (type(value), *map(_type_key, value))
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    if isinstance(value, PackedStruct):
        return value._numba_type_
    return type(value)


_POINTER_TYPES: dict = {}


def _pointer_type(fields):
    """The type of a pointer to a packed tuple; checked when it is first needed."""
    key = _type_key(fields)
    if key not in _POINTER_TYPES:
        struct_type, source = _struct_type(fields), _PACKED
        try:
            _check_layout(struct_type)
        except Exception as error:  # whatever has changed in Numba, unboxing works
            what, cost = "structs packed in memory", "every call takes longer"
            warn_of_fallback(what, error, cost)
            source = _UNPACKED
        _POINTER_TYPES[key] = StructPointer(struct_type, source)
    return _POINTER_TYPES[key]


def _struct_type(value):
    return types.BaseTuple.from_types([*map(typeof, value)], type(value))


def _words(value):
    """The memory of a value in words of eight bytes, as `_check_layout` expects it."""
    if isinstance(value, np.ndarray):
        # No meminfo and no parent: compiled code borrows the array.
        start = (0, 0, value.size, value.itemsize, value.ctypes.data)
        return (*start, *value.shape, *value.strides)
    if isinstance(value, tuple):
        return [word for field in value for word in _words(field)]
    if isinstance(value, PackedStruct):
        return (value.address,)
    if isinstance(value, float):
        return struct.unpack("q", struct.pack("d", value))
    return (value,)


def _n_words(numba_type, context):
    """Number of words of a type in `_words`; an error if Numba's model differs."""
    if isinstance(numba_type, types.BaseTuple):
        return sum(_n_words(field, context) for field in numba_type)
    if isinstance(numba_type, types.Array):
        names = context.data_model_manager[numba_type]._fields
        if names != _ARRAY_FIELDS:
            raise TypeError(f"arrays have the fields {names}")
        return len(_ARRAY_FIELDS) - 2 + 2 * numba_type.ndim
    if isinstance(numba_type, StructPointer) and numba_type.source == _PACKED:
        return 1
    is_number = isinstance(numba_type, types.Integer | types.Float)
    if is_number and numba_type.bitwidth == 8 * _WORD_BYTES:
        return 1
    raise TypeError(f"{numba_type} cannot be packed")


def _check_layout(struct_type):
    """Raise an error unless compiled code finds the fields where `_words` puts them.

    Numba's fields of an array must have the expected names, in order, and LLVM's target
    data the expected offsets of all fields, and the size of the whole.
    """
    context = cpu_target.target_context
    n_words = [_n_words(field, context) for field in struct_type]
    *expected, size = accumulate([_WORD_BYTES * n for n in n_words], initial=0)
    llvm_type, target = context.get_value_type(struct_type), context.target_data
    # Elements of an LLVM array, which stands for a tuple of one type, have no padding.
    if not isinstance(llvm_type, ir.ArrayType):
        fields = range(len(struct_type))
        offsets = [llvm_type.get_element_offset(target, i) for i in fields]
        if offsets != expected:
            raise TypeError(f"{struct_type} has offsets {offsets}, not {expected}")
    if llvm_type.get_abi_size(target) != size:
        raise TypeError(f"{struct_type} does not have {size} bytes")


@register_model(StructPointer)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, pointer_type):
        struct = manager.lookup(pointer_type.struct).get_value_type()
        super().__init__(manager, pointer_type, struct.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):
    key = StructPointer

    def generic_resolve(self, pointer_type, name):
        """The type of a field, or None."""
        struct = pointer_type.struct
        return struct[struct.fields.index(name)] if name in struct.fields else None


@lower_getattr_generic(StructPointer)
def _load_field(context, builder, pointer_type, pointer, name):
    index = pointer_type.struct.fields.index(name)
    return builder.load(cgutils.gep_inbounds(builder, pointer, 0, index))


@unbox(StructPointer)
def _unbox(pointer_type, value, c):
    """The address of a `PackedStruct`, or of a tuple unboxed to the caller's stack."""
    llvm_type = c.context.get_value_type(pointer_type.struct)
    if pointer_type.source == _PACKED:
        number = c.pyapi.object_getattr_string(value, "address")
        address = c.pyapi.long_as_longlong(number)
        c.pyapi.decref(number)
        return NativeValue(c.builder.inttoptr(address, llvm_type.as_pointer()))
    if pointer_type.source == _UNPACKED:
        value = c.pyapi.object_getattr_string(value, "fields")
        # The `PackedStruct` keeps a reference of its own.
        c.pyapi.decref(value)
    fields = c.unbox(pointer_type.struct, value)
    memory = cgutils.alloca_once(c.builder, llvm_type)
    for i in range(len(pointer_type.struct)):
        field = c.builder.extract_value(fields.value, i)
        c.builder.store(field, cgutils.gep_inbounds(c.builder, memory, 0, i))
    return NativeValue(memory, is_error=fields.is_error, cleanup=fields.cleanup)
