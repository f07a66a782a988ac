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

# How to take an array: by the interface, and by DLPack.
_TAKERS = {
    "cupy": ("asarray", "from_dlpack"),
    "torch": ("as_tensor", "from_dlpack"),
}


def _taker():
    """Name of the library that arrays are lent to, None if none is installed.

    One that is imported already first: the user works with it.
    """
    for name in _TAKERS:
        if name in sys.modules:
            return name
    for name in _TAKERS:
        if importlib.util.find_spec(name) is not None:
            return name
    return None


def lent(x):
    """An array as one of CuPy or PyTorch in the same memory.

    Parameters
    ----------
    x : array with ``__cuda_array_interface__`` or DLPack

    Returns
    -------
    array or None
        None if neither of the two libraries is installed.
    """
    name = _taker()
    if name is None:
        return None
    by_interface, by_dlpack = _TAKERS[name]
    method = by_dlpack if hasattr(x, "__dlpack__") else by_interface
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
        In the same memory; `values` itself where the library reads neither protocol.
    """
    if type(x).__module__.partition(".")[0] == "numba":
        return importlib.import_module("numba.cuda").as_cuda_array(values)
    namespace = getattr(x, "__array_namespace__", lambda: None)()
    take = getattr(namespace, "from_dlpack", None)
    return values if take is None else take(values)
