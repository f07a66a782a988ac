"""The device cache: when a fit uses the X of an earlier one, and when X is evicted."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from gpu_fixtures import on_device, parameters_for, problem_of, train
from numba import cuda
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV

from skmlp import MLPRegressor
from skmlp.backends.cuda import data_loader, session
from skmlp.backends.cuda.runtime import device_cache, memory

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Batches for all solvers, 'lbfgs' included.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
]


@pytest.fixture(autouse=True)
def empty_cache():
    device_cache.current().evict()


@pytest.fixture
def sent(monkeypatch):
    """Shapes of the X that were copied to the device."""
    shapes, data_of = [], session.data_of

    def noting(x, dtype):
        shapes.append(x.shape)
        return data_of(x, dtype)

    monkeypatch.setattr(session, "data_of", noting)
    return shapes


def model(**settings):
    defaults = {"max_iter": 2, "batch_size": 8, "dtype": "float64", "random_state": 0}
    return MLPRegressor(
        hidden_layer_sizes=(4,), device="cuda", **{**defaults, **settings}
    )


def rows(n=24):
    x = np.random.default_rng(0).normal(size=(n, 3))
    return x, x[:, 0] - x[:, 1]


def assert_same_bits(one, other):
    for mine, theirs in zip(one.coefs_, other.coefs_, strict=True):
        assert_array_equal(mine, theirs)


def small(size=4):
    """Data for the cache, and their bytes."""
    data = (memory.allocate(size, np.float64),)
    return data, 8 * size


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_x_of_equal_content_is_sent_once(sent, solver, is_sparse):
    x, y = rows()
    if is_sparse:
        x = sparse.csr_array(x * (x > 0))
    first = model(solver=solver).fit(x, y)
    second = model(solver=solver).fit(x.copy(), y)
    assert sent == [x.shape]
    assert_same_bits(first, second)


def test_what_training_adds_to_rows_is_not_cached(sent):
    x, y = rows()
    noisy = {"input_noise": 0.5, "dropout": 0.2, "normalization": "batch"}
    first = model().fit(x, y)
    model(**noisy).fit(x, y)
    assert_same_bits(model().fit(x, y), first)
    assert len(sent) == 1


def test_a_search_sends_every_fold_once(sent):
    x, y = rows()
    grid = {"alpha": [0.0, 0.1, 1.0]}
    GridSearchCV(model(), grid, cv=3).fit(x, y)
    assert sorted(sent) == 3 * [(16, 3)] + [(24, 3)]


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}])
def test_validation_data_are_sent_once(sent, settings):
    x, y = rows()
    for _ in range(2):
        model(**settings).fit(x, y, X_val=x[:9] + 1, y_val=y[:9])
    assert sent == [(24, 3), (9, 3)]


@pytest.mark.parametrize("index", [(0, 0), (23, 2), (11, 1)])
def test_rows_that_have_changed_in_place_are_sent_again(sent, index):
    x, y = rows()
    changing, fresh = model(), model()
    for _ in range(3):
        changing.partial_fit(x, y)
        device_cache.current().evict()
        fresh.partial_fit(x.copy(), y)
        assert_same_bits(changing, fresh)
        x[index] = np.nextafter(x[index], 9)
    assert len(sent) == 6
    changing.partial_fit(x, y).partial_fit(x, y)
    assert len(sent) == 7


def test_each_precision_is_sent_once(sent):
    x, y = rows()
    for dtype in ("float32", "float64", "float32", "float64"):
        assert model(dtype=dtype).fit(x, y).coefs_[0].dtype == dtype
    assert len(sent) == 2


def test_targets_and_weights_are_those_of_the_fit():
    x, y = rows()
    weights = np.linspace(1, 2, len(y))
    model().fit(x, y)
    again = model().fit(x, -y, sample_weight=weights)
    device_cache.current().evict()
    assert_same_bits(again, model().fit(x, -y, sample_weight=weights))


def test_an_entry_in_use_is_not_in_the_cache(sent):
    problem = problem_of()
    train(on_device(), problem)
    assert device_cache.current().n_bytes
    with on_device().open_session(problem, parameters_for(problem.network)):
        assert device_cache.current().n_bytes == 0
        train(on_device(), problem)
    assert len(sent) == 2
    train(on_device(), problem)
    assert len(sent) == 2


class StopError(Exception):
    """An error inside a session."""


def test_a_fit_that_fails_caches_nothing(sent):
    problem = problem_of()
    for _ in range(2):
        train(on_device(), problem)
        with (
            pytest.raises(StopError),
            on_device().open_session(problem, parameters_for(problem.network)),
        ):
            raise StopError
        assert device_cache.current().n_bytes == 0
    assert len(sent) == 2


def test_streamed_rows_are_not_cached(monkeypatch):
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    train(on_device(), problem_of())
    assert device_cache.current().n_bytes == 0


def test_rows_of_the_user_on_the_device_are_not_cached():
    problem = problem_of()
    x = cuda.to_device(problem.x)
    if memory.SIMULATED:
        interface = problem.x.__array_interface__
        x = SimpleNamespace(__cuda_array_interface__=interface, shape=problem.x.shape)
    gradient = train_on(problem._replace(x=x))
    assert device_cache.current().n_bytes == 0
    assert_array_equal(train_on(problem), gradient)


def train_on(problem):
    vector = parameters_for(problem.network)
    with on_device().open_session(problem, vector) as opened:
        return opened.loss_and_gradient(vector)[1]


def test_the_least_recently_used_entry_is_evicted_first(monkeypatch):
    monkeypatch.setattr(device_cache, "MAX_ENTRIES", 3)
    store = device_cache.current()
    for key in "abc":
        store.put(key, small()[0])
    store.put("a", store.pop("a"))
    store.put("d", small()[0])
    assert store.pop("b") is None
    assert store.pop("c") is not None
    assert store.pop("a") is not None
    assert store.pop("d") is not None
    assert store.pop("d") is None


@pytest.fixture
def device_of(monkeypatch):
    """``device_of(total)``: a device of `total` bytes, with nothing but the cache."""

    def device_of(total):
        def information(context):
            return total - device_cache.current().n_bytes, total

        context = type(cuda.current_context())
        monkeypatch.setattr(context, "get_memory_info", information)

    return device_of


def test_the_cache_leaves_half_of_the_device_free(device_of):
    store = device_cache.current()
    entries = {key: small() for key in "abc"}
    size = entries["a"][1]
    device_of(4 * size)
    for key, (data, _) in entries.items():
        memory.cache(key, data)
    assert store.n_bytes == 2 * size
    assert store.pop("a") is None
    memory.allocate(1, np.float64)
    assert store.n_bytes == 2 * size - size
    assert store.pop("c") is not None


def test_data_that_are_too_large_evict_nothing(device_of):
    store = device_cache.current()
    (data, size), (large, _) = small(), small(16)
    device_of(4 * size)
    memory.cache("a", data)
    assert device_cache.n_bytes(large) > 2 * size
    memory.cache("b", large)
    assert store.pop("b") is None
    assert store.pop("a") is not None


def test_the_cache_is_evicted_before_an_allocation_fails(device_of):
    store = device_cache.current()
    data, size = small()
    memory.cache("a", data)
    device_of(2 * size)
    with pytest.raises(MemoryError, match="are needed at once"):
        memory.allocate(3 * size, np.uint8)
    assert store.n_bytes == 0
    memory.cache("a", data)
    assert memory.allocate(2 * size, np.uint8).size == 2 * size


def test_the_cache_counts_as_available(device_of):
    x = np.zeros(4)
    memory.cache("a", small()[0])
    device_of(2 * x.nbytes)
    assert memory.available() == 2 * x.nbytes
    assert data_loader.fits(x)
    assert device_cache.current().n_bytes == x.nbytes


def test_the_cache_is_evicted_where_memory_is_fragmented(monkeypatch):
    device_array, sizes = cuda.device_array, []

    def failing(size, dtype):
        sizes.append(size)
        if device_cache.current().n_bytes or size > 100:
            raise RuntimeError("Call to cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY")
        return device_array(size, dtype=dtype)

    memory.cache("a", small()[0])
    monkeypatch.setattr(cuda, "device_array", failing)
    assert memory.allocate(10, np.float64).size == 10
    assert sizes == [10, 10]
    with pytest.raises(MemoryError, match="are needed at once"):
        memory.allocate(101, np.float64)
    assert sizes == [10, 10, 101]


def test_a_fit_that_needs_all_memory_evicts_the_cache(monkeypatch):
    """Its bits are those of a fit with memory to spare."""
    expected = train(on_device(), problem_of(seed=1))
    memory.cache("a", small(1000)[0])
    context = type(cuda.current_context())
    monkeypatch.setattr(context, "get_memory_info", lambda self: (2**16, 2**17))
    got = train(on_device(), problem_of(seed=1))
    for one, other in zip(got, expected, strict=True):
        assert_array_equal(one, other)
    assert device_cache.current().pop("a") is None


def test_a_reset_of_the_context_empties_the_cache(monkeypatch):
    reset = []
    context = SimpleNamespace(extras={}, reset=lambda: reset.append(store.n_bytes))
    array = memory.allocate(4, np.float64)
    monkeypatch.setattr(cuda, "current_context", lambda: context)
    # The cache belongs to the context, as on a device.
    monkeypatch.setattr(device_cache, "SIMULATED", False)
    store = device_cache.current()
    assert device_cache.current() is store
    store.put("a", (array,))
    context.reset()
    assert reset == [0]
    context.extras = {}
    assert device_cache.current() is not store


class PendingFrees:
    """A queue of deallocations that counts how often it is cleared."""

    freed = 0

    def clear(self):
        self.freed += 1


def test_a_forked_process_frees_nothing(monkeypatch):
    pending = PendingFrees()
    context = SimpleNamespace(
        memory_manager=SimpleNamespace(deallocations=pending),
        push=lambda: None,
        pop=lambda: None,
    )
    monkeypatch.setattr(memory, "SIMULATED", False)
    monkeypatch.setattr(cuda, "current_context", lambda: context)
    memory.free_in_context()
    pending.clear()
    assert pending.freed == 1
    process = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: process + 1)
    pending.clear()
    assert pending.freed == 1
