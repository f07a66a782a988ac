"""Activation functions: one row per function, used by every backend.

The parameter's allowed values, its documentation, the kernels, the reference and the
tests are derived from the table.

softmax couples the units of a layer; it has no scalar rule and each backend writes it
once (``value`` and ``slope`` are None).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp.rules.elementary import arctan as _arctan
from skmlp.rules.elementary import erf as _erf
from skmlp.rules.elementary import exp, expit, expm1, log1p
from skmlp.rules.elementary import tanh as _tanh

# The output activation that leaves raw outputs.
IDENTITY = "identity"
# Of the diagonal of softmax's derivative, a (1 - a).
LARGEST_SLOPE_BY_ROWS = 0.25


class Activation(NamedTuple):
    """An activation function and what a layer that uses it needs to know.

    The functions of a custom activation are scalar functions that Numba can compile:
    arithmetic, comparisons, conditional expressions and NumPy's mathematical functions.
    They are also called with NumPy scalars.

    Parameters
    ----------
    name : str
        The value of the parameter that selects it.
    value : callable
        ``value(z)``, scalar to scalar of the same dtype; nan must stay nan.
    slope : callable
        The derivative at z: ``slope(a)`` of the output a = value(z), or ``slope(z)``.
    slope_of : {'output', 'input'}, default='output'
        The argument of `slope`. The forward pass stores the outputs anyway; 'input'
        costs memory for z, the preactivation.
    init : str, default='glorot_uniform'
        A row of `skmlp.rules.initializers.INITIALIZERS`: how ``weight_init='auto'``
        draws the initial weights of a layer.
    about : str, default=''
        Formula and source, for the documentation.

    Examples
    --------
    >>> from skmlp import Activation
    >>> import numpy as np
    >>> sine = Activation("sine", lambda z: np.sin(z), lambda z: np.cos(z),
    ...                   slope_of="input")
    """

    name: str
    value: Callable | None
    slope: Callable | None
    slope_of: str = "output"
    init: str = "glorot_uniform"
    about: str = ""

    @property
    def needs_preactivation(self):
        """Whether the slope is a function of z, so that z has to be stored."""
        return self.slope_of == "input"

    @property
    def by_rows(self):
        """Whether it couples the units of a layer, as softmax: there is no rule."""
        return self.value is None


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
    """max(0, z), written so that nan stays nan."""
    T = type(z)
    return T(0) if z < T(0) else z


def relu_slope(a):
    """1 where the unit is active, 0 where its output is 0, as in scikit-learn."""
    T = type(a)
    return T(0) if a == T(0) else T(1)


def leaky_relu(z):
    """Z, or z / 100 where negative."""
    T = type(z)
    return T(0.01) * z if z < T(0) else z


def leaky_relu_slope(a):
    """1, or 1 / 100 where negative."""
    T = type(a)
    return T(0.01) if a < T(0) else T(1)


def elu(z):
    """Z, or exp(z) - 1 where negative."""
    T = type(z)
    return expm1(z) if z < T(0) else z


def elu_slope(a):
    """1, or exp(z) = a + 1 where negative."""
    T = type(a)
    return a + T(1) if a < T(0) else T(1)


def selu(z):
    """ELU scaled so that mean 0 and variance 1 are a fixed point."""
    T = type(z)
    return T(1.7580993408473766) * expm1(z) if z < T(0) else T(1.0507009873554805) * z


def selu_slope(a):
    """The scale, or scale alpha exp(z) = a + scale alpha where negative."""
    T = type(a)
    return a + T(1.7580993408473766) if a < T(0) else T(1.0507009873554805)


def gelu(z):
    """Z times the normal distribution function of z."""
    T = type(z)
    return z * (T(0.5) + T(0.5) * _erf(z * T(0.7071067811865476)))


def gelu_slope(z):
    """Distribution function plus z times the density."""
    T = type(z)
    phi = T(0.5) + T(0.5) * _erf(z * T(0.7071067811865476))
    return phi + z * T(0.3989422804014327) * exp(T(-0.5) * z * z)


def _gelu_argument(z):
    T = type(z)
    return T(0.7978845608028654) * (z + T(0.044715) * z * z * z)


def gelu_tanh(z):
    """The approximation of gelu by tanh."""
    T = type(z)
    return T(0.5) * z * (T(1) + _tanh(_gelu_argument(z)))


def gelu_tanh_slope(z):
    """Its derivative, by the product rule; flat beyond 10, where products overflow."""
    T = type(z)
    c = T(-10) if z < T(-10) else (T(10) if z > T(10) else z)
    t = _tanh(_gelu_argument(c))
    inner = T(0.7978845608028654) * (T(1) + T(0.134145) * c * c)
    return T(0.5) * (T(1) + t) + T(0.5) * c * (T(1) - t * t) * inner


def silu(z):
    """Z logistic(z)."""
    return z * logistic(z)


def silu_slope(z):
    """S (1 + z (1 - s)), s the logistic function of z."""
    T = type(z)
    s = logistic(z)
    return s * (T(1) + z * (T(1) - s))


def mish(z):
    """Z tanh(log(1 + exp(z))), as a quotient in exp(z), which overflows nowhere."""
    T = type(z)
    e = exp(T(20) if z > T(20) else z)
    n = e * (e + T(2))
    return z * (n / (n + T(2)))


def mish_slope(z):
    """tanh(s) + z logistic(z) (1 - tanh(s)²), s = log(1 + exp(z))."""
    T = type(z)
    e = exp(T(20) if z > T(20) else z)
    n = e * (e + T(2))
    w = T(1) / (n + T(2))
    return n * w + z * T(4) * e * (e + T(1)) * w * w


def softplus(z):
    """log(1 + exp(z)), as max(z, 0) + log(1 + exp(-|z|))."""
    T = type(z)
    positive = T(0) if z < T(0) else z
    return positive + log1p(exp(z if z < T(0) else -z))


def softplus_slope(a):
    """logistic(z) = 1 - exp(-a)."""
    return -expm1(-a)


def softsign(z):
    """Z / (1 + |z|)."""
    T = type(z)
    return z / (T(1) + (-z if z < T(0) else z))


def softsign_slope(a):
    """(1 - |a|)²."""
    T = type(a)
    gap = T(1) - (-a if a < T(0) else a)
    return gap * gap


def hard_tanh(z):
    """Z, cut to [-1, 1]."""
    T = type(z)
    return T(-1) if z < T(-1) else (T(1) if z > T(1) else z)


def hard_tanh_slope(a):
    """1 within, 0 at the ends."""
    T = type(a)
    return T(0) if (a <= T(-1)) | (a >= T(1)) else T(1)


def hard_sigmoid(z):
    """Z / 6 + 1 / 2, cut to [0, 1]."""
    T = type(z)
    a = z * T(1.0 / 6.0) + T(0.5)
    return T(0) if a < T(0) else (T(1) if a > T(1) else a)


def hard_sigmoid_slope(a):
    """1 / 6 within, 0 at the ends."""
    T = type(a)
    return T(0) if (a <= T(0)) | (a >= T(1)) else T(1.0 / 6.0)


def relu6(z):
    """Z, cut to [0, 6]."""
    T = type(z)
    return T(0) if z < T(0) else (T(6) if z > T(6) else z)


def relu6_slope(a):
    """1 within, 0 at the ends."""
    T = type(a)
    return T(0) if (a <= T(0)) | (a >= T(6)) else T(1)


def arctan(z):
    """Inverse tangent."""
    return _arctan(z)


def arctan_slope(z):
    """1 / (1 + z²)."""
    T = type(z)
    return T(1) / (T(1) + z * z)


def erf(z):
    """Error function."""
    return _erf(z)


def erf_slope(z):
    """2 / sqrt(pi) exp(-z²)."""
    return type(z)(1.1283791670955126) * exp(-z * z)


def gudermannian(z):
    """2 arctan(tanh(z / 2))."""
    T = type(z)
    return T(2) * _arctan(_tanh(T(0.5) * z))


def gudermannian_slope(z):
    """1 / cosh(z), as 2 e / (1 + e²) with e = exp(-|z|)."""
    T = type(z)
    e = exp(z if z < T(0) else -z)
    return T(2) * e / (T(1) + e * e)


def algebraic(z):
    """Z / sqrt(1 + z²)."""
    T = type(z)
    return z / T(np.sqrt(T(1) + z * z))


def algebraic_slope(z):
    """(1 + z²)^(-3/2)."""
    T = type(z)
    r = T(1) / T(np.sqrt(T(1) + z * z))
    return r * r * r


def exponential(z):
    """exp(z): the inverse of the log link."""
    return exp(z)


def exponential_slope(a):
    """A itself."""
    return a


def _table(*rows):
    return {row.name: row for row in rows}


_GLOROT_OF_SKLEARN = "sklearn_uniform"

ACTIVATIONS = _table(
    Activation(
        "identity", identity, identity_slope, init=_GLOROT_OF_SKLEARN,
        about="f(z) = z, a linear bottleneck",
    ),
    Activation(
        "logistic", logistic, logistic_slope, init="sklearn_uniform_logistic",
        about="f(z) = 1 / (1 + exp(-z))",
    ),
    Activation(
        "tanh", tanh, tanh_slope, init=_GLOROT_OF_SKLEARN, about="f(z) = tanh(z)"
    ),
    Activation(
        "relu", relu, relu_slope, init=_GLOROT_OF_SKLEARN,
        about="f(z) = max(0, z) (Nair and Hinton, 2010)",
    ),
    Activation(
        "leaky_relu", leaky_relu, leaky_relu_slope, init="he_uniform",
        about="f(z) = max(z, z / 100) (Maas et al., 2013)",
    ),
    Activation(
        "elu", elu, elu_slope, init="he_uniform",
        about="f(z) = z, or exp(z) - 1 where negative (Clevert et al., 2016)",
    ),
    Activation(
        "selu", selu, selu_slope, init="lecun_normal",
        about="elu, self-normalizing by its scale (Klambauer et al., 2017)",
    ),
    Activation(
        "gelu", gelu, gelu_slope, slope_of="input", init="he_uniform",
        about="f(z) = z Phi(z), Phi the normal distribution function (Hendrycks and "
        "Gimpel, 2016)",
    ),
    Activation(
        "gelu_tanh", gelu_tanh, gelu_tanh_slope, slope_of="input", init="he_uniform",
        about="the same paper's approximation of it by tanh",
    ),
    Activation(
        "silu", silu, silu_slope, slope_of="input", init="he_uniform",
        about="f(z) = z / (1 + exp(-z)) (Elfwing et al., 2018), also named swish",
    ),
    Activation(
        "mish", mish, mish_slope, slope_of="input", init="he_uniform",
        about="f(z) = z tanh(log(1 + exp(z))) (Misra, 2019)",
    ),
    Activation(
        "softplus", softplus, softplus_slope,
        about="f(z) = log(1 + exp(z)) (Dugas et al., 2001)",
    ),
    Activation(
        "softsign", softsign, softsign_slope,
        about="f(z) = z / (1 + abs(z)) (Bergstra et al., 2009)",
    ),
    Activation(
        "hard_tanh", hard_tanh, hard_tanh_slope,
        about="f(z) = z, cut to [-1, 1] (Collobert, 2004)",
    ),
    Activation(
        "hard_sigmoid", hard_sigmoid, hard_sigmoid_slope,
        about="f(z) = z / 6 + 1 / 2, cut to [0, 1] (Courbariaux et al., 2015, with "
        "the slope of PyTorch)",
    ),
    Activation(
        "relu6", relu6, relu6_slope, init="he_uniform",
        about="f(z) = z, cut to [0, 6] (Krizhevsky, 2010)",
    ),
    Activation(
        "arctan", arctan, arctan_slope, slope_of="input", about="f(z) = arctan(z)"
    ),
    Activation(
        "erf", erf, erf_slope, slope_of="input",
        about="f(z) = erf(z), the error function",
    ),
    Activation(
        "gudermannian", gudermannian, gudermannian_slope, slope_of="input",
        about="f(z) = 2 arctan(tanh(z / 2))",
    ),
    Activation(
        "algebraic", algebraic, algebraic_slope, slope_of="input",
        about="f(z) = z / sqrt(1 + z^2)",
    ),
    Activation(
        "softmax", None, None,
        about="exp(z) over the sum of the layer's: its units compete, and it passes "
        "on how they share one unit of output",
    ),
)  # fmt: skip

# Functions that rules call, beside elementary functions and other rules.
HELPERS = (_gelu_argument,)

# Activations of output layers only.
OUTPUT_ONLY = _table(Activation("exp", exponential, exponential_slope))


def activation_rule(activation):
    """The row of an activation: itself, or that of its name."""
    if isinstance(activation, Activation):
        return activation
    return ACTIVATIONS.get(activation) or OUTPUT_ONLY[activation]
