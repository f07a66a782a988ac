"""Imports and compilations that no exception of the main thread can cut short.

Python raises Ctrl-C, and exceptions of signal handlers, at any point of the main
thread. Within an import that leaves modules half imported; within a compilation it
leaves Numba's registries half filled, and no later fit of the process works. So both
run in a thread of their own while the main thread waits. What is raised there meanwhile
is raised when that thread has ended: nobody can stop LLVM, but nothing else is compiled
before. Who asks twice need not wait: a second exception is raised at once.

The thread has a stack of a usual size, whatever `threading.stack_size` says. Warnings
are given by the main thread, at the user's line. Other threads get no such exceptions,
so that they need no help.
"""

import contextlib
import contextvars
import threading
import warnings
from queue import Empty, SimpleQueue

from skmlp.call_site import user_stacklevel

_STACK_BYTES = 8 << 20
# Threads that start at the same time do not see each other's size of the stack.
_STACK_LOCK = threading.Lock()
_later: contextvars.ContextVar[list | None] = contextvars.ContextVar(
    "later", default=None
)


# Of the main thread: what knows whether Ctrl-C has ended a training.
_has_ended: list = []


@contextlib.contextmanager
def compiling_until(has_ended):
    """Compile nothing in this block once Ctrl-C has ended it.

    Parameters
    ----------
    has_ended : callable
        Returns whether it has.
    """
    _has_ended.append(has_ended)
    try:
        yield
    finally:
        _has_ended.remove(has_ended)


def run(function, *arguments):
    """What a function returns or raises.

    Parameters
    ----------
    function : callable
    *arguments

    Returns
    -------
    object

    Raises
    ------
    KeyboardInterrupt
        Also where Ctrl-C has ended a block of `compiling_until`.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    if any(has_ended() for has_ended in _has_ended):
        raise KeyboardInterrupt
    warned: list = []
    outcome: list = []
    done: SimpleQueue = SimpleQueue()
    context = contextvars.copy_context()
    context.run(_later.set, warned)

    def call():
        try:
            outcome.append((context.run(function, *arguments), None))
        except BaseException as error:
            outcome.append((None, error))
        done.put(None)

    thread = threading.Thread(target=call, name="skmlp compiles")
    interruption = None
    try:
        _start(thread)
        done.get()
    except BaseException as error:
        interruption = error
        # (After an exception, `Thread.join` no longer waits.)
        while thread.is_alive() and not outcome:
            with contextlib.suppress(Empty):
                done.get(timeout=1.0)
    for message, category in warned:
        warnings.warn(message, category, stacklevel=user_stacklevel())
    if interruption is not None:
        raise interruption
    result, failure = outcome.pop()
    if failure is None:
        return result
    try:
        raise failure
    finally:
        # Its traceback holds this frame.
        del failure


def _start(thread):
    with _STACK_LOCK:
        before = threading.stack_size()
        # A system may refuse the size.
        with contextlib.suppress(ValueError):
            threading.stack_size(max(before, _STACK_BYTES))
        try:
            thread.start()
        finally:
            threading.stack_size(before)


def warn(message, category):
    """Warn at the user's line, of the main thread if it waits for this one.

    Parameters
    ----------
    message : str
    category : type
    """
    later = _later.get()
    if later is not None:
        later.append((message, category))
    else:
        warnings.warn(message, category, stacklevel=user_stacklevel())
