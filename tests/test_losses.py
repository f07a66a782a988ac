"""The tables of losses, row by row: values, slopes, edges.

Every loss is run as the backends run it, by raw outputs, and held against a formula
by predictions.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rule_runners import (
    DTYPES,
    LEVELS,
    LOSSES,
    evaluate,
    losses_and_gradients,
    name_of,
    one_hot,
    outputs_of,
    parameters_of,
    row_of,
    targets_of,
)
from scipy import special, stats

from skmlp.rules.losses import (
    BINARY_LOSSES,
    MULTICLASS_LOSSES,
    QUANTILES,
    REGRESSION_LOSSES,
)

every_row = pytest.mark.parametrize("row", LOSSES, ids=name_of)
both_backends = pytest.mark.parametrize("backend", ["cpu", "reference"])


def softplus(z):
    return np.logaddexp(0, z)


def pinball(y, q, p):
    return np.maximum(p * (y - q), (p - 1) * (y - q))


def total(formula):
    """Of a formula for one output, the sum over a row's."""
    return lambda y, z: np.sum(formula(y, z), axis=1)


def crammer_singer(y, z):
    own = np.arange(z.shape[1]) == y
    others = np.max(np.where(own, -np.inf, z), axis=1)
    return np.maximum(0, 1 + others - z[own])


def gaussian(y, z):
    means, raw = np.split(z, 2, axis=1)
    deviations = np.sqrt(softplus(raw) + 1e-6)
    constant = 0.5 * np.log(2 * np.pi)
    return np.sum(-stats.norm.logpdf(y, means, deviations) - constant, axis=1)


def several_quantiles(y, z):
    steps = np.hstack([z[:, :1], softplus(z[:, 1:])])
    return np.sum(pinball(y, np.cumsum(steps, axis=1), np.array(LEVELS)), axis=1)


def squared_behind(link):
    return total(lambda y, z: 0.5 * (y - link(z)) ** 2)


def cross_entropy(y, z):
    return -y * special.log_expit(z) - (1 - y) * special.log_expit(-z)


EXPECTED = {
    "squared_error-identity": squared_behind(lambda z: z),
    "squared_error-relu": squared_behind(lambda z: np.maximum(z, 0)),
    "squared_error-softplus": squared_behind(softplus),
    "squared_error-exp": squared_behind(np.exp),
    "squared_error-logistic": squared_behind(special.expit),
    "squared_error-tanh": squared_behind(np.tanh),
    "absolute_error-identity": total(lambda y, z: np.abs(y - z)),
    "quantile-identity": total(lambda y, z: pinball(y, z, 0.3)),
    "quantiles-identity": several_quantiles,
    "huber-identity": total(lambda y, z: special.huber(0.8, y - z)),
    "log_cosh-identity": total(lambda y, z: np.log(np.cosh(y - z))),
    "gaussian_nll-identity": gaussian,
    "poisson-exp": total(lambda y, z: special.kl_div(y, np.exp(z))),
    "gamma-exp": total(lambda y, z: np.log(np.exp(z) / y) + y / np.exp(z) - 1),
    # Jorgensen (1997), of power 3 / 2.
    "tweedie-exp": total(
        lambda y, z: 2 * (np.sqrt(y) - np.exp(z / 2)) ** 2 / np.exp(z / 2)
    ),
    "log_loss-logistic": total(cross_entropy),
    "hinge-identity": total(lambda y, z: np.maximum(0, 1 - (2 * y - 1) * z)),
    "squared_hinge-identity": total(
        lambda y, z: np.maximum(0, 1 - (2 * y - 1) * z) ** 2
    ),
    "log_loss-softmax-labels": lambda y, z: (
        -np.sum(one_hot(y, z) * special.log_softmax(z, axis=1), axis=1)
    ),
    "squared_error-softmax-labels": lambda y, z: (
        0.5 * np.sum((special.softmax(z, axis=1) - one_hot(y, z)) ** 2, axis=1)
    ),
    "hinge-identity-labels": crammer_singer,
    "squared_hinge-identity-labels": lambda y, z: crammer_singer(y, z) ** 2,
    "log_loss-logistic-labels": lambda y, z: np.sum(
        cross_entropy(one_hot(y, z), z), axis=1
    ),
    "squared_error-logistic-labels": lambda y, z: (
        0.5 * np.sum((special.expit(z) - one_hot(y, z)) ** 2, axis=1)
    ),
}


def test_every_loss_has_an_independent_definition():
    assert set(EXPECTED) == {name_of(row) for row in LOSSES}


def test_the_names_in_a_table_are_its_rows():
    for table in (REGRESSION_LOSSES, BINARY_LOSSES, MULTICLASS_LOSSES):
        assert all(pair == (row.name, row.output) for pair, row in table.items())


def test_every_row_says_what_it_is():
    tables = (REGRESSION_LOSSES, BINARY_LOSSES)
    assert all(row.about for table in tables for row in table.values())


