"""The limits that a machine, a container, a user or a library sets to threads.

Each is read anew at every call, so that a limit counts from the next fit or prediction
on. What cannot be read is no limit: without a free file descriptor, /proc or /sys a fit
runs all the same. The page docs/reliability.md lists the limits; `tests/trust` has a
test for each.
"""

import ctypes
import functools
import math
import os
import sys

import numpy as np
from sklearn.utils import _openmp_helpers

# Where Linux says to which control groups this process belongs, and their settings.
_MEMBERSHIP, _GROUPS = "/proc/self/cgroup", "/sys/fs/cgroup"
# OpenBLAS, as NumPy's wheels bring it, has no more threads on any machine.
_MOST_BLAS_THREADS = 64
_OPENMP = ("omp_get_max_threads",)
_OPENBLAS = (
    "scipy_openblas_get_num_threads64_",
    "openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "openblas_get_num_threads",
)


def from_environment(variable):
    """The positive integer in an environment variable, the first of a list; else inf.

    A list, as OMP_NUM_THREADS may be, has a number for each level of nesting.
    """
    text = os.environ.get(variable, "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) > 0 else math.inf


def cores():
    """Cores on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _by_itself(*variables):
    """The threads that a library has chosen when it was loaded."""
    given = [from_environment(variable) for variable in variables]
    return next((number for number in given if number < math.inf), cores())


# A library is at this number as long as nobody limits it. Then it says nothing new: the
# affinity and the variables may have changed since it was loaded.
_OPENMP_BY_ITSELF = _by_itself("OMP_NUM_THREADS")
_BLAS_BY_ITSELF = _by_itself("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


@functools.cache
def _function(module, names):
    """A C function without arguments of a library that an extension module uses."""
    try:
        library = ctypes.CDLL(module.__file__)
    except (AttributeError, OSError):  # not an extension module, or not to be opened
        return None
    found = (getattr(library, name, None) for name in names)
    return next((function for function in found if function is not None), None)


def _numpy_extension():
    """The module of NumPy that calls BLAS; it is private."""
    return getattr(getattr(np, "_core", None), "_multiarray_umath", None)


def of_libraries():
    """What threadpoolctl has limited OpenMP or OpenBLAS to; inf without a limit.

    OpenMP's limit is that of the calling thread, that of OpenBLAS of the process.
    """
    openmp = _function(_openmp_helpers, _OPENMP)
    blas = _function(_numpy_extension(), _OPENBLAS)
    n_openmp = openmp() if openmp else math.inf
    n_blas = blas() if blas else math.inf
    if n_openmp == _OPENMP_BY_ITSELF:
        n_openmp = math.inf
    if n_blas == _BLAS_BY_ITSELF or n_blas >= _MOST_BLAS_THREADS:
        n_blas = math.inf
    return max(1, min(n_openmp, n_blas))


def of_dask_worker():
    """Threads of the Dask worker that runs the calling thread's task; inf elsewhere."""
    # A process that never imported Dask runs no worker, and need not import it now.
    get_worker = getattr(sys.modules.get("distributed.worker"), "get_worker", None)
    if get_worker is None:
        return math.inf
    try:
        return get_worker().state.nthreads
    except ValueError:  # no task runs in this thread
        return math.inf


def cpu_quota():
    """CPUs that the control groups of this process allow, rounded up; inf for all.

    The quota of each group holds for all groups below it. A container may see its own
    group as the root, though the kernel names the path on the host.
    """
    path_1 = path_2 = ""
    for line in _read(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            path_2 = path
        elif "cpu" in controllers.split(","):
            path_1 = path
    quotas = [_quota_2(group) for group in _groups(_GROUPS, path_2)]
    quotas += [_quota_1(group) for group in _groups(f"{_GROUPS}/cpu", path_1)]
    return min(quotas)


def _groups(folder, path):
    """The root's folder, and those of the groups down to a path."""
    groups = [folder]
    for name in filter(None, path.split("/")):
        groups.append(f"{groups[-1]}/{name}")
    return groups


def _quota_2(group):
    return _ratio(*_read(f"{group}/cpu.max").split()[:2])


def _quota_1(group):
    quota = _read(f"{group}/cpu.cfs_quota_us").strip()
    if not quota.isdecimal():  # -1 is no limit
        return math.inf
    return _ratio(quota, _read(f"{group}/cpu.cfs_period_us").strip())


def _ratio(quota="max", period=""):
    """A quota in periods of CPUs, rounded up; inf where it is none."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return math.inf
    return math.ceil(int(quota) / int(period))


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
