"""Whether a GPU can be used, and what is missing if it cannot.

Called before anything of CUDA is imported: most machines have nothing to import, and
the error must say what is missing and how to get it. The driver is called directly, by
ctypes, because its answer is needed even where numba-cuda is not installed.

A process forked from one that has initialized the driver cannot use CUDA; the driver's
error comes late and does not say why. So the driver is never initialized at import, and
the process that initialized it is remembered.
"""

import ctypes
import functools
import importlib
import importlib.util
import os
import sys
from importlib import metadata
from typing import NamedTuple

import numpy as np

from skmlp.backends.cuda.runtime import simulator

# By major version of the CUDA toolkit: the oldest NVIDIA driver that runs its code, and
# the lowest compute capability that it compiles for. (NVIDIA, "CUDA Compatibility",
# minor version compatibility; the release notes of CUDA 13.0.) The grid barrier of the
# persistent kernels needs 7.0 in any case.
_DRIVERS = {12: 525, 13: 580}
_CAPABILITIES = {12: (7, 0), 13: (7, 5)}

# Status codes of the driver, and device attributes.
_NOT_INITIALIZED = 3
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _SINGLE_TO_DOUBLE = 75, 76, 87

# Seconds of the shortest training step on a GPU, and operations a second of a CPU with
# several cores. Estimates: `benchmarks/gpu.py` measures both and prints the values to
# put here; it has not yet been run.
_FIXED_SECONDS = 1e-5
_CPU_RATE = 2e11
# Ratio of single to double precision above which the CPU is as fast in float64.
_MAX_DOUBLE_RATIO = 4

_EXTRAS = (
    'pip install "skmlp[cu13]" (NVIDIA driver 580 or later) or '
    'pip install "skmlp[cu12]" (driver 525 or later)'
)

# NVIDIA's libraries with which numba-cuda compiles, links, and queries versions. Its
# installation does not require them.
_COMPILER_LIBRARIES = ("nvvm", "nvJitLink", "nvrtc")

# The process that initialized the driver.
_driver_pid: int | None = None


class Obstacle(NamedTuple):
    """Why a GPU cannot be used.

    Attributes
    ----------
    error_class : type
        The exception to raise.
    reason : str
        A sentence without its period.
    remedy : str
        A sentence.
    """

    error_class: type[Exception]
    reason: str
    remedy: str


class Driver:
    """The few functions of the NVIDIA driver that are called before numba-cuda.

    Parameters
    ----------
    library : ctypes.CDLL
        libcuda.
    """

    def __init__(self, library):
        self._library = library

    def _query(self, name, *arguments):
        """Status and result of a function that stores an int at its first argument."""
        result = ctypes.c_int(0)
        status = getattr(self._library, name)(ctypes.byref(result), *arguments)
        return status, result.value

    def cuda_version(self):
        """CUDA version that the driver supports: 12080 is 12.8; 0 if unknown."""
        status, version = self._query("cuDriverGetVersion")
        return version if status == 0 else 0

    def start(self):
        """Initialize the driver in this process; returns its status, 0 for success."""
        return self._library.cuInit(0)

    def count(self):
        """Number of devices."""
        status, count = self._query("cuDeviceGetCount")
        return count if status == 0 else 0

    def attribute(self, attribute, device_id):
        """An attribute of a device, by the driver's code of the attribute."""
        status, value = self._query("cuDeviceGetAttribute", attribute, device_id)
        return value if status == 0 else 0


