"""Numba's compiler pipeline without the passes that kernels do not need.

Two thirds of a compilation are Numba's own Python. Kernels have neither closures nor
array expressions nor branches by type, so the passes that look for them are left out.
And operators are typed once for every pair of types, then memoized: for the type of
``i + j`` Numba asks dozens of implementations, for sets, strings and dates, at every
single operation.

This rests on private interfaces of Numba. `skmlp.compiler.pipeline_choice`, its only
user, compiles by Numba's own pipeline what fails here. A name of `_NEEDLESS` that a
version of Numba does not have leaves nothing out.
"""

import operator

from numba import types
from numba.core import compiler

from skmlp.compiler import target_context
from skmlp.compiler.forks import paused_collection

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
# Which argument of Numba's `CompilerBase` says what it compiles for.
_CONTEXT = 1
# What an operator returns for these depends on nothing but their types.
_PLAIN = (types.Number, types.Boolean, types.Array, types.UniTuple)
_SIGNATURES: dict = {}


class _MemoizingContext:
    """Numba's typing context, with the signatures of operators memoized."""

    def __init__(self, context):
        self._context = context

    def __getattr__(self, name):
        return getattr(self._context, name)

    def resolve_function_type(self, function, args, kws):
        """Numba's answer; for operators on plain types the memoized one."""
        operation = getattr(function, "typing_key", None)
        plain = all(isinstance(argument, _PLAIN) for argument in args)
        if kws or not plain or operation not in _OPERATORS:
            return self._context.resolve_function_type(function, args, kws)
        key = (operation, *args)
        if key not in _SIGNATURES:
            _SIGNATURES[key] = self._context.resolve_function_type(function, args, kws)
        return _SIGNATURES[key]

    def resolve_getitem(self, target, index):
        """Numba's answer, memoized."""
        function = self.resolve_value_type(operator.getitem)
        return self.resolve_function_type(function, (target, index), {})

    def resolve_setitem(self, target, index, value):
        """Numba's answer, memoized."""
        function = self.resolve_value_type(operator.setitem)
        return self.resolve_function_type(function, (target, index, value), {})


class TrimmedCompiler(compiler.CompilerBase):
    """Numba's compiler with fewer passes and memoized operators."""

    def __init__(self, *arguments):
        given = [*arguments]
        given[_CONTEXT] = target_context.of_target(given[_CONTEXT])
        super().__init__(*given)
        self.state.typingctx = _MemoizingContext(self.state.typingctx)

    def compile_extra(self, function):
        """Compile without garbage collection: there is much to search, and no garbage.

        The compiler's lock is held meanwhile, so no other thread does the same.
        """
        with paused_collection():
            return super().compile_extra(function)

    def define_pipelines(self):
        """Numba's passes without the needless ones."""
        pipeline = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [
            (self.replaced(cls), reason)
            for cls, reason in pipeline.passes
            if cls.__name__ not in _NEEDLESS
        ]
        pipeline._finalized = False
        pipeline.finalize()
        return [pipeline]

    def replaced(self, cls):
        """The pass to run in place of a pass; for subclasses to override."""
        return cls
