"""Tells the user what is compiled while he waits.

Every kernel that is compiled is logged at level INFO to the logger "skmlp", with its
time and where it is kept. Where standard error is a terminal, or the user has asked for
it by ``verbose``, a line says after a second of waiting what the wait is for. No thread
watches the clock: kernels consist of dozens of functions, and the compiler enters
`compiling` for each of them.
"""

import contextlib
import functools
import logging
import os
import sys
import time

from skmlp.forks import ForkSafeLock

_LOGGER = logging.getLogger("skmlp")
# A user who waits as long without the compiler running waits for something else.
_BREAK = 1.0
_PATIENCE = 1.0


class _Wait:
    """How long the compiler has run, without long breaks."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.depth = 0
        self.start = self.end = -float("inf")
        self.is_told = False
        self.folder = None

    def begin(self):
        now = time.perf_counter()
        if self.depth == 0 and now - self.end > _BREAK:
            self.start, self.is_told = now, False
        self.end = now

    def tell(self, patience):
        """Write the line, if it is time."""
        self.end = time.perf_counter()
        if self.is_told or self.end - self.start < patience:
            return
        self.is_told = True
        if sys.stderr and (_N_VERBOSE or _is_terminal(sys.stderr)):
            kept = f", and keeps them in {self.folder}" if self.folder else ""
            line = f"skmlp compiles kernels, which takes some seconds{kept}\n"
            sys.stderr.write(line)
            sys.stderr.flush()


_WAIT = _Wait()
if hasattr(os, "register_at_fork"):
    # What another thread compiles is not compiled in the child.
    os.register_at_fork(after_in_child=_WAIT.reset)
# Calls that run now and that asked for the line. Threads that a call starts may be the
# ones that compile, so this belongs to the process.
_N_VERBOSE = 0
_LOCK = ForkSafeLock()


@contextlib.contextmanager
def _verbose():
    global _N_VERBOSE
    with _LOCK:
        _N_VERBOSE += 1
    try:
        yield
    finally:
        with _LOCK:
            _N_VERBOSE -= 1


def told_if_verbose(method):
    """Decorate a method that compiles, of an object with an attribute ``verbose``."""

    @functools.wraps(method)
    def told(self, *arguments, **keywords):
        if not self.verbose:
            return method(self, *arguments, **keywords)
        with _verbose():
            return method(self, *arguments, **keywords)

    return told


def _is_terminal(stream):
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


@contextlib.contextmanager
def compiling():
    """Entered while a function is compiled; the compiler's lock is held."""
    _WAIT.begin()
    _WAIT.depth += 1
    try:
        _WAIT.tell(_PATIENCE)
        yield
    finally:
        _WAIT.depth -= 1
        _WAIT.tell(_PATIENCE)


def begin(folder, *, is_long):
    """Note that a kernel is about to be compiled.

    Parameters
    ----------
    folder : path or None
        Where it will be kept.
    is_long : bool
        Whether it takes seconds without entering `compiling`.
    """
    _WAIT.begin()
    _WAIT.folder = folder
    _WAIT.tell(0.0 if is_long else _PATIENCE)


def log(name, seconds, kept):
    """Log that a kernel was compiled.

    Parameters
    ----------
    name : str
    seconds : float
    kept : str
        Where it is kept.
    """
    _LOGGER.info("compiled %s in %.2f s, %s", name, seconds, kept)
