"""How many threads a fit may use, whatever it uses them for.

Backends ask here, so that ``n_jobs``, joblib's workers and their shares of the cores
mean the same to all of them.
"""

import os

import joblib


def available_threads(n_jobs):
    """Number of threads that a fit or a prediction may use.

    Parameters
    ----------
    n_jobs : int or None
        Negative numbers count back from all, as in joblib; None is all, but one in
        a worker of joblib that was given no share of the cores.
    """
    # joblib gives each of its processes a share of the cores in this variable.
    given = os.environ.get("NUMBA_NUM_THREADS", "")
    share = int(given) if given.isdigit() else 0
    if n_jobs is None and share == 0:
        nested = joblib.parallel.get_active_backend()[0].nesting_level
        n_jobs = 1 if nested else None
    # Counting cores reads files of the system, which takes a tenth of a millisecond.
    if n_jobs == 1 or share == 1:
        return 1
    all_threads = joblib.cpu_count()
    if share > 0:
        all_threads = min(all_threads, share)
    if n_jobs is None:
        return all_threads
    if n_jobs < 0:
        return max(1, all_threads + 1 + n_jobs)
    return min(n_jobs, all_threads)
