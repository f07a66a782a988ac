"""Accesses of memory that no barrier puts in order.

Two threads race for an element if one of them writes it, not both accesses are atomic,
and no barrier stands between the two. Barriers are those of groups that contain both
threads; a grid's is one for each of its blocks, too. Since threads are switched at
barriers only, a race need not change a result here, as it can on a device; it is
found by writing down who has touched an element when.
"""


class RaceError(RuntimeError):
    """Two threads touch one element, one of them writing, with no barrier between."""


def _in_order(earlier, later):
    """Whether a barrier stands between an access noted down and one of now."""
    thread, epochs, _ = earlier
    if thread is later:
        return True
    if thread.block is not later.block:
        group = 0
    elif thread.number // 32 != later.number // 32:
        group = 1
    else:
        group = 2
    return epochs[group] != later.epochs[group]


class RaceLog:
    """Who has touched which address in one launch."""

    def __init__(self):
        self._writes = {}
        self._reads = {}

    def read(self, thread, array, index):
        """Note a read down.

        Raises
        ------
        RaceError
            If it races with a write.
        """
        address = _address(array, index)
        write = self._writes.get(address)
        if write is not None:
            _check(write, thread, "reads", "written", index)
        note = thread, thread.epochs, thread.is_atomic
        readers = self._reads.get(address)
        if readers is None:
            self._reads[address] = {thread: note}
        else:
            readers[thread] = note

    def write(self, thread, array, index):
        """Note a write down.

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


def _check(earlier, thread, does, done, index):
    if _in_order(earlier, thread) or (earlier[2] and thread.is_atomic):
        return
    raise RaceError(
        f"{thread.describe()} {does} element {index}, which {earlier[0].describe()} "
        f"has {done} with no barrier between"
    )
