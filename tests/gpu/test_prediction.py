"""Predictions and losses of outputs on a device, against the reference."""

import numpy as np
import pytest
from gpu_fixtures import (
    BLOCKS,
    SOFTMAX,
    SQUARED,
    WIDE,
    cast,
    on_device,
    parameters_for,
    problem_of,
)
from numpy.testing import assert_allclose, assert_array_equal
from rule_runners import LOSSES, name_of

from skmlp.backends import reference
from skmlp.backends.cuda import plan, prediction
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
TOLERANCES = {np.float32: 1e-5, np.float64: 1e-10}


@pytest.fixture(params=["fused", "by layers"])
def kernel(request, monkeypatch):
    """Which of the two kernels predicts; `test_predict_fused` compares them."""
    if request.param == "by layers":
        monkeypatch.setattr(plan, "_SHARED_BYTES", 0)


def assert_same_outputs(problem, activation="identity", dtype=np.float64):
    network, vector = problem.network, parameters_for(problem.network)
    expected, _ = reference.outputs(network, vector, problem.x, activation)
    x = cast(problem, dtype).x
    got, finite = on_device().outputs(network, vector.astype(dtype), x, activation)
    assert finite
    assert got.dtype == dtype
    rtol = TOLERANCES[dtype]
    assert_allclose(got, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    return got


@both_dtypes
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *OUTPUT_ONLY])
def test_activations_of_outputs(activation, dtype):
    assert_same_outputs(problem_of(activations=("relu", "silu")), activation, dtype)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_hidden_layers(activation, normalization):
    problem = problem_of(
        activations=(activation, "tanh"), normalization=normalization, is_sparse=True
    )
    assert_same_outputs(problem, "softmax")


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_rows", [1, 7, 8, 9, 33])
@pytest.mark.parametrize("n_features", [1, 8, 9])
def test_sizes_around_a_tile(n_rows, n_features, is_sparse):
    problem = problem_of(n_rows=n_rows, n_features=n_features, is_sparse=is_sparse)
    assert_same_outputs(problem)


@pytest.mark.parametrize("depth", range(4))
def test_depths(depth):
    assert_same_outputs(problem_of(activations=("softmax", "relu", "gelu")[:depth]))


@pytest.mark.usefixtures("kernel")
def test_neither_blocks_nor_chunks_change_a_bit(monkeypatch):
    problem = problem_of(activations=("relu", "softmax"), normalization="layer", **WIDE)
    whole = assert_same_outputs(problem, "softmax")
    for blocks, chunk_bytes, upload_bytes in [
        *((n, 2**20, 2**20) for n in BLOCKS),
        (4, 1500, 2**20),
        (3, 700, 500),
        (2, 1, 1),
    ]:
        monkeypatch.setattr(plan, "choose_blocks", lambda *_, n=blocks: n)
        monkeypatch.setattr(plan, "blocks_for", lambda *_, n=blocks: n)
        monkeypatch.setattr(prediction, "_CHUNK_BYTES", chunk_bytes)
        monkeypatch.setattr(prediction, "_UPLOAD_BYTES", upload_bytes)
        assert_array_equal(assert_same_outputs(problem, "softmax"), whole)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("upload_bytes", [100, 2**20])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [(0, 0), (12, 3), (28, 4)])
def test_x_that_is_not_finite_is_detected(monkeypatch, position, bad, upload_bytes):
    monkeypatch.setattr(prediction, "_UPLOAD_BYTES", upload_bytes)
    problem = problem_of(n_rows=29)
    vector = parameters_for(problem.network)
    x = problem.x.copy()
    x[position] = bad
    predictions, finite = on_device().outputs(problem.network, vector, x, "softmax")
    assert not finite
    others = np.delete(predictions, position[0], axis=0)
    assert np.isfinite(others).all()


@pytest.fixture
def checked(monkeypatch):
    """How many elements of X each launch checked."""
    sizes, configured = [], prediction.configured

    def noting(*arguments, **settings):
        launch = configured(*arguments, **settings)

        def launched(*arguments):
            sizes.append(arguments[-2].size)
            launch(*arguments)

        return launched

    monkeypatch.setattr(prediction, "configured", noting)
    return sizes


