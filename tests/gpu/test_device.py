"""CUDA features that kernels use, on a device and in the simulator alike.

On a machine with a GPU these tests check the simulator's model of CUDA.
"""

import numpy as np
import pytest
from gpu_launch import launched
from numba import cuda, float32, int32

FULL = 0xFFFFFFFF
# numba-cuda warns of such small grids, and warnings are errors in these tests.
pytestmark = [
    pytest.mark.usefixtures("any_order"),
    pytest.mark.filterwarnings("ignore:Grid size .* low occupancy"),
    pytest.mark.filterwarnings("ignore:Host array used in CUDA kernel"),
]


@cuda.jit
def sum_over_grid(out):
    """Every block reads what all the others wrote before each of two grid barriers."""
    grid = cuda.cg.this_grid()
    i, n = cuda.grid(1), cuda.gridsize(1)
    out[i] = float32(i + 1)
    grid.sync()
    total = float32(0)
    for j in range(n):
        total += out[j]
    grid.sync()
    out[i] = total


@pytest.mark.parametrize("blocks", [1, 4, 8])
def test_grid_barrier_over_blocks(blocks):
    n = 40 * blocks
    out = launched(sum_over_grid, blocks, 40, n)
    np.testing.assert_array_equal(out, np.full(n, n * (n + 1) / 2))


@cuda.jit
def rotate(out):
    row = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    row[i] = float32(i)
    cuda.syncthreads()
    out[i] = row[(i + 1) % 64]


def test_barrier_of_a_block():
    out = launched(rotate, 1, 64, 64)
    np.testing.assert_array_equal(out, (np.arange(64) + 1) % 64)


@cuda.jit
def count(out):
    cuda.atomic.add(out, 0, 1)


def test_atomics_do_not_race():
    assert launched(count, 3, 40, 1, dtype=np.int64) == 120


@cuda.jit
def shuffles(out):
    i = cuda.threadIdx.x
    value = float32(i)
    out[0, i] = cuda.shfl_sync(FULL, value, 3)
    out[1, i] = cuda.shfl_up_sync(FULL, value, 2)
    out[2, i] = cuda.shfl_down_sync(FULL, value, 2)
    out[3, i] = cuda.shfl_xor_sync(FULL, value, 16)


def test_shuffles():
    i = np.arange(64)
    warp, lane = i // 32 * 32, i % 32
    expected = [
        warp + 3,
        np.where(lane < 2, i, i - 2),
        np.where(lane > 29, i, i + 2),
        warp + (lane ^ 16),
    ]
    np.testing.assert_array_equal(launched(shuffles, 1, 64, 4, 64), expected)


@cuda.jit
def votes(out):
    i = cuda.threadIdx.x
    out[0, i] = cuda.ballot_sync(FULL, i % 2)
    out[1, i] = cuda.any_sync(FULL, i == 5)
    out[2, i] = cuda.all_sync(FULL, i < 32)
    out[3, i] = cuda.syncthreads_count(int32(i < 40))
    out[4, i] = cuda.match_any_sync(FULL, int32(i % 32 < 2))
    out[5, i] = cuda.eq_sync(FULL, i < 32)
    out[6, i] = cuda.syncthreads_and(int32(i < 40))
    out[7, i] = cuda.syncthreads_or(int32(i < 40))


def test_votes():
    out = launched(votes, 1, 64, 8, 64, dtype=np.int64)
    first = np.arange(64) < 32
    np.testing.assert_array_equal(out[0], 0xAAAAAAAA - 2**32)  # signed, 32 bits
    np.testing.assert_array_equal(out[1], first)
    np.testing.assert_array_equal(out[2], first)
    np.testing.assert_array_equal(out[3], 40)
    np.testing.assert_array_equal(out[4], np.where(np.arange(64) % 32 < 2, 3, -4))
    np.testing.assert_array_equal(out[5:], [[1] * 64, [0] * 64, [1] * 64])


@cuda.jit
def half_a_warp(out):
    i = cuda.threadIdx.x
    if i < 16:
        out[i] = cuda.shfl_xor_sync(0xFFFF, i, 8)
    cuda.syncwarp()
    out[i] = cuda.laneid


@cuda.jit
def reduce_by_warps(out):
    row = cuda.shared.array(32, float32)
    i = cuda.threadIdx.x
    row[i] = float32(i)
    for distance in (16, 8, 4, 2, 1):
        cuda.syncwarp()
        if i < distance:
            row[i] += row[i + distance]
    if i == 0:
        out[0] = row[0]


def test_a_warp_barrier_orders_accesses():
    assert launched(reduce_by_warps, 1, 32, 1) == 496


@cuda.jit
def indices(out):
    x, y = cuda.grid(2)
    width, height = cuda.gridsize(2)
    out[x, y] = width * height + cuda.threadIdx.z + cuda.blockDim.z


def test_indices_of_threads_and_blocks():
    np.testing.assert_array_equal(launched(indices, (2, 3), (4, 5), 8, 15), 121)


@cuda.jit
def scale(out, factor, parts):
    i = cuda.grid(1)
    out[i] = parts[0][i] * factor * parts[1]


def test_arguments():
    host = np.ones(4, np.float32)
    parts = (cuda.to_device(np.arange(4, dtype=np.float32)), np.float32(2))
    scale[1, 4](host, np.float32(3), parts)
    np.testing.assert_array_equal(host, [0, 6, 12, 18])


@cuda.jit
def wrap_around(out):
    out[0] = np.uint32(np.uint32(0x9E3779B9) * np.uint32(0x7FEB352D))


def test_unsigned_numbers_wrap_around_without_a_warning():
    expected = 0x9E3779B9 * 0x7FEB352D & FULL
    assert launched(wrap_around, 1, 1, 1, dtype=np.uint32) == expected


@cuda.jit
def dynamic_memory(out):
    floats = cuda.shared.array(0, float32)
    i = cuda.threadIdx.x
    floats[2 * i], floats[2 * i + 1] = float32(i), float32(-i)
    cuda.syncthreads()
    out[i] = floats[(2 * i + 3) % 64]


def test_dynamic_shared_memory():
    out = launched(dynamic_memory, 1, 32, 32, shared_bytes=256)
    np.testing.assert_array_equal(out, [*range(-1, -32, -1), 0])


@pytest.mark.needs_gpu
def test_the_device_is_a_gpu():
    assert cuda.get_current_device().compute_capability >= (7, 5)
