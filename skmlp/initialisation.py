"""How the first weights are drawn: one row a scheme.

Weights that are too small let signals fade from layer to layer, too large ones
saturate units; what is right depends on the activation and on the numbers of units on
both sides. The activations' table names each one's scheme.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp.network import first_norms, layout, views
from skmlp.rules.activations import activation_rule


class Scheme(NamedTuple):
    """One way to draw a layer's weights.

    Attributes
    ----------
    name : str
    draw : callable
        ``draw(generator, fan_in, fan_out, shape)``, an array of that shape.
    about : str
        Formula and source.
    biases : bool
        Whether biases are drawn in the same way, as scikit-learn does; else zero.
    """

    name: str
    draw: Callable
    about: str
    biases: bool = False


def _uniform(square):
    def draw(generator, fan_in, fan_out, shape):
        limit = np.sqrt(square(fan_in, fan_out))
        return generator.uniform(-limit, limit, shape)

    return draw


def _normal(variance):
    def draw(generator, fan_in, fan_out, shape):
        return generator.normal(0.0, np.sqrt(variance(fan_in, fan_out)), shape)

    return draw


def _orthogonal(generator, fan_in, fan_out, shape):
    """The orthogonal factor of a normal matrix, its signs made unique."""
    rows, columns = max(fan_in, fan_out), min(fan_in, fan_out)
    q, r = np.linalg.qr(generator.normal(size=(rows, columns)))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if shape == q.shape else q.T


SCHEMES = {
    row.name: row
    for row in (
        Scheme(
            "sklearn_uniform", _uniform(lambda i, o: 6.0 / (i + o)),
            "glorot_uniform, the biases too: what scikit-learn does", biases=True,
        ),
        Scheme(
            "sklearn_uniform_logistic", _uniform(lambda i, o: 2.0 / (i + o)),
            "scikit-learn's range for the logistic function", biases=True,
        ),
        Scheme(
            "glorot_uniform", _uniform(lambda i, o: 6.0 / (i + o)),
            "within ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)",
        ),
        Scheme(
            "glorot_normal", _normal(lambda i, o: 2.0 / (i + o)),
            "variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)",
        ),
        Scheme(
            "he_uniform", _uniform(lambda i, o: 6.0 / i),
            "within ±sqrt(6 / fan_in) (He et al., 2015)",
        ),
        Scheme(
            "he_normal", _normal(lambda i, o: 2.0 / i),
            "variance 2 / fan_in (He et al., 2015)",
        ),
        Scheme(
            "lecun_uniform", _uniform(lambda i, o: 3.0 / i),
            "within ±sqrt(3 / fan_in) (LeCun et al., 1998)",
        ),
        Scheme(
            "lecun_normal", _normal(lambda i, o: 1.0 / i),
            "variance 1 / fan_in (LeCun et al., 1998)",
        ),
        Scheme(
            "orthogonal", _orthogonal,
            "orthonormal rows or columns (Saxe et al., 2014)",
        ),
    )
}  # fmt: skip


def schemes_of(network, weight_init, last):
    """Rows of the schemes of all layers.

    Parameters
    ----------
    network : Network
    weight_init : str
        'auto', for what each layer's activation names, or one name for all layers.
    last : str or Activation
        The activation whose scheme the output layer takes; scikit-learn's is that of
        the hidden layers.
    """
    if weight_init != "auto":
        return [SCHEMES[weight_init]] * len(network.shapes)
    activations = (*network.activations, last)
    return [SCHEMES[activation_rule(activation).init] for activation in activations]


def initialise(network, schemes, generator, dtype):
    """Draw initial parameters.

    Weights, then biases, layer by layer: the order of the draws is scikit-learn's, so
    that a seed gives the same network.

    Parameters
    ----------
    network : Network
    schemes : sequence of Scheme
        One a layer.
    generator : numpy.random.RandomState
    dtype : numpy dtype

    Returns
    -------
    ndarray of shape (layout(network).size,)
    """
    vector = first_norms(network, np.zeros(layout(network).size, dtype=dtype))
    for coef, intercept, scheme in zip(*views(network, vector), schemes, strict=True):
        coef[:] = scheme.draw(generator, *coef.shape, coef.shape)
        if scheme.biases:
            intercept[:] = scheme.draw(generator, *coef.shape, intercept.shape)
    return vector
