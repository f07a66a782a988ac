"""Launches: ``jit``, launch configurations, and the conversion of arguments."""

import functools
import random
from contextlib import contextmanager

import numpy as np
from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

from cuda_simulator.memory import RACES, DeviceArray
from cuda_simulator.schedule import Grid, is_in_kernel

# Few enough to be fast, and enough to show errors between blocks.
COOPERATIVE_BLOCKS = 8
MAX_THREADS = 1024

_arrange = list


@contextmanager
def in_order(order):
    """Context in which threads run in another order.

    Parameters
    ----------
    order : 'forward', 'backward' or int
        By their ranks, in reverse, or shuffled by a seed after every barrier.
    """
    global _arrange
    before = _arrange
    _arrange = _arrangement(order)
    try:
        yield
    finally:
        _arrange = before


def _arrangement(order):
    if order == "forward":
        return list
    if order == "backward":
        return lambda threads: threads[::-1]
    rng = random.Random(order)
    return lambda threads: rng.sample(threads, len(threads))


def jit(function=None, device=False, **options):
    """``cuda.jit``: a kernel, or a device function."""
    if not callable(function):
        return functools.partial(jit, device=device, **options)
    return function if device else Kernel(function)


class Kernel:
    """A kernel without a launch configuration."""

    def __init__(self, function):
        self.py_func = function
        functools.update_wrapper(self, function)

    def __getitem__(self, configuration):
        return Launcher(self.py_func, *configuration)

    def __call__(self, *arguments):
        if not is_in_kernel():
            raise TypeError("a kernel is launched as kernel[blocks, threads](...)")
        return self.py_func(*arguments)

    def specialize(self, *arguments):
        """The kernel itself, which is not compiled."""
        return self

    def compile(self, signature):
        """The kernel itself, which is not compiled."""
        return self

    @property
    def overloads(self):
        """Compiled kernels by signature: this one for every signature."""
        return _Always(self)

    @staticmethod
    def max_cooperative_grid_blocks(blockdim, dynsmemsize=0):
        """Maximum number of blocks of a cooperative grid."""
        return COOPERATIVE_BLOCKS


class _Always(dict):
    def __init__(self, value):
        super().__init__(any=value)
        self._value = value

    def __getitem__(self, key):
        return self._value


def _dimensions(size):
    sizes = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    if min(sizes) < 1 or len(sizes) > 3:
        raise ValueError(f"{size} is no size of a grid or block")
    return tuple(int(n) for n in sizes) + (1,) * (3 - len(sizes))


class Launcher:
    """A kernel with a launch configuration; a call returns when it has run."""

    def __init__(self, function, blocks, threads, stream=0, shared_bytes=0):
        self._function = function
        self._blocks, self._threads = _dimensions(blocks), _dimensions(threads)
        self._shared_bytes = shared_bytes
        if np.prod(self._threads) > MAX_THREADS:
            raise ValueError(f"a block of more than {MAX_THREADS} threads")

    def __call__(self, *arguments):
        log, copies = RACES.log(), []
        converted = [_as_in_kernel(argument, log, copies) for argument in arguments]
        run = functools.partial(self._function, *converted)
        grid = Grid(self._blocks, self._threads, self._shared_bytes, run, _arrange, log)
        grid.run()
        for host, device in copies:
            np.copyto(host, device)


def _as_in_kernel(argument, log, copies):
    """The argument of a kernel for an argument of a launch."""
    if isinstance(argument, FakeCUDAArray):
        return DeviceArray(argument._ary, log)
    if isinstance(argument, np.ndarray):
        copy = argument.copy()
        if argument.flags.writeable:
            copies.append((argument, copy))
        return DeviceArray(copy, log)
    if isinstance(argument, tuple):
        parts = [_as_in_kernel(part, log, copies) for part in argument]
        named = hasattr(argument, "_fields")
        return type(argument)(*parts) if named else tuple(parts)
    # NumPy adapts Python floats to other dtypes; compiled kernels take float64.
    return np.float64(argument) if type(argument) is float else argument