def sample_of(row, n_rows=200, size=8.0):
    rng = np.random.default_rng(0)
    y = targets_of(row, n_rows, rng)
    z = rng.uniform(-size, size, (n_rows, outputs_of(row, y.shape[1])))
    return y, z


@both_backends
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_loss_values(row, dtype, backend):
    y, z = (array.astype(dtype) for array in sample_of(row))
    losses, delta = evaluate(row, y, z, backend)
    assert delta.dtype == (dtype if backend == "cpu" else np.float64)
    y, z = y.astype(float), z.astype(float)
    expected = EXPECTED[name_of(row)](y, z)
    # What is added and subtracted on the way is of this size.
    scale = 1 + np.sum(z**2, axis=1) + np.abs(expected)
    if row.output == "exp":
        scale += np.exp(np.abs(z)).max(axis=1)
    assert np.all(np.abs(losses - expected) <= 20 * np.finfo(dtype).eps * scale)


@both_backends
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_loss_slopes_by_finite_differences(row, dtype, backend):
    y, z = (array.astype(dtype) for array in sample_of(row, n_rows=60, size=4.0))
    _, delta = evaluate(row, y, z, backend)
    h = 1e-6
    y, z = y.astype(float), z.astype(float)
    formula = EXPECTED[name_of(row)]
    for j in range(z.shape[1]):
        step = np.zeros_like(z)
        step[:, j] = h
        numerical = (formula(y, z + step) - formula(y, z - step)) / (2 * h)
        rtol = {np.float32: 1e-4, np.float64: 1e-6}[dtype]
        # The quotient's own error, of losses that may be thousands.
        atol = rtol * 0.1 * (1 + 1e-2 * np.abs(formula(y, z)).max())
        assert_allclose(delta[:, j], numerical, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "row", [row for row in LOSSES if row.value is not None], ids=name_of
)
def test_scalar_rules_keep_nan_and_the_dtype(row, dtype, runner):
    p = () if row.parameter is None else (np.full(2, parameters_of(row)[0], dtype),)
    y, z = np.ones(2, dtype), np.array([0.3, np.nan], dtype)
    for rule in (row.value, row.slope):
        got = runner(rule, 2 + len(p))(y, z, *p)
        assert got.dtype == dtype
        assert np.isnan(got).tolist() == [False, True]


@both_backends
@every_row
def test_nan_in_any_output_is_nan(row, backend):
    y, z = sample_of(row, n_rows=30)
    for j in range(z.shape[1]):
        bad = z.copy()
        bad[:, j] = np.nan
        losses, _ = evaluate(row, y, bad, backend)
        assert np.isnan(losses).all()


# Where the exponential of the link may be no number in single precision.
FINITE = {
    "squared_error-exp": lambda y, z: z < 0,
    "poisson-exp": lambda y, z: z < 0,
    "gamma-exp": lambda y, z: z > 0,
    "tweedie-exp": lambda y, z: (z < 0) & (y == 0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_losses_survive_the_edges(row, dtype):
    y, z = sample_of(row, n_rows=100)
    z = (np.sign(z) * np.array([100.0, 1e4])[:, None, None]).reshape(-1, z.shape[1])
    y = np.tile(y, (2, 1))
    losses, delta = evaluate(row, y.astype(dtype), z.astype(dtype))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        finite = FINITE.get(name_of(row), lambda y, z: np.ones(z.shape, bool))(y, z)
    assert finite.any()
    whole = finite.all(axis=1)
    assert np.isfinite(delta[np.broadcast_to(finite, z.shape)]).all()
    assert np.isfinite(losses[whole]).all()
    assert not np.isnan(losses).any()
    assert not np.isnan(delta).any()
    assert (losses >= 0).all() or row.name == "gaussian_nll"


@both_backends
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
@pytest.mark.parametrize(
    "name",
    ["log_loss-logistic", "log_loss-softmax-labels", "log_loss-logistic-labels"],
)
def test_label_smoothing_mixes_the_targets_with_even_ones(name, smoothing, backend):
    row = row_of(name)
    y, z = sample_of(row)
    hard = one_hot(y, z) if row.labels else y
    even = 1 / z.shape[1] if row.labels else 0.5
    soft = (1 - smoothing) * hard + smoothing * even
    if row.output == "softmax":
        expected = -np.sum(soft * special.log_softmax(z, axis=1), axis=1)
        slope = special.softmax(z, axis=1) - soft
    else:
        expected = np.sum(cross_entropy(soft, z), axis=1)
        slope = special.expit(z) - soft
    losses, delta = evaluate(row, y, z, backend, parameters=(smoothing,))
    assert_allclose(losses, expected, rtol=1e-12)
    assert_allclose(delta, slope, rtol=1e-9, atol=1e-14)


def test_quantiles_of_one_level_are_the_quantile():
    one = row_of("quantile-identity")
    y, z = (array[:, :1] for array in sample_of(one))
    expected = losses_and_gradients(one, y, z, (0.8,))
    got = losses_and_gradients(QUANTILES, y, z, (0.8,))
    for mine, other in zip(got, expected, strict=True):
        assert_allclose(mine, other)
