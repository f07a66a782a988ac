"""The one place that knows how functions become code for a device.

Rules. The functions of `skmlp.rules` are plain Python that calls elementary functions
by name. For a device each is made anew from the same code, with the names of those
functions standing for CUDA's own, which keep the dtype; nothing is said twice. The
simulator, where kernels are plain Python, runs the rules as they are.

Kernels. A kernel is compiled for the rules that a network has, not for its sizes. That
takes some seconds; the network's next training finds it in memory, and one in another
process on disk (see `machine_code`).
"""

import functools
import inspect
import math
import os
import types

import numba
import numpy as np
from numba import cuda

from skmlp.backends.cuda.runtime import cubin_cache, numpy_functions
from skmlp.rules import elementary

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
# Products and sums are contracted without being asked; never `fastmath`, which takes
# approximate functions. To link at the level of the compiler would be to compile twice.
_OPTIONS = {"lto": False}


def device(function):
    """Compile a function that kernels call; it is inlined into them."""
    return cuda.jit(device=True)(function)


def kernel(function, *made_for):
    """Compile a function that is launched, when it is launched first.

    Parameters
    ----------
    function : callable
    *made_for : object
        All that the function's code depends on, beside the package. Without it the
        kernel is not kept on disk: two that differ would be taken for one.
    """
    dispatcher = cuda.jit(**_OPTIONS)(function)
    if SIMULATED or not made_for:
        return dispatcher
    name = f"{function.__module__}.{function.__qualname__}"
    key = cubin_cache.key_of(name, *made_for)
    if key is not None:
        dispatcher._cache = cubin_cache.DeviceCache(key, function.__name__)
    return dispatcher


def scalar_type(dtype):
    """Numba's type of a NumPy dtype, for arrays that kernels make."""
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
    """A module in the place of NumPy, with a device's functions of single numbers."""

    def __getattr__(self, name):
        raise AttributeError(f"A rule on a GPU cannot call np.{name}.")


_NUMPY_ON_DEVICE = _NumPy("numpy_on_device")
vars(_NUMPY_ON_DEVICE).update(numpy_functions.SAME)
vars(_NUMPY_ON_DEVICE).update(
    (name, device(function)) for name, function in numpy_functions.OWN.items()
)


@functools.cache
def rule(function):
    """A rule of the tables, or of a user, for kernels to call.

    Parameters
    ----------
    function : callable
        Plain Python, by scalars of one dtype.
    """
    if SIMULATED:
        return function
    if function is elementary.expit:
        return device(_expit)
    if function in _ELEMENTARY:
        return _ELEMENTARY[function]
    found = {name: _on_device(value) for name, value in _globals(function).items()}
    cells = tuple(
        types.CellType(_on_device(cell.cell_contents))
        for cell in function.__closure__ or ()
    )
    twin = types.FunctionType(
        function.__code__,
        {**function.__globals__, **found},
        function.__name__,
        function.__defaults__,
        cells,
    )
    return device(twin)


def _globals(function):
    """The global names that a function uses."""
    names = inspect.getclosurevars(function).globals
    return {name: names[name] for name in names}


def _on_device(value):
    """What a global of a rule stands for on a device."""
    if value is np:
        return _NUMPY_ON_DEVICE
    if isinstance(value, np.ufunc):  # ``from numpy import exp``
        return getattr(_NUMPY_ON_DEVICE, value.__name__)
    if inspect.isfunction(value):
        return rule(value)
    return value


def switch(functions):
    """One function of a code and a number: that of the functions with this number.

    Parameters
    ----------
    functions : list of callable
        Rules of one argument, on the device.
    """
    first, *others = functions
    if not others:
        return device(lambda code, z: first(z))
    rest = switch(others)

    def choose(code, z):
        if code == 0:
            return first(z)
        return rest(code - 1, z)

    return device(choose)
