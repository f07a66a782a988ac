"""The tables of rules, row by row: the values, the slopes, the edges.

Each test iterates a table, in plain Python and compiled, in both precisions: a new
row is tested by existing.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numba import from_dtype, njit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special
from sklearn.metrics import log_loss, mean_poisson_deviance

from skmlp import jit
from skmlp.backends.cpu import loops  # noqa: F401 - teaches compiled code the rules
from skmlp.rules import elementary, polynomials
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import LOSSES

DTYPES = [np.float32, np.float64]
SCALAR_LOSSES = [row for row in LOSSES.values() if row.value is not None]
Z = np.concatenate([np.linspace(-30, 30, 241), [1e-3, -1e-3, 0.0]])
EDGES = np.array([-1e4, -100.0, 100.0, 1e4])

EXPECTED_ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": special.expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "exp": np.exp,
}
EXPECTED_LOSSES = {
    "squared_error": lambda y, z: 0.5 * (y - z) ** 2,
    "poisson": lambda y, z: special.xlogy(y, y) - y * z - y + np.exp(z),
    "log_loss": lambda y, z: (
        -y * special.log_expit(z) - (1 - y) * special.log_expit(-z)
    ),
}


def ids(rows):
    return [row.name for row in rows]


def compiled(function, n_arguments):
    """A rule as the backends run it: inlined into a loop that vectorises."""
    rule = jit.rule(function)
    if n_arguments == 1:

        def loop(a, out):
            for i in range(a.shape[0]):
                out[i] = rule(a[i])

    else:

        def loop(a, b, out):
            for i in range(a.shape[0]):
                out[i] = rule(a[i], b[i])

    kernel = njit(loop)

    def run(*arrays):
        out = np.empty_like(arrays[0])
        kernel(*arrays, out)
        return out

    return run


def in_python(function):
    def run(*arrays):
        with np.errstate(all="ignore"):
            values = [function(*scalars) for scalars in zip(*arrays, strict=True)]
        return np.array(values, dtype=arrays[0].dtype)

    return run


@pytest.fixture(params=["python", "compiled"])
def runner(request):
    """Turns a scalar rule into a function of arrays."""
    if request.param == "python":
        return lambda function, n_arguments=1: in_python(function)
    return lambda function, n_arguments=1: compiled(function, n_arguments)


def tolerance(dtype):
    return {"rtol": 100 * np.finfo(dtype).eps, "atol": 10 * np.finfo(dtype).tiny}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=ids(ACTIVATIONS.values()))
def test_activation_values(row, dtype, runner):
    z = Z.astype(dtype)
    value = runner(row.value)(z)
    assert value.dtype == dtype
    expected = EXPECTED_ACTIVATIONS[row.name](z.astype(np.float64))
    # logistic(-30) is tiny: what counts there is that it is as small.
    assert_allclose(value, expected, **tolerance(dtype))


@pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=ids(ACTIVATIONS.values()))
def test_activation_slopes_by_finite_differences(row, runner):
    z = np.linspace(-4, 4, 161) + 1e-3  # off the kink of relu
    h = 1e-6
    value = runner(row.value)
    numerical = (value(z + h) - value(z - h)) / (2 * h)
    assert_allclose(runner(row.slope)(value(z)), numerical, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=ids(ACTIVATIONS.values()))
def test_activations_keep_nan_and_survive_the_edges(row, dtype, runner):
    value = runner(row.value)
    assert np.isnan(value(np.array([np.nan], dtype=dtype)))[0]
    at_edges = value(EDGES.astype(dtype))
    with np.errstate(over="ignore"):
        expected = EXPECTED_ACTIVATIONS[row.name](EDGES).astype(dtype)
    # Compiled exponentials flush to zero a little before the smallest number.
    assert_allclose(at_edges, expected, rtol=1e-4, atol=1e-37)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", SCALAR_LOSSES, ids=ids(SCALAR_LOSSES))
def test_loss_values(row, dtype, runner):
    z = np.tile(np.linspace(-8, 8, 65), 3).astype(dtype)
    y = np.repeat([0.0, 0.5, 1.0], 65).astype(dtype)
    value = runner(row.value, 2)(y, z)
    assert value.dtype == dtype
    expected = EXPECTED_LOSSES[row.name](y.astype(float), z.astype(float))
    scale = (
        np.finfo(dtype).eps * 20 * (1 + np.abs(z) + np.exp(z) * (row.output == "exp"))
    )
    assert np.all(np.abs(value - expected) <= scale)


@pytest.mark.parametrize("row", SCALAR_LOSSES, ids=ids(SCALAR_LOSSES))
def test_loss_slopes_by_finite_differences(row, runner):
    z = np.tile(np.linspace(-5, 5, 41), 3)
    y = np.repeat([0.0, 0.3, 1.0], 41)
    h = 1e-6
    value = runner(row.value, 2)
    numerical = (value(y, z + h) - value(y, z - h)) / (2 * h)
    assert_allclose(runner(row.slope, 2)(y, z), numerical, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ["value", "slope"])
@pytest.mark.parametrize("row", SCALAR_LOSSES, ids=ids(SCALAR_LOSSES))
def test_losses_keep_nan_and_survive_the_edges(row, function, dtype, runner):
    rule = runner(getattr(row, function), 2)
    assert np.isnan(rule(np.ones(1, dtype), np.full(1, np.nan, dtype)))[0]
    z = EDGES if row.output != "exp" else EDGES[:2]  # exp(1e4) is no number
    for y in (0.0, 1.0):
        assert np.isfinite(rule(np.full(len(z), y, dtype), z.astype(dtype))).all()


def test_losses_are_scikit_learns_metrics():
    rng = np.random.default_rng(0)
    z = rng.normal(size=200)
    counts = rng.poisson(2.0, size=200).astype(float)
    poisson = compiled(LOSSES["poisson", "exp"].value, 2)(counts, z)
    assert_allclose(2 * poisson.mean(), mean_poisson_deviance(counts, np.exp(z)))
    labels = (rng.random(200) < 0.5).astype(float)
    cross_entropy = compiled(LOSSES["log_loss", "logistic"].value, 2)(labels, z)
    assert_allclose(cross_entropy.mean(), log_loss(labels, special.expit(z)))


@pytest.mark.parametrize(
    ("pair", "statistic"),
    [
        (("squared_error", "identity"), lambda y: y.mean()),
        (("poisson", "exp"), lambda y: np.log(y.mean())),
        (("log_loss", "logistic"), lambda y: special.logit(y.mean())),
    ],
)
def test_the_best_constant_is_the_mean(pair, statistic):
    y = (np.random.default_rng(0).random(500) < 0.3).astype(float)
    row = LOSSES[pair]
    slopes = in_python(row.slope)(y, np.full(500, statistic(y)))
    assert_allclose(slopes.mean(), 0, atol=1e-12)


def test_the_names_in_a_table_are_its_rows():
    assert all(name == row.name for name, row in ACTIVATIONS.items())
    assert all(pair == (row.name, row.output) for pair, row in LOSSES.items())


class Elementary(NamedTuple):
    """Where and how closely the compiled function is held against a reference."""

    low: float
    high: float
    reference: Callable
    ulps: float = 2.0
    at_infinities: tuple = (np.inf, 0.0)
    at_zero: float = 0.0


ELEMENTARY = {
    elementary.arctan: Elementary(
        -50, 50, np.arctan, at_infinities=(np.pi / 2, -np.pi / 2)
    ),
    # Without a reference in extended precision, the bound has room for its error.
    elementary.erf: Elementary(-7, 7, special.erf, ulps=4.0, at_infinities=(1.0, -1.0)),
    elementary.exp: Elementary(-80, 88, np.exp, at_zero=1.0),
    elementary.expit: Elementary(
        -80, 88, special.expit, ulps=3.0, at_infinities=(1.0, 0.0), at_zero=0.5
    ),
    elementary.expm1: Elementary(-80, 88, np.expm1, at_infinities=(np.inf, -1.0)),
    elementary.log: Elementary(
        1e-30, 1e30, np.log, at_infinities=(np.inf, np.nan), at_zero=-np.inf
    ),
    elementary.log1p: Elementary(0, 1, np.log1p),
    elementary.tanh: Elementary(-12, 12, np.tanh, ulps=2.5, at_infinities=(1.0, -1.0)),
}
ODD = [elementary.arctan, elementary.erf, elementary.tanh]
BOUNDED = [elementary.erf, elementary.expit, elementary.tanh]


def sample_of_range(function, dtype):
    """Points over a function's range, many of them close to zero or one."""
    low, high = ELEMENTARY[function][:2]
    rng = np.random.default_rng(0)
    if function is elementary.log:
        x = np.exp(rng.uniform(np.log(low), np.log(high), 50_000))
    else:
        near_zero = rng.uniform(0, 1, 25_000) * 10.0 ** rng.uniform(-6, 0, 25_000)
        signs = np.sign(low) * rng.integers(0, 2, 25_000) * 2 + 1
        x = np.concatenate([rng.uniform(low, high, 25_000), near_zero * signs])
    return x.astype(dtype)


