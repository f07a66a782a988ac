"""Named tuples that compiled functions hand on by reference.

Numba hands a tuple on field by field, and an array in it as seven scalars: a function
that takes what a kernel takes has hundreds of parameters, which every call takes apart
and every function puts together again. Most of a kernel's compilation went there. Of a
class marked by `by_reference` a kernel gets the address, and a function loads the
fields that it reads.
"""

from numba import types
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
    """

    def __init__(self, whole):
        self.whole = whole
        super().__init__(name=f"Reference({whole})")


def by_reference(kind):
    """Mark a class of named tuples; kernels may read its fields by their names only."""

    @typeof_impl.register(kind)
    def _type_of(value, context):
        fields = [typeof_impl(field, context) for field in value]
        return Reference(types.BaseTuple.from_types(fields, kind))

    return kind


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
    """Lay the fields out on the stack of the caller of a kernel."""
    whole = c.unbox(kind.whole, value)
    place = cgutils.alloca_once(c.builder, c.context.get_value_type(kind.whole))
    for number in range(len(kind.whole)):
        field = c.builder.extract_value(whole.value, number)
        c.builder.store(field, cgutils.gep_inbounds(c.builder, place, 0, number))
    return NativeValue(place, is_error=whole.is_error, cleanup=whole.cleanup)
