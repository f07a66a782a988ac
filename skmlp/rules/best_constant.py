"""Mean loss of the best constant prediction: what a model of no features reaches.

The rows of the losses' tables name these functions in their field `constant`. A
function takes targets of shape (n_rows, columns), weights of the rows that sum to one,
the values of the loss's parameters, and the number of the network's outputs. Losses
without such a function are minimized over the raw output, column by column.

Functions of NumPy, never compiled. The output activation is left out: if it cannot
reach the best constant, a comparison with the constant is to show that.
"""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, xlogy

# Evaluations of a scalar rule in Python take a microsecond each.
_MAX_SEARCH_ROWS = 200
_HUGE = 1e300


def best_constant_loss(row, targets, weights, params, n_outputs):
    """Mean loss of the best constant prediction, without any penalty.

    Parameters
    ----------
    row : LossRow
    targets : ndarray of shape (n_rows, columns)
        As the network gets them.
    weights : ndarray of shape (n_rows,) or None
    params : tuple of float
        Values of the loss's parameters.
    n_outputs : int
        Outputs of the network.

    Returns
    -------
    float or None
        None where it is not known: for rules of whole rows without closed form.
    """
    targets = targets.astype(np.float64)
    if weights is None:
        weights = np.full(len(targets), 1.0 / len(targets))
    else:
        weights = weights.astype(np.float64) / weights.sum(dtype=np.float64)
    with np.errstate(all="ignore"):
        if row.constant is not None:
            loss = row.constant(targets, weights, params, n_outputs)
        elif row.value is not None:
            loss = _searched(row, targets, weights, params, n_outputs)
        else:
            return None
    return float(loss) if np.isfinite(loss) else None


def _searched(row, targets, weights, params, n_outputs):
    """The sum over the columns of the least mean value of a scalar rule."""
    if row.labels:
        targets = (np.arange(n_outputs) == targets).astype(np.float64)
    used = params[: len(row.parameters)]
    rule = np.vectorize(lambda y, z: row.value(y, z, *used), otypes=[np.float64])
    return sum(_least(rule, *_grouped(column, weights)) for column in targets.T)


def _grouped(y, weights):
    """Different values, ascending, and their weights; means of neighbors if many."""
    values, index = np.unique(y, return_inverse=True)
    weights = np.bincount(index.ravel(), weights)
    if len(values) <= _MAX_SEARCH_ROWS:
        return values, weights
    below = np.cumsum(weights) - weights / 2
    group = np.minimum((below * _MAX_SEARCH_ROWS).astype(int), _MAX_SEARCH_ROWS - 1)
    total = np.bincount(group, weights)
    used = total > 0
    means = np.bincount(group, weights * values)[used] / total[used]
    return means, total[used]


def _least(rule, y, weights):
    """The least weighted mean of ``rule(y, z)`` over z; nan where z grows forever."""

    def mean(z):
        return float(
            np.clip(np.nan_to_num(weights @ rule(y, z), nan=_HUGE), None, _HUGE)
        )

    try:
        least = minimize_scalar(mean, options={"maxiter": 100}).fun
    except RuntimeError:  # no bracket
        return np.nan
    return least if least > -_HUGE else np.nan


def _shares(targets, weights, n_outputs, smoothing=0.0):
    """Weighted share of each class or label, mixed with the even one."""
    if targets.shape[1] < n_outputs:  # one class of several
        classes = targets.ravel().astype(np.intp)
        shares = np.bincount(classes, weights, minlength=n_outputs)
        return shares + smoothing * (1.0 / n_outputs - shares)
    shares = weights @ targets
    return shares + smoothing * (0.5 - shares)


def binary_entropy(targets, weights, params, n_outputs):
    """Entropies of the labels, for the log-loss of logistic outputs."""
    p = _shares(targets, weights, n_outputs, params[0])
    return -np.sum(_negative_entropy(p))


def entropy(targets, weights, params, n_outputs):
    """Entropy of the classes, for the log-loss of softmax."""
    p = _shares(targets, weights, n_outputs, params[0])
    return -np.sum(xlogy(p, p))


def entropy_by_column(targets, weights, params, n_outputs):
    """Sum of the entropies of the columns, for a softmax each."""
    *sizes, smoothing = params
    columns = zip(targets.T[:, :, np.newaxis], map(int, sizes), strict=True)
    return sum(
        entropy(y, weights, (smoothing,), size) for y, size in columns if size > 1
    )


def ordinal(targets, weights, params, n_outputs):
    """Entropy of the classes, one more than the outputs: any shares can be reached."""
    return entropy(targets, weights, (0.0,), n_outputs + 1)


def hinge(targets, weights, params, n_outputs):
    """Margin 1 for the more frequent side: twice the share of the other."""
    p = _shares(targets, weights, n_outputs)
    return 2 * np.sum(np.minimum(p, 1 - p))


