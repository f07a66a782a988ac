"""Class weights: factors of rows, asked about the classes, not about the rows at hand.

A chunk of `partial_fit`, a fold, or data to look at may lack a class that has a weight.
So the weights belong to the estimator's labels, and the rows only look them up. A key
of `class_weight` that is no label cannot always be told from a class that a fold lacks:
what cannot be a class is an error, what may be one in other data is a warning.
"""

import difflib
import warnings

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight

from skmlp.call_site import user_stacklevel

# Labels that a message lists.
_MAX_LISTED = 10


def class_factors(class_weight, labels, y):
    """The factor by which the class weights multiply each row's weight.

    Parameters
    ----------
    class_weight : dict, list of dicts or 'balanced'
        'balanced' balances the classes over the rows of `y`.
    labels : skmlp.estimators.labels.Labels
    y : ndarray or scipy.sparse CSR
        Validated; its classes are among the labels.

    Returns
    -------
    ndarray of float64 of shape (n_samples,)

    Raises
    ------
    ValueError
        For weights that are negative or not finite, and for keys that are no class.
    """
    columns = list(labels.columns(y))
    if isinstance(class_weight, str):
        parts = [class_weight] * len(columns)
    elif labels.one_column:
        parts = [_one_dict(class_weight)]
    else:
        parts = _by_column(class_weight, len(columns))
    factors = np.ones(y.shape[0])
    for i, (values, classes) in enumerate(columns):
        name = "class_weight" if labels.one_column else f"class_weight[{i}]"
        if isinstance(parts[i], str):
            factors *= compute_sample_weight(parts[i], values)
        elif isinstance(parts[i], dict):
            weights = _weights(parts[i], classes, name, are_all=labels.multilabel)
            factors *= weights[np.searchsorted(classes, values)]
        elif parts[i] is not None:
            raise ValueError(_no_dict(parts[i], labels, name))
    if not np.isfinite(factors).all():
        raise _bad_weights(class_weight)
    return factors


def check_declared(class_weight, labels):
    """Refuse keys that are none of the classes that the user has declared.

    Parameters
    ----------
    class_weight : dict, list of dicts or None
    labels : skmlp.estimators.labels.Labels

    Raises
    ------
    ValueError
    """
    if isinstance(class_weight, dict) and labels.one_column:
        _weights(class_weight, labels.classes, "class_weight", are_all=True)


def is_balanced(class_weight):
    """Whether the weights depend on the shares of the classes, in any column."""
    parts = class_weight if isinstance(class_weight, list) else [class_weight]
    return any(isinstance(part, str) for part in parts)


def _by_column(class_weight, n_columns):
    """The list of weights that a target of several columns needs."""
    if isinstance(class_weight, dict):
        raise ValueError(
            f"class_weight={class_weight!r} is one dict, but y has {n_columns} columns "
            "of labels: pass a list with a dict for each column, such as "
            f"[{class_weight!r}] * {n_columns}."
        )
    if len(class_weight) != n_columns:
        raise ValueError(
            f"class_weight has {len(class_weight)} elements, but y has {n_columns} "
            "columns of labels: pass a dict for each."
        )
    return class_weight


def _no_dict(weights, labels, name):
    """The sentence about what stands for a column and is no dict."""
    if not labels.multilabel:
        return f"{name} must be a dict of weights by label, got {weights!r}."
    return (
        f"{name} must be a dict of weights by label, 0 or 1, got {weights!r}: "
        f"a weight for the rows that have the label is {{1: {weights!r}}}."
    )


def _one_dict(class_weight):
    if isinstance(class_weight, dict):
        return class_weight
    advice = "pass a dict of weights by label"
    if not any(isinstance(part, dict) for part in class_weight):
        advice += f", such as {dict(enumerate(class_weight))}"
    raise ValueError(
        f"class_weight={class_weight!r} is a list, which is for targets of several "
        f"columns of labels; y has one: {advice}."
    )


