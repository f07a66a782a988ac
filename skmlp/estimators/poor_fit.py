"""The warning of a fit that is no better than a constant prediction.

Most fits cost a few vector operations here: the loss that the training has recorded is
clearly better. Only where it is not, the fitted network predicts some training rows, on
which its loss is compared with that of the best constant.
"""

import warnings
from typing import NamedTuple

import numpy as np

from skmlp.backends import reference
from skmlp.call_site import is_silent, user_stacklevel
from skmlp.estimators.data import canonical_x
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.estimators.poor_fit_causes import (
    Fit,
    accompanying,
    has_unfinished_target,
    likely_causes,
    still_falls,
)
from skmlp.exceptions import PoorFitWarning
from skmlp.rules.activations import IDENTITY
from skmlp.rules.best_constant import best_constant_loss

_MAX_ROWS = 5000
# The reference backend applies a scalar rule to each element in Python.
_MAX_ELEMENTS = 20_000
_MIN_ROWS = 200
# A shorter training that a limit ended says nothing about the data.
_MIN_EPOCHS = 10
# A gain below this is next to none, but a noisy target may allow no more.
_HARDLY_BETTER = 0.05
# The same for a target that is not scaled and a training that had no time to get there.
_UNFINISHED = 0.5
# A gain in the last tenth of the epochs after which the training was far from its end.
_FAST = 0.02
# The recorded loss is of other rows and of parameters that were still changing.
_TOLERANCE = 0.05
# Rounding of a model that has become constant.
_ROUNDING = 1e-6
# Units in the last place by which targets may differ that are equal but for rounding.
_ULPS = 4


class _Rows(NamedTuple):
    """Some training rows: their indices, targets and weights."""

    row_ids: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None

    @classmethod
    def of(cls, problem):
        """Evenly spaced rows, the same at every call."""
        limit = max(_MIN_ROWS, _MAX_ELEMENTS // problem.network.sizes[-1])
        row_ids = problem.row_ids
        n_rows = min(len(row_ids), _MAX_ROWS, limit)
        if n_rows < len(row_ids):
            chosen = np.linspace(0, len(row_ids) - 1, n_rows).astype(np.int64)
            row_ids = row_ids[chosen]
        weights = problem.sample_weight
        return cls(
            row_ids,
            problem.targets[row_ids],
            None if weights is None else weights[row_ids],
        )


def warn_of_poor_fit(estimator, problem, result, backend):
    """Warn if the fitted network is no better on its training rows than a constant.

    Parameters
    ----------
    estimator : BaseMLP
    problem : skmlp.backends.Problem
        What the network was trained on.
    result : FitResult
    backend : skmlp.backends.Backend
    """
    if is_silent(PoorFitWarning) or _was_cut_short(estimator, result):
        return
    network, rows = problem.network, _Rows.of(problem)
    if _is_constant(estimator, rows.targets):
        return
    constant = best_constant_loss(
        network.loss, rows.targets, rows.weights, network.loss_params, network.sizes[-1]
    )
    if not constant:
        return
    # A log-likelihood of densities has no zero to compare with.
    unit = 1.0 if network.loss.std is not None else abs(constant)
    unfinished = has_unfinished_target(estimator, network, result, rows.targets)
    enough = _HARDLY_BETTER
    if unfinished:
        is_fast = _last_gain(estimator, result) > _FAST * unit
        enough = np.inf if is_fast else _UNFINISHED
    if _recorded_loss(result) < constant - (enough + _TOLERANCE) * unit:
        return
    x = canonical_x(problem.x[rows.row_ids], problem.x.dtype)
    raw, _ = backend.outputs(network, result.outcome.params, x, IDENTITY, 1)
    raw = np.asarray(raw, dtype=np.float64)
    with np.errstate(all="ignore"):
        loss, _ = reference.evaluate(network, raw, rows.targets, rows.weights)
    gain = (constant - loss) / unit
    if gain > enough:
        return
    fit = Fit(estimator, network, result, x, rows.targets, raw)
    causes = likely_causes(fit)
    is_better = gain > _ROUNDING
    if not causes and (is_better or _is_short(estimator, result)):
        return
    if not causes:
        causes = [
            f"{estimator._nothing_to_learn}, gradients may vanish, or the "
            "regularization is too strong."
        ]
    factor = ""
    if not is_better and constant > 0 and loss > 1.01 * constant:
        factor = f" ({loss / constant:,.3g} times as large)"
    warnings.warn(
        f"{_finding(gain)}: its training loss is {loss:.4g}, that of the best constant "
        f"{constant:.4g}{factor}. {' '.join(causes + accompanying(fit))}",
        PoorFitWarning,
        stacklevel=user_stacklevel(),
    )


def _is_constant(estimator, targets):
    """Whether targets differ by no more than rounding, in the user's units."""
    differences = np.ptp(targets, axis=0)
    sizes = np.abs(targets).max(axis=0)
    if getattr(estimator, "target_scale_", None) is not None:
        sizes = np.abs(estimator.target_mean_) / estimator.target_scale_
        return np.all(differences <= _ULPS * np.finfo(np.float64).eps * sizes)
    return np.all(differences <= _ULPS * np.finfo(targets.dtype).eps * sizes)


def _finding(gain):
    """What a gain says about the model, as the beginning of a sentence."""
    if gain > _UNFINISHED:
        return "The training has ended while the model was still learning fast"
    compared = "little" if gain > _HARDLY_BETTER else "hardly"
    if gain <= _ROUNDING:
        compared = "no"
    return f"The model is {compared} better than a constant prediction"


def _was_cut_short(estimator, result):
    """Whether a limit ended the training early, before its loss could say much."""
    n_iter, history = result.outcome.n_iter, result.history
    if n_iter >= _MIN_EPOCHS:
        return False
    if estimator.solver in STOCHASTIC_SOLVERS:
        by_itself = history.no_improvement_count > estimator.n_iter_no_change
    else:
        out_of_time = (
            estimator.max_time is not None
            and bool(history.seconds)
            and history.seconds[-1] >= estimator.max_time
        )
        by_itself = n_iter < estimator.max_iter and not out_of_time
    curve = history.loss_curve[-n_iter:] if n_iter else []
    return not by_itself and (not curve or curve[-1] <= curve[0])


def _last_gain(estimator, result):
    """By how much the loss fell in the last tenth of the epochs.

    Zero for L-BFGS, whose line search finds steps for a target of any scale.
    """
    if estimator.solver not in STOCHASTIC_SOLVERS:
        return 0.0
    n_iter = result.outcome.n_iter
    curve = result.history.loss_curve[-n_iter:]
    return curve[-min(len(curve), 1 + max(1, n_iter // 10))] - curve[-1]


def _recorded_loss(result):
    """The loss that the training recorded for the parameters, or nearly those."""
    history = result.history
    if not history.stops_by_score:
        return result.outcome.loss
    epoch = _kept_epoch(history)
    return np.inf if epoch is None else history.loss_curve[epoch]


def _kept_epoch(history):
    """Index, in the loss curve, of the best validation score; None without scores."""
    validation = history.validation
    index = validation.best_epoch - 1
    n_before = len(history.loss_curve) - len(validation.scores)
    return index if index >= n_before else None


def _is_short(estimator, result):
    """Whether more epochs may be all that the parameters lack."""
    history, n_iter = result.history, result.outcome.n_iter
    if history.stops_by_score:
        epoch = _kept_epoch(history)
        return epoch is None or epoch < _MIN_EPOCHS
    return n_iter < _MIN_EPOCHS or still_falls(estimator, result)
