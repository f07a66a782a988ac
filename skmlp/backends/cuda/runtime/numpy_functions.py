"""NumPy's functions of single numbers for rules on a device, by their names in NumPy.

Numba has them for arrays there. What the module `math` has is taken from it, which
keeps the dtype; the others are a line each. As in NumPy, nan goes in and comes out.
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
    """The number, or the end of a range that it is beyond."""
    return low if x < low else (high if x > high else x)


def where(condition, x, y):
    """One or the other number."""
    return x if condition else y


def sign(x):
    """-1, 0 or 1."""
    T = type(x)
    return T(1) if x > T(0) else (T(-1) if x < T(0) else x)


def heaviside(x, at_zero):
    """0, a number at zero, or 1."""
    T = type(x)
    return T(0) if x < T(0) else (T(1) if x > T(0) else (at_zero if x == x else x))


def logaddexp(x, y):
    """log(exp(x) + exp(y))."""
    larger, smaller = (x, y) if x > y else (y, x)
    if larger == smaller:
        return larger + type(larger)(0.6931471805599453)
    return larger + math.log1p(math.exp(smaller - larger))


def exp2(x):
    """2 to some power."""
    return math.exp(x * type(x)(0.6931471805599453))


def square(x):
    """The number times itself."""
    return x * x


def reciprocal(x):
    """One over the number."""
    return type(x)(1) / x


def negative(x):
    """The number with the other sign."""
    return -x


OWN = {
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
SAME = {
    "abs": abs,
    "absolute": abs,
    **{name: getattr(math, other) for name, other in _NAMES_IN_MATH.items()},
    **{name: getattr(math, name) for name in _SAME_NAMES.split()},
    **{name: getattr(np, name) for name in _CONSTANTS.split()},
}