def compiled_elementary(function):
    return compiled(lambda v: function(v), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ELEMENTARY, ids=lambda f: f.__name__)
def test_elementary_functions_in_ulps(function, dtype):
    x = sample_of_range(function, dtype)
    row = ELEMENTARY[function]
    got = compiled_elementary(function)(x)
    assert got.dtype == dtype
    precise = np.float64 if function is elementary.erf else np.longdouble
    expected = row.reference(x.astype(precise))
    ulp = np.spacing(np.abs(expected).astype(dtype)).astype(np.longdouble)
    assert np.max(np.abs(got.astype(np.longdouble) - expected) / ulp) <= row.ulps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ELEMENTARY, ids=lambda f: f.__name__)
def test_the_compiled_code_is_the_polynomial(function, dtype):
    """The accuracy test above means nothing if the replacement does not happen."""
    x = sample_of_range(function, dtype)[:500]
    implementation = polynomials.REPLACEMENTS[function][DTYPES.index(dtype)]
    got = compiled_elementary(function)(x)
    by_polynomial = in_python(implementation)(x)
    # Contraction to fused operations may move the last bits.
    assert_allclose(got, by_polynomial, rtol=8 * np.finfo(dtype).eps)
    rule = jit.rule(lambda v: function(v))
    kernel = njit(lambda v: rule(v))
    kernel(dtype(0.5))
    assembly = next(iter(kernel.inspect_asm().values()))
    # Neither the mathematical library's function nor its single-precision twin.
    name = function.__name__.replace("arc", "a")
    assert not re.search(rf"\b{name}f?\b(@PLT)?$", assembly, re.MULTILINE)


