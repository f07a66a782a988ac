"""Loops that normalize hidden layers, for networks that have them.

They are compiled when first used and called by address, as in `extras`.
"""

import functools

import numpy as np
from numba import types

from skmlp.backends.cpu.kernels.elementwise import Kinds, address_of
from skmlp.compiler import jit
from skmlp.rules.normalization import EPSILON

call_norm = jit.caller(types.int64)
call_back = jit.caller(types.int64)


def _layer_norm(z, bias, scale, normed, inverses):
    """Normalize rows to `normed`, scaled and shifted to `z`; what multiplied them."""
    kind = type(z[0, 0])
    rows, columns = z.shape
    for i in range(rows):
        mean = kind(0)
        for j in range(columns):
            mean += z[i, j]
        mean /= columns
        squares = kind(0)
        for j in range(columns):
            squares += (z[i, j] - mean) * (z[i, j] - mean)
        inverse = kind(1) / np.sqrt(squares / columns + kind(EPSILON))
        inverses[i] = inverse
        for j in range(columns):
            value = (z[i, j] - mean) * inverse
            normed[i, j] = value
            z[i, j] = value * scale[j] + bias[j]
    return 0


def _layer_norm_in_place(z, bias, scale):
    """As `_layer_norm`, for predictions: no way back."""
    kind = type(z[0, 0])
    rows, columns = z.shape
    for i in range(rows):
        mean = kind(0)
        for j in range(columns):
            mean += z[i, j]
        mean /= columns
        squares = kind(0)
        for j in range(columns):
            squares += (z[i, j] - mean) * (z[i, j] - mean)
        inverse = kind(1) / np.sqrt(squares / columns + kind(EPSILON))
        for j in range(columns):
            z[i, j] = (z[i, j] - mean) * inverse * scale[j] + bias[j]
    return 0


def _layer_back(delta, scale, normed, inverses, sums):
    """Deltas by a layer's inputs in place; `sums` are the scales' gradient."""
    kind = type(delta[0, 0])
    rows, columns = delta.shape
    for j in range(columns):
        sums[j] = 0
    for i in range(rows):
        mean, share = kind(0), kind(0)
        for j in range(columns):
            sums[j] += delta[i, j] * normed[i, j]
            delta[i, j] *= scale[j]
            mean += delta[i, j]
            share += delta[i, j] * normed[i, j]
        mean /= columns
        share /= columns
        for j in range(columns):
            delta[i, j] = inverses[i] * (delta[i, j] - mean - normed[i, j] * share)
    return 0


@functools.cache
def layer_loops(dtype):
    """Addresses of the loops forward, forward in predictions, and backward."""
    kinds = Kinds(dtype)
    vector, matrix = kinds.vector, kinds.matrix
    signatures = {
        _layer_norm: types.int64(matrix, vector, vector, matrix, vector),
        _layer_norm_in_place: types.int64(matrix, vector, vector),
        _layer_back: types.int64(matrix, vector, matrix, vector, vector),
    }
    return tuple(
        address_of(loop, f"{__name__}.{loop.__name__}", signature)
        for loop, signature in signatures.items()
    )
