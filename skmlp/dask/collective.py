"""The collective operations of a fit, over Dask's connections between its workers.

Each rank keeps one connection open to each peer, and writes to it without waiting for
an answer: a small sum costs the time of one message. Vectors travel as frames of their
memory, everything else pickled.
"""

import asyncio
import contextlib
from itertools import pairwise

import numpy as np
from distributed.protocol import to_serialize
from distributed.protocol.pickle import dumps, loads

from skmlp.dask.mailbox import OPERATION, claim_mailbox, close_mailbox

# Bytes that a rank may send to add up a vector before it is added up by slices.
_LARGE = 1_000_000
# Seconds that the last messages may take to leave.
_FLUSH = 5.0


class CommCollective:
    """One rank's `skmlp.training.collective.Collective` over Dask's connections.

    A context manager: it opens the connections, and leaves nothing behind on the
    worker. `skmlp.dask.mailbox.open_mailbox` must have been called for all ranks.

    Parameters
    ----------
    worker : distributed.Worker
        Of this rank.
    fit : str
        Name of the fit.
    addresses : list of str
        Of the workers, by rank.
    timeout : float, default=60.0
        Seconds that a peer may take to answer.
    is_wanted : callable, default=None
        Whether anybody still waits for the fit; asked at each operation, and while
        waiting. None for a fit that nobody gives up.

    Attributes
    ----------
    rank, n_ranks : int

    Raises
    ------
    RuntimeError
        From every operation: if a peer is at another operation.
    skmlp.training.collective.Aborted
        From every operation: if a peer has called `abort`, or nobody wants the fit.
    skmlp.dask.mailbox.WorkerLostError
        From every operation: if a peer cannot be reached.
    TimeoutError
        From every operation: if a peer does not answer in time.
    """

    def __init__(self, worker, fit, addresses, *, timeout=60.0, is_wanted=None):
        self._worker, self._fit, self._timeout = worker, fit, timeout
        self._mailbox = claim_mailbox(worker, fit)
        self.rank, self.n_ranks = self._mailbox.rank, self._mailbox.n_ranks
        self._mailbox.addresses = addresses
        if is_wanted is not None:
            self._mailbox.is_wanted = is_wanted
        self._peers = [rank for rank in range(self.n_ranks) if rank != self.rank]
        self._loop = worker.loop.asyncio_loop
        # By peer; made and used on the worker's event loop.
        self._queues: dict[int, asyncio.Queue] = {}
        self._writers: list[asyncio.Task] = []
        self._number = -1

    def __enter__(self):
        opening = asyncio.run_coroutine_threadsafe(self._open(), self._loop)
        try:
            opening.result(self._timeout)
        except BaseException:
            close_mailbox(self._worker, self._fit)
            raise
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self._post(self._peers, {"finished": self._number + 1})
        else:
            self.abort(f"{kind.__name__}: {error}")
        close_mailbox(self._worker, self._fit)
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        # A worker that shuts down runs no more callbacks.
        with contextlib.suppress(TimeoutError):
            closing.result(2 * _FLUSH)

    def all_reduce(self, tag, vector):
        """The sum over all ranks, added in their order: the same bits everywhere.

        Parameters
        ----------
        tag : str
            Names the operation.
        vector : ndarray
            Of the same shape and dtype on all ranks.

        Returns
        -------
        ndarray
            A new array.
        """
        self._begin(f"all_reduce {tag!r}")
        # What is being sent must not change when the caller goes on.
        own = np.array(vector, order="C")
        if self.n_ranks == 1:
            return own
        if self.n_ranks > 2 and len(self._peers) * own.nbytes > _LARGE:
            return self._reduce_slices(own)
        self._send_to_all(0, own)
        return self._sum(0, own)

    def broadcast(self, tag, value):
        """The value of rank 0, on all ranks a copy of their own.

        Parameters
        ----------
        tag : str
            Names the operation.
        value : object
            To be pickled; ignored on other ranks.
        """
        self._begin(f"broadcast {tag!r}")
        if self.rank != 0:
            return loads(self._take(0, [0])[0])
        pickled = dumps(value)
        self._send_to_all(0, pickled)
        return loads(pickled)

    def gather(self, tag, value):
        """On rank 0 the values of all ranks, by rank; None on the others.

        Parameters
        ----------
        tag : str
            Names the operation.
        value : object
            To be pickled.
        """
        self._begin(f"gather {tag!r}")
        pickled = dumps(value)
        if self.rank != 0:
            self._send([0], 0, pickled)
            return None
        return [loads(each) for each in (pickled, *self._take(0, self._peers))]

    def abort(self, message):
        """Let the operations of all peers raise `Aborted`.

        Parameters
        ----------
        message : str
        """
        self._post(self._peers, {"abort": message})

    def _begin(self, name):
        self._number += 1
        self._name = name
        self._mailbox.begin(self._number, name)

    def _reduce_slices(self, own):
        """Each rank sums one slice, and sends it to all: fewer bytes in two phases."""
        flat = own.ravel()
        edges = [len(flat) * rank // self.n_ranks for rank in range(self.n_ranks + 1)]
        slices = [flat[a:b] for a, b in pairwise(edges)]
        for rank in self._peers:
            self._send([rank], 0, slices[rank])
        total = self._sum(0, slices[self.rank])
        self._send_to_all(1, total)
        return np.concatenate(self._all(1, total)).reshape(own.shape)

    def _sum(self, phase, own):
        parts = self._all(phase, own)
        for rank, part in enumerate(parts):
            if part.shape != own.shape or part.dtype != own.dtype:
                raise RuntimeError(
                    f"{self._name} has {own.dtype} of shape {own.shape} on rank "
                    f"{self.rank}, but {part.dtype} of shape {part.shape} on rank "
                    f"{rank}."
                )
        total = parts[0].copy()
        for part in parts[1:]:
            total += part
        return total

    def _all(self, phase, own):
        """The arrays of all ranks."""
        parts = self._take(phase, self._peers)
        parts.insert(self.rank, own)
        return parts

    def _take(self, phase, ranks):
        return self._mailbox.take(self._number, phase, ranks, self._timeout)

    def _send_to_all(self, phase, payload):
        self._send(self._peers, phase, payload)

    def _send(self, ranks, phase, payload):
        message = {"number": self._number, "phase": phase, "name": self._name}
        self._post(ranks, message | {"payload": to_serialize(payload)})

    def _post(self, ranks, message):
        """Queue a message, from the thread that trains."""
        if ranks:
            self._loop.call_soon_threadsafe(self._queue, ranks, message)

    def _queue(self, ranks, message):
        for rank in ranks:
            self._queues[rank].put_nowait(message)

    async def _open(self):
        for rank in self._peers:
            self._queues[rank] = asyncio.Queue()
            self._writers.append(asyncio.create_task(self._write(rank)))

    async def _close(self):
        self._queue(self._peers, None)
        if self._writers:
            _, unfinished = await asyncio.wait(self._writers, timeout=_FLUSH)
            for writer in unfinished:
                writer.cancel()

    async def _write(self, rank):
        """Write the messages for a peer, one after the other."""
        pool, address = self._worker.rpc, self._mailbox.addresses[rank]
        comm = None
        try:
            comm = await pool.connect(address)
            hello = {"op": OPERATION, "reply": False}
            await comm.write(hello | {"fit": self._fit, "rank": self.rank})
            while (message := await self._queues[rank].get()) is not None:
                await comm.write(message)
        except OSError:
            self._mailbox.lose(rank)
        finally:
            if comm is not None:
                await comm.close()
                pool.reuse(address, comm)
