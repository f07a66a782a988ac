"""What the reference backend draws: dropout and noise, by the index of a step."""

import numpy as np

from skmlp.rules.randomness import (
    is_kept,
    key_of,
    normal_of,
    threshold_of,
    word_of,
)


def _indices(shape):
    """The indices of a batch's elements, as words."""
    return np.arange(np.prod(shape), dtype=np.uint32)


def dropout_factors(network, dropout, seed, step_index, n):
    """0 for units that are dropped, else one over the probability to be kept.

    For each hidden layer an array of a batch's `n` rows.
    """
    factors = []
    for layer, rate in enumerate(dropout):
        shape = (n, network.sizes[layer + 1])
        with np.errstate(over="ignore"):
            key = key_of(seed, step_index, layer + 1)
            kept = is_kept(key, _indices(shape), threshold_of(rate))
        factors.append(kept.reshape(shape) / (1.0 - rate))
    return factors


def noise(regularization, step_index, shape):
    """Normal noise for a batch of X."""
    deviation = np.float64(regularization.input_noise)
    with np.errstate(over="ignore"):
        words = word_of(key_of(regularization.seed, step_index, 0), _indices(shape))
        return np.array([normal_of(word, deviation) for word in words]).reshape(shape)
