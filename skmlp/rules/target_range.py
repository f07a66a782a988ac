"""In which interval targets and predictions of a loss lie, and how it may be scaled.

The range of an output activation is found by evaluating it, so that rows and custom
activations need not declare it.
"""

import functools
import math

import numpy as np

from skmlp.rules.activations import activation_rule

_MIDDLE = np.linspace(-50.0, 50.0, 401)
# Where bounded activations have come to their bounds and others go on.
_FAR = np.array([1e15, 1e30])
_GROWTH = 1.0


def target_range(loss):
    """Lowest and highest number that a loss takes as target and its output reaches.

    Parameters
    ----------
    loss : LossRow

    Returns
    -------
    low, high : float
        Infinite where there is no bound.
    """
    low, high = _output_range(activation_rule(loss.output))
    return max(low, loss.low), min(high, loss.high)


@functools.lru_cache(maxsize=64)
def _output_range(row):
    """Lowest and highest value of an activation."""
    if row.by_rows:
        return 0.0, 1.0  # shares of one
    value = np.vectorize(row.value, otypes=[np.float64])
    with np.errstate(all="ignore"):
        values = value(_MIDDLE)
        ends = [value(_FAR), value(-_FAR)]
    low, high = np.nanmin(values), np.nanmax(values)
    for near, far in ends:
        if far == math.inf or far > near + _GROWTH:
            high = math.inf
        elif far == -math.inf or far < near - _GROWTH:
            low = -math.inf
        else:
            low, high = min(low, far), max(high, far)
    return float(low), float(high)
