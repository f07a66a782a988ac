"""Losses that take all outputs of a sample at once.

A rule ``row(y, z, delta, p)`` gets the targets and the raw outputs of one row, writes
the gradient to `delta` and returns the loss; p is the vector of the loss's parameters.
The pinball loss stands here, too, since the one of several quantiles is made of it.
"""

from skmlp.rules.activations import logistic, softplus
from skmlp.rules.elementary import exp, log

# Of a normal distribution that is learnt: without it one exact row outweighs the rest.
SMALLEST_VARIANCE = 1e-6


def quantile(y, z, p):
    """Pinball loss of level p: p (y - z), or (1 - p) (z - y) where z > y."""
    T = type(z)
    return p * (y - z) if z < y else (T(1) - p) * (z - y)


def quantile_slope(y, z, p):
    """-p below y, 1 - p above."""
    T = type(z)
    return -p if z < y else (T(1) - p if z > y else z - y)


def gaussian_nll(y, z, delta, p):
    """Negative log-likelihood of normal distributions, but for log(2 pi) / 2.

    The first half of z are the means, the second half raw variances, through softplus.
    Nix and Weigend (1994).
    """
    T = type(z[0])
    n = y.shape[0]
    total = T(0)
    for j in range(n):
        r = z[j] - y[j]
        inverse = T(1) / (softplus(z[n + j]) + T(SMALLEST_VARIANCE))
        squares = r * r * inverse
        total += T(0.5) * (squares - log(inverse))
        delta[j] = r * inverse
        delta[n + j] = T(0.5) * inverse * (T(1) - squares) * logistic(z[n + j])
    return total


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


def _largest_other(z, own):
    """Number of the largest output but one's own, or of one that is nan."""
    best = 1 if own == 0 else 0
    for j in range(z.shape[0]):
        if z[j] != z[j]:
            return j
        if j != own and z[j] > z[best]:
            best = j
    return best


def crammer_singer(y, z, delta, p):
    """max(0, 1 + the largest other output - that of the class).

    Crammer and Singer (2001).
    """
    T = type(z[0])
    own = int(y[0])
    other = _largest_other(z, own)
    margin = T(1) + z[other] - z[own]
    for j in range(z.shape[0]):
        delta[j] = T(0)
    if margin <= T(0):
        return T(0)
    delta[other] = T(1)
    delta[own] = T(-1)
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
    own = int(y[0])
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
        error = a - T(1) if j == own else a
        loss += T(0.5) * error * error
        mean += a * error
        delta[j] = a
    for j in range(z.shape[0]):
        a = delta[j]
        error = a - T(1) if j == own else a
        delta[j] = a * (error - mean)
    return loss


# What rules call, beside elementary functions and other rules.
HELPERS = (_largest_other,)
