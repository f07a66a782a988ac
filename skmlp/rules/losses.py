"""Losses together with the output activation that belongs to each.

Training is maximum likelihood: the last activation and the loss are one choice, the
distribution of the target. So a row is a pair, and its functions take the raw output
z (the logit, the log of the mean, ...), where loss and gradient are stable, and
return the gradient by z.

softmax couples the outputs of a row; it has no scalar rule and each backend writes it
once (``value`` and ``slope`` are None).
"""

from collections.abc import Callable
from typing import NamedTuple

from skmlp.rules.activations import logistic
from skmlp.rules.elementary import exp, log, log1p


class Loss(NamedTuple):
    """A loss by raw output, for one element of the target.

    Attributes
    ----------
    name : str
        The value of the parameter ``loss``.
    output : str
        Name of the output activation that turns z into the prediction.
    value : callable or None
        ``value(y, z)``, the loss; scalars of one dtype.
    slope : callable or None
        ``slope(y, z)``, its derivative by z.
    """

    name: str
    output: str
    value: Callable | None
    slope: Callable | None


def squared_error(y, z):
    """Half the squared error."""
    r = z - y
    return type(z)(0.5) * r * r


def squared_error_slope(y, z):
    """Z - y."""
    return z - y


def poisson(y, z):
    """Half the Poisson deviance of the mean exp(z): y log(y) - y z - y + exp(z)."""
    T = type(z)
    entropy = y * log(y) if y > T(0) else T(0)
    return entropy - y * z - y + exp(z)


def poisson_slope(y, z):
    """exp(z) - y."""
    return exp(z) - y


def log_loss(y, z):
    """Cross-entropy of y and logistic(z): max(z, 0) - y z + log(1 + exp(-|z|))."""
    T = type(z)
    positive = T(0) if z < T(0) else z
    negative_size = z if z < T(0) else -z
    return positive - y * z + log1p(exp(negative_size))


def log_loss_slope(y, z):
    """logistic(z) - y."""
    return logistic(z) - y


_ROWS = (
    Loss("squared_error", "identity", squared_error, squared_error_slope),
    Loss("poisson", "exp", poisson, poisson_slope),
    Loss("log_loss", "logistic", log_loss, log_loss_slope),
    Loss("log_loss", "softmax", None, None),
)
LOSSES = {(row.name, row.output): row for row in _ROWS}


def default_output(loss):
    """Output activation of a regression loss, by the loss's name."""
    return next(row.output for row in _ROWS if row.name == loss)
