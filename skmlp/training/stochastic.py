"""Training by minibatches: the epochs and what happens between them."""

import time
import warnings
from typing import NamedTuple

from sklearn.exceptions import ConvergenceWarning

from skmlp.training.finite import check_finite

# Ctrl-C waits for the running call of the backend, so that call is kept this short.
_SLICE_SECONDS = 0.1


class Rules(NamedTuple):
    """When to stop and what to print.

    Attributes
    ----------
    batch_size : int
    max_iter : int
        Epochs at most.
    shuffle : bool
    tol : float
    n_iter_no_change : int or inf
    verbose : bool or int
    incremental : bool
        A call of `partial_fit`: one epoch.
    """

    batch_size: int
    max_iter: int
    shuffle: bool
    tol: float
    n_iter_no_change: float
    verbose: bool | int
    incremental: bool


class _Slices:
    """Cuts epochs into calls of the backend that take about `_SLICE_SECONDS`."""

    def __init__(self):
        # Nothing is known yet of how long a batch takes.
        self._size = 1

    def train_epoch(self, session, optimizer, order, batch_size):
        """One epoch; returns the mean loss over its rows."""
        n_batches = -(-len(order) // batch_size)
        total = 0.0
        first = 0
        while first < n_batches:
            last = min(first + self._size, n_batches)
            start = time.perf_counter()
            rates = optimizer.rates((first, last), n_batches)
            total = session.train(
                optimizer, order, batch_size, (first, last), rates, total
            )
            seconds = time.perf_counter() - start
            self._size = max(1, int((last - first) * _SLICE_SECONDS / seconds))
            first = last
        return total / len(order)


def train(session, optimizer, progress, rules, rows, generator, score=None):
    """Train until the loss or the validation score stops improving.

    Parameters
    ----------
    session : a backend's session
    optimizer : skmlp.training.optimizer.Optimizer
    progress : skmlp.training.progress.Progress
        Filled in as the training goes; with `score` it has a `validation`.
    rules : Rules
    rows : ndarray of int64
        Rows to train on.
    generator : numpy.random.RandomState
        Shuffles.
    score : callable, optional
        ``score()`` is the validation score of the session's current parameters; with
        it the training stops by the score, not by the loss.

    Returns
    -------
    ndarray
        The parameters: the last, or those of the best validation score.

    Raises
    ------
    ValueError
        If the parameters are no longer finite at the end of an epoch.
    """
    try:
        _run_epochs(session, optimizer, progress, rules, rows, generator, score)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
    if score is not None:
        return progress.validation.best_parameters
    return session.parameters


def _run_epochs(session, optimizer, progress, rules, rows, generator, score):
    slices = _Slices()
    order = rows.copy()
    progress.n_epochs = 0
    for _ in range(1 if rules.incremental else rules.max_iter):
        if rules.shuffle:
            # In place, so cumulative: the orders and the random numbers are those of
            # scikit-learn, which permutes the last epoch's order.
            generator.shuffle(order)
        loss = slices.train_epoch(session, optimizer, order, rules.batch_size)
        _record(session, progress, rules, loss, len(rows), score)
        optimizer.end_epoch(progress.samples_seen)
        patience = optimizer.patience(rules.n_iter_no_change, scored=score is not None)
        if progress.no_improvement_count > patience:
            reason = _reason(rules, patience, score)
            if optimizer.stops_on_plateau(rules.verbose, reason):
                return
            progress.no_improvement_count = 0
    if not (rules.incremental or optimizer.ends):
        warnings.warn(
            f"Stochastic Optimizer: Maximum iterations ({rules.max_iter}) reached and "
            "the optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=2,
        )


def _record(session, progress, rules, loss, n_rows, score):
    progress.n_epochs += 1
    progress.samples_seen += n_rows
    progress.loss_curve.append(loss)
    if rules.verbose:
        print(f"Iteration {progress.n_epochs}, loss = {loss:.8f}")
    if score is None:
        check_finite(session.parameters)
        progress.judge_loss(rules.tol)
        return
    validation_score = score()
    progress.judge_score(
        progress.validation, validation_score, rules.tol, session.parameters
    )
    if rules.verbose:
        print(f"Validation score: {validation_score:f}")


def _reason(rules, patience, score):
    what = "Training loss" if score is None else "Validation score"
    return (
        f"{what} did not improve more than tol={rules.tol:f} for "
        f"{patience} consecutive epochs."
    )
