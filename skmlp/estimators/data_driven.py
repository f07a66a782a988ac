"""Data-driven initial weights: preactivations of variance one, kinks among the data.

The start of RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default",
NeurIPS 2024). A unit's weights are normal and scaled so that its preactivation has
variance one on the training rows. Its bias is minus a random convex combination of the
preactivations of a few rows, hence the unit bends where data lie. The output layer is
zero: the first step decides its direction.
"""

import numpy as np

from skmlp.estimators.data import canonical_x
from skmlp.forks import DRAWING
from skmlp.network import (
    Network,
    embedding_part,
    init_params_beside_layers,
    pack,
    views,
)
from skmlp.rules.activations import IDENTITY

# Rows that the spread is measured on.
_MAX_ROWS = 1024
# Rows that a unit's bias is a combination of.
_ROWS_OF_BIAS = 5


def data_driven_params(network, sample, outputs, generator):
    """Initial parameters of a network for some training data.

    Parameters
    ----------
    network : Network
    sample : Sample
        The training data, in the dtype of the training.
    outputs : callable
        ``outputs`` of a `skmlp.backends.Backend`.
    generator : numpy.random.RandomState

    Returns
    -------
    ndarray
        Flat vector.
    """
    dtype = sample.x.dtype
    vector = init_params_beside_layers(network, generator, dtype)
    coefs, intercepts = views(network, vector)
    chosen = generator.permutation(sample.row_ids)[:_MAX_ROWS]
    values = canonical_x(sample.x[np.sort(chosen)], dtype)
    if network.embedding is not None:
        part = embedding_part(network, vector)
        values = network.embedding.inputs(values, part)
    hidden = zip(coefs, intercepts, network.activations, strict=False)
    for weights, biases, activation in hidden:
        with DRAWING:
            weights[:] = generator.standard_normal(weights.shape)
        linear = _layer(values, weights, np.zeros_like(biases), IDENTITY, outputs)
        spread = linear.std(axis=0, dtype=np.float64)
        inverse = 1.0 / np.where(spread > 0, spread, 1.0)
        weights *= inverse
        biases[:] = -_convex_combinations(linear * inverse, generator)
        values = _layer(values, weights, biases, activation, outputs)
    return vector


def _convex_combinations(linear, generator):
    """For each unit a random convex combination of its preactivations of some rows."""
    n_rows, units = linear.shape
    with DRAWING:
        rows = generator.randint(n_rows, size=(_ROWS_OF_BIAS, units))
        shares = generator.standard_exponential((_ROWS_OF_BIAS, units))
    shares /= shares.sum(axis=0)
    return np.sum(shares * linear[rows, np.arange(units)], axis=0)


def _layer(values, weights, biases, activation, outputs):
    """Outputs of one layer on its own."""
    network = Network(weights.shape, (), loss=None, output=activation)
    params = pack([weights], [biases], weights.dtype)
    return outputs(network, params, values, activation, 1)[0]
