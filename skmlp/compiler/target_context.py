"""Numba's contexts for a target of our own, beside Numba's for this processor.

The target is that of this package's kernels alone: what else a process compiles by
Numba is compiled for the processor at hand. This rests on private interfaces of Numba's
code generator; where they are not as expected, the kernels are compiled for this
processor too, and nobody finds them in a shipped folder.
"""

import functools

from numba.core import codegen
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from skmlp.compiler import target
from skmlp.compiler.fallback import warn_of_fallback


def _new_codegen():
    """Numba's code generator, for the target of this process."""
    name, features = target.current()[:2]

    class TargetCodegen(codegen.JITCPUCodegen):
        def _get_host_cpu_name(self):
            return name

        def _get_host_cpu_features(self):
            return features

        def _customize_tm_options(self, options):
            super()._customize_tm_options(options)
            # A kernel for this processor must never be taken for one of a baseline.
            chosen = options.get("cpu"), options.get("features")
            if chosen != (name, features):
                raise RuntimeError(f"Numba would compile for {chosen}")

    return TargetCodegen("skmlp.exec")


@functools.cache
@global_compiler_lock
def _own_context():
    """Numba's context with a code generator of our own; None if that fails."""
    try:
        generator = _new_codegen()
        context = cpu_target.target_context.subtarget(_internal_codegen=generator)
        if context.codegen() is not generator:
            raise RuntimeError("contexts have other code generators")
    except Exception as error:
        cost = f"shipped kernels for {target.current().name} are not used"
        warn_of_fallback("a target of its own", error, cost)
        return None
    return context


def of_target(context):
    """The context that compiles and loads kernels for the target of this process.

    Parameters
    ----------
    context : numba.core.cpu.CPUContext
        Numba's.

    Returns
    -------
    numba.core.cpu.CPUContext
    """
    if target.current().name == target.NATIVE:
        return context
    return _own_context() or context
