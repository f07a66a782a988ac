"""Arrays on a GPU that only lie there, lent to a library that computes with them.

Two protocols say where an array lies: DLPack, and ``__cuda_array_interface__``, which
Numba made. CuPy and PyTorch read both, so one of them looks at the array and converts
it where it has to, without a copy. What comes back to the user goes the other way, by
what the array's own library reads: DLPack again where it has the namespace that the
Python array API standard (2021.12) asks for, and Numba's own protocol.
"""

import importlib
import importlib.util
import sys
from typing import Any, NamedTuple

# What DLPack calls memory of CUDA: on the device, and managed by the driver.
_DLPACK_CUDA = (2, 13)


class _Taker(NamedTuple):
    """How a library takes an array of another.

    Attributes
    ----------
    by_interface : str
        Name of the function that reads ``__cuda_array_interface__``.
    works : callable
        Whether it has been built for GPUs.
    """

    by_interface: str
    works: Any


_TAKERS = {
    "cupy": _Taker("asarray", lambda cupy: True),
    "torch": _Taker("as_tensor", lambda torch: torch.cuda.is_available()),
}


def _taker():
    """Name of the library that arrays are lent to, None if none is installed.

    One that is imported already first: the user works with it.
    """
    there = [name for name in _TAKERS if name in sys.modules]
    others = [name for name in _TAKERS if name not in there]
    installed = [name for name in others if importlib.util.find_spec(name)]
    for name in there + installed:
        if _TAKERS[name].works(importlib.import_module(name)):
            return name
    return None


def has_dlpack(x):
    """Whether DLPack says that an array is on a GPU."""
    place = getattr(x, "__dlpack_device__", None)
    return callable(place) and place()[0] in _DLPACK_CUDA


def lent(x):
    """An array as one of CuPy or PyTorch in the same memory.

    Parameters
    ----------
    x : array with ``__cuda_array_interface__`` or DLPack

    Returns
    -------
    array or None
        None if neither of the two libraries is installed, for GPUs.
    """
    name = _taker()
    if name is None:
        return None
    method = "from_dlpack" if has_dlpack(x) else _TAKERS[name].by_interface
    return getattr(importlib.import_module(name), method)(x)


def returned(values, x):
    """An array of CuPy or PyTorch as one of another array's library.

    Parameters
    ----------
    values : array of CuPy or tensor of PyTorch
    x : array
        That was lent.

    Returns
    -------
    array
        In the same memory, unless the library has no such dtype; `values` itself where
        it reads neither protocol.
    """
    if type(x).__module__.partition(".")[0] == "numba":
        return importlib.import_module("numba.cuda").as_cuda_array(values)
    namespace = getattr(x, "__array_namespace__", lambda: None)()
    take = getattr(namespace, "from_dlpack", None)
    return values if take is None else take(values)
