"""Members into one prediction: greedy selection, averages and a temperature."""

import numpy as np
from scipy.optimize import minimize_scalar

_TINY = 1e-12
# The temperature is sought between a tenth and ten.
_LOG_BOUNDS = (np.log(0.1), np.log(10.0))
# Rows from which a temperature can be told from one.
_MIN_ROWS = 50


def greedy_weights(predictions, error, max_picks):
    """Weights of members by greedy selection with repetition.

    Ensemble selection (Caruana, Niculescu-Mizil, Crew and Ksikes, ICML 2004): the
    member that lowers the error of the average most is added, again and again; the
    average that was best on the way is kept.

    Parameters
    ----------
    predictions : ndarray of shape (n_members, ...)
        Predictions of each member for the validation rows.
    error : callable
        Error of an averaged prediction.
    max_picks : int

    Returns
    -------
    ndarray of shape (n_members,)
        Nonnegative, with sum one.
    """
    counts = np.zeros(len(predictions))
    total = np.zeros_like(predictions[0], dtype=np.float64)
    best_error, best_counts = np.inf, counts
    for n_picked in range(1, max_picks + 1):
        errors = [error((total + member) / n_picked) for member in predictions]
        chosen = int(np.argmin(errors))
        counts[chosen] += 1
        total += predictions[chosen]
        if errors[chosen] < best_error:
            best_error, best_counts = errors[chosen], counts.copy()
    return best_counts / best_counts.sum()


def out_of_sample_mean(parts, n_rows):
    """Weighted mean over the members that have not seen a row, row by row.

    Parameters
    ----------
    parts : iterable of (rows, output, weight)
        Validation rows of a member, its outputs for them, and its weight.
    n_rows : int

    Returns
    -------
    rows : ndarray
        Those that a member of positive weight has validated on.
    mean : ndarray of shape (len(rows), ...)
    """
    parts = list(parts)
    total = np.zeros((n_rows, *parts[0][1].shape[1:]))
    mass = np.zeros(n_rows)
    for rows, output, weight in parts:
        total[rows] += weight * output
        mass[rows] += weight
    rows = np.flatnonzero(mass > 0)
    return rows, total[rows] / mass[rows].reshape(-1, *[1] * (total.ndim - 1))


def log_loss_of_few_rows(probabilities, codes, sample_weight=None):
    """Log-loss of smoothed targets, which few rows do not make overconfident.

    Of n rows that are all right the next one may well be wrong, so the true class has
    the target 1 - 1 / (n + 2) and the rest is spread evenly over all classes: the rule
    of succession, as in Platt (1999), "Probabilistic outputs for support vector
    machines".

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
    codes : ndarray of shape (n_samples,)
        Columns of the true classes.
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    float
    """
    logarithms = np.log(np.maximum(probabilities, _TINY))
    smoothing = 1 / (len(codes) + 2)
    true = logarithms[np.arange(len(codes)), codes]
    losses = -(1 - smoothing) * true - smoothing * logarithms.mean(axis=1)
    return np.average(losses, weights=sample_weight)


def fitted_temperature(probabilities, codes, sample_weight=None):
    """The temperature that makes the log-loss least; one where it does not help.

    Temperature scaling (Guo, Pleiss, Sun and Weinberger, ICML 2017), of the logarithms
    of averaged probabilities, by `log_loss_of_few_rows`.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
    codes : ndarray of shape (n_samples,)
        Columns of the true classes.
    sample_weight : ndarray of shape (n_samples,) or None

    Returns
    -------
    float
    """
    if len(codes) < _MIN_ROWS:
        return 1.0

    def loss(log_temperature):
        scaled = with_temperature(probabilities, np.exp(log_temperature))
        return log_loss_of_few_rows(scaled, codes, sample_weight)

    found = minimize_scalar(loss, bounds=_LOG_BOUNDS, method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def with_temperature(probabilities, temperature):
    """Probabilities whose logarithms are divided by a temperature.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_classes)
    temperature : float
    """
    if temperature == 1:
        return probabilities
    logarithms = np.log(np.maximum(probabilities, _TINY)) / temperature
    logarithms -= logarithms.max(axis=1, keepdims=True)
    scaled = np.exp(logarithms)
    return scaled / scaled.sum(axis=1, keepdims=True)
