"""Training on rows that come to the device by the part.

The device is told that it has no room, and parts are made so small that a span takes
several of them, and a batch more than one is meant to hold.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from gpu_fixtures import (
    SQUARED,
    assert_equals_reference,
    assert_near,
    on_device,
    parameters_for,
    problem_of,
    train,
)
from numba import cuda

from skmlp.backends import reference
from skmlp.backends.cuda import data_loader
from skmlp.backends.threads import available_threads


@pytest.fixture(params=[100, 400])
def small_parts(request, monkeypatch):
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", request.param)


@pytest.fixture
def fetched(monkeypatch):
    """How many rows each part had."""
    sizes = []
    fetch = data_loader.Streamed.fetch

    def noting(source, rows, following):
        sizes.append(len(rows))
        return fetch(source, rows, following)

    monkeypatch.setattr(data_loader.Streamed, "fetch", noting)
    return sizes


@pytest.mark.parametrize("batch_size", [1, 3, 11])
@pytest.mark.parametrize("weighted", [False, True])
def test_parts_train_as_all_rows(small_parts, fetched, batch_size, weighted):
    problem = problem_of(weighted=weighted, n_rows=23, dropout=(0.3,), seed=2)
    assert_equals_reference(problem, batch_size=batch_size)
    assert len(fetched) > 2
    assert sum(fetched) == 2 * 23


def test_parts_have_the_bits_of_all_rows(monkeypatch):
    problem = problem_of(SQUARED, n_rows=23, input_noise=0.2, seed=2)
    whole = train(on_device(), problem)
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 300)
    assert_near(train(on_device(), problem), whole, 0.0)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_threads_gather_pieces_of_parts(monkeypatch, n_jobs):
    problem = problem_of(SQUARED, n_rows=23, weighted=True)
    expected = train(on_device(), problem)
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 1200)
    monkeypatch.setattr(data_loader, "_PIECE_BYTES", 150)
    gathered, gather = [], data_loader.Streamed._gather
    threads = set()

    def noting(source, start, rows):
        gathered.append(len(rows))
        threads.add(source._gather_pool._max_workers)
        gather(source, start, rows)

    monkeypatch.setattr(data_loader.Streamed, "_gather", noting)
    backend = on_device()
    open_session = backend.open_session
    monkeypatch.setattr(
        backend, "open_session", lambda *given: open_session(*given, n_jobs)
    )
    assert_near(train(backend, problem), expected, 0.0)
    assert sum(gathered) == 2 * 23
    assert len(gathered) > 10
    assert threads == {available_threads(n_jobs)}


def test_what_is_sent_beside_the_work_has_the_context_of_the_fit(monkeypatch):
    context = SimpleNamespace(pushed=0)

    def changing(by):
        return lambda: setattr(context, "pushed", context.pushed + by)

    context.push, context.pop = changing(1), changing(-1)
    found = []
    x = np.zeros((4, 1))
    source = data_loader.Streamed([x, x], 1)
    source._context = context
    monkeypatch.setattr(data_loader, "SIMULATED", False)
    monkeypatch.setattr(source, "_send", lambda *given: found.append(context.pushed))
    first, second = np.arange(2), np.arange(2, 4)
    source.fetch(first, second)
    source.fetch(second, None)
    source.close()
    assert found == [0, 1]
    assert context.pushed == 0


def test_the_next_part_is_sent_while_one_is_worked_on(monkeypatch):
    """Both are there at once: neither overwrites the other."""
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 1)
    x = np.arange(12.0).reshape(6, 2)
    source = data_loader.Streamed([x, x[:, :1]], 1)
    source.reserve(2)
    parts = [np.array([5, 1]), np.array([0, 2]), np.array([3])]
    places = source.fetch(parts[0], parts[1])
    source._prefetched[1].result()
    there = source.data.x.copy_to_host().reshape(-1, 2)
    np.testing.assert_array_equal(there[places], x[parts[0]])
    places = source.fetch(parts[1], parts[2])
    source._prefetched[1].result()
    there = source.data.x.copy_to_host().reshape(-1, 2)
    np.testing.assert_array_equal(there[places], x[parts[1]])
    np.testing.assert_array_equal(there[source.fetch(parts[2], None)], x[parts[2]])
    source.close()


def test_parts_leave_most_of_little_memory_free(monkeypatch, fetched):
    problem = problem_of(n_rows=300, n_features=50)
    free = problem.x.nbytes
    context = type(cuda.current_context())
    monkeypatch.setattr(context, "get_memory_info", lambda self: (free, 2 * free))
    assert_equals_reference(problem, batch_size=30)
    assert max(fetched) <= 300 * data_loader.BUFFER_FRACTION


def test_a_sweep_over_parts(small_parts, fetched):
    problem = problem_of(n_rows=23, weighted=True)
    vector = parameters_for(problem.network)
    found = []
    for backend in (reference, on_device()):
        with backend.open_session(problem, vector) as session:
            found.append(session.loss_and_gradient(vector))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-12)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-9, atol=1e-12)
    assert len(fetched) > 2


def test_sparse_rows_always_stay():
    problem = problem_of(is_sparse=True)
    assert data_loader.fits(problem.x)


def test_the_thread_ends_with_the_session(small_parts):
    problem = problem_of()
    with on_device().open_session(problem, parameters_for(problem.network)) as session:
        source = session._source
    for pool in (source._prefetch_thread, source._gather_pool):
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(print)
