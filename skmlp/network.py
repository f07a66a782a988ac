"""The network as data: its layers and the layout of its parameters.

All parameters live in one flat vector, first every layer's weights (fan_in rows of
fan_out, C order), then every layer's biases: the order in which scikit-learn packs
them. One vector means one optimizer loop, one compiled kernel for every architecture,
and L-BFGS for free; `coefs_` and `intercepts_` are views on it.

Where the hidden layers are normalized, their scales follow; then the matrices of an
embedding of the features; after those the running means and variances. Running
statistics are not trained, but keeping them in the vector makes checkpoints, warm
starts and the check for divergence cover them for free.
"""

import functools
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from skmlp.embedding import Embedding, init_embedding
from skmlp.rules.activations import Activation, activation_rule
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.loss_row import LossRow
from skmlp.rules.normalization import EPSILON


class Network(NamedTuple):
    """A multi-layer perceptron without its parameters.

    Attributes
    ----------
    sizes : tuple of int
        Units of every layer, from the features to the outputs; two at least.
    activations : tuple of str or Activation
        Activation of each hidden layer, ``len(sizes) - 2`` of them.
    loss : LossRow or None
        None for a network that only predicts.
    output : str
        Name of the output activation.
    loss_params : tuple of float, default=(0.0,)
        Values of the loss's parameters and, behind them, of label smoothing.
    intercepts : bool, default=True
        Whether biases are trained; else they stay unchanged.
    normalization : {'batch', 'layer'} or None, default=None
        Normalization of the hidden layers' preactivations: over the rows of a minibatch
        (Ioffe and Szegedy, 2015) or the units of a layer (Ba et al., 2016). The biases
        are added, and the scales multiplied, after it.
    embedding : skmlp.embedding.Embedding or None, default=None
        Of the features; the first size is then its width.
    """

    sizes: tuple[int, ...]
    activations: tuple[str | Activation, ...]
    loss: LossRow | None
    output: str
    loss_params: tuple[float, ...] = (0.0,)
    intercepts: bool = True
    normalization: str | None = None
    embedding: Embedding | None = None

    @property
    def n_features(self):
        """Columns of X."""
        return self.sizes[0] if self.embedding is None else self.embedding.n_features

    @property
    def shapes(self):
        """Shapes (fan_in, fan_out) of the layers' weights."""
        return list(pairwise(self.sizes))

    @property
    def target_columns(self):
        """Columns of the target."""
        if self.loss is None:
            raise ValueError("A network that only predicts has no targets.")
        return self.loss.target_columns(self.sizes[-1], len(self.loss_params))

    @property
    def activation_rows(self):
        """Rows of the hidden layers' activations."""
        return [activation_rule(activation) for activation in self.activations]


class Layout(NamedTuple):
    """Offsets of the layers' parameters in the flat vector.

    Attributes
    ----------
    weight_offsets, bias_offsets : tuple of int
        First element of each layer's weights and biases.
    size : int
        Length of the vector.
    scale_offsets, mean_offsets, variance_offsets : tuple of int
        First element of each hidden layer's scales and running statistics; empty in a
        network without them.
    embedding_offset : int
        First element of the embedding's matrices; the others are behind it.
    n_trained : int
        Number of elements that an optimizer changes, from the beginning.
    """

    weight_offsets: tuple[int, ...]
    bias_offsets: tuple[int, ...]
    size: int
    scale_offsets: tuple[int, ...]
    mean_offsets: tuple[int, ...]
    variance_offsets: tuple[int, ...]
    embedding_offset: int
    n_trained: int


# Vectors per hidden layer, by normalization: scales, running means and variances.
_VECTORS = {None: 0, "layer": 1, "batch": 3}


def layout(network):
    """Layout of the parameters of a network."""
    n_embedding = 0 if network.embedding is None else network.embedding.n_params
    return _layout(network.sizes, _VECTORS[network.normalization], n_embedding)


# Called a dozen times per fit.
@functools.lru_cache(maxsize=256)
def _layout(sizes, n_vectors, n_embedding):
    """Layout by the layers' sizes and the number of vectors of normalization."""
    n_layers, hidden = len(sizes) - 1, sizes[1:-1]
    lengths = [fan_in * fan_out for fan_in, fan_out in pairwise(sizes)]
    # The scales, then the embedding, then what is not trained.
    lengths += [*sizes[1:], *(hidden * min(n_vectors, 1)), n_embedding]
    lengths += hidden * max(n_vectors - 1, 0)
    *offsets, size = (0, *accumulate(lengths))
    embedding = offsets.pop(2 * n_layers + len(hidden) * min(n_vectors, 1))
    vectors = offsets[2 * n_layers :]
    scales, means, variances = (
        tuple(vectors[n * len(hidden) : (n + 1) * len(hidden)]) for n in range(3)
    )
    return Layout(
        weight_offsets=tuple(offsets[:n_layers]),
        bias_offsets=tuple(offsets[n_layers : 2 * n_layers]),
        size=size,
        scale_offsets=scales,
        mean_offsets=means,
        variance_offsets=variances,
        embedding_offset=embedding,
        n_trained=embedding + n_embedding,
    )


