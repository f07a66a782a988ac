"""Losses together with the output activation that belongs to each.

Training is maximum likelihood: the last activation and the loss are one choice, the
distribution of the target. So a row is a pair, and its functions take the raw output
z (the logit, the log of the mean, ...), where loss and gradient are stable, and
return the gradient by z.

Most losses are sums over outputs, by scalar rules. Where the outputs of a row are
coupled, the rule takes the whole row. softmax with the cross-entropy, which most
classifiers use, is written once by each backend instead (no rule at all).
"""

from collections.abc import Callable
from typing import NamedTuple

from skmlp.rules import coupled
from skmlp.rules.activations import (
    ACTIVATIONS,
    OUTPUT_ONLY,
    Activation,
    activation_rule,
    logistic,
    logistic_slope,
)
from skmlp.rules.elementary import exp, log, log1p, tanh

# Activations that may follow a regression's last layer, beside the identity.
LINKS = ("relu", "softplus", "exp", "logistic", "tanh")


class Loss(NamedTuple):
    """A loss by raw output.

    Losses of one's own are scalar functions that Numba can compile (see `Activation`).

    Parameters
    ----------
    name : str
        The value of the parameter ``loss``.
    output : str
        Name of the output activation that turns z into the prediction.
    value : callable or None
        ``value(y, z)``, the loss for one element of the target; scalars of one dtype.
    slope : callable or None
        ``slope(y, z)``, its derivative by z.
    parameter : str or None, default=None
        Name of the estimator's parameter that both take as a third argument.
    row : callable or None, default=None
        Instead of the two: ``row(y, z, delta, p)`` takes vectors, the targets and raw
        outputs of one row, writes the gradient to `delta` and returns the loss; p is
        the vector of the loss's parameters.
    link : Activation or None, default=None
        What scalar rules take instead of z: its value at z.
    outputs_per_target : int, default=1
        Raw outputs for one column of the target; 0 if there is one column for all.
    labels : bool, default=False
        Whether the target is a class's number; a scalar rule is then called with y = 1
        for the output of that number and y = 0 for the others.
    low, high : float, default=-inf, inf
        Range of the targets; of classes it need not be said.
    closed : bool, default=True
        Whether `low` itself is in the range.
    about : str, default=''
        Distribution and formula, for the documentation.

    Examples
    --------
    >>> from skmlp import Loss
    >>> import numpy as np
    >>> cosh = Loss("cosh", "identity", lambda y, z: np.cosh(z - y) - 1,
    ...             lambda y, z: np.sinh(z - y))
    """

    name: str
    output: str
    value: Callable | None = None
    slope: Callable | None = None
    parameter: str | None = None
    row: Callable | None = None
    link: Activation | None = None
    outputs_per_target: int = 1
    labels: bool = False
    low: float = float("-inf")
    high: float = float("inf")
    closed: bool = True
    about: str = ""


def squared_error(y, z):
    """Half the squared error."""
    r = z - y
    return type(z)(0.5) * r * r


def squared_error_slope(y, z):
    """Z - y."""
    return z - y


def absolute_error(y, z):
    """|z - y|."""
    return y - z if z < y else z - y


def absolute_error_slope(y, z):
    """Sign of z - y; zero where it is zero."""
    T = type(z)
    return T(-1) if z < y else (T(1) if z > y else z - y)


def huber(y, z, p):
    """Half the square of r = z - y, and p (|r| - p / 2) beyond |r| = p."""
    T = type(z)
    r = y - z if z < y else z - y
    return p * (r - T(0.5) * p) if r > p else T(0.5) * r * r


def huber_slope(y, z, p):
    """Z - y, cut to [-p, p]."""
    r = z - y
    return -p if r < -p else (p if r > p else r)


def log_cosh(y, z):
    """log(cosh(z - y)), as |r| + log(1 + exp(-2 |r|)) - log(2)."""
    T = type(z)
    r = y - z if z < y else z - y
    return r + log1p(exp(T(-2) * r)) - T(0.6931471805599453)


def log_cosh_slope(y, z):
    """tanh(z - y)."""
    return tanh(z - y)


def poisson(y, z):
    """Half the Poisson deviance of the mean exp(z): y log(y) - y z - y + exp(z)."""
    T = type(z)
    entropy = y * log(y) if y > T(0) else T(0)
    return entropy - y * z - y + exp(z)


def poisson_slope(y, z):
    """exp(z) - y."""
    return exp(z) - y


def gamma(y, z):
    """Half the gamma deviance of the mean exp(z): z - log(y) + y exp(-z) - 1."""
    return z - log(y) + y * exp(-z) - type(z)(1)


