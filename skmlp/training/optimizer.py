"""State of a stochastic optimizer between epochs and between `partial_fit` calls."""

import copy
from typing import NamedTuple

import numpy as np

from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.training.schedules import SCHEDULES


class Recipe(NamedTuple):
    """What an optimizer is made from.

    Attributes
    ----------
    name : str
        A row of `skmlp.rules.optimizers.OPTIMIZERS`.
    hyper : tuple of 3 floats
        The rule's hyperparameters.
    schedule : str
        A row of `skmlp.training.schedules.SCHEDULES`.
    learning_rate_init, power : float
    """

    name: str
    hyper: tuple[float, float, float]
    schedule: str
    learning_rate_init: float
    power: float


class Optimizer:
    """Moments, step count and current learning rate.

    Parameters
    ----------
    recipe : Recipe
    size : int
        Number of parameters.
    dtype : numpy dtype
    """

    def __init__(self, recipe, size, dtype):
        self.name = recipe.name
        self.hyper = recipe.hyper
        self.learning_rate = recipe.learning_rate_init
        self.t = 0
        self.slots = np.zeros((OPTIMIZERS[recipe.name].slots, size), dtype=dtype)
        self._recipe = recipe

    def copy(self, dtype):
        """An independent copy of some precision, to train on at no risk for this."""
        twin = copy.copy(self)
        twin.slots = self.slots.astype(dtype)
        return twin

    def rates(self, n_steps):
        """Rates of the next steps, as float64; they count as taken."""
        steps = np.arange(self.t + 1, self.t + n_steps + 1, dtype=np.float64)
        self.t += n_steps
        return self.learning_rate * OPTIMIZERS[self.name].correction(steps, self.hyper)

    def end_epoch(self, samples_seen):
        """Let the schedule set the next epoch's learning rate."""
        recipe = self._recipe
        self.learning_rate = SCHEDULES[recipe.schedule].after_epoch(
            self.learning_rate, recipe.learning_rate_init, samples_seen, recipe.power
        )

    def stops_on_plateau(self, verbose, message):
        """Whether the training ends here; else the learning rate is lowered."""
        rate = SCHEDULES[self._recipe.schedule].on_plateau(self.learning_rate)
        if rate is not None:
            self.learning_rate = rate
            end = f"Setting learning rate to {rate:f}"
        elif self._recipe.schedule == "adaptive":
            end = "Learning rate too small. Stopping."
        else:
            end = "Stopping."
        if verbose:
            print(f"{message} {end}")
        return rate is None
