"""Private interfaces of numba-cuda, each checked where it is used.

The package pins numba-cuda below 0.31. These functions are for the day on which the
bound moves: an interface that is missing has a fallback that works, or an error that
names the installed version.

- `deallocation_queues`: needed, for without them device memory would leak silently
- `context_extras`: falls back to an attribute of our own on the context
- `before_reset`: without a method to wrap there is nothing to do
- `set_kernel_cache`, `serialize_kernel`, `deserialize_kernel`: without them kernels
  are compiled anew in every process (`KernelCache` catches and logs their errors)
"""

import functools
import logging
from importlib import metadata

_LOGGER = logging.getLogger("skmlp")


def numba_cuda_version():
    """Version of the installed numba-cuda, 'unknown' if its metadata are missing."""
    try:
        return metadata.version("numba-cuda")
    except metadata.PackageNotFoundError:
        return "unknown"


def deallocation_queues(context):
    """The queues of deallocations of a context: its own, and its memory manager's.

    Parameters
    ----------
    context : numba.cuda context

    Returns
    -------
    list
        Objects whose method ``clear`` can be replaced. A memory manager that is a
        plug-in, as RMM's, need not have a queue.

    Raises
    ------
    RuntimeError
        If this numba-cuda has no such queues.
    """
    owners = (context, getattr(context, "memory_manager", None))
    queues = [getattr(owner, "deallocations", None) for owner in owners]
    queues = [queue for queue in queues if queue is not None]
    if not queues or not all(map(_can_replace_clear, queues)):
        raise RuntimeError(
            f"numba-cuda {numba_cuda_version()} queues no deallocations where skmlp "
            "looks for them, so device memory would never be freed. Install a version "
            'that skmlp supports: pip install "numba-cuda>=0.30.2,<0.31".'
        )
    return queues


def _can_replace_clear(queue):
    """Whether `memory.free_in_context` can wrap the method ``clear`` of a queue."""
    return callable(getattr(queue, "clear", None)) and hasattr(queue, "__dict__")


def context_extras(context):
    """A dict that lives as long as a context."""
    extras = getattr(context, "extras", None)
    if extras is None:
        extras = vars(context).setdefault("_skmlp_extras", {})
    return extras


def before_reset(context, function):
    """Call a function before a context is reset, which frees all memory in it."""
    reset = getattr(context, "reset", None)
    if reset is not None:
        context.reset = functools.partial(_call_both, function, reset)


def _call_both(first, second):
    first()
    second()


def set_kernel_cache(dispatcher, cache):
    """Let a dispatcher read and write compiled kernels by a `KernelCache`."""
    if hasattr(dispatcher, "_cache"):
        dispatcher._cache = cache
    else:
        _LOGGER.debug(
            "kernel cache off: numba-cuda %s has no _cache", numba_cuda_version()
        )


def serialize_kernel(kernel):
    """Bytes of a compiled kernel: its machine code, and what it was made from."""
    from numba.cuda import serialize

    return serialize.dumps(kernel._reduce_states())


def deserialize_kernel(states):
    """The kernel of the states that `serialize_kernel` pickled."""
    from numba.cuda.dispatcher import _Kernel

    return _Kernel._rebuild(**states)
