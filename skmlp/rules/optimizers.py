"""Optimizer steps: one row per optimizer, a scalar rule that updates one parameter.

A rule takes the parameter, its gradient, the optimizer's slots for it (velocity,
moments), the step's coefficients and the hyperparameters, and returns the new parameter
and slots. What depends on the step index alone (bias corrections, schedules of the
momentum) is in the coefficients, computed once a step outside the loops.

The values of `solver`, its documentation, the hyperparameters, the kernels, the
reference and the tests are derived from the table. Decoupled weight decay and schedules
of the learning rate work alike with every row and stand elsewhere.

Decay rates come in as their complements, since in single precision 1 - 0.999 has lost
five digits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp.rules.parameters import Parameter, Range

# What compiled update rules have at most.
MAX_SLOTS = MAX_COEFFICIENTS = MAX_HYPERPARAMETERS = 3
# NAdam's momentum rises to beta_1 by this schedule (Dozat, 2016, section 3.2).
_NADAM_BASE, _NADAM_PACE = 0.96, 0.004

_MOMENTUM = Parameter(
    "momentum", 0.9, (Range(0, 1, "both"),), "Momentum of 'sgd', between 0 and 1."
)
_NESTEROVS_MOMENTUM = Parameter(
    "nesterovs_momentum", True, ("boolean",),
    "Whether the momentum of 'sgd' is Nesterov's.",
)  # fmt: skip
_BETA_1 = Parameter(
    "beta_1", 0.9, (Range(0, 1, "left"),),
    "Decay rate of the first moments of 'adam' and its relatives, in [0, 1).",
)  # fmt: skip
_BETA_2 = Parameter(
    "beta_2", 0.999, (Range(0, 1, "left"),),
    "Decay rate of the second moments of 'adam' and its relatives, in [0, 1).",
)  # fmt: skip
_EPSILON = Parameter(
    "epsilon", 1e-8, (Range(0, None, "neither"),),
    "Added to what the adaptive solvers divide by.",
)  # fmt: skip
_RHO = Parameter(
    "rho", 0.9, (Range(0, 1, "left"),),
    "Decay rate of the running mean squares of 'rmsprop' and 'adadelta', in [0, 1).",
)  # fmt: skip


def the_rate(t, rates, h):
    """The learning rate as the only coefficient."""
    return (rates,)


class OptimizerRule(NamedTuple):
    """One stochastic optimizer.

    Attributes
    ----------
    name : str
        The value of the parameter `solver`.
    about : str
        What the documentation of `solver` says of it, in a line.
    slots : int
        Number of vectors of state, 1 to `MAX_SLOTS`, each of the parameters' shape.
    update : callable
        ``update(p, g, *slots, c, h)`` to ``(p, *slots)``, on scalars of one dtype; c
        and h are tuples of the maximal length, padded with zeros.
    hyper : callable
        ``hyper(settings)``, up to `MAX_HYPERPARAMETERS` hyperparameters h, from an
        object that has the estimators' parameters as attributes.
    coefficients : callable
        ``coefficients(t, rates, h)``, up to `MAX_COEFFICIENTS` coefficients c as
        float64 arrays, for steps t (float64 array, counted from 1, ascending) and
        their learning rates.
    parameters : tuple of Parameter
        The estimators' parameters that `hyper` reads.
    start : float
        Initial value of the slots.
    ignores_old_schedules : bool
        Whether 'invscaling' and 'adaptive' leave its rate alone.
    """

    name: str
    about: str
    slots: int
    update: Callable
    hyper: Callable
    coefficients: Callable = the_rate
    parameters: tuple[Parameter, ...] = ()
    start: float = 0.0
    ignores_old_schedules: bool = False

    @property
    def declares(self):
        """All parameters of the estimators that the row reads."""
        return self.parameters


def sgd(p, g, velocity, c, h):
    """Gradient descent with momentum h[0] (Polyak, 1964), or Nesterov's.

    Nesterov's is a step from the point ahead (Sutskever et al., 2013). h[1] and h[2]
    are how much of the velocity and of the gradient the step takes: 1 and 0 for plain
    momentum, the momentum and 1 for Nesterov's.
    """
    velocity = h[0] * velocity - c[0] * g
    return p + (h[1] * velocity - h[2] * (c[0] * g)), velocity


def sgd_hyper(settings):
    """Momentum, and what makes it Nesterov's or not."""
    momentum = settings.momentum
    return (momentum, momentum, 1.0) if settings.nesterovs_momentum else (momentum, 1.0)


