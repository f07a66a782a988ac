"""The history of a training: learning curves, the best values and the patience."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np


class Measurement(NamedTuple):
    """Loss and score of held-out data after an epoch.

    Attributes
    ----------
    loss, score : float
    params : ndarray
        The parameters that they were measured with.
    """

    loss: float
    score: float
    params: np.ndarray


class Outcome(NamedTuple):
    """What a solver returns.

    Attributes
    ----------
    params : ndarray
        The trained parameters.
    loss : float
        The last training loss; inf without any.
    n_iter : int
        Epochs or iterations of this call, and of the fit that it resumes.
    can_resume : bool
        Whether the training can go on as if it had not ended.
    has_stopped : bool
        Whether it has stopped by itself, not at a limit.
    last_params : ndarray or None
        The last parameters, where `params` are others and the training can go on.
    """

    params: np.ndarray
    loss: float
    n_iter: int
    can_resume: bool = False
    has_stopped: bool = False
    last_params: np.ndarray | None = None


@dataclass
class ValidationHistory:
    """Losses and scores on held-out data and, for early stopping, the best parameters.

    Attributes
    ----------
    measure : str
        Names the data and the scoring: scores of another measure cannot be compared.
    best_params : ndarray or None
        Parameters of the best score; the initial ones until there is a score. None
        where scores are recorded but do not stop the training.
    best_epoch : int
        Epochs of the whole history after which the parameters were the best ones.
    losses, scores : list of float
        One per epoch; a score is nan where the outputs were not finite.
    loss_column, score_column : list of float
        The same behind a nan for each epoch before the first one with these data: the
        same lists where there was none.
    best_score : float
    keeps_last : bool
        Whether the last of equally good epochs is the best one, not the first.
    """

    measure: str
    best_params: np.ndarray | None
    losses: list[float]
    scores: list[float]
    loss_column: list[float]
    score_column: list[float]
    best_score: float = -np.inf
    best_epoch: int = 0
    keeps_last: bool = False

    @classmethod
    def begin(cls, measure, best_params, n_before):
        """An empty history after some epochs without these data."""
        losses: list[float] = []
        scores: list[float] = []
        columns = losses, scores
        if n_before:
            columns = [np.nan] * n_before, [np.nan] * n_before
        return cls(measure, best_params, losses, scores, *columns, best_epoch=n_before)

    @property
    def stops(self):
        """Whether the scores decide when to stop."""
        return self.best_params is not None

    def record(self, measured, tol, epoch):
        """Record an epoch's `Measurement`; returns whether the score was no better.

        The epoch is counted from 1, over the whole history.
        """
        self.losses.append(measured.loss)
        self.scores.append(measured.score)
        if self.loss_column is not self.losses:
            self.loss_column.append(measured.loss)
            self.score_column.append(measured.score)
        # Comparisons with nan are false: nan counts as an improvement, as in
        # scikit-learn, but never becomes the best score.
        no_better = measured.score < self.best_score + tol
        is_equal = measured.score == self.best_score > -np.inf
        if measured.score > self.best_score or (self.keeps_last and is_equal):
            self.best_score = measured.score
            self.best_epoch = epoch
            if self.stops:
                self.best_params = measured.params.copy()
        return no_better


@dataclass
class History:
    """Learning curves and best values; goes on over warm starts and `partial_fit`.

    A call that goes on appends to the lists of the calls before, so that it costs the
    same after any number of epochs; one that fails removes what it has appended.

    Attributes
    ----------
    loss_curve, learning_rates, seconds : list of float
        One per epoch; L-BFGS has no learning rates.
    gradient_norms : list of float
        One per epoch, nan for epochs on a device that does not compute them; empty
        without any.
    best_loss : float
        Updated only where losses decide when to stop.
    validation : ValidationHistory or None
    no_improvement_count : int
    samples_seen : int
    n_epochs : int
        Epochs of the current call, and of the fit that it resumes.
    unfinished : dict or None
        By `skmlp.training.unfinished`, if the last epoch was cut.
    """

    loss_curve: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    best_loss: float = np.inf
    validation: ValidationHistory | None = None
    no_improvement_count: int = 0
    samples_seen: int = 0
    n_epochs: int = 0
    unfinished: dict | None = None

    @property
    def stops_by_score(self):
        """Whether validation scores, not losses, decide when to stop."""
        return self.validation is not None and self.validation.stops

    def record(self, loss, measured, tol):
        """Record an epoch and compare it with the best one.

        Parameters
        ----------
        loss : float
        measured : Measurement or None
            None without `validation`.
        tol : float
            The improvement that counts as one.
        """
        self.loss_curve.append(loss)
        no_better = loss > self.best_loss - tol
        if not self.stops_by_score:
            self.best_loss = min(self.best_loss, loss)
        if self.validation is not None:
            epoch = len(self.loss_curve)
            score_no_better = self.validation.record(measured, tol, epoch)
            no_better = score_no_better if self.validation.stops else no_better
        self.no_improvement_count = self.no_improvement_count + 1 if no_better else 0

    def record_gradient(self, norm):
        """Record the gradient's norm in the epoch that was recorded last.

        Parameters
        ----------
        norm : float or None
            None where it is not known.
        """
        if norm is None and not self.gradient_norms:
            return
        n_before = len(self.loss_curve) - 1
        missing = n_before - len(self.gradient_norms)
        self.gradient_norms += [np.nan] * missing
        self.gradient_norms.append(np.nan if norm is None else norm)

    def resumed(self):
        """A history that goes on from this one: it shares the lists, and only these."""
        validation = self.validation
        if validation is not None:
            validation = replace(validation)
        return replace(self, validation=validation)

    def copy(self):
        """An independent history: what is appended to this one does not reach it."""
        copies: dict[int, list] = {}

        def own(part):
            values = vars(part).items()
            return replace(part, **{name: of_its_own(value) for name, value in values})

        def of_its_own(value):
            if isinstance(value, list):  # the same list where it is the same
                return copies.setdefault(id(value), list(value))
            return own(value) if isinstance(value, ValidationHistory) else value

        return own(self)

    def lengths(self):
        """All lists and their lengths, to `cut` them to."""
        lists = [self.loss_curve, self.learning_rates, self.seconds]
        lists.append(self.gradient_norms)
        if (scored := self.validation) is not None:
            lists += [scored.losses, scored.scores]
            if scored.loss_column is not scored.losses:
                lists += [scored.loss_column, scored.score_column]
        return [(curve, len(curve)) for curve in lists]

    def columns(self):
        """Curves of equal length by name; nan for epochs without validation data."""
        columns = {"loss": self.loss_curve}
        if self.learning_rates:
            columns["learning_rate"] = self.learning_rates
        columns["seconds"] = self.seconds
        if self.gradient_norms:
            columns["gradient_norm"] = self.gradient_norms
        if self.validation is not None:
            columns["validation_loss"] = self.validation.loss_column
            columns["validation_score"] = self.validation.score_column
        return columns

    def to_state(self):
        """The history as plain dicts and lists, for a pickle."""
        state = dict(vars(self))
        if self.validation is not None:
            state["validation"] = dict(vars(self.validation))
        return state

    @classmethod
    def from_state(cls, state):
        """The history of a `to_state`."""
        validation = state["validation"]
        if validation is not None:
            validation = ValidationHistory(**validation)
        return cls(**{**state, "validation": validation})


def cut(lengths):
    """Cut lists to their lengths of a `History.lengths`."""
    for curve, length in lengths:
        del curve[length:]
