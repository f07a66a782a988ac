"""The scheduler: which threads run, which wait at barriers, and deadlocks.

A thread runs until it waits at a barrier (a shuffle is one, too) or returns. When no
thread can run, every barrier at which all threads of its group have arrived is
released, and the values that they sent are delivered to all. If no barrier is
complete, the kernel is deadlocked, which is an error.
"""

import itertools
import sys

import numpy as np
from greenlet import getcurrent, greenlet

WARP = 32
# Levels of barriers, the largest group first.
GRID, BLOCK, WHOLE_WARP, PART_OF_WARP = range(4)


class BarrierError(RuntimeError):
    """A barrier whose behavior CUDA does not define, or a deadlock."""


class Barrier:
    """A barrier of a group of threads, which may exchange values.

    Parameters
    ----------
    name : str
        For messages.
    group : list of Thread
    level : int
        `GRID`, `BLOCK`, `WHOLE_WARP` or `PART_OF_WARP`. Barriers of a grid and of a
        block also wait for threads that have returned, that is forever.
    """

    def __init__(self, name, group, level):
        self.name, self.group, self.level = name, group, level
        self.arrived = []

    def is_complete(self):
        """Whether all threads have arrived."""
        if self.level <= BLOCK:
            return len(self.arrived) == len(self.group)
        return len(self.arrived) == sum(not thread.dead for thread in self.group)

    def release(self):
        """Deliver the values to all threads, and return the threads."""
        if len({thread.location for thread in self.arrived}) > 1:
            raise BarrierError(f"divergent {self.describe()}")
        threads, self.arrived = self.arrived, []
        received = None
        if threads[0].sent is not None:
            received = {thread.rank: thread.sent for thread in threads}
        for thread in threads:
            thread.received = received
            thread.pass_barrier(self.level)
        return threads

    def describe(self):
        """How many threads wait at which line, and how many have returned."""
        waits = {}
        for thread in self.arrived:
            waits[thread.location] = waits.get(thread.location, 0) + 1
        lines = [
            f"{n} of {len(self.group)} threads wait at {file}:{line}"
            for (file, line), n in waits.items()
        ]
        returned = sum(thread.dead for thread in self.group)
        if returned:
            lines.append(f"{returned} have returned")
        return f"{self.name}: " + ", ".join(lines)


class Thread(greenlet):
    """One CUDA thread.

    Attributes
    ----------
    grid, block : Grid, Block
    index : tuple of int
        ``threadIdx``: x, y, z.
    rank, lane : int
        Rank in the block, and in the warp.
    location : tuple
        File and line at which it waits.
    sent : object
        The value that it sends at a barrier, or None.
    received : dict or None
        The values that were sent at the last barrier, by rank.
    epochs : tuple of 3 int
        Barriers passed: of the grid, of the block or larger, of the warp or larger.
        Threads of a group have equal counts for their group.
    pause : Barrier
        Of this thread only; it lets others run.
    is_atomic : bool
        Whether its accesses are part of an atomic operation.
    """

    def __init__(self, grid, block, index, rank, run):
        super().__init__(run)
        self.grid, self.block = grid, block
        self.index, self.rank, self.lane = index, rank, rank % WARP
        self.location = self.sent = self.received = None
        self.epochs, self.is_atomic = (0, 0, 0), False
        self.pause = Barrier(f"nanosleep of {self.describe()}", [self], PART_OF_WARP)

    def describe(self):
        """Index and block, for messages."""
        return f"thread {self.index} of block {self.block.index}"

    def wait(self, barrier, sent=None, depth=2):
        """Wait at a barrier; the kernel is `depth` frames up."""
        frame = sys._getframe(depth)
        self.location = frame.f_code.co_filename, frame.f_lineno
        self.sent = sent
        barrier.arrived.append(self)
        self.grid.pending[barrier] = None
        self.parent.switch()

    def pass_barrier(self, level):
        """Count a barrier for its group and for the groups within."""
        grid, block, warp = self.epochs
        self.epochs = (
            grid + (level == GRID),
            block + (level <= BLOCK),
            warp + (level <= WHOLE_WARP),
        )


