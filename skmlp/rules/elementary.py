"""The elementary functions that the rules are written in.

In Python they are NumPy's and SciPy's, which makes the reference backend independent of
this package's approximations. Compiled code replaces each of them by the vectorizable
version in `skmlp.rules.polynomials`; the tests hold one against the other. A square
root needs no entry: ``np.sqrt`` compiles to the processor's instruction and keeps the
dtype.
"""

import numpy as np
from scipy import special


def arctan(x):
    """Inverse tangent of a scalar."""
    return np.arctan(x)


def erf(x):
    """Error function of a scalar."""
    return special.erf(x)


def exp(x):
    """Exponential function of a scalar."""
    return np.exp(x)


def expit(x):
    """1 / (1 + exp(-x)) of a scalar, precise in both tails."""
    return special.expit(x)


def expm1(x):
    """exp(x) - 1 of a scalar, precise around zero."""
    return np.expm1(x)


def log(x):
    """Natural logarithm of a non-negative scalar."""
    return np.log(x)


def log1p(x):
    """Natural logarithm of 1 + x for a scalar 0 <= x <= 1.

    The range is all that the losses need: they call it with exp(-abs(z)).
    """
    return np.log1p(x)


def tanh(x):
    """Hyperbolic tangent of a scalar."""
    return np.tanh(x)
