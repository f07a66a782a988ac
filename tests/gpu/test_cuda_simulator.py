"""The simulator itself: that it does what a device does, and reports what is wrong."""

import traceback

import numpy as np
import pytest
from cuda_simulator import BarrierError, RaceError, in_order, races_watched
from numba import cuda, float32, int32, njit

pytestmark = pytest.mark.needs_simulator
FULL = 0xFFFFFFFF


def launched(kernel, blocks, threads, *shape, dtype=np.float32, shared_bytes=0):
    """What a kernel of one argument writes into an array that starts with zeros."""
    out = cuda.to_device(np.zeros(shape, dtype))
    kernel[blocks, threads, 0, shared_bytes](out)
    return out.copy_to_host()


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


@pytest.mark.parametrize("blocks", [1, 2, 4])
@pytest.mark.usefixtures("any_order")
def test_grid_barrier_over_blocks(blocks):
    n = 40 * blocks
    with races_watched():
        out = launched(sum_over_grid, blocks, 40, n)
    np.testing.assert_array_equal(out, np.full(n, n * (n + 1) / 2))


def test_cooperative_grid_larger_than_a_device_is_an_error():
    with pytest.raises(BarrierError, match="cooperative grid of 5 blocks"):
        launched(sum_over_grid, 5, 32, 160)


@cuda.jit
def rotate_without_barrier(out):
    row = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    row[i] = float32(i)
    out[i] = row[(i + 1) % 64]


@cuda.jit
def rotate(out):
    row = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    row[i] = float32(i)
    cuda.syncthreads()
    out[i] = row[(i + 1) % 64]


def test_missing_barrier_reads_memory_that_nobody_has_written():
    assert np.isnan(launched(rotate_without_barrier, 1, 64, 64)).sum() == 63


def test_missing_barrier_shows_by_the_order_of_threads():
    with in_order("backward"):
        backward = launched(rotate_without_barrier, 1, 64, 64)
    assert np.isnan(backward).sum() == 1


def test_missing_barrier_is_a_race():
    with races_watched(), pytest.raises(RaceError, match="no barrier between"):
        launched(rotate_without_barrier, 1, 64, 64)


@pytest.mark.usefixtures("any_order")
def test_barrier_of_a_block():
    with races_watched():
        out = launched(rotate, 1, 64, 64)
    np.testing.assert_array_equal(out, (np.arange(64) + 1) % 64)


@cuda.jit
def count_without_atomics(out):
    out[0] += 1


@cuda.jit
def count(out):
    cuda.atomic.add(out, 0, 1)


def test_lost_updates_are_a_race():
    with races_watched(), pytest.raises(RaceError):
        launched(count_without_atomics, 1, 2, 1)


@pytest.mark.usefixtures("any_order")
def test_atomics_do_not_race():
    with races_watched():
        assert launched(count, 3, 40, 1, dtype=np.int64) == 120


@cuda.jit
def blocks_share_without_grid_barrier(out):
    if cuda.threadIdx.x == 0:
        out[cuda.blockIdx.x] = 1
    cuda.syncthreads()
    out[2] = out[1 - cuda.blockIdx.x]


def test_a_barrier_of_a_block_orders_nothing_between_blocks():
    with races_watched(), pytest.raises(RaceError):
        launched(blocks_share_without_grid_barrier, 2, 1, 3)


@cuda.jit
def barrier_for_half(out):
    if cuda.threadIdx.x < 16:
        cuda.syncthreads()


@cuda.jit
def barriers_at_two_lines(out):
    if cuda.threadIdx.x < 16:
        cuda.syncthreads()
    else:
        cuda.syncthreads()


@cuda.jit
def grid_barrier_in_one_block(out):
    if cuda.blockIdx.x == 0:
        cuda.cg.this_grid().sync()


@cuda.jit
def barriers_of_block_and_grid(out):
    if cuda.threadIdx.x == 0:
        cuda.cg.this_grid().sync()
    else:
        cuda.syncthreads()


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (barrier_for_half, "16 of 32 threads wait at .*, 16 have returned"),
        (barriers_at_two_lines, "divergent syncthreads.*16 of 32.*16 of 32"),
        (grid_barrier_in_one_block, "32 of 64 threads wait at .*, 32 have returned"),
        (barriers_of_block_and_grid, "2 of 64 threads wait at"),
    ],
)
def test_barriers_that_are_not_reached_by_all(kernel, message):
    with pytest.raises(BarrierError, match=message):
        launched(kernel, 2, 32, 1)


