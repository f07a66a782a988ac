"""Whether there is a GPU to train on, and what to do where there is none.

Asked before anything of CUDA is imported: on most machines there is nothing to import,
and the error must then say what is missing and how to get it. The driver is asked
directly, by ctypes, because its answer is needed also where the package that compiles
for it is not installed.

The driver cannot be used in a process that was forked from one which has used it, and
says so late and in riddles. So it is never touched at import, and the process that
touched it first is remembered.
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

# By major version of the CUDA toolkit: the oldest NVIDIA driver that runs what it has
# compiled, and the lowest compute capability that it compiles for. (NVIDIA, "CUDA
# Compatibility", minor version compatibility; the release notes of CUDA 13.0.) The
# kernels wait for one another across the GPU, which needs 7.0 in any case.
_DRIVERS = {12: 525, 13: 580}
_CAPABILITIES = {12: (7, 0), 13: (7, 5)}

# What the driver calls its answers.
_NOT_INITIALIZED = 3
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _SINGLE_TO_DOUBLE = 75, 76, 87

# Seconds that a step takes on a GPU however little there is to compute, and operations
# a second of a CPU with some cores. Estimates: `benchmarks/gpu.py` measures both and
# prints what to put here; it has not yet been run.
_FIXED_SECONDS = 1e-5
_CPU_RATE = 2e11
# Where double precision is slower than this share of single, the CPU is no slower.
_WORST_DOUBLE = 4

_EXTRAS = (
    'pip install "skmlp[cu13]" (NVIDIA driver 580 or later) or '
    'pip install "skmlp[cu12]" (driver 525 or later)'
)

# NVIDIA's libraries that numba-cuda compiles and links with, and asks for versions and
# devices; it installs without them.
_COMPILER = ("nvvm", "nvJitLink", "nvrtc")

# The process that was the first to use the driver.
_user: int | None = None


class Obstacle(NamedTuple):
    """Why a GPU cannot be used.

    Attributes
    ----------
    kind : type
        Of the error that it is.
    reason : str
        A sentence without its stop.
    remedy : str
        A sentence.
    """

    kind: type[Exception]
    reason: str
    remedy: str


class Driver:
    """The few questions to the NVIDIA driver that come before all else.

    Parameters
    ----------
    library : ctypes.CDLL
        The driver's.
    """

    def __init__(self, library):
        self._library = library

    def _asked(self, name, *arguments):
        """Status and answer of a function that stores an int at its first argument."""
        answer = ctypes.c_int(0)
        status = getattr(self._library, name)(ctypes.byref(answer), *arguments)
        return status, answer.value

    def cuda_version(self):
        """CUDA version that the driver serves: 12080 is 12.8; 0 if it cannot say."""
        status, version = self._asked("cuDriverGetVersion")
        return version if status == 0 else 0

    def start(self):
        """Start the driver in this process; 0, or the number of its error."""
        return self._library.cuInit(0)

    def count(self):
        """Number of devices."""
        status, count = self._asked("cuDeviceGetCount")
        return count if status == 0 else 0

    def attribute(self, attribute, number):
        """One of a device's properties, by the driver's number for it."""
        status, value = self._asked("cuDeviceGetAttribute", attribute, number)
        return value if status == 0 else 0


def open_driver():
    """The driver, not yet started, or None where there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return Driver(ctypes.CDLL(name))
    except OSError:
        return None


def simulated():
    """Whether Numba runs kernels in its simulator, which needs no GPU."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


def usable(number):
    """Whether the GPU of that number can be trained on, by this process.

    Parameters
    ----------
    number : int
        As CUDA counts: 0 is the first of those that ``CUDA_VISIBLE_DEVICES`` allows.

    Returns
    -------
    bool
    """
    return obstacle(number) is None


def require(number):
    """Refuse a GPU that cannot be trained on.

    Parameters
    ----------
    number : int

    Raises
    ------
    ImportError
        Without the packages that compile for it.
    RuntimeError
        Without a driver that serves them or a device of that number, and in a process
        forked from one that has used a GPU.
    """
    found = obstacle(number)
    if found is not None:
        raise found.kind(f"{found.reason}. {found.remedy}")


def obstacle(number):
    """What is in the way of that GPU; None if nothing is.

    Found once a process.
    """
    return _obstacle(number, os.getpid(), simulated())


@functools.cache
def _obstacle(number, process, is_simulated):
    if is_simulated:
        return _no_such_device(number, 1) if number > 0 else None
    if _user not in (None, process):
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
        or _unfit(driver, number)
        or _without_compiler()
    )


def _toolkit():
    """Major version of the CUDA toolkit that is installed, None if not by pip."""
    try:
        return int(metadata.version("cuda-toolkit").partition(".")[0])
    except metadata.PackageNotFoundError:
        return None


def _too_old(driver):
    """What is wrong with the driver for the toolkit, if anything."""
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
    """Start the driver; what kept it from starting, if anything."""
    global _user
    status = driver.start()
    if status == 0:
        _user = os.getpid()
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


def _unfit(driver, number):
    """What is wrong with a device, if anything."""
    count = driver.count()
    if number >= count:
        return _no_such_device(number, count)
    toolkit = _toolkit()
    needed = _CAPABILITIES.get(toolkit, min(_CAPABILITIES.values()))
    found = (
        driver.attribute(_CAPABILITY_MAJOR, number),
        driver.attribute(_CAPABILITY_MINOR, number),
    )
    if found >= needed:
        return None
    remedy = "Use device='cpu'."
    if found >= min(_CAPABILITIES.values()):
        remedy = 'pip install "skmlp[cu12]" serves this one.'
    return Obstacle(
        RuntimeError,
        f"GPU {number} has compute capability {found[0]}.{found[1]}, but "
        f"{needed[0]}.{needed[1]} is needed",
        remedy,
    )


def _without_compiler():
    """What is missing of NVIDIA's compiler, if anything."""
    pathfinder = importlib.import_module("cuda.pathfinder")
    for name in _COMPILER:
        try:
            pathfinder.load_nvidia_dynamic_lib(name)
        except pathfinder.DynamicLibNotFoundError:
            return Obstacle(
                ImportError,
                f"Training on a GPU needs NVIDIA's library {name}, which is not found",
                f"Install it by {_EXTRAS}.",
            )
    return None


def _no_such_device(number, count):
    names = ", ".join(f"'cuda:{i}'" for i in range(count))
    return Obstacle(
        RuntimeError,
        f"There is no GPU of number {number}: CUDA finds {count or 'none'}",
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


def worth_it(work, dtype, number):
    """Whether a GPU is likely to be faster than the CPU.

    Parameters
    ----------
    work : float
        Operations of a training step: multiplications and additions, forward and
        back.
    dtype : numpy dtype
        Of the training.
    number : int
        A usable GPU.

    Returns
    -------
    worth : bool
    reason : str
        What decided, as part of a sentence.
    """
    if np.dtype(dtype) == np.float64 and _slow_double(number):
        return False, f"float64 is slow on GPU {number}; dtype='float32' is not"
    least = _FIXED_SECONDS * _CPU_RATE
    relation = "at least" if work >= least else "less than"
    return work >= least, f"{work:.1e} operations a step, {relation} {least:.1e}"


def _slow_double(number):
    """Whether a GPU has few units for double precision, as those for games have."""
    if simulated():
        return False
    return open_driver().attribute(_SINGLE_TO_DOUBLE, number) > _WORST_DOUBLE
