"""Block groups and their barriers, and sums over threads in a fixed order.

The device functions of a step run on a *block group*: a whole cooperative grid, which
synchronizes by the grid barrier, or a single block, which synchronizes by the block
barrier. They take the group as an argument and distribute their items over its blocks.
"""

from typing import NamedTuple

from numba import cuda

from skmlp.backends.cuda.runtime.jit import device

# Threads of a warp; a small block has fewer.
_WARP = 32
_ALL_LANES = 0xFFFFFFFF


class BlockGroup(NamedTuple):
    """The calling block's index in its group, and the number of blocks there."""

    block_id: object
    n_blocks: object


@device
def grid_group():
    """The whole grid as a block group."""
    return BlockGroup(block_id=cuda.blockIdx.x, n_blocks=cuda.gridDim.x)


@device
def single_block():
    """The calling block as a group by itself."""
    return BlockGroup(block_id=0, n_blocks=1)


@device
def grid_barrier():
    """Wait for all threads of the grid."""
    cuda.cg.this_grid().sync()


@device
def block_barrier():
    """Wait for all threads of the block."""
    cuda.syncthreads()


def lanes_of(threads):
    """Threads of a warp, in blocks of `threads` threads."""
    return min(_WARP, threads)


def warp_sum(threads):
    """A function that returns the sum of a warp's values to every lane."""
    half = lanes_of(threads) // 2

    def total(value):
        offset = half
        while offset > 0:
            value += cuda.shfl_xor_sync(_ALL_LANES, value, offset)
            offset //= 2
        return value

    return device(total)


def warp_max(threads):
    """A function that returns the maximum of a warp's values to every lane."""
    half = lanes_of(threads) // 2

    def largest(value):
        offset = half
        while offset > 0:
            value = max(value, cuda.shfl_xor_sync(_ALL_LANES, value, offset))
            offset //= 2
        return value

    return device(largest)


def column_sum(threads):
    """A function that sums over the threads of a column, and returns it to all of them.

    A block's threads form rows of `lanes_of` columns. `smem` has an element for every
    thread.
    """
    width = lanes_of(threads)
    height = threads // width

    def total(smem, value):
        tid = cuda.threadIdx.x
        cuda.syncthreads()
        smem[tid] = value
        cuda.syncthreads()
        result = smem[tid % width]
        for i in range(1, height):
            result += smem[i * width + tid % width]
        return result

    return device(total)
