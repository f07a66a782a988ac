"""Activation functions: one row a function, used by every backend.

A row is all there is to an activation. The parameter's allowed values, the kernels,
the reference and the tests are derived from the table.
"""

from collections.abc import Callable
from typing import NamedTuple

from skmlp.rules.elementary import exp, expit
from skmlp.rules.elementary import tanh as _tanh


class Activation(NamedTuple):
    """An activation function and what a layer that uses it needs to know.

    Attributes
    ----------
    name : str
        The value of the parameter that selects it.
    value : callable
        ``value(z)``, scalar to scalar of the same dtype; nan stays nan.
    slope : callable
        ``slope(a)``, the derivative at z as a function of the output a = value(z).
        The backward pass then needs only what the forward pass has stored.
    bound : float
        b in the initial uniform range ±sqrt(b / (fan_in + fan_out)) of a layer's
        weights and biases (Glorot and Bengio, 2010, as scikit-learn applies it).
    hidden : bool
        Whether it may follow a hidden layer; the others are for outputs.
    """

    name: str
    value: Callable
    slope: Callable
    bound: float = 6.0
    hidden: bool = True


def identity(z):
    """Z itself."""
    return z


def identity_slope(a):
    """One."""
    return type(a)(1)


def logistic(z):
    """1 / (1 + exp(-z)), precise in both tails."""
    return expit(z)


def logistic_slope(a):
    """A (1 - a)."""
    return a * (type(a)(1) - a)


def tanh(z):
    """Hyperbolic tangent."""
    return _tanh(z)


def tanh_slope(a):
    """1 - a²."""
    return type(a)(1) - a * a


def relu(z):
    """max(0, z), written so that nan stays nan (Nair and Hinton, 2010)."""
    T = type(z)
    return T(0) if z < T(0) else z


def relu_slope(a):
    """1 where the unit is active, 0 where its output is 0, as in scikit-learn."""
    T = type(a)
    return T(0) if a == T(0) else T(1)


def exponential(z):
    """exp(z): the inverse of the log link."""
    return exp(z)


def exponential_slope(a):
    """A itself."""
    return a


ACTIVATIONS = {
    row.name: row
    for row in (
        Activation("identity", identity, identity_slope),
        Activation("logistic", logistic, logistic_slope, bound=2.0),
        Activation("tanh", tanh, tanh_slope),
        Activation("relu", relu, relu_slope),
        Activation("exp", exponential, exponential_slope, hidden=False),
    )
}


def hidden_activations():
    """Names of the activations that a hidden layer may use, as a set."""
    return {row.name for row in ACTIVATIONS.values() if row.hidden}
