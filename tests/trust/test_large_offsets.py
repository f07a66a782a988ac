"""Offsets beyond 2^31: files with holes stand for arrays of ten gigabytes.

A file that was never written takes no disk, and only the pages that are read take
memory.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmlp import MLPRegressor
from skmlp.backends import Problem, cpu
from skmlp.network import Network, init_params, layout
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.loss_choice import regression_loss
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

SQUARED_ERROR = regression_loss("squared_error")
N_ROWS, N_COLUMNS, N_WRITTEN = 40_000_000, 64, 50


@pytest.fixture(params=[pytest.param("float32", marks=pytest.mark.slow), "float64"])
def dtype(request):
    return np.dtype(request.param)


def network_of(*sizes):
    return Network(sizes, ("tanh",) * (len(sizes) - 2), SQUARED_ERROR, "identity")


def with_holes(folder, shape, dtype):
    """An array of zeros in a file."""
    try:
        array = np.memmap(folder / "holes", dtype, mode="w+", shape=shape)
    except OSError as error:
        pytest.skip(f"no file with holes: {error}")
    assert array.size > 2**31
    return array


def rows_at_the_end(folder, dtype):
    """Rows in memory, and an array that ends with them."""
    rows = np.random.default_rng(0).normal(size=(N_WRITTEN, N_COLUMNS)).astype(dtype)
    x = with_holes(folder, (N_ROWS, N_COLUMNS), dtype)
    x[-N_WRITTEN:] = rows
    return rows, np.asarray(x)


def trained(x, row_ids, targets, dtype):
    """Losses, parameters and outputs of some steps on some rows."""
    network = network_of(N_COLUMNS, 7, 2)
    start = init_params(
        network,
        [INITIALIZERS["glorot_uniform"]] * 2,
        np.random.RandomState(0),
        dtype,
    )
    problem = Problem(network, x, targets, None, row_ids, 0.01)
    optimizer = OptimizerState(make_optimizer_config(MLPRegressor()), start.size, dtype)
    with cpu.open_session(problem, start, 1) as session:
        n_batches = -(-len(row_ids) // 16)
        rates = optimizer.next_rates((0, n_batches), n_batches).table
        order = row_ids[::-1].copy()
        total = session.train(optimizer, order, 16, (0, n_batches), rates, 0.0)
        loss, gradient = session.loss_and_gradient(session.params)
        found = [session.params.copy(), session.outputs(x, row_ids), gradient]
    return [total, loss, *found]


def test_rows_beyond_two_billion_elements(tmp_path, dtype):
    rows, x = rows_at_the_end(tmp_path, dtype)
    few = rows[:, :2] ** 2
    targets = with_holes_of_targets(tmp_path, few)
    expected = trained(rows, np.arange(N_WRITTEN), few, dtype)
    last = np.arange(N_ROWS - N_WRITTEN, N_ROWS)
    for mine, theirs in zip(trained(x, last, targets, dtype), expected, strict=True):
        assert_array_equal(mine, theirs)


def with_holes_of_targets(folder, few):
    targets = np.memmap(
        folder / "targets", few.dtype, mode="w+", shape=(N_ROWS, few.shape[1])
    )
    targets[-N_WRITTEN:] = few
    return np.asarray(targets)


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_weights_beyond_two_billion_elements(tmp_path, dtype, index):
    """Sparse rows whose columns lead there, as in a model of many words."""
    n_features, n_units = 3_000_000, 800
    network = network_of(n_features, n_units)
    params = with_holes(tmp_path, (n_features * n_units + n_units,), dtype)
    few = np.random.default_rng(0).normal(size=(5, n_units)).astype(dtype)
    params[: n_features * n_units][-few.size :] = few.ravel()
    assert layout(network).bias_offsets[0] == n_features * n_units
    params[-n_units:] = 0.5
    columns = np.arange(n_features - 5, n_features, dtype=index)
    values = np.arange(1, 6).astype(dtype)
    pointers = np.array([0, 5], dtype=index)
    x = sparse.csr_array((values, columns, pointers), shape=(1, n_features))
    x.indices, x.indptr = columns, pointers  # SciPy narrows them
    found, is_finite = cpu.outputs(network, np.asarray(params), x, "identity", 1)
    assert is_finite
    expected = 0.5 + values.astype(float) @ few
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_predictions_of_all_rows(tmp_path):
    """Ten gigabytes of zeros are read; the last rows are not zero."""
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, dtype="float32")
    rows, x = rows_at_the_end(tmp_path, np.dtype("float32"))
    model.fit(rows, rows[:, 0])
    assert_array_equal(model.predict(x)[-N_WRITTEN:], model.predict(rows))
