"""Loops that only some fits need: dropout, input noise, gradient clipping, max-norm.

Each is compiled when it is first used and called by its address, like the loops of
rules (see `skmlp.compiler.jit`): a fit without them neither compiles nor runs them.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import types

from skmlp.backends.cpu.intrinsics import flat
from skmlp.backends.cpu.kernels.elementwise import LoopTypes, address_of
from skmlp.compiler import jit
from skmlp.rules import randomness
from skmlp.rules.randomness import (
    is_kept,
    key_of,
    normal_of,
    threshold_of,
    word_of,
)

call_dropout = jit.caller(types.int64)
call_noise = jit.caller(types.int64)
call_add_l2 = jit.caller(types.float64)
call_max_norm = jit.caller(types.int64)

for helper in randomness.HELPERS:
    jit.register_overload(helper)


class RegularizationDesc(NamedTuple):
    """Regularization in the form that kernels read; unused loops have address 0.

    Attributes
    ----------
    seed : int
    dropout_fn, dropout_to_fn : int
        Addresses of dropout, in place and to other memory.
    thresholds : ndarray of uint32
        Dropout threshold of each hidden layer, step by step where they change.
    factors : ndarray
        One over the fraction of outputs that each hidden layer retains, likewise.
    first_step : int
        Index of the step that these begin with.
    step_stride : int
        Elements from one step to the next: the hidden layers, or 0 without a schedule.
    first_row : int
        Row of the minibatch that is this session's first, by which is drawn.
    noise_fn : int
        Address of `_add_noise`.
    noise_std : float
    add_l2_fn : int
        Address of `_add_l2`, where gradients are clipped or norms constrained.
    max_grad_norm : float
    max_norm_fn : int
        Address of `_apply_max_norm`, where norms of weights are constrained.
    max_norm : float
    """

    seed: int
    dropout_fn: int
    dropout_to_fn: int
    thresholds: np.ndarray
    factors: np.ndarray
    first_step: int
    step_stride: int
    first_row: int
    noise_fn: int
    noise_std: float
    add_l2_fn: int
    max_grad_norm: float
    max_norm_fn: int
    max_norm: float


def _dropout(values, key, first_row, threshold, factor):
    """Inverted dropout in place: retained values times the factor, others zero."""
    stream = key_of(key[0], key[1], key[2])
    zero = type(factor)(0)
    all_values = flat(values)
    counter = np.uint32(first_row * values.shape[1])
    for e in range(all_values.shape[0]):
        all_values[e] *= factor if is_kept(stream, counter, threshold) else zero
        counter = np.uint32(counter + np.uint32(1))
    return 0


def _dropout_to(source, out, key, first_row, threshold, factor):
    """As `_dropout`, from memory to other memory."""
    stream = key_of(key[0], key[1], key[2])
    zero = type(factor)(0)
    all_values, target = flat(source), flat(out)
    counter = np.uint32(first_row * source.shape[1])
    for e in range(all_values.shape[0]):
        retained = is_kept(stream, counter, threshold)
        target[e] = all_values[e] * (factor if retained else zero)
        counter = np.uint32(counter + np.uint32(1))
    return 0


def _add_noise(x, key, first_row, std):
    """Add normal noise to a row block of X."""
    stream = key_of(key[0], key[1], key[2])
    all_x = flat(x)
    counter = np.uint32(first_row * x.shape[1])
    for e in range(all_x.shape[0]):
        all_x[e] += normal_of(word_of(stream, counter), std)
        counter = np.uint32(counter + np.uint32(1))
    return 0


def _add_l2(gradient, params, l2, grad_squares):
    """Add the gradient of the L2 penalty; sums of squares of gradient and parameters.

    That of the parameters is returned.
    """
    param_sum, grad_sum = 0.0, 0.0
    for i in range(gradient.shape[0]):
        param_sum += params[i] * params[i]
        gradient[i] += l2 * params[i]
        grad_sum += gradient[i] * gradient[i]
    grad_squares[0] = grad_sum
    return param_sum


def _apply_max_norm(weights, scratch, max_norm):
    """Scale every column of a matrix down to a Euclidean norm."""
    rows, columns = weights.shape
    for j in range(columns):
        scratch[j] = 0
    for i in range(rows):
        for j in range(columns):
            scratch[j] += weights[i, j] * weights[i, j]
    for j in range(columns):
        norm = np.sqrt(scratch[j])
        scratch[j] = max_norm / norm if norm > max_norm else type(norm)(1)
    for i in range(rows):
        for j in range(columns):
            weights[i, j] *= scratch[j]
    return 0


@functools.cache
def _signatures(dtype):
    """Signatures of the loops in one dtype, by function."""
    loop_types = LoopTypes(dtype)
    key = types.UniTuple(types.int64, 3)
    T, vector, matrix = loop_types.scalar, loop_types.vector, loop_types.matrix
    dropout = (key, types.int64, types.uint32, T)
    double = types.Array(types.float64, 1, "C")
    return {
        _dropout: types.int64(matrix, *dropout),
        _dropout_to: types.int64(matrix, matrix, *dropout),
        _add_noise: types.int64(matrix, key, types.int64, T),
        _add_l2: types.float64(vector, vector, T, double),
        _apply_max_norm: types.int64(matrix, vector, T),
    }


def _dropout_arrays(rates, dtype):
    return {
        "thresholds": threshold_of(rates).ravel(),
        "factors": (1.0 / (1.0 - rates)).astype(dtype).ravel(),
    }


def scheduled(desc, rates, first_step):
    """A `RegularizationDesc` for some steps, each with its own dropout rates.

    Parameters
    ----------
    desc : RegularizationDesc
    rates : ndarray of shape (n_steps, n_hidden)
    first_step : int
        Index of the first of them.
    """
    return desc._replace(
        **_dropout_arrays(rates, desc.factors.dtype),
        first_step=first_step,
        step_stride=rates.shape[1],
    )


def regularization_desc(regularization, dtype):
    """A fit's regularization for the kernels; compiles the loops that it needs.

    Parameters
    ----------
    regularization : skmlp.backends.Regularization
    dtype : numpy dtype

    Returns
    -------
    RegularizationDesc
    """

    def address(function, is_needed):
        if not is_needed:
            return 0
        name = f"{__name__}.{function.__name__}"
        return address_of(function, name, _signatures(dtype)[function])

    rates = np.array(regularization.dropout, dtype=np.float64)
    has_dropout = bool(np.any(rates > 0))
    norms = (regularization.max_grad_norm, regularization.max_norm)
    is_clipped = bool(np.isfinite(norms).any())
    return RegularizationDesc(
        seed=regularization.seed,
        dropout_fn=address(_dropout, has_dropout),
        dropout_to_fn=address(_dropout_to, has_dropout),
        **_dropout_arrays(rates, dtype),
        first_step=0,
        step_stride=0,
        first_row=0,
        noise_fn=address(_add_noise, regularization.input_noise > 0),
        noise_std=regularization.input_noise,
        add_l2_fn=address(_add_l2, is_clipped),
        max_grad_norm=regularization.max_grad_norm,
        max_norm_fn=address(_apply_max_norm, np.isfinite(regularization.max_norm)),
        max_norm=regularization.max_norm,
    )
