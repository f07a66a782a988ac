"""A time limit in seconds for a whole ensemble: fewer epochs, then fewer members."""

import math
import time

import numpy as np
from sklearn.base import clone

from skmlp.estimators.architecture import hidden_sizes
from skmlp.tabular.members import train_member

# Part of the limit that is left to predictions on the validation rows and to noise.
_RESERVE = 0.08
# Members side by side share caches and memory: an epoch alone is faster.
_SIDE_BY_SIDE = 1.25
_MIN_EPOCHS = 12
# Rows of the fit that compiles.
_WARM_UP_ROWS = 64


class Budget:
    """Seconds that are left, and what can be trained in them.

    Parameters
    ----------
    max_time : float or None
        Limit in seconds, from now on. None for none.
    """

    def __init__(self, max_time):
        self.is_limited = max_time is not None
        self._end = time.perf_counter() + (max_time or 0.0) * (1 - _RESERVE)

    @property
    def left(self):
        """Seconds that are left, possibly negative."""
        return self._end - time.perf_counter()

    def affordable(self, jobs, data, held_out, n_threads):
        """The jobs, with as many epochs and as many of them as there is time for.

        An epoch is timed, after a fit of a few rows that compiles the kernels.

        Parameters
        ----------
        jobs : list of Job
        data, held_out : EncodedRows
        n_threads : int

        Returns
        -------
        list of Job
            At least one. Each has a limit of its own for the case that epochs take
            longer than the one that was timed.
        """
        if not self.is_limited:
            return jobs
        slowest = max(jobs, key=_size)
        _timed(slowest, data, held_out, n_rows=_WARM_UP_ROWS)
        seconds = _SIDE_BY_SIDE * max(_timed(slowest, data, held_out), 1e-4)
        threads = min(n_threads, len(jobs))
        epochs = self.left * threads / seconds
        n_jobs = int(np.clip(epochs // _MIN_EPOCHS, 1, len(jobs)))
        rounds = math.ceil(n_jobs / threads)
        # What each member of a round may take.
        limit = max(self.left, 1e-3) / rounds
        return [_limited(job, limit, limit / seconds) for job in jobs[:n_jobs]]


def _size(job):
    """What orders networks by the time of an epoch: inputs and layers."""
    embedded = job.estimator.embedding is not None and job.estimator.embedding_dim
    return embedded, len(hidden_sizes(job.estimator.hidden_layer_sizes))


def _timed(job, data, held_out, n_rows=None):
    """Seconds of one epoch of a job."""
    estimator = clone(job.estimator).set_params(max_iter=1)
    job = job._replace(estimator=estimator, train=job.train[:n_rows])
    start = time.perf_counter()
    train_member(job, data, held_out)
    return time.perf_counter() - start


def _limited(job, limit, epochs):
    max_iter = int(np.clip(epochs, 1, job.estimator.max_iter))
    return job._replace(
        estimator=job.estimator.set_params(max_iter=max_iter, max_time=limit)
    )