def adam(p, g, m, v, c, h):
    """Adam: a method for stochastic optimization (Kingma and Ba, 2014).

    h is 1 - beta_1, 1 - beta_2, and epsilon, which is added before the bias correction,
    as in the paper's last remark of section 2 and in scikit-learn, not as in its
    algorithm 1.
    """
    T = type(p)
    m = m + h[0] * (g - m)
    v = v + h[1] * (g * g - v)
    return p - c[0] * m / (T(np.sqrt(v)) + h[2]), m, v


def adam_hyper(settings):
    """Complements of the moments' decay rates, and epsilon."""
    return 1.0 - settings.beta_1, 1.0 - settings.beta_2, settings.epsilon


def _one_less_power(complement, t):
    """1 - beta ** t of a decay rate's complement.

    After 100 / complement steps the power is negligible; below the smallest normal
    number it would take 80 times as long to compute.
    """
    return 1.0 - (1.0 - complement) ** np.minimum(t, 100.0 / complement)


def adam_coefficients(t, rates, h):
    """Rates with the bias correction: sqrt(1 - beta_2^t) / (1 - beta_1^t)."""
    correction = np.sqrt(_one_less_power(h[1], t)) / _one_less_power(h[0], t)
    return (rates * correction,)


def amsgrad(p, g, m, v, largest, c, h):
    """On the convergence of Adam and beyond (Reddi, Kale and Kumar, 2018).

    Adam as it stands above, epsilon included, but for the largest second moment so far
    in place of the last. That one is not bias-corrected before it is compared, as in
    the paper and in PyTorch.
    """
    T = type(p)
    m = m + h[0] * (g - m)
    v = v + h[1] * (g * g - v)
    # A moment that is nan must not lose the comparison: the error would be hidden.
    largest = largest if largest > v else v
    return p - c[0] * m / (T(np.sqrt(largest)) + h[2]), m, v, largest


def nadam(p, g, m, v, c, h):
    """Incorporating Nesterov momentum into Adam (Dozat, 2016).

    c is the weight of the gradient, that of the first moment, and the bias correction
    of the second moment's root, to which epsilon is then added, as in PyTorch.
    """
    T = type(p)
    m = m + h[0] * (g - m)
    v = v + h[1] * (g * g - v)
    return p - (c[0] * g + c[1] * m) / (c[2] * T(np.sqrt(v)) + h[2]), m, v


def nadam_coefficients(t, rates, h):
    """Bias-corrected weights by the momentum's schedule, which rises to beta_1."""
    beta_1 = 1.0 - h[0]
    product = _momentum_products(t, beta_1)
    momentum, following = _nadam_momentum(t, beta_1), _nadam_momentum(t + 1, beta_1)
    return (
        rates * (1.0 - momentum) / (1.0 - product),
        rates * following / (1.0 - product * following),
        1.0 / np.sqrt(_one_less_power(h[1], t)),
    )


def _nadam_momentum(t, beta_1):
    return beta_1 * (1.0 - 0.5 * _NADAM_BASE ** (t * _NADAM_PACE))


def _momentum_products(t, beta_1):
    """Products of the momenta of all steps up to t.

    They are used as 1 - product, so products below 2^-53 make no difference: a long
    training need not multiply from its beginning at every call.
    """
    vanished = -53 * math.log(2) / math.log(max(beta_1, 1e-300))
    n = 1 + int(min(t[-1], vanished))
    products = np.cumprod(_nadam_momentum(np.arange(1.0, n + 1.0), beta_1))
    return products[np.minimum(t.astype(np.int64), n) - 1]


