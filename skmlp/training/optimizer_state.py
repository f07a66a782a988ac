"""State of a stochastic optimizer between epochs and between `partial_fit` calls.

Everything that depends on the step count is computed here, in float64, for a range of
steps at once: backends only see a table of numbers, one row per step.
"""

import copy
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from skmlp.rules.optimizers import MAX_HYPERPARAMETERS, OPTIMIZERS
from skmlp.rules.schedules import (
    CONSTANT,
    SCHEDULES,
    Position,
    effective_schedule,
    unchanged,
)
from skmlp.segments import Segment, factors_of, step_table


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
    weight_decay_schedule, dropout_schedule : str
        Rows of `skmlp.rules.schedules.SCHEDULES` for strengths.
    segments : tuple of skmlp.segments.Segment
        Of the network's parameters; empty for those of a network without factors.
    """

    name: str
    hyper: tuple[float, ...]
    schedule: str
    schedule_settings: SimpleNamespace
    warmup_epochs: float
    weight_decay: float
    weight_decay_schedule: str
    dropout_schedule: str
    segments: tuple[Segment, ...] = ()


def make_optimizer_config(settings, segments=()):
    """The config of an object that has the estimators' parameters as attributes."""
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
        weight_decay_schedule=settings.weight_decay_schedule,
        dropout_schedule=settings.dropout_schedule,
        segments=segments,
    )


class StepRates(NamedTuple):
    """Weight decay, coefficients and learning rates of some steps.

    Attributes
    ----------
    table : ndarray of shape (n_steps, skmlp.segments.n_columns(n_segments))
        For each segment of the parameters the weight decay of each step, then the
        coefficients of the optimizer's rule; at last the factor of dropout.
    learning_rates : list of float
        Scheduled learning rate of each epoch's last step among them; if an epoch is
        trained in several calls, of the last step of each call.
    """

    table: np.ndarray
    learning_rates: list[float]


