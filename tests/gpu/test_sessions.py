"""Sessions on a device: reproducible bits, batch ranges, memory release, errors."""

import gc
import weakref
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from gpu_fixtures import (
    BLOCKS,
    SOFTMAX,
    SQUARED,
    WIDE,
    WIDE_BATCH,
    assert_near,
    assert_same_bits,
    cast,
    on_device,
    parameters_for,
    problem_of,
    train,
)
from numba import cuda
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from rule_runners import LOSSES, name_of, row_of
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier
from skmlp.backends import reference
from skmlp.backends.cuda import data_loader, plan, session, workspace
from skmlp.backends.cuda.programs import per_op, persistent
from skmlp.backends.cuda.runtime import device_cache, graph, memory
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.rules.activations import ACTIVATIONS
from skmlp.training import minibatch

# Together they cover every phase of a training.
PROBLEMS = {
    "batch norm, dropout": (
        *(SOFTMAX, ("relu", "softmax")),
        {"normalization": "batch", "dropout": (0.3, 0.2), "weighted": True},
    ),
    "layer norm, noise, limits": (
        *(row_of("gaussian_nll-identity"), ("gelu", "tanh")),
        {
            "normalization": "layer",
            "input_noise": 0.1,
            "max_norm": 0.8,
            "max_grad_norm": 0.4,
        },
    ),
    "sparse": (row_of("log_loss-logistic"), ("softmax",), {"is_sparse": True}),
    "sparse, limits": (
        *(SQUARED, ("silu", "relu")),
        {"is_sparse": True, "max_grad_norm": 0.4, "dropout": (0.5, 0.0)},
    ),
    "no hidden layer": (SQUARED, (), {"weighted": True}),
    "embedding": (SOFTMAX, ("tanh", "relu"), {"bins": 4}),
}
every_problem = pytest.mark.parametrize("what", PROBLEMS)


def named(what):
    row, activations, settings = PROBLEMS[what]
    return problem_of(row, activations, n_rows=19, n_features=9, **settings)


@pytest.mark.needs_simulator
def test_wide_problems_have_work_for_eight_blocks():
    tile = plan.choose_tile(plan.split_threshold_for(3))
    layers = [(WIDE["n_features"], WIDE["units"][0]), WIDE["units"]]
    work = plan.Work(WIDE_BATCH, layers, sparse=False)
    assert plan.choose_blocks(work, tile, max(BLOCKS)) == max(BLOCKS)
    counts = [tile.n_tiles(rows, columns) for rows, columns, _ in work.products]
    # Forward and gradient of the first layer, deltas of the second.
    assert sum(n_tiles > max(BLOCKS) for n_tiles in counts) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_problem
def test_bits_do_not_depend_on_the_number_of_blocks(monkeypatch, what, dtype):
    row, activations, settings = PROBLEMS[what]
    problem = problem_of(row, activations, **WIDE, **settings)
    expected = train(reference, problem, batch_size=WIDE_BATCH)
    results = []
    for blocks in BLOCKS:
        monkeypatch.setattr(plan, "choose_blocks", lambda *_, n=blocks: n)
        results.append(train(on_device(), problem, batch_size=WIDE_BATCH, dtype=dtype))
    assert_near(results[0], expected, 1e-9 if dtype == np.float64 else 1e-3)
    for other in results[1:]:
        assert_same_bits(other, results[0])


@every_problem
def test_batch_ranges_may_be_cut_anywhere(what):
    problem = named(what)
    whole = train(on_device(), problem)
    for cuts in [(1,), (2, 3), (1, 2, 3, 4)]:
        assert_same_bits(train(on_device(), problem, cuts=cuts), whole)


@every_problem
def test_long_batch_ranges_need_several_launches(monkeypatch, what):
    problem = named(what)
    whole = train(on_device(), problem)
    monkeypatch.setattr(workspace, "_MAX_BATCHES", 2)
    assert_same_bits(train(on_device(), problem), whole)


