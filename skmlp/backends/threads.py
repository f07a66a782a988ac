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
    all_threads = joblib.cpu_count()
    # joblib gives each of its processes a share of the cores in this variable.
    share = os.environ.get("NUMBA_NUM_THREADS", "")
    has_share = share.isdigit() and int(share) > 0
    if has_share:
        all_threads = min(all_threads, int(share))
    if n_jobs is None:
        nested = joblib.parallel.get_active_backend()[0].nesting_level
        return 1 if nested and not has_share else all_threads
    if n_jobs < 0:
        return max(1, all_threads + 1 + n_jobs)
    return min(n_jobs, all_threads)
