"""Suggestions for values of parameters that are not allowed."""

import inspect
import math
import re
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils._param_validation import Interval, StrOptions

from skmlp.estimators.names import name_of, nearest, of_option
from skmlp.rules import aliases
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import (
    BINARY_LOSSES,
    LABEL_SMOOTHING,
    QUANTILE,
    REGRESSION_LOSSES,
)

# Shares that others give in per cent.
_SHARES = {"dropout", "validation_fraction", LABEL_SMOOTHING.name, QUANTILE.name}


def of_value(estimator, parameter, value):
    """The sentence about a parameter's value that is not allowed, or ''."""
    of_parameter = _SPECIAL.get(parameter, _nothing)(estimator, value)
    return (
        of_parameter
        or _of_number(estimator, parameter, value)
        or _of_name(estimator, parameter, value)
    )


def _nothing(estimator, value):
    """No sentence."""
    return ""


def _of_name(estimator, parameter, value):
    constraints = estimator._parameter_constraints[parameter]
    options = [
        option
        for constraint in constraints
        if isinstance(constraint, StrOptions)
        for option in constraint.options
    ]
    return of_option(parameter, value, options)


def _of_number(estimator, parameter, value):
    """The sentence about a number of another kind than the parameter's."""
    intervals = [
        constraint
        for constraint in estimator._parameter_constraints[parameter]
        if isinstance(constraint, Interval)
    ]

    def allowed(number):
        return any(interval.is_satisfied_by(number) for interval in intervals)

    if isinstance(value, str):
        if value in ("True", "False", "None"):
            return f"Write it without quotes: {parameter}={value}."
        number = _parsed(value)
        if number is not None and allowed(number):
            return f"Write the number without quotes: {parameter}={number}."
        return ""
    if not _is_number(value) or not math.isfinite(value):
        return ""
    if not isinstance(value, Integral) and value == int(value) and allowed(int(value)):
        return f"Write it as an integer: {parameter}={int(value)}."
    if parameter in _SHARES and 2 <= value <= 100 and allowed(value / 100):
        return f"It is a share, not per cent: {parameter}={value / 100:g}."
    return ""


def _is_number(value, kind: Any = Real):
    return isinstance(value, kind) and not isinstance(value, bool)


def _parsed(text):
    """The number that a text is, or None."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _of_learning_rate(estimator, value):
    rate = _parsed(value) if isinstance(value, str) else value
    if not _is_number(rate):
        return ""
    return f"The rate itself is learning_rate_init={rate!r}; this is its schedule."


def _is_sizes(value):
    return _is_number(value, Integral) or isinstance(value, list | tuple | np.ndarray)


def _of_loss(estimator, value):
    if is_regressor(estimator) and _is_sizes(value):
        return (
            f"The first positional argument of {type(estimator).__name__} is loss: "
            f"write hidden_layer_sizes={value!r}."
        )
    names = [
        {row.name for row in table.values()}
        for table in (BINARY_LOSSES, REGRESSION_LOSSES)
    ]
    ours, theirs = names if is_classifier(estimator) else names[::-1]
    found = nearest(name_of(value), {*ours, *theirs}, aliases.ALIASES["loss"])
    if found is None or found in ours:
        return ""
    if is_classifier(estimator):
        return f"{found!r} is a loss of regression: use MLPRegressor."
    return f"{found!r} is a loss of classification: use MLPClassifier."


def _of_activation(estimator, value):
    if _is_number(value, Integral):
        sizes = np.ravel(estimator.hidden_layer_sizes)
        return (
            "The sizes of all layers are one argument: hidden_layer_sizes="
            f"({', '.join(map(str, (*sizes, value)))})."
        )
    return ""


def _of_sizes(estimator, value):
    if not isinstance(value, str):
        return ""
    if nearest(value, ACTIVATIONS) is not None:
        return (
            f"{value!r} is an activation: name the arguments, as in hidden_layer_sizes="
            f"(100,), activation={value!r}."
        )
    sizes = [_parsed(part) for part in re.findall("[^ ,()\\[\\]]+", value)]
    if sizes and all(isinstance(size, int) for size in sizes):
        numbers = ", ".join(map(str, sizes))
        return f"Write hidden_layer_sizes=({numbers}{',' * (len(sizes) == 1)})."
    return ""


def _of_early_stopping(estimator, value):
    if _is_number(value, Integral) and value > 1:
        return f"Epochs without improvement are n_iter_no_change={value}."
    return ""


def _of_max_time(estimator, value):
    seconds = re.fullmatch(r"(\d+) *(s|sec|seconds)", str(value))
    return f"It is in seconds: max_time={seconds[1]}." if seconds else ""


def _of_class_weight(estimator, value):
    if isinstance(value, str):
        return ""
    return "Weights are by label: class_weight={0: 1.0, 1: 5.0}."


def _of_device(estimator, value):
    if _is_number(value, Integral) and value >= 0:
        return f"Did you mean device='cuda:{value}'?"
    by_index = re.fullmatch(r"(gpu|cuda)[: ]?(\d+)", str(value).lower())
    return f"Did you mean device='cuda:{int(by_index[2])}'?" if by_index else ""


_SPECIAL = {
    "learning_rate": _of_learning_rate,
    "loss": _of_loss,
    "activation": _of_activation,
    "hidden_layer_sizes": _of_sizes,
    "early_stopping": _of_early_stopping,
    "max_time": _of_max_time,
    "class_weight": _of_class_weight,
    "device": _of_device,
}


def check_scorer(scoring):
    """Refuse a metric as a scorer.

    Raises
    ------
    ValueError
    """
    if isinstance(scoring, str):
        return
    try:
        parameters = [*inspect.signature(scoring).parameters.values()]
    except (TypeError, ValueError):
        return
    needed = [
        parameter
        for parameter in parameters
        if parameter.kind is not parameter.KEYWORD_ONLY
        and parameter.default is parameter.empty
    ]
    kinds = {parameter.kind for parameter in parameters}
    positional = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY}
    first = parameters[0].name if parameters else ""
    is_metric = first in ("y_true", "y", "true", "target") or (
        len(needed) == 2 and len(parameters) == 2 and not kinds & positional
    )
    if not is_metric:
        return
    name = getattr(scoring, "__name__", repr(scoring))
    known = [
        key
        for key in get_scorer_names()
        if getattr(get_scorer(key), "_score_func", None) is scoring
    ]
    by_name = f"scoring={known[0]!r} or " if known else ""
    raise ValueError(
        f"scoring={name} is a metric of two arrays, but a scorer is called with "
        f"(estimator, X, y). Pass {by_name}"
        f"scoring=sklearn.metrics.make_scorer({name})."
    )