@pytest.fixture
def loaded(monkeypatch):
    """Rows of every batch range that was loaded, and those of its epochs."""
    load, sizes = workspace.BatchBuffers.load, []

    def noting(buffers, fit, state, batches, inv_mean_weight):
        sizes.append((len(batches.row_ids), batches.epoch_rows))
        return load(buffers, fit, state, batches, inv_mean_weight)

    monkeypatch.setattr(workspace.BatchBuffers, "load", noting)
    return sizes


@pytest.mark.parametrize("least_flop", [np.inf, 0], ids=["persistent", "per_op"])
def test_resident_rows_are_one_batch_range(monkeypatch, loaded, least_flop):
    monkeypatch.setattr(plan, "PER_OP_FLOP", least_flop)
    train(on_device(), problem_of(n_rows=14), batch_size=4, cuts=(1,))
    assert [n_rows for n_rows, _ in loaded] == 2 * [4, 10]


def train_epochs(problem, n_epochs, at_once, batch_size=4):
    """Losses by epoch, parameters and slots, with `at_once` epochs in a call."""
    vector = parameters_for(problem.network)
    optimizer = make_optimizer("adam", vector.size)
    n_batches = -(-len(problem.row_ids) // batch_size)
    rng = np.random.default_rng(0)
    orders = np.stack([rng.permutation(problem.row_ids) for _ in range(n_epochs)])
    rates = np.split(
        optimizer.next_rates((0, n_epochs * n_batches), n_batches).table, n_epochs
    )
    losses = []
    with on_device().open_session(problem, vector) as opened:
        for first in range(0, n_epochs, at_once):
            some = orders[first : first + at_once]
            part = np.concatenate(rates[first : first + at_once])
            losses += opened.train_epochs(optimizer, some, batch_size, part)
        parameters = opened.params
    return losses, parameters, optimizer.slots


@pytest.mark.parametrize("least_flop", [np.inf, 0], ids=["persistent", "per_op"])
@pytest.mark.parametrize("n_rows", [12, 14])
@every_problem
def test_epochs_of_one_batch_range_have_the_bits_of_single_epochs(
    monkeypatch, loaded, what, n_rows, least_flop
):
    monkeypatch.setattr(plan, "PER_OP_FLOP", least_flop)
    row, activations, settings = PROBLEMS[what]
    problem = problem_of(row, activations, n_rows=n_rows, n_features=9, **settings)
    one_by_one = train_epochs(problem, 3, at_once=1)
    assert loaded == 3 * [(n_rows, n_rows)]
    loaded.clear()
    at_once = train_epochs(problem, 3, at_once=3)
    assert loaded == [(3 * n_rows, n_rows)]
    for mine, theirs in zip(at_once, one_by_one, strict=True):
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("most", "expected"), [(2, [8, 6] * 5), (7, [14] * 5), (8, [28, 28, 14])]
)
def test_a_batch_range_has_no_more_epochs_than_its_limit(
    monkeypatch, loaded, most, expected
):
    monkeypatch.setattr(workspace, "_MAX_BATCHES", most)
    problem = problem_of(n_rows=14)
    results = train_epochs(problem, 5, at_once=5)
    assert [n_rows for n_rows, _ in loaded] == expected
    monkeypatch.undo()
    for mine, theirs in zip(results, train_epochs(problem, 5, at_once=5), strict=True):
        assert_array_equal(mine, theirs)


