"""A network and its rules, in the form that kernels and their makers take."""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.kernels.structs import Extras, Net
from skmlp.backends.cuda.runtime.jit import SIMULATED
from skmlp.backends.cuda.runtime.memory import upload
from skmlp.network import layout
from skmlp.rules.randomness import threshold_of

_SIMULATED_PROCESSORS = 3


def n_processors():
    """Multiprocessors of the current device."""
    if SIMULATED:
        return _SIMULATED_PROCESSORS
    return cuda.get_current_device().MULTIPROCESSOR_COUNT


def distinct_activations(network):
    """A network's hidden activations, each once, softmax excepted."""
    rows = [row for row in network.activation_rows if row.value is not None]
    return tuple(dict.fromkeys(rows))


def codes_of(network):
    """Each hidden layer's number among `distinct_activations`; -1 for softmax."""
    numbers = {row: i for i, row in enumerate(distinct_activations(network))}
    return [numbers.get(row, -1) for row in network.activation_rows]


def net_of(network, dtype):
    """The network for kernels."""
    offsets = layout(network)
    by_input = [int(row.needs_preactivation) for row in network.activation_rows]
    numbers = (
        *(network.sizes, offsets.weight_offsets, offsets.bias_offsets),
        *(offsets.scale_offsets, offsets.mean_offsets, offsets.variance_offsets),
        *(codes_of(network), by_input),
    )
    parts = [upload(np.array(part, dtype=np.int64)) for part in numbers]
    parts.append(upload(np.array(network.loss_parameters, dtype=dtype)))
    return Net._make(parts)


def spec_of(network, dtype, tile, **others):
    """What kernels for a network are compiled for; `others` are fields of `Spec`."""
    return Spec(
        dtype=np.dtype(dtype),
        tile=tile,
        activations=distinct_activations(network),
        softmax=any(row.value is None for row in network.activation_rows),
        loss=network.loss,
        normalization=network.normalization,
        intercepts=network.intercepts,
        **others,
    )


def extras_of(regularization, dtype):
    """Regularization for kernels; None for predictions."""
    kind = np.dtype(dtype).type
    none = upload(np.zeros(0, dtype=np.int64)), upload(np.zeros(0, dtype=dtype))
    if regularization is None:
        return Extras(0, *none, kind(0), kind(np.inf), kind(np.inf))
    rates = np.array(regularization.dropout, dtype=np.float64)
    thresholds = np.array([threshold_of(rate) for rate in rates], dtype=np.int64)
    return Extras(
        regularization.seed,
        upload(thresholds),
        upload((1.0 / (1.0 - rates)).astype(dtype)),
        kind(regularization.input_noise),
        kind(regularization.max_grad_norm),
        kind(regularization.max_norm),
    )
