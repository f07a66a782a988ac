"""Losses whose outputs are coupled: rules that take all outputs of a sample.

A rule ``row(y, z, delta, p)`` gets the targets and the raw outputs of one row, writes
the gradient to `delta` and returns the loss; p is the vector of the loss's parameters.
The scalar pinball loss stands here, too, since several quantiles are made of it.
"""

import numpy as np

from skmlp.rules.activations import logistic, softplus
from skmlp.rules.elementary import exp, log


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


def largest_other(z, true_class):
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
    other = largest_other(z, true_class)
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


def cross_entropy_by_column(y, z, delta, p):
    """Sum over the target's columns of the cross-entropy of a softmax each.

    The outputs of a column stand side by side, as many as p says for it; behind these
    numbers p has the label smoothing.
    """
    T = type(z[0])
    smoothing = p[y.shape[0]]
    total = T(0)
    begin = 0
    for c in range(y.shape[0]):
        size = int(p[c])
        end, true_class = begin + size, begin + int(y[c])
        largest = z[begin]
        for j in range(begin, end):
            largest = z[j] if z[j] > largest else largest
        exponentials, logits = T(0), T(0)
        for j in range(begin, end):
            delta[j] = exp(z[j] - largest)
            exponentials += delta[j]
            logits += z[j] - largest
        even = smoothing / T(size)
        for j in range(begin, end):
            delta[j] = delta[j] / exponentials - even
        delta[true_class] -= T(1) - smoothing
        true = (T(1) - smoothing) * (z[true_class] - largest)
        total += log(exponentials) - true - even * logits
        begin = end
    return total


def cumulative_logits(y, z, delta, p):
    """Negative log-likelihood of classes in an order, by logits of exceeding each.

    P(y > k) = logistic(g_k), g_0 = z_0 and g_k = g_{k-1} - softplus(z_k): logits
    that fall, so that no probability is negative. Cumulative logits: McCullagh (1980);
    that features may move each differently: Peterson and Harrell (1990).

    With logistic(a) - logistic(b) = logistic(a) logistic(-b) (1 - exp(b - a)) and
    1 - exp(-softplus(z)) = logistic(z), a class k between others has
    P(y = k) = logistic(g_{k-1}) logistic(-g_k) logistic(z_k): nothing cancels.
    """
    T = type(z[0])
    n = z.shape[0]
    true_class = int(y[0])
    loss, g = T(0), z[0]
    for j in range(n):
        if j > 0:
            g -= softplus(z[j])
        delta[j] = T(0)
        if j + 1 == true_class:
            loss += softplus(-g)
            delta[j] = -logistic(-g)
        elif j == true_class:
            loss += softplus(g)
            delta[j] = logistic(g)
    above = T(0)
    for j in range(n - 1, -1, -1):
        above += delta[j]
        delta[j] = -above * logistic(z[j]) if j > 0 else above
    if 0 < true_class < n:
        loss += softplus(-z[true_class])
        delta[true_class] -= logistic(-z[true_class])
    # The last logit is nan if any output is.
    return loss if g == g else g


def ordered_log_probabilities(outputs):
    """Logarithms of the probabilities that `cumulative_logits` learns.

    Parameters
    ----------
    outputs : ndarray of shape (n_samples, n_classes - 1)
        Raw outputs.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        From the lowest class to the highest.
    """
    falls = np.logaddexp(0, outputs[:, 1:])
    logits = np.cumsum(np.hstack([outputs[:, :1], -falls]), axis=1)
    above, not_above = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    between = above[:, :-1] + not_above[:, 1:] - np.logaddexp(0, -outputs[:, 1:])
    return np.hstack([not_above[:, :1], between, above[:, -1:]])


# Functions that rules call, beside elementary functions and other rules.
HELPERS = (largest_other,)
