"""Training by minibatches: the epochs and what happens between them."""

import time
import warnings
from typing import NamedTuple

from sklearn.exceptions import ConvergenceWarning

from skmlp.training.clock import Clock
from skmlp.training.finite import check_finite

# Ctrl-C waits for the running call of the backend, so that call is kept this short. On
# a GPU nothing can end it, and a GPU with a screen is taken away from who keeps it.
_SLICE_SECONDS = 0.1
# A call has at most so many times as many batches as calls might have before. Were the
# last ones misleadingly fast, as sparse rows with hardly an entry are, it takes as many
# slices at most, as long as what calls had before takes one.
_GROWTH = 3


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
    max_time : float or None
        Seconds after which the training ends.
    """

    batch_size: int
    max_iter: int
    shuffle: bool
    tol: float
    n_iter_no_change: float
    verbose: bool | int
    incremental: bool
    max_time: float | None


class _Slices:
    """Cuts epochs into calls of the backend that take about `_SLICE_SECONDS`.

    A call returns its losses, so that when it does the device has done all of it: the
    time of a call is that of its work, and of whatever is to be done once, which makes
    the next call shorter and never longer.
    """

    def __init__(self, clock):
        self._clock = clock
        # Nothing is known yet of how long a batch takes.
        self._size = 1

    def train_epoch(self, session, optimizer, order, batch_size):
        """One epoch, or what there is time for: the rows' mean loss, their number."""
        n_batches = -(-len(order) // batch_size)
        total = 0.0
        first = n_rows = 0
        while first < n_batches and (first == 0 or self._clock.left > 0):
            last = first + self._next(n_batches - first)
            start = time.perf_counter()
            rates = optimizer.rates((first, last), n_batches)
            total = session.train(
                optimizer, order, batch_size, (first, last), rates, total
            )
            seconds = time.perf_counter() - start
            before, n_rows = n_rows, min(last * batch_size, len(order))
            self._adapt((n_rows - before) / batch_size, seconds)
            first = last
        return total / n_rows, n_rows

    def _next(self, left):
        """Batches of the next call, of so many that are left of the epoch.

        All of them in calls of equal size: a short rest would tell little of the time.
        """
        return -(-left // -(-left // self._size))

    def _adapt(self, batches, seconds):
        """Learn from a call; a last batch of fewer rows is a part of one."""
        budget = max(0.0, min(_SLICE_SECONDS, self._clock.left))
        possible = int(batches * budget / seconds)
        self._size = max(1, min(possible, _GROWTH * self._size))


def train(session, optimizer, progress, rules, rows, generator, measure=None):
    """Train until the loss or the validation score stops improving.

    Parameters
    ----------
    session : a backend's session
    optimizer : skmlp.training.optimizer.Optimizer
    progress : skmlp.training.progress.Progress
        Filled in as the training goes; with `measure` it has a `validation`, which
        says whether the training stops by the score or by the loss.
    rules : Rules
    rows : ndarray of int64
        Rows to train on.
    generator : numpy.random.RandomState
        Shuffles.
    measure : callable, optional
        ``measure()`` gives loss and score of the held-out data with the session's
        current parameters.

    Returns
    -------
    ndarray
        The parameters: the last, or those of the best validation score where that
        decides; but the last where the calls are incremental, for the next to go on.

    Raises
    ------
    ValueError
        If the parameters are no longer finite at the end of an epoch.
    """
    try:
        _run_epochs(session, optimizer, progress, rules, rows, generator, measure)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=2)
    if progress.judged_by_score and not rules.incremental:
        return progress.validation.best_parameters
    return session.parameters


def _run_epochs(session, optimizer, progress, rules, rows, generator, measure):
    # Here, for it brings the compiler, which nobody needs who only loads a model.
    from skmlp.shuffling import shuffle

    clock = Clock(rules.max_time, progress.seconds[-1] if progress.seconds else 0.0)
    slices = _Slices(clock)
    order = rows.copy()
    progress.n_epochs = 0
    for _ in range(1 if rules.incremental else rules.max_iter):
        if rules.shuffle:
            # In place, so cumulative: the orders and the random numbers are those of
            # scikit-learn, which permutes the last epoch's order.
            shuffle(generator, order)
        loss, n_rows = slices.train_epoch(session, optimizer, order, rules.batch_size)
        if not progress.judged_by_score:
            check_finite(session.parameters)
        _record(session, progress, rules, loss, measure)
        progress.learning_rates.append(optimizer.last_rate)
        progress.seconds.append(clock.seconds)
        progress.samples_seen += n_rows
        optimizer.end_epoch(progress.samples_seen)
        by_score = progress.judged_by_score
        patience = optimizer.patience(rules.n_iter_no_change, scored=by_score)
        if progress.no_improvement_count > patience:
            message = _reason(rules, patience, by_score)
            if optimizer.stops_on_plateau(rules.verbose, message):
                return
            progress.no_improvement_count = 0
        if clock.left <= 0:
            _warn_of_end(f"time ({rules.max_time} s)")
            return
    if not (rules.incremental or optimizer.ends):
        _warn_of_end(f"iterations ({rules.max_iter})")


def _warn_of_end(limit):
    warnings.warn(
        f"Stochastic Optimizer: Maximum {limit} reached and the optimization hasn't "
        "converged yet.",
        ConvergenceWarning,
        stacklevel=3,
    )


def _record(session, progress, rules, loss, measure):
    # Measured before anything is recorded: a Ctrl-C meanwhile leaves whole epochs.
    measured = None if measure is None else measure()
    progress.n_epochs += 1
    progress.judge(loss, measured, rules.tol, session.parameters)
    if rules.verbose:
        print(f"Iteration {progress.n_epochs}, loss = {loss:.8f}")
        if measured is not None:
            print(f"Validation score: {measured[1]:f}")


def _reason(rules, patience, by_score):
    what = "Validation score" if by_score else "Training loss"
    return (
        f"{what} did not improve more than tol={rules.tol:f} for "
        f"{patience} consecutive epochs."
    )