@cuda.jit
def memory_of_block_and_thread(out):
    i = cuda.blockIdx.x
    shared, second = cuda.shared.array(1, float32), cuda.shared.array(1, float32)
    local, number = cuda.local.array(1, float32), cuda.local.array(1, int32)
    out[i, 0] = shared[0]
    out[i, 1] = second[0]
    out[i, 2] = local[0]
    out[i, 3] = number[0]
    shared[0] = local[0] = 7
    out[i, 4] = second[0]


def test_fresh_memory_is_no_number_and_two_arrays_of_a_line_are_distinct():
    out = launched(memory_of_block_and_thread, 3, 1, 3, 5)
    np.testing.assert_array_equal(out, [[np.nan, np.nan, np.nan, -1, np.nan]] * 3)


def test_fresh_device_memory_is_no_number():
    assert np.isnan(cuda.device_array((2, 3), np.float32).copy_to_host()).all()
    assert np.isnan(cuda.device_array_like(cuda.to_device(np.ones(3)))).all()


@cuda.jit
def dynamic_memory(out):
    floats = cuda.shared.array(0, float32)
    doubles = cuda.shared.array(0, np.float64)[2:]
    i = cuda.threadIdx.x
    if i == 0:
        floats[0] = 1
        doubles[0] = 2
    cuda.syncthreads()
    out[i, 0], out[i, 1] = floats.size, doubles.size
    out[i, 2], out[i, 3] = floats[0] + doubles[0], floats[1]


def test_dynamic_shared_memory_is_one_memory_for_all_who_ask():
    out = launched(dynamic_memory, 1, 2, 2, 4, shared_bytes=44)
    np.testing.assert_array_equal(out, [[11, 3, 3, np.nan]] * 2)


@cuda.jit
def much_static_memory(out):
    cuda.shared.array(12 * 1024, float32)
    cuda.shared.array(1, float32)


@cuda.jit
def little_static_memory(out):
    cuda.shared.array(1, float32)


@pytest.mark.parametrize(
    ("kernel", "shared_bytes"),
    [(much_static_memory, 0), (little_static_memory, 227 * 1024)],
)
def test_more_shared_memory_than_a_device_has(kernel, shared_bytes):
    with pytest.raises(MemoryError):
        launched(kernel, 1, 1, 1, shared_bytes=shared_bytes)


def index_kernel(index, memory):
    @cuda.jit
    def kernel(out):
        array = out
        if memory == "local":
            array = cuda.local.array((4, 4), float32)
        if memory == "shared":
            array = cuda.shared.array((4, 4), float32)
        array[index] = 1
        return array[index]

    return kernel


@pytest.mark.parametrize("memory", ["device", "shared", "local"])
@pytest.mark.parametrize(
    "index", [(-1, 0), (0, -1), (4, 0), (0, np.int32(-2)), -1, slice(-1, None)]
)
def test_indices_out_of_bounds(index, memory):
    with pytest.raises(IndexError):
        launched(index_kernel(index, memory), 1, 1, 4, 4)


def test_indices_within_bounds():
    for index in [(0, 3), (np.uint64(3), np.int32(0))]:
        assert launched(index_kernel(index, "device"), 1, 1, 4, 4).sum() == 1


@cuda.jit
def shuffles(out):
    i = cuda.threadIdx.x
    own = float32(i)
    out[0, i] = cuda.shfl_sync(FULL, own, 3)
    out[1, i] = cuda.shfl_up_sync(FULL, own, 2)
    out[2, i] = cuda.shfl_down_sync(FULL, own, 2)
    out[3, i] = cuda.shfl_xor_sync(FULL, own, 16)


