"""What a training has reached so far, and when it has stopped getting better."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Validation:
    """Scores on held-out data, and the parameters of the best.

    Attributes
    ----------
    best_parameters : ndarray
        Of the best score; those that the training began with as long as there is none.
    scores : list of float
        One an epoch; nan where the outputs were not finite.
    best_score : float
    """

    best_parameters: np.ndarray
    scores: list[float] = field(default_factory=list)
    best_score: float = -np.inf


@dataclass
class Progress:
    """Curves and best values; goes on over warm starts and `partial_fit` calls.

    Attributes
    ----------
    loss_curve : list of float
    best_loss : float
        Kept only without validation.
    validation : Validation or None
        With it, scores and not losses tell when to stop.
    no_improvement_count : int
    samples_seen : int
    n_epochs : int
        Epochs of the current call.
    """

    loss_curve: list[float] = field(default_factory=list)
    best_loss: float = np.inf
    validation: Validation | None = None
    no_improvement_count: int = 0
    samples_seen: int = 0
    n_epochs: int = 0

    def judge_loss(self, tol):
        """Compare the last loss with the best."""
        loss = self.loss_curve[-1]
        self._count(loss > self.best_loss - tol)
        self.best_loss = min(self.best_loss, loss)

    def judge_score(self, validation, score, tol, parameters):
        """Record a validation score and compare it with the best."""
        validation.scores.append(score)
        # nan is not less than anything: it counts as an improvement, as in
        # scikit-learn, but never as the best.
        self._count(score < validation.best_score + tol)
        if score > validation.best_score:
            validation.best_score = score
            validation.best_parameters = parameters.copy()

    def _count(self, no_better):
        self.no_improvement_count = self.no_improvement_count + 1 if no_better else 0
