"""Training on a streamed X.

X is never allowed to be resident, and the buffers are so small that an epoch takes
several, and that a batch needs a larger one.
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
def small_buffers(request, monkeypatch):
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", request.param)


@pytest.fixture
def fetched(monkeypatch):
    """How many rows each fetch had."""
    sizes = []
    fetch = data_loader.Streamed.fetch

    def noting(source, rows, following):
        sizes.append(len(rows))
        return fetch(source, rows, following)

    monkeypatch.setattr(data_loader.Streamed, "fetch", noting)
    return sizes


@pytest.mark.parametrize("batch_size", [1, 3, 11])
@pytest.mark.parametrize("weighted", [False, True])
def test_streamed_rows_train_as_the_reference(
    small_buffers, fetched, batch_size, weighted
):
    problem = problem_of(weighted=weighted, n_rows=23, dropout=(0.3,), seed=2)
    assert_equals_reference(problem, batch_size=batch_size)
    assert len(fetched) > 2
    assert sum(fetched) == 2 * 23


def test_streamed_rows_have_the_bits_of_resident_ones(monkeypatch):
    problem = problem_of(SQUARED, n_rows=23, input_noise=0.2, seed=2)
    whole = train(on_device(), problem)
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 300)
    assert_near(train(on_device(), problem), whole, 0.0)


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_threads_gather_pieces(monkeypatch, n_jobs):
    problem = problem_of(SQUARED, n_rows=23, weighted=True)
    expected = train(on_device(), problem)
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 1200)
    monkeypatch.setattr(data_loader, "_PIECE_BYTES", 150)
    gathered, gather = [], data_loader.Streamed._gather
    threads = set()

    def noting(source, start, row_ids):
        gathered.append(len(row_ids))
        threads.add(source._gather_pool._max_workers)
        gather(source, start, row_ids)

    monkeypatch.setattr(data_loader.Streamed, "_gather", noting)
    backend = on_device()
    open_session = backend.open_session
    monkeypatch.setattr(
        backend, "open_session", lambda *arguments: open_session(*arguments, n_jobs)
    )
    assert_near(train(backend, problem), expected, 0.0)
    assert sum(gathered) == 2 * 23
    assert len(gathered) > 10
    assert threads == {available_threads(n_jobs)}


def test_prefetching_has_the_context_of_the_fit(monkeypatch):
    context = SimpleNamespace(pushed=0)

    def changing(by):
        return lambda: setattr(context, "pushed", context.pushed + by)

    context.push, context.pop = changing(1), changing(-1)
    pushed = []
    x = np.zeros((4, 1))
    source = data_loader.Streamed([x, x], 1)
    source._context = context
    monkeypatch.setattr(data_loader, "SIMULATED", False)
    monkeypatch.setattr(source, "_send", lambda *_: pushed.append(context.pushed))
    first, second = np.arange(2), np.arange(2, 4)
    source.fetch(first, second)
    source.fetch(second, None)
    source.close()
    assert pushed == [0, 1]
    assert context.pushed == 0


def test_the_next_rows_are_prefetched_into_the_other_buffer(monkeypatch):
    """Neither overwrites the other."""
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 1)
    x = np.arange(12.0).reshape(6, 2)
    source = data_loader.Streamed([x, x[:, :1]], 1)
    source.reserve(2)
    parts = [np.array([5, 1]), np.array([0, 2]), np.array([3])]
    row_ids = source.fetch(parts[0], parts[1])
    source._prefetched[1].result()
    copied = source.data.x.copy_to_host().reshape(-1, 2)
    np.testing.assert_array_equal(copied[row_ids], x[parts[0]])
    row_ids = source.fetch(parts[1], parts[2])
    source._prefetched[1].result()
    copied = source.data.x.copy_to_host().reshape(-1, 2)
    np.testing.assert_array_equal(copied[row_ids], x[parts[1]])
    np.testing.assert_array_equal(copied[source.fetch(parts[2], None)], x[parts[2]])
    source.close()


def test_buffers_leave_most_of_little_memory_free(monkeypatch, fetched):
    problem = problem_of(n_rows=300, n_features=50)
    free = problem.x.nbytes
    context = type(cuda.current_context())
    monkeypatch.setattr(context, "get_memory_info", lambda self: (free, 2 * free))
    assert_equals_reference(problem, batch_size=30)
    assert max(fetched) <= 300 * data_loader.BUFFER_FRACTION


def test_a_sweep_over_streamed_rows(small_buffers, fetched):
    problem = problem_of(n_rows=23, weighted=True)
    vector = parameters_for(problem.network)
    results = []
    for backend in (reference, on_device()):
        with backend.open_session(problem, vector) as session:
            results.append(session.loss_and_gradient(vector))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-9, atol=1e-12)
    assert len(fetched) > 2


def test_a_sparse_x_is_always_resident():
    problem = problem_of(is_sparse=True)
    assert data_loader.fits(problem.x)


def test_the_threads_end_with_the_session(small_buffers):
    problem = problem_of()
    with on_device().open_session(problem, parameters_for(problem.network)) as session:
        source = session._source
    for pool in (source._prefetch_thread, source._gather_pool):
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(print)
