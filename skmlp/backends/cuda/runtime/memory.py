"""Device memory: allocation, copies between host and device, and when it is freed.

The working memory of a fit is one allocation for each dtype (`Arena`), so it is there
or not before training begins, and is freed as a whole whatever happens. The cache of X
(see `device_cache`) is evicted before an allocation fails.

numba-cuda frees memory in batches, in whichever thread drops the last array of a batch,
and the driver needs a current context there. After a fit the user's thread has none. So
the memory of a context is freed with that context made current, by one thread at a time
(`free_in_context`). Nor does numba-cuda free memory promptly: until its queue of
deallocations is cleared, some arrays wait for more, pinned host memory included
(`freed_at_end`).
"""

import functools
import math
import os
import traceback
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import numpy as np
from numba import cuda

from skmlp.backends.cuda.runtime import device_cache, internals
from skmlp.backends.cuda.runtime.simulator import SIMULATED
from skmlp.forks import ForkSafeLock

# Elements to which the offsets of arrays are aligned, for vector loads.
_ALIGNMENT = 64
# Fraction of a device that the cache leaves free: for the working memory of the next
# fit, for code and stacks, which the driver allocates by itself, for other libraries,
# and for other processes, each of which may have a cache.
_FREE_FRACTION = 0.5
# In the text of every out-of-memory error of the driver, whichever library called it.
_OUT_OF_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY"


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
        If the device has too little free memory.
    """

    def __init__(self, dtype, sizes):
        offsets, end = {}, 0
        for name, size in sizes.items():
            offsets[name] = end
            end += -(-max(1, size) // _ALIGNMENT) * _ALIGNMENT
        whole = allocate(end, dtype, " A smaller batch_size needs less.")
        self._arrays = {
            name: whole[offset : offset + sizes[name]]
            for name, offset in offsets.items()
        }

    def __getitem__(self, name):
        return self._arrays[name]

    def put(self, name, values):
        """Copy values to the beginning of an array; returns that part of it."""
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
        Ends the error message; begins with a space.

    Raises
    ------
    MemoryError
    """
    # As Python's integer: numba-cuda takes no other in a shape.
    size = max(1, int(size))
    needed = size * np.dtype(dtype).itemsize
    free, total = _make_free(needed)
    message = (
        f"The GPU has {mebibytes(free)} of its {mebibytes(total)} free, but "
        f"{mebibytes(needed)} are needed at once.{advice}"
    )
    if needed > free:
        raise MemoryError(message)
    try:
        return cuda.device_array(size, dtype=dtype)
    except Exception as error:
        # The free memory is fragmented, or another process was faster.
        if _OUT_OF_MEMORY not in str(error):
            raise
        if not _evict(math.inf):
            raise MemoryError(message) from error
    return allocate(size, dtype, advice)


@contextmanager
def memory_errors():
    """Context in which an out-of-memory error of the driver becomes a MemoryError.

    Not only arrays need memory: code and the stacks of its threads do, on the device,
    and pinned buffers on the host.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise MemoryError(f"CUDA has not enough memory: {error}") from error
        raise


def _is_out_of_memory(error):
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY in str(error)


# Reentrant: while a thread frees memory it may drop arrays, whose memory it then frees.
_FREE_LOCK = ForkSafeLock()


def free_in_context():
    """From now on, free memory of the current context with that context current.

    Without a current context the driver frees nothing, and numba-cuda, which has
    removed the memory from its queue, never tries again.
    """
    if SIMULATED:
        return
    context = cuda.current_context()
    for queue in internals.deallocation_queues(context):
        if "clear" not in vars(queue):
            queue.clear = functools.partial(
                _clear_in_context, os.getpid(), context, queue.clear
            )


@contextmanager
def current_in_thread(context):
    """Context in which a CUDA context is current in a thread that may have none."""
    context.push()
    try:
        yield
    finally:
        context.pop()


def _clear_in_context(process, context, clear):
    # In a forked process CUDA fails, and the memory belongs to the parent.
    if os.getpid() != process:
        return
    with _FREE_LOCK, current_in_thread(context):
        clear()


def _clear_deallocations():
    """Free the memory that waits in numba-cuda's queue of deallocations."""
    manager = getattr(cuda.current_context(), "memory_manager", None)
    queue = getattr(manager, "deallocations", None)
    if queue is not None:
        queue.clear()


@contextmanager
def freed_at_end():
    """Context at whose end all memory is freed that nothing refers to.

    After an out-of-memory error this includes the local variables of the functions that
    failed. They would live as long as the error, in whose handler a smaller fit may
    begin.
    """
    try:
        yield
    except BaseException as error:
        if _is_out_of_memory(error):
            traceback.clear_frames(error.__traceback__)
        # A device that has failed frees nothing and raises; that error would hide the
        # first one.
        with suppress(Exception):
            _clear_deallocations()
        raise
    _clear_deallocations()


def _evict(n_bytes):
    """Evict `n_bytes` from the cache and free them; whether there was anything."""
    had_entries = device_cache.current().evict(n_bytes)
    if had_entries:
        _clear_deallocations()
    return had_entries


def _make_free(needed):
    """Free and total bytes of the device, after making room for an allocation.

    Evicts cached arrays until half of the device would be free after the allocation.
    """
    context = cuda.current_context()
    free, total = context.get_memory_info()
    if needed > free:
        _clear_deallocations()
        free, total = context.get_memory_info()
    missing = needed + _FREE_FRACTION * total - free
    if missing > 0 and _evict(missing):
        free, total = context.get_memory_info()
    return free, total


def available():
    """Bytes of the device that can be allocated: free, waiting to be freed, or cached.

    Valid only as long as nobody else allocates: why one fit at a time uses a device.
    """
    _clear_deallocations()
    free, _ = cuda.current_context().get_memory_info()
    return free + device_cache.current().n_bytes


def cache(key, data):
    """Cache the data of a fit that has ended, unless they take half of the device.

    Parameters
    ----------
    key : tuple
        From `content_hash.cache_key`.
    data : tuple of device arrays
    """
    # Otherwise the memory that the fit has dropped would cause evictions.
    _clear_deallocations()
    _, total = cuda.current_context().get_memory_info()
    # An entry that must be evicted at once must not evict others first.
    if device_cache.n_bytes(data) <= (1 - _FREE_FRACTION) * total:
        device_cache.current().put(key, data)
        _make_free(0)


def mebibytes(n_bytes):
    """A number of bytes as text."""
    return f"{n_bytes / 2**20:.1f} MiB"


def upload(values):
    """A copy of an array on the current device, as a vector.

    Raises
    ------
    MemoryError
    """
    values = np.ascontiguousarray(values).reshape(-1)
    vector = allocate(values.size, values.dtype)
    if values.size:
        vector[: values.size].copy_to_device(values)
    return vector[: values.size]


def is_on_device(x):
    """Whether an array is on a device already."""
    return hasattr(x, "__cuda_array_interface__")


def vector_of(x):
    """An array as a vector on the current device; a device array is not copied.

    Parameters
    ----------
    x : ndarray, or array with ``__cuda_array_interface__`` on the current device
        C-contiguous.

    Raises
    ------
    MemoryError
    """
    if not is_on_device(x):
        return upload(x)
    if SIMULATED:
        # The simulator's device memory is host memory.
        view = SimpleNamespace(__array_interface__=x.__cuda_array_interface__)
        return upload(np.asarray(view))
    return cuda.as_cuda_array(x).reshape(int(np.prod(x.shape)))


def download(vector):
    """A copy of a device vector on the host."""
    return vector.copy_to_host()
