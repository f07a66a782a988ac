"""CPU affinity: workers leave a core that they share with another worker.

Linux may start a thread on the core of the thread that created it, though another core
is idle, and leave it there: workers that yield to each other at barriers look busy and
recently run to the scheduler. Two threads then take as long as one, for a whole fit. So
a worker that finds another worker on its core sets its affinity to the other cores and
then resets it. No worker stays bound to a core: the bound threads of several processes
would queue for the same ones. And no worker moves while the machine already has as many
running threads as cores: preempted on another process's core, it would stall the pool
for milliseconds.

A core is what the operating system counts as one: hyperthreads are not told apart.
"""

import contextlib
import ctypes
import math
import os

from skmlp.backends.cpu.threads import load


def _core_reader():
    """The C library's ``sched_getcpu``, or None on systems without it."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)


_current_core = _core_reader()


def move_off_shared_core(cores, worker_id):
    """Move the calling worker if its core is that of another worker.

    Parameters
    ----------
    cores : list of int
        Core of each worker that has started, -1 for the others. A worker writes its
        entry before it reads the others: of two on one core, at least one sees the
        other.
    worker_id : int
    """
    if _current_core is None:
        return
    cores[worker_id] = core = _current_core()
    others = {*cores[:worker_id], *cores[worker_id + 1 :]}
    if core in others and 1 <= load.free_cores() < math.inf:
        _leave(others)
        cores[worker_id] = _current_core()


def _leave(cores):
    """Move to an allowed core that is none of these, if there is one."""
    # A sandbox may forbid it, or a core go offline: then the thread stays.
    with contextlib.suppress(OSError):
        allowed = os.sched_getaffinity(0)
        free = allowed - cores
        if free:
            os.sched_setaffinity(0, free)
            os.sched_setaffinity(0, allowed)
