"""Held-out data: the split for early stopping, and data that look mistaken.

scikit-learn's split fails where a class has a single row or where the held-out rows are
fewer than the classes. Here a fit goes on, with a split that is not stratified or that
leaves such rows in the training data.
"""

import inspect
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.model_selection import train_test_split

from skmlp.call_site import user_stacklevel
from skmlp.estimators.gpu_arrays import GpuArray
from skmlp.exceptions import ValidationWarning

# Rows of X and of X_val that are compared.
_MAX_ROWS = 1000
# The range of fewer training rows says little about X.
_MIN_ROWS = 20
# Elements of X that are compared: fewer rows of a wide X.
_MAX_ELEMENTS = 1 << 18
# Distances from the range of X, in its widths. A trend leads to the first where the
# validation data span a time that is four times as long as that of the training data,
# but in few columns. The second is far in a single column.
_FAR = 2.0
_VERY_FAR = 10.0
# Distances between quartiles, which outliers leave alone, of y and of a scaled y_val.
_OTHER_SPREAD = 30.0
_QUARTILES = (0.25, 0.75)
_MAX_NAMED = 3


def split_rows(estimator, sample, generator):
    """Indices of the rows to train on and of those to score, for early stopping.

    Parameters
    ----------
    estimator : BaseMLP
    sample : Sample
    generator : numpy.random.RandomState

    Returns
    -------
    train, held_out : ndarray of int64

    Raises
    ------
    ValueError
        If less than two rows are held out or none is left to train on.
    """
    row_ids, fraction = sample.row_ids, estimator.validation_fraction
    _check_size(len(row_ids), fraction)
    classes = estimator._stratify(sample.targets[row_ids])
    if classes is None:
        return train_test_split(row_ids, random_state=generator, test_size=fraction)
    _, classes = np.unique(classes.ravel(), return_inverse=True)
    split = stratified_split(row_ids, classes, fraction, generator)
    if split is not None:
        return split
    train, held_out = train_test_split(
        np.arange(len(row_ids)), random_state=generator, test_size=fraction
    )
    train, held_out = _with_all_classes(train, held_out, classes)
    return row_ids[train], row_ids[held_out]


def stratified_split(row_ids, classes, fraction, generator):
    """A split with the same fractions of all classes that can be split.

    Parameters
    ----------
    row_ids : ndarray
    classes : ndarray like row_ids
        Codes of the rows' classes, from 0.
    fraction : float
        Of the rows to hold out.
    generator : numpy.random.RandomState

    Returns
    -------
    train, held_out : ndarray
        Rows of a class of one row are trained on. None in place of both where the
        held-out rows, or the others, would be fewer than the classes.
    """
    counts = np.bincount(classes)
    can_be_split = counts[classes] > 1
    n_rows, n_classes = int(np.sum(can_be_split)), int(np.sum(counts > 1))
    n_held_out = int(np.ceil(fraction * n_rows))
    if n_held_out < max(n_classes, 2) or n_rows - n_held_out < n_classes:
        return None
    train, held_out = train_test_split(
        row_ids[can_be_split],
        random_state=generator,
        test_size=fraction,
        stratify=classes[can_be_split],
    )
    return np.concatenate([train, row_ids[~can_be_split]]), held_out


def _with_all_classes(train, held_out, classes):
    """Move a held-out row of each class that the training rows lack to them.

    Not where less than two held-out rows would be left.
    """
    found, first = np.unique(classes[held_out], return_index=True)
    moved = first[~np.isin(found, classes[train])]
    if len(held_out) - len(moved) < 2:
        return train, held_out
    return np.append(train, held_out[moved]), np.delete(held_out, moved)


def _check_size(n_rows, fraction):
    """Refuse a split without rows to train on or with less than two to score."""
    n_held_out = int(np.ceil(fraction * n_rows))
    if 2 <= n_held_out < n_rows:
        return
    problem = "large" if n_held_out >= n_rows else "small"
    change = "Decrease" if problem == "large" else "Increase"
    raise ValueError(
        f"early_stopping=True holds out {n_held_out} of {n_rows} rows, by "
        f"validation_fraction={fraction}. The validation set is too {problem}. "
        f"{change} 'validation_fraction' or the size of your dataset, or pass X_val "
        "and y_val."
    )


def warn_of_whole_rows(estimator):
    """Warn that the score of early stopping is the accuracy of whole rows.

    Parameters
    ----------
    estimator : BaseMLP
        After the validation of the training data.
    """
    labels = getattr(estimator, "_labels", None)
    if labels is None or labels.one_column:
        return
    if estimator.early_stopping and estimator.scoring is None:
        kind = "a multilabel target" if labels.multilabel else "several columns"
        warnings.warn(
            f"early_stopping=True with scoring=None judges {kind} by the "
            "fraction of rows all of whose labels are right, as scikit-learn does, "
            "which often stops too early. Pass scoring='loss', or scoring='accuracy' "
            "to keep this rule without the warning.",
            ValidationWarning,
            stacklevel=user_stacklevel(),
        )


