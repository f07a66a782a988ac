"""Factors of the learning rate by layer, from the parameters to segments."""

import numpy as np

from skmlp.segments import segments_of

# Of layers whose weights are divided by the root of their fan-in.
NTK = "ntk"


def rate_segments(estimator, network):
    """Segments of a network's parameters, by an estimator's factors.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network

    Returns
    -------
    tuple of skmlp.segments.Segment
        Empty where no factor is set.

    Raises
    ------
    ValueError
        For factors that are not one a layer, or not positive.
    """
    factors = estimator.learning_rate_factors
    biases = float(estimator.bias_learning_rate_factor)
    embedding = float(estimator.embedding_learning_rate_factor)
    if factors is None and biases == embedding == 1.0:
        return ()
    return segments_of(network, _weight_rates(factors, network), biases, embedding)


def _weight_rates(factors, network):
    """Factor of each layer's weights; none without factors."""
    if factors is None:
        return ()
    fan_ins = network.sizes[:-1]
    if isinstance(factors, str):
        return [1.0 / np.sqrt(fan_in) for fan_in in fan_ins]
    try:
        array = np.asarray(factors)
    except ValueError:  # a ragged list
        array = np.empty(0, dtype=object)
    if array.ndim != 1 or len(array) != len(fan_ins):
        n_given = f"{len(array)}: " if array.ndim == 1 and len(array) else ""
        raise ValueError(
            f"learning_rate_factors must be {NTK!r}, None or a list of {len(fan_ins)} "
            f"factors, one a layer, the output layer included, got {n_given}"
            f"{factors!r}."
        )
    is_numeric = array.dtype.kind in "fiu"
    if not (is_numeric and np.all((array > 0) & np.isfinite(array))):
        raise ValueError(
            "learning_rate_factors must be positive and finite numbers, got "
            f"{factors!r}."
        )
    return array.tolist()
