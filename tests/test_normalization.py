"""Normalisation: the definition against calculus, the CPU against the definition."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_digits

from skmlp import MLPClassifier
from skmlp.backends import Problem, Regularisation, cpu, reference
from skmlp.backends.cpu import plan
from skmlp.network import Network, first_norms, layout
from skmlp.rules.losses import classification_loss

N_ROWS, N_FEATURES = 33, 5


def make_problem(normalization, activations=("tanh", "relu"), **regularisation):
    loss = classification_loss("log_loss", "auto", True)
    sizes = (N_FEATURES, *(6, 4, 7)[: len(activations)], 3)
    network = Network(
        sizes, activations, loss, loss.output, normalization=normalization
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, N_FEATURES))
    targets = rng.integers(0, 3, (N_ROWS, 1)).astype(float)
    weights = rng.uniform(0.2, 3, N_ROWS)
    extras = Regularisation(**regularisation)
    return Problem(network, x, targets, weights, np.arange(N_ROWS), 0.3, extras)


def make_parameters(network):
    vector = np.random.default_rng(1).normal(size=layout(network).size) * 0.6
    first = first_norms(network, vector.copy())
    start = layout(network).biases[-1] + network.sizes[-1]
    vector[start:] = first[start:] + 0.1 * np.abs(vector[start:])
    return vector


def train(backend, problem, parameters, *, batch_size=8, n_jobs=1):
    slots = np.zeros((2, parameters.size), dtype=parameters.dtype)
    optimizer = SimpleNamespace(name="adam", slots=slots, hyper=(0.1, 0.01, 1e-8))
    order = np.random.default_rng(1).permutation(problem.rows)
    n_batches = -(-len(order) // batch_size)
    with backend.open_session(problem, parameters, n_jobs) as session:
        loss = session.train(
            optimizer, order, batch_size, (0, n_batches), np.full(n_batches, 0.02), 0.0
        )
        return loss, np.array(session.parameters), session.outputs(problem.rows)


@pytest.mark.parametrize("activation", ["tanh", "softmax", "gelu"])
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_gradient_by_finite_differences(normalization, activation):
    problem = make_problem(normalization, (activation, "tanh"))
    parameters = make_parameters(problem.network)
    session = reference.Session(problem, parameters)
    _, gradient = session.loss_and_gradient(parameters)
    for i in range(layout(problem.network).trained):
        step = np.zeros_like(parameters)
        step[i] = 1e-6
        above, _ = session.loss_and_gradient(parameters + step)
        below, _ = session.loss_and_gradient(parameters - step)
        assert_allclose(gradient[i], (above - below) / 2e-6, rtol=1e-4, atol=1e-7)


CPU_HAS = ["layer"]
CASES = [
    (("tanh",), {}),
    (("gelu", "relu", "softmax"), {"dropout": (0.3, 0.0, 0.2), "seed": 3}),
    (("relu", "gelu"), {"max_norm": 1.0, "max_grad_norm": 0.1}),
]


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(("activations", "extras"), CASES)
@pytest.mark.parametrize("normalization", CPU_HAS)
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


@pytest.mark.parametrize("normalization", CPU_HAS)
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, normalization):
    problem = make_problem(normalization)
    parameters = make_parameters(problem.network)
    monkeypatch.setattr(plan, "block_rows", lambda *arguments: 3)
    results = []
    for n in (1, 2, 3, 5):
        monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, n=n: n)
        results.append(train(cpu, problem, parameters, batch_size=16))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            assert_array_equal(mine, theirs)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("normalization", CPU_HAS)
def test_estimators_train(normalization, dtype):
    x, y = load_digits(return_X_y=True)
    clf = MLPClassifier(
        (30,), normalization=normalization, max_iter=40, random_state=0, dtype=dtype
    ).fit(x[:1201], y[:1201])
    assert clf.score(x[1201:], y[1201:]) > 0.88
    before = clf.predict_proba(x)
    clf.partial_fit(x[:300], y[:300])
    assert not np.array_equal(before, clf.predict_proba(x))
