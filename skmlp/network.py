"""The network as data: what it is made of and where its parameters lie.

All parameters live in one flat vector, first every layer's weights (fan_in rows of
fan_out, C order), then every layer's biases: the order in which scikit-learn packs
them. One vector means one optimizer loop, one compiled kernel for every architecture,
and L-BFGS for free; `coefs_` and `intercepts_` are views on it.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import LOSSES


class Network(NamedTuple):
    """A multi-layer perceptron without its parameters.

    Attributes
    ----------
    sizes : tuple of int
        Units of every layer, from the features to the outputs; two at least.
    activations : tuple of str
        Activation of each hidden layer, ``len(sizes) - 2`` names.
    loss : str or None
        With `output` it names a row of `skmlp.rules.losses.LOSSES`; None for a
        network that only predicts.
    output : str
        The output activation.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str | None
    output: str

    @property
    def shapes(self):
        """Shapes (fan_in, fan_out) of the layers' weights."""
        return list(pairwise(self.sizes))

    @property
    def loss_rule(self):
        """The row of the table of losses; of a network that has a loss."""
        return LOSSES[str(self.loss), self.output]

    @property
    def target_columns(self):
        """Columns of the target: a class's number under softmax, else one an output."""
        return 1 if self.output == "softmax" else self.sizes[-1]


class Layout(NamedTuple):
    """Offsets of the layers' parameters in the flat vector.

    Attributes
    ----------
    weights, biases : list of int
        First element of each layer's weights and biases.
    size : int
        Length of the vector.
    """

    weights: list[int]
    biases: list[int]
    size: int


def layout(network):
    """Layout of the parameters of a network."""
    ends = np.cumsum([0] + [i * o for i, o in network.shapes] + list(network.sizes[1:]))
    n_layers = len(network.shapes)
    starts = ends.tolist()
    return Layout(starts[:n_layers], starts[n_layers:-1], starts[-1])


def views(network, vector):
    """Each layer's weights and biases as views on a flat vector.

    Returns
    -------
    coefs : list of ndarray of shape (fan_in, fan_out)
    intercepts : list of ndarray of shape (fan_out,)
    """
    places = layout(network)
    coefs = [
        vector[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
        for start, (fan_in, fan_out) in zip(places.weights, network.shapes, strict=True)
    ]
    intercepts = [
        vector[start : start + units]
        for start, units in zip(places.biases, network.sizes[1:], strict=True)
    ]
    return coefs, intercepts


def pack(coefs, intercepts, dtype):
    """A new flat vector that holds the given weights and biases."""
    parts = [np.asarray(part).ravel() for part in (*coefs, *intercepts)]
    return np.concatenate(parts).astype(dtype, copy=False)


def joined(coefs, intercepts, dtype):
    """The flat vector of some weights and biases, without a copy where they share it.

    Returns
    -------
    ndarray
        Only to be read: it may be the vector that `coefs` are views on.
    """
    vector = getattr(coefs[0], "base", None)
    parts = (*coefs, *intercepts)
    if (
        isinstance(vector, np.ndarray)
        and vector.dtype == dtype
        and vector.flags.c_contiguous
        and vector.size == sum(part.size for part in parts)
        and _consecutive(parts, vector)
    ):
        return vector
    return pack(coefs, intercepts, dtype)


def _consecutive(parts, vector):
    """Whether contiguous views on a vector follow each other from its beginning."""
    address = vector.__array_interface__["data"][0]
    for part in parts:
        if part.base is not vector or not part.flags.c_contiguous:
            return False
        if part.__array_interface__["data"][0] != address:
            return False
        address += part.nbytes
    return True


def initialise(network, ranges, generator, dtype):
    """Draw initial parameters.

    Weights, then biases, layer by layer, from the uniform distribution of Glorot and
    Bengio (2010); the order of the draws is scikit-learn's, so that a seed gives the
    same network.

    Parameters
    ----------
    network : Network
    ranges : sequence of str
        For each layer, the activation whose range its parameters are drawn from.
    generator : numpy.random.RandomState
    dtype : numpy dtype

    Returns
    -------
    ndarray of shape (layout(network).size,)
    """
    vector = np.empty(layout(network).size, dtype=dtype)
    for coef, intercept, name in zip(*views(network, vector), ranges, strict=True):
        limit = np.sqrt(ACTIVATIONS[name].bound / sum(coef.shape))
        coef[:] = generator.uniform(-limit, limit, coef.shape)
        intercept[:] = generator.uniform(-limit, limit, intercept.shape)
    return vector
