"""The number of threads that a fit may use.

Backends ask here, so that ``n_jobs``, joblib's workers and the cores that joblib
allots to each of them mean the same to all backends.
"""

import os

import joblib


def available_threads(n_jobs):
    """Number of threads that a fit or a prediction may use.

    Parameters
    ----------
    n_jobs : int or None
        Negative numbers count back from all cores, as in joblib. None means all cores,
        but one thread in a worker of joblib to which no cores were allotted.
    """
    # joblib tells each of its processes in this variable how many cores it may use.
    variable = os.environ.get("NUMBA_NUM_THREADS", "")
    allotted = int(variable) if variable.isdigit() else 0
    if n_jobs is None and allotted == 0:
        nested = joblib.parallel.get_active_backend()[0].nesting_level
        n_jobs = 1 if nested else None
    # Counting cores reads system files, which takes a tenth of a millisecond.
    if n_jobs == 1 or allotted == 1:
        return 1
    all_threads = joblib.cpu_count()
    if allotted > 0:
        all_threads = min(all_threads, allotted)
    if n_jobs is None:
        return all_threads
    if n_jobs < 0:
        return max(1, all_threads + 1 + n_jobs)
    return min(n_jobs, all_threads)
