"""Launch configurations, without numba-cuda's advice on the number of blocks.

numba-cuda warns of every grid of fewer than 128 blocks. Here the work decides on the
number of blocks, and the warning is none of the user's business.

Warning filters belong to the whole process: changing them undoes what other threads
change meanwhile, and makes every once-only warning come again. So they change when a
kernel gets a grid for the first time, not at every launch.
"""

import functools
import importlib
import warnings

from skmlp.forks import ForkSafeLock

_FILTER_LOCK = ForkSafeLock()


def configured(kernel, blocks, threads, stream=0, shared_bytes=0):
    """A kernel with a launch configuration, ready to be called.

    Parameters
    ----------
    kernel : compiled kernel
    blocks : int
    threads : int
        Of a block.
    stream : numba stream, default=0
    shared_bytes : int, default=0
        Dynamic shared memory of a block.
    """
    return _configure(kernel, (blocks, threads, stream, shared_bytes))


@functools.lru_cache(maxsize=256)
def _configure(kernel, configuration):
    with _FILTER_LOCK, warnings.catch_warnings():
        # By text, and by category in case that the text changes.
        warnings.filterwarnings("ignore", message="Grid size .* low occupancy")
        for category in _performance_warnings():
            warnings.filterwarnings("ignore", category=category)
        return kernel[configuration]


def _performance_warnings():
    """numba-cuda's category of advice on performance, if it has one."""
    try:
        errors = importlib.import_module("numba.cuda.core.errors")
        return (errors.NumbaPerformanceWarning,)
    except (ImportError, AttributeError):
        return ()
