"""State of a stochastic optimizer between epochs and between `partial_fit` calls.

All that depends on a step's number or time is worked out here, in float64, a span of
steps at once: backends see only the numbers that each step is taken with.
"""

import copy
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from skmlp.rules.optimizers import MAX_COEFFICIENTS, MAX_HYPERPARAMETERS, OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES, Position, effective_schedule, unchanged


class OptimizerConfig(NamedTuple):
    """Settings of an optimizer and its schedule.

    Attributes
    ----------
    name : str
        A row of `skmlp.rules.optimizers.OPTIMIZERS`.
    hyper : tuple of float
        The rule's hyperparameters, padded with zeros.
    schedule : str
        A row of `skmlp.rules.schedules.SCHEDULES`.
    schedule_settings : SimpleNamespace
        `learning_rate_init`, `max_iter` and the parameters that the schedule declares.
    warmup_epochs, weight_decay : float
    """

    name: str
    hyper: tuple[float, ...]
    schedule: str
    schedule_settings: SimpleNamespace
    warmup_epochs: float
    weight_decay: float


def make_optimizer_config(settings):
    """The recipe by an object that has the estimators' parameters as attributes."""
    row = OPTIMIZERS[settings.solver]
    padding = [0.0] * MAX_HYPERPARAMETERS
    schedule = effective_schedule(
        settings.learning_rate, ignores_old=row.ignores_old_schedules
    )
    names = ["learning_rate_init", "max_iter", *(p.name for p in schedule.declares)]
    return OptimizerConfig(
        name=row.name,
        hyper=(*row.hyper(settings), *padding)[:MAX_HYPERPARAMETERS],
        schedule=schedule.name,
        schedule_settings=SimpleNamespace(
            **{name: getattr(settings, name) for name in names}
        ),
        warmup_epochs=settings.warmup_epochs,
        weight_decay=settings.weight_decay,
    )


class OptimizerState:
    """Moments, step count and learning rate.

    Parameters
    ----------
    recipe : Recipe
    size : int
        Number of parameters.
    dtype : numpy dtype

    Attributes
    ----------
    learning_rate : float
        What schedules that look at the training have made of the initial rate.
    last_rates : list of float
        The learning rates of the steps last asked for with which epochs end, or the
        span of steps, with all that warmup and schedule do.
    """

    def __init__(self, recipe, size, dtype):
        row = OPTIMIZERS[recipe.name]
        self.name = recipe.name
        self.hyper = recipe.hyper
        self.learning_rate = recipe.schedule_settings.learning_rate_init
        self.last_rates = [self.learning_rate]
        self.t = 0
        self.epoch = 0
        self.slots = np.full((row.slots, size), row.start, dtype=dtype)
        self._recipe = recipe

    @property
    def ends(self):
        """Whether the schedule ends with the last epoch, its rate being used up."""
        return SCHEDULES[self._recipe.schedule].ends

    @property
    def knows_next_epochs(self):
        """Whether rates depend on nothing that happens between epochs but plateaus."""
        return SCHEDULES[self._recipe.schedule].after_epoch is unchanged

    def copy(self, dtype):
        """An independent copy of some precision, to train on at no risk for this."""
        twin = copy.copy(self)
        twin.slots = self.slots.astype(dtype)
        return twin

    def rates(self, span, n_batches):
        """What the next steps are taken with; they count as taken.

        Parameters
        ----------
        span : tuple of int
            The next are steps span[0] <= i < span[1], counted from the beginning of
            the epoch; beyond its end only where `knows_next_epochs`.
        n_batches : int
            Steps of an epoch.

        Returns
        -------
        ndarray of shape (span[1] - span[0], 4)
            Of each step the share by which weights decay, then the coefficients of the
            optimizer's rule.
        """
        t = np.arange(self.t + 1, self.t + span[1] - span[0] + 1, dtype=np.float64)
        self.t += span[1] - span[0]
        # As of an epoch by itself, to the last bit.
        epochs, steps = np.divmod(np.arange(*span), n_batches)
        rates = self._learning_rates(
            (self.epoch + epochs) + steps / n_batches, n_batches
        )
        self.last_rates = rates[::-n_batches][::-1].tolist()
        table = np.zeros((len(t), 1 + MAX_COEFFICIENTS))
        table[:, 0] = rates * self._recipe.weight_decay
        row = OPTIMIZERS[self.name]
        for i, column in enumerate(row.coefficients(t, rates, self.hyper), start=1):
            table[:, i] = column
        return table

    def _learning_rates(self, epochs, n_batches):
        """Scheduled learning rates of steps before which so many epochs have passed."""
        recipe = self._recipe
        # A step is warm by its end: none is wasted on a rate of zero.
        warm = 1.0
        if recipe.warmup_epochs > 0:
            warm = np.minimum(1.0, (epochs + 1 / n_batches) / recipe.warmup_epochs)
        max_iter = recipe.schedule_settings.max_iter
        end = max_iter - recipe.warmup_epochs
        if end <= 0:
            # The warmup takes the whole training: the schedule does not begin.
            end = max_iter
        at = Position(np.maximum(0.0, epochs - recipe.warmup_epochs), n_batches, end)
        factor = SCHEDULES[recipe.schedule].factor(at, recipe.schedule_settings)
        return self.learning_rate * (factor * warm)

    def end_epoch(self, samples_seen):
        """Let the schedule set the next epoch's learning rate."""
        self.epoch += 1
        self.learning_rate = SCHEDULES[self._recipe.schedule].after_epoch(
            self.learning_rate, self._recipe.schedule_settings, samples_seen
        )

    def patience(self, n_iter_no_change, *, scored):
        """Epochs without improvement to be tolerated before `stops_on_plateau`.

        Parameters
        ----------
        n_iter_no_change : int or inf
        scored : bool
            Whether validation scores and not losses are what should improve.
        """
        if self.ends and not scored:
            return np.inf
        schedule = SCHEDULES[self._recipe.schedule]
        return schedule.patience(
            n_iter_no_change, self.learning_rate, self._recipe.schedule_settings
        )

    def stops_on_plateau(self, verbose, message):
        """Whether the training ends here; else the learning rate is lowered."""
        schedule = SCHEDULES[self._recipe.schedule]
        rate = schedule.on_plateau(self.learning_rate, self._recipe.schedule_settings)
        if rate is not None:
            self.learning_rate = rate
            end = f"Setting learning rate to {rate:f}"
        else:
            end = schedule.end
        if verbose:
            print(f"{message} {end}")
        return rate is None
