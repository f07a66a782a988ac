"""The focal loss: cross-entropy that counts rows the less, the better they are known.

Lin et al. (2017), "Focal loss for dense object detection". Of a row whose true class
has the probability p it is ``-(1 - p) ** gamma * log(p)``. Everything here is a
function of x, the logit of the true class against all others: log(p) is
-softplus(-x), log(1 - p) is -softplus(x), and both are exact for every x.
"""

from skmlp.rules.activations import logistic, softplus
from skmlp.rules.coupled import largest_other
from skmlp.rules.elementary import exp, log
from skmlp.rules.parameters import Parameter, Range

GAMMA = Parameter(
    "focal_gamma", 2.0, (Range(0, None, "left"),),
    "Exponent of ``loss='focal'``, not below zero. A row whose true class has the "
    "probability p counts ``(1 - p) ** focal_gamma``; 0 is the log-loss.",
)  # fmt: skip
ALPHA = Parameter(
    "focal_alpha", None, (Range(0, 1, "neither"), None),
    "Weight of the second of two classes, or of the rows that have a label, in "
    "``loss='focal'``, in (0, 1). The other rows weigh ``1 - focal_alpha``; None for "
    "weights of one. Several classes take ``class_weight`` instead.",
    type="float or None",
)  # fmt: skip

# What the rules get in place of None.
NO_ALPHA = -1.0


def _side_weight(y, alpha):
    """The weight of a row by its side."""
    T = type(alpha)
    if alpha < T(0):
        return T(1)
    return alpha if y > T(0.5) else T(1) - alpha


def focal(y, z, gamma, alpha):
    """-w (1 - p)^gamma log(p), p being the true side's probability, w its weight."""
    x = z if y > type(z)(0.5) else -z
    return _side_weight(y, alpha) * exp(-gamma * softplus(x)) * softplus(-x)


def focal_slope(y, z, gamma, alpha):
    """-w (1 - p)^gamma (1 - p - gamma p log(p)), turned over for y = 0."""
    x = z if y > type(z)(0.5) else -z
    size = _side_weight(y, alpha) * exp(-gamma * softplus(x))
    slope = size * (logistic(-x) + gamma * logistic(x) * softplus(-x))
    return -slope if y > type(z)(0.5) else slope


def focal_of_class(y, z, delta, p):
    """The focal loss of the true class's probability by softmax(z).

    Its logit is z_class - log(sum of exp(z_j) over the others).
    """
    T = type(z[0])
    true_class = int(y[0])
    largest = z[largest_other(z, true_class)]
    others = T(0)
    for j in range(z.shape[0]):
        if j != true_class:
            delta[j] = exp(z[j] - largest)
            others += delta[j]
    x = z[true_class] - largest - log(others)
    slope = focal_slope(T(1), x, p[0], T(NO_ALPHA))
    for j in range(z.shape[0]):
        delta[j] *= -slope / others
    delta[true_class] = slope
    return focal(T(1), x, p[0], T(NO_ALPHA))


def read_sides(row, settings, n_columns):
    """Values of the parameters where a row has one of two sides."""
    alpha = settings.focal_alpha
    return float(settings.focal_gamma), NO_ALPHA if alpha is None else float(alpha)


def read_classes(row, settings, n_columns):
    """Values of the parameters of `focal_of_class`.

    Raises
    ------
    ValueError
        For a weight of one of two sides.
    """
    if settings.focal_alpha is not None:
        raise ValueError(
            f"focal_alpha={settings.focal_alpha!r} is the weight of the second of two "
            "classes, but y has several: use class_weight and focal_alpha=None."
        )
    return read_sides(row, settings, n_columns)


# Functions that rules call, beside elementary functions and other rules.
HELPERS = (_side_weight,)
