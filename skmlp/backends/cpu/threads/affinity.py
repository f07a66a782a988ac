"""Members of a team on cores of their own.

Linux may let a thread begin on the core of the one that started it, though another is
idle, and leave it there: members that yield to each other at barriers look busy to it,
and recently run. Two threads then take as long as one, for a whole fit. So who finds
himself on the core of another one asks to be moved, and is free to go anywhere again
from then on. Nobody is bound to a core: bound threads of several processes would queue
for the same ones. And nobody moves where as many threads as there are cores want to run
already: on the core of a stranger a member would be gone for milliseconds, and all
others wait for it.

A core is what the system calls one: hyperthreads are not told apart.
"""

import contextlib
import ctypes
import os
from pathlib import Path


def _reader():
    """The C library's ``sched_getcpu``, or None where there is none."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_current_core = _reader()


def spread(cores, member):
    """Leave the core that the calling thread shares with another member.

    Parameters
    ----------
    cores : list of int
        By member the cores of those who have come so far, -1 for the others. A member
        writes before it reads: of two on one core, one at least sees the other.
    member : int
    """
    if _current_core is None:
        return
    cores[member] = core = _current_core()
    others = {*cores[:member], *cores[member + 1 :]}
    if core in others and _n_running() <= (os.cpu_count() or 1):
        _leave(others)
        cores[member] = _current_core()


def _n_running():
    """How many threads of the whole system run or want to, this one included."""
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])


def _leave(cores):
    """Move to a core that is none of these, if there is one."""
    # A sandbox may forbid it, and a core go away: then all stays as it is.
    with contextlib.suppress(OSError):
        allowed = os.sched_getaffinity(0)
        free = allowed - cores
        if free:
            os.sched_setaffinity(0, free)
            os.sched_setaffinity(0, allowed)
