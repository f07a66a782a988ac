"""Losses of raw outputs that are there already, on the CPU."""

import numpy as np

from skmlp.backends.cpu.binding import read_only
from skmlp.backends.cpu.kernels import elementwise, losses, predict
from skmlp.rules.activations import activation_rule

# Rows whose losses are computed at once.
_MOST_ROWS = 1024


def evaluate(network, raw, targets, weights):
    """Mean loss of raw outputs, and their predictions."""
    n_rows, columns = raw.shape
    dtype = raw.dtype
    if weights is None:
        weights = np.zeros(0, dtype=dtype)
        total_weight = float(n_rows)
    else:
        total_weight = float(weights.sum(dtype=np.float64))
    size = min(_MOST_ROWS, n_rows) * columns
    predictions = np.empty_like(raw)
    total = np.zeros(1)
    output = activation_rule(network.output)
    predict.evaluate(
        (
            elementwise.activation(output, dtype, in_place=True),
            losses.loss(network.loss, dtype),
        ),
        read_only(raw),
        (read_only(targets), read_only(weights), read_only(np.arange(n_rows))),
        (np.empty(size, dtype=dtype), np.empty(size, dtype=dtype)),
        predictions,
        np.array(network.loss_params, dtype=dtype),
        total,
    )
    return float(total[0]) / total_weight, predictions


def row_losses(network, raw, targets):
    """Loss of each row of raw outputs."""
    n_rows, columns = raw.shape
    dtype = raw.dtype
    result = np.empty(n_rows)
    no_weights = np.zeros(0, dtype=dtype)
    predict.row_losses(
        losses.loss(network.loss, dtype),
        read_only(raw),
        (read_only(targets), read_only(no_weights), read_only(np.arange(n_rows))),
        (np.empty(columns, dtype=dtype), np.empty(columns, dtype=dtype)),
        np.array(network.loss_params, dtype=dtype),
        result,
    )
    return result
