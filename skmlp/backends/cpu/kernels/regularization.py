"""Loops that only some trainings need: dropout, noise, limits of norms.

Each is compiled when it is first used and called by its address, like the rules' loops
(see `skmlp.compiler.jit`), so that a training without them neither compiles nor runs
them.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.intrinsics import flat
from skmlp.backends.cpu.kernels.elementwise import Kinds, address_of
from skmlp.compiler import jit
from skmlp.rules import randomness
from skmlp.rules.randomness import (
    is_kept,
    key_of,
    normal_of,
    threshold_of,
    word_of,
)

call_drop = jit.caller(types.int64)
call_noise = jit.caller(types.int64)
call_penalize = jit.caller(types.float64)
call_limit = jit.caller(types.int64)

for helper in randomness.HELPERS:
    jit.register_overload(helper)


class Extras(NamedTuple):
    """What only some trainings have; addresses are 0 for what a training has not.

    Attributes
    ----------
    seed : int
    drop, drop_to : int
        Addresses of dropout.
    thresholds : ndarray of uint32
        Of each hidden layer's dropout.
    factors : ndarray
        One over the share that each hidden layer keeps.
    noise : int
        Address of `_noise`.
    deviation : float
        Of the noise.
    penalize : int
        Address of `_penalize`, where any norm is limited.
    max_grad_norm : float
    limit : int
        Address of `_limit_columns`, where norms of weights are limited.
    max_norm : float
    """

    seed: int
    drop: int
    drop_to: int
    thresholds: np.ndarray
    factors: np.ndarray
    noise: int
    deviation: float
    penalize: int
    max_grad_norm: float
    limit: int
    max_norm: float


def _drop(values, keys, first_row, threshold, factor):
    """Multiply by the factor what is kept, the rest by zero."""
    key = key_of(keys[0], keys[1], keys[2])
    zero = type(factor)(0)
    block = flat(values)
    number = np.uint32(first_row * values.shape[1])
    for e in range(block.shape[0]):
        block[e] *= factor if is_kept(key, number, threshold) else zero
        number = np.uint32(number + np.uint32(1))
    return 0


def _drop_to(source, out, keys, first_row, threshold, factor):
    """As `_drop`, from memory to other memory."""
    key = key_of(keys[0], keys[1], keys[2])
    zero = type(factor)(0)
    block, target = flat(source), flat(out)
    number = np.uint32(first_row * source.shape[1])
    for e in range(block.shape[0]):
        target[e] = block[e] * (factor if is_kept(key, number, threshold) else zero)
        number = np.uint32(number + np.uint32(1))
    return 0


def _noise(x, keys, first_row, deviation):
    """Add normal noise to a block of X."""
    key = key_of(keys[0], keys[1], keys[2])
    block = flat(x)
    number = np.uint32(first_row * x.shape[1])
    for e in range(block.shape[0]):
        block[e] += normal_of(word_of(key, number), deviation)
        number = np.uint32(number + np.uint32(1))
    return 0


def _penalize(gradient, parameters, decay, squares):
    """Add the penalty's gradient; the sums of squares of parameters and gradient."""
    of_parameters, of_gradient = 0.0, 0.0
    for i in range(gradient.shape[0]):
        of_parameters += parameters[i] * parameters[i]
        gradient[i] += decay * parameters[i]
        of_gradient += gradient[i] * gradient[i]
    squares[0] = of_gradient
    return of_parameters


def _limit_columns(weights, norms, largest):
    """Shrink every column of a matrix to a Euclidean norm; `norms` is scratch."""
    rows, columns = weights.shape
    for j in range(columns):
        norms[j] = 0
    for i in range(rows):
        for j in range(columns):
            norms[j] += weights[i, j] * weights[i, j]
    for j in range(columns):
        norm = np.sqrt(norms[j])
        norms[j] = largest / norm if norm > largest else 1
    for i in range(rows):
        for j in range(columns):
            weights[i, j] *= norms[j]
    return 0


@functools.cache
def _signatures(dtype):
    """Signatures of the loops in one dtype, by function."""
    kinds = Kinds(dtype)
    keys = types.UniTuple(types.int64, 3)
    scalar, vector, matrix = kinds.scalar, kinds.vector, kinds.matrix
    drops = (keys, types.int64, types.uint32, scalar)
    double = types.Array(types.float64, 1, "C")
    return {
        _drop: types.int64(matrix, *drops),
        _drop_to: types.int64(matrix, matrix, *drops),
        _noise: types.int64(matrix, keys, types.int64, scalar),
        _penalize: types.float64(vector, vector, scalar, double),
        _limit_columns: types.int64(matrix, vector, scalar),
    }


def extras_of(regularization, dtype):
    """What a training has beside the network, ready for its kernels.

    Parameters
    ----------
    regularization : skmlp.backends.Regularization
    dtype : numpy dtype

    Returns
    -------
    Extras
    """

    def address(function, wanted):
        if not wanted:
            return 0
        name = f"{__name__}.{function.__name__}"
        return address_of(function, name, _signatures(dtype)[function])

    rates = np.array(regularization.dropout, dtype=np.float64)
    drops = bool(np.any(rates > 0))
    limits = (regularization.max_grad_norm, regularization.max_norm)
    limited = bool(np.isfinite(limits).any())
    return Extras(
        seed=regularization.seed,
        drop=address(_drop, drops),
        drop_to=address(_drop_to, drops),
        thresholds=np.array([threshold_of(rate) for rate in rates], dtype=np.uint32),
        factors=(1.0 / (1.0 - rates)).astype(dtype),
        noise=address(_noise, regularization.input_noise > 0),
        deviation=regularization.input_noise,
        penalize=address(_penalize, limited),
        max_grad_norm=regularization.max_grad_norm,
        limit=address(_limit_columns, np.isfinite(regularization.max_norm)),
        max_norm=regularization.max_norm,
    )
