"""Scaling of the target inside the regressor, by `scale_target`.

The network learns the scaled target; all that a user passes and gets is in y's units. A
target enters by `TargetScale.scaled`, a prediction leaves by `TargetScale.unscaled`.
Statistics and conversions are in double precision whatever that of the training: the
spread of a large y would vanish in single precision.

R² of each target and the fraction of the pinball loss that is explained do not change
with the scale; so scores of the training are computed from scaled numbers.
"""

import math
import warnings
from typing import NamedTuple

import numpy as np

from skmlp.call_site import user_stacklevel
from skmlp.rules.target_range import target_range

# A spread below so many units in the last place of the numbers is rounding.
_ROUNDING = 4


class TargetScale(NamedTuple):
    """What is subtracted from each target, and by what it is then divided.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_targets,) or None
        None where the target is not scaled.
    """

    mean: np.ndarray | None
    scale: np.ndarray | None

    def scaled(self, y):
        """Numbers in y's units as the network learns them.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_targets)
            Of another number of targets it stays as it is: a later check refuses it.
        """
        if self.scale is None or y.shape[1] != len(self.scale):
            return y
        return (y.astype(np.float64) - self.mean) / self.scale

    def unscaled(self, predicted):
        """Predictions of the network, a column each target or quantile, in y's units.

        In double precision where the target is scaled.
        """
        if self.scale is None:
            return predicted
        return predicted.astype(np.float64) * self.scale + self.mean

    def unscaled_spread(self, std):
        """Standard deviations of the network in y's units."""
        return std if self.scale is None else std.astype(np.float64) * self.scale


def fitted_scale(y, weights, row_ids, *, is_centered):
    """The scale of a target, from the rows of positive weight.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_targets)
    weights : ndarray of shape (n_samples,) or None
    row_ids : ndarray of int64
        Indices of the rows of positive weight.
    is_centered : bool
        Whether the scaled target has mean 0 and standard deviation 1. Else it is only
        divided, by the mean of its size, and keeps its sign.

    Returns
    -------
    TargetScale
        The scale is 1 for a target that is constant or, if not centered, zero.
    """
    means, spreads, sizes = _moments(y, weights, row_ids)
    if is_centered:
        return TargetScale(means, _never_zero(spreads))
    return TargetScale(np.zeros_like(means), _never_zero(sizes))


def stand_ins(y, weights, row_ids, *, is_centered):
    """A row or two that have the scale of many, with the parameters of `fitted_scale`.

    Two rows with their mean and standard deviation, or where the target is only
    divided, one row with their mean size.

    Returns
    -------
    rows : ndarray of shape (1 or 2, n_targets)
    weights : ndarray of shape (1 or 2,)
        They sum to the weights of the rows.
    """
    means, spreads, sizes = _moments(y, weights, row_ids)
    rows = [means - spreads, means + spreads] if is_centered else [sizes]
    total = float(len(row_ids) if weights is None else weights[row_ids].sum(dtype="f8"))
    return np.stack(rows), np.full(len(rows), total / len(rows))


def scale_of_parts(parts, *, is_centered):
    """The scale of a target of which there are the `stand_ins` of all parts.

    Parameters
    ----------
    parts : list of (ndarray, ndarray)
    is_centered : bool
        As of `fitted_scale`.

    Returns
    -------
    TargetScale
    """
    rows, weights = map(np.concatenate, zip(*parts, strict=True))
    return fitted_scale(rows, weights, np.arange(len(rows)), is_centered=is_centered)


def _never_zero(values):
    return np.where(values == 0, 1.0, values)


def _moments(y, weights, row_ids):
    """Means, standard deviations and mean sizes of the targets, 0 if rounding."""
    precision = np.finfo(y.dtype if y.dtype.kind == "f" else np.float64).eps
    y = y[row_ids].astype(np.float64)
    weights = np.ones(len(y)) if weights is None else weights[row_ids]
    columns = [_column_moments(column, weights, precision) for column in y.T]
    return np.array(columns).T


def _column_moments(y, weights, precision):
    """Mean, standard deviation and mean size of a target."""
    # Powers of two neither round nor let squares overflow or vanish.
    exponent = math.frexp(np.max(np.abs(y)))[1]
    y = np.ldexp(y, -exponent)
    # Deviations from a number among them, whose sum does not cancel.
    mean = y[0] + np.average(y - y[0], weights=weights)
    spread = math.sqrt(np.average((y - mean) ** 2, weights=weights))
    if spread <= _ROUNDING * precision:
        spread = 0.0
    size = np.average(np.abs(y), weights=weights)
    return tuple(math.ldexp(value, exponent) for value in (mean, spread, size))


def is_centered(loss):
    """Whether the scaled target of a loss has mean 0, or is only divided.

    Parameters
    ----------
    loss : LossRow

    Raises
    ------
    ValueError
        For outputs with other bounds than 0, which a scale would move.
    """
    low, high = target_range(loss)
    if (low, high) == (-math.inf, math.inf):
        return True
    if (low, high) == (0.0, math.inf):
        return False
    raise ValueError(
        f"scale_target=True is not supported with out_activation={loss.output!r} and "
        f"loss={loss.name!r}, which are bounded: from {low:.3g} to {high:.3g}. Scale y "
        "into that range before fit, or choose an output without such bounds."
    )


def warn_of_unknown_scale(scale, y):
    """Warn of a first chunk that does not tell how far targets spread.

    Parameters
    ----------
    scale : TargetScale
    y : ndarray of shape (n_samples, n_targets)
        From which it was found.
    """
    constant = np.flatnonzero(np.all(y == scale.mean, axis=0))
    if len(constant) == 0:
        return
    name = "y" if y.shape[1] == 1 else f"Column {constant[0]} of y"
    warnings.warn(
        f"{name} is constant in the first call of partial_fit: scale_target=True has "
        "found no scale and divides it neither now nor in later calls. Begin with a "
        "chunk in which y spreads as in all of the data.",
        stacklevel=user_stacklevel(),
    )


def check_same_scaling(scale_target, loss, scale):
    """Refuse to go on with a network that has learned another kind of target.

    Parameters
    ----------
    scale_target : bool
        The estimator's parameter now.
    loss : LossRow
        That of its parameters now.
    scale : TargetScale
        Of the fitted network.

    Raises
    ------
    ValueError
    """
    was_scaled = scale.scale is not None
    if scale_target != was_scaled:
        raise ValueError(
            f"The fitted network has scale_target={was_scaled}, but now it is "
            f"{scale_target}: with warm_start or partial_fit it must stay."
        )
    if was_scaled and not is_centered(loss) and np.any(scale.mean != 0):
        raise ValueError(
            "The fitted network has learned y less its mean, but "
            f"loss={loss.name!r} with out_activation={loss.output!r} learns y itself: "
            "with scale_target=True, and warm_start or partial_fit, such a change "
            "needs a new fit."
        )
