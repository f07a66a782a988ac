"""Losses together with the output activation that belongs to each.

Training is maximum likelihood: the last activation and the loss are one choice, the
distribution of the target. So a row is a pair, and its functions take the raw output
z (the logit, the log of the mean, ...), where loss and gradient are stable, and
return the gradient by z.

Most losses are sums over outputs, by scalar rules. Where the outputs of a row are
coupled, the rule takes the whole row. Softmax cross-entropy, which most classifiers
use, is a loop that each backend writes once (no rule at all).
"""

import numpy as np

from skmlp.rules import best_constant, coupled, focal
from skmlp.rules.activations import logistic, logistic_slope, softplus
from skmlp.rules.elementary import exp, log, log1p, tanh
from skmlp.rules.loss_row import LossRow
from skmlp.rules.parameters import Parameter, Range

# Lower bound of a learned variance: without it one exact row outweighs all others.
SMALLEST_VARIANCE = 1e-6

QUANTILE = Parameter(
    "quantile", 0.5, (Range(0, 1, "neither"), "array-like"),
    "Level of ``loss='quantile'``, in (0, 1). Several levels for a single target are "
    "learned by one network, which predicts a column for each, ascending in every row.",
    type="float or ascending list of floats",
)  # fmt: skip
DELTA = Parameter(
    "delta", 1.0, (Range(0, None, "neither"),),
    "Error beyond which ``loss='huber'`` is absolute, in units of the target: with "
    "``scale_target`` of the scaled one.",
)  # fmt: skip
POWER = Parameter(
    "power", 1.5, (Range(1, 2, "neither"),),
    "Power of ``loss='tweedie'``, in (1, 2): the variance grows with that power of the "
    "mean.",
)  # fmt: skip
LABEL_SMOOTHING = Parameter(
    "label_smoothing", 0.0, (Range(0, 1, "left"),),
    "Fraction of the target that is spread evenly over all classes, in [0, 1), for "
    "``loss='log_loss'``: with K classes the target of the true one is "
    "``1 - label_smoothing * (1 - 1 / K)`` (Szegedy et al., 2016).",
)  # fmt: skip


def smoothed(y, smoothing):
    """Target of one of two classes, or of a label, mixed with 1 / 2."""
    return y + smoothing * (type(smoothing)(0.5) - y)


def membership(is_class, smoothing, n_classes):
    """Target of one class of several: 1 for the sample's class, else 0; smoothed.

    Szegedy et al. (2016).
    """
    T = type(smoothing)
    even = smoothing / T(n_classes)
    return T(1) - smoothing + even if is_class else even


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
    # Zero times an exponential that overflows is nan.
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


def log_loss_of_shares(y, z):
    """`log_loss` less the entropy of y in [0, 1], so that 0 is a perfect prediction."""
    T = type(z)
    other = T(1) - y
    entropy = y * log(y) if y > T(0) else T(0)
    entropy += other * log(other) if other > T(0) else T(0)
    return entropy + log_loss(y, z)


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


def gaussian_nll(y, z, delta, p):
    """Negative log-likelihood of normal distributions, but for log(2 pi) / 2.

    The first half of z are the means, the second half raw variances, through softplus.
    Nix and Weigend (1994).
    """
    T = type(z[0])
    n = y.shape[0]
    total = T(0)
    for j in range(n):
        r = z[j] - y[j]
        inverse = T(1) / (softplus(z[n + j]) + T(SMALLEST_VARIANCE))
        squares = r * r * inverse
        total += T(0.5) * (squares - log(inverse))
        delta[j] = r * inverse
        delta[n + j] = T(0.5) * inverse * (T(1) - squares) * logistic(z[n + j])
    return total


