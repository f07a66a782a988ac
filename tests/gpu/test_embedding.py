"""The piecewise-linear embedding on the device, against the reference.

`test_sessions` and `test_per_op` have it among their problems: numbers of blocks, cuts,
orders of threads.
"""

import numpy as np
import pytest
from gpu_fixtures import (
    SOFTMAX,
    SQUARED,
    assert_equals_reference,
    assert_near,
    cast,
    on_device,
    parameters_for,
    problem_of,
    train,
)
from numpy.testing import assert_allclose, assert_array_equal
from test_device_arrays import OnDevice, all_results

from skmlp.backends import reference
from skmlp.backends.cuda import data_loader, plan
from skmlp.network import embedding_part
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import segments_of

TWO_WARPS = (8, 2, 8)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(params=["persistent", "per_op"])
def program(request, monkeypatch):
    """Runs a test with both programs."""
    flop = 0 if request.param == "per_op" else float("inf")
    monkeypatch.setattr(plan, "PER_OP_FLOP", flop)


def embedded(row=SQUARED, activations=("tanh",), bins=4, **settings):
    return problem_of(row, activations, bins=bins, **settings)


CASES = {
    "no hidden layer": (SQUARED, (), {"weighted": True}),
    "two layers": (SOFTMAX, ("relu", "tanh"), {}),
    "layer norm": (SOFTMAX, ("relu", "gelu"), {"normalization": "layer"}),
    "softmax": (SQUARED, ("softmax",), {"intercepts": False}),
    "dropout": (SQUARED, ("relu",), {"dropout": (0.3,), "seed": 5}),
    "clipping": (SQUARED, ("tanh",), {"max_grad_norm": 0.3, "max_norm": 0.7}),
    "clipped layer norm": (
        *(SOFTMAX, ("tanh",)),
        {"normalization": "layer", "max_grad_norm": 0.4, "intercepts": False},
    ),
}
every_case = pytest.mark.parametrize("what", CASES)


def case(what):
    row, activations, settings = CASES[what]
    return embedded(row, activations, n_rows=14, n_features=4, **settings)


@pytest.mark.usefixtures("program")
@both_dtypes
@every_case
def test_training(what, dtype):
    assert_equals_reference(case(what), dtype=dtype, batch_size=6)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_optimizers(solver):
    assert_equals_reference(embedded(), solver=solver, cuts=(1,))


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_matrices_have_a_rate_of_their_own(solver):
    problem = embedded()
    network = problem.network
    results = []
    for rate in (0.1, 0.0):
        segments = segments_of(network, (0.5, 2.0), 1.0, rate)
        with_rate = problem._replace(given_segments=segments)
        assert_equals_reference(with_rate, solver=solver)
        parameters = train(on_device(), with_rate, solver=solver).parameters
        results.append(embedding_part(network, parameters))
    start = embedding_part(network, parameters_for(network))
    assert np.any(results[0] != start)
    assert_array_equal(results[1], start)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("bins", [2, 3, 9])
@pytest.mark.parametrize("n_features", [2, 7])
def test_sizes(n_features, bins):
    assert_equals_reference(embedded(n_features=n_features, bins=bins, n_rows=19))


@pytest.mark.needs_simulator
@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("what", ["two layers", "clipped layer norm"])
def test_blocks_of_several_warps(monkeypatch, what):
    monkeypatch.setattr(plan, "_SIMULATED", TWO_WARPS)
    assert_equals_reference(case(what))


