"""Arrays on a GPU of other libraries than CuPy and PyTorch, exchanged without a copy.

Two protocols describe an array's memory: DLPack, and ``__cuda_array_interface__``,
which comes from Numba. CuPy and PyTorch read both, so one of them wraps the array and
computes with it. Results are wrapped by the array's own library in turn: by DLPack
where it has the namespace of the Python array API standard (2021.12), and in Numba by
Numba's protocol.
"""

import importlib
import importlib.util
import sys
from typing import Any, NamedTuple

# DLPack's codes of CUDA memory: on the device, and managed by the driver.
_DLPACK_CUDA = (2, 13)


class _Consumer(NamedTuple):
    """How a library wraps an array of another one.

    Attributes
    ----------
    by_interface : str
        Name of the function that reads ``__cuda_array_interface__``.
    works : callable
        Whether the library has been built for GPUs.
    """

    by_interface: str
    works: Any


_CONSUMERS = {
    "cupy": _Consumer("asarray", lambda cupy: True),
    "torch": _Consumer("as_tensor", lambda torch: torch.cuda.is_available()),
}


def _consumer():
    """Name of the library that wraps arrays, None if neither is installed.

    An imported one comes first, because the user works with it.
    """
    imported = [name for name in _CONSUMERS if name in sys.modules]
    others = [name for name in _CONSUMERS if name not in imported]
    installed = [name for name in others if importlib.util.find_spec(name)]
    for name in imported + installed:
        if _CONSUMERS[name].works(importlib.import_module(name)):
            return name
    return None


def has_dlpack(x):
    """Whether DLPack says that an array is on a GPU."""
    device = getattr(x, "__dlpack_device__", None)
    return callable(device) and device()[0] in _DLPACK_CUDA


def as_consumer_array(x):
    """An array as one of CuPy or PyTorch in the same memory.

    Parameters
    ----------
    x : array with ``__cuda_array_interface__`` or DLPack

    Returns
    -------
    array or None
        None if neither library is installed for GPUs.
    """
    name = _consumer()
    if name is None:
        return None
    method = "from_dlpack" if has_dlpack(x) else _CONSUMERS[name].by_interface
    return getattr(importlib.import_module(name), method)(x)


def like(values, x):
    """An array of CuPy or PyTorch as one of another array's library.

    Parameters
    ----------
    values : array of CuPy or tensor of PyTorch
    x : array

    Returns
    -------
    array
        In the same memory, unless the library lacks the dtype; `values` itself if the
        library reads neither protocol.
    """
    root = type(x).__module__.partition(".")[0]
    # Of a library whose array is at hand, the module is imported already.
    by_interface = getattr(sys.modules.get(f"{root}.cuda"), "as_cuda_array", None)
    if by_interface is not None:
        return by_interface(values)
    namespace = getattr(x, "__array_namespace__", lambda: None)()
    from_dlpack = getattr(namespace, "from_dlpack", None)
    return values if from_dlpack is None else from_dlpack(values)
