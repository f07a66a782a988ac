"""The tables of activations and optimizers, row by row: values, slopes, edges.

Each test iterates a table, in plain Python and compiled, in both precisions: a new
row is tested by existing.
"""

import mpmath_oracle
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose
from rule_runners import DTYPES
from sklearn.exceptions import ConvergenceWarning

from skmlp import Activation, MLPRegressor
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY

ROWS = [row for row in (*ACTIVATIONS.values(), *OUTPUT_ONLY.values()) if row.value]
Z = np.concatenate([np.linspace(-30, 30, 241), [1e-3, -1e-3, 0.0]])
EDGES = np.array([-1e4, -100.0, 100.0, 1e4])
KINKS = {"hard_tanh": 1, "hard_sigmoid": 3, "relu6": 6}


EXP, LOG, TANH, SQRT = map(mpmath_oracle.function, (mp.exp, mp.log, mp.tanh, mp.sqrt))
ERF, ATAN, SINH = map(mpmath_oracle.function, (mp.erf, mp.atan, mp.sinh))


def expm1(z):
    return np.where(z > 0, 0, EXP(np.minimum(z, 0)) - 1)


EXPECTED_ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + EXP(-z)),
    "tanh": TANH,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.maximum(z, z / 100),
    "elu": lambda z: np.maximum(z, 0) + expm1(z),
    "selu": lambda z: (
        mp.mpf("1.0507009873554804934193349852946")
        * (np.maximum(z, 0) + mp.mpf("1.6732632423543772848170429916717") * expm1(z))
    ),
    "gelu": lambda z: z * (1 + ERF(z / mp.sqrt(2))) / 2,
    "gelu_tanh": lambda z: (
        z * (1 + TANH(mp.sqrt(2 / mp.pi) * (z + mp.mpf("0.044715") * z**3))) / 2
    ),
    "silu": lambda z: z / (1 + EXP(-z)),
    "mish": lambda z: z * TANH(LOG(1 + EXP(z))),
    "softplus": lambda z: LOG(1 + EXP(z)),
    "softsign": lambda z: z / (1 + abs(z)),
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "hard_sigmoid": lambda z: np.clip(z + 3, 0, 6) / 6,
    "relu6": lambda z: np.clip(z, 0, 6),
    "arctan": ATAN,
    "erf": ERF,
    "gudermannian": lambda z: ATAN(SINH(z)),
    "algebraic": lambda z: z / SQRT(1 + z**2),
    "exp": EXP,
}
# Products with a factor that comes close to zero by subtraction lose digits there.
CANCELLING = {"gelu", "gelu_tanh", "hard_sigmoid"}
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


def test_every_activation_has_an_independent_definition():
    assert set(EXPECTED_ACTIVATIONS) == {row.name for row in ROWS}


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_activation_values(row, dtype, runner):
    z = np.concatenate([Z, EDGES]).astype(dtype)
    value = runner(row.value)(z)
    assert value.dtype == dtype
    with np.errstate(over="ignore"):
        expected = mpmath_oracle.value(EXPECTED_ACTIVATIONS[row.name], z).astype(dtype)
    # logistic(-30) is tiny: what counts there is that it is as small. Compiled
    # exponentials flush to zero a little before the smallest number.
    eps, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    atol = 4 * eps if row.name in CANCELLING else 10 * tiny
    assert_allclose(value, expected, rtol=4 * eps, atol=atol)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_activation_slopes_are_derivatives(row, dtype, runner):
    z = np.concatenate([Z, EDGES]).astype(dtype)
    kinks = np.array([0, KINKS.get(row.name, 0)])
    z = z[np.all(np.abs(np.abs(z)[:, None] - kinks) > 1e-4, axis=1)]
    with np.errstate(over="ignore"):
        expected = mpmath_oracle.slope(EXPECTED_ACTIVATIONS[row.name], z).astype(dtype)
    slope = runner(row.slope)(z if row.needs_preactivation else runner(row.value)(z))
    assert slope.dtype == dtype
    finite = np.isfinite(expected)
    assert np.array_equal(slope[~finite], expected[~finite])
    # A function of the output knows no more than the output tells; one of the input
    # has products with it.
    size = np.abs(z) if row.needs_preactivation else 0 * z
    allowed = 4 * np.finfo(dtype).eps * (1 + size + np.abs(expected))
    error = slope[finite] - expected[finite]
    assert np.all(np.abs(error) <= allowed[finite])


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_activations_keep_nan(row, dtype, runner):
    assert np.isnan(runner(row.value)(np.array([np.nan], dtype=dtype)))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_slopes_by_input_keep_nan(row, dtype, runner):
    if row.needs_preactivation:
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
            Activation("sine", value, lambda z: 2.0 * np.cos(2.0 * z), slope_of="input")
            for value in (sine_of_twice, lambda z: np.sin(2.0 * z))
        )
    ]
    for model in fitted:
        with pytest.warns(ConvergenceWarning):
            model.fit(x, x[:, 0])
    for one, other in zip(fitted[0].coefs_, fitted[1].coefs_, strict=True):
        assert_allclose(one, other, rtol=1e-12)
