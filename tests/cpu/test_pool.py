"""Work stealing: every item is done once, by its owner unless another steals it."""

import threading
import warnings

import numpy as np
import pytest
from numba import njit

from skmlp import MLPClassifier
from skmlp.backends.cpu import plan, prediction
from skmlp.backends.cpu.threads.pool import ThreadPool, barrier, next_item


@njit(nogil=True)
def rounds(worker, n_rounds, n_items, counts):
    """Some rounds of items with a barrier after each; counts who took which item."""
    for i in range(n_rounds):
        n = n_items[i % n_items.shape[0]]
        item = next_item(worker, n)
        while item < n:
            counts[worker.worker_id, i, item] += 1
            item = next_item(worker, n)
        if not barrier(worker):
            return


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n_items", [[1], [2], [7, 1], [3, 16], [0, 5]])
def test_every_item_is_taken_exactly_once(size, n_items):
    counts = np.zeros((size, 400, 16), dtype=np.int64)
    sizes = np.array(n_items)
    with ThreadPool(size) as pool:
        pool.run(lambda worker: rounds(worker, 400, sizes, counts))
        # A pool runs again and again, and with fewer workers, too.
        pool.run(lambda worker: rounds(worker, 400, sizes, counts), max(1, size - 1))
    taken = counts.sum(axis=0)
    for i in range(400):
        n = sizes[i % len(sizes)]
        assert (taken[i, :n] == 2).all()
        assert (taken[i, n:] == 0).all()


@njit(nogil=True)
def first_items(worker, n_items, first):
    first[worker.worker_id] = next_item(worker, n_items)
    barrier(worker)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_worker_begins_with_its_own_queue(size):
    first = np.full(size, -1)
    with ThreadPool(size) as pool:
        pool.run(lambda worker: first_items(worker, 2 * size, first))
    assert first.tolist() == list(range(size))


@njit(nogil=True)
def take_all(worker, n_items, counts):
    item = next_item(worker, n_items)
    while item < n_items:
        counts[worker.worker_id] += 1
        item = next_item(worker, n_items)


def test_items_of_a_late_worker_are_stolen():
    """There is no barrier here: the late worker starts when all items are done."""
    counts = np.zeros(2, dtype=np.int64)
    first_is_done = threading.Event()

    def work(worker):
        if worker.worker_id == 1:
            assert first_is_done.wait(30)
        take_all(worker, 10, counts)
        if worker.worker_id == 0:
            first_is_done.set()

    with ThreadPool(2) as pool:
        pool.run(work)
    assert counts.tolist() == [10, 0]


@pytest.mark.parametrize("n_rows", [1, 1_000, 8_000, 100_000])
def test_a_prediction_starts_threads_where_they_pay(monkeypatch, n_rows):
    """To start a thread takes as long as 8,000 rows of this network by one."""
    started = []
    monkeypatch.setattr(plan, "available_threads", lambda n_jobs: 4)
    monkeypatch.setattr(
        prediction, "ThreadPool", lambda n: started.append(n) or ThreadPool(n)
    )
    network, params = small_network()
    prediction.outputs(network, params, np.ones((n_rows, 50)), "identity", None)
    assert started == [1 if n_rows <= 8_000 else 4]


def small_network():
    x, y = np.random.default_rng(0).normal(size=(30, 50)), np.arange(30) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPClassifier(max_iter=1, random_state=0).fit(x, y)
    return model._fitted_network()