def test_every_replacement_is_tested():
    assert set(ELEMENTARY) == set(polynomials.REPLACEMENTS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ELEMENTARY, ids=lambda f: f.__name__)
def test_elementary_functions_at_the_edges(function, dtype):
    row = ELEMENTARY[function]
    run = compiled_elementary(function)
    assert_array_equal(run(np.array([np.nan, 0.0], dtype)), [np.nan, row.at_zero])
    if function is elementary.log1p:
        return  # a function on [0, 1]
    expected = np.array(row.at_infinities, dtype)
    assert_array_equal(run(np.array([np.inf, -np.inf], dtype)), expected)
    far = np.array([1e4, -1e4], dtype)
    with np.errstate(all="ignore"):
        expected = row.reference(far)
    assert_allclose(run(far), expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ODD, ids=lambda f: f.__name__)
def test_odd_functions_are_odd_to_the_bit(function, dtype):
    x = sample_of_range(function, dtype)
    run = compiled_elementary(function)
    assert_array_equal(run(-x), -run(x))
    assert np.signbit(run(np.array([-0.0], dtype)))[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", BOUNDED, ids=lambda f: f.__name__)
def test_bounded_functions_keep_and_reach_their_bounds(function, dtype):
    x = np.linspace(0, 50, 200_001).astype(dtype)
    value = compiled_elementary(function)(x)
    assert value.max() == 1
    assert np.all(value[x > 40] == 1)


def test_the_logarithm_of_a_negative_number_is_not_zero():
    for dtype in DTYPES:
        assert compiled_elementary(elementary.log)(-np.ones(1, dtype))[0] != 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_square_roots_keep_the_dtype(dtype):
    kernel = njit(lambda v: np.sqrt(v))
    kernel(dtype(2))
    (compilation,) = kernel.overloads.values()
    assert compilation.signature.return_type == from_dtype(np.dtype(dtype))