def open_driver():
    """The driver, not yet initialized; None if there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return Driver(ctypes.CDLL(name))
    except OSError:
        return None


def usable(device_id):
    """Whether this process can train on a GPU.

    Parameters
    ----------
    device_id : int
        As CUDA counts: 0 is the first of those that ``CUDA_VISIBLE_DEVICES`` allows.

    Returns
    -------
    bool
    """
    return obstacle(device_id) is None


def require(device_id):
    """Raise an error if a GPU cannot be trained on.

    Parameters
    ----------
    device_id : int

    Raises
    ------
    ImportError
        Without the packages that compile for it.
    RuntimeError
        Without a driver that is new enough or without that device, and in a process
        forked from one that has used a GPU.
    """
    problem = obstacle(device_id)
    if problem is not None:
        raise problem.error_class(f"{problem.reason}. {problem.remedy}")


def obstacle(device_id):
    """Why a GPU cannot be used; None if it can.

    Checked once a process.
    """
    return _obstacle(device_id, os.getpid(), simulator.is_enabled())


@functools.cache
def _obstacle(device_id, process, is_simulated):
    if is_simulated:
        return _no_such_device(device_id, 1) if device_id > 0 else None
    if _driver_pid not in (None, process):
        return _forked()
    if importlib.util.find_spec("numba_cuda") is None:
        return Obstacle(
            ImportError,
            "Training on a GPU needs the package numba-cuda, which is not installed",
            f"Install it by {_EXTRAS}.",
        )
    driver = open_driver()
    if driver is None:
        return Obstacle(
            RuntimeError,
            "No NVIDIA driver was found",
            f"A GPU needs NVIDIA's driver beside {_EXTRAS}; without a GPU, use "
            "device='cpu'.",
        )
    return (
        _too_old(driver)
        or _not_started(driver)
        or _unfit(driver, device_id)
        or _without_compiler()
    )


def _toolkit():
    """Major version of the CUDA toolkit; None if pip has not installed it."""
    try:
        return int(metadata.version("cuda-toolkit").partition(".")[0])
    except metadata.PackageNotFoundError:
        return None


def _too_old(driver):
    """The obstacle of a driver that is too old for the toolkit, if it is."""
    toolkit, version = _toolkit() or 12, driver.cuda_version()
    if version // 1000 >= toolkit:
        return None
    needed = _DRIVERS.get(toolkit, max(_DRIVERS.values()))
    return Obstacle(
        RuntimeError,
        f"CUDA {toolkit} needs NVIDIA driver {needed} or later, but the driver found "
        f"serves CUDA {version // 1000}.{version % 1000 // 10}",
        f"Update the driver, or install what goes with it: {_EXTRAS}.",
    )


def _not_started(driver):
    """Initialize the driver; the obstacle if that fails."""
    global _driver_pid
    status = driver.start()
    if status == 0:
        _driver_pid = os.getpid()
        return None
    if status == _NOT_INITIALIZED:
        return _forked()
    if status == _NO_DEVICE:
        return _no_such_device(0, 0)
    return Obstacle(
        RuntimeError,
        f"The NVIDIA driver does not start (cuInit: error {status})",
        "Does nvidia-smi list a GPU? Without one, use device='cpu'.",
    )


def _unfit(driver, device_id):
    """The obstacle of a device that is not there or too old, if it is."""
    count = driver.count()
    if device_id >= count:
        return _no_such_device(device_id, count)
    toolkit = _toolkit()
    needed = _CAPABILITIES.get(toolkit, min(_CAPABILITIES.values()))
    capability = (
        driver.attribute(_CAPABILITY_MAJOR, device_id),
        driver.attribute(_CAPABILITY_MINOR, device_id),
    )
    if capability >= needed:
        return None
    remedy = "Use device='cpu'."
    if capability >= min(_CAPABILITIES.values()):
        remedy = 'pip install "skmlp[cu12]" serves this one.'
    return Obstacle(
        RuntimeError,
        f"GPU {device_id} has compute capability {capability[0]}.{capability[1]}, but "
        f"{needed[0]}.{needed[1]} is needed",
        remedy,
    )


def _without_compiler():
    """The obstacle of a missing library of NVIDIA's compiler, if one is."""
    pathfinder = importlib.import_module("cuda.pathfinder")
    for name in _COMPILER_LIBRARIES:
        try:
            pathfinder.load_nvidia_dynamic_lib(name)
        except pathfinder.DynamicLibNotFoundError:
            return Obstacle(
                ImportError,
                f"Training on a GPU needs NVIDIA's library {name}, which is not found",
                f"Install it by {_EXTRAS}.",
            )
    return None


def _no_such_device(device_id, count):
    names = ", ".join(f"'cuda:{i}'" for i in range(count))
    return Obstacle(
        RuntimeError,
        f"There is no GPU of number {device_id}: CUDA finds {count or 'none'}",
        f"Use one of {names}." if count else "Use device='cpu'.",
    )


def _forked():
    return Obstacle(
        RuntimeError,
        "This process was forked from one that had already used CUDA, which makes the "
        "GPU unusable here",
        "Start workers anew instead: joblib's backend 'loky' does (it is the default), "
        "and so does multiprocessing.get_context('spawn').",
    )


def worth_it(work, dtype, device_id):
    """Whether a GPU is likely to be faster than the CPU.

    Parameters
    ----------
    work : float
        Operations of a training step: multiplications and additions, forward and
        backward.
    dtype : numpy dtype
        Of the training.
    device_id : int
        A usable GPU.

    Returns
    -------
    worth : bool
    reason : str
        Why, as part of a sentence.
    """
    if np.dtype(dtype) == np.float64 and _slow_double(device_id):
        return False, f"float64 is slow on GPU {device_id}; dtype='float32' is not"
    threshold = _FIXED_SECONDS * _CPU_RATE
    relation = "at least" if work >= threshold else "less than"
    reason = f"{work:.1e} operations a step, {relation} {threshold:.1e}"
    return work >= threshold, reason


def _slow_double(device_id):
    """Whether a GPU has few double-precision units, as consumer GPUs have."""
    if simulator.is_enabled():
        return False
    return open_driver().attribute(_SINGLE_TO_DOUBLE, device_id) > _MAX_DOUBLE_RATIO