def test_epochs_of_a_fit_go_to_the_device_together(monkeypatch, loaded):
    monkeypatch.setattr(minibatch, "_CALL_SECONDS", 1e9)
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    model = MLPClassifier((4,), device="cuda", max_iter=9, tol=0, n_iter_no_change=99)
    model.set_params(batch_size=16, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert sum(n_rows for n_rows, _ in loaded) == 9 * 40
    assert max(n_rows for n_rows, _ in loaded) > 40


class NotedStream:
    """A stream that records when it is synchronized."""

    def __init__(self, notes):
        self.synchronize = lambda: notes.append("stream")


@pytest.mark.needs_simulator
@pytest.mark.parametrize(
    ("least_flop", "waits"),
    [(np.inf, ["results"]), (0, ["stream", "results"])],
    ids=["persistent", "per_op"],
)
def test_a_call_ends_when_the_device_has_ended(monkeypatch, least_flop, waits):
    """Training sizes its calls by their duration, so they must not return early."""
    notes, download = [], workspace.download

    def noting_launch(*arguments):
        notes.append("launch")
        return configured(*arguments)

    def noting_results(vector):
        notes.append("results")
        return download(vector)

    monkeypatch.setattr(plan, "PER_OP_FLOP", least_flop)
    for program in (persistent, per_op):
        monkeypatch.setattr(program, "configured", noting_launch)
    monkeypatch.setattr(workspace, "download", noting_results)
    monkeypatch.setattr(graph, "new_stream", lambda: NotedStream(notes))
    train(on_device(), problem_of(n_rows=14), batch_size=4, cuts=(1,))
    calls = " ".join(notes).split(" ".join(waits))
    assert [set(call.split()) for call in calls] == [*4 * [{"launch"}], set()]


@pytest.mark.needs_simulator
def test_an_interrupted_call_waits_for_its_batches_before_a_read(monkeypatch):
    """Copies run on the default stream, which does not wait for the steps' stream."""
    notes, download = [], session.download
    batch = per_op.PerOp._batch

    def interrupted(program, n):
        if notes.count("batch") == 2:
            raise KeyboardInterrupt
        notes.append("batch")
        batch(program, n)

    def noting_read(vector):
        notes.append("read")
        return download(vector)

    monkeypatch.setattr(plan, "PER_OP_FLOP", 0)
    monkeypatch.setattr(per_op.PerOp, "_batch", interrupted)
    monkeypatch.setattr(session, "download", noting_read)
    monkeypatch.setattr(graph, "new_stream", lambda: NotedStream(notes))
    problem = problem_of(n_rows=14)
    vector = parameters_for(problem.network)
    optimizer = make_optimizer("adam", vector.size)
    with on_device().open_session(problem, vector) as opened:
        rates = optimizer.next_rates((0, 4), 4).table
        with pytest.raises(KeyboardInterrupt):
            opened.train(optimizer, problem.row_ids, 4, (0, 4), rates, 0.0)
        assert not np.array_equal(opened.params, vector)
    # The parameters, and the optimizer's vectors at the end.
    assert notes == ["batch", "batch", "stream", "read", "read"]


@pytest.mark.needs_simulator
@pytest.mark.usefixtures("any_order")
@every_problem
def test_no_phase_races(what):
    problem = named(what)._replace(row_ids=np.arange(9))
    result = train(on_device(), problem, batch_size=5)
    expected = train(reference, problem, batch_size=5)
    assert_allclose(result.parameters, expected.parameters, rtol=1e-9, atol=1e-9)
    network, vector = problem.network, parameters_for(problem.network)
    raw, _ = on_device().outputs(network, vector, problem.x, "identity")
    on_device().outputs(network, vector, problem.x, "softmax")
    on_device().evaluate(network, raw, problem.targets, problem.sample_weight)
    if network.normalization != "batch":
        with on_device().open_session(problem, vector) as opened:
            opened.loss_and_gradient(vector)


@pytest.mark.needs_simulator
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_fresh_memory_is_nan(dtype):
    """Otherwise a result equal to the reference's could have read fresh memory."""
    fresh = memory.allocate(5, dtype).copy_to_host()
    assert np.isnan(fresh).all() if dtype != np.int64 else (fresh == -1).all()


def loss_and_gradient(backend, problem, dtype=np.float64):
    vector = parameters_for(problem.network)
    with backend.open_session(cast(problem, dtype), vector.astype(dtype)) as opened:
        # Not at the parameters that the session began with.
        results = opened.loss_and_gradient(vector + 0.1)
        assert_array_equal(opened.params, vector.astype(dtype))
    return results


def assert_same_gradients(problem, dtype=np.float64):
    loss, gradient = loss_and_gradient(on_device(), problem, dtype)
    expected = loss_and_gradient(reference, problem)
    rtol = 1e-9 if dtype == np.float64 else 1e-4
    assert isinstance(loss, float)
    assert gradient.dtype == np.float64
    assert_allclose(loss, expected[0], rtol=rtol)
    assert_allclose(gradient, expected[1], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_gradients_over_all_rows(row, dtype):
    is_sparse = LOSSES.index(row) % 2 == 1
    problem = problem_of(row, weighted=True, is_sparse=is_sparse)
    assert_same_gradients(problem, dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_over_all_rows_behind_a_normalization(activation):
    assert_same_gradients(problem_of(activations=(activation,), normalization="layer"))


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("intercepts", [False, True])
def test_gradients_over_all_rows_in_sweeps(monkeypatch, intercepts, is_sparse):
    """A launch covers several batches of a sweep; dropout is off in it."""
    problem = problem_of(
        n_rows=19, intercepts=intercepts, is_sparse=is_sparse, dropout=(0.5,)
    )
    monkeypatch.setattr(session, "_SWEEP_ROWS", 4)
    monkeypatch.setattr(workspace, "_MAX_BATCHES", 2)
    assert_same_gradients(problem._replace(row_ids=np.arange(1, 19)))


def test_gradients_over_sparse_rows_without_a_hidden_layer():
    assert_same_gradients(problem_of(activations=(), is_sparse=True))


def test_launches_over_all_rows_are_limited_by_their_operations(monkeypatch):
    load, sizes = workspace.BatchBuffers.load, []

    def noting(buffers, fit, state, batches, inv_mean_weight):
        sizes.append(len(batches.row_ids))
        return load(buffers, fit, state, batches, inv_mean_weight)

    monkeypatch.setattr(workspace.BatchBuffers, "load", noting)
    monkeypatch.setattr(session, "_SWEEP_ROWS", 4)
    problem = problem_of(n_rows=19)
    work = plan.Work(4, problem.network.shapes, sparse=False)
    for sweeps, expected in [(0.5, [4, 4, 4, 4, 3]), (2.5, [8, 8, 3]), (9, [19])]:
        monkeypatch.setattr(plan, "_SWEEP_FLOP", sweeps * work.flop)
        sizes.clear()
        assert_same_gradients(problem)
        assert sizes == expected
    monkeypatch.undo()
    wide = plan.Work(4096, [(784, 1024), (1024, 1024), (1024, 10)], sparse=False)
    assert 1 <= plan.sweep_batches(wide) <= 5


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_gradients_do_not_depend_on_the_number_of_blocks(monkeypatch, is_sparse):
    problem = problem_of(activations=("gelu", "tanh"), is_sparse=is_sparse, **WIDE)
    results = []
    for blocks in BLOCKS:
        monkeypatch.setattr(plan, "choose_blocks", lambda *_, n=blocks: n)
        results.append(loss_and_gradient(on_device(), problem))
    expected = loss_and_gradient(reference, problem)
    assert_allclose(results[0][1], expected[1], rtol=1e-9, atol=1e-9)
    for loss, gradient in results[1:]:
        assert loss == results[0][0]
        assert_array_equal(gradient, results[0][1])


def test_gradients_over_all_rows_have_no_statistics_of_minibatches():
    with pytest.raises(ValueError, match="statistics of minibatches"):
        loss_and_gradient(on_device(), problem_of(normalization="batch"))


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_outputs_of_a_session(is_sparse, normalization):
    problem = problem_of(is_sparse=is_sparse, normalization=normalization)
    vector = parameters_for(problem.network)
    other = problem.x * 2
    results = []
    for backend in (reference, on_device()):
        with backend.open_session(problem, vector) as opened:
            rows = np.array([3, 1, 3])
            results.append(
                [opened.outputs(problem.x, rows), opened.outputs(other, None)]
            )
            results[-1].append(opened.outputs(other, rows))
    for expected, got in zip(*results, strict=True):
        assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def two_batches(backend, problem, optimizer, vector):
    with backend.open_session(problem, vector) as opened:
        rates = optimizer.next_rates((0, 2), 2).table
        opened.train(optimizer, problem.row_ids[:8], 4, (0, 2), rates, 0.0)
        return opened.params


def test_an_optimizer_goes_on_in_another_session():
    problem, results = problem_of(), []
    for backend in (reference, on_device()):
        vector = parameters_for(problem.network)
        optimizer = make_optimizer("adam", vector.size)
        for _ in range(2):
            vector = np.array(two_batches(backend, problem, optimizer, vector))
        results.append((vector, optimizer.slots))
    for expected, got in zip(*results, strict=True):
        assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@every_problem
def test_a_session_goes_back(what):
    """To earlier parameters, slots and random numbers; as if nothing had been since."""
    problem, results = named(what), []
    vector, n_batches = parameters_for(problem.network), 4
    order = problem.row_ids
    for goes_back in (True, False):
        optimizer = make_optimizer("adam", vector.size)
        with on_device().open_session(problem, vector) as opened:

            def epoch(n_epochs, opened=opened, optimizer=optimizer):
                steps = n_epochs * n_batches
                rates = optimizer.next_rates((0, steps), n_batches).table
                return opened.train_epochs(
                    optimizer, np.tile(order, (n_epochs, 1)), -(-len(order) // 4), rates
                )

            losses = epoch(1)
            opened.sync(optimizer)
            before, params = optimizer.copy(optimizer.slots.dtype), opened.params
            assert optimizer.slots.any()
            if goes_back:
                epoch(2)
                opened.rewind(params, 2 * n_batches)
                optimizer.t, optimizer.slots[:] = before.t, before.slots
            losses += epoch(1)
            results.append((losses, opened.params))
        results[-1] += (optimizer.slots,)
    for one, other in zip(*results, strict=True):
        assert_array_equal(one, other)


def test_batches_of_several_sizes_in_a_session():
    problem, results = problem_of(), []
    for backend in (reference, on_device()):
        vector = parameters_for(problem.network)
        optimizer = make_optimizer("adam", vector.size)
        with backend.open_session(problem, vector) as opened:
            for size in (4, 11, 4):
                n_batches = -(-11 // size)
                rates = optimizer.next_rates((0, n_batches), n_batches).table
                span = (0, n_batches)
                opened.train(optimizer, problem.row_ids, size, span, rates, 0.0)
            results.append(np.array(opened.params))
    assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-12)


def test_given_arrays_are_left_alone():
    problem = problem_of(weighted=True)
    vector = parameters_for(problem.network)
    before = vector.copy()
    for part in (
        problem.x,
        problem.targets,
        problem.sample_weight,
        vector,
        problem.row_ids,
    ):
        part.flags.writeable = False
    optimizer = make_optimizer("adam", vector.size)
    after = two_batches(on_device(), problem, optimizer, vector)
    assert_array_equal(vector, before)
    assert not np.array_equal(after, before)


class StopError(Exception):
    """Stops a session from outside."""


def test_a_failed_session_frees_its_memory_and_leaves_the_slots(monkeypatch):
    allocate, made = memory.allocate, []

    def noting(*arguments):
        array = allocate(*arguments)
        made.append(weakref.ref(array))
        return array

    monkeypatch.setattr(memory, "allocate", noting)
    problem = problem_of(dropout=(0.5,))
    vector = parameters_for(problem.network)
    optimizer = make_optimizer("adam", vector.size)
    optimizer.slots[:] = 0.25
    try:
        with on_device().open_session(problem, vector) as opened:
            rates = optimizer.next_rates((0, 2), 2).table
            opened.train(optimizer, problem.row_ids[:8], 4, (0, 2), rates, 0.0)
            del opened
            raise StopError
    except StopError:
        pass
    assert (optimizer.slots == 0.25).all()
    gc.collect()
    assert len(made) > 10
    assert not [array for array in made if array() is not None]


@pytest.fixture
def held(monkeypatch):
    """Bytes of live device and pinned arrays at each `_clear_deallocations`."""
    made, held = [], []

    def noting(make):
        def noted(*arguments, **settings):
            array = make(*arguments, **settings)
            # What parts of it hold on to.
            made.append(weakref.ref(getattr(array, "_ary", array)))
            return array

        return noted

    def free_waiting():
        gc.collect()  # for what the simulator has of a launch
        arrays = [array() for array in made]
        held.append(sum(array.nbytes for array in arrays if array is not None))

    for name in ("device_array", "pinned_array"):
        monkeypatch.setattr(cuda, name, noting(getattr(cuda, name)))
    monkeypatch.setattr(memory, "_clear_deallocations", free_waiting)
    device_cache.current().evict()
    return held


@pytest.mark.needs_simulator
@pytest.mark.parametrize("fraction", [0.0, 0.7], ids=["by the part", "resident"])
@pytest.mark.parametrize("least_flop", [np.inf, 0], ids=["persistent", "per_op"])
@pytest.mark.parametrize("fails", [False, True])
def test_all_memory_is_free_at_the_end(monkeypatch, held, fails, least_flop, fraction):
    monkeypatch.setattr(plan, "PER_OP_FLOP", least_flop)
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", fraction)
    monkeypatch.setattr(session, "cache", lambda key, data: None)
    problem = problem_of(n_rows=30)
    vector = parameters_for(problem.network)
    optimizer = make_optimizer("adam", vector.size)
    opening = on_device().open_session(problem, vector)
    with suppress(StopError), opening as opened:
        rates = optimizer.next_rates((0, 2), 2).table
        opened.train(optimizer, problem.row_ids[:8], 4, (0, 2), rates, 0.0)
        opened.outputs(problem.x * 2, None)
        if fails:
            raise StopError
    assert opened is not None
    assert held[-1] == 0


@pytest.mark.needs_simulator
def test_memory_is_free_where_a_memory_error_is_handled(free_memory, held):
    problem = problem_of(n_rows=300, is_sparse=True)
    free_memory(10_000)
    handled = False
    try:
        train(on_device(), problem)
    except MemoryError:
        # The error itself still holds the variables of its frames.
        handled = held[-1] == 0 and len(held) > 1
    assert handled


@pytest.mark.needs_simulator
def test_memory_of_a_prediction_is_free_at_its_end(held):
    problem = problem_of()
    vector = parameters_for(problem.network)
    raw, _ = on_device().outputs(problem.network, vector, problem.x, "identity")
    assert held == [0]
    on_device().evaluate(problem.network, raw, problem.targets, problem.sample_weight)
    assert held == [0, 0]


@pytest.mark.needs_simulator
def test_a_device_that_cannot_free_hides_no_error(monkeypatch):
    def failing():
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    def stopped(problem):
        with on_device().open_session(problem, parameters_for(problem.network)):
            monkeypatch.setattr(memory, "_clear_deallocations", failing)
            raise StopError

    with pytest.raises(StopError):
        stopped(problem_of())


@pytest.fixture
def free_memory(monkeypatch):
    """``free_memory(n)``: makes the device report n free bytes."""

    def free_memory(n_bytes):
        context = type(cuda.current_context())
        monkeypatch.setattr(
            context, "get_memory_info", lambda self: (n_bytes, 8 * 2**20)
        )

    return free_memory


def test_data_that_do_not_fit_are_a_memory_error(free_memory):
    problem = problem_of(n_rows=3000, n_features=100, is_sparse=True)
    free_memory(512 * 1024)
    message = r"0\.5 MiB of its 8\.0 MiB free, but 0\.9 MiB are needed at once\.$"
    with pytest.raises(MemoryError, match=message):
        train(on_device(), problem)


def test_batches_that_do_not_fit_are_a_memory_error_that_changes_nothing(free_memory):
    problem = problem_of(n_rows=200)
    vector = parameters_for(problem.network)
    optimizer = make_optimizer("adam", vector.size)
    with on_device().open_session(problem, vector) as opened:
        rates = optimizer.next_rates((0, 1), 1).table
        free_memory(10_000)
        with pytest.raises(MemoryError, match=r"A smaller batch_size needs less\."):
            opened.train(optimizer, problem.row_ids, 200, (0, 1), rates, 0.0)
        assert_array_equal(opened.params, vector)
        free_memory(2**30)
        opened.train(optimizer, problem.row_ids, 10, (0, 1), rates, 0.0)
        assert not np.array_equal(opened.params, vector)
    assert not np.array_equal(optimizer.slots, np.zeros_like(optimizer.slots))


def test_pending_frees_are_done_first(monkeypatch):
    free, context = [100], cuda.current_context()
    if memory.SIMULATED:  # where nothing waits
        manager = SimpleNamespace(deallocations=SimpleNamespace(clear=None))
        monkeypatch.setattr(type(context), "memory_manager", manager, raising=False)
    waiting = context.memory_manager.deallocations
    monkeypatch.setattr(waiting, "clear", lambda: free.append(2**20))
    information = type(context), "get_memory_info"
    monkeypatch.setattr(*information, lambda self: (free[-1], 2**20))
    assert memory.allocate(1000, np.float32).size == 1000
    assert free == [100, 2**20]
    with pytest.raises(MemoryError, match=r"1\.0 MiB of its 1\.0 MiB free"):
        memory.allocate(2**20, np.float32)
    del free[1:]
    assert data_loader.fits(np.zeros(1000, dtype=np.float32))


class PendingFrees:
    """Records how many contexts were current at each free."""

    def __init__(self, context):
        self._context = context

    def clear(self):
        self._context.freed.append(self._context.pushed)


class PretendedContext:
    """A context that records whether it is current when its memory is freed."""

    def __init__(self):
        self.pushed, self.freed = 0, []
        self.deallocations = PendingFrees(self)
        self.memory_manager = SimpleNamespace(deallocations=PendingFrees(self))

    def push(self):
        self.pushed += 1

    def pop(self):
        self.pushed -= 1


def test_memory_is_freed_in_its_own_context(monkeypatch):
    context = PretendedContext()
    monkeypatch.setattr(memory, "SIMULATED", False)
    monkeypatch.setattr(cuda, "current_context", lambda: context)
    for _ in range(2):
        memory.free_in_context()
        context.memory_manager.deallocations.clear()
    assert context.freed == [1, 1]
    assert context.pushed == 0


def test_fragmented_memory_is_a_memory_error(monkeypatch):
    def failing(size, dtype):
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(cuda, "device_array", failing)
    with pytest.raises(MemoryError, match="needed at once"):
        memory.allocate(1000, np.float32)


@pytest.mark.parametrize("cls", [RuntimeError, MemoryError])
def test_failed_pinned_allocations_are_a_memory_error(monkeypatch, cls):
    def failing(shape, dtype):
        raise cls("Call to cuMemHostAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(cuda, "pinned_array", failing)
    with pytest.raises(MemoryError, match="cuMemHostAlloc results in"):
        train(on_device(), problem_of())


def test_other_errors_of_an_allocation_stay(monkeypatch):
    def failing(size, dtype):
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(cuda, "device_array", failing)
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        memory.allocate(1000, np.float32)
