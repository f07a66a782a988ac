"""What a picture of intervals is made of: their bounds, and the feature beside them."""

from numbers import Integral

import numpy as np
from scipy import sparse
from scipy.stats import norm
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d


def quantile_intervals(y_pred, levels):
    """Bounds, nominal coverages and the middle column of quantiles."""
    y_pred = check_array(y_pred, dtype=float, input_name="y_pred")
    levels = column_or_1d(levels).astype(float)
    in_range = np.all((levels > 0) & (levels < 1)) and np.all(np.diff(levels) > 0)
    if len(levels) < 2 or not in_range:
        raise ValueError(
            "quantile must have two or more ascending levels in (0, 1), got "
            f"{levels.tolist()}."
        )
    if y_pred.shape[1] != len(levels):
        raise ValueError(
            f"y_pred has {y_pred.shape[1]} columns, but quantile has {len(levels)} "
            "levels."
        )
    n_intervals = len(levels) // 2
    low = np.arange(n_intervals)
    high = len(levels) - 1 - low
    center = y_pred[:, n_intervals] if len(levels) % 2 else None
    return y_pred[:, low], y_pred[:, high], levels[high] - levels[low], center


def normal_intervals(y_pred, std, coverage):
    """Bounds, nominal coverages and means of normal distributions."""
    if np.ndim(y_pred) == 2 and np.shape(y_pred)[1] > 1:
        raise ValueError(
            f"y_pred has {np.shape(y_pred)[1]} targets: pass one column of y_pred and "
            "std to PredictionIntervalDisplay.from_predictions."
        )
    y_pred = column_or_1d(y_pred).astype(float)
    std = column_or_1d(std).astype(float)
    check_consistent_length(y_pred, std)
    levels = np.sort(np.atleast_1d(np.asarray(coverage, dtype=float)))[::-1]
    if not np.all((levels > 0) & (levels < 1)):
        raise ValueError(f"coverage must be in (0, 1), got {coverage!r}.")
    reach = std[:, np.newaxis] * norm.ppf((1 + levels) / 2)
    center = y_pred[:, np.newaxis]
    return center - reach, center + reach, levels, y_pred


def feature_values(X, feature):
    """Values and name of the feature to draw against, or None for the rank."""
    n_features = X.shape[1] if hasattr(X, "shape") else np.shape(X)[1]
    if feature is None and n_features > 1:
        return None, None
    feature = 0 if feature is None else feature
    names = [str(name) for name in getattr(X, "columns", [])]
    is_index = isinstance(feature, Integral) and not isinstance(feature, bool)
    known = -n_features <= feature < n_features if is_index else feature in names
    if not known:
        raise ValueError(
            f"feature={feature!r} is none of X, which has {n_features} features"
            + (f": {', '.join(names)}." if names else " without names.")
        )
    if is_index:
        name = names[feature] if names else f"x{int(feature) % n_features}"
    else:
        name = str(feature)
    if sparse.issparse(X):
        values = X.tocsc()[:, [feature]].toarray().ravel()
    else:
        X = X if names else np.asarray(X)
        values = np.asarray(_safe_indexing(X, feature, axis=1))
    if values.dtype.kind not in "biufM":
        raise ValueError(
            f"feature={feature!r} must be numeric to be drawn against, got values of "
            f"dtype {values.dtype}."
        )
    return values.astype(float) if values.dtype.kind == "b" else values, name
