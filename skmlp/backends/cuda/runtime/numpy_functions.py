"""NumPy's scalar functions for rules on a GPU, by their names in NumPy.

On a GPU numba-cuda has them for arrays only. Those of the module `math` are used, which
keep the dtype; the others are a line each. As in NumPy, nan propagates.
"""

import math

import numpy as np


def maximum(x, y):
    """The larger of two numbers."""
    return x if x > y or x != x else y


def minimum(x, y):
    """The smaller of two numbers."""
    return x if x < y or x != x else y


def clip(x, low, high):
    """The number, limited to a range."""
    return low if x < low else (high if x > high else x)


def where(condition, x, y):
    """`x` if the condition holds, else `y`."""
    return x if condition else y


def sign(x):
    """-1, 0 or 1."""
    T = type(x)
    return T(1) if x > T(0) else (T(-1) if x < T(0) else x)


def heaviside(x, at_zero):
    """0 below zero, `at_zero` at zero, 1 above."""
    T = type(x)
    return T(0) if x < T(0) else (T(1) if x > T(0) else (at_zero if x == x else x))


def logaddexp(x, y):
    """log(exp(x) + exp(y))."""
    larger, smaller = (x, y) if x > y else (y, x)
    if larger == smaller:
        return larger + type(larger)(0.6931471805599453)
    return larger + math.log1p(math.exp(smaller - larger))


def exp2(x):
    """2 to the power of x."""
    return math.exp(x * type(x)(0.6931471805599453))


def square(x):
    """The square of x."""
    return x * x


def reciprocal(x):
    """One over the number."""
    return type(x)(1) / x


def negative(x):
    """Minus x."""
    return -x


# Compiled as device functions.
DEVICE_FUNCTIONS = {
    function.__name__: function
    for function in (
        *(maximum, minimum, clip, where, sign, heaviside, logaddexp, exp2),
        *(square, reciprocal, negative),
    )
}
_NAMES_IN_MATH = {
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "power": "pow",
}
_SAME_NAMES = (
    "ceil cos cosh exp expm1 fabs floor hypot isfinite isinf isnan log log10 log1p "
    "log2 sin sinh sqrt tan tanh"
)
_CONSTANTS = "e float32 float64 inf int32 int64 nan pi uint32 uint64"
# Known to the compiler as they are.
BUILT_IN = {
    "abs": abs,
    "absolute": abs,
    **{name: getattr(math, other) for name, other in _NAMES_IN_MATH.items()},
    **{name: getattr(math, name) for name in _SAME_NAMES.split()},
    **{name: getattr(np, name) for name in _CONSTANTS.split()},
}
