"""The warning of parameters that have no effect beside the others.

Which solver, schedule or loss reads a parameter follows from what the rows of the
tables declare; only parameters of no row are listed here.
"""

import inspect
import warnings

import numpy as np

from skmlp.call_site import is_silent, user_stacklevel
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS, rule_parameters
from skmlp.exceptions import IneffectiveParameterWarning
from skmlp.rules import schedules
from skmlp.rules.activations import Activation
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.parameters import is_default
from skmlp.rules.schedules import Position, effective_schedule

# Parameters by which rows of a table are chosen, and what else only they need.
_SELECTORS = ("solver", "learning_rate", "loss")
_STOCHASTIC_ONLY = (
    "learning_rate",
    "learning_rate_init",
    "batch_size",
    "shuffle",
    "sampling",
    "warmup_epochs",
    "learning_rate_factors",
    "bias_learning_rate_factor",
)
_EMBEDDING_ONLY = ("n_bins", "embedding_dim", "embedding_learning_rate_factor")
# Schedules of strengths that are zero by default.
_STRENGTHS = {"weight_decay_schedule": "weight_decay", "dropout_schedule": "dropout"}
_HIDDEN_ONLY = ("activation", "dropout", "normalization")
# Steps an epoch: what acts only in the last step of many has an effect.
_MANY_STEPS = 1_000_000


def warn_of_ineffective(estimator, network, *, has_validation_data, incremental):
    """Warn once of all parameters that the user has set and the fit does not read.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network
    has_validation_data : bool
        Whether the user has passed ``X_val``.
    incremental : bool
        Whether the call is `partial_fit`, which knows no last epoch.
    """
    if is_silent(IneffectiveParameterWarning):
        return
    reasons = _reasons(estimator, network, has_validation_data)
    defaults = inspect.signature(type(estimator).__init__).parameters
    sentences = [
        f"{name}={getattr(estimator, name)!r} has no effect {reason}."
        for name, reason in reasons.items()
        if name in defaults
        and not is_default(getattr(estimator, name), defaults[name].default)
    ]
    if estimator.solver in STOCHASTIC_SOLVERS and not incremental:
        sentences += _too_late(estimator)
    if sentences:
        warnings.warn(
            " ".join(sentences),
            IneffectiveParameterWarning,
            stacklevel=user_stacklevel(),
        )


def warn_of_one_hot(y):
    """Warn of a label matrix in which each row has exactly one label.

    Parameters
    ----------
    y : ndarray or scipy.sparse CSR of shape (n_samples, n_labels)
    """
    counts = np.asarray((y != 0).sum(axis=1))
    if y.shape[1] > 1 and np.all(counts == 1):
        warnings.warn(
            "Each row of y has exactly one 1: labels that may occur together are "
            "learned. If each row belongs to one class, pass y.argmax(axis=1).",
            stacklevel=user_stacklevel(),
        )


def _reasons(estimator, network, has_validation_data):
    """Why parameters have no effect, by name, whatever their values."""
    solver = estimator.solver
    stochastic = solver in STOCHASTIC_SOLVERS
    splits = stochastic and estimator.early_stopping and not has_validation_data
    scored = splits or has_validation_data
    reasons = _unread_by_rows(estimator, network, stochastic)
    if stochastic:
        if estimator.sampling is not None:
            reasons["shuffle"] = (
                f"with sampling={estimator.sampling!r}, which draws the rows"
            )
        reasons["max_fun"] = f"with solver={solver!r}: it belongs to solver='lbfgs'"
        schedule = _schedule(estimator)
        if schedule.name != estimator.learning_rate:
            reasons["learning_rate"] = (
                f"with solver={solver!r}, as in scikit-learn: use another schedule or "
                "solver"
            )
        stops_early = estimator.n_iter_no_change < estimator.max_iter
        if schedule.ends and stops_early and not estimator.early_stopping:
            reasons["n_iter_no_change"] = (
                f"with learning_rate={schedule.name!r}, which trains for max_iter "
                "epochs unless early_stopping=True ends it"
            )
    else:
        for name in _STOCHASTIC_ONLY:
            reasons[name] = f"with solver={solver!r}: it needs a stochastic solver"
        if not has_validation_data:
            reasons["early_stopping"] = (
                f"with solver={solver!r} without X_val and y_val: pass them to fit"
            )
        if not (estimator.early_stopping and has_validation_data):
            reasons["n_iter_no_change"] = (
                f"with solver={solver!r}: it belongs to early_stopping with X_val"
            )
    if not splits:
        reasons["validation_fraction"] = (
            "with X_val, which replaces the split"
            if has_validation_data
            else "without early_stopping=True"
            if stochastic
            else f"with solver={solver!r}, which holds no rows out"
        )
    if not (scored and estimator.early_stopping):
        reasons["best_epoch"] = (
            "without early_stopping=True"
            if stochastic
            else f"with solver={solver!r}: it belongs to early_stopping with X_val"
        )
    if not scored:
        reasons["scoring"] = "without early_stopping=True or X_val and y_val"
    for name, strength in _STRENGTHS.items():
        if not np.any(np.asarray(getattr(estimator, strength), dtype=object)):
            reasons[name] = f"without {strength}"
    if not network.intercepts and network.normalization is None:
        reasons.setdefault("bias_learning_rate_factor", "without biases")
    if estimator.embedding is None:
        for name in _EMBEDDING_ONLY:
            reasons[name] = "without embedding"
    if not isinstance(estimator.activation, str | Activation):
        reasons["code_activation"] = "beside a list in activation, which has the code's"
    if len(network.sizes) == 2:
        for name in _HIDDEN_ONLY:
            reasons[name] = "without hidden layers"
    return reasons


