"""Calls of the NVIDIA driver's library without Numba."""

import ctypes
import sys

_NAME = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def driver():
    """The driver's functions; None where there is no driver."""
    try:
        return ctypes.CDLL(_NAME)
    except OSError:
        return None


def count_gpus():
    """Number of NVIDIA GPUs."""
    functions = driver()
    count = ctypes.c_int(0)
    if functions is None or functions.cuInit(0) != 0:
        return 0
    if functions.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
