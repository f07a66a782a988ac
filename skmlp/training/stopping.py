"""Reasons to stop that solvers share: the time limit, Ctrl-C and divergence."""

import signal
import threading
import time
from contextlib import contextmanager

import numpy as np

from skmlp.compiler import compile_thread

# The message of scikit-learn.
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large "
    "values and need to be preprocessed."
)


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

    Attributes
    ----------
    is_interrupted : bool
        Whether the user has pressed Ctrl-C: no time is left.
    """

    def __init__(self, max_time, before=0.0):
        self._start = time.perf_counter()
        self._max_time = float("inf") if max_time is None else max_time
        self._before = before
        self.is_interrupted = False

    def _elapsed(self):
        return time.perf_counter() - self._start

    @property
    def seconds(self):
        """Elapsed seconds, earlier calls included."""
        return self._before + self._elapsed()

    @property
    def left(self):
        """Remaining seconds; infinite without a limit."""
        if self.is_interrupted:
            return 0.0
        return self._max_time - self._elapsed()


@contextmanager
def stops_by_ctrl_c(clock):
    """Let the first Ctrl-C take the time that is left, and the next one interrupt.

    An exception in the middle of a step would leave a training that cannot go on as if
    it had not been interrupted. Where a kernel has yet to be compiled, Ctrl-C
    interrupts at once. Outside of the main thread, and where a program has a handler of
    its own, nothing changes.
    """

    def handler(signum, frame):
        if clock.is_interrupted:
            raise KeyboardInterrupt
        clock.is_interrupted = True

    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        with compile_thread.compiling_until(lambda: clock.is_interrupted):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


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
        raise ValueError(NOT_FINITE)
