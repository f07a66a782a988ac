"""A thread pool whose workers run one kernel together.

One Python thread per core runs the same kernel, which releases the interpreter's lock,
for many minibatches without returning. Inside it the workers share numbered items of
work by work stealing and synchronize at barriers. Such a barrier costs a few tenths of
a microsecond, a parallel region of Numba 1 to 80. Numba's own threading layers are not
used: one aborts the process on concurrent use, another kills forked children, and
neither respects the limits that joblib and threadpoolctl set.

Every worker has a queue of items, the same ones in every round of the same work: its
results lie in its core's cache, and another core would fetch them at a tenth of the
speed. A worker that has emptied its own queue steals items from the others, as soon as
their owners have left the previous barrier. When the system preempts a worker at a
barrier, all others have to wait: if that happens often, fewer workers are faster, which
`autotune` detects. The result of an item does not depend on the worker that computes
it, and no result depends on the number of workers.

A waiting worker spins for a tenth of a millisecond and then yields its core. Beside
processes that compute, to yield is expensive: Linux may not come back for a slice of
three milliseconds, at every barrier. A worker that waits longer than others compute
between two barriers waits for one that has no core, which may need this one.
"""

import _thread
import contextlib
import sys
import weakref
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.intrinsics import atomic_add, atomic_load, atomic_store
from skmlp.backends.cpu.threads.affinity import move_off_shared_core
from skmlp.compiler.jit import compile_for, inline
from skmlp.compiler.struct_pointer import passed_by_pointer

# Offsets in the shared state, a cache line apart against false sharing: the counter and
# the generation of the barrier, the abort flag, and the first worker's queue. A queue
# is one word: the number of items taken, and above these bits the generation.
_LINE_WORDS = 8
_ARRIVED, _GENERATION, _ABORT, _QUEUES = (_LINE_WORDS * i for i in range(4))
_ITEM_BITS = 32
_SPINS = 100_000

_yield_core = types.ExternalFunction(
    "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
)


@passed_by_pointer
class WorkerContext(NamedTuple):
    """The view that a worker has of the pool.

    Attributes
    ----------
    state : ndarray of int64
        Shared by all workers.
    n_workers : int
    worker_id : int
        0 is the thread that called `ThreadPool.run`; it does the serial parts.
    """

    state: np.ndarray
    n_workers: int
    worker_id: int


@inline
def _n_taken(word):
    """Number of items taken from a queue."""
    return word & ((1 << _ITEM_BITS) - 1)


@inline
def next_item(worker, n_items):
    """Index of the next item since the last barrier, n_items if none is left.

    A worker first empties its own queue, the items whose index modulo the number of
    workers is its id, and then steals from the others.
    """
    state, n_workers = worker.state, worker.n_workers
    for distance in range(n_workers):
        owner = (worker.worker_id + distance) % n_workers
        queue = _QUEUES + owner * _LINE_WORDS
        if distance > 0:
            # An owner that is still at the barrier has no queue of this generation.
            word = atomic_load(state, queue)
            is_open = word >> _ITEM_BITS == atomic_load(state, _GENERATION)
            if not is_open or owner + _n_taken(word) * n_workers >= n_items:
                continue
        item = owner + _n_taken(atomic_add(state, queue, 1)) * n_workers
        if item < n_items:
            return item
    return n_items


@inline
def barrier(worker):
    """Wait for all workers; returns False when the work was aborted."""
    state = worker.state
    queue = _QUEUES + worker.worker_id * _LINE_WORDS
    if worker.n_workers == 1:
        state[queue] = 0
        return True
    generation = atomic_load(state, _GENERATION)
    following = (generation + 1) << _ITEM_BITS
    if atomic_add(state, _ARRIVED, 1) == worker.n_workers - 1:
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
            _yield_core()
    atomic_store(state, queue, following)
    return True


def _state(n_workers):
    """What the workers of one call share."""
    return np.zeros(_QUEUES + n_workers * _LINE_WORDS, dtype=np.int64)


_ANY_WORKER = WorkerContext(np.zeros(1, dtype=np.int64), 1, 0)
# Kernels and kinds of arguments that `ThreadPool.call` need not compile.
_COMPILED: set = set()