def squared_hinge(targets, weights, params, n_outputs):
    """At the margin 2 p - 1."""
    p = _shares(targets, weights, n_outputs)
    return 4 * np.sum(p * (1 - p))


def squared_error_of_probability(targets, weights, params, n_outputs):
    """Half the variance of each label."""
    p = _shares(targets, weights, n_outputs)
    return 0.5 * np.sum(p * (1 - p))


def crammer_singer(targets, weights, params, n_outputs):
    """Margin 1 for the most frequent class if it has the majority, else 0."""
    largest = max(0.5, np.max(_shares(targets, weights, n_outputs)))
    return 2 * (1 - largest)


def squared_crammer_singer(targets, weights, params, n_outputs):
    """At the margin 2 p - 1 of the most frequent class if that is positive, else 0."""
    largest = max(0.5, np.max(_shares(targets, weights, n_outputs)))
    return 4 * largest * (1 - largest)


def brier(targets, weights, params, n_outputs):
    """Half the squared error of the classes' frequencies."""
    p = _shares(targets, weights, n_outputs)
    return 0.5 * (1 - p @ p)


def focal(targets, weights, params, n_outputs):
    """By search over the two sides of each label."""
    gamma, alpha = params
    own, other = (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)
    shares = _shares(targets, weights, n_outputs)
    return sum(
        _least_focal(np.array([own * p, other * (1 - p)]), gamma) for p in shares
    )


def focal_of_class(targets, weights, params, n_outputs):
    """By search over the classes' probabilities."""
    return _least_focal(_shares(targets, weights, n_outputs), params[0])


def _least_focal(shares, gamma):
    """The least sum of -share (1 - p)^gamma log(p) over probabilities p."""
    shares = shares[shares > 0]
    if len(shares) < 2:
        return 0.0

    def loss(z):
        log_p = log_softmax(z)
        p, other = np.exp(log_p), -np.expm1(log_p)
        sizes = shares * other**gamma
        by_log_p = sizes * (gamma * p * log_p / other - 1)
        return -sizes @ log_p, by_log_p - p * by_log_p.sum()

    options = {"ftol": 1e-15, "gtol": 1e-10}
    start = np.log(shares / shares.sum())
    return minimize(loss, start, jac=True, method="L-BFGS-B", options=options).fun


def squared_error(targets, weights, params, n_outputs):
    """Half the variances, at the means."""
    return 0.5 * np.sum(_variances(targets, weights))


def gaussian_nll(targets, weights, smallest_variance):
    """At means and variances, but for log(2 pi) / 2 a column."""
    actual = _variances(targets, weights)
    learned = np.maximum(actual, smallest_variance)
    return 0.5 * np.sum(actual / learned + np.log(learned))


def _variances(targets, weights):
    return weights @ (targets - weights @ targets) ** 2


def absolute_error(targets, weights, params, n_outputs):
    """At the medians."""
    return 2 * _pinball_losses(targets, weights, (0.5,))


def quantiles(targets, weights, params, n_outputs):
    """At the quantiles, summed over the levels."""
    return _pinball_losses(targets, weights, params)


def _pinball_losses(targets, weights, levels):
    total = 0.0
    for column in targets.T:
        order = np.argsort(column)
        y, w = column[order], weights[order]
        below = np.cumsum(w)
        for level in levels:
            q = y[min(np.searchsorted(below, level), len(y) - 1)]
            total += w @ np.maximum(level * (y - q), (level - 1) * (y - q))
    return total


def huber(targets, weights, params, n_outputs):
    """By search: there is no closed form."""
    delta = params[0]

    def rule(y, z):
        r = np.abs(y - z)
        return np.where(r > delta, delta * (r - 0.5 * delta), 0.5 * r * r)

    return sum(_least(rule, column, weights) for column in targets.T)


def log_cosh(targets, weights, params, n_outputs):
    """By search: there is no closed form."""

    def rule(y, z):
        r = np.abs(y - z)
        return r + np.log1p(np.exp(-2 * r)) - np.log(2)

    return sum(_least(rule, column, weights) for column in targets.T)


def poisson(targets, weights, params, n_outputs):
    """At the means."""
    means = weights @ targets
    return np.sum(weights @ xlogy(targets, targets) - xlogy(means, means))


def log_loss_of_shares(targets, weights, params, n_outputs):
    """At the means."""
    means = weights @ targets
    return np.sum(weights @ _negative_entropy(targets) - _negative_entropy(means))


def _negative_entropy(shares):
    return xlogy(shares, shares) + xlogy(1 - shares, 1 - shares)


def gamma(targets, weights, params, n_outputs):
    """At the means."""
    return np.sum(np.log(weights @ targets) - weights @ np.log(targets))


def tweedie(targets, weights, params, n_outputs):
    """At the means."""
    power = params[0]
    means = weights @ targets
    difference = weights @ targets ** (2 - power) - means ** (2 - power)
    return np.sum(difference) / ((1 - power) * (2 - power))