@pytest.mark.usefixtures("any_order")
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
    out[3, i] = cuda.syncthreads_count(i < 40)
    out[4, i] = cuda.match_any_sync(FULL, i % 32 < 2)
    out[5, i] = cuda.eq_sync(FULL, i < 32)
    out[6, i] = cuda.syncthreads_and(i < 40)
    out[7, i] = cuda.syncthreads_or(i < 40)


@pytest.mark.usefixtures("any_order")
def test_votes():
    out = launched(votes, 1, 64, 8, 64, dtype=np.int64)
    first = np.arange(64) < 32
    np.testing.assert_array_equal(out[0], 0xAAAAAAAA)
    np.testing.assert_array_equal(out[1], first)
    np.testing.assert_array_equal(out[2], first)
    np.testing.assert_array_equal(out[3], 40)
    np.testing.assert_array_equal(out[4], np.where(np.arange(64) % 32 < 2, 3, FULL - 3))
    np.testing.assert_array_equal(out[5:], [[1] * 64, [0] * 64, [1] * 64])


@cuda.jit
def half_a_warp(out):
    i = cuda.threadIdx.x
    if i < 16:
        out[i] = cuda.shfl_xor_sync(0xFFFF, i, 8)
    cuda.syncwarp()
    out[i] = cuda.laneid


@cuda.jit
def shuffle_from_nobody(out):
    cuda.shfl_down_sync(FULL, 1, 16)


@cuda.jit
def shuffle_without_oneself(out):
    cuda.shfl_sync(0b1110, 1, 1)


def test_masks():
    out = launched(half_a_warp, 1, 32, 32)
    np.testing.assert_array_equal(out, np.arange(32))
    with pytest.raises(BarrierError, match="reads lane 20, which takes no part"):
        launched(shuffle_from_nobody, 1, 20, 1)
    with pytest.raises(BarrierError, match="leaves out lane 0"):
        launched(shuffle_without_oneself, 1, 32, 1)


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


def test_a_barrier_of_a_warp_puts_its_accesses_in_order():
    with races_watched():
        assert launched(reduce_by_warps, 1, 32, 1) == 496


@cuda.jit
def indices(out):
    x, y = cuda.grid(2)
    width, height = cuda.gridsize(2)
    out[x, y] = width * height + cuda.threadIdx.z + cuda.blockDim.z


def test_indices_of_threads_and_blocks():
    np.testing.assert_array_equal(launched(indices, (2, 3), (4, 5), 8, 15), 121)


@cuda.jit(device=True)
def failing(i):
    if i == 5:
        raise ValueError("five")


@cuda.jit
def fails(out):
    failing(cuda.threadIdx.x)
    cuda.syncthreads()


def test_an_error_says_where_and_who():
    with pytest.raises(ValueError, match="five") as caught:
        launched(fails, 1, 32, 1)
    assert caught.value.__notes__ == ["In thread (5, 0, 0) of block (0, 0, 0)."]
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["fails", "failing"]


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
def type_of_a_python_float(out, number):
    out[0] = (float32(1) * number).dtype.itemsize


def test_python_floats_are_double_precision_as_in_a_compiled_kernel():
    out = np.zeros(1)
    type_of_a_python_float[1, 1](out, 0.5)
    assert out == 8


@cuda.jit
def wrap_around(out):
    out[0] = np.uint32(np.uint32(0x9E3779B9) * np.uint32(0x7FEB352D))


def test_unsigned_numbers_wrap_around_without_a_warning():
    expected = 0x9E3779B9 * 0x7FEB352D & FULL
    assert launched(wrap_around, 1, 1, 1, dtype=np.uint32) == expected


@cuda.jit
def wait_for_a_flag(out):
    if cuda.threadIdx.x == 0:
        while out[0] == 0:
            cuda.nanosleep(100)
    else:
        out[0] = 1


def test_sleeping_lets_others_run():
    assert launched(wait_for_a_flag, 1, 2, 1) == 1


def test_functions_of_kernels_fail_outside():
    with pytest.raises(RuntimeError, match="kernels only"):
        cuda.syncthreads()
    with pytest.raises(TypeError, match=r"kernel\[blocks, threads\]"):
        rotate(np.zeros(1))


def test_the_cpu_is_still_compiled_for():
    function = njit(lambda x: x + 1)
    assert function(1) == 2
    assert function.signatures
