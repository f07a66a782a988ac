"""Who runs, who waits for whom, and which waits can never end.

A thread runs until it meets others (a barrier, a shuffle) or returns. When nobody can
run, every meeting at which all expected threads have arrived is over; what each of
them brought along is handed to all. If there is no such meeting, the rest waits
forever, and that is reported as the error it is.
"""

import itertools
import sys

import numpy as np
from greenlet import getcurrent, greenlet

WARP = 32


class BarrierError(RuntimeError):
    """Threads that wait for each other in a way that CUDA does not define."""


class Meeting:
    """A place where a group of threads waits until all of it is there.

    Parameters
    ----------
    name : str
        What it is called in messages.
    members : list of Thread
    level : int
        0 for the barrier of a grid, 1 of a block, 2 of a warp, 3 of a part of a warp.
        Those of a grid and of a block also wait for threads that have returned, that
        is forever.
    """

    def __init__(self, name, members, level):
        self.name, self.members, self.level = name, members, level
        self.arrived = []

    def is_complete(self):
        """Whether nobody is missing."""
        if self.level < 2:
            return len(self.arrived) == len(self.members)
        return len(self.arrived) == sum(not member.dead for member in self.members)

    def end(self):
        """Hand what all brought along to all, and return them."""
        if len({thread.place for thread in self.arrived}) > 1:
            raise BarrierError(f"divergent {self.describe()}")
        threads, self.arrived = self.arrived, []
        heard = None
        if threads[0].brought is not None:
            heard = {thread.number: thread.brought for thread in threads}
        for thread in threads:
            thread.heard = heard
            thread.pass_barrier(self.level)
        return threads

    def describe(self):
        """Where how many wait, and how many are missing."""
        waits = {}
        for thread in self.arrived:
            waits[thread.place] = waits.get(thread.place, 0) + 1
        lines = [
            f"{n} of {len(self.members)} threads wait at {file}:{line}"
            for (file, line), n in waits.items()
        ]
        returned = sum(member.dead for member in self.members)
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
    number, lane : int
        Its number in the block, and in the warp.
    place : tuple
        File and line of the meeting it waits at.
    brought : object
        What it tells the others at a meeting; None is nothing.
    heard : dict or None
        What all have told at the last meeting, by their numbers.
    epochs : tuple of int
        How many barriers of the grid, of at least the block and of at least the warp
        it has passed. Members of a group agree on the number of their group's.
    pause : Meeting
        Of itself with nobody, for others to run.
    is_atomic : bool
        Whether what it does with memory is part of an atomic operation.
    """

    def __init__(self, grid, block, index, number, run):
        super().__init__(run)
        self.grid, self.block = grid, block
        self.index, self.number, self.lane = index, number, number % WARP
        self.place = self.brought = self.heard = None
        self.epochs, self.is_atomic = (0, 0, 0), False
        self.pause = Meeting(f"nanosleep of {self.describe()}", [self], 3)

    def describe(self):
        """Its block and its index, for messages."""
        return f"thread {self.index} of block {self.block.index}"

    def meet(self, meeting, brought=None, depth=2):
        """Wait for the others of a meeting; `depth` frames up is the kernel."""
        frame = sys._getframe(depth)
        self.place = frame.f_code.co_filename, frame.f_lineno
        self.brought = brought
        meeting.arrived.append(self)
        self.grid.pending[meeting] = None
        self.parent.switch()

    def pass_barrier(self, level):
        """Count a barrier for its own group and for the groups within."""
        grid, block, warp = self.epochs
        self.epochs = grid + (level == 0), block + (level <= 1), warp + (level <= 2)


class Block:
    """The threads that share shared memory.

    Attributes
    ----------
    index : tuple of int
        ``blockIdx``: x, y, z.
    threads : list of Thread
    shared : dict
        Arrays of its static shared memory, by the instruction that makes them.
    dynamic : ndarray of uint8 or None
        Its dynamic shared memory, once a thread has asked for it.
    """

    def __init__(self, grid, index, shape, run):
        self.index, self.shared, self.dynamic = index, {}, None
        places = itertools.product(*(range(n) for n in reversed(shape)))
        self.threads = [
            Thread(grid, self, place[::-1], number, run)
            for number, place in enumerate(places)
        ]
        self.barrier = Meeting(f"syncthreads of block {index}", self.threads, 1)
        self._warps = {}

    def warp_meeting(self, name, thread, mask):
        """The meeting of those threads of a warp whose bits are set in a mask."""
        mask = int(mask) & 0xFFFFFFFF
        if not mask >> thread.lane & 1:
            raise BarrierError(f"{name}: mask {mask:#x} leaves out lane {thread.lane}")
        warp = thread.number // WARP
        key = name, warp, mask
        if key not in self._warps:
            lanes = self.threads[warp * WARP : (warp + 1) * WARP]
            members = [lane for lane in lanes if mask >> lane.lane & 1]
            name = f"{name} of warp {warp} of block {self.index}"
            level = 2 if len(members) == len(lanes) else 3
            self._warps[key] = Meeting(name, members, level)
        return self._warps[key]


class Grid:
    """All threads of one launch.

    Parameters
    ----------
    shape, block_shape : tuple of int
        ``gridDim`` and ``blockDim``.
    shared_bytes : int
        Size of a block's dynamic shared memory.
    run : callable
        What every thread runs.
    arrange : callable
        Puts a list of threads that can run into the order in which they do.
    log : RaceLog or None
        Where accesses of memory are noted down.
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
        self.barrier = Meeting("grid.sync()", self._threads, 0)
        # A dict for its order: sets of objects have another one in every process.
        self.pending = {}

    def _thread(self):
        # Every greenlet has a context of its own, so this is once a thread.
        with np.errstate(all="ignore"):
            self._run()

    def run(self):
        """Run all threads to their end.

        Raises
        ------
        BarrierError
            If some wait forever, or meet at different lines.
        Exception
            Whatever a thread raises, with a note that says which.
        """
        ready = self._threads
        try:
            while ready:
                for thread in self._arrange(ready):
                    self._step(thread)
                ready = self._released()
            if self.pending:
                waits = "\n".join(meeting.describe() for meeting in self.pending)
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
        complete = [meeting for meeting in self.pending if meeting.is_complete()]
        for meeting in complete:
            del self.pending[meeting]
        return [thread for meeting in complete for thread in meeting.end()]


def current():
    """The CUDA thread that runs.

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
    """Whether a CUDA thread runs."""
    return isinstance(getcurrent(), Thread)
