"""The one place that knows how functions become machine code.

Flags. ``error_model="numpy"`` because a test for division by zero stops vectorization.
Of the fast-math flags those that let LLVM reorder and contract, never ``nnan`` or
``ninf``: they would remove `isnan` and make nan compare as a number. Functions whose
order of operations carries their accuracy are compiled by `exact`.

Rules. The functions of `skmlp.rules` are plain Python. `register_overload` lets
compiled code call them, `overload_by_dtype` gives it another implementation of one of
them.

Loops by address. A rule's loop over a block (`loop`) is compiled and cached separately
and handed to the kernels as an address. A kernel is thus compiled once for every
activation, loss and optimizer; a rule costs the 0.2 s of its loop when it is first
used; and one indirect call a block of a thousand elements costs nothing that can be
measured. (Folding every rule into every kernel grows each compilation with the catalog;
first-class functions cost microseconds of Python a launch.)

Extensions. Numba loads those of other packages at its first compilation. They register
types, and while they do, other threads cannot look types up. So they are loaded here:
threads that fit wait for this import.

Private interfaces of Numba. Each that is used here or in the modules below is checked,
and has a fallback on public interfaces that costs time but changes no result:
`pipeline_choice` for compiler pipelines, `disk_cache.cache_on_disk` for the cache, and
`_supported` and `_entry_address` here.
"""

import functools
import time

import numba
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from skmlp.compiler import compile_thread, disk_cache, forks, progress
from skmlp.compiler.fallback import warn_of_fallback

forks.watch()


def _load_extensions():
    """Load what other packages add to Numba."""
    try:
        from numba.core.entrypoints import init_all
    except ImportError:  # then Numba loads them when it needs them
        return
    init_all()


_load_extensions()

_FAST = {"contract", "reassoc", "nsz", "arcp", "afn"}
# Options that Numba does not document.
_PRIVATE_OPTIONS = {"_nrt", "no_cpython_wrapper", "no_cfunc_wrapper"}


def _supported(options):
    """Options without the private ones that the installed Numba does not know."""
    private = _PRIVATE_OPTIONS & options.keys()
    try:
        from numba.core.cpu import CPUTargetOptions as Known
    except ImportError:
        unknown = private
    else:
        unknown = {name for name in private if not hasattr(Known, name)}
    if unknown:
        reason = f"unknown: {', '.join(sorted(unknown))}"
        # A fallback that counts references would free what is still in use.
        if "_nrt" in unknown and "pipeline_class" not in options:
            raise ImportError(f"skmlp does not work with Numba {numba.__version__}")
        warn_of_fallback("private compiler options", reason)
    return {name: options[name] for name in options.keys() - unknown}


def _pipelines():
    """The option ``pipeline_class`` of kernels and that of what only they call."""
    try:
        from skmlp.compiler.pipeline_choice import DeferredOrTrimmed, TrimmedOrNumba
    except ImportError as error:
        warn_of_fallback("compiler pipelines of its own", error)
        return {}, {}
    return {"pipeline_class": TrimmedOrNumba}, {"pipeline_class": DeferredOrTrimmed}


_KERNEL_PIPELINE, _INNER_PIPELINE = _pipelines()
# Kernels own no memory, so nothing has references to be counted.
_COMMON = {"error_model": "numpy", "nogil": True, "_nrt": False}
# Numba adds a wrapper for Python, or one with C's calling convention: only one is used.
_KERNEL = _supported({**_COMMON, **_KERNEL_PIPELINE, "no_cfunc_wrapper": True})
_LOOP = _supported({**_COMMON, **_KERNEL_PIPELINE, "no_cpython_wrapper": True})
_WITHOUT_WRAPPERS = _supported({"no_cpython_wrapper": True, "no_cfunc_wrapper": True})
# What only kernels call needs neither machine code nor entry points.
_INNER = _supported({**_COMMON, **_INNER_PIPELINE}) | _WITHOUT_WRAPPERS


def inline(function):
    """Compile a function that kernels call and that LLVM inlines into them."""
    return njit(fastmath=_FAST, **_INNER)(function)


def inline_always(function):
    """Compile a scalar rule; always inlined, for the loop around it to vectorize."""
    return njit(fastmath=_FAST, forceinline=True, **_INNER)(function)


def user_rule(function):
    """Compile a user's rule by Numba's own compiler, which supports the most Python."""
    return njit(
        fastmath=_FAST,
        forceinline=True,
        error_model="numpy",
        nogil=True,
        **_WITHOUT_WRAPPERS,
    )(function)


