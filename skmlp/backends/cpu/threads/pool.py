"""A team of threads that runs one kernel together.

One Python thread a core runs the same kernel, which releases the interpreter's lock,
for many minibatches on end. Inside it the members share out numbered items of work
and meet at barriers: a barrier of this kind costs a few tenths of a microsecond, a
parallel region of Numba's 1 to 80. Numba's own threading layers are not used: one
aborts the process on concurrent use, another kills forked children, and neither
respects the limits that joblib and threadpoolctl set.

Every member has a queue of items, the same ones in every round of the same work: what
it has written lies in its core's cache, and another core would fetch it at a tenth of
the speed. Who has done its own goes on with others' items, as soon as their owners have
left the barrier before. For one that the system has taken off its core at a barrier all
have to wait: if that happens often, fewer members are faster, and `pace` finds it out.
What an item computes does not depend on who takes it; nor does any result on the number
of members.

A member that waits spins for a few microseconds and then yields its core.
"""

import sys
import threading
from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.intrinsics import atomic_add, atomic_load, atomic_store
from skmlp.backends.cpu.threads.affinity import spread
from skmlp.compiler.jit import inline
from skmlp.compiler.struct_pointer import passed_by_pointer

# Words of the shared state, a cache line apart, and the first of the queues': how many
# items have been taken, and above these bits the generation in which.
_LINE_WORDS = 8
_ARRIVED, _GENERATION, _ABORT, _QUEUES = (_LINE_WORDS * i for i in range(4))
_ITEM_BITS = 32
_SPINS = 2000

_give_way = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@passed_by_pointer
class Post(NamedTuple):
    """What a kernel knows of the team: its shared words, its size, its own number.

    Attributes
    ----------
    state : ndarray of int64
    size : int
    member : int
        0 is the thread that called; it does what only one may do.
    """

    state: np.ndarray
    size: int
    member: int


@inline
def _taken(word):
    """How many items have been taken from a queue."""
    return word & ((1 << _ITEM_BITS) - 1)


@inline
def take(post, n_items):
    """Number of an item of work since the last barrier, n_items if none is left.

    A member's own come first: those that leave its number over when divided by the
    team's size.
    """
    state, size = post.state, post.size
    for distance in range(size):
        owner = (post.member + distance) % size
        queue = _QUEUES + owner * _LINE_WORDS
        if distance > 0:
            # An owner that is still at the barrier has no queue of this generation.
            word = atomic_load(state, queue)
            is_open = word >> _ITEM_BITS == atomic_load(state, _GENERATION)
            if not is_open or owner + _taken(word) * size >= n_items:
                continue
        item = owner + _taken(atomic_add(state, queue, 1)) * size
        if item < n_items:
            return item
    return n_items


@inline
def meet(post):
    """Wait for the whole team; false when the work was called off."""
    state = post.state
    queue = _QUEUES + post.member * _LINE_WORDS
    if post.size == 1:
        state[queue] = 0
        return True
    generation = atomic_load(state, _GENERATION)
    following = (generation + 1) << _ITEM_BITS
    if atomic_add(state, _ARRIVED, 1) == post.size - 1:
        atomic_store(state, queue, following)
        atomic_store(state, _ARRIVED, 0)
        atomic_add(state, _GENERATION, 1)
        return True
    spins = 0
    while atomic_load(state, _GENERATION) == generation:
        spins += 1
        if spins > _SPINS:
            if atomic_load(state, _ABORT) != 0:
                return False
            _give_way()
    atomic_store(state, queue, following)
    return True


class Team:
    """Threads that wait for work between two calls of `run`.

    Parameters
    ----------
    size : int
        Members, the calling thread included. Where the system refuses a thread, the
        team is smaller.
    """

    def __init__(self, size):
        self._changed = threading.Condition()
        self._job: _Job | None = None
        self._threads = []
        for member in range(1, size):
            thread = threading.Thread(target=self._serve, args=(member,), daemon=True)
            try:
                thread.start()
            except RuntimeError:  # can't start new thread
                break
            self._threads.append(thread)
        self.size = 1 + len(self._threads)

    def _serve(self, member):
        job = None
        while True:
            with self._changed:
                while self._job is job or self._job is None:
                    self._changed.wait()
                job = self._job
            if job.work is None:
                return
            if member < job.size:
                job.serve(Post(job.state, job.size, member))
                with self._changed:
                    self._changed.notify_all()

    def run(self, work, size=None):
        """Let members call ``work(post)`` and wait for all of them.

        Parameters
        ----------
        work : callable
        size : int, default=None
            Members to work, the calling thread included; None for the whole team.

        Notes
        -----
        An exception in this thread, Ctrl-C for one, calls the work off: the others
        leave the kernel at their next barrier, and the exception goes on from here.
        """
        job = _Job(work, min(size or self.size, self.size))
        try:
            if job.size > 1:
                spread(job.cores, 0)
                self._announce(job)
            work(Post(job.state, job.size, 0))
        except BaseException:
            job.state[_ABORT] = 1
            raise
        finally:
            if self._job is job:
                self._wait(job)
        if job.errors:
            raise job.errors[0]

    def _announce(self, job):
        with self._changed:
            self._job = job
            self._changed.notify_all()

    def _wait(self, job):
        """Wait until all others have left the work, also while Ctrl-C is pressed."""
        interruption = None
        n_others = job.size - 1
        while len(job.left) < n_others:
            try:
                with self._changed:
                    self._changed.notify_all()
                    self._changed.wait_for(
                        lambda: len(job.left) == n_others, timeout=1.0
                    )
            except KeyboardInterrupt as error:
                job.state[_ABORT] = 1
                interruption = error
        if interruption is not None:
            raise interruption

    def close(self):
        """End the threads."""
        if self._threads:
            self._announce(_Job(None, self.size))
        for thread in self._threads:
            thread.join()
        self._threads = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class _Job:
    """One call of `Team.run`: the work, its shared words, members' cores, who left."""

    def __init__(self, work, size):
        self.work = work
        self.size = size
        self.state = np.zeros(_QUEUES + size * _LINE_WORDS, dtype=np.int64)
        self.cores = [-1] * size
        self.left = []
        self.errors = []

    def serve(self, post):
        try:
            spread(self.cores, post.member)
            self.work(post)
        except BaseException as error:
            self.state[_ABORT] = 1
            self.errors.append(error)
        self.left.append(post.member)
