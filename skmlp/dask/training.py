"""What a worker does in a fit: one task, from its blocks to the fitted estimator."""

import time
from typing import Any, NamedTuple

from distributed import get_worker, secede

from skmlp.dask.checkpoints import read_checkpoint, write_checkpoint
from skmlp.dask.collective import CommCollective
from skmlp.dask.mailbox import OPERATION, open_mailbox
from skmlp.dask.partitions import concatenated
from skmlp.dask.progress import Epoch
from skmlp.dask.worker_warnings import recorded_warnings
from skmlp.data_parallel.replica import Shard, fit_replica

# Of a task that somebody waits for.
_RUNNING = ("executing", "long-running")


class Plan(NamedTuple):
    """What all ranks of a fit must know.

    Attributes
    ----------
    fit : str
        Its name, unique in the cluster; also the topic of its epochs.
    estimator : MLPClassifier or MLPRegressor
    sync_every : int or inf
    timeout : float
        Seconds that a worker may wait for another.
    max_time : float or None
    checkpoint : str or None
        A directory.
    n_epochs : int
        Of those that have ended before a worker was lost; if there are some, the
        training goes on from the checkpoint.
    seconds : float
        That they took.
    """

    fit: str
    estimator: Any
    sync_every: float
    timeout: float
    max_time: float | None
    checkpoint: str | None
    n_epochs: int = 0
    seconds: float = 0.0


class Result(NamedTuple):
    """What rank 0 brings back.

    Attributes
    ----------
    fitted : MLPClassifier or MLPRegressor
    warnings : list of tuple
        Message and category of those of the training.
    is_late : bool
        Whether the time limit has ended it.
    """

    fitted: Any
    warnings: list
    is_late: bool


def open_rank(fit, rank, n_ranks, timeout):
    """Let this worker take messages; returns its address."""
    worker = get_worker()
    open_mailbox(worker, fit, rank, n_ranks, timeout)
    return worker.address


def request_stop(fit):
    """Let a fit stop at the end of an epoch, from the worker of its rank 0."""
    hub = get_worker().extensions.get(OPERATION)
    mailbox = None if hub is None else hub.mailboxes.get(fit)
    if mailbox is not None:
        mailbox.stops = True


def train_rank(plan, addresses, blocks, val_blocks):
    """Train one rank, as a long-running task of its worker.

    Parameters
    ----------
    plan : Plan
    addresses : list of str
        Of the workers, by rank.
    blocks, val_blocks : list of Block
        Of this worker.

    Returns
    -------
    Result or None
        None but on rank 0.
    """
    worker = get_worker()
    key = worker.get_current_task()
    # Other tasks may run beside this one, which mostly waits or leaves the GIL.
    secede()

    def is_wanted():
        task = worker.state.tasks.get(key)
        return task is not None and task.state in _RUNNING

    options = {"timeout": plan.timeout, "is_wanted": is_wanted}
    with (
        recorded_warnings() as found,
        CommCollective(worker, plan.fit, addresses, **options) as collective,
    ):
        try:
            shard = _shard(blocks, val_blocks)
            report = EpochReport(plan, worker)
            fitted = _train(plan, shard, collective, report, worker.state.nthreads)
        except Exception as error:
            error.add_note(f"On the worker {worker.address} (rank {collective.rank}).")
            raise
    return Result(fitted, found, report.is_late) if collective.rank == 0 else None


def _train(plan, shard, collective, report, n_threads):
    resumed_from = None
    if plan.n_epochs > 0:
        is_first = collective.rank == 0
        saved = read_checkpoint(plan.checkpoint) if is_first else None
        resumed_from = collective.broadcast("checkpoint", saved)
    estimator = plan.estimator
    if estimator.n_jobs is None:
        estimator.set_params(n_jobs=n_threads)
    return fit_replica(
        estimator,
        shard,
        collective,
        sync_every=plan.sync_every,
        on_epoch=report,
        resumed_from=resumed_from,
    )


def _shard(blocks, val_blocks):
    fields = ("X", "y", "sample_weight")
    values = [concatenated(blocks, field) for field in fields]
    if val_blocks:
        values += [concatenated(val_blocks, field) for field in fields]
    return Shard(*values)


class EpochReport:
    """Writes the checkpoint and tells the client, after each epoch, on rank 0.

    Attributes
    ----------
    is_late : bool
        Whether the time limit is reached.
    """

    def __init__(self, plan, worker):
        self._plan, self._worker = plan, worker
        self._mailbox = worker.extensions[OPERATION].mailboxes[plan.fit]
        self._start = time.monotonic() - plan.seconds
        self.is_late = False

    def __call__(self, update):
        """Returns whether the training shall stop."""
        plan = self._plan
        if plan.checkpoint is not None:
            write_checkpoint(plan.checkpoint, update.estimator())
        seconds = time.monotonic() - self._start
        epoch = Epoch(
            int(update.epoch),
            float(update.loss),
            _as_float(update.validation_loss),
            _as_float(update.validation_score),
            seconds,
            None if update.n_samples is None else int(update.n_samples),
        )
        self._worker.log_event(plan.fit, [*epoch])
        self.is_late = plan.max_time is not None and seconds >= plan.max_time
        return self.is_late or self._mailbox.stops or not self._mailbox.is_wanted()


def _as_float(value):
    """A number as messages hold it."""
    return None if value is None else float(value)
