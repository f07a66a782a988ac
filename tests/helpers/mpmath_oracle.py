"""Formulas in sixty digits, by mpmath: the expected values of the tests of rules.

With sixty digits a formula can be that of a textbook: neither cancellation nor large
exponentials matter, and a derivative is a quotient of tiny differences.
"""

import numpy as np
from mpmath import mp

_DIGITS = 60
_STEP = "1e-25"


def digits():
    """Context in which mpmath works to sixty digits."""
    return mp.workdps(_DIGITS)


def numbers(array):
    """An array of floating-point numbers as mpmath's, to the last bit."""
    return np.frompyfunc(lambda x: mp.mpf(float(x)), 1, 1)(np.asarray(array))


def rounded(array):
    """An array of mpmath's numbers in double precision; inf beyond it."""
    with np.errstate(over="ignore"):
        return np.asarray(np.frompyfunc(float, 1, 1)(array), dtype=np.float64)


def function(of_mpmath):
    """A function of mpmath, for arrays."""
    return np.frompyfunc(of_mpmath, 1, 1)


def difference(array, exact):
    """Floating-point numbers minus mpmath's, in double precision."""
    with digits():
        return rounded(numbers(array) - exact)


def value(formula, *arrays):
    """A formula's value for arrays of floating-point numbers, rounded once."""
    with digits():
        return rounded(formula(*map(numbers, arrays)))


def slope(formula, *arrays, column=slice(None)):
    """The derivative of a formula's value by its last argument, or a column of it."""
    with digits():
        *others, z = map(numbers, arrays)
        step = np.zeros_like(z)
        step[..., column] = mp.mpf(_STEP)
        above, below = formula(*others, z + step), formula(*others, z - step)
        return rounded((above - below) / (2 * mp.mpf(_STEP)))