@pytest.mark.usefixtures("kernel")
def test_every_element_of_x_is_checked_once(monkeypatch, checked):
    problem = problem_of(n_rows=29)
    row_bytes = 8 * sum(problem.network.sizes[1:])
    monkeypatch.setattr(prediction, "_CHUNK_BYTES", 7 * row_bytes)
    assert_same_outputs(problem)
    assert checked == [*4 * [7 * 5], 5]


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_sessions_do_not_check_x(checked, is_sparse):
    problem = problem_of(is_sparse=is_sparse)
    vector = parameters_for(problem.network)
    with on_device().open_session(problem, vector) as opened:
        opened.outputs(problem.x, np.array([3, 1, 3]))
        opened.outputs(problem.x * 2, None)
    assert checked == [0, 0]
    if is_sparse:
        assert_same_outputs(problem)
        assert checked == [0, 0, 0]


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("position", [(0, 0), (6, 4), (7, 0), (28, 4)])
def test_nan_in_any_chunk_is_detected(monkeypatch, position):
    problem = problem_of(n_rows=29)
    row_bytes = 8 * sum(problem.network.sizes[1:])
    monkeypatch.setattr(prediction, "_CHUNK_BYTES", 7 * row_bytes)
    x = problem.x.copy()
    x[position] = np.nan
    vector = parameters_for(problem.network)
    _, finite = on_device().outputs(problem.network, vector, x, "softmax")
    assert not finite


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("activation", ["relu", "softmax", "logistic", "hard_tanh"])
@pytest.mark.parametrize("output", ["softmax", "logistic", "exp", "identity"])
def test_nan_stays_nan(activation, output):
    problem = problem_of(activations=(activation,))
    vector = parameters_for(problem.network)
    x = problem.x.copy()
    x[4, 2] = np.nan
    predictions, _ = on_device().outputs(problem.network, vector, x, output)
    assert_array_equal(np.isnan(predictions).all(axis=1), np.arange(len(x)) == 4)


@both_dtypes
@pytest.mark.parametrize("size", [30.0, 1e3, 1e30])
def test_large_outputs_overflow_nowhere(size, dtype):
    problem = problem_of(SQUARED, ())
    vector = parameters_for(problem.network).astype(dtype)
    x = cast(problem, dtype).x * dtype(size)
    predictions, finite = on_device().outputs(problem.network, vector, x, "softmax")
    assert finite
    assert_allclose(predictions.sum(axis=1), 1, rtol=1e-6)


def evaluated(backend, row, weighted, dtype, scale=1.0, n_rows=21):
    problem = problem_of(row, (), n_rows=n_rows, weighted=weighted)
    network = problem.network
    raw, _ = reference.outputs(
        network, parameters_for(network), problem.x * scale, "identity"
    )
    if backend is not reference:
        problem, raw = cast(problem, dtype), raw.astype(dtype)
    return backend.evaluate(network, raw, problem.targets, problem.sample_weight)


@both_dtypes
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_losses(row, weighted, dtype):
    expected_loss, expected = evaluated(reference, row, weighted, dtype)
    loss, predictions = evaluated(on_device(), row, weighted, dtype)
    rtol = TOLERANCES[dtype]
    assert_allclose(loss, expected_loss, rtol=rtol)
    assert predictions.dtype == dtype
    assert_allclose(predictions, expected, rtol=rtol, atol=rtol)


@both_dtypes
@pytest.mark.parametrize("row", [SOFTMAX, SQUARED], ids=name_of)
def test_losses_of_rows(row, dtype):
    problem = cast(problem_of(row, (), n_rows=21), dtype)
    network = problem.network
    raw = np.random.default_rng(0).normal(size=(21, network.sizes[-1])).astype(dtype)
    expected = reference.row_losses(network, raw, problem.targets)
    found = on_device().row_losses(network, raw, problem.targets)
    assert_allclose(found, expected, rtol=TOLERANCES[dtype])


@pytest.mark.parametrize("row", [SOFTMAX, SQUARED], ids=name_of)
def test_losses_do_not_depend_on_the_number_of_blocks(monkeypatch, row):
    results = []
    for blocks in BLOCKS:
        monkeypatch.setattr(prediction, "n_processors", lambda n=blocks: n)
        results.append(evaluated(on_device(), row, True, np.float64, n_rows=129))
    loss, predictions = evaluated(reference, row, True, np.float64, n_rows=129)
    assert_allclose(results[0][0], loss, rtol=1e-10)
    assert_allclose(results[0][1], predictions, rtol=1e-10)
    for other in results[1:]:
        assert other[0] == results[0][0]
        assert_array_equal(other[1], results[0][1])


@pytest.mark.parametrize("scale", [50.0, 300.0])
def test_losses_of_large_outputs(scale):
    expected_loss, expected = evaluated(reference, SOFTMAX, True, np.float64, scale)
    loss, predictions = evaluated(on_device(), SOFTMAX, True, np.float64, scale)
    assert_allclose(loss, expected_loss, rtol=1e-10)
    assert_allclose(predictions, expected, rtol=1e-10, atol=1e-12)


def test_rows_of_weight_zero_are_ignored():
    problem = problem_of(SQUARED, (), n_rows=6)
    raw = np.random.default_rng(0).normal(size=(6, 3))
    weights = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 0.5])
    loss, _ = on_device().evaluate(problem.network, raw, problem.targets, weights)
    kept = weights > 0
    expected, _ = reference.evaluate(
        problem.network, raw[kept], problem.targets[kept], weights[kept]
    )
    assert_allclose(loss, expected, rtol=1e-12)
