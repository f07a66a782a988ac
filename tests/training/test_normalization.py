"""Normalization: the definition against calculus, the CPU against the definition."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from rule_runners import (
    LOSSES,
    name_of,
    outputs_of,
    parameters_of,
    row_of,
    targets_of,
)
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, Regularization, cpu, reference
from skmlp.backends.cpu import plan
from skmlp.network import Network, init_norm_state, layout, norm_state, views
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import step_table
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

N_ROWS, N_FEATURES = 33, 5
SOFTMAX = row_of("log_loss-softmax-labels")


def steps(n_batches, rate):
    """A shrinking share of zero and a rule's coefficients, of which it takes one."""
    return step_table(2 * [(np.zeros(n_batches), rate)])


def make_problem(
    normalization, activations=("tanh", "relu"), row=SOFTMAX, **regularization
):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, N_FEATURES))
    targets = targets_of(row, N_ROWS, rng)
    hidden = (6, 4, 7)[: len(activations)]
    network = Network(
        (N_FEATURES, *hidden, outputs_of(row, targets.shape[1])),
        *(activations, row, row.output, parameters_of(row)),
        normalization=normalization,
    )
    weights = rng.uniform(0.2, 3, N_ROWS)
    extras = Regularization(**regularization)
    return Problem(network, x, targets, weights, np.arange(N_ROWS), 0.3, extras)


def make_parameters(network):
    vector = np.random.default_rng(1).normal(size=layout(network).size) * 0.6
    first = init_norm_state(network, vector.copy())
    start = layout(network).bias_offsets[-1] + network.sizes[-1]
    vector[start:] = first[start:] + 0.1 * np.abs(vector[start:])
    return vector


