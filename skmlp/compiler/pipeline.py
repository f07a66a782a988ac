"""Numba's compiler without what kernels have no use for.

Two thirds of a compilation are Numba's own Python. Kernels have neither closures nor
array expressions nor branches by type, so the passes that look for them are left out.
And the type of ``i + j`` is looked up once for every pair of types: Numba asks dozens
of implementations, for sets, strings and dates, at every single operation.

`skmlp.compiler.jit` is the only user; without ``pipeline_class`` there, everything
works as before, only later. A pass that a version of Numba does not know is not left
out.
"""

import gc
import operator

from numba import types
from numba.core import compiler

_NEEDLESS = {
    "WithLifting",
    "InlineClosureLikes",
    "RewriteSemanticConstants",
    "DeadBranchPrune",
    "RewriteDynamicRaises",
    "MakeFunctionToJitFunction",
    "InlineInlinables",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagation",
    "InlineOverloads",
    "NopythonRewrites",
    "NoPythonSupportedFeatureValidation",
    "AnnotateTypes",
    "DumpParforDiagnostics",
}
_OPERATORS = {bool, min, max, *(getattr(operator, name) for name in operator.__all__)}
# What an operator makes of these depends on nothing but their types.
_PLAIN = (types.Number, types.Boolean, types.Array, types.UniTuple)
_KNOWN: dict = {}


class _Remembering:
    """Numba's typing context, which looks up an operator's signature only once."""

    def __init__(self, context):
        self._context = context

    def __getattr__(self, name):
        return getattr(self._context, name)

    def resolve_function_type(self, function, args, kws):
        """As Numba's, for operators by memory."""
        operation = getattr(function, "typing_key", None)
        plain = all(isinstance(argument, _PLAIN) for argument in args)
        if kws or not plain or operation not in _OPERATORS:
            return self._context.resolve_function_type(function, args, kws)
        key = (operation, *args)
        if key not in _KNOWN:
            _KNOWN[key] = self._context.resolve_function_type(function, args, kws)
        return _KNOWN[key]

    def resolve_getitem(self, target, index):
        """As Numba's, by memory."""
        function = self.resolve_value_type(operator.getitem)
        return self.resolve_function_type(function, (target, index), {})

    def resolve_setitem(self, target, index, value):
        """As Numba's, by memory."""
        function = self.resolve_value_type(operator.setitem)
        return self.resolve_function_type(function, (target, index, value), {})


class TrimmedCompiler(compiler.CompilerBase):
    """Numba's compiler with fewer passes and a memory."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.state.typingctx = _Remembering(self.state.typingctx)

    def compile_extra(self, function):
        """Compile without looks for garbage: there is much to look through, and none.

        The compiler's lock is held meanwhile, so that nobody else does the same.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(function)
        finally:
            if collects:
                gc.enable()

    def define_pipelines(self):
        """Numba's passes without the needless ones."""
        pipeline = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [
            (self.replaced(kind), why)
            for kind, why in pipeline.passes
            if kind.__name__ not in _NEEDLESS
        ]
        pipeline._finalized = False
        pipeline.finalize()
        return [pipeline]

    def replaced(self, kind):
        """The pass to run in place of a pass."""
        return kind
