"""The loops that run a scalar rule over a block of rows or a slab of parameters.

Each factory below makes one kind of loop from one rule of the tables in
`skmlp.rules`; `activation`, `slope`, `loss` and `update` compile it, once a rule and
dtype, and give the address that the kernels call.
"""

import functools

import numpy as np
from numba import from_dtype, types
from numba.extending import overload

from skmlp import jit
from skmlp.backends.cpu.memory import (
    flat,
    reinterpret_as_float,
    reinterpret_as_integer,
)
from skmlp.rules import polynomials
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.elementary import exp, log
from skmlp.rules.losses import LOSSES
from skmlp.rules.optimizers import OPTIMIZERS

call_activation = jit.caller(types.int64)
call_slope = jit.caller(types.int64)
call_loss = jit.caller(types.float64)
call_update = jit.caller(types.float64)


def _teach_rules():
    """Let compiled code call the rules by the names they have in Python."""
    overload(polynomials.bits_of)(lambda x: lambda x: reinterpret_as_integer(x))
    overload(polynomials.from_bits)(lambda i: lambda i: reinterpret_as_float(i))
    for helper in polynomials.HELPERS:
        jit.teach(helper, exactly=True)
    for function, versions in polynomials.REPLACEMENTS.items():
        jit.replace(function, *versions)
    for activation_row in ACTIVATIONS.values():
        jit.teach(activation_row.value)
        jit.teach(activation_row.slope)
    for loss_row in LOSSES.values():
        if loss_row.value is not None:
            jit.teach(loss_row.value)
            jit.teach(loss_row.slope)
    for row in OPTIMIZERS.values():
        jit.teach(row.update)


_teach_rules()


def _activation_loop(value):
    def loop(z, bias):
        for i in range(z.shape[0]):
            for j in range(z.shape[1]):
                z[i, j] = value(z[i, j] + bias[j])
        return 0

    return loop


def _softmax(z, bias):
    """Softmax of every row; exponentials over the whole block, to vectorise."""
    rows, columns = z.shape
    for i in range(rows):
        _shift_to_maximum(z[i], bias)
    all_z = flat(z)
    for e in range(all_z.shape[0]):
        all_z[e] = exp(all_z[e])
    for i in range(rows):
        total = type(z[0, 0])(0)
        for j in range(columns):
            total += z[i, j]
        for j in range(columns):
            z[i, j] /= total
    return 0


@jit.inline
def _shift_to_maximum(row, bias):
    """Add the bias to a row and subtract its largest element."""
    largest = row[0] + bias[0]
    for j in range(row.shape[0]):
        row[j] += bias[j]
        largest = max(largest, row[j])
    for j in range(row.shape[0]):
        row[j] -= largest


def _slope_loop(slope):
    def loop(delta, output):
        for i in range(delta.shape[0]):
            for j in range(delta.shape[1]):
                delta[i, j] *= slope(output[i, j])
        return 0

    return loop


@jit.inline
def _weight(weights, row, scale):
    return scale * weights[row] if weights.shape[0] > 0 else scale


def _loss_loop(value, slope):
    def loop(z, bias, delta, targets, weights, rows, scale):
        n, columns = z.shape
        for i in range(n):
            row = rows[i]
            for j in range(columns):
                z[i, j] += bias[j]
                delta[i, j] = targets[row, j]
        # One flat pass: with a single output the inner loop above has one turn.
        flat_z = flat(z)
        flat_delta = flat(delta)
        for e in range(flat_z.shape[0]):
            y = flat_delta[e]
            u = flat_z[e]
            flat_z[e] = value(y, u)
            flat_delta[e] = slope(y, u)
        total = 0.0
        for i in range(n):
            w = _weight(weights, rows[i], scale)
            for j in range(columns):
                total += w * z[i, j]
                delta[i, j] *= w
        return total

    return loop


def _softmax_loss(z, bias, delta, targets, weights, rows, scale):
    """Cross-entropy of classes given by number: log(sum_j exp z_j) - z_class."""
    n, columns = z.shape
    for i in range(n):
        _shift_to_maximum(z[i], bias)
    flat_z = flat(z)
    flat_delta = flat(delta)
    for e in range(flat_z.shape[0]):
        flat_delta[e] = exp(flat_z[e])
    total = 0.0
    for i in range(n):
        w = _weight(weights, rows[i], scale)
        of_class = int(targets[rows[i], 0])
        exponentials = type(w)(0)
        for j in range(columns):
            exponentials += delta[i, j]
        total += w * (log(exponentials) - z[i, of_class])
        share = w / exponentials
        for j in range(columns):
            delta[i, j] *= share
        delta[i, of_class] -= w
    return total


