"""Installs the simulator's device side in the module ``numba.cuda``.

numba-cuda's simulator replaces the global ``cuda`` of every function that runs. Here
the module itself is patched, once, so that functions of kernels may be in any module
and in any closure.
"""

import types

import numpy as np
from numba import cuda
from numba.core import config
from numba.cuda.simulator import kernelapi
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from cuda_simulator import launch, memory
from cuda_simulator.schedule import WARP, BarrierError, current

FULL_MASK = 0xFFFFFFFF


class _Index:
    """``threadIdx`` and the like, of the current thread."""

    def __init__(self, of_thread):
        self._of_thread = of_thread

    @property
    def x(self):
        return self._of_thread(current())[0]

    @property
    def y(self):
        return self._of_thread(current())[1]

    @property
    def z(self):
        return self._of_thread(current())[2]


_INDICES = {
    "threadIdx": _Index(lambda thread: thread.index),
    "blockIdx": _Index(lambda thread: thread.block.index),
    "blockDim": _Index(lambda thread: thread.grid.block_shape),
    "gridDim": _Index(lambda thread: thread.grid.shape),
}


def grid(ndim):
    """``cuda.grid``: the thread's index in the whole grid."""
    thread = current()
    indices = tuple(
        block * size + local
        for block, size, local in zip(
            thread.block.index, thread.grid.block_shape, thread.index, strict=True
        )
    )
    return indices[0] if ndim == 1 else indices[:ndim]


def gridsize(ndim):
    """``cuda.gridsize``: the size of the whole grid in threads."""
    grid = current().grid
    sizes = tuple(n * m for n, m in zip(grid.shape, grid.block_shape, strict=True))
    return sizes[0] if ndim == 1 else sizes[:ndim]


def syncthreads():
    """``cuda.syncthreads``."""
    thread = current()
    thread.wait(thread.block.barrier)


def _counting_barrier(count):
    def barrier(predicate):
        thread = current()
        thread.wait(thread.block.barrier, bool(predicate))
        return count(thread.received.values())

    return barrier


def syncwarp(mask=FULL_MASK):
    """``cuda.syncwarp``."""
    thread = current()
    thread.wait(thread.block.warp_barrier("syncwarp", thread, mask))


def _vote(name, result):
    def vote(mask, value):
        thread = current()
        thread.wait(thread.block.warp_barrier(name, thread, mask), value)
        return result(thread.received, value)

    return vote


def _bits(lanes):
    """A lane mask as numba-cuda's signed integer, which is negative with lane 31."""
    return int(np.uint32(sum(1 << lane for lane in lanes)).view(np.int32))


def _ballot(received, _):
    return _bits(rank % WARP for rank, value in received.items() if value)


def _match(received, local):
    return _bits(rank % WARP for rank, value in received.items() if value == local)


_VOTES = {
    "all_sync": lambda received, _: all(received.values()),
    "any_sync": lambda received, _: any(received.values()),
    "eq_sync": lambda received, _: len({*map(bool, received.values())}) == 1,
    "ballot_sync": _ballot,
    "match_any_sync": _match,
}


def _shuffle(name, source):
    def shuffle(mask, value, operand):
        thread = current()
        thread.wait(thread.block.warp_barrier(name, thread, mask), value)
        lane = source(thread.lane, int(operand))
        if not 0 <= lane < WARP:
            return value
        rank = thread.rank - thread.lane + lane
        if rank not in thread.received:
            raise BarrierError(
                f"{name}: {thread.describe()} reads lane {lane}, "
                "which does not participate"
            )
        return thread.received[rank]

    return shuffle


_SHUFFLES = {
    "shfl_sync": lambda lane, source: source % WARP,
    "shfl_up_sync": lambda lane, distance: lane - distance,
    "shfl_down_sync": lambda lane, distance: lane + distance,
    "shfl_xor_sync": lambda lane, bits: lane ^ bits,
}


class _Grid:
    """``cuda.cg.this_grid()``."""

    @staticmethod
    def sync():
        thread = current()
        blocks = len(thread.grid.blocks)
        if blocks > launch.COOPERATIVE_BLOCKS:
            raise BarrierError(
                f"a cooperative grid of {blocks} blocks, more than the "
                f"{launch.COOPERATIVE_BLOCKS} that the device can run at once"
            )
        thread.wait(thread.grid.barrier)


def nanosleep(nanoseconds):
    """``cuda.nanosleep``: let other threads run."""
    thread = current()
    thread.wait(thread.pause)


def _load(array, index):
    return array[index]


def _store(array, index, value):
    array[index] = value


def device_array(shape, dtype=np.float64, strides=None, order="C", stream=0):
    """``cuda.device_array``: uninitialized memory is nan."""
    if strides is not None or order != "C":
        raise NotImplementedError("device arrays are C-contiguous in the simulator")
    if not isinstance(shape, int):
        shape = tuple(shape)  # as numba-cuda, which takes no NumPy integer for a shape
    return FakeCUDAArray(memory.poisoned(shape, dtype))


def device_array_like(array, stream=0):
    """``cuda.device_array_like``."""
    return device_array(array.shape, array.dtype)


class _Module(types.ModuleType):
    """The class of the module, for attributes that are computed."""

    @property
    def laneid(self):
        return current().lane


def _nothing(*arguments):
    """A memory fence: greenlets see each other's writes at once."""


def _device_side():
    stock = kernelapi.FakeCUDAModule((1, 1, 1), (1, 1, 1), 0)
    for name in ("brev", "cbrt", "clz", "ffs", "fma", "fp16", "popc", "selp", "const"):
        yield name, getattr(stock, name)
    atomics = {
        name: memory.atomic(getattr(stock.atomic, name))
        for name in dir(stock.atomic)
        if not name.startswith("_")
    }
    yield "atomic", types.SimpleNamespace(**atomics)
    yield from _INDICES.items()
    yield from ((name, _vote(name, rule)) for name, rule in _VOTES.items())
    yield from ((name, _shuffle(name, rule)) for name, rule in _SHUFFLES.items())
    for name in ("threadfence", "threadfence_block", "threadfence_system"):
        yield name, _nothing
    yield from ((name, _load) for name in ("ldca", "ldcg", "ldcs", "ldlu", "ldcv"))
    yield from ((name, _store) for name in ("stcg", "stcs", "stwb", "stwt"))
    yield "syncthreads_count", _counting_barrier(sum)
    yield "syncthreads_and", _counting_barrier(lambda values: int(all(values)))
    yield "syncthreads_or", _counting_barrier(lambda values: int(any(values)))


def install():
    """Replace the device side of numba-cuda's simulator, which must be enabled.

    Raises
    ------
    RuntimeError
        If it is not: ``NUMBA_ENABLE_CUDASIM=1`` must be set before numba is imported.
    """
    if not config.ENABLE_CUDASIM:
        raise RuntimeError("set NUMBA_ENABLE_CUDASIM=1 before numba is imported")
    for name, function in _device_side():
        setattr(cuda, name, function)
    functions = (grid, gridsize, syncthreads, syncwarp, nanosleep)
    for function in (*functions, device_array, device_array_like):
        setattr(cuda, function.__name__, function)
    cuda.warpsize = WARP
    cuda.shared, cuda.local = memory.Shared, memory.Local
    cuda.cg = types.SimpleNamespace(this_grid=_Grid)
    cuda.jit = launch.jit
    cuda.__class__ = _Module
