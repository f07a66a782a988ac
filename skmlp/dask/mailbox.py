"""What the peers of a rank have sent: kept on the worker until the training takes it.

A worker's event loop puts messages in, the thread that trains waits for them. Every
worker that takes part in a fit has a `Hub` with a mailbox for each fit; it comes with
the first one and goes with the last.
"""

import threading
import time
from collections import deque
from typing import Any

from skmlp.training.collective import Aborted

# The operation of a worker's server to which peers connect.
OPERATION = "skmlp_collective"
# Seconds after which a waiting rank looks whether it is still wanted.
_LOOK = 0.2
# Operations of which the names are compared although nobody waits for them.
_WINDOW = 64
# Guards the hubs of all workers of this process.
_LOCK = threading.Lock()


class WorkerLostError(ConnectionError):
    """A worker of the fit cannot be reached any more.

    Parameters
    ----------
    address : str
        Of the worker.
    """

    def __init__(self, address):
        super().__init__(address)
        self.address = address

    def __str__(self):
        return f"The connection to the worker {self.address} is lost."


class Mailbox:
    """The messages for one rank of one fit.

    Parameters
    ----------
    rank : int
    n_ranks : int

    Attributes
    ----------
    addresses : list of str
        Of the workers, by rank; set before the first wait.
    is_wanted : callable
        Whether anybody still waits for the fit; set before the first wait.
    stops : bool
        Whether the client asks for a stop at the end of an epoch.
    """

    addresses: list[str]

    def __init__(self, rank, n_ranks):
        self.rank, self.n_ranks = rank, n_ranks
        self.is_wanted = lambda: True
        self.is_claimed = False
        self.stops = False
        self._changed = threading.Condition()
        # By number and phase of the operation: payloads by rank.
        self._received: dict[tuple[int, int], dict[int, Any]] = {}
        # Own operations and those of peers, as pairs of number and name.
        self._own: deque = deque(maxlen=_WINDOW)
        self._theirs: dict[int, dict[int, str]] = {}
        # Operations of the ranks that have come to their end.
        self._finished: dict[int, int] = {}
        self._lost: set[int] = set()
        self._failure: Exception | None = None

    def put(self, rank, message):
        """Take a message of a peer; returns whether more may follow."""
        with self._changed:
            self._changed.notify_all()
            if "abort" in message:
                self._failure = self._failure or Aborted(message["abort"])
            elif "finished" in message:
                self._finished[rank] = message["finished"]
            else:
                number = message["number"]
                self._compare(rank, number, message["name"])
                phase = number, message["phase"]
                self._received.setdefault(phase, {})[rank] = message["payload"]
        return "number" in message

    def lose(self, rank):
        """The connection to or from a peer has ended."""
        with self._changed:
            if rank not in self._finished:
                self._lost.add(rank)
            self._changed.notify_all()

    def begin(self, number, name):
        """The rank begins an operation.

        Raises
        ------
        Aborted
            If another rank has failed, or nobody wants the result any more.
        RuntimeError
            If another rank is at an operation of another name.
        """
        with self._changed:
            self._own.append((number, name))
            for rank, other in self._theirs.pop(number, {}).items():
                self._compare(rank, number, other)
            self._check()

    def take(self, number, phase, ranks, timeout):
        """Wait for the payloads of some ranks.

        Parameters
        ----------
        number, phase : int
            Of the operation.
        ranks : sequence of int
        timeout : float
            Seconds.

        Returns
        -------
        list
            By rank.

        Raises
        ------
        Aborted
            If another rank has failed, or nobody wants the result any more.
        WorkerLostError
            If a rank that is missing cannot be reached.
        RuntimeError
            If a rank is at an operation of another name, or at its end.
        TimeoutError
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = self._received.get((number, phase), {})
                missing = [rank for rank in ranks if rank not in found]
                if not missing and self._failure is None:
                    self._received.pop((number, phase), None)
                    return [found[rank] for rank in ranks]
                self._check(missing)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(
                        f"No answer from {self._named(missing)} within {timeout:g} "
                        f"seconds, in {self._own[-1][1]}. Raise timeout if the "
                        "workers need longer."
                    )
                self._changed.wait(min(left, _LOOK))

    def _compare(self, rank, number, name):
        """Note a failure where a peer's operation has another name than the own."""
        own = dict(self._own).get(number)
        if own is None:
            if not self._own or number > self._own[-1][0]:
                self._theirs.setdefault(number, {})[rank] = name
        elif own != name:
            self._failure = self._failure or RuntimeError(
                f"The workers are at different operations: {self.addresses[self.rank]} "
                f"(rank {self.rank}) at {own}, {self.addresses[rank]} (rank {rank}) "
                f"at {name}."
            )

    def _check(self, missing=()):
        """Raise what keeps an operation from its end."""
        if self._failure is not None:
            raise self._failure
        if not self.is_wanted():
            raise Aborted("The client has given up the fit, or is gone.")
        for rank in missing:
            if rank in self._finished:
                number, name = self._own[-1]
                raise RuntimeError(
                    f"The workers are at different operations: "
                    f"{self.addresses[self.rank]} (rank {self.rank}) at {name}, the "
                    f"{number + 1}th, {self.addresses[rank]} (rank {rank}) at its end "
                    f"after {self._finished[rank]}."
                )
            if rank in self._lost:
                raise WorkerLostError(self.addresses[rank])

    def _named(self, ranks):
        return ", ".join(f"{self.addresses[rank]} (rank {rank})" for rank in ranks)


