"""Functions of the user's own, told apart by their content and not as objects.

A parallel search unpickles a function for every task, a notebook's cell defines it
anew at every run. Everything that is derived from a function, its machine code first of
all, is kept by the function as an object. So each function of a user is replaced by one
that stands for all of the same content: code, defaults, closure, and the globals that
it reads, with the functions among them. It is a copy whose globals and closure cannot
change any more: a fitted model keeps the function that it was fitted with.

Of what is neither a number, an array, a container of these nor a function, the content
is not known; it counts as the same only where it is the same object.

The copies of the functions used last are kept. An older one lives as long as something
refers to it, as a fit or a fitted model does, and with it the machine code that is
kept by it (see `derived_from`).
"""

import functools
import hashlib
import inspect
import sys
import types
import weakref
from collections import OrderedDict

import numpy as np

from skmlp.forks import ForkSafeLock

# Two functions a rule.
_MAX_KEPT = 64
# More than a rule has; what a module of the user's refers to could be anything.
_MAX_PARTS = 2000
_PLAIN = (types.NoneType, bool, int, float, complex, str, bytes, types.EllipsisType)
# Their functions do not change while a process lives.
_LIBRARIES = {"numpy", "scipy", "numba", "skmlp", *sys.stdlib_module_names}
_CODE_FIELDS = (
    "co_code",
    "co_exceptiontable",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_flags",
)

# The attribute of a canonical function for what is derived from it.
_DERIVED = "skmlp_derived"
_LOCK = ForkSafeLock()
_ALIVE: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_KEPT: OrderedDict = OrderedDict()


def canonical(function):
    """The function that stands for all functions of the same content.

    Parameters
    ----------
    function : object

    Returns
    -------
    object
        The argument itself where it is a function of this package, or none.
    """
    if not inspect.isfunction(function) or _is_of(function, {"skmlp"}):
        return function
    if derived_from(function) is not None:
        return function
    key, copy = _Content().of_function(function)
    vars(copy)[_DERIVED] = {}
    with _LOCK:
        copy = _ALIVE.setdefault(key, copy)
        _KEPT[key] = copy
        _KEPT.move_to_end(key)
        while len(_KEPT) > _MAX_KEPT:
            _KEPT.popitem(last=False)
    return copy


def derived_from(function):
    """The dict of what is derived from a canonical function; None for any other."""
    return vars(function).get(_DERIVED) if inspect.isfunction(function) else None


def _is_of(value, libraries):
    """Whether a function or a module belongs to some libraries."""
    name = value.__name__ if inspect.ismodule(value) else value.__module__
    return str(name).partition(".")[0] in libraries


@functools.lru_cache(maxsize=256)
def _code_content(code):
    """Content of a code object, and the names of globals and attributes in it.

    Lines and the names of files do not matter.
    """
    parts = [getattr(code, field) for field in _CODE_FIELDS]
    names = set(code.co_names)
    for constant in code.co_consts:
        if inspect.iscode(constant):
            content, inner_names = _code_content(constant)
            names |= inner_names
        else:
            content = _constant_content(constant)
        parts.append(content)
    return tuple(parts), frozenset(names)


def _constant_content(value):
    """Content of a literal, which tells 0.0 from -0.0 and 1 from True."""
    if isinstance(value, tuple):
        return (tuple, *map(_constant_content, value))
    if isinstance(value, frozenset):
        return (frozenset, *sorted(map(repr, value)))
    return type(value), repr(value)


