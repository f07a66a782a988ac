"""exp, log, log1p and tanh as the rules know them.

In Python they are NumPy's, which makes the reference backend independent of any
approximation of ours. Compiled code replaces each of them by the vectorisable
version in `skmlp.rules.polynomials`; the tests hold one against the other.
"""

import numpy as np


def exp(x):
    """Exponential function of a scalar."""
    return np.exp(x)


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
