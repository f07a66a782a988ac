"""The network as data: what it is made of and where its parameters lie.

All parameters live in one flat vector, first every layer's weights (fan_in rows of
fan_out, C order), then every layer's biases: the order in which scikit-learn packs
them. One vector means one optimizer loop, one compiled kernel for every architecture,
and L-BFGS for free; `coefs_` and `intercepts_` are views on it.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skmlp.rules.activations import Activation, activation_rule
from skmlp.rules.losses import Loss


class Network(NamedTuple):
    """A multi-layer perceptron without its parameters.

    Attributes
    ----------
    sizes : tuple of int
        Units of every layer, from the features to the outputs; two at least.
    activations : tuple of str or Activation
        Activation of each hidden layer, ``len(sizes) - 2`` of them.
    loss : Loss or None
        None for a network that only predicts.
    output : str
        Name of the output activation.
    loss_parameters : tuple of float, default=(0.0,)
        What the loss's parameter is; without one, the share of label smoothing.
    intercepts : bool, default=True
        Whether biases are trained; else they stay as they are.
    """

    sizes: tuple[int, ...]
    activations: tuple[str | Activation, ...]
    loss: Loss | None
    output: str
    loss_parameters: tuple[float, ...] = (0.0,)
    intercepts: bool = True

    @property
    def shapes(self):
        """Shapes (fan_in, fan_out) of the layers' weights."""
        return list(pairwise(self.sizes))

    @property
    def target_columns(self):
        """Columns of the target."""
        loss = self.loss
        if loss is None:
            raise ValueError("A network that only predicts has no targets.")
        if loss.labels or loss.outputs_per_target == 0:
            return 1
        return self.sizes[-1] // loss.outputs_per_target

    @property
    def rules(self):
        """Rows of the hidden layers' activations."""
        return [activation_rule(activation) for activation in self.activations]


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