@pytest.mark.parametrize("normalization", [None, "layer"])
def test_gradients_over_all_rows(normalization):
    problem = embedded(SOFTMAX, normalization=normalization, n_rows=23)
    vector = parameters_for(problem.network)
    results = []
    for backend in (reference, on_device()):
        with backend.open_session(problem, vector) as session:
            results.append(session.loss_and_gradient(vector))
    assert_allclose(results[1][0], results[0][0], rtol=1e-12)
    assert_allclose(results[1][1], results[0][1], rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("program")
def test_streamed_rows_have_the_bits_of_resident_ones(monkeypatch):
    problem = embedded(n_rows=23)
    whole = train(on_device(), problem)
    monkeypatch.setattr(data_loader, "RESIDENT_FRACTION", 0.0)
    monkeypatch.setattr(data_loader, "BUFFER_BYTES", 300)
    assert_near(train(on_device(), problem), whole, 0.0)


def test_an_x_on_the_device_has_the_bits_of_one_on_the_host():
    problem = embedded(SOFTMAX, n_rows=23)
    on_gpu = problem._replace(x=OnDevice(problem.x))
    for got, expected in zip(all_results(on_gpu), all_results(problem), strict=True):
        assert_array_equal(got, expected)


def limits_of(network, dtype):
    """Limits of shared memory at which each fused tile fits, and then none."""
    sizes, itemsize = network.sizes, np.dtype(dtype).itemsize
    limits = []
    with pytest.MonkeyPatch.context() as patch:
        while tile := plan.choose_fused_tile(sizes, itemsize, keeps_inputs=True):
            units = max(sizes[1::2]) + max(sizes[::2])
            limits.append(itemsize * (tile.smem_size + tile.width * units))
            patch.setattr(plan, "_SHARED_BYTES", limits[-1] - 1)
    assert len(limits) == 2
    return [*limits, limits[-1] - 1]


@both_dtypes
@pytest.mark.parametrize("normalization", [None, "layer"])
@pytest.mark.parametrize("activations", [(), ("relu",), ("tanh", "softmax")])
def test_predictions(monkeypatch, activations, normalization, dtype):
    """In both kernels, the fused one with each of its tiles, and outside the bins."""
    if not activations:
        normalization = None
    problem = embedded(SOFTMAX, activations, normalization=normalization, n_rows=19)
    network, vector = problem.network, parameters_for(problem.network)
    x = np.concatenate([problem.x, problem.x * 9 - 3, [[1e3, 0, -1e3, 0, 5]]])
    x = x.astype(dtype)
    expected, _ = reference.outputs(network, vector, x.astype(float), "softmax")
    results = []
    for limit in limits_of(network, dtype):
        monkeypatch.setattr(plan, "_SHARED_BYTES", limit)
        got, is_finite = on_device().outputs(
            network, vector.astype(dtype), x, "softmax"
        )
        assert is_finite
        results.append(got)
    rtol = 1e-10 if dtype == np.float64 else 3e-5
    assert_allclose(results[0], expected, rtol=rtol, atol=rtol)
    for other in results[1:]:
        assert_array_equal(other, results[0])


def test_a_nan_is_neither_hidden_nor_missed():
    problem = embedded(n_rows=5)
    vector = parameters_for(problem.network)
    x = cast(problem, np.float32).x
    x[3, 2] = np.nan
    got, is_finite = on_device().outputs(
        problem.network, vector.astype(np.float32), x, "identity"
    )
    assert not is_finite
    assert_array_equal(np.isnan(got).any(axis=1), np.arange(5) == 3)


@pytest.mark.needs_simulator
@pytest.mark.usefixtures("any_order")
def test_predictions_without_races(monkeypatch):
    """One block of several warps has all rows, and a tile waits for the one before."""
    monkeypatch.setattr(plan, "blocks_for", lambda *_: 1)
    monkeypatch.setattr(plan, "_SIMULATED", TWO_WARPS)
    monkeypatch.setattr(plan, "_FUSED_SIMULATED", (TWO_WARPS, (8, 1, 8)))
    problem = embedded(activations=("relu", "tanh"), n_rows=35, n_features=3)
    network, vector = problem.network, parameters_for(problem.network)
    expected, _ = reference.outputs(network, vector, problem.x, "identity")
    got, _ = on_device().outputs(network, vector, problem.x, "identity")
    assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_chunks_of_rows(monkeypatch):
    monkeypatch.setattr("skmlp.backends.cuda.prediction._CHUNK_BYTES", 2000)
    problem = embedded(activations=("relu", "tanh"), n_rows=23)
    network, vector = problem.network, parameters_for(problem.network)
    expected, _ = reference.outputs(network, vector, problem.x, "identity")
    got, _ = on_device().outputs(network, vector, problem.x, "identity")
    assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