def _too_late(estimator):
    """Sentences about what would begin only after the last epoch."""
    max_iter, warmup = estimator.max_iter, estimator.warmup_epochs
    if warmup >= max_iter:
        yield (
            f"warmup_epochs={warmup!r} is not less than max_iter={max_iter!r}: the "
            "learning rate still rises when the training ends, and its schedule never "
            "begins."
        )
        return
    schedule = _schedule(estimator)
    if not _begins_too_late(schedule, estimator):
        return
    names = [parameter.name for parameter in schedule.declares] or ["n_iter_no_change"]
    values = [f"{name}={getattr(estimator, name)!r}" for name in names]
    if warmup > 0:
        values.append(f"warmup_epochs={warmup!r}")
    yield (
        f"learning_rate={schedule.name!r} has no effect within max_iter={max_iter!r} "
        f"epochs, since it would change the rate later: see {' and '.join(values)}."
    )


def _begins_too_late(schedule, estimator):
    """Whether a schedule that changes the rate does not in any epoch of a fit."""
    max_iter = estimator.max_iter
    if schedule.on_plateau is not schedules.stop:
        rate = estimator.learning_rate_init
        patience = schedule.patience(estimator.n_iter_no_change, rate, estimator)
        # The first epoch is an improvement, and the rate changes after an epoch.
        return patience + 3 > max_iter
    if schedule.factor is schedules.constantly:
        return False
    end = max_iter - estimator.warmup_epochs
    last_steps = Position(np.array([0.0, end - 1 / _MANY_STEPS]), _MANY_STEPS, end)
    return bool(np.all(schedule.factor(last_steps, estimator) == 1))


def _schedule(estimator):
    """The row of the schedule that the solver respects."""
    rule = OPTIMIZERS[estimator.solver]
    return effective_schedule(
        estimator.learning_rate, ignores_old=rule.ignores_old_schedules
    )


def _unread_by_rows(estimator, network, stochastic):
    """Reasons for parameters that rows declare, but none of the chosen ones."""
    chosen = {"loss": network.loss}
    if stochastic:
        chosen["solver"] = OPTIMIZERS[estimator.solver]
        chosen["learning_rate"] = _schedule(estimator)
    read = {parameter.name for row in chosen.values() for parameter in row.declares}
    unread = rule_parameters(estimator._tables).keys() - read
    return {name: _owner(estimator, name) for name in unread}


def _owner(estimator, name):
    """Which rows read a parameter, and what was chosen instead."""
    tables = dict(zip(_SELECTORS, estimator._tables, strict=False))
    for selector, table in tables.items():
        rows = dict.fromkeys(
            row.name
            for row in table.values()
            if any(parameter.name == name for parameter in row.declares)
        )
        if rows:
            actual = getattr(estimator, selector)
            actual = getattr(actual, "name", actual)
            if actual in rows:
                return f"with solver={estimator.solver!r}, which ignores {selector}"
            owners = " or ".join(map(repr, rows))
            return f"with {selector}={actual!r}: it belongs to {selector}={owners}"
    raise AssertionError(name)
