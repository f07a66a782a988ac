"""Learning-rate schedules between epochs: one row a schedule.

The three are scikit-learn's, quirks included: 'invscaling' counts samples, not steps.
"""

from collections.abc import Callable
from typing import NamedTuple

_SMALLEST_RATE = 1e-6


class Schedule(NamedTuple):
    """One schedule.

    Attributes
    ----------
    name : str
    after_epoch : callable
        ``after_epoch(rate, initial_rate, samples_seen, power)``, the next epoch's
        learning rate.
    on_plateau : callable
        ``on_plateau(rate)``, the learning rate to go on with where the training no
        longer improves, or None to stop.
    """

    name: str
    after_epoch: Callable
    on_plateau: Callable


def _unchanged(rate, initial_rate, samples_seen, power):
    return rate


def _inverse_scaling(rate, initial_rate, samples_seen, power):
    return initial_rate / (samples_seen + 1) ** power


def _stop(rate):
    return None


def _divide_by_five(rate):
    return None if rate <= _SMALLEST_RATE else rate / 5.0


SCHEDULES = {
    row.name: row
    for row in (
        Schedule("constant", _unchanged, _stop),
        Schedule("invscaling", _inverse_scaling, _stop),
        Schedule("adaptive", _unchanged, _divide_by_five),
    )
}
