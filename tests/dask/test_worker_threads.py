"""Fits in tasks of Dask's workers: no more threads than the worker has, the same bits.

Threads are counted in the worker's process while tasks fit: those of which a frame is
in this package, be they the task's own or those of the fit's pool.
"""

import math
import os

import numpy as np
import pytest
from estimator_bits import bits

from skmlp import MLPRegressor
from skmlp.backends import limits
from skmlp.backends.threads import available_threads

pytest.importorskip("distributed")
local_client = pytest.importorskip("local_cluster").local_client

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_THREADS = 2
SECONDS = 120
X = np.random.default_rng(0).normal(size=(600, 50))


def make_ten_cores():
    """What a process without limits finds on a larger machine than may be at hand."""
    limits.cores, limits.cpu_quota = (lambda: 10), (lambda: math.inf)


def fit(n_jobs):
    model = MLPRegressor(
        hidden_layer_sizes=(100, 100),
        max_iter=15,
        tol=0,
        random_state=0,
        n_jobs=n_jobs,
    )
    return model.fit(X, X[:, 0])


def most_threads_of_fits(n_jobs, n_fits):
    """The largest number of threads seen in this process, and bits of the last fit."""
    import sys
    import threading

    over, seen = threading.Event(), []

    def is_in_package(frame):
        while frame is not None:
            if frame.f_globals.get("__name__", "").startswith("skmlp."):
                return True
            frame = frame.f_back
        return False

    def count():
        while not over.wait(0.002):
            seen.append(sum(map(is_in_package, sys._current_frames().values())))

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _ in range(n_fits):
            model = fit(n_jobs)
    finally:
        over.set()
        counter.join()
    return max(seen), bits(model)


@pytest.fixture(scope="module", params=[True, False], ids=["process", "no process"])
def client(request):
    """Of a worker in a process with Dask's variables, or in this one without them."""
    fit(1)
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
            patch.delenv(variable, raising=False)
        for name in ("cores", "cpu_quota"):
            patch.setattr(limits, name, getattr(limits, name))
        with local_client(
            n_workers=1, threads_per_worker=N_THREADS, processes=request.param
        ) as client:
            client.run(make_ten_cores)
            client.submit(fit, -1).result(SECONDS)  # loads or compiles its kernels
            yield client


def counted(client, n_jobs, n_tasks):
    """The most threads that one of some tasks has seen; all find the same bits."""
    futures = client.map(
        most_threads_of_fits, [n_jobs] * n_tasks, [4] * n_tasks, pure=False
    )
    numbers, found = zip(*client.gather(futures), strict=True)
    assert set(found) == {bits(fit(1))}
    return max(numbers)


def test_tasks_take_no_more_threads_than_the_worker_has(client):
    assert counted(client, None, 2 * N_THREADS) == N_THREADS


def test_a_task_alone_has_one_thread_or_those_it_asks_for(client):
    assert counted(client, None, 1) == 1
    assert counted(client, -1, 1) == N_THREADS


def test_a_thread_beside_the_worker_is_in_no_task(client):
    os.environ.pop("OMP_NUM_THREADS", None)
    n_threads = min(limits.cores(), limits.of_libraries(), limits.cpu_quota())
    assert available_threads(None) == n_threads
    assert client.submit(available_threads, None, pure=False).result(SECONDS) == 1
