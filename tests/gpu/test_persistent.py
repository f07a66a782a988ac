"""The persistent training kernels against the reference.

Each loss, activation and optimizer of the tables, in both precisions; sizes at and
around the edges of a tile; every regularization.
"""

import numpy as np
import pytest
from gpu_fixtures import (
    SOFTMAX,
    SQUARED,
    assert_equals_reference,
    on_device,
    problem_of,
    train,
)
from rule_runners import BINARY, LOSSES, name_of, smoothed_parameters

from skmlp import Activation
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.loss_choice import LINKS, linked
from skmlp.rules.loss_row import LossRow
from skmlp.rules.optimizers import OPTIMIZERS

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_loss = pytest.mark.parametrize("row", LOSSES, ids=name_of)
STORAGE = [(False, False), (True, True), (True, False), (False, True)]
TILE = 8
SIZES = [1, TILE - 1, TILE, TILE + 1]


@both_dtypes
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, dtype):
    # Beside one whose slope is by its input and one whose slope is by its output.
    problem = problem_of(SQUARED, (activation, "silu", activation), weighted=True)
    assert_equals_reference(problem, dtype=dtype)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_with_dropout_behind_a_normalization(activation, normalization):
    problem = problem_of(
        *(SOFTMAX, (activation, "tanh")),
        normalization=normalization,
        dropout=(0.4, 0.0),
        seed=5,
    )
    assert_equals_reference(problem)


@every_loss
def test_losses(row):
    weighted, is_sparse = STORAGE[LOSSES.index(row) % len(STORAGE)]
    problem = problem_of(row, weighted=weighted, is_sparse=is_sparse)
    assert_equals_reference(problem)


@every_loss
def test_losses_in_single_precision(row):
    assert_equals_reference(
        problem_of(row, weighted=True), dtype=np.float32, solver="sgd"
    )


@pytest.mark.parametrize("output", LINKS)
def test_losses_behind_another_output_activation(output):
    assert_equals_reference(problem_of(linked(SQUARED, output)))


@both_dtypes
@pytest.mark.parametrize("row", [row for row in LOSSES if row.smoothing], ids=name_of)
def test_smoothed_labels(row, dtype):
    parameters = smoothed_parameters(row, 0.2)
    problem = problem_of(row, parameters=parameters, weighted=True)
    assert_equals_reference(problem, dtype=dtype)


@both_dtypes
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_optimizers(solver, dtype):
    problem = problem_of(activations=("relu", "gelu"), weighted=True)
    # Adam's slots divide by a root of almost nothing; its relatives do, too.
    assert_equals_reference(problem, solver=solver, dtype=dtype)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_optimizers_by_a_stored_gradient(solver):
    problem = problem_of(max_grad_norm=0.5, max_norm=0.9, is_sparse=True)
    assert_equals_reference(problem, solver=solver)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_features", SIZES)
@pytest.mark.parametrize("batch_size", SIZES)
def test_sizes_around_a_tile(batch_size, n_features, is_sparse):
    # 19 rows: the last batch has another size each time, or one row.
    problem = problem_of(n_rows=19, n_features=n_features, is_sparse=is_sparse)
    assert_equals_reference(problem, batch_size=batch_size)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("below", SIZES)
@pytest.mark.parametrize("above", SIZES)
def test_units_around_a_tile(below, above, normalization):
    problem = problem_of(
        SQUARED, ("tanh", "relu"), units=(below, above), normalization=normalization
    )
    assert_equals_reference(problem)


@pytest.mark.parametrize("size", range(1, TILE + 2))
def test_every_size_in_every_dimension(size):
    """The simulator raises an error for each index out of bounds."""
    rows, features, below, above = (1 + (k * size) % (TILE + 1) for k in (1, 2, 4, 5))
    problem = problem_of(
        *(SQUARED, ("tanh", "relu")),
        n_rows=2 * TILE + size,
        n_features=features,
        units=(below, above),
        is_sparse=size % 2 == 0,
    )
    assert_equals_reference(problem, batch_size=rows)


@pytest.mark.parametrize("depth", range(4))
def test_depths(depth):
    names = ("softmax", "relu", "gelu")[:depth]
    assert_equals_reference(problem_of(SOFTMAX, names))


def test_a_batch_of_all_rows_and_one_of_more_than_a_block():
    problem = problem_of(n_rows=35, is_sparse=True)
    assert_equals_reference(problem, batch_size=35)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_last_batch_of_one_row_behind_a_normalization(normalization, batch_size):
    problem = problem_of(SOFTMAX, ("relu", "tanh"), normalization=normalization)
    assert_equals_reference(problem, batch_size=batch_size)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
def test_without_intercepts(is_sparse, normalization):
    problem = problem_of(
        intercepts=False, is_sparse=is_sparse, normalization=normalization
    )
    assert_equals_reference(problem)


REGULARIZATIONS = {
    "dropout": {"dropout": (0.3, 0.6)},
    "dropout of one layer": {"dropout": (0.0, 0.5)},
    "noise": {"input_noise": 0.2},
    "max_norm": {"max_norm": 0.7},
    "max_grad_norm": {"max_grad_norm": 0.3},
    "limits above all norms": {"max_norm": 1e9, "max_grad_norm": 1e9},
    "all": {
        "dropout": (0.3, 0.2),
        "input_noise": 0.1,
        "max_norm": 0.7,
        "max_grad_norm": 0.3,
    },
}


@both_dtypes
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("what", REGULARIZATIONS)
def test_regularization(what, normalization, dtype):
    problem = problem_of(
        *(SOFTMAX, ("relu", "gelu")),
        normalization=normalization,
        weighted=True,
        seed=12345,
        **REGULARIZATIONS[what],
    )
    assert_equals_reference(problem, dtype=dtype)


@pytest.mark.parametrize("name", ["dropout", "max_norm", "max_grad_norm"])
def test_regularization_of_sparse_rows(name):
    settings = REGULARIZATIONS[name]
    problem = problem_of(
        SQUARED, ("softmax", "silu"), is_sparse=True, seed=7, **settings
    )
    assert_equals_reference(problem)


def shifted_sine(z):
    return np.sin(z) + 0.1 * z


CUBE = Activation("cube", lambda z: z * z * z / 3, lambda z: z * z, slope_of="input")
SINE = Activation("sine", shifted_sine, lambda z: np.cos(z) + 0.1, slope_of="input")
COSH = LossRow(
    *("cosh", "identity"),
    lambda y, z: np.cosh(z - y) - 1,
    lambda y, z: np.sinh(z - y),
)


@both_dtypes
def test_custom_rules(dtype):
    problem = problem_of(COSH, (SINE, "tanh", CUBE), weighted=True)
    assert_equals_reference(problem, dtype=dtype)


def test_classes_of_one_output_and_labels_of_several():
    for row in BINARY:
        assert_equals_reference(problem_of(row, ("relu",), weighted=True))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("activation", ["relu", "softmax", "hard_tanh", "gelu"])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_nan_stays_nan(normalization, activation, bad):
    """Training looks for nan; zeros in its place would go unnoticed."""
    problem = problem_of(SQUARED, (activation,), normalization=normalization)
    x = problem.x.copy()
    # A bounded activation turns a single infinity into a finite output.
    x[3, :2] = (bad, -bad)
    result = train(on_device(), problem._replace(x=x))
    assert np.isnan(result.loss)
    assert np.isnan(result.parameters).any()