def first_half(outputs, params):
    """The first of a target's two outputs: of a normal distribution the mean."""
    return outputs[:, : outputs.shape[1] // 2]


def gaussian_std(outputs, params):
    """Standard deviation of `gaussian_nll`, from the second half of the outputs."""
    raw = outputs[:, outputs.shape[1] // 2 :]
    return np.sqrt(np.logaddexp(0, raw) + SMALLEST_VARIANCE)


def gaussian_constant(targets, weights, params, n_outputs):
    """Loss of the best constant mean and variance."""
    return best_constant.gaussian_nll(targets, weights, SMALLEST_VARIANCE)


def _table(*rows):
    return {(row.name, row.output): row for row in rows}


# The several quantiles of 'quantile'.
QUANTILES = LossRow(
    "quantiles", "identity", row=coupled.quantiles, parameters=(QUANTILE,),
    outputs_per_target=0, read=coupled.ascending_levels,
    decode=coupled.ascending_quantiles, levels=True, constant=best_constant.quantiles,
)  # fmt: skip

# Functions that backends call, beside the rules of the tables.
HELPERS = (smoothed, membership)

REGRESSION_LOSSES = _table(
    LossRow(
        "squared_error", "identity", squared_error, squared_error_slope,
        constant=best_constant.squared_error,
        about="half the squared error, of a normal distribution's mean",
    ),
    LossRow(
        "absolute_error", "identity", absolute_error, absolute_error_slope,
        constant=best_constant.absolute_error,
        about="the absolute error, of the median",
    ),
    LossRow(
        "quantile", "identity", coupled.quantile, coupled.quantile_slope,
        parameters=(QUANTILE,), of_list=QUANTILES, constant=best_constant.quantiles,
        about="the pinball loss of the conditional quantile ``quantile`` (Koenker and "
        "Bassett, 1978); several at once do not cross",
    ),
    LossRow(
        "huber", "identity", huber, huber_slope, parameters=(DELTA,),
        constant=best_constant.huber,
        about="squared up to errors of ``delta``, absolute beyond (Huber, 1964)",
    ),
    LossRow(
        "log_cosh", "identity", log_cosh, log_cosh_slope,
        constant=best_constant.log_cosh,
        about="log(cosh(error)): squared for small errors, absolute for large ones",
    ),
    LossRow(
        "gaussian_nll", "identity", row=gaussian_nll, outputs_per_target=2,
        decode=first_half, std=gaussian_std, constant=gaussian_constant,
        about="the negative log-likelihood of a normal distribution of which mean and "
        "variance are learned (Nix and Weigend, 1994)",
    ),
    LossRow(
        "poisson", "exp", poisson, poisson_slope, low=0.0,
        constant=best_constant.poisson,
        about="half the Poisson deviance, of counts",
    ),
    LossRow(
        "gamma", "exp", gamma, gamma_slope, low=0.0, closed=False,
        constant=best_constant.gamma,
        about="half the gamma deviance, of positive and skewed targets",
    ),
    LossRow(
        "tweedie", "exp", tweedie, tweedie_slope, parameters=(POWER,), low=0.0,
        constant=best_constant.tweedie,
        about="half the Tweedie deviance of power ``power``, of targets that are "
        "zero or positive and skewed",
    ),
    LossRow(
        "log_loss", "logistic", log_loss_of_shares, log_loss_slope,
        low=0.0, high=1.0, constant=best_constant.log_loss_of_shares,
        about="the cross-entropy of shares in [0, 1], as pixels or rates, less their "
        "own entropy, so that 0 is a perfect prediction",
    ),
)  # fmt: skip

# One class against another, labels that do not exclude each other, and one class
# against all the others.
BINARY_LOSSES = _table(
    LossRow(
        "log_loss", "logistic", log_loss, log_loss_slope, smoothing=LABEL_SMOOTHING,
        constant=best_constant.binary_entropy,
        about="the cross-entropy of a Bernoulli distribution",
    ),
    LossRow(
        "hinge", "identity", hinge, hinge_slope,
        constant=best_constant.hinge,
        about="the hinge loss: a support vector machine on learned features",
    ),
    LossRow(
        "squared_hinge", "identity", squared_hinge, squared_hinge_slope,
        constant=best_constant.squared_hinge,
        about="its square",
    ),
    LossRow(
        "squared_error", "logistic", squared_error_of_probability,
        squared_error_of_probability_slope,
        constant=best_constant.squared_error_of_probability,
        about="half the squared error of the probability (Brier, 1950)",
    ),
    LossRow(
        "ordinal", "logistic", log_loss, log_loss_slope, ordered=True,
        constant=best_constant.binary_entropy,
        about="the negative log-likelihood of cumulative logits, for three and more "
        "classes in an order (McCullagh, 1980); of two classes the log-loss",
    ),
    LossRow(
        "focal", "logistic", focal.focal, focal.focal_slope,
        parameters=(focal.GAMMA, focal.ALPHA), read=focal.read_sides,
        constant=best_constant.focal, proper=False,
        about="the cross-entropy times ``(1 - p) ** focal_gamma``, p being the "
        "probability of the true class (Lin et al., 2017). Probabilities are drawn "
        "towards even ones: calibrate them",
    ),
)  # fmt: skip

MULTICLASS_LOSSES = _table(
    LossRow(
        "log_loss", "softmax", labels=True, smoothing=LABEL_SMOOTHING,
        constant=best_constant.entropy,
    ),
    LossRow(
        "hinge", "identity", row=coupled.crammer_singer, labels=True,
        constant=best_constant.crammer_singer,
    ),
    LossRow(
        "squared_hinge", "identity", row=coupled.squared_crammer_singer, labels=True,
        constant=best_constant.squared_crammer_singer,
    ),
    LossRow(
        "squared_error", "softmax", row=coupled.brier, labels=True,
        constant=best_constant.brier,
    ),
    LossRow(
        "focal", "softmax", row=focal.focal_of_class, labels=True,
        parameters=(focal.GAMMA, focal.ALPHA), read=focal.read_classes,
        constant=best_constant.focal_of_class, proper=False,
    ),
    *(
        row._replace(labels=True)
        for row in BINARY_LOSSES.values()
        if row.output == "logistic" and not row.ordered
    ),
    LossRow(
        "ordinal", "logistic", row=coupled.cumulative_logits, labels=True, ordered=True,
        constant=best_constant.ordinal,
    ),
)  # fmt: skip

# A class in each of several columns.
COLUMN_LOSSES = _table(
    LossRow(
        "log_loss", "softmax", row=coupled.cross_entropy_by_column, by_column=True,
        smoothing=LABEL_SMOOTHING, constant=best_constant.entropy_by_column,
    ),
)  # fmt: skip
