"""Locks that a forked child can use, whatever the other threads of its parent did.

A fork copies the memory of all threads and goes on with one. A lock that another thread
holds at that moment is held for good in the child, where that thread is not. So the
child renews a lock that only marks what Python objects keep consistent by themselves
(`ForkSafeLock`). Where the memory under the lock may be half written, forks wait for
the lock instead (`no_fork_meanwhile`).

Of NumPy's random generators every array of numbers is drawn without the interpreter's
lock, while the generator's own is held: `DRAWING` is held around each of ours.
"""

import os
import threading
from typing import Any

_CAN_FORK = hasattr(os, "register_at_fork")


class ForkSafeLock:
    """A reentrant lock that is free in a child if another thread holds it at a fork."""

    def __init__(self):
        self._lock: Any = threading.RLock()
        if _CAN_FORK:
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self):
        if is_lost(self._lock):
            self._lock = threading.RLock()

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *exception):
        self._lock.release()


def is_lost(lock):
    """Whether a reentrant lock is held by a thread that is not in this new child."""
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False


def no_fork_meanwhile():
    """A reentrant lock for which forks by other threads wait.

    It is for work of milliseconds, since the forking thread waits as long.
    """
    lock: Any = threading.RLock()
    if _CAN_FORK:
        os.register_at_fork(
            before=lock.acquire,
            after_in_parent=lock.release,
            after_in_child=lock.release,
        )
    return lock


# A child forked while a thread draws would wait for ever for the generator, which may
# be NumPy's global one.
DRAWING = no_fork_meanwhile()
