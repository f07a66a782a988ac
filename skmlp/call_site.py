"""Where the user's code called: warnings point there and not into the package."""

import sys
from contextlib import contextmanager
from contextvars import ContextVar

# Frames of these packages lie between the user's line and the warning.
_NOT_THE_USER = {"skmlp", "numba", "sklearn", "joblib", "contextlib"}

_silent: ContextVar[tuple] = ContextVar("silent", default=())


@contextmanager
def without_warnings(*categories):
    """Give no warnings of some categories in this thread, where `is_silent` is asked.

    The filters of `warnings` are those of the whole process: a thread that changes them
    changes them for the user's other threads.
    """
    token = _silent.set((*_silent.get(), *categories))
    try:
        yield
    finally:
        _silent.reset(token)


def is_silent(category):
    """Whether warnings of a category are not to be given here."""
    return category in _silent.get()


def user_stacklevel():
    """`stacklevel` of ``warnings.warn`` for the line of the user.

    Returns
    -------
    int
        That of the first frame outside of the package and the libraries that call it,
        counted from the caller of this function. In a worker of a search there may be
        none: then that of the outermost frame.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _NOT_THE_USER:
            break
        frame, level = frame.f_back, level + 1
    return level
