"""Defer optimizing and linking a function until the kernel that calls it is compiled.

Numba optimizes every function by itself and makes machine code of it, before it links
it into its caller and does all of that again there. For functions that only kernels
call, the first time is half of the whole compilation and its result is thrown away.
Here such a function stays what the front end has made of it, until the kernel around
it is optimized as a whole. Nor is anything linked into it before: Numba would link what
a function calls into it, the two into its caller, and so on up to the kernel.

This rests on the inner structure of Numba's code libraries. `self_check` tries it on
three tiny libraries; where it fails, `skmlp.compiler.pipeline_choice` goes without
deferred linking.
"""

import ctypes

from llvmlite import ir
from numba.core import codegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.registry import cpu_target
from numba.core.typed_passes import NativeLowering

from skmlp.compiler.pipeline import TrimmedCompiler


class _CodegenWithoutEnv:
    """Numba's code generator, except that it sets no environment for exceptions."""

    def __init__(self, generator):
        self._generator = generator

    def __getattr__(self, name):
        return getattr(self._generator, name)

    def set_env(self, env_name, env):
        """Do nothing: the environment is for exceptions, and kernels raise none."""


class _InnerLibrary(codegen.JITCodeLibrary):
    """LLVM IR to be linked into kernels; not optimized, compiled or linked itself.

    Numba's library also collects from its callees what reloads the thread pool of
    parallel loops (`_reload_init`, since 0.63); kernels have no such loops.
    """

    @property
    def codegen(self):
        return _CodegenWithoutEnv(self._codegen)

    def get_pointer_to_function(self, name):
        return 0

    def add_llvm_module(self, ll_module):
        # The linker drops what may be dropped and is not used yet.
        _set_linkage(ll_module, "weak_odr")
        self._final_module.link_in(ll_module)

    def finalize(self):
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True

    def _get_module_for_linking(self):
        module = self._final_module.clone()
        for library in _transitive_callees(self):
            if isinstance(library, _InnerLibrary):
                callee = library._final_module
            else:
                callee = library._get_module_for_linking()
            module.link_in(callee, preserve=True)
        _set_linkage(module, "linkonce_odr")
        return module


def _set_linkage(module, linkage):
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = linkage


def _transitive_callees(library):
    """The libraries that one calls, and those that they call, each of them once."""
    reached = dict.fromkeys(library._linking_libraries)
    pending = list(reached)
    while pending:
        caller = pending.pop()
        if isinstance(caller, _InnerLibrary):
            new = [each for each in caller._linking_libraries if each not in reached]
            reached.update(dict.fromkeys(new))
            pending += new
    reached.pop(library, None)
    return reached


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):
    """Numba's last pass, into an `_InnerLibrary`."""

    _name = "skmlp_inner_lowering"

    def run_pass(self, state):
        generator = state.targetctx.codegen()
        state.library = _InnerLibrary(generator, state.func_id.func_qualname)
        return super().run_pass(state)


class DeferredLinkingCompiler(TrimmedCompiler):
    """The trimmed pipeline with `_InnerLowering` for its last pass."""

    def replaced(self, cls):
        """`_InnerLowering` in place of Numba's, and every other pass for itself."""
        return _InnerLowering if cls is NativeLowering else cls


@global_compiler_lock
def self_check():
    """Link two inner libraries into a normal one, and run the code; takes 6 ms.

    Raises
    ------
    Exception
        What goes wrong, in a version of Numba whose libraries work otherwise.
    """
    generator = cpu_target.target_context.codegen()
    callee = None
    for name in ("skmlp_probe_1", "skmlp_probe_2"):
        callee = _library_of_probe(_InnerLibrary(generator, name), callee)
    kernel = codegen.JITCodeLibrary(generator, "skmlp_probe_3")
    _library_of_probe(kernel, callee)
    address = kernel.get_pointer_to_function(kernel.name)
    n_called = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(0)
    if n_called != 3:
        raise RuntimeError(f"of three linked functions {n_called} ran")


def _library_of_probe(library, callee):
    """Give a library a function that returns 1 + callee(x), or 1 + x; finalize it."""
    module = library.create_ir_module(library.name)
    integer = ir.IntType(64)
    function_type = ir.FunctionType(integer, [integer])
    function = ir.Function(module, function_type, name=library.name)
    builder = ir.IRBuilder(function.append_basic_block())
    value = function.args[0]
    if callee is not None:
        declaration = ir.Function(module, function_type, name=callee.name)
        value = builder.call(declaration, [value])
        library.add_linking_library(callee)
    builder.ret(builder.add(value, integer(1)))
    library.add_ir_module(module)
    library.finalize()
    return library
