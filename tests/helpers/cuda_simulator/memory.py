"""Memory in kernels: arrays with bounds checks, and atomics.

NumPy counts a negative index from the end; on a device it is an address before the
array. Arrays in kernels are therefore thin proxies of NumPy arrays.
"""

import sys

import numpy as np

from cuda_simulator.races import RaceLog
from cuda_simulator.schedule import current

# Limits of a block: static shared memory on every device, and static and dynamic
# together on the largest.
STATIC_SHARED_BYTES = 48 * 1024
SHARED_BYTES = 227 * 1024
_POISON = 0xFF


def numpy_dtype(dtype):
    """The NumPy dtype of a dtype or of a Numba type."""
    return np.dtype(getattr(dtype, "name", dtype))


def poisoned(shape, dtype):
    """An uninitialized array: nan, -1, or the largest unsigned integer."""
    array = np.empty(shape, numpy_dtype(dtype))
    array.reshape(-1).view(np.uint8).fill(_POISON)
    return array


def _refuse_negative(index, shape):
    # The usual types first: most of the simulator's time is spent here.
    index_type = type(index)
    if index_type is np.uint64 or (index_type is int and index >= 0):
        return
    if index_type is tuple:
        for part, size in zip(index, shape, strict=False):
            if type(part) is not int or part < 0:
                _refuse_negative(part, (size,))
    elif isinstance(index, slice):
        bounds = (index.start or 0, shape[0] if index.stop is None else index.stop)
        if not 0 <= bounds[0] <= shape[0] or not 0 <= bounds[1] <= shape[0]:
            raise IndexError(f"{index} of an axis of length {shape[0]}")
    elif not isinstance(index, (int, np.integer)):
        raise TypeError(f"{index!r} is no index of an array on a device")
    elif index < 0:
        raise IndexError(f"negative index {index}")


class DeviceArray:
    """An array in a kernel.

    Parameters
    ----------
    array : ndarray
    log : RaceLog or None
        Records accesses to memory that threads share.
    """

    __slots__ = ("address", "array", "dtype", "log", "ndim", "shape", "size")

    def __init__(self, array, log=None):
        self.array, self.log = array, log
        self.address = array.ctypes.data if log is not None else None
        self.shape, self.size = array.shape, array.size
        self.dtype, self.ndim = array.dtype, array.ndim

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        _refuse_negative(index, self.shape)
        element = self.array[index]
        if isinstance(element, np.ndarray):
            return DeviceArray(element, self.log)
        if self.log is not None:
            self.log.read(current(), self, index)
        return element

    def __setitem__(self, index, value):
        _refuse_negative(index, self.shape)
        self.array[index] = value
        if self.log is not None:
            self.log.write(current(), self, index)


class Shared:
    """``cuda.shared``."""

    @staticmethod
    def array(shape, dtype, alignment=None):
        """An array of a block, allocated by the first of its threads.

        The bytecode instruction identifies the array, so two on one line are distinct.
        Shape 0 is all of the dynamic shared memory.
        """
        thread = current()
        dtype = numpy_dtype(dtype)
        if shape == 0:
            return DeviceArray(_dynamic(thread, dtype), thread.grid.log)
        frame = sys._getframe(1)
        arrays, key = thread.block.shared, (frame.f_code, frame.f_lasti)
        if key not in arrays:
            arrays[key] = poisoned(shape, dtype)
            _check_size(arrays, thread.grid.shared_bytes)
        array = arrays[key]
        if array.dtype != dtype or array.shape != np.empty(shape).shape:
            raise ValueError("threads of a block disagree on a shared array")
        return DeviceArray(array, thread.grid.log)


def _dynamic(thread, dtype):
    bytes_of_block = thread.block.dynamic
    if bytes_of_block is None:
        bytes_of_block = poisoned(thread.grid.shared_bytes, np.uint8)
        thread.block.dynamic = bytes_of_block
    whole = len(bytes_of_block) // dtype.itemsize * dtype.itemsize
    return bytes_of_block[:whole].view(dtype)


def _check_size(arrays, dynamic_bytes):
    static_bytes = sum(array.nbytes for array in arrays.values())
    if static_bytes > STATIC_SHARED_BYTES:
        raise MemoryError(
            f"{static_bytes} bytes of static shared memory, more than the "
            f"{STATIC_SHARED_BYTES} that a block can have"
        )
    if static_bytes + dynamic_bytes > SHARED_BYTES:
        raise MemoryError(
            f"{static_bytes} bytes of static and {dynamic_bytes} of dynamic shared "
            f"memory, more than the {SHARED_BYTES} that a block can have"
        )


class Local:
    """``cuda.local``."""

    @staticmethod
    def array(shape, dtype, alignment=None):
        """An array of a thread."""
        return DeviceArray(poisoned(shape, dtype))


def atomic(operation):
    """Mark the accesses of an operation of numba-cuda's simulator as atomic."""

    def run(*arguments):
        thread = current()
        thread.is_atomic = True
        try:
            return operation(*arguments)
        finally:
            thread.is_atomic = False

    return run


class _Races:
    """Context manager in which launches record a `RaceLog`."""

    def __init__(self):
        self._depth = 0

    def __enter__(self):
        self._depth += 1

    def __exit__(self, *error):
        self._depth -= 1

    def log(self):
        """A log for one launch, or None."""
        return RaceLog() if self._depth else None


RACES = _Races()


def races_watched():
    """Context in which a launch raises `RaceError` at the first data race.

    A launch takes a few times as long.
    """
    return RACES
