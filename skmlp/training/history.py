"""What a training has reached so far, and when it has stopped getting better."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Validation:
    """Losses and scores on held-out data and, where they decide, the best parameters.

    Attributes
    ----------
    measure : str
        Names the data and the scoring: scores of another measure cannot be compared.
    best_parameters : ndarray or None
        Of the best score; those that the training began with as long as there is none.
        None where scores are recorded but do not decide.
    losses, scores : list of float
        One an epoch; scores are nan where the outputs were not finite.
    best_score : float
    """

    measure: str
    best_parameters: np.ndarray | None
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best_score: float = -np.inf

    @property
    def decides(self):
        """Whether scores tell when to stop."""
        return self.best_parameters is not None

    def add(self, measured, tol):
        """Record an epoch's loss and score; returns whether the score was no better."""
        loss, score, parameters = measured
        self.losses.append(loss)
        self.scores.append(score)
        # nan is not less than anything: it counts as an improvement, as in
        # scikit-learn, but never as the best.
        no_better = score < self.best_score + tol
        if score > self.best_score:
            self.best_score = score
            if self.decides:
                self.best_parameters = parameters.copy()
        return no_better


@dataclass
class Progress:
    """Curves and best values; goes on over warm starts and `partial_fit` calls.

    Attributes
    ----------
    loss_curve, learning_rates, seconds : list of float
        One an epoch; L-BFGS has no learning rates.
    best_loss : float
        Kept only where losses tell when to stop.
    validation : Validation or None
    no_improvement_count : int
    samples_seen : int
    n_epochs : int
        Epochs of the current call.
    """

    loss_curve: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_loss: float = np.inf
    validation: Validation | None = None
    no_improvement_count: int = 0
    samples_seen: int = 0
    n_epochs: int = 0

    @property
    def judged_by_score(self):
        """Whether validation scores and not losses tell when to stop."""
        return self.validation is not None and self.validation.decides

    def judge(self, loss, measured, tol):
        """Record an epoch's loss and what was measured, and compare with the best.

        Parameters
        ----------
        loss : float
        measured : (float, float, ndarray) or None
            Loss and score of the held-out data, and the parameters that they were
            measured with; None without `validation`.
        tol : float
            What counts as better.
        """
        self.loss_curve.append(loss)
        no_better = loss > self.best_loss - tol
        if not self.judged_by_score:
            self.best_loss = min(self.best_loss, loss)
        if self.validation is not None:
            score_no_better = self.validation.add(measured, tol)
            no_better = score_no_better if self.validation.decides else no_better
        self.no_improvement_count = self.no_improvement_count + 1 if no_better else 0

    def history(self):
        """Lists of equal length, by name; nan for epochs without validation data."""
        columns = {"loss": self.loss_curve}
        if self.learning_rates:
            columns["learning_rate"] = self.learning_rates
        columns["seconds"] = self.seconds
        if self.validation is not None:
            seen = self.validation
            without = [np.nan] * (len(self.loss_curve) - len(seen.scores))
            columns["validation_loss"] = without + seen.losses
            columns["validation_score"] = without + seen.scores
        return columns
