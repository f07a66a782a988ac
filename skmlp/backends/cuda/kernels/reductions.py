"""Sums over threads, in an order that is fixed, and where the threads of a team meet.

A team is a whole cooperative grid, or one block. `member` and `members` say which block
of the team one is in.
"""

from numba import cuda

from skmlp.backends.cuda.runtime.jit import device

# Threads of a warp, of which a small block has fewer.
_WARP = 32
_ALL = 0xFFFFFFFF


@device
def meet_in_grid():
    """Wait for all threads of the grid."""
    cuda.cg.this_grid().sync()


@device
def meet_in_block():
    """Wait for all threads of the block."""
    cuda.syncthreads()


def lanes_of(threads):
    """Threads of a warp in blocks of so many."""
    return min(_WARP, threads)


def warp_sum(threads):
    """A function that gives every lane the sum of the warp's values."""
    half = lanes_of(threads) // 2

    def total(value):
        offset = half
        while offset > 0:
            value += cuda.shfl_xor_sync(_ALL, value, offset)
            offset //= 2
        return value

    return device(total)


def warp_max(threads):
    """A function that gives every lane the largest of the warp's values."""
    half = lanes_of(threads) // 2

    def largest(value):
        offset = half
        while offset > 0:
            value = max(value, cuda.shfl_xor_sync(_ALL, value, offset))
            offset //= 2
        return value

    return device(largest)


def column_sum(threads):
    """A function that sums over the threads that share a column.

    A block's threads are `lanes_of` columns wide; all that share one get the sum.
    """
    width = lanes_of(threads)
    height = threads // width

    def total(buffer, value):
        tid = cuda.threadIdx.x
        cuda.syncthreads()
        buffer[tid] = value
        cuda.syncthreads()
        found = buffer[tid % width]
        for i in range(1, height):
            found += buffer[i * width + tid % width]
        return found

    return device(total)
