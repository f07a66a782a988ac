"""A fit on a cluster, as the client leads it: tasks, their errors, and lost workers."""

import logging
import math
import uuid

from distributed import get_client

from skmlp.dask.mailbox import WorkerLostError
from skmlp.dask.partitions import PlacedBlocks
from skmlp.dask.training import Plan, open_rank, request_stop, train_rank
from skmlp.dask.watching import Watch

_LOG = logging.getLogger("skmlp")
# Of lost workers that a fit with checkpoints survives.
_MOST_LOSSES = 3


def running_client(client):
    """The client to use: the one that is given, or Dask's current one.

    Raises
    ------
    ValueError
        If there is none.
    RuntimeError
        If it is closed.
    """
    if client is None:
        try:
            client = get_client()
        except ValueError:
            raise ValueError(
                "There is no Dask client. Make one, dask.distributed.Client(...), or "
                "pass client=."
            ) from None
    if client.asynchronous:
        raise ValueError("client is asynchronous; a fit needs a synchronous one.")
    if client.status != "running":
        raise RuntimeError(f"The Dask client is {client.status}.")
    return client


class ClusterFit:
    """Trains one estimator on the workers that hold its data.

    Parameters
    ----------
    client : distributed.Client
    estimator : DaskMLPClassifier or DaskMLPRegressor
        Its own parameters say how.
    local : MLPClassifier or MLPRegressor
        What is trained.
    progress : skmlp.dask.progress.Progress
    """

    def __init__(self, client, estimator, local, progress):
        self._client = client
        self._watch = Watch(client, estimator.timeout)
        self._progress = progress
        max_time, sync_every = local.max_time, estimator.sync_every
        self._plan = Plan(
            fit="",
            estimator=local.set_params(verbose=False, max_time=None),
            sync_every=math.inf if sync_every == "epoch" else sync_every,
            timeout=estimator.timeout,
            max_time=max_time,
            checkpoint=estimator.checkpoint,
        )

    def run(self, data, validation):
        """Train, again and again if workers are lost and there are checkpoints.

        Parameters
        ----------
        data : skmlp.dask.partitions.Collections
        validation : skmlp.dask.partitions.Collections or None

        Returns
        -------
        skmlp.dask.training.Result
        """
        workers = self._watch.workers()
        if not workers:
            raise RuntimeError("The cluster has no workers.")
        blocks = PlacedBlocks(self._client, data)
        val_blocks = None
        if validation is not None:
            val_blocks = PlacedBlocks(self._client, validation)
        n_losses = 0
        while True:
            try:
                return self._attempt(workers, blocks, val_blocks)
            except WorkerLostError as error:
                n_losses += 1
                if self._plan.checkpoint is None or n_losses > _MOST_LOSSES:
                    raise self._loss(error.address, n_losses) from error
                _LOG.warning(
                    "The worker %s was lost after epoch %d; the fit goes on without it",
                    error.address,
                    self._progress.epoch,
                )
                workers = self._watch.wait_for_change(error.address)
                if not workers:
                    raise self._loss(error.address, n_losses) from error

    def _loss(self, address, n_losses):
        message = (
            f"The worker {address} was lost after epoch {self._progress.epoch}: it was "
            "killed or retired, ran out of memory, or its connection broke."
        )
        if self._plan.checkpoint is None:
            message += (
                " With checkpoint=, a directory that all workers share, a fit goes on "
                "on the workers that are left."
            )
        else:
            message += f" It is the fit's loss number {n_losses}."
        return RuntimeError(message)

    def _attempt(self, workers, blocks, val_blocks):
        blocks.place(workers, self._watch.wait)
        # By their first partitions, so that addresses change no bits.
        ranks = list(dict.fromkeys(blocks.workers))
        shards = [blocks.by_worker(ranks), [[] for _ in ranks]]
        if val_blocks is not None:
            val_blocks.place(ranks, self._watch.wait)
            shards[1] = val_blocks.by_worker(ranks)
        plan = self._plan._replace(
            fit=f"skmlp-{uuid.uuid4().hex}",
            n_epochs=self._progress.epoch,
            seconds=self._progress.seconds,
        )
        self._client.subscribe_topic(plan.fit, self._watch.tell)
        tasks: list = []
        try:
            return self._train(plan, ranks, shards, tasks)
        finally:
            # What still runs notices that it is not wanted any more.
            if self._client.status == "running":
                self._client.cancel(tasks)
                self._client.unsubscribe_topic(plan.fit)

    def _train(self, plan, ranks, shards, tasks):
        """Run a task on each worker; all that are submitted are added to `tasks`."""
        mailboxes = [
            self._submit(address, open_rank, plan.fit, rank, len(ranks), plan.timeout)
            for rank, address in enumerate(ranks)
        ]
        tasks += mailboxes
        trainings = [
            self._submit(address, train_rank, plan, mailboxes, *shard)
            for address, *shard in zip(ranks, *shards, strict=True)
        ]
        tasks += trainings

        def tell(message):
            if self._progress.tell(message):
                tasks.append(self._submit(ranks[0], request_stop, plan.fit))

        self._watch.wait(trainings, ranks, tell)
        self._progress.finish()
        return trainings[0].result(timeout=plan.timeout)

    def _submit(self, address, function, *arguments):
        return self._client.submit(
            function,
            *arguments,
            workers=[address],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
