"""The best constant's loss in closed form is the least loss of constant outputs."""

import numpy as np
import pytest
from scipy.optimize import minimize

from skmlp import Loss
from skmlp.backends import reference
from skmlp.network import Network
from skmlp.rules.best_constant import best_constant_loss
from skmlp.rules.loss_choice import all_losses, linked
from skmlp.rules.losses import BINARY_LOSSES, QUANTILES, REGRESSION_LOSSES

RNG = np.random.default_rng(0)
N_ROWS = 60
WEIGHTS = RNG.integers(1, 4, N_ROWS).astype(float)
PARAMS = {
    "quantile": 0.3,
    "delta": 0.7,
    "power": 1.4,
    "label_smoothing": 0.2,
    "focal_gamma": 1.5,
    "focal_alpha": 0.3,
}
ROWS = [row for row in all_losses() if row.link is None]


def problem(row):
    """Targets, parameters and the number of outputs for a row."""
    params = tuple(PARAMS[parameter.name] for parameter in row.declares) or (0.0,)
    if row is QUANTILES:
        params = (0.2, 0.5, 0.9)
    if row.labels:
        classes = RNG.choice(3, (N_ROWS, 1), p=[0.6, 0.3, 0.1]).astype(float)
        return classes, params, 3 - row.ordered
    if row.by_column:
        sizes = (3, 1, 2)
        return RNG.integers(0, sizes, (N_ROWS, 3)) * 1.0, (*sizes, *params), 6
    if row.name in {binary.name for binary in BINARY_LOSSES.values()} and (
        row.output == "logistic" or "hinge" in row.name
    ):
        return (RNG.random((N_ROWS, 2)) < [0.3, 0.8]).astype(float), params, 2
    columns = 1 if row is QUANTILES else 2
    targets = RNG.gamma(2.0, 1.0, (N_ROWS, columns))
    return targets, params, row.n_outputs(columns, params)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.output}")
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_it_is_the_least_loss_of_constant_outputs(row, weights):
    targets, params, n_outputs = problem(row)
    network = Network((1, n_outputs), (), row, row.output, params)

    def loss(z):
        raw = np.tile(z, (N_ROWS, 1))
        return reference.evaluate(network, raw, targets, weights)[0]

    least = min(
        minimize(loss, start, method="Nelder-Mead", options={"maxiter": 4000}).fun
        for start in (np.zeros(n_outputs), RNG.normal(size=n_outputs))
    )
    constant = best_constant_loss(row, targets, weights, params, n_outputs)
    assert constant == pytest.approx(least, rel=2e-3, abs=1e-6)
    assert constant <= least + 1e-9 * abs(least)


def test_every_row_of_the_tables_has_a_closed_form_or_a_formula():
    assert all(row.constant is not None for row in ROWS)


def searched(row):
    return row._replace(constant=None)


@pytest.mark.parametrize("name", ["squared_error", "log_cosh", "huber", "poisson"])
def test_other_rows_are_searched(name):
    row = next(row for row in REGRESSION_LOSSES.values() if row.name == name)
    targets, params, n_outputs = problem(row)
    expected = best_constant_loss(row, targets, WEIGHTS, params, n_outputs)
    actual = best_constant_loss(searched(row), targets, WEIGHTS, params, n_outputs)
    assert actual == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_search_finds_any_scale_of_many_rows(scale):
    row = next(row for row in REGRESSION_LOSSES.values() if row.name == "squared_error")
    targets = scale * (10.0 + RNG.normal(size=(5000, 1)))
    expected = best_constant_loss(row, targets, None, (0.0,), 1)
    actual = best_constant_loss(searched(row), targets, None, (0.0,), 1)
    assert actual == pytest.approx(expected, rel=0.02)


def test_classes_are_searched_one_against_the_others():
    row = next(row for row in BINARY_LOSSES.values() if row.output == "logistic")
    row = row._replace(labels=True, smoothing=None)
    targets, _, n_outputs = problem(row)
    expected = best_constant_loss(row, targets, None, (0.0,), n_outputs)
    actual = best_constant_loss(searched(row), targets, None, (0.0,), n_outputs)
    assert actual == pytest.approx(expected, rel=1e-6)


def falling(y, z):
    return -z


def test_a_loss_without_a_least_value_has_none():
    row = REGRESSION_LOSSES["squared_error", "identity"]
    row = row._replace(value=falling, constant=None)
    assert best_constant_loss(row, np.ones((5, 1)), None, (0.0,), 1) is None
    coupled = QUANTILES._replace(constant=None)
    assert best_constant_loss(coupled, np.ones((5, 1)), None, (0.5,), 1) is None


def test_a_link_does_not_change_it():
    row = REGRESSION_LOSSES["squared_error", "identity"]
    targets = -RNG.random((20, 1))
    assert best_constant_loss(linked(row, "relu"), targets, None, (0.0,), 1) == (
        best_constant_loss(row, targets, None, (0.0,), 1)
    )


def test_a_custom_loss_has_no_field_for_it():
    assert "constant" not in Loss._fields
