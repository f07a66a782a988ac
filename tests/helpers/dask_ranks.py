"""Functions that run on workers of Dask in tests: the ranks of a collective."""

import time
import uuid

from distributed import get_worker

from skmlp.dask.collective import CommCollective
from skmlp.dask.mailbox import OPERATION
from skmlp.dask.training import open_rank


def run_ranks(client, function, *arguments, n_ranks, timeout=20.0):
    """What a function of the collective returns on each rank, or its exception."""
    fit, everywhere = uuid.uuid4().hex, sorted(client.nthreads())[:n_ranks]
    mailboxes = [
        client.submit(
            open_rank, fit, rank, n_ranks, timeout, workers=[address], pure=False
        )
        for rank, address in enumerate(everywhere)
    ]
    futures = [
        client.submit(
            as_rank,
            fit,
            mailboxes,
            timeout,
            function,
            *arguments,
            workers=[address],
            pure=False,
        )
        for address in everywhere
    ]
    return [future.result(timeout=3 * timeout) for future in futures]


def as_rank(fit, addresses, timeout, function, *arguments):
    try:
        with CommCollective(
            get_worker(), fit, addresses, timeout=timeout
        ) as collective:
            return function(collective, *arguments)
    except Exception as error:
        return error


def reduced(collective, vectors):
    """The sum of the ranks' vectors, and the own one as it is afterwards."""
    own = vectors[collective.rank]
    return collective.all_reduce("gradient", own), own


def told(collective, values):
    """What broadcast and gather return, twice."""
    own = values[collective.rank]
    return [
        (collective.broadcast("value", own), collective.gather("values", own))
        for _ in range(2)
    ]


def many_sums(collective, n_steps, vector):
    """The last of many sums, each a step on the one before."""
    for _ in range(n_steps):
        vector = collective.all_reduce("step", vector) / collective.n_ranks
    return vector


def other_operations(collective, names):
    """An operation of another name on each rank; rank 0 never waits in a broadcast."""
    operation, _, tag = names[collective.rank].partition(" ")
    getattr(collective, operation)(tag, 1.0)
    for _ in range(100):
        time.sleep(0.05)
        collective.broadcast("afterwards", None)


def fewer_sums(collective, counts, vector):
    for _ in range(counts[collective.rank]):
        collective.all_reduce("step", vector)


def failing(collective, rank):
    if collective.rank == rank:
        raise ArithmeticError("of one rank")
    collective.all_reduce("step", 0.0)


def late(collective, rank, seconds):
    if collective.rank == rank:
        time.sleep(seconds)
    start = time.monotonic()
    try:
        collective.all_reduce("step", 0.0)
    except TimeoutError as error:
        return str(error), time.monotonic() - start
    return None


def left_behind(dask_worker):
    """What fits have left on a worker."""
    return OPERATION in dask_worker.extensions or OPERATION in dask_worker.handlers
