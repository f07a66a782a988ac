"""How a kernel gets its blocks and threads: without Numba's advice on their number.

Numba warns of every grid of fewer than 128 blocks. Here the number of blocks is what
there is work for, and a user's fit has no warning to give about it.
"""

import threading
import warnings

# The filters of warnings belong to the whole process.
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
    with _FILTERS, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grid size .* low occupancy")
        return kernel[blocks, threads, stream, shared_bytes]
