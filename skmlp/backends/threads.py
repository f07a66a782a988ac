"""The number of threads that a fit may use.

Backends ask here, so that ``n_jobs``, joblib's workers and the limits of `limits` mean
the same to all backends. The smallest limit counts.
"""

import math

import joblib

from skmlp.backends import limits


def available_threads(n_jobs):
    """Number of threads that a fit or a prediction may use.

    Parameters
    ----------
    n_jobs : int or None
        Negative numbers count back from all that the limits allow, as in joblib. None
        means all of these, but one thread in a worker of joblib to which no cores were
        allotted, and in a task of Dask, whose workers run a task in each thread.
    """
    if n_jobs == 1:
        return 1
    of_worker = limits.of_dask_worker()
    # joblib tells each of its processes in this variable how many cores it may use.
    allotted = limits.from_environment("NUMBA_NUM_THREADS")
    if n_jobs is None and _shares_cores(allotted, of_worker):
        return 1
    all_threads = min(
        allotted,
        of_worker,
        _of_openmp(of_worker),
        limits.from_environment("LOKY_MAX_CPU_COUNT"),
        limits.of_libraries(),
        limits.cores(),
    )
    if all_threads > 1:  # reading system files takes a tenth of a millisecond
        all_threads = min(all_threads, limits.cpu_quota())
    if n_jobs is None:
        return all_threads
    if n_jobs < 0:
        return max(1, all_threads + 1 + n_jobs)
    return min(n_jobs, all_threads)


def _shares_cores(allotted, of_worker):
    """Whether other threads run such tasks as the calling one does, a core for each."""
    if of_worker < math.inf:
        return True
    nested = joblib.parallel.get_active_backend()[0].nesting_level
    return bool(nested) and allotted == math.inf


def _of_openmp(of_worker):
    """The limit of OMP_NUM_THREADS; Dask's own, 1, says nothing about this package.

    Dask sets it in its workers for libraries that would take all cores in each task.
    """
    number = limits.from_environment("OMP_NUM_THREADS")
    return math.inf if number == 1 and of_worker < math.inf else number