class OptimizerState:
    """Moments, step count and learning rate.

    Parameters
    ----------
    config : OptimizerConfig
    size : int
        Number of parameters.
    dtype : numpy dtype

    Attributes
    ----------
    name : str
        A row of `skmlp.rules.optimizers.OPTIMIZERS`.
    hyper : tuple of 3 floats
        The rule's hyperparameters.
    learning_rate : float
        The base rate, as lowered by schedules that react to the training.
    t : int
        Step count.
    epoch : int
        Epoch count.
    slots : ndarray of shape (n_slots, size)
        Moments.
    """

    def __init__(self, config, size, dtype):
        row = OPTIMIZERS[config.name]
        self.name = config.name
        self.hyper = config.hyper
        self.learning_rate = config.schedule_settings.learning_rate_init
        self.t = 0
        self.epoch = 0
        self.slots = np.full((row.slots, size), row.start, dtype=dtype)
        self._config = config

    @property
    def segments(self):
        """Segments of the parameters, by whose factors the rates differ."""
        return self._config.segments

    @property
    def ends(self):
        """Whether the schedule ends with the last epoch, at a rate near zero."""
        return SCHEDULES[self._config.schedule].ends

    @property
    def planned_epochs(self):
        """Epochs after which any of the schedules ends; None if none has an end."""
        config = self._config
        names = (config.schedule, config.weight_decay_schedule, config.dropout_schedule)
        if not any(SCHEDULES[name].ends for name in names):
            return None
        return config.schedule_settings.max_iter

    @property
    def knows_next_epochs(self):
        """Whether nothing but a plateau changes the rates of the next epochs."""
        return SCHEDULES[self._config.schedule].after_epoch is unchanged

    def drop_schedules(self):
        """Keep learning rate, weight decay and dropout from step to step."""
        constant = dict.fromkeys(
            ("schedule", "weight_decay_schedule", "dropout_schedule"), CONSTANT
        )
        self._config = self._config._replace(**constant, warmup_epochs=0.0)

    def copy(self, dtype):
        """An independent copy with slots of some dtype."""
        twin = copy.copy(self)
        twin.slots = self.slots.astype(dtype)
        return twin

    def next_rates(self, step_bounds, n_batches):
        """Advance the step count; returns the `StepRates` of the steps counted.

        Parameters
        ----------
        step_bounds : (int, int)
            First step and the one after the last, counted from the beginning of the
            epoch; beyond the epoch's end only where `knows_next_epochs`.
        n_batches : int
            Steps per epoch.
        """
        first, last = step_bounds
        t = np.arange(self.t + 1, self.t + last - first + 1, dtype=np.float64)
        self.t += last - first
        # To the last bit as if each epoch were asked for alone.
        epochs, steps = np.divmod(np.arange(first, last), n_batches)
        epochs = (self.epoch + epochs) + steps / n_batches
        rates = self._learning_rates(epochs, n_batches)
        config = self._config
        decays = rates * config.weight_decay
        decays *= self._strengths(config.weight_decay_schedule, epochs, n_batches)
        dropout = self._strengths(config.dropout_schedule, epochs, n_batches)
        table = step_table(self._by_segment(t, rates, decays), dropout)
        return StepRates(table, rates[::-n_batches][::-1].tolist())

    def _strengths(self, schedule, epochs, n_batches):
        """Factors by a schedule for strengths, of steps at some epochs."""
        settings = self._config.schedule_settings
        row = SCHEDULES[schedule]
        if not row.varies:
            return 1.0
        return row.factor(Position(epochs, n_batches, settings.max_iter), settings)

    def _by_segment(self, t, rates, decays):
        """Weight decay and the rule's coefficients of some steps, by segment."""
        row, coefficients, parts = OPTIMIZERS[self.name], {}, []
        for factor, decay in factors_of(self.segments):
            if factor not in coefficients:
                of_rate = rates if factor == 1.0 else rates * factor
                coefficients[factor] = row.coefficients(t, of_rate, self.hyper)
            parts.append((decays * decay, *coefficients[factor]))
        return parts

    def _learning_rates(self, epochs, n_batches):
        """Scheduled learning rates of steps at some epochs, counted with fractions."""
        config = self._config
        # The warmup counts a step at its end, so that no step has a rate of zero.
        warm = 1.0
        if config.warmup_epochs > 0:
            warm = np.minimum(1.0, (epochs + 1 / n_batches) / config.warmup_epochs)
        row = SCHEDULES[config.schedule]
        if not row.varies:  # a call a short epoch should not notice
            return np.full(len(epochs), self.learning_rate * warm)
        max_iter = config.schedule_settings.max_iter
        end = max_iter - config.warmup_epochs
        if end <= 0:
            # The warmup lasts the whole training: the schedule never begins.
            end = max_iter
        after_warmup = np.maximum(0.0, epochs - config.warmup_epochs)
        at = Position(after_warmup, n_batches, end)
        factor = row.factor(at, config.schedule_settings)
        return self.learning_rate * (factor * warm)

    def end_epoch(self, samples_seen):
        """Let the schedule set the next epoch's learning rate."""
        self.epoch += 1
        self.learning_rate = SCHEDULES[self._config.schedule].after_epoch(
            self.learning_rate, self._config.schedule_settings, samples_seen
        )

    def patience(self, n_iter_no_change, *, scored):
        """Epochs without improvement before `react_to_plateau` is asked.

        Parameters
        ----------
        n_iter_no_change : int or inf
        scored : bool
            Whether validation scores, not losses, are compared.
        """
        if self.ends and not scored:
            return np.inf
        schedule = SCHEDULES[self._config.schedule]
        return schedule.patience(
            n_iter_no_change, self.learning_rate, self._config.schedule_settings
        )

    def react_to_plateau(self):
        """Lower the learning rate by the schedule, or leave it to stop.

        Returns
        -------
        stops : bool
            Whether the training stops.
        action : str
            What happens, as a sentence for the user.
        """
        schedule = SCHEDULES[self._config.schedule]
        rate = schedule.on_plateau(self.learning_rate, self._config.schedule_settings)
        if rate is None:
            return True, schedule.end
        self.learning_rate = rate
        return False, f"Setting learning rate to {rate:f}"

    def to_state(self):
        """The state as a plain dict, for a pickle."""
        state = dict(vars(self))
        config = state.pop("_config")._asdict()
        state["config"] = config | {
            "schedule_settings": vars(config["schedule_settings"]),
            "segments": [tuple(segment) for segment in config["segments"]],
        }
        return state

    @classmethod
    def from_state(cls, state):
        """The optimizer of a `to_state`."""
        optimizer = cls.__new__(cls)
        vars(optimizer).update(state)
        config = OptimizerConfig(**vars(optimizer).pop("config"))
        settings = SimpleNamespace(**config.schedule_settings)
        optimizer._config = config._replace(
            schedule_settings=settings,
            segments=tuple(Segment(*values) for values in config.segments),
        )
        return optimizer