def rmsprop(p, g, v, c, h):
    """RMSProp (Tieleman and Hinton, 2012, lecture 6.5 of Coursera's neural networks).

    h is 1 - rho and epsilon, which is added to the root, as in PyTorch.
    """
    v = v + h[0] * (g * g - v)
    return p - c[0] * g / (type(p)(np.sqrt(v)) + h[1]), v


def rho_hyper(settings):
    """Complement of rho, and epsilon."""
    return 1.0 - settings.rho, settings.epsilon


def adagrad(p, g, total, c, h):
    """Adaptive subgradient methods (Duchi, Hazan and Singer, 2011); h[0] is epsilon."""
    total = total + g * g
    return p - c[0] * g / (type(p)(np.sqrt(total)) + h[0]), total


def adadelta(p, g, v, moved, c, h):
    """ADADELTA: an adaptive learning rate method (Zeiler, 2012).

    h is 1 - rho and epsilon. The quotient of the two roots is the root of the quotient,
    which costs half.
    """
    v = v + h[0] * (g * g - v)
    move = type(p)(np.sqrt((moved + h[1]) / (v + h[1]))) * g
    return p - c[0] * move, v, moved + h[0] * (move * move - moved)


def lion(p, g, m, c, h):
    """Symbolic discovery of optimization algorithms (Chen et al., 2023).

    h is 1 - beta_1, by which the step's direction is mixed, and 1 - beta_2, by which
    the moment is. Only the direction's sign counts; that of nan is nan.
    """
    T = type(p)
    direction = m + h[0] * (g - m)
    sign = T(1) if direction > T(0) else (T(-1) if direction < T(0) else direction)
    return p - c[0] * sign, m + h[1] * (g - m)


OPTIMIZERS = {
    row.name: row
    for row in (
        OptimizerRule(
            "sgd",
            "gradient descent with `momentum` (Polyak, 1964), by default Nesterov's",
            1,
            sgd,
            sgd_hyper,
            parameters=(_MOMENTUM, _NESTEROVS_MOMENTUM),
        ),
        OptimizerRule(
            "adam",
            "running moments, by `beta_1`, `beta_2`, `epsilon` (Kingma and Ba, 2014)",
            2,
            adam,
            adam_hyper,
            adam_coefficients,
            parameters=(_BETA_1, _BETA_2, _EPSILON),
            ignores_old_schedules=True,
        ),
        OptimizerRule(
            "amsgrad",
            "'adam' by the largest second moment so far (Reddi et al., 2018)",
            3,
            amsgrad,
            adam_hyper,
            adam_coefficients,
            parameters=(_BETA_1, _BETA_2, _EPSILON),
        ),
        OptimizerRule(
            "nadam",
            "'adam' with Nesterov's momentum (Dozat, 2016)",
            2,
            nadam,
            adam_hyper,
            nadam_coefficients,
            parameters=(_BETA_1, _BETA_2, _EPSILON),
        ),
        OptimizerRule(
            "rmsprop",
            "running mean square by `rho`, `epsilon` (Tieleman and Hinton, 2012)",
            1,
            rmsprop,
            rho_hyper,
            parameters=(_RHO, _EPSILON),
        ),
        OptimizerRule(
            "adagrad",
            "all squares so far, and `epsilon` (Duchi et al., 2011)",
            1,
            adagrad,
            lambda settings: (settings.epsilon,),
            parameters=(_EPSILON,),
        ),
        OptimizerRule(
            "adadelta",
            "`rho`, `epsilon`, and ``learning_rate_init=1`` at best (Zeiler, 2012)",
            2,
            adadelta,
            rho_hyper,
            parameters=(_RHO, _EPSILON),
        ),
        OptimizerRule(
            "lion",
            "steps of one size, by `beta_1` and, at best, ``beta_2=0.99`` (Chen et al.,"
            " 2023)",
            1,
            lion,
            lambda settings: (1.0 - settings.beta_1, 1.0 - settings.beta_2),
            parameters=(_BETA_1, _BETA_2),
        ),
    )
}
