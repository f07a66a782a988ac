"""Optimizer steps: one row an optimizer, a scalar rule that updates one parameter.

A rule takes the parameter, its gradient, the optimizer's slots for it (velocity,
moments), the step's rate and the hyperparameters, and returns the new parameter and
slots. What depends on the step's number alone (Adam's bias correction) is a factor
on the rate, computed once a step outside the loops.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Optimizer(NamedTuple):
    """One stochastic optimizer.

    Attributes
    ----------
    name : str
        What the training selects it by.
    slots : int
        Number of vectors of state, 1 or 2, each of the parameters' shape.
    update : callable
        ``update(p, g, *slots, rate, h)`` to ``(p, *slots)``, on scalars; h is a tuple
        of three hyperparameters of the same dtype.
    correction : callable
        ``correction(t, h)``, factor on the learning rate at steps t (float64 array,
        counted from 1).
    """

    name: str
    slots: int
    update: Callable
    correction: Callable


def sgd(p, g, velocity, rate, h):
    """Gradient descent with momentum h[0] (Polyak, 1964)."""
    velocity = h[0] * velocity - rate * g
    return p + velocity, velocity


def nesterov(p, g, velocity, rate, h):
    """Nesterov's momentum h[0], a step from the point ahead (Sutskever, 2013)."""
    velocity = h[0] * velocity - rate * g
    return p + (h[0] * velocity - rate * g), velocity


def adam(p, g, m, v, rate, h):
    """Adam (Kingma and Ba, 2014): 1 - beta_1, 1 - beta_2, and epsilon.

    The complements of the decay rates come in, since in single precision 1 - 0.999
    has lost five digits. Epsilon is added before the bias correction, as in the
    paper's last remark of section 2 and in scikit-learn, not as in its algorithm 1.
    """
    T = type(p)
    m = m + h[0] * (g - m)
    v = v + h[1] * (g * g - v)
    return p - rate * m / (T(np.sqrt(v)) + h[2]), m, v


def no_correction(t, h):
    """One at every step."""
    return np.ones_like(t)


def adam_correction(t, h):
    """Bias correction of both moments: sqrt(1 - beta_2^t) / (1 - beta_1^t)."""
    return np.sqrt(1.0 - (1.0 - h[1]) ** t) / (1.0 - (1.0 - h[0]) ** t)


OPTIMIZERS = {
    row.name: row
    for row in (
        Optimizer("sgd", 1, sgd, no_correction),
        Optimizer("nesterov", 1, nesterov, no_correction),
        Optimizer("adam", 2, adam, adam_correction),
    )
}
