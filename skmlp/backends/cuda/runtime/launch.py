"""How a kernel gets its blocks and threads: without Numba's advice on their number.

Numba warns of every grid of fewer than 128 blocks. Here the number of blocks is what
there is work for, and a user's fit has no warning to give about it.

The filters of warnings belong to the whole process: to change them undoes what other
threads do to them meanwhile, and has every warning that was to come once come again. So
they change when a kernel gets a grid for the first time, not at every launch.
"""

import functools
import threading
import warnings

_FILTERS = threading.Lock()


def configured(kernel, blocks, threads, stream=0, shared_bytes=0):
    """A kernel that can be called, for a grid of blocks.

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
    return _with_grid(kernel, (blocks, threads, stream, shared_bytes))


@functools.lru_cache(maxsize=256)
def _with_grid(kernel, grid):
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grid size .* low occupancy")
        return kernel[grid]
