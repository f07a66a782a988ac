"""What only the simulator reports, and the order of its threads."""

import traceback

import numpy as np
import pytest
from cuda_simulator import BarrierError, RaceError, in_order, races_watched
from gpu_launch import launched
from numba import cuda, float32, int32, njit

pytestmark = pytest.mark.needs_simulator
FULL = 0xFFFFFFFF


def test_cooperative_grid_larger_than_a_device_is_an_error():
    with pytest.raises(BarrierError, match="cooperative grid of 9 blocks"):
        launched(grid_barrier_in_one_block, 9, 32, 1)


@cuda.jit
def rotate_without_barrier(out):
    row = cuda.shared.array(64, float32)
    i = cuda.threadIdx.x
    row[i] = float32(i)
    out[i] = row[(i + 1) % 64]


def test_missing_barrier_reads_uninitialized_memory():
    assert np.isnan(launched(rotate_without_barrier, 1, 64, 64)).sum() == 63


def test_missing_barrier_shows_by_the_order_of_threads():
    with in_order("backward"):
        backward = launched(rotate_without_barrier, 1, 64, 64)
    assert np.isnan(backward).sum() == 1


def test_missing_barrier_is_a_race():
    with races_watched(), pytest.raises(RaceError, match="no barrier between"):
        launched(rotate_without_barrier, 1, 64, 64)


@cuda.jit
def count_without_atomics(out):
    out[0] += 1


def test_lost_updates_are_a_race():
    with races_watched(), pytest.raises(RaceError):
        launched(count_without_atomics, 1, 2, 1)


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
    local, integer = cuda.local.array(1, float32), cuda.local.array(1, int32)
    out[i, 0] = shared[0]
    out[i, 1] = second[0]
    out[i, 2] = local[0]
    out[i, 3] = integer[0]
    shared[0] = local[0] = 7
    out[i, 4] = second[0]


def test_uninitialized_memory_is_nan_and_two_arrays_of_a_line_are_distinct():
    out = launched(memory_of_block_and_thread, 3, 1, 3, 5)
    np.testing.assert_array_equal(out, [[np.nan, np.nan, np.nan, -1, np.nan]] * 3)


def test_uninitialized_device_memory_is_nan():
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


def test_all_threads_share_the_dynamic_shared_memory():
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
def shuffle_from_missing_lane(out):
    cuda.shfl_down_sync(FULL, 1, 16)


@cuda.jit
def shuffle_without_own_lane(out):
    cuda.shfl_sync(0b1110, 1, 1)


def test_lanes_that_do_not_participate():
    with pytest.raises(BarrierError, match="reads lane 20, which does not participate"):
        launched(shuffle_from_missing_lane, 1, 20, 1)
    with pytest.raises(BarrierError, match="leaves out lane 0"):
        launched(shuffle_without_own_lane, 1, 32, 1)


@cuda.jit(device=True)
def failing(i):
    if i == 5:
        raise ValueError("five")


@cuda.jit
def fails(out):
    failing(cuda.threadIdx.x)
    cuda.syncthreads()


def test_an_error_names_the_line_and_the_thread():
    with pytest.raises(ValueError, match="five") as caught:
        launched(fails, 1, 32, 1)
    assert caught.value.__notes__ == ["In thread (5, 0, 0) of block (0, 0, 0)."]
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["fails", "failing"]


@cuda.jit
def type_of_a_python_float(out, value):
    out[0] = (float32(1) * value).dtype.itemsize


def test_python_floats_are_double_precision_as_in_a_compiled_kernel():
    out = np.zeros(1)
    type_of_a_python_float[1, 1](out, 0.5)
    assert out == 8


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
        rotate_without_barrier(np.zeros(1))


def test_cpu_functions_are_still_compiled():
    function = njit(lambda x: x + 1)
    assert function(1) == 2
    assert function.signatures


@cuda.jit
def record_arrivals(out):
    out[cuda.atomic.add(out, 8, 1)] = cuda.threadIdx.x


def test_orders_of_threads():
    arrivals = {}
    for order in ("forward", "backward", 0, 1):
        with in_order(order):
            out = launched(record_arrivals, 1, 8, 9, dtype=np.int64)
        with in_order(order):
            again = launched(record_arrivals, 1, 8, 9, dtype=np.int64)
        np.testing.assert_array_equal(out, again)
        arrivals[order] = tuple(out[:8])
    assert arrivals["forward"] == tuple(range(8))
    assert arrivals["backward"] == tuple(range(7, -1, -1))
    assert all(sorted(arrived) == list(range(8)) for arrived in arrivals.values())
    assert len(set(arrivals.values())) == 4


def test_bad_launches():
    out = np.zeros(1)
    with pytest.raises(ValueError, match="more than 1024 threads"):
        count_without_atomics[1, (32, 33)](out)
    with pytest.raises(ValueError, match="no size of a grid or block"):
        count_without_atomics[0, 32](out)