class _Content:
    """The content of one function and of all that it refers to.

    Each method returns a key, equal for the same content, and a copy that stays what it
    is when the original changes.
    """

    def __init__(self):
        # By ids: what refers to itself is entered once.
        self._copies = {}
        self._n_parts = 0

    def of(self, value):
        """Key and copy of any value."""
        self._n_parts += 1
        if type(value) in _PLAIN:
            return (type(value), repr(value)), value
        if self._n_parts > _MAX_PARTS:
            return self._of_object(value)
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return ("number", repr(value.dtype), value.tobytes()), value
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return self._of_array(value)
        if isinstance(value, tuple | list | set | frozenset | dict):
            return self._of_container(value)
        if inspect.isfunction(value) and not _is_of(value, _LIBRARIES):
            return self.of_function(value)
        if inspect.ismodule(value):
            return ("module", value.__name__), value
        if _is_of_numba(value):
            return self._of_dispatcher(value)
        return self._of_object(value)

    @staticmethod
    def _of_object(value):
        # The copy refers to it, so no other object has this id while the key is used.
        return ("object", id(value)), value

    @staticmethod
    def _of_array(array):
        copy = array.copy(order="K")
        order = (array.flags.c_contiguous, array.flags.f_contiguous)
        digest = hashlib.sha256(copy.tobytes()).digest()
        return ("array", repr(array.dtype), array.shape, order, digest), copy

    def _of_container(self, value):
        if id(value) in self._copies:
            return self._of_object(value)
        self._copies[id(value)] = value
        if isinstance(value, dict):
            items = [self.of(item) for item in value.items()]
        else:
            items = [self.of(item) for item in value]
        keys, copies = [key for key, _ in items], [copy for _, copy in items]
        del self._copies[id(value)]
        if isinstance(value, set | frozenset):
            keys.sort(key=repr)
        if type(value) in (tuple, list, set, frozenset, dict):
            return (type(value), *keys), type(value)(copies)
        if isinstance(value, tuple) and hasattr(value, "_make"):
            return (type(value), *keys), value._make(copies)
        return self._of_object(value)

    def of_function(self, function):
        """Key and copy of a Python function."""
        if id(function) in self._copies:
            index = list(self._copies).index(id(function))
            return ("again", index), self._copies[id(function)]
        code, names = _code_content(function.__code__)
        own_globals = {
            "__name__": function.__module__,
            "__builtins__": function.__globals__.get("__builtins__", __builtins__),
        }
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        copy = types.FunctionType(
            function.__code__, own_globals, function.__name__, closure=cells
        )
        copy.__qualname__ = function.__qualname__
        self._copies[id(function)] = copy
        defaults, copy.__defaults__ = self.of(function.__defaults__)
        keywords, copy.__kwdefaults__ = self.of(function.__kwdefaults__)
        closure = tuple(
            self._of_cell(cell, copied)
            for cell, copied in zip(function.__closure__ or (), cells, strict=True)
        )
        read = []
        for name in sorted(names & function.__globals__.keys()):
            value = function.__globals__[name]
            key, own_globals[name] = self.of(value)
            read.append((name, key, *self._of_attributes(value, names)))
        return ("function", code, defaults, keywords, closure, *read), copy

    def _of_cell(self, cell, copied):
        try:
            value = cell.cell_contents
        except ValueError:  # it is empty
            return ()
        key, copied.cell_contents = self.of(value)
        return key

    def _of_attributes(self, module, names):
        """Keys of the attributes that code reads of a module of the user's."""
        if not inspect.ismodule(module) or _is_of(module, _LIBRARIES):
            return
        if id(module) in self._copies:
            return
        self._copies[id(module)] = module
        for name in sorted(names & vars(module).keys()):
            value = vars(module)[name]
            yield (name, self.of(value)[0], *self._of_attributes(value, names))

    def _of_dispatcher(self, dispatcher):
        """Key and copy of a function that Numba compiles.

        A new dispatcher: this one may be compiled already, with globals that have
        changed since.
        """
        try:
            options = self.of(dict(dispatcher.targetoptions))[0]
            key, function = self.of_function(dispatcher.py_func)
            if dispatcher.locals or not dispatcher._can_compile:
                return self._of_object(dispatcher)
            copy = type(dispatcher)(
                py_func=function, targetoptions=dict(dispatcher.targetoptions)
            )
        except Exception:  # of another version, or for another target
            return self._of_object(dispatcher)
        return ("dispatcher", type(dispatcher), options, key), copy


def _is_of_numba(value):
    return type(value).__module__.startswith("numba.") and hasattr(value, "py_func")
