"""Decorators that compile kernels, device functions and rules for the GPU.

Rules. The functions of `skmlp.rules` are plain Python that calls elementary functions
by name. For the GPU a copy of each is made from the same code, whose globals refer to
CUDA's versions of those functions, which keep the dtype. So no rule is written twice.
The simulator runs kernels as plain Python, and the rules unchanged.

Kernels. A kernel is compiled for the rules of a network, not for its sizes. That takes
seconds. The next fit with these rules finds the kernel in memory, another process finds
it on disk (see `cubin_cache`).
"""

import functools
import inspect
import math
import types

import numba
import numpy as np
from numba import cuda

from skmlp.backends.cuda.runtime import cubin_cache, internals, numpy_functions
from skmlp.backends.cuda.runtime.simulator import SIMULATED
from skmlp.rules import elementary

# Multiplications and additions are contracted to FMA by default. Never `fastmath`,
# which uses approximate functions. Link-time optimization would compile twice.
_OPTIONS = {"lto": False}


def device(function):
    """Make a device function, which is inlined into the kernels that call it."""
    return cuda.jit(device=True)(function)


def kernel(function, *made_for):
    """Make a kernel, which is compiled at its first launch.

    Parameters
    ----------
    function : callable
    *made_for : object
        All that the function's code depends on, beside the package. Without it the
        kernel is not cached on disk: different kernels would have one key.
    """
    dispatcher = cuda.jit(**_OPTIONS)(function)
    if SIMULATED or not made_for:
        return dispatcher
    name = f"{function.__module__}.{function.__qualname__}"
    key = cubin_cache.key_of(name, *made_for)
    if key is not None:
        cache = cubin_cache.CubinCache(key, function.__name__)
        internals.set_kernel_cache(dispatcher, cache)
    return dispatcher


def scalar_type(dtype):
    """Numba's type of a NumPy dtype, for shared and local arrays of kernels."""
    return numba.from_dtype(np.dtype(dtype))


def _expit(x):
    one = type(x)(1)
    return one / (one + math.exp(-x))


_ELEMENTARY = {
    elementary.arctan: math.atan,
    elementary.erf: math.erf,
    elementary.exp: math.exp,
    elementary.expm1: math.expm1,
    elementary.log: math.log,
    elementary.log1p: math.log1p,
    elementary.tanh: math.tanh,
}


class _NumPy(types.ModuleType):
    """A module that replaces NumPy in rules, with scalar functions for the GPU."""

    def __getattr__(self, name):
        raise AttributeError(f"A rule on a GPU cannot call np.{name}.")


_NUMPY_ON_DEVICE = _NumPy("numpy_on_device")
vars(_NUMPY_ON_DEVICE).update(numpy_functions.BUILT_IN)
vars(_NUMPY_ON_DEVICE).update(
    (name, device(function))
    for name, function in numpy_functions.DEVICE_FUNCTIONS.items()
)


@functools.lru_cache(maxsize=256)
def rule(function):
    """A rule, of the package's tables or a user's, as a device function.

    Parameters
    ----------
    function : callable
        Plain Python, of scalars of one dtype.
    """
    if SIMULATED:
        return function
    if function is elementary.expit:
        return device(_expit)
    if function in _ELEMENTARY:
        return _ELEMENTARY[function]
    replaced = {name: _on_device(value) for name, value in _globals(function).items()}
    cells = tuple(
        types.CellType(_on_device(cell.cell_contents))
        for cell in function.__closure__ or ()
    )
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
        cells,
    )
    return device(copy)


def _globals(function):
    """The global names that a function uses."""
    names = inspect.getclosurevars(function).globals
    return {name: names[name] for name in names}


def _on_device(value):
    """The replacement of a global of a rule on the GPU."""
    if value is np:
        return _NUMPY_ON_DEVICE
    if isinstance(value, np.ufunc):  # ``from numpy import exp``
        return getattr(_NUMPY_ON_DEVICE, value.__name__)
    if inspect.isfunction(value):
        return rule(value)
    return value


def switch(functions):
    """A device function of a code and a number that calls ``functions[code]``.

    Parameters
    ----------
    functions : list of callable
        Device functions of one argument.
    """
    first, *others = functions
    if not others:
        return device(lambda code, z: first(z))
    remainder = switch(others)

    def choose(code, z):
        if code == 0:
            return first(z)
        return remainder(code - 1, z)

    return device(choose)