def _weights(by_label, classes, name, *, are_all=False):
    """The weight of each class, one where `by_label` has none.

    `are_all` says that there are no other classes, in no other data either.
    """
    try:
        given = [float(weight) for weight in by_label.values()]
    except (TypeError, ValueError):
        raise _bad_weights(by_label, name) from None
    if not all(weight >= 0 and np.isfinite(weight) for weight in given):
        raise _bad_weights(by_label, name)
    _check_keys(by_label, classes.tolist(), name, are_all=are_all)
    values = dict(zip(by_label, given, strict=True))
    return np.array([values.get(label, 1.0) for label in classes.tolist()])


def _bad_weights(class_weight, name="class_weight"):
    return ValueError(f"{name} must have finite weights >= 0, got {class_weight!r}.")


def _check_keys(by_label, labels, name, *, are_all):
    """An error for keys that cannot be classes, a warning for those that may be."""
    known = set(labels)
    unknown = [_plain(key) for key in by_label if key not in known]
    if not unknown:
        return
    kinds = set(map(_kind, labels))
    others = [key for key in unknown if _kind(key) not in kinds]
    if others:
        raise ValueError(_of_another_type(others, labels, name))
    message = _no_class(unknown, labels, name)
    if are_all or _leaves_gap(unknown, labels):
        raise ValueError(message)
    # A dict that names every class of y may well be made for other data, too.
    if any(label not in by_label for label in labels):
        warnings.warn(
            f"{message} The weight has no effect on this fit, as is right for a fold "
            "without the class.",
            UserWarning,
            stacklevel=user_stacklevel(),
        )


def _leaves_gap(unknown, labels):
    """Whether the labels count without a gap, and with the unknown keys do not.

    Of the classes 0, 1, 2 a fold may lack the last one, but 7 is none of them.
    """
    numbers = {*labels, *unknown}
    if len(labels) < 2 or not all(map(_is_integer, numbers)):
        return False
    return _count_on(set(labels)) and not _count_on(numbers)


def _is_integer(label):
    return isinstance(label, int | float) and float(label).is_integer()


def _count_on(numbers):
    return max(numbers) - min(numbers) + 1 == len(numbers)


def _of_another_type(keys, labels, name):
    """The sentence about keys whose type is not that of the labels."""
    by_name = {str(label): label for label in labels}
    advice = f"; the labels are {_listed(labels)}."
    if all(str(key) in by_name for key in keys):
        pairs = [f"{by_name[str(key)]!r} for {key!r}" for key in keys]
        advice = f": write {', '.join(pairs)}."
    return (
        f"Keys of {name} are of type {_types(keys)}, but the labels in y are of type "
        f"{_types(labels)}{advice}"
    )


def _no_class(keys, labels, name):
    """The sentence about keys that are no class."""
    listed = ", ".join(map(repr, keys))
    one = len(keys) == 1
    message = (
        f"{name} has {'a weight' if one else 'weights'} for {listed}, but {listed} "
        f"{'is no class' if one else 'are no classes'} of y, which has "
        f"{_listed(labels)}."
    )
    names = [label for label in labels if isinstance(label, str)]
    near = [
        repr(match)
        for key in keys
        if isinstance(key, str)
        for match in difflib.get_close_matches(key, names, n=1)
    ]
    return f"{message} Did you mean {', '.join(near)}?" if near else message


def _listed(labels):
    shown = ", ".join(map(repr, labels[:_MAX_LISTED]))
    return f"[{shown}{', ...' if len(labels) > _MAX_LISTED else ''}]"


def _plain(key):
    """A key without its NumPy type."""
    return key.item() if isinstance(key, np.generic) else key


def _kind(label):
    """A label's type, all numbers being of one: those that are equal are one label."""
    return int if isinstance(label, int | float) else type(label)


def _types(labels):
    return " and ".join(sorted({type(label).__name__ for label in labels}))
