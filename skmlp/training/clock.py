"""Time in a training: how much has gone by, and how much is left.

The history counts on over warm starts, the limit begins anew with each call; so one
clock has both, and both solvers ask it.
"""

import time


class Clock:
    """Runs from the moment that it is made.

    Parameters
    ----------
    max_time : float or None
        Seconds that there are.
    before : float
        Seconds of earlier calls, which `seconds` counts too.
    """

    def __init__(self, max_time, before=0.0):
        self._start = time.perf_counter()
        self._max_time = float("inf") if max_time is None else max_time
        self._before = before

    def _gone(self):
        return time.perf_counter() - self._start

    @property
    def seconds(self):
        """Seconds until now, earlier calls included."""
        return self._before + self._gone()

    @property
    def left(self):
        """Seconds that are left; infinite without a limit."""
        return self._max_time - self._gone()