def views(network, vector):
    """Each layer's weights and biases as views on a flat vector.

    Returns
    -------
    coefs : list of ndarray of shape (fan_in, fan_out)
    intercepts : list of ndarray of shape (fan_out,)
    """
    offsets = layout(network)
    coefs = [
        vector[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
        for start, (fan_in, fan_out) in zip(
            offsets.weight_offsets, network.shapes, strict=True
        )
    ]
    intercepts = [
        vector[start : start + units]
        for start, units in zip(offsets.bias_offsets, network.sizes[1:], strict=True)
    ]
    return coefs, intercepts


class NormState(NamedTuple):
    """Each hidden layer's scales and running statistics; empty where there are none."""

    scales: list[np.ndarray]
    means: list[np.ndarray]
    variances: list[np.ndarray]

    @property
    def parts(self):
        """All of them in the order of the flat vector."""
        return [*self.scales, *self.means, *self.variances]


def norm_state(network, vector):
    """Scales and running statistics as views on a flat vector.

    Returns
    -------
    NormState
    """
    offsets = layout(network)

    def views_at(starts):
        return [
            vector[start : start + units]
            for start, units in zip(starts, network.sizes[1:-1], strict=False)
        ]

    return NormState(
        scales=views_at(offsets.scale_offsets),
        means=views_at(offsets.mean_offsets),
        variances=views_at(offsets.variance_offsets),
    )


def embedding_part(network, vector):
    """The embedding's parameters as a view on a flat vector; empty without."""
    offsets = layout(network)
    return vector[offsets.embedding_offset : offsets.n_trained]


def scales(network, vector):
    """Each hidden layer's scales as views on a flat vector."""
    return norm_state(network, vector).scales


def init_norm_state(network, vector):
    """Set scales and variances to one, means to zero; returns the vector."""
    state = norm_state(network, vector)
    for part in (*state.scales, *state.variances):
        part[:] = 1
    for part in state.means:
        part[:] = 0
    return vector


def initializers_of(network, weight_init, last):
    """The initializer of every layer, as rows of the table.

    Parameters
    ----------
    network : Network
    weight_init : str
        'auto' for the initializers of the layers' activations, or a name for all
        layers.
    last : str or Activation
        The activation whose initializer the output layer has; in scikit-learn that of
        the hidden layers.
    """
    if weight_init != "auto":
        return [INITIALIZERS[weight_init]] * len(network.shapes)
    activations = (*network.activations, last)
    return [
        INITIALIZERS[activation_rule(activation).init] for activation in activations
    ]


def init_params(network, initializers, generator, dtype):
    """Draw the initial parameters of a network.

    Weights, then biases, layer by layer: the order of the draws is scikit-learn's, so
    that a seed gives the same network.

    Parameters
    ----------
    network : Network
    initializers : sequence of Initializer
        One per layer.
    generator : numpy.random.RandomState
    dtype : numpy dtype

    Returns
    -------
    ndarray of shape (layout(network).size,)
    """
    vector = init_params_beside_layers(network, generator, dtype)
    for coef, intercept, initializer in zip(
        *views(network, vector), initializers, strict=True
    ):
        coef[:] = initializer.draw(generator, *coef.shape, coef.shape)
        if initializer.biases:
            intercept[:] = initializer.draw(generator, *coef.shape, intercept.shape)
    return vector


def init_params_beside_layers(network, generator, dtype):
    """Initial parameters of normalization and embedding; all others are zero."""
    vector = init_norm_state(network, np.zeros(layout(network).size, dtype=dtype))
    if network.embedding is not None:
        part = embedding_part(network, vector)
        init_embedding(network.embedding, part, generator)
    return vector


def fold_batch_norm(network, vector):
    """Fold the running statistics into weights and biases, for predictions.

    Returns
    -------
    network : Network
        Without batch normalization.
    vector : ndarray
        Its parameters; the argument where there is nothing to fold.
    """
    if network.normalization != "batch":
        return network, vector
    plain = network._replace(normalization=None)
    out = vector[: layout(plain).size].copy()
    coefs, intercepts = views(plain, out)
    hidden = zip(*norm_state(network, vector), coefs, intercepts, strict=False)
    for scale, mean, variance, coef, intercept in hidden:
        slope = scale / np.sqrt(variance.astype(np.float64) + EPSILON)
        coef *= slope
        intercept -= mean * slope
    return plain, out


def pack(coefs, intercepts, dtype, norms=()):
    """A new flat vector of weights, biases and `NormState.parts`."""
    parts = [np.asarray(part).ravel() for part in (*coefs, *intercepts, *norms)]
    return np.concatenate(parts).astype(dtype, copy=False)


def shared_vector(parts, dtype):
    """The memory of arrays that follow each other without a gap, as one vector.

    Only their addresses count: the array that owns the memory may be longer and of
    another dtype, as the buffer that a session aligns.

    Returns
    -------
    ndarray or None
        None unless the parts are contiguous views of that dtype on one array.
    """
    base = getattr(parts[0], "base", None)
    if not isinstance(base, np.ndarray) or not base.flags.c_contiguous:
        return None
    start = end = _address(parts[0])
    for part in parts:
        if (
            getattr(part, "base", None) is not base
            or part.dtype != dtype
            or not (part.flags.c_contiguous and part.flags.aligned)
            or _address(part) != end
        ):
            return None
        end += part.nbytes
    offset = start - _address(base)
    memory = np.asarray(base).reshape(-1).view(np.uint8)
    return memory[offset : offset + end - start].view(dtype)


def _address(array):
    return array.__array_interface__["data"][0]
