"""Training by minibatches: the epoch loop.

An epoch of a small network is shorter than the bookkeeping between two epochs. So the
loop trains several epochs in one call of the backend where nothing can happen between
them: as many as must pass before the training can stop improving, and as fit into the
time of a call.
"""

import time
import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skmlp.call_site import is_silent, user_stacklevel
from skmlp.training.history import Measurement, Outcome
from skmlp.training.listener import EpochRecord, Snapshot
from skmlp.training.report import reporter_of
from skmlp.training.stopping import Clock, check_finite, stops_by_ctrl_c
from skmlp.training.undo import BeforeCall
from skmlp.training.unfinished import note_unfinished, take_back

# Target duration of a backend call. Ctrl-C waits for the running call; a GPU cannot
# interrupt it at all, and a GPU that drives a screen freezes the screen meanwhile.
_CALL_SECONDS = 0.1
# Row indices of the epochs that one call trains: 2 MB at most.
_MAX_ROW_IDS = 1 << 18
# The batches per call may grow at most 3× from one call to the next, so one
# misleadingly fast call (nearly empty sparse rows) can overshoot the 0.1 s target by at
# most 3×.
_MAX_GROWTH = 3


class MinibatchConfig(NamedTuple):
    """Batch size, when to stop and what to print.

    Attributes
    ----------
    batch_size : int
    max_iter : int
        Largest number of epochs.
    tol : float
        The improvement that counts as one.
    n_iter_no_change : int or inf
        Patience in epochs.
    verbose : bool or int
    incremental : bool
        Whether this is a call of `partial_fit`, which trains one epoch.
    max_time : float or None
        Seconds.
    n_resumed : int
        Epochs of the fit that this call resumes, among which the history's
        unfinished one.
    of_chunks : bool
        Whether rows come in chunks: epochs are trained one by one, and `resume` cannot
        go on.
    """

    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: float
    verbose: bool | int
    incremental: bool
    max_time: float | None
    n_resumed: int = 0
    of_chunks: bool = False


