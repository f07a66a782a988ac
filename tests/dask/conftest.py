"""Clusters of this machine, and a limit of time to every test."""

import logging
import signal
from contextlib import contextmanager

import dask
import pytest
from local_cluster import local_client

# Seconds; tests that start clusters of their own take longest.
_LIMIT = 150


@pytest.fixture(autouse=True)
def limited():
    """End a test that hangs, before it holds up all others."""

    def end(signum, frame):
        raise TimeoutError(f"The test took more than {_LIMIT} seconds.")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(_LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@contextmanager
def _started(n_workers, **settings):
    # Some seconds after a worker was lost, `LocalCluster` gives it up for good if its
    # successor is just then lost, too.
    keeping = dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    with (
        keeping,
        local_client(
            n_workers=n_workers,
            threads_per_worker=1,
            silence_logs=logging.CRITICAL,
            **settings,
        ) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def started():
    """``with started(n_workers) as client``: a cluster of processes."""
    return _started


@pytest.fixture(scope="module")
def client():
    """The client of two processes, for a whole file."""
    with _started(2) as client:
        yield client


@pytest.fixture(scope="module", params=["inproc://", "tcp://"])
def threads_client(request):
    """The client of four workers in this process, over each of two protocols."""
    with _started(4, processes=False, protocol=request.param) as client:
        yield client
