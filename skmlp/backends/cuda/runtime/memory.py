"""Memory of a device: one block of numbers a fit, and the data.

All that a fit works with is cut from one allocation for each kind of number, so that it
is there or not before anything begins, and is given back as a whole, whatever happens.
What is kept for later fits (see `kept`) goes before memory is short.

Numba frees memory some arrays at a time, in whatever thread lets go of the last of
them, and the driver asks for a context to be current there. After a fit none is, for
the thread is the user's. So a context's memory is freed with that context made current,
by one thread at a time. Nor does Numba free it soon: without a call that says so, some
arrays wait until more come, on the host, too, where their memory is locked.
"""

import functools
import math
import os
import threading
import traceback
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import numpy as np
from numba import cuda

from skmlp.backends.cuda.runtime import device_cache
from skmlp.backends.cuda.runtime.jit import SIMULATED

# Elements by which parts are apart at least: all begin at addresses that vectors may.
_ALIGNMENT = 64
# Share of a device that what is kept leaves free: for the working memory of the fit to
# come, for code and stacks, which the driver allocates unasked, for other libraries,
# and for other processes, each of which may keep something of its own.
_LEFT_FREE = 0.5
# In the words of every error of the driver that says so, whoever called it.
_NO_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY"


class Arena:
    """Arrays of one dtype, cut from one allocation.

    Parameters
    ----------
    dtype : numpy dtype
    sizes : dict of str to int
        Elements of each array; an array of no elements is empty.

    Raises
    ------
    MemoryError
        If the device has not as much to spare.
    """

    def __init__(self, dtype, sizes):
        starts, end = {}, 0
        for name, size in sizes.items():
            starts[name] = end
            end += -(-max(1, size) // _ALIGNMENT) * _ALIGNMENT
        whole = allocate(end, dtype, " A smaller batch_size needs less.")
        self._arrays = {
            name: whole[start : start + sizes[name]] for name, start in starts.items()
        }

    def __getitem__(self, name):
        return self._arrays[name]

    def put(self, name, values):
        """Copy numbers to the beginning of an array; returns that part of it."""
        values = np.ascontiguousarray(values)
        part = self._arrays[name][: values.size]
        if values.size:
            part.copy_to_device(values.reshape(-1))
        return part


def allocate(size, dtype, advice=""):
    """A vector on the current device.

    Parameters
    ----------
    size : int
    dtype : numpy dtype
    advice : str, default=''
        What the error says beside what is needed; begins with a space.

    Raises
    ------
    MemoryError
    """
    # As Python's integer: Numba takes no other for a shape.
    size = max(1, int(size))
    needed = size * np.dtype(dtype).itemsize
    free, total = _free_and_total(needed)
    message = (
        f"The GPU has {mebibytes(free)} of its {mebibytes(total)} free, but "
        f"{mebibytes(needed)} are needed at once.{advice}"
    )
    if needed > free:
        raise MemoryError(message)
    try:
        return cuda.device_array(size, dtype=dtype)
    except Exception as error:
        # Memory may be there, but in pieces, or another process was faster.
        if _NO_MEMORY not in str(error):
            raise
        if not _give_back(math.inf):
            raise MemoryError(message) from error
    return allocate(size, dtype, advice)


@contextmanager
def memory_errors():
    """Context in which an error of the driver for want of memory is a MemoryError.

    More than arrays need memory: code and the stacks of its threads, on the device, and
    buffers on the host that the device reads from.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if _is_for_want_of_memory(error):
            raise MemoryError(f"CUDA has not enough memory: {error}") from error
        raise


def _is_for_want_of_memory(error):
    return isinstance(error, MemoryError) or _NO_MEMORY in str(error)


# A thread that frees may drop arrays meanwhile, whose memory it then frees, too.
_FREEING = threading.RLock()


def free_in_context():
    """See that what is freed of the current context is freed in it, from now on.

    Without a current context the driver frees nothing, and what Numba wanted to free is
    lost.
    """
    if SIMULATED:
        return
    context = cuda.current_context()
    managers = (context, context.memory_manager)
    for pending in [getattr(manager, "deallocations", None) for manager in managers]:
        if pending is not None and "clear" not in vars(pending):
            pending.clear = functools.partial(
                _cleared, os.getpid(), context, pending.clear
            )


@contextmanager
def current_in_thread(context):
    """Context in which one of CUDA's is current in a thread that may have none."""
    context.push()
    try:
        yield
    finally:
        context.pop()


def _cleared(process, context, clear):
    # In a process forked from this one CUDA fails, and the memory is not that one's.
    if os.getpid() != process:
        return
    with _FREEING, current_in_thread(context):
        clear()


def _free_waiting():
    """Have freed what Numba gives back later, some arrays at a time."""
    waiting = getattr(cuda.current_context(), "memory_manager", None)
    if waiting is not None:
        waiting.deallocations.clear()


@contextmanager
def freed_at_end():
    """Context at whose end all memory is freed that nothing holds any more.

    Where memory was short, that is what the functions held that have failed, too: their
    variables live as long as the error, in whose handler a smaller fit may begin.
    """
    try:
        yield
    except BaseException as error:
        if _is_for_want_of_memory(error):
            traceback.clear_frames(error.__traceback__)
        # A device that has failed frees nothing, and says so: not for others to see
        # in the place of what has happened.
        with suppress(Exception):
            _free_waiting()
        raise
    _free_waiting()


def _give_back(n_bytes):
    """Free so much of what is kept, if there is as much; whether there was anything."""
    gave_back = device_cache.of_device().give_back(n_bytes)
    if gave_back:
        _free_waiting()
    return gave_back


def _free_and_total(needed):
    """Bytes of the device that are free, and all, where so many are needed.

    Of what is kept no more is left than leaves others enough besides.
    """
    context = cuda.current_context()
    free, total = context.get_memory_info()
    if needed > free:
        _free_waiting()
        free, total = context.get_memory_info()
    missing = needed + _LEFT_FREE * total - free
    if missing > 0 and _give_back(missing):
        free, total = context.get_memory_info()
    return free, total


def available():
    """Bytes of the device that could be had: free, waiting to be freed, or kept."""
    _free_waiting()
    free, _ = cuda.current_context().get_memory_info()
    return free + device_cache.of_device().n_bytes


def keep(key, data):
    """Keep data of a fit that has ended for another, if there is room.

    Parameters
    ----------
    key : tuple
        What the content is known by.
    data : tuple of device arrays
    """
    # Else what the fit has let go of would drive out what others have kept.
    _free_waiting()
    _, total = cuda.current_context().get_memory_info()
    # What could never stay must not drive out what can.
    if device_cache.n_bytes(data) <= (1 - _LEFT_FREE) * total:
        device_cache.of_device().put(key, data)
        _free_and_total(0)


def mebibytes(n_bytes):
    """A number of bytes in words."""
    return f"{n_bytes / 2**20:.1f} MiB"


def upload(values):
    """A copy of an array on the current device, as a vector.

    Raises
    ------
    MemoryError
    """
    values = np.ascontiguousarray(values).reshape(-1)
    target = allocate(values.size, values.dtype)
    if values.size:
        target[: values.size].copy_to_device(values)
    return target[: values.size]


def is_there(x):
    """Whether an array is on a device already."""
    return hasattr(x, "__cuda_array_interface__")


def vector_of(x):
    """An array as a vector on the current device; no copy of one that is there.

    Parameters
    ----------
    x : ndarray, or array with ``__cuda_array_interface__`` on the current device
        C-contiguous.

    Raises
    ------
    MemoryError
    """
    if not is_there(x):
        return upload(x)
    if SIMULATED:
        # There the memory of devices is the host's.
        seen = SimpleNamespace(__array_interface__=x.__cuda_array_interface__)
        return upload(np.asarray(seen))
    return cuda.as_cuda_array(x).reshape(int(np.prod(x.shape)))


def download(vector):
    """A copy of a vector of the device on the host."""
    return vector.copy_to_host()
