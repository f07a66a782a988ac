"""Compiling functions that only ever become part of a kernel.

Numba optimises every function by itself and makes machine code of it, before it links
it into its caller and does all of that again there. For functions that only kernels
call, the first time is half of the whole compilation and its result is thrown away.
Here such a function stays what the front end has made of it, until the kernel around
it is optimised as a whole.

This rests on the inner structure of Numba's code libraries. `skmlp.jit` is its only
user; without ``pipeline_class`` there, everything works as before, only later.
"""

from numba.core import codegen, compiler
from numba.core.compiler_machinery import register_pass
from numba.core.typed_passes import NativeLowering


class _NoMachine:
    """Numba's code generator, without the environment that machine code has."""

    def __init__(self, generator):
        self._generator = generator

    def __getattr__(self, name):
        return getattr(self._generator, name)

    def set_env(self, env_name, env):
        """Do nothing: the environment is for exceptions, which kernels have not."""


class _InnerLibrary(codegen.JITCodeLibrary):
    """Code to be linked into others, neither optimised nor translated."""

    @property
    def codegen(self):
        return _NoMachine(self._codegen)

    def get_pointer_to_function(self, name):
        return 0

    def _optimize_functions(self, ll_module):
        ll_module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=True, analysis_only=False)
class _InnerLowering(NativeLowering):
    """Numba's last pass, into an `_InnerLibrary`."""

    _name = "skmlp_inner_lowering"

    def run_pass(self, state):
        generator = state.targetctx.codegen()
        state.library = _InnerLibrary(generator, state.func_id.func_qualname)
        return super().run_pass(state)


class InnerCompiler(compiler.CompilerBase):
    """Numba's compiler with `_InnerLowering` for its last pass."""

    def define_pipelines(self):
        """Numba's passes, the last of them replaced."""
        pipeline = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [
            (_InnerLowering if kind is NativeLowering else kind, why)
            for kind, why in pipeline.passes
        ]
        pipeline._finalized = False
        pipeline.finalize()
        return [pipeline]