def train(backend, problem, parameters, *, batch_size=8, n_jobs=1):
    slots = np.zeros((2, parameters.size), dtype=parameters.dtype)
    optimizer = SimpleNamespace(name="adam", slots=slots, hyper=(0.1, 0.01, 1e-8))
    order = np.random.default_rng(1).permutation(problem.row_ids)
    n_batches = -(-len(order) // batch_size)
    with backend.open_session(problem, parameters, n_jobs) as session:
        loss = session.train(
            optimizer, order, batch_size, (0, n_batches), steps(n_batches, 0.02), 0.0
        )
        return (
            loss,
            np.array(session.params),
            session.outputs(problem.x, problem.row_ids),
        )


def assert_gradient(problem, backend=reference):
    """Loss and gradient over all rows, which are one batch, against differences."""
    parameters = make_parameters(problem.network)
    with backend.open_session(problem, parameters, 1) as session:
        _, gradient = session.loss_and_gradient(parameters)
        for i in range(layout(problem.network).n_trained):
            step = np.zeros_like(parameters)
            step[i] = 1e-6
            above, _ = session.loss_and_gradient(parameters + step)
            below, _ = session.loss_and_gradient(parameters - step)
            found = (above - below) / 2e-6
            assert_allclose(gradient[i], found, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("activation", ["tanh", "softmax", "gelu"])
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_gradient_by_finite_differences(normalization, activation):
    assert_gradient(make_problem(normalization, (activation, "tanh")))


@pytest.mark.sampled
@pytest.mark.parametrize("row", LOSSES, ids=name_of)
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_gradient_of_every_loss_by_finite_differences(normalization, row):
    problem = make_problem(normalization, ("tanh",), row)
    # The reference applies its rules in Python.
    assert_gradient(problem._replace(row_ids=problem.row_ids[::4]))


@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_gradient_of_the_kernels_by_finite_differences(row):
    """With 'batch' they only train: there they are held against the reference."""
    assert_gradient(make_problem("layer", ("gelu", "tanh"), row), cpu)


@pytest.mark.parametrize("backend", [reference, cpu], ids=["reference", "cpu"])
def test_running_statistics_are_those_of_the_minibatches(backend):
    """A tenth of each minibatch's mean and unbiased variance; a single row has none."""
    problem = make_problem("batch", ("tanh",))
    vector = make_parameters(problem.network)
    (coef, _), _ = views(problem.network, vector)
    _, (mean,), (variance,) = norm_state(problem.network, vector.copy())
    slots = np.zeros((1, vector.size))
    optimizer = SimpleNamespace(name="sgd", slots=slots, hyper=(0.0, 1.0, 0.0))
    batches = np.split(problem.row_ids, [8, 16, 24, 32])
    with backend.open_session(problem, vector, 1) as session:
        session.train(optimizer, problem.row_ids, 8, (0, 5), steps(5, 0.0), 0.0)
        after = np.array(session.params)
    for batch in batches[:-1]:
        z = problem.x[batch] @ coef
        mean = 0.9 * mean + 0.1 * z.mean(axis=0)
        variance = 0.9 * variance + 0.1 * z.var(axis=0, ddof=1)
    assert len(batches[-1]) == 1
    found = norm_state(problem.network, after)
    assert_allclose(found.means[0], mean, rtol=1e-9)
    assert_allclose(found.variances[0], variance, rtol=1e-9)
    trained = layout(problem.network).n_trained
    assert_array_equal(after[:trained], vector[:trained])


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_normalized_inputs_have_mean_zero_and_variance_one(normalization, dtype):
    """Up to the trained scales and biases, whatever the scale of the features."""
    x, y = load_digits(return_X_y=True)
    clf = MLPClassifier((30,), "identity", normalization=normalization, dtype=dtype)
    # Steps so small that the running statistics catch up with the weights.
    clf.set_params(learning_rate_init=1e-5, max_iter=100, tol=0.0, random_state=0)
    clf.set_params(batch_size=len(x), n_iter_no_change=100)
    hidden = clf.fit(1000 * x, y).hidden_activations(1000 * x)
    normed = (hidden - clf.intercepts_[0]) / clf.norm_scales_[0]
    axis = 1 if normalization == "layer" else 0
    assert_allclose(normed.mean(axis=axis), 0, atol=0.01)
    assert_allclose(normed.std(axis=axis), 1, atol=0.01)


KINDS = ["layer", "batch"]
CASES = [
    (("tanh",), {}),
    (("gelu", "relu", "softmax"), {"dropout": (0.3, 0.0, 0.2), "seed": 3}),
    (("relu", "gelu"), {"max_norm": 1.0, "max_grad_norm": 0.1}),
]


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(("activations", "extras"), CASES)
@pytest.mark.parametrize("normalization", KINDS)
def test_cpu_equals_the_reference(normalization, activations, extras, is_sparse):
    problem = make_problem(normalization, activations, **extras)
    if is_sparse:
        problem = problem._replace(x=sparse.csr_array(problem.x))
    parameters = make_parameters(problem.network)
    # The last batch has a single row.
    for ours, theirs in zip(
        train(cpu, problem, parameters),
        train(reference, problem, parameters),
        strict=True,
    ):
        assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


def train_by(name, backend, problem, dtype=np.float64):
    """Loss, parameters and the optimizer's vectors after an epoch with a solver."""
    settings = MLPRegressor(
        solver=name, learning_rate_init=0.01, weight_decay=0.3, epsilon=1e-3
    )
    parameters = make_parameters(problem.network).astype(dtype)
    optimizer = OptimizerState(make_optimizer_config(settings), parameters.size, dtype)
    order, batch_size = problem.row_ids[::-1].copy(), 8
    n_batches = -(-len(order) // batch_size)
    rates = optimizer.next_rates((0, n_batches), n_batches).table
    with backend.open_session(problem, parameters, 1) as session:
        loss = session.train(optimizer, order, batch_size, (0, n_batches), rates, 0.0)
        return loss, np.array(session.params), *optimizer.slots


def in_precision(problem, dtype, *, is_sparse):
    x = problem.x.astype(dtype)
    return problem._replace(
        x=sparse.csr_array(x) if is_sparse else x,
        targets=problem.targets.astype(dtype),
        sample_weight=problem.sample_weight.astype(dtype),
    )


LIMITS = [{}, {"max_norm": 0.8}, {"max_grad_norm": 0.2}, {"dropout": (0.4, 0.0)}]
PRECISIONS = [(np.float64, 1e-9), (np.float32, 1e-3)]


@pytest.mark.sampled
@pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS, ids=["double", "single"])
@pytest.mark.parametrize("row", LOSSES, ids=name_of)
@pytest.mark.parametrize("normalization", KINDS)
def test_every_loss_equals_the_reference(normalization, row, dtype, rtol):
    # Each loss meets another solver, limit and storage; all of them are met.
    number = LOSSES.index(row) + KINDS.index(normalization)
    name = [*OPTIMIZERS][number % len(OPTIMIZERS)]
    problem = make_problem(
        normalization, ("tanh", "gelu"), row, **LIMITS[number % len(LIMITS)]
    )
    expected = train_by(name, reference, problem)
    single = in_precision(problem, dtype, is_sparse=number % 3 == 0)
    found = train_by(name, cpu, single, dtype)
    for mine, theirs in zip(found, expected, strict=True):
        atol = rtol * np.abs(theirs).max()
        assert_allclose(mine, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS, ids=["double", "single"])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("normalization", KINDS)
def test_every_solver_equals_the_reference(normalization, name, is_sparse, dtype, rtol):
    problem = make_problem(normalization, max_norm=1.2, max_grad_norm=0.5)
    expected = train_by(name, reference, problem)
    single = in_precision(problem, dtype, is_sparse=is_sparse)
    for mine, theirs in zip(train_by(name, cpu, single, dtype), expected, strict=True):
        atol = rtol * np.abs(theirs).max()
        assert_allclose(mine, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("normalization", KINDS)
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, normalization):
    problem = make_problem(normalization)
    parameters = make_parameters(problem.network)
    monkeypatch.setattr(plan, "block_rows", lambda *arguments: 3)
    results = []
    for n in (1, 2, 3, 5):
        monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, *least, n=n: n)
        results.append(train(cpu, problem, parameters, batch_size=16))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert_array_equal(mine, theirs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalization", KINDS)
def test_estimators_train(normalization, dtype):
    x, y = load_digits(return_X_y=True)
    clf = MLPClassifier(
        (50,),
        normalization=normalization,
        max_iter=40,
        random_state=0,
        dtype=dtype,
        learning_rate_init=0.01,
    ).fit(x[:1201], y[:1201])
    assert clf.score(x[1201:], y[1201:]) > 0.88
    before = clf.predict_proba(x)
    clf.partial_fit(x[:300], y[:300])
    assert not np.array_equal(before, clf.predict_proba(x))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("normalization", KINDS)
def test_estimators_live_on(normalization):
    x, y = load_digits(return_X_y=True)
    x, y = x[:300], y[:300]
    clf = MLPClassifier(
        (9, 7), normalization=normalization, max_iter=3, random_state=0,
        early_stopping=True, warm_start=True,
    ).fit(x, y)  # fmt: skip
    expected = clf.predict_proba(x)
    again = pickle.loads(pickle.dumps(clf))
    assert_allclose(again.predict_proba(x), expected, rtol=1e-12)
    assert_array_equal(clone(clf).fit(x, y).predict_proba(x), expected)
    assert [len(scale) for scale in clf.norm_scales_] == [9, 7]
    assert (clf.norm_means_ is None) == (normalization == "layer")
    assert_array_equal(again.fit(x, y).predict_proba(x), clf.fit(x, y).predict_proba(x))
    before = clf.predict_proba(x)
    clf.set_params(normalization=None)
    with pytest.raises(ValueError, match="normalization"):
        clf.fit(x, y)
    assert_array_equal(clf.predict_proba(x), before)
    clf.set_params(warm_start=False).fit(x, y)
    assert clf.norm_scales_ is None


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_lbfgs_takes_layers_not_batches():
    x, y = load_digits(return_X_y=True)
    clf = MLPClassifier(
        (9,), solver="lbfgs", normalization="layer", max_iter=20, random_state=0
    )
    assert clf.fit(x[:300], y[:300]).score(x[:300], y[:300]) > 0.5
    with pytest.raises(ValueError, match="normalization='batch'"):
        clf.set_params(normalization="batch").fit(x, y)


@pytest.mark.parametrize("normalization", KINDS)
def test_a_step_equals_pytorch(normalization):
    torch = pytest.importorskip("torch")
    problem = make_problem(normalization, ("tanh",))._replace(
        alpha=0.0, sample_weight=None
    )
    network = problem.network
    parameters = make_parameters(network)
    coefs, intercepts = views(network, parameters)
    own = norm_state(network, parameters)
    kind = torch.nn.BatchNorm1d if normalization == "batch" else torch.nn.LayerNorm
    norm = kind(6, dtype=torch.float64)
    norm.weight.data[:] = torch.from_numpy(own.scales[0])
    norm.bias.data[:] = torch.from_numpy(intercepts[0])
    if normalization == "batch":
        norm.running_mean[:] = torch.from_numpy(own.means[0])
        norm.running_var[:] = torch.from_numpy(own.variances[0])
    weights = [torch.tensor(coef, requires_grad=True) for coef in coefs]
    hidden = torch.tanh(norm(torch.from_numpy(problem.x) @ weights[0]))
    raw = hidden @ weights[1] + torch.from_numpy(intercepts[1])
    labels = torch.from_numpy(problem.targets.ravel().astype(np.int64))
    torch.nn.functional.cross_entropy(raw, labels).backward()
    optimizer = SimpleNamespace(
        name="sgd", slots=np.zeros((1, parameters.size)), hyper=(0.0, 1.0, 0.0)
    )
    with cpu.open_session(problem, parameters, 1) as session:
        session.train(optimizer, problem.row_ids, N_ROWS, (0, 1), steps(1, 1.0), 0.0)
        after = session.params
    moved = parameters - after
    for mine, theirs in (
        (views(network, moved)[0][0], weights[0].grad),
        (views(network, moved)[0][1], weights[1].grad),
        (views(network, moved)[1][0], norm.bias.grad),
        (norm_state(network, moved).scales[0], norm.weight.grad),
    ):
        assert_allclose(mine, theirs.numpy(), rtol=1e-9, atol=1e-12)
    if normalization == "batch":
        found = norm_state(network, after)
        assert_allclose(found.means[0], norm.running_mean.numpy())
        assert_allclose(found.variances[0], norm.running_var.numpy())
