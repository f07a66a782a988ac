"""Named tuples that compiled functions hand on by reference.

Numba hands a tuple on field by field, and an array in it as seven scalars: a function
that takes what a kernel takes has hundreds of parameters, which every call takes apart
and every function puts together again. Most of a kernel's compilation went there. A
tuple of a class marked by `passed_by_pointer` is handed on by its address, and
functions load the fields that they read.

To take a tuple over from Python is code, too, for every field. What many calls share
is laid out in memory once, as `PackedStruct`, and kernels are given that address.
"""

import array
import struct

import numpy as np
from numba import typeof, types
from numba.core import cgutils
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


class Reference(types.Type):
    """The type of a named tuple that is known by its address.

    Parameters
    ----------
    whole : numba.types.NamedTuple or numba.types.NamedUniTuple
    is_packed : bool
        Whether Python gives a `PackedStruct`; else it gives the tuple.
    """

    def __init__(self, whole, is_packed):
        self.whole = whole
        self.is_packed = is_packed
        super().__init__(name=f"Reference({whole}, {is_packed})")


class PackedStruct:
    """A named tuple laid out in memory as compiled code reads it.

    Parameters
    ----------
    whole : named tuple
        Of arrays, numbers and other such tuples.

    Attributes
    ----------
    address : int
        Valid as long as this object lives.
    """

    def __init__(self, whole):
        # Neither the fields nor what they lie in may go before this object does.
        self._whole = whole
        self._memory = array.array("q", _words(whole))
        self.address = self._memory.buffer_info()[0]
        self._numba_type_ = _reference(_kind_of(whole), whole)


def passed_by_pointer(kind):
    """Mark a class of named tuples; kernels may read its fields by their names only."""

    @typeof_impl.register(kind)
    def _type_of(value, context):
        return Reference(_type_of_fields(value), is_packed=False)

    return kind


def _kind_of(value):
    """What a value's type depends on, found sooner than the type."""
    if isinstance(value, tuple):
        return (type(value), *map(_kind_of, value))
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return type(value)


_REFERENCES: dict = {}


def _reference(kind, whole):
    if kind not in _REFERENCES:
        _REFERENCES[kind] = Reference(_type_of_fields(whole), is_packed=True)
    return _REFERENCES[kind]


def _type_of_fields(value):
    return types.BaseTuple.from_types([*map(typeof, value)], type(value))


def _words(value):
    """What Numba's structure for a value consists of; every part has eight bytes."""
    if isinstance(value, np.ndarray):
        # Two owners, of which there are none, before the rest.
        start = (0, 0, value.size, value.itemsize, value.ctypes.data)
        return (*start, *value.shape, *value.strides)
    if isinstance(value, tuple):
        return [word for field in value for word in _words(field)]
    if isinstance(value, float):
        return struct.unpack("q", struct.pack("d", value))
    return (value,)


@register_model(Reference)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind):
        whole = manager.lookup(kind.whole).get_value_type()
        super().__init__(manager, kind, whole.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):
    key = Reference

    def generic_resolve(self, kind, name):
        """The type of a field, or None."""
        if name in kind.whole.fields:
            return kind.whole[kind.whole.fields.index(name)]
        return None


@lower_getattr_generic(Reference)
def _load_field(context, builder, kind, place, name):
    number = kind.whole.fields.index(name)
    return builder.load(cgutils.gep_inbounds(builder, place, 0, number))


@unbox(Reference)
def _unbox(kind, value, c):
    """The address of a `PackedStruct`; a tuple is laid out on the caller's stack."""
    whole_type = c.context.get_value_type(kind.whole)
    if kind.is_packed:
        number = c.pyapi.object_getattr_string(value, "address")
        address = c.pyapi.long_as_longlong(number)
        c.pyapi.decref(number)
        return NativeValue(c.builder.inttoptr(address, whole_type.as_pointer()))
    whole = c.unbox(kind.whole, value)
    place = cgutils.alloca_once(c.builder, whole_type)
    for number in range(len(kind.whole)):
        field = c.builder.extract_value(whole.value, number)
        c.builder.store(field, cgutils.gep_inbounds(c.builder, place, 0, number))
    return NativeValue(place, is_error=whole.is_error, cleanup=whole.cleanup)
