"""Layer normalization: loops over the rows of a hidden layer's preactivation.

They are compiled when first used and called by address, as in `regularization`.
"""

import functools

import numpy as np
from numba import types

from skmlp.backends.cpu.kernels.elementwise import LoopTypes, address_of
from skmlp.compiler import jit
from skmlp.rules.normalization import EPSILON

call_layer_norm = jit.caller(types.int64)
call_layer_norm_backward = jit.caller(types.int64)


def _layer_norm(z, bias, scale, normalized, inv_stds):
    """Normalize rows of z to `normalized`, and set z to them, scaled and shifted.

    `inv_stds` receives the factor of each row.
    """
    T = type(z[0, 0])
    rows, columns = z.shape
    for i in range(rows):
        mean = T(0)
        for j in range(columns):
            mean += z[i, j]
        mean /= columns
        squares = T(0)
        for j in range(columns):
            squares += (z[i, j] - mean) * (z[i, j] - mean)
        inv_std = T(1) / np.sqrt(squares / columns + T(EPSILON))
        inv_stds[i] = inv_std
        for j in range(columns):
            value = (z[i, j] - mean) * inv_std
            normalized[i, j] = value
            z[i, j] = value * scale[j] + bias[j]
    return 0


def _layer_norm_predict(z, bias, scale):
    """As `_layer_norm`, for predictions: stores nothing for a backward pass."""
    T = type(z[0, 0])
    rows, columns = z.shape
    for i in range(rows):
        mean = T(0)
        for j in range(columns):
            mean += z[i, j]
        mean /= columns
        squares = T(0)
        for j in range(columns):
            squares += (z[i, j] - mean) * (z[i, j] - mean)
        inv_std = T(1) / np.sqrt(squares / columns + T(EPSILON))
        for j in range(columns):
            z[i, j] = (z[i, j] - mean) * inv_std * scale[j] + bias[j]
    return 0


def _layer_norm_backward(delta, scale, normalized, inv_stds, scale_grad):
    """Deltas by the layer's preactivation, in place, and the gradient of the scales."""
    T = type(delta[0, 0])
    rows, columns = delta.shape
    for j in range(columns):
        scale_grad[j] = 0
    for i in range(rows):
        mean, product_mean = T(0), T(0)
        for j in range(columns):
            scale_grad[j] += delta[i, j] * normalized[i, j]
            delta[i, j] *= scale[j]
            mean += delta[i, j]
            product_mean += delta[i, j] * normalized[i, j]
        mean /= columns
        product_mean /= columns
        for j in range(columns):
            delta[i, j] = inv_stds[i] * (
                delta[i, j] - mean - normalized[i, j] * product_mean
            )
    return 0


@functools.cache
def layer_norm_loops(dtype):
    """Addresses of the loops: forward, forward in predictions, and backward."""
    loop_types = LoopTypes(dtype)
    vector, matrix = loop_types.vector, loop_types.matrix
    signatures = {
        _layer_norm: types.int64(matrix, vector, vector, matrix, vector),
        _layer_norm_predict: types.int64(matrix, vector, vector),
        _layer_norm_backward: types.int64(matrix, vector, matrix, vector, vector),
    }
    return tuple(
        address_of(loop, f"{__name__}.{loop.__name__}", signature)
        for loop, signature in signatures.items()
    )
