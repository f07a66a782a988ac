"""Two reasons to stop that all solvers share: the time limit and divergence."""

import time

import numpy as np


class Clock:
    """Elapsed and remaining time of a training; it starts when it is made.

    The history goes on over warm starts, while each call has the whole limit again: so
    one clock counts both.

    Parameters
    ----------
    max_time : float or None
        Limit in seconds.
    before : float
        Seconds of earlier calls, which `seconds` includes.
    """

    def __init__(self, max_time, before=0.0):
        self._start = time.perf_counter()
        self._max_time = float("inf") if max_time is None else max_time
        self._before = before

    def _elapsed(self):
        return time.perf_counter() - self._start

    @property
    def seconds(self):
        """Elapsed seconds, earlier calls included."""
        return self._before + self._elapsed()

    @property
    def left(self):
        """Remaining seconds; infinite without a limit."""
        return self._max_time - self._elapsed()


def check_finite(params):
    """Raise an error unless all elements are finite.

    Parameters
    ----------
    params : ndarray
        The network's parameters, or the vectors of an optimizer.

    Raises
    ------
    ValueError
        With scikit-learn's message.
    """
    # The sum is a single fast pass. A finite sum means finite elements; an infinite or
    # nan sum may come from an overflow, so the elements are looked at one by one.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(params.sum()):
            return
    if not np.isfinite(params).all():
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may"
            " contain large values and need to be preprocessed."
        )
