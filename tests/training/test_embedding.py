"""The piecewise-linear embedding: the definition by calculus, the backends by it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from test_backends import (
    N_FEATURES,
    SOFTMAX,
    SQUARED,
    assert_same_steps,
    finite_differences,
    make_network,
    make_parameters,
    make_problem,
    train,
)

from skmlp.backends import Regularization, cpu, reference
from skmlp.backends.cpu import plan
from skmlp.embedding import fitted_embedding
from skmlp.network import embedding_part, layout
from skmlp.rules.activations import IDENTITY
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import segments_of

BACKENDS = pytest.mark.parametrize(
    "backend", [reference, cpu], ids=["reference", "cpu"]
)


def embedded(row, activations, *, n_bins=4, dim=3, dtype=np.float64, **settings):
    """A network whose features are embedded, and a problem for it."""
    problem = make_problem(make_network(row, activations, **settings), dtype=dtype)
    x = problem.x
    x[:, 2] = x[:, 2] > 0  # has no bins
    embedding = fitted_embedding(x, n_bins, dim)
    sizes = (embedding.width, *problem.network.sizes[1:])
    network = problem.network._replace(sizes=sizes, embedding=embedding)
    return network, problem._replace(network=network)


def test_bins_are_between_quantiles():
    x = np.c_[np.arange(9.0), np.repeat([0.0, 1.0, 5.0], 3), np.arange(9) > 4]
    embedding = fitted_embedding(x, n_bins=4, dim=2)
    assert embedding.columns == (0, 1)
    assert_array_equal(embedding.edges[0], [0, 2, 4, 6, 8])
    assert_array_equal(embedding.edges[1], [0, 1, 5])
    assert (embedding.width, embedding.n_params) == (3 + 4, 2 * (4 + 2))


def test_encodings_are_one_below_and_zero_above():
    x = np.arange(9.0).reshape(-1, 1)
    embedding = fitted_embedding(x, n_bins=2, dim=1)
    (code,) = embedding.encoded(np.array([[-7.0], [1.0], [4.0], [6.0], [99.0]]))
    assert_array_equal(code, [[0, 0], [0.25, 0], [1, 0], [1, 0.5], [1, 1]])


def test_edges_differ_in_the_precision_of_x():
    x = (1e8 + np.arange(50)).astype(np.float32).reshape(-1, 1)
    (edges,) = fitted_embedding(x, n_bins=16, dim=1).edges
    assert np.diff(edges.astype(np.float32)).min() > 0


@BACKENDS
@pytest.mark.parametrize("activations", [[], ["tanh"], ["mish", "tanh"]])
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_gradients_by_finite_differences(backend, activations, normalization):
    network, problem = embedded(SQUARED, activations)
    if activations:
        network = network._replace(normalization=normalization)
    problem = problem._replace(network=network, row_ids=problem.row_ids[:20])
    parameters = make_parameters(network)
    with backend.open_session(problem, parameters, 1) as session:
        _, gradient = session.loss_and_gradient(parameters)
        numerical = finite_differences(session, parameters)
    assert np.abs(embedding_part(network, gradient)).min() > 0
    assert_allclose(gradient, numerical, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reduces_in_blocks", [False, True])
@pytest.mark.parametrize("solver", sorted(OPTIMIZERS))
def test_training_equals_the_definition(monkeypatch, reduces_in_blocks, solver):
    monkeypatch.setattr(plan, "reduces_in_blocks", lambda *shape: reduces_in_blocks)
    monkeypatch.setattr(plan, "block_rows", lambda *shape: 16)
    network, problem = embedded(SOFTMAX, ["tanh", "relu"])
    expected, one, two = (
        train(
            backend,
            problem,
            make_parameters(network),
            make_optimizer(solver, layout(network).size),
            batch_size=40,
            n_jobs=n_jobs,
        )
        for backend, n_jobs in ((reference, 1), (cpu, 1), (cpu, 2))
    )
    assert_same_steps(one, expected, 1e-8)
    assert_same_steps(two, one, 0)


@pytest.mark.parametrize(
    "regularization",
    [
        Regularization(max_norm=0.4),
        Regularization(max_grad_norm=0.1),
        Regularization(dropout=(0.3, 0.0), seed=5),
    ],
    ids=["max norm", "clipping", "dropout"],
)
def test_regularized_training_equals_the_definition(regularization):
    network, problem = embedded(SOFTMAX, ["tanh", "relu"])
    problem = problem._replace(regularization=regularization)
    expected, got = (
        train(
            backend,
            problem,
            make_parameters(network),
            make_optimizer("adam", layout(network).size),
            batch_size=40,
        )
        for backend in (reference, cpu)
    )
    assert_same_steps(got, expected, 1e-8)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_matrices_have_a_rate_of_their_own(solver):
    network, problem = embedded(SQUARED, ["tanh"])
    size = layout(network).size
    segments = segments_of(network, (), 1.0, 0.1)
    problem = problem._replace(given_segments=segments)
    start = make_parameters(network)
    expected, got, frozen = (
        train(
            backend,
            problem._replace(given_segments=given),
            start,
            make_optimizer(solver, size, np.float64, given),
        )
        for backend, given in (
            (reference, segments),
            (cpu, segments),
            (cpu, segments_of(network, (), 1.0, 0.0)),
        )
    )
    assert_same_steps(got, expected, 1e-9)
    assert_array_equal(
        embedding_part(network, frozen[-1][1]), embedding_part(network, start)
    )
    assert np.any(embedding_part(network, got[-1][1]) != embedding_part(network, start))


@pytest.mark.parametrize("intercepts", [True, False])
def test_networks_without_intercepts(intercepts):
    network, problem = embedded(SQUARED, ["relu"], intercepts=intercepts)
    expected, got = (
        train(
            backend,
            problem,
            make_parameters(network),
            make_optimizer("sgd", layout(network).size),
        )
        for backend in (reference, cpu)
    )
    assert_same_steps(got, expected, 1e-9)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_predictions_equal_the_definition(dtype, rtol):
    network, problem = embedded(SQUARED, ["relu"], dtype=dtype)
    parameters = make_parameters(network, dtype)
    outside = np.concatenate([problem.x, problem.x * 9 - 3])
    expected, _ = reference.outputs(network, parameters, outside, IDENTITY, 1)
    got, is_finite = cpu.outputs(network, parameters, outside, IDENTITY, 2)
    assert is_finite
    assert_allclose(got, expected, rtol=rtol, atol=rtol)
    outside[3, 1] = np.nan
    assert not cpu.outputs(network, parameters, outside, IDENTITY, 1)[1]


def test_float32_trains_like_float64():
    results = []
    for dtype in (np.float64, np.float32):
        network, problem = embedded(SQUARED, ["tanh"], dtype=dtype)
        size = layout(network).size
        steps = train(
            cpu, problem, make_parameters(network, dtype), make_optimizer("sgd", size)
        )
        results.append(steps[-1][1])
    assert_allclose(results[1], results[0], rtol=2e-3, atol=2e-4)


def test_the_width_counts():
    network, _ = embedded(SQUARED, ["tanh"], dim=3)
    assert network.sizes[0] == N_FEATURES + 3 * (N_FEATURES - 1)
