"""The score of regressions, also of several quantiles."""

import numpy as np
from sklearn.metrics import d2_pinball_score, r2_score


def regression_score(y, predicted, weights, levels):
    """R², or for several quantiles the mean D² of their pinball losses.

    Parameters
    ----------
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    predicted : ndarray
        With a column for each quantile of each target, if there are several.
    weights : ndarray of shape (n_samples,) or None
    levels : sequence of float or None
        Of several quantiles.

    Returns
    -------
    float
    """
    if levels is None:
        return r2_score(y, predicted, sample_weight=weights)
    columns = predicted.reshape(-1, len(levels)).T
    scores = [
        d2_pinball_score(y, column, sample_weight=weights, alpha=level)
        for level, column in zip(levels, columns, strict=True)
    ]
    return float(np.mean(scores))