def _one_slot_update(update):
    def loop(p, g, first, second, third, coefficients, shrink, decay, hyper):
        c = (coefficients[0], coefficients[1], coefficients[2])
        h = (hyper[0], hyper[1], hyper[2])
        squares = type(shrink)(0)
        for i in range(p.shape[0]):
            squares += p[i] * p[i]
            p[i], first[i] = update(
                p[i] - shrink * p[i], g[i] + decay * p[i], first[i], c, h
            )
        return np.float64(squares)

    return loop


def _two_slot_update(update):
    def loop(p, g, first, second, third, coefficients, shrink, decay, hyper):
        c = (coefficients[0], coefficients[1], coefficients[2])
        h = (hyper[0], hyper[1], hyper[2])
        squares = type(shrink)(0)
        for i in range(p.shape[0]):
            squares += p[i] * p[i]
            p[i], first[i], second[i] = update(
                p[i] - shrink * p[i], g[i] + decay * p[i], first[i], second[i], c, h
            )
        return np.float64(squares)

    return loop


def _three_slot_update(update):
    def loop(p, g, first, second, third, coefficients, shrink, decay, hyper):
        c = (coefficients[0], coefficients[1], coefficients[2])
        h = (hyper[0], hyper[1], hyper[2])
        squares = type(shrink)(0)
        for i in range(p.shape[0]):
            squares += p[i] * p[i]
            p[i], first[i], second[i], third[i] = update(
                p[i] - shrink * p[i],
                g[i] + decay * p[i],
                first[i],
                second[i],
                third[i],
                c,
                h,
            )
        return np.float64(squares)

    return loop


_UPDATE_LOOPS = {1: _one_slot_update, 2: _two_slot_update, 3: _three_slot_update}


class _Kinds:
    """The array and scalar types of the loops' arguments in one dtype."""

    def __init__(self, dtype):
        self.scalar = from_dtype(dtype)
        self.vector = types.Array(self.scalar, 1, "C")
        self.matrix = types.Array(self.scalar, 2, "C")
        self.given_vector = types.Array(self.scalar, 1, "C", readonly=True)
        self.given_matrix = types.Array(self.scalar, 2, "C", readonly=True)
        self.rows = types.Array(types.int64, 1, "C", readonly=True)

    def activation(self):
        return types.int64(self.matrix, self.vector)

    def slope(self):
        return types.int64(self.matrix, self.matrix)

    def loss(self):
        return types.float64(
            *(self.matrix, self.vector, self.matrix, self.given_matrix),
            *(self.given_vector, self.rows, self.scalar),
        )

    def update(self):
        return types.float64(*(self.vector,) * 6, self.scalar, self.scalar, self.vector)


# Loops live as long as the process: their addresses are in the hands of kernels.
_ALIVE: list = []


def _address(function, key, signature):
    dispatcher, address = jit.loop(function, signature, key)
    _ALIVE.append(dispatcher)
    return address


def _from_rules(make, rules, signature):
    """Address of the loop that a factory makes of some rules."""
    own = all(rule.__module__.startswith("skmlp.") for rule in rules)
    names = ",".join(rule.__qualname__ for rule in rules)
    key = f"{__name__}.{make.__name__}({names})" if own else None
    return _address(make(*[jit.rule(rule) for rule in rules]), key, signature)


@functools.cache
def activation(row, dtype):
    """Address of ``z = value(z + bias)`` for a row of the activations."""
    return _from_rules(_activation_loop, (row.value,), _Kinds(dtype).activation())


@functools.cache
def output(name, dtype):
    """Address of the output activation of that name, in `activation`'s form."""
    if name == "softmax":
        return _address(_softmax, f"{__name__}._softmax", _Kinds(dtype).activation())
    return activation(ACTIVATIONS[name], dtype)


@functools.cache
def slope(row, dtype):
    """Address of ``delta *= slope(output)`` for a row of the activations."""
    return _from_rules(_slope_loop, (row.slope,), _Kinds(dtype).slope())


@functools.cache
def loss(row, dtype):
    """Address of a loss's loop: sums the loss, leaves the gradient by z in delta."""
    signature = _Kinds(dtype).loss()
    if row.output == "softmax":
        return _address(_softmax_loss, f"{__name__}._softmax_loss", signature)
    return _from_rules(_loss_loop, (row.value, row.slope), signature)


@functools.cache
def update(row, dtype):
    """Address of an optimizer's loop; it returns the sum of the squares of p before."""
    signature = _Kinds(dtype).update()
    return _from_rules(_UPDATE_LOOPS[row.slots], (row.update,), signature)
