"""The elementary functions that compiled code uses in place of NumPy's and SciPy's."""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import mpmath_oracle
import numpy as np
import pytest
from mpmath import mp
from numba import from_dtype, njit
from numpy.testing import assert_allclose, assert_array_equal
from rule_runners import DTYPES, compiled, in_python
from scipy import special

from skmlp.compiler import jit
from skmlp.rules import elementary, polynomials


class Elementary(NamedTuple):
    """Where and how closely the compiled function is held against a reference."""

    low: float
    high: float
    reference: Callable
    exact: Callable
    ulps: float = 2.0
    at_infinities: tuple = (np.inf, 0.0)
    at_zero: float = 0.0


ELEMENTARY = {
    elementary.arctan: Elementary(
        -50, 50, np.arctan, mp.atan, at_infinities=(np.pi / 2, -np.pi / 2)
    ),
    elementary.erf: Elementary(
        -7, 7, special.erf, mp.erf, 2.5, at_infinities=(1.0, -1.0)
    ),
    elementary.exp: Elementary(-80, 88, np.exp, mp.exp, at_zero=1.0),
    elementary.expit: Elementary(
        *(-80, 88, special.expit, lambda x: 1 / (1 + mp.exp(-x)), 3.0),
        at_infinities=(1.0, 0.0),
        at_zero=0.5,
    ),
    elementary.expm1: Elementary(
        -80, 88, np.expm1, mp.expm1, at_infinities=(np.inf, -1.0)
    ),
    elementary.log: Elementary(
        1e-30, 1e30, np.log, mp.log, at_infinities=(np.inf, np.nan), at_zero=-np.inf
    ),
    elementary.log1p: Elementary(0, 1, np.log1p, mp.log1p),
    elementary.tanh: Elementary(
        -12, 12, np.tanh, mp.tanh, 2.5, at_infinities=(1.0, -1.0)
    ),
}
ODD = [elementary.arctan, elementary.erf, elementary.tanh]
BOUNDED = [elementary.erf, elementary.expit, elementary.tanh]


def sample_of_range(function, dtype):
    """Points over a function's range, many of them close to zero or one."""
    low, high = ELEMENTARY[function][:2]
    rng = np.random.default_rng(0)
    if function is elementary.log:
        x = np.exp(rng.uniform(np.log(low), np.log(high), 10_000))
    else:
        near_zero = rng.uniform(0, 1, 5_000) * 10.0 ** rng.uniform(-6, 0, 5_000)
        signs = np.sign(low) * rng.integers(0, 2, 5_000) * 2 + 1
        x = np.concatenate([rng.uniform(low, high, 5_000), near_zero * signs])
    return x.astype(dtype)


@functools.cache
def compiled_elementary(function):
    return compiled(lambda v: function(v))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", ELEMENTARY, ids=lambda f: f.__name__)
def test_elementary_functions_in_ulps(function, dtype):
    x = sample_of_range(function, dtype)
    row = ELEMENTARY[function]
    got = compiled_elementary(function)(x)
    assert got.dtype == dtype
    with mpmath_oracle.digits():
        expected = mpmath_oracle.function(row.exact)(mpmath_oracle.numbers(x))
    error = mpmath_oracle.difference(got, expected)
    ulp = np.spacing(np.abs(mpmath_oracle.rounded(expected)).astype(dtype)).astype(
        float
    )
    assert np.max(np.abs(error) / ulp) <= row.ulps


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
    rule = jit.inline_always(lambda v: function(v))
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