def forget_source(dispatcher):
    """Let the machine code of a user's function refer to that function no more.

    Numba holds what it has compiled until the dispatcher is collected, and with it, for
    `inspect_types`, the function. One that refers to its dispatcher, as those of
    `skmlp.rules.own_functions` do, would live forever, with all that it refers to.
    """
    overloads = getattr(dispatcher, "overloads", {})
    try:
        for signature, compiled in [*overloads.items()]:
            overloads[signature] = compiled._replace(type_annotation=None)
    except (AttributeError, TypeError, ValueError) as error:
        cost = "functions of custom rules live as long as the process"
        warn_of_fallback("compiled code without its source", error, cost)


def exact(function):
    """Compile a scalar rule whose order of operations must stand."""
    return njit(fastmath={"contract"}, forceinline=True, **_INNER)(function)


def kernel(function):
    """Compile a function that Python calls, and cache its machine code on disk."""
    dispatcher = njit(fastmath=_FAST, **_KERNEL)(function)
    name = f"{function.__module__}.{function.__qualname__}"
    disk_cache.cache_on_disk(dispatcher, name)
    _compile_apart(dispatcher)
    return dispatcher


def _compile_apart(dispatcher):
    """Compile what a call needs by `compile_thread`.

    Where Numba has no such method, calls compile as it pleases.
    """
    compile_for_call = getattr(dispatcher, "_compile_for_args", None)
    if compile_for_call is not None:
        dispatcher._compile_for_args = functools.partial(
            compile_thread.run, compile_for_call
        )


def compile_for(dispatcher, *arguments):
    """Compile a kernel for the types of some arguments, unless it is.

    Parameters
    ----------
    dispatcher
        From `kernel`.
    *arguments
    """
    signature = tuple(map(numba.typeof, arguments))
    if signature not in dispatcher.overloads:
        compile_thread.run(dispatcher.compile, signature)


def loop(function, signature, key):
    """Compile a loop over a block ahead of its first call.

    Parameters
    ----------
    function : callable
    signature : numba signature
    key : str or None
        Name in the cache on disk, different for every rule; with None the machine code
        stays in memory, for functions that are not part of this package.

    Returns
    -------
    dispatcher
        To be kept alive as long as its address is in use.
    address : int
        For the intrinsics made by `caller`.
    """
    dispatcher = njit(fastmath=_FAST, **_LOOP)(function)
    if key is not None:
        disk_cache.cache_on_disk(dispatcher, key)
        compile_thread.run(dispatcher.compile, signature)
    else:
        start = time.perf_counter()
        compile_thread.run(dispatcher.compile, signature)
        seconds = time.perf_counter() - start
        progress.log("the loop of a custom rule", seconds, "in memory only")
    try:
        return dispatcher, _entry_address(dispatcher, signature)
    except Exception as error:
        cost = "every process compiles each rule's loop twice"
        warn_of_fallback("the addresses of cached loops", error, cost)
    callback = cfunc(signature, fastmath=_FAST, **_LOOP)(function)
    return callback, callback.address


def _entry_address(dispatcher, signature):
    """The address of a compiled function's wrapper with C's calling convention."""
    compiled = dispatcher.overloads[signature.args]
    name = compiled.fndesc.llvm_cfunc_wrapper_name
    return compiled.library.get_pointer_to_function(name)


def caller(return_type):
    """An intrinsic ``call(address, (arguments...))`` of functions from `loop`."""

    @intrinsic
    def call(typing_context, address, arguments):
        def generate(context, builder, signature, values):
            llvm_types = [context.get_value_type(T) for T in signature.args[1].types]
            llvm_result = context.get_value_type(return_type)
            function_type = ir.FunctionType(llvm_result, llvm_types)
            pointer = builder.inttoptr(values[0], function_type.as_pointer())
            return builder.call(pointer, cgutils.unpack_tuple(builder, values[1]))

        return return_type(address, arguments), generate

    return call


def register_overload(function, *, exactly=False):
    """Let compiled code call a plain Python function."""
    flags = {"contract"} if exactly else _FAST
    options = {**_INNER, "fastmath": flags, "forceinline": True}
    overload(function, jit_options=options, strict=False)(lambda *args: function)


def overload_by_dtype(function, single, double):
    """Give compiled code one implementation for each dtype of a Python function."""
    by_dtype = {types.float32: single, types.float64: double}
    options = {**_INNER, "fastmath": {"contract"}, "forceinline": True}
    overload(function, jit_options=options, strict=False)(lambda x: by_dtype.get(x))


def overload_by_types(function):
    """Decorate like Numba's ``overload``: an implementation for each set of types."""
    return overload(function, jit_options={**_INNER, "fastmath": _FAST})
