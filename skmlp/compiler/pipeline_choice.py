"""The compiler of a function: this package's, or Numba's own where that one fails.

`pipeline` and `deferred_linking` save 43 % of a first fit's compilation (7.5 to 8.3
instead of 13.3 to 14.7 CPU seconds) and rest on private interfaces of Numba. So each is
imported and checked when a process first compiles, and replaced by the next slower
compiler if that fails: deferred linking by the trimmed pipeline alone, that one by
Numba's compiler.

A check cannot foresee everything. A function that a compiler fails on is given to the
next one. If that one succeeds, the fault was the compiler's, which is not used again in
this process. If it fails as well, the fault is the function's, and the first error is
raised as if there were no other compiler.
"""

from typing import Any

from numba.core.compiler import Compiler

from skmlp.compiler import memory, progress
from skmlp.compiler.fallback import warn_of_fallback

# Which arguments of Numba's `CompilerBase` hold the types of the function's arguments,
# and the flags.
_ARGUMENT_TYPES, _FLAGS = 3, 5
_MAX_HOPELESS = 16


class _Fallible:
    """A `pipeline_class` for Numba with another one to fall back on.

    Parameters
    ----------
    *arguments
        Those of Numba's `CompilerBase`.

    Attributes
    ----------
    what : str
        Its name in the warning.
    fallback : class
        What is used in its place.
    chosen : class or None
        The compiler of this process; None until it first compiles.
    """

    what: str
    fallback: Any
    chosen: Any = None
    # Functions, and argument types, that no compiler compiles. Each function between
    # such a one and the kernel fails with it; one retry for each is enough.
    _hopeless: set

    def __init__(self, *arguments):
        self._arguments = arguments
        # What the option `_nrt` has done already, where Numba has that option. Fields
        # of a struct are loaded without a reference, so that counting would free them.
        if arguments[_FLAGS].nrt:
            arguments[_FLAGS].nrt = False

    @classmethod
    def load(cls):
        """Import and check the compiler; raise what goes wrong."""
        raise NotImplementedError

    @classmethod
    def choose(cls):
        """The compiler of this process."""
        if cls.chosen is None:
            try:
                cls.chosen = cls.load()
            except Exception as error:
                cls._replace(error)
        return cls.chosen

    @classmethod
    def _replace(cls, error):
        cls.chosen = cls.fallback
        # A fallback that has been replaced itself has warned already.
        if cls.fallback is Compiler or cls.fallback.chosen is not Compiler:
            warn_of_fallback(cls.what, error)

    def compile_extra(self, function):
        """Compile a function, as Numba's compilers do; Numba holds its lock."""
        memory.check_room()
        with progress.compiling():
            return self._compile(function)

    def _compile(self, function):
        chosen = self.choose()
        try:
            return chosen(*self._arguments).compile_extra(function)
        except Exception as error:
            if chosen is self.fallback:
                raise
            compiled = self._compile_by_fallback(function)
            if compiled is None:
                raise
            self._replace(error)
            return compiled

    def _compile_by_fallback(self, function):
        """The compiled function, or None if that fails, too."""
        case = (function, self._arguments[_ARGUMENT_TYPES])
        if case in self._hopeless:
            return None
        try:
            return self.fallback(*self._arguments).compile_extra(function)
        except Exception:
            # A thousand functions of a user may fail; a second retry costs time only.
            if len(self._hopeless) >= _MAX_HOPELESS:
                self._hopeless.clear()
            self._hopeless.add(case)
            return None


class TrimmedOrNumba(_Fallible):
    """`TrimmedCompiler`, or Numba's compiler."""

    what = "the trimmed compiler pipeline"
    fallback = Compiler
    _hopeless: set = set()

    @classmethod
    def load(cls):
        """`TrimmedCompiler`; that it fails shows only as it compiles."""
        from skmlp.compiler.pipeline import TrimmedCompiler

        return TrimmedCompiler


class DeferredOrTrimmed(_Fallible):
    """`DeferredLinkingCompiler`, or `TrimmedOrNumba`."""

    what = "deferred linking"
    fallback = TrimmedOrNumba
    _hopeless: set = set()

    @classmethod
    def load(cls):
        """`DeferredLinkingCompiler`, if its libraries link a chain of functions."""
        from skmlp.compiler import deferred_linking

        if TrimmedOrNumba.choose() is Compiler:
            return TrimmedOrNumba
        deferred_linking.self_check()
        return deferred_linking.DeferredLinkingCompiler
