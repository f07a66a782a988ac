"""Losses whose outputs are coupled: rules that take all outputs of a sample.

A rule ``row(y, z, delta, p)`` gets the targets and the raw outputs of one row, writes
the gradient to `delta` and returns the loss; p is the vector of the loss's parameters.
The scalar pinball loss stands here, too, since several quantiles are made of it.
"""

import numpy as np

from skmlp.rules.activations import logistic, softplus
from skmlp.rules.elementary import exp


def quantile(y, z, p):
    """Pinball loss of level p: p (y - z), or (1 - p) (z - y) where z > y."""
    T = type(z)
    return p * (y - z) if z < y else (T(1) - p) * (z - y)


def quantile_slope(y, z, p):
    """-p below y, 1 - p above."""
    T = type(z)
    return -p if z < y else (T(1) - p if z > y else z - y)


def quantiles(y, z, delta, p):
    """Pinball losses of the levels p, ascending, of quantiles that cannot cross.

    The first output is the lowest quantile, each other one adds its softplus.
    """
    T = type(z[0])
    total = T(0)
    q = z[0]
    for k in range(z.shape[0]):
        if k > 0:
            q += softplus(z[k])
        total += quantile(y[0], q, p[k])
        delta[k] = quantile_slope(y[0], q, p[k])
    above = T(0)
    for k in range(z.shape[0] - 1, -1, -1):
        above += delta[k]
        delta[k] = above * logistic(z[k]) if k > 0 else above
    return total


def ascending_levels(row, settings, n_columns):
    """Values of the parameters of `quantiles`: ascending levels in (0, 1).

    Raises
    ------
    ValueError
    """
    (parameter,) = row.parameters
    values = getattr(settings, parameter.name)
    levels = np.asarray(values)
    if (
        levels.dtype.kind not in "fiu"
        or levels.ndim != 1
        or len(levels) == 0
        or not np.all(np.diff(levels) > 0)
    ):
        raise ValueError(
            f"{parameter.name} must be one number or an ascending list, got {values!r}."
        )
    if not np.all((levels > 0) & (levels < 1)):
        raise ValueError(f"{parameter.name} must be in (0, 1), got {values}.")
    if n_columns != 1:
        raise ValueError(
            f"several {row.name} need a single target, but y has {n_columns} columns."
        )
    return tuple(levels.tolist())


def ascending_quantiles(outputs, params):
    """Predictions of `quantiles` from arrays of raw outputs."""
    steps = np.logaddexp(0, outputs[:, 1:])
    return np.cumsum(np.hstack([outputs[:, :1], steps]), axis=1)


def _largest_other(z, true_class):
    """Index of the largest output but that of the true class, or of one that is nan."""
    best = 1 if true_class == 0 else 0
    for j in range(z.shape[0]):
        if z[j] != z[j]:
            return j
        if j != true_class and z[j] > z[best]:
            best = j
    return best


def crammer_singer(y, z, delta, p):
    """max(0, 1 + the largest other output - that of the class).

    Crammer and Singer (2001).
    """
    T = type(z[0])
    true_class = int(y[0])
    other = _largest_other(z, true_class)
    margin = T(1) + z[other] - z[true_class]
    for j in range(z.shape[0]):
        delta[j] = T(0)
    if margin <= T(0):
        return T(0)
    delta[other] = T(1)
    delta[true_class] = T(-1)
    return margin


def squared_crammer_singer(y, z, delta, p):
    """The square of `crammer_singer`."""
    margin = crammer_singer(y, z, delta, p)
    for j in range(z.shape[0]):
        delta[j] *= type(z[0])(2) * margin
    return margin * margin


def brier(y, z, delta, p):
    """Half the squared error of the probabilities softmax(z). Brier (1950)."""
    T = type(z[0])
    true_class = int(y[0])
    largest = z[0]
    for j in range(z.shape[0]):
        largest = z[j] if z[j] > largest else largest
    total = T(0)
    for j in range(z.shape[0]):
        delta[j] = exp(z[j] - largest)
        total += delta[j]
    loss, mean = T(0), T(0)
    for j in range(z.shape[0]):
        a = delta[j] / total
        error = a - T(1) if j == true_class else a
        loss += T(0.5) * error * error
        mean += a * error
        delta[j] = a
    for j in range(z.shape[0]):
        a = delta[j]
        error = a - T(1) if j == true_class else a
        delta[j] = a * (error - mean)
    return loss


# Functions that rules call, beside elementary functions and other rules.
HELPERS = (_largest_other,)
