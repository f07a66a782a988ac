"""Training by minibatches: the epochs and what happens between them.

An epoch of a small network takes less time than what is done between two. So epochs
that nothing can come between are trained in one call of the backend: as many as there
must be before the training can stop improving, and as there is time for.
"""

import time
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmlp.training.clock import Clock
from skmlp.training.finite import check_finite

# Ctrl-C waits for the running call of the backend, so that call is kept this short. On
# a GPU nothing can end it, and a GPU with a screen is taken away from who keeps it.
_SLICE_SECONDS = 0.1
# Row numbers of epochs that are trained at once: 2 MB.
_MOST_NUMBERS = 1 << 18
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
    """Cuts the training into calls of the backend that take about `_SLICE_SECONDS`.

    A call returns its losses, so that when it does the device has done all of it: the
    time of a call is that of its work, and of whatever is to be done once, which makes
    the next call shorter and never longer.
    """

    def __init__(self, clock):
        self._clock = clock
        # Nothing is known yet of how long a batch takes.
        self._size = 1

    def whole_epochs(self, n_rows, batch_size):
        """How many epochs a call has time for, one at least."""
        return max(1, self._size // -(-n_rows // batch_size))

    def train(self, session, optimizer, orders, batch_size):
        """Train on one epoch, or what there is time for, or on several at once.

        Returns
        -------
        losses : list of float
            The rows' mean, by epoch.
        n_rows : int
            Rows of an epoch that were trained on.
        """
        n_epochs, n_rows = orders.shape
        n_batches = -(-n_rows // batch_size)
        if n_epochs == 1:
            return self._train_epoch(session, optimizer, orders[0], batch_size)
        start = time.perf_counter()
        rates = optimizer.rates((0, n_epochs * n_batches), n_batches)
        totals = session.train_epochs(optimizer, orders, batch_size, rates)
        self._adapt(n_epochs * n_rows / batch_size, start)
        return [total / n_rows for total in totals], n_rows

    def _train_epoch(self, session, optimizer, order, batch_size):
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
            before, n_rows = n_rows, min(last * batch_size, len(order))
            self._adapt((n_rows - before) / batch_size, start)
            first = last
        return [total / n_rows], n_rows

    def _next(self, left):
        """Batches of the next call, of so many that are left of the epoch.

        All of them in calls of equal size: a short rest would tell little of the time.
        """
        return -(-left // -(-left // self._size))

    def _adapt(self, batches, start):
        """Learn from a call; a last batch of fewer rows is a part of one."""
        seconds = time.perf_counter() - start
        budget = max(0.0, min(_SLICE_SECONDS, self._clock.left))
        possible = int(batches * budget / seconds)
        self._size = max(1, min(possible, _GROWTH * self._size))


def train(session, optimizer, progress, rules, rows, generator, measure=None):
    """Train until the loss or the validation score stops improving.

    Parameters
    ----------
    session : a backend's session
    optimizer : skmlp.training.optimizer_state.Optimizer
    progress : skmlp.training.history.Progress
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


class _Orders:
    """The order of the rows, epoch by epoch.

    Shuffled in place, so cumulative: the orders and the random numbers are those of
    scikit-learn, which permutes the last epoch's order.
    """

    def __init__(self, rows, generator):
        self._order = rows.copy()
        self._generator = generator

    def next(self, n_epochs):
        """Those of the next epochs, of shape (n_epochs, rows), until the next call."""
        if n_epochs == 1:  # not copied: it may have millions of rows
            return self._following()[np.newaxis]
        orders = np.empty((n_epochs, len(self._order)), dtype=self._order.dtype)
        for order in orders:
            order[:] = self._following()
        return orders

    def _following(self):
        """That of the next epoch, where all have been before."""
        # Here, for it brings the compiler, which nobody needs who only loads a model.
        from skmlp.training.shuffling import shuffle

        if self._generator is not None:
            shuffle(self._generator, self._order)
        return self._order


def _run_epochs(session, optimizer, progress, rules, rows, generator, measure):
    clock = Clock(rules.max_time, progress.seconds[-1] if progress.seconds else 0.0)
    slices = _Slices(clock)
    orders = _Orders(rows, generator if rules.shuffle else None)
    progress.n_epochs = 0
    most = 1 if rules.incremental else rules.max_iter
    while progress.n_epochs < most:
        begun = clock.seconds
        n_epochs = 1
        if measure is None:
            n_epochs = min(
                most - progress.n_epochs,
                _undisturbed(optimizer, progress, rules, len(rows)),
                slices.whole_epochs(len(rows), rules.batch_size),
            )
        losses, n_rows = slices.train(
            session, optimizer, orders.next(n_epochs), rules.batch_size
        )
        if not progress.judged_by_score:
            check_finite(session.parameters)
        # Measured before anything is recorded: a Ctrl-C meanwhile leaves whole epochs.
        measured = None if measure is None else (*measure(), session.parameters)
        share = (clock.seconds - begun) / n_epochs
        for number, (loss, rate) in enumerate(
            zip(losses, optimizer.last_rates, strict=True), start=1
        ):
            progress.n_epochs += 1
            progress.judge(loss, measured, rules.tol)
            progress.learning_rates.append(rate)
            progress.seconds.append(begun + number * share)
            progress.samples_seen += n_rows
            optimizer.end_epoch(progress.samples_seen)
            if rules.verbose:
                _report(progress)
            if _stops(optimizer, progress, rules):
                return
        if clock.left <= 0:
            _warn_of_end(f"time ({rules.max_time} s)")
            return
    if not (rules.incremental or optimizer.ends):
        _warn_of_end(f"iterations ({rules.max_iter})")


def _undisturbed(optimizer, progress, rules, n_rows):
    """Epochs that need not be looked at one by one: the last may end the training."""
    if not optimizer.knows_next_epochs:
        return 1
    patience = optimizer.patience(rules.n_iter_no_change, scored=False)
    until_end = patience + 1 - progress.no_improvement_count
    return int(max(1, min(until_end, _MOST_NUMBERS // n_rows)))


def _stops(optimizer, progress, rules):
    """Whether the training has stopped improving and is not helped by a lower rate."""
    by_score = progress.judged_by_score
    patience = optimizer.patience(rules.n_iter_no_change, scored=by_score)
    if progress.no_improvement_count <= patience:
        return False
    message = _reason(rules, patience, by_score)
    if optimizer.stops_on_plateau(rules.verbose, message):
        return True
    progress.no_improvement_count = 0
    return False


def _warn_of_end(limit):
    warnings.warn(
        f"Stochastic Optimizer: Maximum {limit} reached and the optimization hasn't "
        "converged yet.",
        ConvergenceWarning,
        stacklevel=3,
    )


def _report(progress):
    print(f"Iteration {progress.n_epochs}, loss = {progress.loss_curve[-1]:.8f}")
    if progress.validation is not None:
        print(f"Validation score: {progress.validation.scores[-1]:f}")


def _reason(rules, patience, by_score):
    what = "Validation score" if by_score else "Training loss"
    return (
        f"{what} did not improve more than tol={rules.tol:f} for "
        f"{patience} consecutive epochs."
    )
