"""Detection of data races: accesses that no barrier orders.

Two threads race for an element if one of them writes it, not both accesses are atomic,
and no barrier separates the two. It must be a barrier of a group that contains both
threads; a grid barrier is a barrier of each block, too. Since threads switch at
barriers only, a race need not change a result here, as it can on a device. It is
detected by recording the accesses to every element.
"""

from cuda_simulator.schedule import BLOCK, GRID, WARP, WHOLE_WARP


class RaceError(RuntimeError):
    """Two threads access an element, one writes, and no barrier is between."""


def _in_order(earlier, later):
    """Whether a barrier separates a recorded access from one of now."""
    thread, epochs, _ = earlier
    if thread is later:
        return True
    if thread.block is not later.block:
        group = GRID
    elif thread.rank // WARP != later.rank // WARP:
        group = BLOCK
    else:
        group = WHOLE_WARP
    return epochs[group] != later.epochs[group]


class RaceLog:
    """The accesses to every address during one launch."""

    def __init__(self):
        self._writes = {}
        self._reads = {}

    def read(self, thread, array, index):
        """Record a read.

        Raises
        ------
        RaceError
            If it races with a write.
        """
        address = _address(array, index)
        write = self._writes.get(address)
        if write is not None:
            _check(write, thread, "reads", "written", index)
        access = thread, thread.epochs, thread.is_atomic
        readers = self._reads.get(address)
        if readers is None:
            self._reads[address] = {thread: access}
        else:
            readers[thread] = access

    def write(self, thread, array, index):
        """Record a write.

        Raises
        ------
        RaceError
            If it races with a read or a write.
        """
        address = _address(array, index)
        write = self._writes.get(address)
        if write is not None:
            _check(write, thread, "writes", "written", index)
        for read in self._reads.pop(address, {}).values():
            _check(read, thread, "writes", "read", index)
        self._writes[address] = thread, thread.epochs, thread.is_atomic


def _address(array, index):
    strides = array.array.strides
    if type(index) is not tuple:
        return array.address + int(index) * strides[0]
    offsets = (int(i) * stride for i, stride in zip(index, strides, strict=True))
    return array.address + sum(offsets)


def _check(earlier, thread, verb, participle, index):
    if _in_order(earlier, thread) or (earlier[2] and thread.is_atomic):
        return
    raise RaceError(
        f"{thread.describe()} {verb} element {index}, which {earlier[0].describe()} "
        f"has {participle} with no barrier between"
    )