def warn_of_other_units(estimator, sample, held_out):
    """Warn of validation data that look as if not transformed like the training data.

    Parameters
    ----------
    estimator : BaseMLP
        After the validation of all data.
    sample, held_out : Sample
        Training data, and the user's validation data. Of processes that train
        together some may have none of the latter.
    """
    if len(held_out.targets) == 0:
        return
    # The columns of sparse data are mostly zero: their other elements are compared.
    nonzero = sparse.issparse(sample.x) or sparse.issparse(held_out.x)
    far = _far_columns(*(_some_rows(data, nonzero) for data in (sample, held_out)))
    if far:
        names = getattr(estimator, "feature_names_in_", None)
        if nonzero:
            names = ["nonzero elements"]
        routed = [
            name
            for name in ("X_val", "y_val")
            if name in inspect.signature(estimator.fit).parameters
        ]
        requests = ", ".join(f"{name}=True" for name in routed)
        warnings.warn(
            "Most rows of X_val lie far outside the range of X: "
            f"{_listed(far, names)}. A Pipeline transforms X, but not X_val, unless it "
            'is made with transform_input=["X_val"] and routes '
            f"{' and '.join(routed)}: "
            "sklearn.set_config(enable_metadata_routing=True) and "
            f"{type(estimator).__name__}().set_fit_request({requests}). "
            "Outside of a Pipeline, scale X_val like X.",
            ValidationWarning,
            stacklevel=user_stacklevel(),
        )
    if not is_regressor(estimator):
        return
    y, y_val = (_some_targets(data) for data in (sample, held_out))
    far = _far_columns(y, y_val)
    if far:
        finding = f"Most of y_val lies far outside the range of y: {_listed(far, None)}"
    elif _is_scaled_only(y_val, y):
        finding = (
            "y_val looks as if it were scaled, unlike y: standard deviations of "
            f"{_numbers(y_val.std(axis=0))} in y_val and {_numbers(y.std(axis=0))} in y"
        )
    else:
        return
    warnings.warn(
        f"{finding}. Pass y_val in the units of y: TransformedTargetRegressor "
        "transforms y, but not y_val; scale_target=True scales both.",
        ValidationWarning,
        stacklevel=user_stacklevel(),
    )


def _some_rows(data, nonzero):
    """Some rows of X as an array, or their nonzero elements as a column."""
    x = data.x
    if isinstance(x, GpuArray):
        return None  # Its statistics would need a kernel of their own.
    n_rows = min(_MAX_ROWS, max(_MIN_ROWS, _MAX_ELEMENTS // x.shape[1]))
    rows = x[_evenly(data, n_rows)]
    if not nonzero:
        return rows
    elements = rows.data if sparse.issparse(rows) else rows[rows != 0]
    return elements.reshape(-1, 1)


def _some_targets(data):
    """Some rows of y, in the user's units."""
    y = data.y[_evenly(data, _MAX_ROWS)]
    return y.reshape(len(y), -1).astype(np.float64)


def _evenly(data, n_rows):
    """Indices of at most `n_rows` rows of positive weight, evenly spaced."""
    row_ids = data.row_ids
    if row_ids is None:
        row_ids = np.arange(len(data.targets))
    chosen = np.linspace(0, len(row_ids) - 1, min(n_rows, len(row_ids)))
    return row_ids[chosen.astype(np.int64)]


def _is_scaled_only(y_val, y):
    """Whether all columns of y_val look standardized, and one of y is far from it."""
    if min(len(y_val), len(y)) < _MIN_ROWS or y_val.shape[1] != y.shape[1]:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        means, spreads = y_val.mean(axis=0), y_val.std(axis=0)
        middle, other = (
            np.ptp(np.quantile(values, _QUARTILES, axis=0), axis=0)
            for values in (y_val, y)
        )
    is_standard = (np.abs(means) < 1) & (spreads > 1 / 3) & (spreads < 3)
    is_wider = (middle > 0) & (other > _OTHER_SPREAD * middle)
    return bool(np.all(is_standard) and np.any(is_wider))


def _numbers(values):
    return ", ".join(f"{value:.3g}" for value in values[:_MAX_NAMED])


def _far_columns(here, there):
    """Columns of which most elements are far outside: (column, low, high, middle).

    Parameters
    ----------
    here, there : ndarray of shape (n_rows, n_columns) or None
        Training and validation data.

    Returns
    -------
    list of tuples
        Empty if a single one of several columns is not very far.
    """
    if here is None or there is None or here.shape[1] != there.shape[1]:
        return []
    if len(here) < _MIN_ROWS or len(there) == 0:
        return []
    low, high = here.min(axis=0), here.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        width = high - low
        distances = np.maximum(low - there, there - high)
        is_far = np.mean(distances > _FAR * width, axis=0) > 0.5
    # Of a column that is constant in X nothing is known about its spread.
    varying = width > 0
    far = np.flatnonzero(varying & is_far)
    if len(far) == 0:
        return []
    widths = np.median(distances[:, far], axis=0) / width[far]
    if len(far) < min(2, int(np.sum(varying))) and widths.max() <= _VERY_FAR:
        return []
    farthest = far[np.argsort(-widths, kind="stable")]
    middle = np.median(there[:, farthest], axis=0)
    return [*zip(farthest, low[farthest], high[farthest], middle, strict=True)]


def _listed(far, names):
    """The farthest columns with their ranges, as words."""
    parts = [
        f"{f'column {column}' if names is None else names[column]} (median "
        f"{middle:.3g}, in training from {low:.3g} to {high:.3g})"
        for column, low, high, middle in far[:_MAX_NAMED]
    ]
    more = len(far) - len(parts)
    return ", ".join(parts) + (f" and {more} more columns" if more > 0 else "")
