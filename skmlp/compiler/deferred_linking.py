"""Compiling functions that only ever become part of a kernel.

Numba optimizes every function by itself and makes machine code of it, before it links
it into its caller and does all of that again there. For functions that only kernels
call, the first time is half of the whole compilation and its result is thrown away.
Here such a function stays what the front end has made of it, until the kernel around
it is optimized as a whole. Nor is anything linked into it before: Numba would link what
a function calls into it, the two into its caller, and so on up to the kernel.

This rests on the inner structure of Numba's code libraries. `skmlp.compiler.jit` is its
only user; without ``pipeline_class`` there, everything works as before, only later.
"""

from numba.core import codegen
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering

from skmlp.compiler.pipeline import TrimmedCompiler


class _NoMachine:
    """Numba's code generator, without the environment that machine code has."""

    def __init__(self, generator):
        self._generator = generator

    def __getattr__(self, name):
        return getattr(self._generator, name)

    def set_env(self, env_name, env):
        """Do nothing: the environment is for exceptions, which kernels have not."""


class _InnerLibrary(codegen.JITCodeLibrary):
    """Code to be linked into kernels; not optimized, translated or linked itself."""

    @property
    def codegen(self):
        return _NoMachine(self._codegen)

    def get_pointer_to_function(self, name):
        return 0

    def add_llvm_module(self, ll_module):
        # The linker drops what may be dropped and is not used yet.
        _set_linkage(ll_module, "weak_odr")
        self._final_module.link_in(ll_module)

    def finalize(self):
        self._raise_if_finalized()
        for library in self._linking_libraries:
            self._reload_init.update(library._reload_init)
        self._finalize_dynamic_globals()
        self._finalized = True

    def _get_module_for_linking(self):
        module = self._final_module.clone()
        for library in _all_below(self):
            inner = isinstance(library, _InnerLibrary)
            part = library._final_module if inner else library._get_module_for_linking()
            module.link_in(part, preserve=True)
        _set_linkage(module, "linkonce_odr")
        return module


def _set_linkage(module, linkage):
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = linkage


def _all_below(library):
    """The libraries that one calls, and those that they call, each of them once."""
    found = dict.fromkeys(library._linking_libraries)
    waiting = list(found)
    while waiting:
        above = waiting.pop()
        if isinstance(above, _InnerLibrary):
            new = [lower for lower in above._linking_libraries if lower not in found]
            found.update(dict.fromkeys(new))
            waiting += new
    found.pop(library, None)
    return found


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):
    """Numba's last pass, into an `_InnerLibrary`."""

    _name = "skmlp_inner_lowering"

    def run_pass(self, state):
        generator = state.targetctx.codegen()
        state.library = _InnerLibrary(generator, state.func_id.func_qualname)
        return super().run_pass(state)


class DeferredLinkingCompiler(TrimmedCompiler):
    """The compiler with `_InnerLowering` for its last pass."""

    def replaced(self, kind):
        """`_InnerLowering` in place of Numba's, and every other pass for itself."""
        return _InnerLowering if kind is NativeLowering else kind