class Hub:
    """The mailboxes of a worker, by fit; the handler of `OPERATION`."""

    def __init__(self):
        self.mailboxes: dict[str, Mailbox] = {}

    async def receive(self, comm, fit, rank):
        """Read what a peer sends, until it closes the connection."""
        mailbox = self.mailboxes.get(fit)
        if mailbox is None:  # of a fit that has ended here
            comm.abort()
            return
        try:
            while mailbox.put(rank, await comm.read()):
                pass
        except OSError:
            mailbox.lose(rank)


def open_mailbox(worker, fit, rank, n_ranks, timeout):
    """Let a worker take messages of a fit, before any rank of it sends some.

    Parameters
    ----------
    worker : distributed.Worker
    fit : str
        Its name, unique in the cluster.
    rank, n_ranks : int
    timeout : float
        Seconds after which the mailbox is closed again if no training has come for it.
    """
    with _LOCK:
        hub = worker.extensions.setdefault(OPERATION, Hub())
        worker.handlers[OPERATION] = hub.receive
        hub.mailboxes[fit] = Mailbox(rank, n_ranks)
    worker.loop.add_callback(worker.loop.call_later, timeout, _expire, worker, fit)


def claim_mailbox(worker, fit):
    """The mailbox that `open_mailbox` has opened.

    Raises
    ------
    RuntimeError
        If it has been closed meanwhile.
    """
    with _LOCK:
        hub = worker.extensions.get(OPERATION)
        mailbox = None if hub is None else hub.mailboxes.get(fit)
        if mailbox is None:
            raise RuntimeError(
                f"The worker {worker.address} began with its part of the fit too late. "
                "Raise timeout."
            )
        mailbox.is_claimed = True
    return mailbox


def close_mailbox(worker, fit):
    """Forget a fit on a worker; what it never had is no error."""
    with _LOCK:
        hub = worker.extensions.get(OPERATION)
        if hub is None:
            return
        hub.mailboxes.pop(fit, None)
        if not hub.mailboxes:
            del worker.extensions[OPERATION], worker.handlers[OPERATION]


def _expire(worker, fit):
    hub = worker.extensions.get(OPERATION)
    mailbox = None if hub is None else hub.mailboxes.get(fit)
    if mailbox is not None and not mailbox.is_claimed:
        close_mailbox(worker, fit)