class _Calls:
    """Cuts the training into backend calls of about `_CALL_SECONDS`.

    A call returns losses, so it ends when the device has finished its work. Its time
    includes work that is done only once, such as compilation, which makes the next call
    shorter and never longer.
    """

    def __init__(self, clock):
        self._clock = clock
        # Batches per call: the time of a batch is still unknown.
        self._size = 1
        # Sum of the losses of the last epoch that was trained alone.
        self.total = 0.0

    def epochs_per_call(self, n_rows, batch_size):
        """How many whole epochs fit into a call, at least one."""
        return max(1, self._size // -(-n_rows // batch_size))

    def train(self, session, optimizer, orders, batch_size, n_done=0):
        """Train several epochs in one call, or one epoch in as many as it needs.

        A single epoch ends early when the time limit is reached. It goes on after
        `n_done` rows, the sum of whose losses is `total`.

        Returns
        -------
        losses : list of float
            Mean loss of the rows, by epoch.
        learning_rates : list of float
            Learning rate of each epoch's last step.
        n_rows : int
            Rows per epoch that were trained on.
        """
        n_epochs, n_rows = orders.shape
        n_batches = -(-n_rows // batch_size)
        if n_epochs == 1:
            return self._train_epoch(session, optimizer, orders[0], batch_size, n_done)
        start = time.perf_counter()
        rates = optimizer.next_rates((0, n_epochs * n_batches), n_batches)
        totals = session.train_epochs(optimizer, orders, batch_size, rates.table)
        self._adapt(n_epochs * n_rows / batch_size, start)
        return [total / n_rows for total in totals], rates.learning_rates, n_rows

    def _train_epoch(self, session, optimizer, order, batch_size, n_done):
        n_batches = -(-len(order) // batch_size)
        total = self.total if n_done else 0.0
        first, n_rows = n_done // batch_size, n_done
        while first < n_batches and (n_rows == n_done or self._clock.left > 0):
            last = first + self._next_size(n_batches - first)
            start = time.perf_counter()
            rates = optimizer.next_rates((first, last), n_batches)
            total = session.train(
                optimizer, order, batch_size, (first, last), rates.table, total
            )
            before, n_rows = n_rows, min(last * batch_size, len(order))
            self._adapt((n_rows - before) / batch_size, start)
            first = last
        self.total = total
        return [total / n_rows], rates.learning_rates, n_rows

    def _next_size(self, n_left):
        """Batches of the next call, when `n_left` are left of the epoch.

        All calls have the same size: a short last one would say little about the time.
        """
        return -(-n_left // -(-n_left // self._size))

    def _adapt(self, n_batches, start):
        """Adapt the size to a call's time; a smaller last batch counts as a part."""
        seconds = time.perf_counter() - start
        budget = max(0.0, min(_CALL_SECONDS, self._clock.left))
        possible = int(n_batches * budget / seconds)
        self._size = max(1, min(possible, _MAX_GROWTH * self._size))


def train(session, optimizer, history, config, orders, scorer=None, listener=None):
    """Train until the loss or the validation score stops improving.

    Parameters
    ----------
    session : skmlp.backends.Session
    optimizer : skmlp.training.optimizer_state.OptimizerState
    history : skmlp.training.history.History
        Filled in epoch by epoch; with `scorer` it has a `validation`, whose `stops`
        says whether the score or the loss ends the training.
    config : MinibatchConfig
    orders : skmlp.training.sampling.Orders
        The rows of each epoch.
    scorer : callable, optional
        ``scorer()`` returns loss and score of the held-out data with the session's
        current parameters.
    listener : skmlp.training.listener.Listener, optional
        Told of each epoch, which is then trained in a call of its own.

    Returns
    -------
    skmlp.training.history.Outcome
        Its parameters are the last ones, or those of the best validation score where
        the score decides. `partial_fit` always goes on from the last ones.

    Raises
    ------
    ValueError
        If the parameters are not finite at the end of an epoch.
    """
    clock = Clock(config.max_time, history.seconds[-1] if history.seconds else 0.0)
    reporter = reporter_of(config.verbose, clock)
    loop = _Loop(session, optimizer, history, config, clock, reporter, listener)
    has_stopped, is_whole = False, True
    try:
        with stops_by_ctrl_c(clock):
            has_stopped = loop.run(orders, scorer)
    except KeyboardInterrupt:
        is_whole = False
    finally:
        if reporter is not None:
            reporter.finish()
    if not is_whole or clock.is_interrupted:
        advice = _advice(config) if is_whole else ""
        warnings.warn(
            f"Training interrupted by user.{advice}", stacklevel=user_stacklevel()
        )
    return _outcome(session, history, config, has_stopped, is_whole=is_whole)


def _outcome(session, history, config, has_stopped, *, is_whole=True):
    by_score = history.stops_by_score and not config.incremental
    losses = history.loss_curve
    return Outcome(
        params=history.validation.best_params.copy() if by_score else session.params,
        loss=losses[-1] if losses else np.inf,
        n_iter=history.n_epochs,
        can_resume=is_whole and not (config.incremental or config.of_chunks),
        has_stopped=has_stopped,
        last_params=session.params if by_score and not has_stopped else None,
    )


class _Loop:
    """The loop over the epochs, and whom it tells of them."""

    def __init__(self, session, optimizer, history, config, clock, reporter, listener):
        self._session = session
        self._optimizer = optimizer
        self._history = history
        self._config = config
        self._clock = clock
        self._reporter = reporter
        self._listener = listener

    def run(self, orders, scorer):
        """Train epoch by epoch; returns whether the training has stopped by itself."""
        session, optimizer, history = self._session, self._optimizer, self._history
        config, clock = self._config, self._clock
        calls = _Calls(clock)
        history.n_epochs, n_done, norm = config.n_resumed, 0, None
        if config.n_resumed:
            n_done, calls.total, norm = take_back(history, optimizer)
        history.unfinished = None
        orders.skip(history.n_epochs)
        max_epochs = 1 if config.incremental else config.max_iter
        while history.n_epochs < max_epochs:
            start = clock.seconds
            n_epochs = 1
            self._begin()
            is_alone = scorer is not None or config.of_chunks
            if not (is_alone or n_done or self._takes_snapshots):
                n_epochs = min(
                    max_epochs - history.n_epochs,
                    _epochs_before_a_stop(optimizer, history, config, orders.n_rows),
                    calls.epochs_per_call(orders.n_rows, config.batch_size),
                )
            before: BeforeCall | None = None
            if self._listener is not None and n_epochs > 1:
                before = BeforeCall(session, optimizer, orders)
            losses, learning_rates, n_rows = calls.train(
                session, optimizer, orders.next(n_epochs), config.batch_size, n_done
            )
            norms = session.gradient_norms or [norm] * n_epochs
            n_done, norm = 0, None
            if not history.stops_by_score:
                check_finite(session.params)
            # Before anything is recorded, so that Ctrl-C during it leaves whole epochs.
            measured = None
            if scorer is not None:
                validation_loss, score = scorer()
                measured = Measurement(validation_loss, score, session.params)
            if n_rows < orders.n_rows:
                note_unfinished(history, optimizer, n_rows, calls.total)
            seconds_per_epoch = (clock.seconds - start) / n_epochs
            for i, (loss, rate, norm_of_epoch) in enumerate(
                zip(losses, learning_rates, norms, strict=True), start=1
            ):
                if i > 1:
                    self._begin()
                history.n_epochs += 1
                history.record(loss, measured, config.tol)
                history.record_gradient(norm_of_epoch)
                history.learning_rates.append(rate)
                history.seconds.append(start + i * seconds_per_epoch)
                history.samples_seen += n_rows
                optimizer.end_epoch(history.samples_seen)
                if self._reporter is not None:
                    self._reporter.epoch(self._record(n_rows))
                # An unfinished epoch says little.
                stops = self._stops()
                has_stopped = stops and history.unfinished is None
                if self._is_told_to_stop(n_rows, has_stopped) or stops:
                    if before is not None and i < n_epochs:
                        before.train_again(i, config.batch_size)
                    return has_stopped
            if clock.is_interrupted:
                return False
            if clock.left <= 0:
                _warn_of_limit(f"time ({config.max_time} s)", _advice(config))
                return False
        if not (config.incremental or optimizer.ends):
            advice = _advice(config, max_iter=2 * config.max_iter)
            _warn_of_limit(f"iterations ({config.max_iter})", advice)
        return optimizer.ends

    @property
    def _takes_snapshots(self):
        return self._listener is not None and self._listener.takes_snapshots

    def _begin(self):
        if self._listener is not None:
            self._listener.begin()

    def _record(self, n_rows, *, has_stopped=False):
        """The `EpochRecord` of the last epoch."""
        config, history = self._config, self._history
        n_epochs = len(history.loss_curve) if config.incremental else history.n_epochs
        return EpochRecord(
            epoch=n_epochs,
            max_epochs=None if config.incremental else config.max_iter,
            n_rows=n_rows,
            history=history,
            snapshot=lambda: self._snapshot(has_stopped),
        )

    def _snapshot(self, has_stopped):
        session, history = self._session, self._history.copy()
        session.sync(self._optimizer)
        outcome = _outcome(session, history, self._config, has_stopped)
        if (last := outcome.last_params) is not None:
            last = last.copy()
        return Snapshot(
            outcome=outcome._replace(params=outcome.params.copy(), last_params=last),
            history=history,
            optimizer=self._optimizer.copy(self._optimizer.slots.dtype),
        )

    def _is_told_to_stop(self, n_rows, has_stopped):
        if self._listener is None:
            return False
        return self._listener.end(self._record(n_rows, has_stopped=has_stopped))

    def _stops(self):
        """Whether the patience has run out and the rate is not lowered instead."""
        history, optimizer, config = self._history, self._optimizer, self._config
        by_score = history.stops_by_score
        patience = optimizer.patience(config.n_iter_no_change, scored=by_score)
        if history.no_improvement_count <= patience:
            return False
        stops, action = optimizer.react_to_plateau()
        if self._reporter is not None:
            message = _plateau_message(config.tol, patience, by_score)
            self._reporter.say(f"{message} {action}")
        if not stops:
            history.no_improvement_count = 0
        return stops


def _advice(config, **arguments):
    """A sentence for the warnings of limits: how to go on."""
    if config.incremental or config.of_chunks:
        return ""
    call = ", ".join(["X, y", *(f"{name}={arguments[name]}" for name in arguments)])
    return f" To go on as if it had not ended, call resume({call})."


def _epochs_before_a_stop(optimizer, history, config, n_rows):
    """Epochs to train before the training can stop, the one that may stop included."""
    if not optimizer.knows_next_epochs:
        return 1
    patience = optimizer.patience(config.n_iter_no_change, scored=False)
    until_stop = patience + 1 - history.no_improvement_count
    return int(max(1, min(until_stop, _MAX_ROW_IDS // n_rows)))


def _warn_of_limit(limit, advice):
    if is_silent(ConvergenceWarning):
        return
    warnings.warn(
        f"Stochastic Optimizer: Maximum {limit} reached and the optimization hasn't "
        f"converged yet.{advice}",
        ConvergenceWarning,
        stacklevel=user_stacklevel(),
    )


def _plateau_message(tol, patience, by_score):
    name = "Validation score" if by_score else "Training loss"
    return (
        f"{name} did not improve more than tol={tol:f} for "
        f"{patience} consecutive epochs."
    )
