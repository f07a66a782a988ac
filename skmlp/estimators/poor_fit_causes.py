"""Likely causes of a poor fit: a sentence each, with the cure.

Looked for only when a fit is poor, so these may take their time.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier, is_regressor

from skmlp.estimators.gpu_arrays import GpuArray
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.rules.target_range import target_range

_MAX_NAMES = 3
# Root mean squares and standard deviations of columns that trouble a training.
_LARGE, _SMALL, _RATIO = 30.0, 0.03, 1000.0
# The same of a target.
_LARGE_TARGET, _SMALL_TARGET = 10.0, 0.1
# A rate beyond which the steps of any solver are too large for data that are scaled.
_LARGE_RATE = 1.0
# A loss that ends so far above its minimum has risen.
_RISE = 1.5


class Fit(NamedTuple):
    """A poor fit: the estimator, and some training rows with their raw outputs."""

    estimator: Any
    network: Any
    result: Any
    x: Any
    targets: np.ndarray
    raw: Any


def likely_causes(fit):
    """What is conspicuous about data and rate, as sentences; empty if nothing is."""
    rate = _learning_rate(fit)
    return data_causes(fit) + ([] if rate is None else [rate])


def data_causes(fit):
    """What is conspicuous about the data alone, as sentences."""
    causes = (_features(fit), _target(fit))
    return [sentence for sentence in causes if sentence is not None]


def accompanying(fit):
    """What else is to be said: how it shows, and that the training had not ended."""
    facts = (_single_class(fit), _limit(fit))
    return [sentence for sentence in facts if sentence is not None]


def _single_class(fit):
    if not is_classifier(fit.estimator):
        return None
    labels = fit.estimator._labels
    if not labels.one_column or not np.isfinite(fit.raw).all():
        return None
    predicted = np.unique(labels.decode(fit.raw))
    if len(predicted) > 1:
        return None
    return f"It predicts class {predicted.tolist()[0]!r} for all rows."


def _features(fit):
    if isinstance(fit.x, GpuArray):
        return None
    means, spreads = column_moments(fit.x)
    sizes = np.hypot(means, spreads)
    varied = np.flatnonzero(spreads > 0)
    if len(varied) == 0:
        return "All features are constant."
    low, high = spreads[varied].min(), spreads[varied].max()
    cure = "Scale them: make_pipeline(StandardScaler(), ...)."
    if high < _SMALL:
        return f"The largest standard deviation of a feature is {high:.2g}. {cure}"
    if high > _RATIO * low and high > 1:
        least = varied[np.argmin(spreads[varied])]
        names = names_of(fit.estimator, spreads, spreads >= high / 10)
        return (
            f"Features differ in scale: standard deviations go from {low:.2g} "
            f"({_name(fit.estimator, least)}) to {high:.2g} ({names}). {cure}"
        )
    if sizes.max() > _LARGE:
        worst = int(np.argmax(sizes))
        names = names_of(fit.estimator, sizes, sizes >= max(_LARGE, sizes.max() / 10))
        return (
            f"Features are far from mean 0 and standard deviation 1, above all "
            f"{names}: up to mean {means[worst]:.2g} and standard deviation "
            f"{spreads[worst]:.2g}. {cure}"
        )
    return None


def column_moments(x):
    """Means and standard deviations of the columns of dense or sparse x."""
    x = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(x, np.ndarray):
            return x.mean(axis=0), x.std(axis=0)
        means = np.asarray(x.mean(axis=0)).ravel()
        squares = np.asarray(x.power(2).mean(axis=0)).ravel()
        return means, np.sqrt(np.maximum(squares - means**2, 0.0))


def _name(estimator, column):
    names = getattr(estimator, "feature_names_in_", None)
    return f"column {column}" if names is None else repr(str(names[column]))


def names_of(estimator, sizes, chosen):
    """The names of the chosen columns, the largest first, and not all of many."""
    columns = [i for i in np.argsort(-sizes) if chosen[i]]
    names = ", ".join(_name(estimator, i) for i in columns[:_MAX_NAMES])
    others = len(columns) - _MAX_NAMES
    return names if others <= 0 else f"{names} and {others} more"


def _target(fit):
    return _about_target(fit.estimator, fit.network, fit.targets)


def _about_target(estimator, network, targets):
    if not is_regressor(estimator):
        return None
    low, high = target_range(network.loss)
    if np.mean((targets < low) | (targets > high)) > 0.5:
        return (
            f"Most of y lies outside of the range from {low:.3g} to {high:.3g} of "
            f"out_activation={network.output!r}: choose another."
        )
    if estimator.target_scale_ is not None:
        return None
    targets = targets.astype(np.float64)
    if low == 0.0 and np.isinf(high):
        return _about_sizes(np.abs(targets).mean(axis=0))
    means, spreads = targets.mean(axis=0), targets.std(axis=0)
    if np.isfinite(low) and np.isfinite(high):
        return _about_part_of_range(means, spreads, (low, high), network.output)
    # How far a column is from mean 0 and standard deviation 1, in orders of magnitude.
    sizes = np.hypot(means, spreads)
    with np.errstate(divide="ignore"):
        distances = np.maximum(np.abs(np.log10(sizes)), np.abs(np.log10(spreads)))
    worst = int(np.argmax(distances))
    if sizes[worst] <= _LARGE_TARGET and spreads[worst] >= _SMALL_TARGET:
        return None
    return (
        f"{_column(worst, means)} has mean {means[worst]:.3g} and standard deviation "
        f"{spreads[worst]:.3g}, far from 0 and 1. {_cure(low, high)}"
    )


def _about_sizes(means):
    """What is said of targets that can only be divided."""
    with np.errstate(divide="ignore"):
        worst = int(np.argmax(np.abs(np.log10(means))))
    if _SMALL_TARGET <= means[worst] <= _LARGE_TARGET:
        return None
    return (
        f"{_column(worst, means)} has mean {means[worst]:.3g}, far from 1. "
        "scale_target=True divides it by its mean."
    )


def _about_part_of_range(means, spreads, bounds, output):
    """What is said of targets of outputs between two bounds."""
    low, high = bounds
    worst = int(np.argmin(spreads))
    if spreads[worst] >= _SMALL * (high - low):
        return None
    return (
        f"{_column(worst, means)} has mean {means[worst]:.3g} and standard deviation "
        f"{spreads[worst]:.3g}, a small part of the range from {low:.3g} to "
        f"{high:.3g} of out_activation={output!r}. Scale y to that range: "
        f"TransformedTargetRegressor(..., transformer=MinMaxScaler(({low:.3g}, "
        f"{high:.3g})))."
    )


def _column(worst, columns):
    return "y" if len(columns) == 1 else f"Column {worst} of y"


def _cure(low, high):
    """How targets get mean 0 and standard deviation 1."""
    if np.isinf(low) and np.isinf(high):
        return "Scale it: scale_target=True."
    return "Scale it: TransformedTargetRegressor(..., transformer=StandardScaler())."


def has_unfinished_target(estimator, network, result, targets):
    """Whether the target is not scaled and the loss still fell at the last epoch."""
    return (
        still_falls(estimator, result)
        and _about_target(estimator, network, targets) is not None
    )


def _learning_rate(fit):
    estimator, outcome = fit.estimator, fit.result.outcome
    if estimator.solver not in STOCHASTIC_SOLVERS:
        return None
    rate = estimator.learning_rate_init
    curve = np.asarray(fit.result.history.loss_curve[-outcome.n_iter :])
    finite = curve[np.isfinite(curve)]
    rises = len(finite) < len(curve) or curve[-1] > _RISE * finite.min() > 0
    if rises or rate > _LARGE_RATE:
        did = "The loss rose during training. " if rises else ""
        return f"{did}learning_rate_init={rate:g} may be too large: lower it."
    return None


def _limit(fit):
    if not still_falls(fit.estimator, fit.result):
        return None
    return (
        f"The loss was still falling after max_iter={fit.estimator.max_iter}: raise "
        "it, or learning_rate_init."
    )


def still_falls(estimator, result):
    """Whether `max_iter` has ended a training that was improving."""
    n_iter = result.outcome.n_iter
    curve = result.history.loss_curve[-n_iter:]
    return n_iter >= estimator.max_iter and curve[-1] <= min(curve)
