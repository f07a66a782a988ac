"""Initializers of a layer's weights: one row per initializer.

Weights that are too small let signals fade from layer to layer, too large ones
saturate units; the right size depends on the activation and on fan-in and fan-out.
Each row of the activations names the initializer that suits it.

The values of the parameter `weight_init`, its documentation and the tests are derived
from the table.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp.forks import DRAWING


class Initializer(NamedTuple):
    """How a layer's weights are drawn.

    Attributes
    ----------
    name : str
        The value of the parameter `weight_init`.
    draw : callable
        ``draw(generator, fan_in, fan_out, shape)``, an array of that shape.
    about : str
        Formula and source, for the documentation.
    biases : bool
        Whether biases are drawn from the same distribution, as scikit-learn does; else
        they are zero.
    """

    name: str
    draw: Callable
    about: str
    biases: bool = False


def _uniform(square):
    def draw(generator, fan_in, fan_out, shape):
        limit = np.sqrt(square(fan_in, fan_out))
        with DRAWING:
            return generator.uniform(-limit, limit, shape)

    return draw


def _normal(variance):
    def draw(generator, fan_in, fan_out, shape):
        scale = np.sqrt(variance(fan_in, fan_out))
        with DRAWING:
            return generator.normal(0.0, scale, shape)

    return draw


def _orthogonal(generator, fan_in, fan_out, shape):
    """The orthogonal factor of a normal matrix, its signs made unique."""
    rows, columns = max(fan_in, fan_out), min(fan_in, fan_out)
    with DRAWING:
        matrix = generator.normal(size=(rows, columns))
    q, r = np.linalg.qr(matrix)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    return q if shape == q.shape else q.T


# The value of `weight_init` for weights that depend on the training data.
DATA_DRIVEN = "data_driven"

INITIALIZERS = {
    row.name: row
    for row in (
        Initializer(
            "sklearn_uniform", _uniform(lambda i, o: 6.0 / (i + o)),
            "glorot_uniform, the biases too: what scikit-learn does", biases=True,
        ),
        Initializer(
            "sklearn_uniform_logistic", _uniform(lambda i, o: 2.0 / (i + o)),
            "scikit-learn's range for the logistic function", biases=True,
        ),
        Initializer(
            "glorot_uniform", _uniform(lambda i, o: 6.0 / (i + o)),
            "within ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)",
        ),
        Initializer(
            "glorot_normal", _normal(lambda i, o: 2.0 / (i + o)),
            "variance 2 / (fan_in + fan_out) (Glorot and Bengio, 2010)",
        ),
        Initializer(
            "he_uniform", _uniform(lambda i, o: 6.0 / i),
            "within ±sqrt(6 / fan_in) (He et al., 2015)",
        ),
        Initializer(
            "he_normal", _normal(lambda i, o: 2.0 / i),
            "variance 2 / fan_in (He et al., 2015)",
        ),
        Initializer(
            "lecun_uniform", _uniform(lambda i, o: 3.0 / i),
            "within ±sqrt(3 / fan_in) (LeCun et al., 1998)",
        ),
        Initializer(
            "lecun_normal", _normal(lambda i, o: 1.0 / i),
            "variance 1 / fan_in (LeCun et al., 1998)",
        ),
        Initializer(
            "orthogonal", _orthogonal,
            "orthonormal rows or columns (Saxe et al., 2014)",
        ),
    )
}  # fmt: skip