def gamma_slope(y, z):
    """1 - y exp(-z)."""
    return type(z)(1) - y * exp(-z)


def tweedie(y, z, p):
    """Half the Tweedie deviance of power 1 < p < 2 and of the mean exp(z)."""
    T = type(z)
    a, b = T(1) - p, T(2) - p
    # Zero times an exponential that overflows is no number.
    of_y = exp(b * log(y)) / (a * b) - y * exp(a * z) / a if y > T(0) else T(0)
    return of_y + exp(b * z) / b


def tweedie_slope(y, z, p):
    """exp((2 - p) z) - y exp((1 - p) z)."""
    T = type(z)
    of_y = y * exp((T(1) - p) * z) if y > T(0) else T(0)
    return exp((T(2) - p) * z) - of_y


def log_loss(y, z):
    """Cross-entropy of y and logistic(z): max(z, 0) - y z + log(1 + exp(-|z|))."""
    T = type(z)
    positive = T(0) if z < T(0) else z
    negative_size = z if z < T(0) else -z
    return positive - y * z + log1p(exp(negative_size))


def log_loss_slope(y, z):
    """logistic(z) - y."""
    return logistic(z) - y


def hinge(y, z):
    """max(0, 1 - t z), t = 2 y - 1 being the class as -1 or 1."""
    T = type(z)
    margin = T(1) - (T(2) * y - T(1)) * z
    return T(0) if margin < T(0) else margin


def hinge_slope(y, z):
    """-t where the margin is not kept."""
    T = type(z)
    t = T(2) * y - T(1)
    reached = t * z
    return -t if reached < T(1) else (T(0) if reached >= T(1) else reached)


def squared_hinge(y, z):
    """max(0, 1 - t z)²."""
    margin = hinge(y, z)
    return margin * margin


def squared_hinge_slope(y, z):
    """-2 t max(0, 1 - t z)."""
    T = type(z)
    return T(-2) * (T(2) * y - T(1)) * hinge(y, z)


def squared_error_of_probability(y, z):
    """Half the squared error of logistic(z)."""
    return squared_error(y, logistic(z))


def squared_error_of_probability_slope(y, z):
    """(a - y) a (1 - a), a = logistic(z): next to nothing where the error is large."""
    a = logistic(z)
    return (a - y) * logistic_slope(a)


def _table(*rows):
    return {(row.name, row.output): row for row in rows}


REGRESSION_LOSSES = _table(
    Loss(
        "squared_error", "identity", squared_error, squared_error_slope,
        about="half the squared error, of a normal distribution's mean",
    ),
    Loss(
        "absolute_error", "identity", absolute_error, absolute_error_slope,
        about="the absolute error, of the median",
    ),
    Loss(
        "quantile", "identity", coupled.quantile, coupled.quantile_slope,
        parameter="quantile",
        about="the pinball loss of the conditional quantile ``quantile`` (Koenker and "
        "Bassett, 1978); several at once do not cross",
    ),
    Loss(
        "huber", "identity", huber, huber_slope, parameter="delta",
        about="squared up to errors of ``delta``, absolute beyond (Huber, 1964)",
    ),
    Loss(
        "log_cosh", "identity", log_cosh, log_cosh_slope,
        about="log(cosh(error)): squared for small errors, absolute for large ones",
    ),
    Loss(
        "gaussian_nll", "identity", row=coupled.gaussian_nll, outputs_per_target=2,
        about="the negative log-likelihood of a normal distribution of which mean and "
        "variance are learnt (Nix and Weigend, 1994)",
    ),
    Loss(
        "poisson", "exp", poisson, poisson_slope, low=0.0,
        about="half the Poisson deviance, of counts",
    ),
    Loss(
        "gamma", "exp", gamma, gamma_slope, low=0.0, closed=False,
        about="half the gamma deviance, of positive and skewed targets",
    ),
    Loss(
        "tweedie", "exp", tweedie, tweedie_slope, parameter="power", low=0.0,
        about="half the Tweedie deviance of power ``power``, of targets that are "
        "zero or positive and skewed",
    ),
)  # fmt: skip

# The several quantiles of 'quantile'.
QUANTILES = Loss("quantiles", "identity", row=coupled.quantiles, outputs_per_target=0)

