"""What the client waits for: tasks that end, epochs, workers that go.

All of it comes in one queue, so that the client waits at one place, in which Ctrl-C
interrupts it. Whether the workers are still there is asked twice a second.
"""

import queue
import time

from distributed import Future, KilledWorker

from skmlp.dask.mailbox import WorkerLostError
from skmlp.training.collective import Aborted

# Seconds between two looks at the workers.
_PAUSE = 0.5


class Watch:
    """Waits for futures, and tells of what happens meanwhile.

    Parameters
    ----------
    client : distributed.Client
    timeout : float
        Seconds that the scheduler may take to answer, and ranks to end after one of
        them has failed.
    """

    def __init__(self, client, timeout):
        self._client, self._timeout = client, timeout
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._looked = time.monotonic()

    def tell(self, event):
        """Take an event of a topic, a pair of time and message."""
        self._events.put(event[1])

    def workers(self):
        """The addresses of the cluster's workers, sorted.

        Raises
        ------
        RuntimeError
            If the scheduler cannot be reached.
        """
        if self._client.status != "running":
            raise RuntimeError(
                "The Dask client is closed, or has lost its scheduler: its status is "
                f"{self._client.status!r}."
            )
        scheduler = self._client.scheduler
        return sorted(
            self._client.sync(scheduler.ncores, callback_timeout=self._timeout)
        )

    def wait_for_change(self, lost):
        """Wait until a lost worker is gone, and another one there.

        Parameters
        ----------
        lost : str
            Its address. One that does not go had lost its connection only.

        Returns
        -------
        list of str
            The workers that are there; empty if none has come in time.
        """
        deadline = time.monotonic() + self._timeout
        patience = time.monotonic() + min(5.0, self._timeout)
        while True:
            workers, now = self.workers(), time.monotonic()
            is_gone = lost not in workers or now > patience
            if (workers and is_gone) or now > deadline:
                return workers
            time.sleep(_PAUSE / 5)

    def wait(self, futures, workers=(), tell_epoch=None):
        """Wait until all futures are done.

        Parameters
        ----------
        futures : list of Future
        workers : collection of str
            Without which they cannot be.
        tell_epoch : callable, default=None
            Called with each epoch's message.

        Raises
        ------
        skmlp.dask.mailbox.WorkerLostError
        Exception
            That of the first future that has failed by itself, not only because
            another one had.
        """
        pending = {future.key: future for future in futures}
        deadline, secondary = float("inf"), None
        for future in futures:
            future.add_done_callback(self._events.put)
        while pending:
            event = self._next()
            # Those that an earlier attempt has given up end, too.
            if isinstance(event, Future) and pending.pop(event.key, None) is not None:
                error = _error_of(event)
                if isinstance(error, Aborted):
                    secondary = error
                    deadline = min(deadline, time.monotonic() + self._timeout)
                elif error is not None:
                    raise error
            else:
                _pass_on(event, tell_epoch)
            self._look(workers)
            if time.monotonic() > deadline:
                break
        if secondary is not None:
            raise secondary
        while (event := self._next(0)) is not None:
            _pass_on(event, tell_epoch)

    def _next(self, timeout=_PAUSE):
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def _look(self, needed):
        """Raise an error if workers are gone; not more often than twice a second."""
        if time.monotonic() - self._looked < _PAUSE:
            return
        workers = self.workers()
        self._looked = time.monotonic()
        for address in needed:
            if address not in workers:
                raise WorkerLostError(address)
        if not workers:
            raise RuntimeError("The cluster has no workers any more.")


def _pass_on(event, tell_epoch):
    """Tell of an epoch, if the event is one and anybody wants to know."""
    if isinstance(event, list | tuple) and tell_epoch is not None:
        tell_epoch(event)


def _error_of(future):
    """The exception of a future that is done; None where it has a result."""
    if future.status == "finished":
        return None
    if future.status != "error":
        return RuntimeError(
            f"A task of the fit is {future.status}: the scheduler has restarted, or "
            "data of the fit are lost."
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        return WorkerLostError(error.last_worker.address)
    return error
