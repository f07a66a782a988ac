"""What a child process must know that was forked while another thread compiled.

Numba and LLVM hold locks while they compile. In the child they are held for good, by a
thread that is not there, and what they protect is half done: LLVM's own locks and
tables cannot be renewed. Kernels that are compiled already need none of them, so they
run. Any other compilation would wait for ever: it raises `ForkedError` instead, also
that of functions of others. Nor is memory of LLVM freed any more, which would wait for
the same locks whenever garbage is collected.
"""

import contextlib
import gc
import operator
import os
import threading

from llvmlite import binding
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock

from skmlp.forks import is_lost

# The thread that has turned the garbage collection off.
_PAUSING_THREAD: int | None = None


class ForkedError(RuntimeError):
    """A forked child asks for the compiler, which another thread's work has locked."""

    def __init__(self):
        super().__init__(
            "this process was forked while another thread of its parent compiled by "
            "Numba, so it cannot compile. Compile before the fork: call "
            "skmlp.precompile() or fit once. Or start processes by the method "
            "'forkserver' or 'spawn' of multiprocessing."
        )


class _Refusal(event.Listener):
    """Raises where Numba is about to wait for its lock."""

    def on_start(self, event):
        raise ForkedError

    def on_end(self, event):
        """Do nothing: nobody gets as far."""


@contextlib.contextmanager
def paused_collection():
    """Context without garbage collection; a child of another thread collects again.

    Numba's lock is held in it, so that one thread at a time is.
    """
    global _PAUSING_THREAD
    if not gc.isenabled():  # by the user, or by a function that calls this one
        yield
        return
    _PAUSING_THREAD = threading.get_ident()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        _PAUSING_THREAD = None


def _collect_again():
    if _PAUSING_THREAD not in (None, threading.get_ident()):
        gc.enable()


def _refuse_if_locked():
    """In a new child: refuse compilations if a lock of the compiler is lost."""
    if not any(map(is_lost, _locks())):
        return
    event.register("numba:compiler_lock", _Refusal())
    # What llvmlite asks before it frees anything.
    _private(binding, "common._shutting_down", [False])[0] = True


def _locks():
    """The locks of Numba and of llvmlite, as far as this version has them."""
    found = (
        _private(global_compiler_lock, "_lock", None),
        _private(binding, "ffi.lib._lock._lock", None),
    )
    return [lock for lock in found if lock is not None]


def _private(owner, path, default):
    """What stands at a path of attributes, or the default.

    Without these private names a child waits for ever, as with Numba alone.
    """
    try:
        return operator.attrgetter(path)(owner)
    except AttributeError:
        return default


def watch():
    """From now on, prepare the children of a process in which a thread compiles."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_collect_again)
        os.register_at_fork(after_in_child=_refuse_if_locked)
