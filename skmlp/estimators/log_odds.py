"""Log-odds of each class against all others, from the inputs of a softmax.

The inputs of a softmax are determined up to a number per row: a column of them cannot
be compared between rows, which calibration, thresholds and rankings by class do.
"""

import numpy as np


def log_odds(z):
    """log(p / (1 - p)) for p = softmax(z), computed from z.

    That is z_k - log(sum of exp(z_j) for all j but k).

    Parameters
    ----------
    z : ndarray of shape (n_samples, n_classes)
        Two classes at least.

    Returns
    -------
    ndarray of shape (n_samples, n_classes)
        Finite for finite `z`; the largest of a row is where that of `z` is.
    """
    rows, best = np.arange(len(z)), z.argmax(axis=1)
    largest = z[rows, best]
    # A difference that overflows becomes the largest number.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        powers = np.exp(z - largest[:, np.newaxis])
        # The others' sum without the largest, which is one: nothing cancels.
        powers[rows, best] = 0
        rest = np.maximum(powers.sum(axis=1, keepdims=True) - powers, 0)
        odds = z - largest[:, np.newaxis] - np.log1p(rest)
        others = z.copy()
        others[rows, best] = -np.inf
        second = others.max(axis=1)
        powers = np.exp(others - second[:, np.newaxis])
        of_best = largest - second - np.log(powers.sum(axis=1))
    limit = np.finfo(z.dtype).max
    of_best = np.clip(of_best, -limit, limit)
    # Rounding must not make a class equal to a likelier one.
    below = np.nextafter(of_best, -np.inf)[:, np.newaxis]
    odds = np.where(z < largest[:, np.newaxis], np.minimum(odds, below), odds)
    odds[rows, best] = of_best
    return np.clip(odds, -limit, limit)
