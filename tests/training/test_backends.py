"""Every backend against the definition, and the definition against calculus.

The reference is checked by finite differences; the compiled backend must then equal
the reference step by step, over losses, activations, depths, weights and storage, for
every number of threads to the bit.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from rule_runners import (
    LOSSES,
    name_of,
    outputs_of,
    parameters_of,
    row_of,
    smoothed_parameters,
    targets_of,
)
from scipy import sparse

from skmlp.backends import Problem, Regularization, cpu, get_backend, reference
from skmlp.backends.cpu import plan
from skmlp.network import Network, init_params, layout, views
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import segments_of, step_table

N_ROWS, N_FEATURES = 67, 7
HIDDEN = sorted(ACTIVATIONS)
SOFTMAX = row_of("log_loss-softmax-labels")
SQUARED = row_of("squared_error-identity")
SMOOTHED = [row for row in LOSSES if row.smoothing]
STORAGE = [(False, False), (True, True), (True, False), (False, True)]

every_loss = pytest.mark.parametrize("row", LOSSES, ids=name_of)
both_backends = pytest.mark.parametrize(
    "backend", [reference, cpu], ids=["reference", "cpu"]
)


def make_network(row, activations, *, smoothing=0.0, intercepts=True):
    hidden = (6, 5, 4)[: len(activations)]
    n_columns = targets_of(row, 1, np.random.default_rng(0)).shape[1]
    sizes = (N_FEATURES, *hidden, outputs_of(row, n_columns))
    parameters = parameters_of(row)
    if row in SMOOTHED:
        parameters = smoothed_parameters(row, smoothing)
    return Network(sizes, tuple(activations), row, row.output, parameters, intercepts)


def make_problem(network, *, weighted=False, is_sparse=False, dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, N_FEATURES)) * (rng.random((N_ROWS, N_FEATURES)) < 0.6)
    x = sparse.csr_array(x.astype(dtype)) if is_sparse else x.astype(dtype)
    weights = rng.uniform(0.2, 3, N_ROWS).astype(dtype) if weighted else None
    targets = targets_of(network.loss, N_ROWS, rng)[:, : network.target_columns]
    targets = np.ascontiguousarray(targets, dtype=dtype)
    rows = np.arange(N_ROWS)
    return Problem(network, x, targets, weights, rows, 0.3)


def make_parameters(network, dtype=np.float64):
    initializers = [INITIALIZERS["sklearn_uniform"]] * len(network.shapes)
    return init_params(network, initializers, np.random.RandomState(0), dtype)


def train(backend, problem, parameters, optimizer, *, batch_size=16, n_jobs=None):
    """Parameters and losses, slice by slice, of one epoch in a scrambled order."""
    order = np.random.default_rng(1).permutation(problem.row_ids)
    n_batches = -(-len(order) // batch_size)
    steps = []
    with backend.open_session(problem, parameters, n_jobs) as session:
        for span in [(0, 1), (1, n_batches)]:
            rates = optimizer.next_rates(span, n_batches).table
            loss = session.train(optimizer, order, batch_size, span, rates, 0.0)
            steps.append((loss, np.array(session.params)))
    return steps


def assert_same_steps(got, expected, rtol):
    for (loss, parameters), (expected_loss, expected_parameters) in zip(
        got, expected, strict=True
    ):
        assert_allclose(loss, expected_loss, rtol=rtol)
        atol = rtol * np.abs(expected_parameters).max()
        assert_allclose(parameters, expected_parameters, rtol=rtol, atol=atol)


def finite_differences(session, parameters):
    h = 1e-6
    gradient = np.empty_like(parameters)
    for i in range(parameters.size):
        step = np.zeros_like(parameters)
        step[i] = h
        above, _ = session.loss_and_gradient(parameters + step)
        below, _ = session.loss_and_gradient(parameters - step)
        gradient[i] = (above - below) / (2 * h)
    return gradient


def assert_gradient(backend, network, **settings):
    problem = make_problem(network, **settings)
    # The reference applies its rules in Python.
    rows = problem.row_ids[:20] if backend is reference else problem.row_ids
    parameters = make_parameters(network)
    with backend.open_session(problem._replace(row_ids=rows), parameters, 1) as session:
        _, gradient = session.loss_and_gradient(parameters)
        numerical = finite_differences(session, parameters)
    if not network.intercepts:
        numerical[layout(network).bias_offsets[0] :] = 0
    assert_allclose(gradient, numerical, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reduces_in_blocks", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_by_range_and_by_row_block(monkeypatch, reduces_in_blocks, weighted):
    """Both ways to compute a gradient, with several row blocks per batch."""
    monkeypatch.setattr(plan, "reduces_in_blocks", lambda *shape: reduces_in_blocks)
    monkeypatch.setattr(plan, "block_rows", lambda *shape: 16)
    network = make_network(SOFTMAX, ["tanh", "relu"])
    assert_gradient(cpu, network, weighted=weighted)
    problem = make_problem(network, weighted=weighted)
    expected, one, two = (
        train(
            backend,
            problem,
            make_parameters(network),
            make_optimizer("adam", layout(network).size),
            batch_size=40,
            n_jobs=n_jobs,
        )
        for backend, n_jobs in ((reference, 1), (cpu, 1), (cpu, 2))
    )
    assert_same_steps(one, expected, 1e-9)
    assert_same_steps(two, one, 0)


@both_backends
@pytest.mark.parametrize("activation", HIDDEN)
def test_gradients_of_activations_by_finite_differences(backend, activation):
    names = [activation] if backend is reference else [activation, activation]
    assert_gradient(backend, make_network(SQUARED, names))


@both_backends
@every_loss
def test_gradients_of_losses_by_finite_differences(backend, row):
    weighted, is_sparse = STORAGE[LOSSES.index(row) % len(STORAGE)]
    names = ["tanh"] if backend is reference else ["tanh", "silu"]
    network = make_network(row, names)
    assert_gradient(backend, network, weighted=weighted, is_sparse=is_sparse)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_loss
def test_losses_of_rows_are_those_of_the_definition(row, dtype):
    network = make_network(row, [])
    rng = np.random.default_rng(3)
    targets = targets_of(row, 9, rng)[:, : network.target_columns]
    raw = rng.normal(size=(9, network.sizes[-1]))
    expected = reference.row_losses(network, raw, targets)
    mean, _ = reference.evaluate(network, raw, targets, None)
    np.testing.assert_allclose(expected.mean(), mean, rtol=1e-12)
    found = cpu.row_losses(
        network, raw.astype(dtype), np.ascontiguousarray(targets, dtype=dtype)
    )
    rtol = {np.float32: 1e-4, np.float64: 1e-10}[dtype]
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


@both_backends
@pytest.mark.parametrize("row", SMOOTHED, ids=name_of)
def test_gradients_by_finite_differences_with_smoothed_labels(backend, row):
    network = make_network(row, ["tanh"], smoothing=0.2)
    assert_gradient(backend, network, weighted=True)


@both_backends
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_gradients_by_finite_differences_without_intercepts(backend, is_sparse):
    network = make_network(SOFTMAX, ["gelu"], intercepts=False)
    assert_gradient(backend, network, weighted=True, is_sparse=is_sparse)


def assert_equals_reference(network, optimizer="adam", dtype=np.float64, **settings):
    parameters = make_parameters(network)
    double = make_optimizer(optimizer, parameters.size)
    problem = make_problem(network, **settings)
    expected = train(reference, problem, parameters, double)
    single = make_optimizer(optimizer, parameters.size, dtype)
    problem = make_problem(network, dtype=dtype, **settings)
    got = train(cpu, problem, parameters.astype(dtype), single)
    assert_same_steps(got, expected, {np.float32: 3e-4, np.float64: 1e-9}[dtype])


@pytest.mark.parametrize("depth", range(4))
@every_loss
def test_training_equals_the_reference(row, depth):
    # Each loss and depth meets other activations and optimizers; all of them are met.
    number = 4 * LOSSES.index(row) + depth
    names = [HIDDEN[(number + 5 * i) % len(HIDDEN)] for i in range(depth)]
    weighted, is_sparse = STORAGE[(number + depth) % len(STORAGE)]
    optimizer = list(OPTIMIZERS)[number % len(OPTIMIZERS)]
    network = make_network(row, names)
    assert_equals_reference(network, optimizer, weighted=weighted, is_sparse=is_sparse)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_equal_the_reference(optimizer, weighted, is_sparse):
    network = make_network(SOFTMAX, ["relu", "gelu", "softplus"])
    assert_equals_reference(network, optimizer, weighted=weighted, is_sparse=is_sparse)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-3), (np.float64, 1e-9)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_equals_the_reference(name, dtype, rtol):
    network = make_network(SQUARED, ["tanh", "logistic"])
    parameters = make_parameters(network)
    double, single = (make_optimizer(name, parameters.size, d) for d in (float, dtype))
    problem = make_problem(network, weighted=True)
    expected = train(reference, problem, parameters, double)
    problem = make_problem(network, weighted=True, dtype=dtype)
    got = train(cpu, problem, parameters.astype(dtype), single)
    assert_same_steps(got, expected, rtol)
    for mine, theirs in zip(single.slots, double.slots, strict=True):
        atol = rtol * np.abs(theirs).max()
        assert_allclose(mine, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("backend", [reference, cpu], ids=["reference", "cpu"])
def test_weights_decay_before_the_step_and_biases_do_not(backend):
    network = make_network(SQUARED, ["tanh"])
    problem = make_problem(network)
    parameters = make_parameters(network)
    moved = []
    for share in (0.0, 0.25):
        optimizer = make_optimizer("sgd", parameters.size)
        with backend.open_session(problem, parameters, 1) as session:
            rates = step_table([(share, 0.1), (0.0, 0.1)])
            session.train(optimizer, problem.row_ids, 20, (0, 1), rates, 0.0)
            moved.append(np.array(session.params))
    n_weights = layout(network).bias_offsets[0]
    expected = np.zeros(parameters.size)
    expected[:n_weights] = 0.25 * parameters[:n_weights]
    assert_allclose(moved[0] - moved[1], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", HIDDEN)
def test_activations_equal_the_reference(activation, dtype):
    # Beside those that keep their inputs and those that do not.
    network = make_network(SQUARED, [activation, "silu", activation])
    assert_equals_reference(network, dtype=dtype, weighted=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", HIDDEN)
def test_activations_below_a_single_output_equal_the_reference(activation, dtype):
    network = make_network(SQUARED, ["silu", activation])
    network = network._replace(sizes=(N_FEATURES, 6, 21, 1))
    assert_equals_reference(network, dtype=dtype, weighted=True)


@every_loss
def test_single_precision_is_close_to_the_reference(row):
    network = make_network(row, ["tanh"])
    assert_equals_reference(network, "sgd", dtype=np.float32, weighted=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", SMOOTHED, ids=name_of)
def test_smoothed_labels_equal_the_reference(row, dtype):
    network = make_network(row, ["relu"], smoothing=0.2)
    assert_equals_reference(network, dtype=dtype, weighted=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_intercepts_that_are_not_trained_stay(optimizer):
    network = make_network(SOFTMAX, ["tanh"], intercepts=False)
    assert_equals_reference(network, optimizer)
    problem, parameters = make_problem(network), make_parameters(network)
    steps = train(cpu, problem, parameters, make_optimizer(optimizer, parameters.size))
    first = layout(network).bias_offsets[0]
    assert_array_equal(steps[-1][1][first:], parameters[first:])
    assert not np.any(steps[-1][1][:first] == parameters[:first])


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    row=st.sampled_from(LOSSES),
    names=st.lists(st.sampled_from(HIDDEN), max_size=3),
    weighted=st.booleans(),
    is_sparse=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.3]),
    intercepts=st.booleans(),
    optimizer=st.sampled_from(list(OPTIMIZERS)),
)
def test_any_network_equals_the_reference(
    row, names, weighted, is_sparse, smoothing, intercepts, optimizer
):
    network = make_network(row, names, smoothing=smoothing, intercepts=intercepts)
    assert_equals_reference(network, optimizer, weighted=weighted, is_sparse=is_sparse)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@every_loss
def test_outputs_equal_the_reference(row, is_sparse):
    network = make_network(row, ["tanh", "relu"])
    problem = make_problem(network, is_sparse=is_sparse)
    parameters = make_parameters(network)
    for activation in (network.output, "identity"):
        expected, got = (
            backend.outputs(network, parameters, problem.x, activation, 1)[0]
            for backend in (reference, cpu)
        )
        assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    rows = np.array([3, 1, 60, 3])
    with cpu.open_session(problem, parameters, 1) as session:
        some = session.outputs(problem.x, rows)
        every = session.outputs(problem.x, None)
    whole, _ = cpu.outputs(network, parameters, problem.x, "identity", 1)
    assert_allclose(some, whole[rows], rtol=1e-12)
    assert_array_equal(every, whole)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("reduces_in_blocks", [False, True])
@pytest.mark.parametrize("batch_size", [16, 60, 1000])
def test_hidden_outputs_are_those_of_the_last_batch(
    monkeypatch, batch_size, reduces_in_blocks, is_sparse
):
    """There are gaps between row blocks, and the last batch may have only one block."""
    monkeypatch.setattr(plan, "reduces_in_blocks", lambda *shape: reduces_in_blocks)
    monkeypatch.setattr(plan, "block_rows", lambda *shape: 16)
    network = make_network(SOFTMAX, ["gelu", "relu"])
    problem = make_problem(network, is_sparse=is_sparse)
    parameters, orders = make_parameters(network), np.stack([problem.row_ids[::-1]] * 2)
    optimizer = make_optimizer("sgd", layout(network).size)
    n_batches = -(-N_ROWS // batch_size)
    rates = step_table(2 * [(np.zeros(2 * n_batches),)])
    with cpu.open_session(problem, parameters, 1) as session:
        assert session.hidden_outputs() is None
        session.train_epochs(optimizer, orders, batch_size, rates)
        after_training = session.hidden_outputs()
        session.loss_and_gradient(parameters)
        after_a_sweep = session.hidden_outputs()
    last = orders[0][(n_batches - 1) * batch_size :]
    for got, rows in ((after_training, last), (after_a_sweep, problem.row_ids)):
        _, expected, _ = reference.trace(network, parameters, problem.x[rows])
        assert len(got) == len(expected) == 2
        for one, other in zip(got, expected, strict=True):
            assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", [*HIDDEN, *OUTPUT_ONLY])
def test_activations_of_outputs_equal_the_reference(activation):
    network = make_network(SOFTMAX, ["silu"])
    problem, parameters = make_problem(network), make_parameters(network)
    expected, got = (
        backend.outputs(network, parameters, problem.x, activation, 1)[0]
        for backend in (reference, cpu)
    )
    assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    "name", ["log_loss-softmax-labels", "gaussian_nll-identity", "poisson-exp"]
)
def test_bits_do_not_depend_on_the_number_of_threads(
    monkeypatch, name, is_sparse, dtype
):
    network = make_network(row_of(name), ["relu", "gelu", "softmax"], smoothing=0.1)
    problem = make_problem(network, weighted=True, is_sparse=is_sparse, dtype=dtype)
    parameters = make_parameters(network, dtype)
    results = []
    for n_threads in (1, 2, 3, 5, 8):
        monkeypatch.setattr(plan, "threads_for", lambda *_, n=n_threads: n)
        # Small blocks, so that all members have something to do.
        monkeypatch.setattr(plan, "block_rows", lambda *arguments: 3)
        monkeypatch.setattr(plan, "predict_rows", lambda *arguments: 3)
        optimizer = make_optimizer("adam", parameters.size, dtype)
        steps = train(cpu, problem, parameters, optimizer)
        with cpu.open_session(problem, parameters, None) as session:
            loss, gradient = session.loss_and_gradient(parameters)
        out, _ = cpu.outputs(network, parameters, problem.x, network.output, None)
        results.append(
            [*[array for step in steps for array in step], gradient, out, loss]
        )
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert_array_equal(mine, theirs)


def test_gradient_is_the_same_in_sweeps(monkeypatch):
    """The gradient over all rows is summed over sweeps that bound the memory."""
    network = make_network(SQUARED, ["tanh"])
    problem = make_problem(network, weighted=True)
    parameters = make_parameters(network)
    expected = reference.Session(problem, parameters).loss_and_gradient(parameters)
    monkeypatch.setattr("skmlp.backends.cpu.session._FULL_GRADIENT_ROWS", 10)
    with cpu.open_session(problem, parameters, 1) as session:
        for _ in range(2):
            loss, gradient = session.loss_and_gradient(parameters)
            assert_allclose(loss, expected[0])
            assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "extras", [Regularization(dropout=(0.2,)), Regularization(input_noise=0.1)]
)
def test_sweeps_have_no_dropout_and_no_noise(extras):
    problem = make_problem(make_network(SQUARED, ["tanh"]))
    parameters = make_parameters(problem.network)
    problem = problem._replace(regularization=extras)
    with (
        cpu.open_session(problem, parameters, 1) as session,
        pytest.raises(ValueError, match="no dropout and no noise"),
    ):
        session.loss_and_gradient(parameters)


def test_minibatch_gradients_are_unbiased():
    """The mean over batches of equal size is the full gradient, weighted or not."""
    network = make_network(SOFTMAX, ["tanh"])
    problem = make_problem(network, weighted=True)._replace(row_ids=np.arange(60))
    parameters = make_parameters(network)
    with cpu.open_session(problem, parameters, 1) as session:
        _, full = session.loss_and_gradient(parameters)
    moves = []
    for b in range(6):
        optimizer = make_optimizer("sgd", parameters.size)
        optimizer.hyper = (0.0, 1.0, 0.0)
        rates = step_table(2 * [(0.0, 1.0)])
        with cpu.open_session(problem, parameters, 1) as session:
            session.train(optimizer, problem.row_ids, 10, (b, b + 1), rates, 0.0)
            moves.append(parameters - session.params)
    # A batch's penalty is that of its own rows, as in scikit-learn.
    n_weights = layout(network).bias_offsets[0]
    extra = problem.alpha / problem.mean_sample_weight * (1 / 10 - 1 / 60)
    expected = full.copy()
    expected[:n_weights] += extra * parameters[:n_weights]
    assert_allclose(np.mean(moves, axis=0), expected, rtol=1e-9, atol=1e-12)


def test_parameters_given_are_left_alone():
    network = make_network(SQUARED, ["relu"])
    problem = make_problem(network)
    for name in ("cpu", "reference"):
        parameters = make_parameters(network)
        before = parameters.copy()
        train(
            get_backend(name), problem, parameters, make_optimizer("adam", before.size)
        )
        assert_array_equal(parameters, before)


@pytest.mark.parametrize("sizes", [(3, 1), (4, 7, 2), (5, 3, 3, 1)])
def test_views_cover_the_vector_once(sizes):
    network = Network(sizes, ("relu",) * (len(sizes) - 2), SQUARED, "identity")
    vector = np.zeros(layout(network).size)
    for part in (part for parts in views(network, vector) for part in parts):
        part += 1
    assert_array_equal(vector, 1)


@pytest.mark.parametrize("cores", [1, 2, 16])
@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("intercepts", [False, True])
@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
def test_param_ranges_cover_every_trained_parameter_once(
    monkeypatch, cores, in_blocks, intercepts, normalization
):
    monkeypatch.setattr(plan.os, "cpu_count", lambda: cores)
    network = Network(
        *((784, 100, 30, 1, 5), ("relu",) * 3, SQUARED, "identity"),
        intercepts=intercepts,
        normalization=normalization,
    )
    offsets = layout(network)
    covered = np.zeros(offsets.size, dtype=int)
    segments = segments_of(network)
    for part in plan.param_ranges(network, segments, 200, 4, in_blocks=in_blocks):
        covered[part.start : part.start + part.size] += 1
    expected = np.zeros(offsets.size, dtype=int)
    expected[: offsets.n_trained] = 1
    if not intercepts:
        scales = (
            offsets.scale_offsets[0] if offsets.scale_offsets else offsets.n_trained
        )
        expected[offsets.bias_offsets[0] : scales] = 0
    assert_array_equal(covered, expected)


@pytest.mark.parametrize("cores", [1, 2, 16])
@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("factors", [(), (1, 2, 2, 0.5)], ids=["alike", "by layer"])
def test_param_ranges_of_weights_have_whole_rows(
    monkeypatch, cores, in_blocks, factors
):
    monkeypatch.setattr(plan.os, "cpu_count", lambda: cores)
    sizes = (784, 100, 30, 1, 5)
    network = Network(sizes, ("relu",) * 3, SQUARED, "identity")
    starts = layout(network).weight_offsets
    rows = np.array(
        [
            (layer, row, starts[layer] + row * fan_out)
            for layer, (fan_in, fan_out) in enumerate(network.shapes)
            for row in range(fan_in + 1)
        ]
    )
    offsets = {(layer, row): offset for layer, row, offset in rows.tolist()}
    segments = segments_of(network, factors)
    ranges = plan.param_ranges(network, segments, 200, 4, in_blocks=in_blocks)
    of_weights = [part for part in ranges if part.first_layer >= 0]
    for part in of_weights:
        assert part.start == offsets[part.first_layer, part.first_row]
        assert part.start + part.size == offsets[part.last_layer, part.last_row]
        assert in_blocks or part.first_layer == part.last_layer
        segment = segments[part.segment]
        assert segment.begin <= part.start < part.start + part.size <= segment.end
    assert len(of_weights) >= (cores if in_blocks else len(starts))


@pytest.mark.parametrize(
    ("batch_size", "sizes", "cores"),
    list(product([1, 7, 200, 100_000], [(3, 1), (784, 2000, 10)], [1, 2, 64])),
)
def test_row_blocks_have_sensible_sizes(monkeypatch, batch_size, sizes, cores):
    monkeypatch.setattr(plan.os, "cpu_count", lambda: cores)
    rows = plan.block_rows(sizes, batch_size, 4)
    assert 1 <= rows <= batch_size
    assert rows >= min(batch_size, 16)


@both_backends
@pytest.mark.parametrize(
    ("values", "finite"),
    [([1.0], True), ([np.nan], False), ([np.inf], False), ([np.inf, -np.inf], False)],
)
def test_outputs_tell_whether_x_is_finite(backend, values, finite):
    network = make_network(SOFTMAX, ["tanh"])
    problem = make_problem(network)
    x = problem.x.copy()
    x[-1, : len(values)] = values
    parameters = make_parameters(network)
    assert backend.outputs(network, parameters, x, "softmax", None)[1] is finite