# One class against another, labels that do not exclude each other, and one class
# against all the others.
BINARY_LOSSES = _table(
    Loss(
        "log_loss", "logistic", log_loss, log_loss_slope,
        about="the cross-entropy of a Bernoulli distribution",
    ),
    Loss(
        "hinge", "identity", hinge, hinge_slope,
        about="the hinge loss: a support vector machine on learnt features",
    ),
    Loss(
        "squared_hinge", "identity", squared_hinge, squared_hinge_slope,
        about="its square",
    ),
    Loss(
        "squared_error", "logistic", squared_error_of_probability,
        squared_error_of_probability_slope,
        about="half the squared error of the probability (Brier, 1950)",
    ),
)  # fmt: skip

MULTICLASS_LOSSES = _table(
    Loss("log_loss", "softmax", labels=True),
    Loss("hinge", "identity", row=coupled.crammer_singer, labels=True),
    Loss("squared_hinge", "identity", row=coupled.squared_crammer_singer, labels=True),
    Loss("squared_error", "softmax", row=coupled.brier, labels=True),
    *(
        row._replace(labels=True)
        for row in BINARY_LOSSES.values()
        if row.output == "logistic"
    ),
)


LINKED_RANGES = {"logistic": (0.0, 1.0), "tanh": (-1.0, 1.0)}
# What the parameter of a regression's loss may be called.
_PARAMETERS = tuple(
    row.parameter for row in REGRESSION_LOSSES.values() if row.parameter is not None
)
_BINARY_OUTPUTS = ("identity", "logistic")


def regression_loss(loss, output="auto"):
    """The row of a regression's loss behind some output activation.

    Parameters
    ----------
    loss : str or Loss
        Name of a row of `REGRESSION_LOSSES`, or a loss of one's own.
    output : str, default='auto'
        'auto' is the loss's own.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If the two do not go together; the message says what would.
    """
    rows = REGRESSION_LOSSES.values()
    own = isinstance(loss, Loss)
    row = loss if own else next(row for row in rows if row.name == loss)
    if own:
        _check_parts(row, (*ACTIVATIONS, *OUTPUT_ONLY), _PARAMETERS)
    if output in ("auto", row.output):
        return row
    if row.output != "identity" or row.value is None:
        raise ValueError(
            f"out_activation={output!r} does not go with loss={row.name!r}, whose own "
            f"is {row.output!r}: use that or 'auto'."
        )
    return linked(row, output)


def linked(row, output):
    """A loss of the identity, by scalar rules, behind another output activation."""
    low, high = LINKED_RANGES.get(output, (row.low, row.high))
    link = activation_rule(output)
    return row._replace(
        output=output, link=link, low=max(low, row.low), high=min(high, row.high)
    )


def _check_parts(row, outputs, parameters):
    """Refuse what no estimator of the kind would know of a loss of one's own."""
    if row.output not in outputs:
        raise ValueError(
            f"loss {row.name!r} has output={row.output!r}, which must be one of "
            f"{', '.join(map(repr, outputs))} here."
        )
    if row.parameter is not None and row.parameter not in parameters:
        names = " or ".join(map(repr, parameters)) if parameters else "None"
        raise ValueError(
            f"loss {row.name!r} has parameter={row.parameter!r}, which must be {names} "
            "here."
        )


def classification_loss(loss, output, multiclass):
    """The row of a classifier's loss behind some output activation.

    Parameters
    ----------
    loss : str or Loss
        The parameter ``loss``.
    output : str
        'auto' or the name of an output activation.
    multiclass : bool
        Whether samples belong to one of several classes; else to one of two, or to
        any number of labels.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If they do not go together; the message says what would.
    """
    if isinstance(loss, Loss):
        outputs = ("identity", "logistic", "softmax") if multiclass else _BINARY_OUTPUTS
        _check_parts(loss, outputs, ())
        found = [loss._replace(labels=multiclass)]
    else:
        table = MULTICLASS_LOSSES if multiclass else BINARY_LOSSES
        found = [row for row in table.values() if row.name == loss]
        # One of two classes alone tells each class from all others, too.
        found = found or [
            row._replace(labels=True)
            for row in BINARY_LOSSES.values()
            if row.name == loss
        ]
    for row in found:
        if output in ("auto", row.output):
            return row
    names = " or ".join(repr(row.output) for row in found)
    kind = "several classes" if multiclass else "two classes or labels"
    raise ValueError(
        f"out_activation={output!r} does not go with loss={found[0].name!r} for "
        f"{kind}: use {names} or 'auto'."
    )


def all_losses():
    """Every row, for tests and documentation."""
    regression = [*REGRESSION_LOSSES.values(), QUANTILES]
    links = [linked(regression[0], output) for output in LINKS]
    return [
        *regression,
        *links,
        *BINARY_LOSSES.values(),
        *MULTICLASS_LOSSES.values(),
    ]
