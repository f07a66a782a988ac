"""Warnings of the compiler: once a process, at the user's line.

Above all that for a private interface of Numba that is not as expected.

Compilation is fast because this package reaches into Numba: fewer passes, deferred
linking, structs passed by pointer, a disk cache. A release of Numba may change any of
them without notice. So each user of such an interface checks it at first use and, where
the check fails, does the same job through Numba's public interfaces: the numbers do not
change, only the time does. Here is how it says so.
"""

import logging

import numba

from skmlp.compiler import compile_thread
from skmlp.exceptions import CompilerFallbackWarning

_LOGGER = logging.getLogger("skmlp")
_WARNED: dict = {}


def warn_of_fallback(what, error, cost="first fits take longer"):
    """Warn, once a process for each `what`, that a fallback is in use.

    Parameters
    ----------
    what : str
        The part that is not used, as in "deferred linking".
    error : Exception or str
        How the self-check failed; logged at level DEBUG with its traceback.
    cost : str
        What the user loses.
    """
    message = (
        f"skmlp does without {what}, which does not work with Numba "
        f"{numba.__version__}: {cost}, the results are the same. Please report it, "
        f"with this error: {error!r}"
    )
    traceback = error if isinstance(error, BaseException) else None
    warn_once(what, message, CompilerFallbackWarning, (logging.DEBUG, traceback))


def warn_once(what, message, category, logged=(logging.INFO, None)):
    """Warn, once a process for each `what`, at the user's line, and log the message.

    Parameters
    ----------
    what : str
    message : str
    category : type
    logged : (int, Exception or None)
        Level of the log, and the error whose traceback is logged.
    """
    # One atomic operation decides which of several threads warns.
    if _WARNED.setdefault(what, token := object()) is not token:
        return
    level, error = logged
    _LOGGER.log(level, message, exc_info=error)
    compile_thread.warn(message, category)