class Block:
    """The threads that share shared memory.

    Attributes
    ----------
    index : tuple of int
        ``blockIdx``: x, y, z.
    threads : list of Thread
    shared : dict
        Arrays of its static shared memory, by the instruction that allocates them.
    dynamic : ndarray of uint8 or None
        Its dynamic shared memory, once a thread has used it.
    """

    def __init__(self, grid, index, shape, run):
        self.index, self.shared, self.dynamic = index, {}, None
        indices = itertools.product(*(range(n) for n in reversed(shape)))
        self.threads = [
            Thread(grid, self, index[::-1], rank, run)
            for rank, index in enumerate(indices)
        ]
        self.barrier = Barrier(f"syncthreads of block {index}", self.threads, BLOCK)
        self._warp_barriers = {}

    def warp_barrier(self, name, thread, mask):
        """The barrier of those threads of a warp whose bits are set in a mask."""
        mask = int(mask) & 0xFFFFFFFF
        if not mask >> thread.lane & 1:
            raise BarrierError(f"{name}: mask {mask:#x} leaves out lane {thread.lane}")
        warp = thread.rank // WARP
        key = name, warp, mask
        if key not in self._warp_barriers:
            lanes = self.threads[warp * WARP : (warp + 1) * WARP]
            group = [lane for lane in lanes if mask >> lane.lane & 1]
            name = f"{name} of warp {warp} of block {self.index}"
            level = WHOLE_WARP if len(group) == len(lanes) else PART_OF_WARP
            self._warp_barriers[key] = Barrier(name, group, level)
        return self._warp_barriers[key]


class Grid:
    """All threads of one launch.

    Parameters
    ----------
    shape, block_shape : tuple of int
        ``gridDim`` and ``blockDim``.
    shared_bytes : int
        Size of a block's dynamic shared memory.
    run : callable
        Called by every thread.
    arrange : callable
        Orders a list of threads that can run.
    log : RaceLog or None
        Records accesses to memory.
    """

    def __init__(self, shape, block_shape, shared_bytes, run, arrange, log=None):
        self.shape, self.block_shape = shape, block_shape
        self.shared_bytes, self.log = shared_bytes, log
        self._run, self._arrange = run, arrange
        indices = itertools.product(*(range(n) for n in reversed(shape)))
        self.blocks = [
            Block(self, index[::-1], block_shape, self._thread) for index in indices
        ]
        self._threads = [thread for block in self.blocks for thread in block.threads]
        self.barrier = Barrier("grid.sync()", self._threads, GRID)
        # A dict, for its order: that of a set of objects differs between processes.
        self.pending = {}

    def _thread(self):
        # In every thread, because greenlets have separate contexts.
        with np.errstate(all="ignore"):
            self._run()

    def run(self):
        """Run all threads until they return.

        Raises
        ------
        BarrierError
            If threads are deadlocked, or wait for each other at different lines.
        Exception
            That of a thread, with a note that names the thread.
        """
        ready = self._threads
        try:
            while ready:
                for thread in self._arrange(ready):
                    self._step(thread)
                ready = self._released()
            if self.pending:
                waits = "\n".join(barrier.describe() for barrier in self.pending)
                raise BarrierError(f"barriers that not all threads reach:\n{waits}")
        finally:
            for thread in self._threads:
                if not thread.dead:
                    thread.throw()

    @staticmethod
    def _step(thread):
        try:
            thread.switch()
        except BaseException as error:
            error.add_note(f"In {thread.describe()}.")
            raise

    def _released(self):
        complete = [barrier for barrier in self.pending if barrier.is_complete()]
        for barrier in complete:
            del self.pending[barrier]
        return [thread for barrier in complete for thread in barrier.release()]


def current():
    """The CUDA thread that is running.

    Raises
    ------
    RuntimeError
        Outside a kernel.
    """
    thread = getcurrent()
    if not isinstance(thread, Thread):
        raise RuntimeError("this function of cuda is for kernels only")
    return thread


def is_in_kernel():
    """Whether a CUDA thread is running."""
    return isinstance(getcurrent(), Thread)
