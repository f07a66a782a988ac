"""Schedules of the learning rate: one row per schedule.

A schedule multiplies the rate of each step by a factor that is known ahead (`factor`),
or changes the rate between epochs (`after_epoch`) and where the training no longer
improves (`on_plateau`). 'constant', 'invscaling' and 'adaptive' are scikit-learn's,
quirks included: 'invscaling' counts samples, not steps.

The values of the parameter `learning_rate`, its documentation, the parameters of the
schedules and the tests are derived from the table.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp.rules.parameters import Parameter, Range

# The schedule without any change.
CONSTANT = "constant"
_SMALLEST_RATE = 1e-6
# Of the initial rate: at four digits less the weights no longer move visibly.
_SMALLEST_FRACTION = 1e-4
# PyTorch's defaults of one cycle: its rise, first and last rate.
_RISE, _FIRST, _LAST = 0.3, 1 / 25, 1 / 25 / 1e4

_POWER_T = Parameter(
    "power_t", 0.5, (Range(0, None, "left"),), "Exponent of 'invscaling'."
)
_DECAY_FACTOR = Parameter(
    "decay_factor", 0.1, (Range(0, 1, "neither"),),
    "Factor of the schedules 'exponential', 'step' and 'plateau', in (0, 1).",
)  # fmt: skip
_DECAY_EPOCHS = Parameter(
    "decay_epochs", 10, (Range(1, None, "left", integral=True),),
    "Epochs of the schedules 'exponential' and 'step' to each factor.",
)  # fmt: skip
_PLATEAU_PATIENCE = Parameter(
    "plateau_patience", 10, (Range(1, None, "left", integral=True),),
    "Epochs without improvement after which 'plateau' lowers the learning rate.",
)  # fmt: skip


class Position(NamedTuple):
    """Positions of steps within a training, counted from the end of the warmup.

    Attributes
    ----------
    epochs : ndarray of float64
        Epochs before each step, with fractions.
    per_epoch : int
        Steps of an epoch.
    end : float
        Epochs before the end of the training.
    """

    epochs: np.ndarray
    per_epoch: int
    end: float


def constantly(at, settings):
    """No difference between steps."""
    return np.ones_like(at.epochs)


def unchanged(rate, settings, samples_seen):
    """The same rate as before."""
    return rate


def stop(rate, settings):
    """End the training."""


def as_asked(n_iter_no_change, rate, settings):
    """The parameter `n_iter_no_change`."""
    return n_iter_no_change


class Schedule(NamedTuple):
    """One schedule; `settings` have the estimators' parameters as attributes.

    These are `learning_rate_init`, `max_iter` and those that the row declares.

    Attributes
    ----------
    name : str
        The value of the parameter `learning_rate`.
    about : str
        Its entry in the documentation of `learning_rate`.
    factor : callable
        ``factor(at, settings)``, by which the rates of the steps at a position
        differ.
    after_epoch : callable
        ``after_epoch(rate, settings, samples_seen)``, the next epoch's rate.
    on_plateau : callable
        ``on_plateau(rate, settings)``, the next rate where the training no longer
        improves, or None to stop.
    patience : callable
        ``patience(n_iter_no_change, rate, settings)``, the epochs without improvement
        after which `on_plateau` is called.
    parameters : tuple of Parameter
        The estimators' parameters that these functions read.
    end : str
        Message when `on_plateau` stops the training.
    ends : bool
        Whether the rate goes to zero by the last epoch: the training then takes all
        its epochs, unless there is a validation score to stop it, and `partial_fit`,
        which knows no last epoch, refuses it.
    old : bool
        Whether scikit-learn has it; scikit-learn's 'adam' ignores it.
    for_strengths : bool
        Whether weight decay and dropout may have it, too: their strengths are then
        multiplied by `factor`, in positions counted from the first epoch. Such a
        factor reads no parameter.
    """

    name: str
    about: str
    factor: Callable = constantly
    after_epoch: Callable = unchanged
    on_plateau: Callable = stop
    patience: Callable = as_asked
    parameters: tuple[Parameter, ...] = ()
    end: str = "Stopping."
    ends: bool = False
    old: bool = False
    for_strengths: bool = False

    @property
    def declares(self):
        """All parameters of the estimators that the row reads."""
        return self.parameters

    @property
    def varies(self):
        """Whether the factors of steps differ."""
        return self.factor is not constantly


def inverse_scaling(rate, settings, samples_seen):
    """A power of the number of samples."""
    return settings.learning_rate_init / (samples_seen + 1) ** settings.power_t


def divide_by_five(rate, settings):
    """A fifth, down to the smallest rate."""
    return None if rate <= _SMALLEST_RATE else rate / 5.0


def cosine(at, settings):
    """SGDR: stochastic gradient descent with warm restarts, but for the restarts.

    Loshchilov and Hutter (2017).
    """
    return _half_wave(1.0, 0.0, at.epochs / at.end)


def one_cycle(at, settings):
    """Super-convergence (Smith and Topin, 2018), in PyTorch's form with two phases.

    A phase ends with a step, not after it: hence the ones that are subtracted.
    """
    step = at.epochs * at.per_epoch
    total = at.end * at.per_epoch
    top = _RISE * total - 1.0
    fall = _half_wave(1.0, _LAST, (step - top) / (total - 1.0 - top))
    if top <= 0.0:
        return fall
    return np.where(step <= top, _half_wave(_FIRST, 1.0, step / top), fall)


def _half_wave(first, last, phase):
    """From first to last as the phase goes from 0 to 1, level at both ends."""
    return last + (first - last) * (1.0 + np.cos(np.pi * np.clip(phase, 0, 1))) / 2.0


def coslog(at, settings):
    """Four waves, each twice as long as the one before (Holzmüller et al., 2024).

    A step counts at its middle, so that none has a rate of zero.
    """
    share = np.clip((at.epochs + 0.5 / at.per_epoch) / at.end, 0.0, 1.0)
    return (1.0 - np.cos(2.0 * np.pi * np.log2(1.0 + 15.0 * share))) / 2.0


def flat_cosine(at, settings):
    """Level up to the half, then half a cosine to 0 (Holzmüller et al., 2024)."""
    return _half_wave(1.0, 0.0, 2.0 * at.epochs / at.end - 1.0)


def exponential(at, settings):
    """The decay factor once per decay epochs, smoothly."""
    return settings.decay_factor ** (at.epochs / settings.decay_epochs)


def step(at, settings):
    """The decay factor once per decay epochs, at once."""
    # A fractional warmup must not leave the last digit of an epoch behind.
    whole = np.floor(at.epochs / settings.decay_epochs + 1e-9)
    return settings.decay_factor**whole


def lower(rate, settings):
    """The decay factor, down to the smallest fraction of the initial rate."""
    smallest = _SMALLEST_FRACTION * settings.learning_rate_init
    # Rounding must not leave a last lowering that lowers nothing.
    if rate <= 1.001 * smallest:
        return None
    return max(smallest, rate * settings.decay_factor)


def plateau_patience(n_iter_no_change, rate, settings):
    """The parameter `plateau_patience` as long as the rate can be lowered."""
    if lower(rate, settings) is None:
        return n_iter_no_change
    return settings.plateau_patience - 1


SCHEDULES = {
    row.name: row
    for row in (
        Schedule(
            CONSTANT,
            "``learning_rate_init`` throughout",
            old=True,
            for_strengths=True,
        ),
        Schedule(
            "invscaling",
            "``learning_rate_init / (t + 1) ** power_t`` after t samples",
            after_epoch=inverse_scaling,
            parameters=(_POWER_T,),
            old=True,
        ),
        Schedule(
            "adaptive",
            "divided by 5 whenever the training would otherwise stop, until it is 1e-6",
            on_plateau=divide_by_five,
            end="Learning rate too small. Stopping.",
            old=True,
        ),
        Schedule(
            "cosine",
            "half a cosine, to 0 after ``max_iter`` epochs (Loshchilov and Hutter,"
            " 2017)",
            factor=cosine,
            ends=True,
        ),
        Schedule(
            "one_cycle",
            "up from a 25th to ``learning_rate_init`` in 30 % of ``max_iter`` epochs,"
            " then down to 4e-6 of it, both by half a cosine (Smith and Topin, 2018);"
            " the momentum stays",
            factor=one_cycle,
            ends=True,
        ),
        Schedule(
            "coslog",
            "four waves from 0 up to ``learning_rate_init`` and back to 0, each twice"
            " as long as the one before, in ``max_iter`` epochs (Holzmüller et al.,"
            " 2024)",
            factor=coslog,
            ends=True,
        ),
        Schedule(
            "flat_cosine",
            "``learning_rate_init`` up to half of ``max_iter`` epochs, then half a"
            " cosine to 0 (Holzmüller et al., 2024)",
            factor=flat_cosine,
            ends=True,
            for_strengths=True,
        ),
        Schedule(
            "exponential",
            "times ``decay_factor`` in ``decay_epochs`` epochs, a little at each step",
            factor=exponential,
            parameters=(_DECAY_FACTOR, _DECAY_EPOCHS),
        ),
        Schedule(
            "step",
            "times ``decay_factor`` at once, every ``decay_epochs`` epochs",
            factor=step,
            parameters=(_DECAY_FACTOR, _DECAY_EPOCHS),
        ),
        Schedule(
            "plateau",
            "times ``decay_factor`` when neither loss nor validation score, whichever"
            " decides when to stop, has improved by ``tol`` for ``plateau_patience``"
            " epochs, down to 1e-4 of ``learning_rate_init``; only then does"
            " ``n_iter_no_change`` count",
            on_plateau=lower,
            patience=plateau_patience,
            parameters=(_DECAY_FACTOR, _PLATEAU_PATIENCE),
        ),
    )
}


def effective_schedule(name, *, ignores_old):
    """The row of a schedule, or 'constant' for an optimizer that ignores old ones."""
    row = SCHEDULES[name]
    return SCHEDULES[CONSTANT] if ignores_old and row.old else row
