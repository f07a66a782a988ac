"""What a training has reached so far, and when it has stopped getting better."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Progress:
    """Curves and best values; goes on over warm starts and `partial_fit` calls.

    Attributes
    ----------
    loss_curve : list of float
    validation_scores : list of float or None
        None without early stopping.
    best_loss : float or None
        None with early stopping.
    best_validation_score : float or None
    best_parameters : ndarray or None
        The parameters of the best validation score.
    no_improvement_count : int
    samples_seen : int
    n_epochs : int
        Epochs of the current call.
    """

    loss_curve: list = field(default_factory=list)
    validation_scores: list | None = None
    best_loss: float | None = np.inf
    best_validation_score: float | None = None
    best_parameters: np.ndarray | None = None
    no_improvement_count: int = 0
    samples_seen: int = 0
    n_epochs: int = 0

    def watch_validation(self, parameters):
        """Judge by validation scores from here on; `parameters` are the best so far."""
        if self.validation_scores is None:
            self.validation_scores = []
            self.best_validation_score = -np.inf
            self.best_loss = None
        if self.best_parameters is None:
            self.best_parameters = parameters.copy()

    def add_score(self, score, tol, parameters):
        """Record a validation score, which may be nan."""
        self.validation_scores.append(score)
        # nan is not less than anything: it counts as an improvement, as in
        # scikit-learn, but never as the best.
        if score < self.best_validation_score + tol:
            self.no_improvement_count += 1
        else:
            self.no_improvement_count = 0
        if score > self.best_validation_score:
            self.best_validation_score = score
            self.best_parameters = parameters.copy()

    def judge_loss(self, tol):
        """Compare the last loss with the best."""
        loss = self.loss_curve[-1]
        if loss > self.best_loss - tol:
            self.no_improvement_count += 1
        else:
            self.no_improvement_count = 0
        self.best_loss = min(self.best_loss, loss)
