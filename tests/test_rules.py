"""The tables of activations and optimizers, row by row: values, slopes, edges.

Each test iterates a table, in plain Python and compiled, in both precisions: a new
row is tested by existing.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rule_runners import DTYPES
from scipy import special
from sklearn.exceptions import ConvergenceWarning

from skmlp import Activation, MLPRegressor
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY

ROWS = [row for row in (*ACTIVATIONS.values(), *OUTPUT_ONLY.values()) if row.value]
Z = np.concatenate([np.linspace(-30, 30, 241), [1e-3, -1e-3, 0.0]])
EDGES = np.array([-1e4, -100.0, 100.0, 1e4])
KINKS = {"hard_tanh": 1, "hard_sigmoid": 3, "relu6": 6}


def softplus(z):
    return np.logaddexp(0, z)


EXPECTED_ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": special.expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: (
        1.0507009873554804934193349852946
        * np.where(
            z > 0, z, 1.6732632423543772848170429916717 * np.expm1(np.minimum(z, 0))
        )
    ),
    "gelu": lambda z: z * special.ndtr(z),
    "gelu_tanh": lambda z: (
        0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    ),
    "silu": lambda z: z * special.expit(z),
    "mish": lambda z: z * np.tanh(softplus(z)),
    "softplus": softplus,
    "softsign": lambda z: z / (1 + np.abs(z)),
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "relu6": lambda z: np.clip(z, 0, 6),
    "arctan": np.arctan,
    "erf": special.erf,
    "gudermannian": lambda z: np.arctan(np.sinh(z)),
    "algebraic": lambda z: z / np.sqrt(1 + z**2),
    "exp": np.exp,
}
# Products with a factor that comes close to zero by subtraction lose digits there.
CANCELLING = {"gelu", "gelu_tanh", "hard_sigmoid"}
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


def test_every_activation_has_an_independent_definition():
    assert set(EXPECTED_ACTIVATIONS) == {row.name for row in ROWS}


@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_activation_values(row, dtype, runner):
    z = Z.astype(dtype)
    value = runner(row.value)(z)
    assert value.dtype == dtype
    expected = EXPECTED_ACTIVATIONS[row.name](z.astype(np.float64))
    # logistic(-30) is tiny: what counts there is that it is as small.
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    atol = 10 * eps if row.name in CANCELLING else 10 * tiny
    assert_allclose(value, expected, rtol=100 * eps, atol=atol)


@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_activation_slopes_by_finite_differences(row, dtype, runner):
    # Off the kinks, and where an output in float32 still tells its input.
    z = np.linspace(-4, 4, 161) + 1.3e-3
    z = z[np.abs(np.abs(z) - KINKS.get(row.name, 0)) > 1e-4].astype(dtype)
    h, precise = 1e-6, z.astype(np.float64)
    expected = EXPECTED_ACTIVATIONS[row.name]
    numerical = (expected(precise + h) - expected(precise - h)) / (2 * h)
    slope = runner(row.slope)(z if row.by_input else runner(row.value)(z))
    assert slope.dtype == dtype
    rtol = {np.float32: 1e-5, np.float64: 1e-7}[dtype]
    assert_allclose(slope, numerical, rtol=rtol, atol=max(rtol / 10, 1e-9))


@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_activations_keep_nan_and_survive_the_edges(row, dtype, runner):
    value = runner(row.value)
    assert np.isnan(value(np.array([np.nan], dtype=dtype)))[0]
    at_edges = value(EDGES.astype(dtype))
    with np.errstate(over="ignore"):
        expected = EXPECTED_ACTIVATIONS[row.name](EDGES).astype(dtype)
    # Compiled exponentials flush to zero a little before the smallest number.
    assert_allclose(at_edges, expected, rtol=1e-4, atol=1e-37)
    known = EDGES.astype(dtype) if row.by_input else at_edges
    # The slope of exp is infinite where exp is.
    assert np.isfinite(runner(row.slope)(known[np.isfinite(known)])).all()


@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_slopes_by_input_keep_nan(row, dtype, runner):
    if row.by_input:
        assert np.isnan(runner(row.slope)(np.array([np.nan], dtype=dtype)))[0]


def test_the_names_in_a_table_are_its_rows():
    assert all(name == row.name for name, row in ACTIVATIONS.items())
    assert all(name == row.name for name, row in OUTPUT_ONLY.items())


def test_every_row_says_what_it_is():
    assert all(row.about for row in ACTIVATIONS.values())


def sine_of_twice(z):
    def twice(v):
        return 2.0 * v

    return np.sin(twice(z))


def test_functions_of_ones_own_may_define_functions():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    fitted = [
        MLPRegressor(
            hidden_layer_sizes=(5,), activation=sine, max_iter=20, random_state=0
        )
        for sine in (
            Activation("sine", value, lambda z: 2.0 * np.cos(2.0 * z), by_input=True)
            for value in (sine_of_twice, lambda z: np.sin(2.0 * z))
        )
    ]
    for model in fitted:
        with pytest.warns(ConvergenceWarning):
            model.fit(x, x[:, 0])
    for one, other in zip(fitted[0].coefs_, fitted[1].coefs_, strict=True):
        assert_allclose(one, other, rtol=1e-12)