class ThreadPool:
    """Threads that wait for work between two calls of `run`.

    Python may raise an exception anywhere in the main thread: Ctrl-C, or one of a
    signal handler. So no step relies on the next one. Threads are started by one call
    of a function in C; `threading.Thread.start` takes several steps. A worker waits at
    a queue, written in C, and holds no reference to the pool meanwhile. When the pool
    is gone, however that came about, the callback of a weak reference, in C as well,
    tells the worker to end.

    Parameters
    ----------
    n_threads : int
        Number of workers, the calling thread included. The pool is smaller where the
        system refuses a thread.
    """

    def __init__(self, n_threads):
        self._job: _Job | None = None
        self._workers: list[_Worker] = []
        # Tells that a worker has begun or ended.
        self._events: SimpleQueue = SimpleQueue()
        if n_threads > 1:
            self._start(n_threads)
        self.n_threads = 1 + len(self._workers)

    def _start(self, n_threads):
        try:
            with contextlib.suppress(RuntimeError):  # can't start new thread
                while len(self._workers) < n_threads - 1:
                    self._workers.append(_Worker(self, self._events))
            # A thread may end before its first line, for want of memory.
            for worker in self._workers:
                while not worker.began and worker.is_alive():
                    self._next_event()
            self._workers = [worker for worker in self._workers if worker.began]
        except BaseException:
            self.close()
            raise

    def _next_event(self):
        # The limit of a second is for events that an exception has lost.
        with contextlib.suppress(Empty):
            self._events.get(timeout=1.0)

    def run(self, work, n_workers=None):
        """Call ``work(worker)`` in every worker and wait for all of them.

        Parameters
        ----------
        work : callable
            Called with a `WorkerContext`.
        n_workers : int, default=None
            Number of workers, the calling thread included; None for the whole pool.

        Notes
        -----
        An exception in this thread, such as Ctrl-C, aborts the work: the other workers
        leave the kernel at their next barrier, and then the exception is raised.
        """
        n_workers = min(n_workers or self.n_threads, self.n_threads)
        if n_workers == 1:
            work(WorkerContext(_state(1), 1, 0))
            return
        job = _Job(work, n_workers)
        is_complete = False
        self._job = job
        try:
            move_off_shared_core(job.cores, 0)
            self._announce(job)
            work(WorkerContext(job.state, job.n_workers, 0))
            is_complete = True
        finally:
            if not is_complete:
                job.abort()
            self._wait(job)
        if job.errors:
            raise job.errors[0]

    def call(self, kernel, arguments, kind, n_workers=None):
        """Call a kernel in every worker and wait for all of them.

        Parameters
        ----------
        kernel
            From `skmlp.compiler.jit`. Its first argument is a `WorkerContext`.
        arguments : callable
            Called with a worker's id; returns the others.
        kind : hashable
            The same only for arguments of the same types. At the first use of each the
            calling thread compiles, so that when Ctrl-C ends that, no worker does the
            same once more.
        n_workers : int, default=None
            As for `run`.
        """
        is_alone = min(n_workers or self.n_threads, self.n_threads) == 1
        if not is_alone and (kernel, kind) not in _COMPILED:
            compile_for(kernel, _ANY_WORKER, *arguments(0))
            _COMPILED.add((kernel, kind))
        self.run(lambda worker: kernel(worker, *arguments(worker.worker_id)), n_workers)

    def _announce(self, job):
        for worker_id in range(1, job.n_workers):
            self._workers[worker_id - 1].queue.put((job, worker_id))

    def _wait(self, job):
        """Wait until all other workers have finished, also after further exceptions."""
        interruption = None
        while len(job.finished) < job.n_workers - 1:
            try:
                if job.is_aborted():
                    # The exception may have come before all were told; a worker that
                    # is told twice does nothing the second time.
                    self._announce(job)
                job.wait()
            except BaseException as error:
                job.abort()
                interruption = error
        if interruption is not None:
            raise interruption

    def close(self):
        """End the threads."""
        if self._job is not None:
            # An exception may have cut `run` short.
            self._job.abort()
        for worker in self._workers:
            worker.queue.put(None)
        for worker in self._workers:
            while worker.is_alive():
                self._next_event()
        self._job, self._workers = None, []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


class _Worker:
    """A thread of a pool, as the pool sees it."""

    def __init__(self, pool, events):
        self.queue: SimpleQueue = SimpleQueue()
        self.began: list = []
        life = _Life()
        # What the thread alone refers to is gone when it has ended, in whatever way.
        self._life = weakref.ref(life, events.put)
        # Whatever the thread gets that is no job ends it.
        end = weakref.ref(pool, self.queue.put)
        arguments = (self.queue, end, life, self.began, events)
        _thread.start_new_thread(_serve, arguments)

    def is_alive(self):
        return self._life() is not None


class _Life:
    """Lives as long as a thread."""


def _serve(queue, end, life, began, events):
    """What a worker does until it is told to end.

    `end` is held here because a weak reference that is collected together with the pool
    calls nobody.
    """
    began.append(True)
    events.put(None)
    while isinstance(told := queue.get(), tuple):
        job, worker_id = told
        job.serve(worker_id)
        # The work may hold the pool.
        del told, job


class _Job:
    """One call of `ThreadPool.run`."""

    def __init__(self, work, n_workers):
        self._work = work
        self.n_workers = n_workers
        self.state = _state(n_workers)
        self.cores = [-1] * n_workers
        # Ids of the workers that are done. The queue only wakes the one that waits: an
        # exception may lose what it returns.
        self.finished = []
        self._wakes: SimpleQueue = SimpleQueue()
        self.errors = []

    def abort(self):
        self.state[_ABORT] = 1

    def is_aborted(self):
        return self.state[_ABORT] != 0

    def serve(self, worker_id):
        if worker_id in self.finished:
            return
        try:
            move_off_shared_core(self.cores, worker_id)
            self._work(WorkerContext(self.state, self.n_workers, worker_id))
        except BaseException as error:
            self.abort()
            self.errors.append(error)
        self.finished.append(worker_id)
        self._wakes.put(None)

    def wait(self):
        """Wait until another worker has finished, or for a second."""
        with contextlib.suppress(Empty):
            self._wakes.get(timeout=1.0)
