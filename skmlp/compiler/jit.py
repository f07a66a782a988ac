"""The one place that knows how functions become machine code.

Flags. ``error_model="numpy"`` because a test for division by zero stops vectorization.
Of the fast-math flags those that let LLVM reorder and contract, never ``nnan`` or
``ninf``: they would remove `isnan` and make nan compare as a number. Functions whose
order of operations carries their accuracy are compiled by `exact`.

Rules. The functions of `skmlp.rules` are plain Python. `register_overload` lets
compiled code call them, `overload_by_dtype` gives it another implementation of one of
them.

Loops by address. A rule's loop over a block (`loop`) is compiled on its own, cached on
its own and handed to the kernels as an address. A kernel is thus compiled once for
every activation, loss and optimizer; a rule costs the 0.2 s of its own loop when it is
first used; and one indirect call a block of a thousand elements costs nothing that can
be measured. (Folding every rule into every kernel grows each compilation with the
catalog; first-class functions cost microseconds of Python a launch.)
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from skmlp.compiler.deferred_linking import DeferredLinkingCompiler
from skmlp.compiler.disk_cache import CpuKernelCache
from skmlp.compiler.pipeline import TrimmedCompiler

_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
# Kernels own no memory, so nothing has references to be counted.
_OPTIONS = {
    "error_model": "numpy",
    "nogil": True,
    "_nrt": False,
    "pipeline_class": TrimmedCompiler,
}
# What only kernels call needs no machine code and no entry points of its own.
_INNER = {
    **_OPTIONS,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": DeferredLinkingCompiler,
}


def inline(function):
    """Compile a function that kernels call and that LLVM inlines into them."""
    return njit(fastmath=_FAST, **_INNER)(function)


def inline_always(function):
    """Compile a scalar rule; always inlined, for the loop around it to vectorize."""
    return njit(fastmath=_FAST, forceinline=True, **_INNER)(function)


def user_rule(function):
    """Compile a rule of a user's, by Numba's own compiler, with all that it knows."""
    return njit(fastmath=_FAST, forceinline=True, error_model="numpy", nogil=True)(
        function
    )


def exact(function):
    """Compile a scalar rule whose order of operations must stand."""
    return njit(fastmath={"contract"}, forceinline=True, **_INNER)(function)


def kernel(function):
    """Compile a function that Python calls, with its machine code kept on disk."""
    dispatcher = njit(fastmath=_FAST, no_cfunc_wrapper=True, **_OPTIONS)(function)
    name = f"{function.__module__}.{function.__qualname__}"
    dispatcher._cache = CpuKernelCache(dispatcher, name)
    return dispatcher


def loop(function, signature, key):
    """Compile a loop over a block ahead of its first call.

    Parameters
    ----------
    function : callable
    signature : numba signature
    key : str or None
        Name in the cache on disk, different for every rule; None keeps the machine
        code in memory, for functions that are not part of this package.

    Returns
    -------
    dispatcher
        To be kept alive as long as its address is in use.
    address : int
        For the intrinsics made by `caller`.
    """
    dispatcher = njit(fastmath=_FAST, no_cpython_wrapper=True, **_OPTIONS)(function)
    if key is not None:
        dispatcher._cache = CpuKernelCache(dispatcher, key)
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature.args]
    name = compiled.fndesc.llvm_cfunc_wrapper_name
    return dispatcher, compiled.library.get_pointer_to_function(name)


def caller(return_type):
    """An intrinsic ``call(address, (arguments...))`` of functions from `loop`."""

    @intrinsic
    def call(typing_context, address, arguments):
        def generate(context, builder, signature, values):
            kinds = [context.get_value_type(kind) for kind in signature.args[1].types]
            result = ir.FunctionType(context.get_value_type(return_type), kinds)
            pointer = builder.inttoptr(values[0], result.as_pointer())
            return builder.call(pointer, cgutils.unpack_tuple(builder, values[1]))

        return return_type(address, arguments), generate

    return call


def register_overload(function, *, exactly=False):
    """Let compiled code call a plain Python function."""
    flags = {"contract"} if exactly else _FAST
    options = {**_INNER, "fastmath": flags, "forceinline": True}
    overload(function, jit_options=options, strict=False)(lambda *args: function)


def overload_by_dtype(function, single, double):
    """Give compiled code an implementation a dtype for a plain Python function."""
    versions = {types.float32: single, types.float64: double}
    options = {**_INNER, "fastmath": {"contract"}, "forceinline": True}
    overload(function, jit_options=options, strict=False)(lambda x: versions.get(x))


def overload_by_types(function):
    """Decorator like Numba's ``overload``, for versions of a function by its types."""
    return overload(function, jit_options={**_INNER, "fastmath": _FAST})
