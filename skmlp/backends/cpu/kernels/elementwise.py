"""The loops that run a scalar rule over a block of rows or a slab of parameters.

Each factory below makes one kind of loop from one rule of the tables in
`skmlp.rules`; `activation`, `slope`, `loss` and `update` compile it, once a rule and
dtype, and give the address that the kernels call.
"""

import functools

import numpy as np
from numba import from_dtype, types

from skmlp.backends.cpu.intrinsics import (
    flat,
    reinterpret_as_float,
    reinterpret_as_integer,
)
from skmlp.compiler import jit
from skmlp.rules import activations, coupled, losses, polynomials
from skmlp.rules.activations import ACTIVATIONS, IDENTITY, OUTPUT_ONLY
from skmlp.rules.elementary import exp, log
from skmlp.rules.loss_choice import all_losses
from skmlp.rules.loss_row import first_params, smoothing_param, takes_tuple
from skmlp.rules.losses import membership, smoothed
from skmlp.rules.optimizers import OPTIMIZERS

call_activation = jit.caller(types.int64)
call_slope = jit.caller(types.int64)
call_single_slope = jit.caller(types.int64)
call_loss = jit.caller(types.float64)
call_update = jit.caller(types.float64)


def _rules_of_tables():
    """The functions of the rules' tables, and those that only they call."""
    for row in (*ACTIVATIONS.values(), *OUTPUT_ONLY.values()):
        yield from (row.value, row.slope)
    for row in all_losses():
        yield from (row.value, row.slope, row.row)
    for row in OPTIMIZERS.values():
        yield row.update
    yield from activations.HELPERS
    yield from coupled.HELPERS
    yield from losses.HELPERS


def _teach_rules():
    """Let compiled code call the rules by the names they have in Python."""
    to_bits = jit.overload_by_types(polynomials.bits_of)
    to_bits(lambda x: lambda x: reinterpret_as_integer(x))
    from_bits = jit.overload_by_types(polynomials.from_bits)
    from_bits(lambda i: lambda i: reinterpret_as_float(i))
    for helper in polynomials.HELPERS:
        jit.register_overload(helper, exactly=True)
    for function, versions in polynomials.REPLACEMENTS.items():
        jit.overload_by_dtype(function, *versions)
    for rule in dict.fromkeys(_rules_of_tables()):
        if rule is not None:
            jit.register_overload(rule)


_teach_rules()


# Passes over all elements as one vector: rows of 50 or 100 columns would end in a few
# that do not fill a vector.
def _activation_loop(value):
    """In place: the inputs z are lost, and `out` is z itself."""

    def loop(z, out):
        block = flat(z)
        for e in range(block.shape[0]):
            block[e] = value(block[e])
        return 0

    return loop


def _keeping_loop(value):
    """To other memory: the inputs z stay, for a slope that needs them."""

    def loop(z, out):
        block, target = flat(z), flat(out)
        for e in range(block.shape[0]):
            target[e] = value(block[e])
        return 0

    return loop


def _softmax(z, out):
    """Softmax of every row; exponentials over the whole block, to vectorize."""
    rows, columns = z.shape
    for i in range(rows):
        _shift_to_maximum(z[i])
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
def _shift_to_maximum(row):
    """Subtract the largest element of a row."""
    largest = row[0]
    for j in range(row.shape[0]):
        largest = max(largest, row[j])
    for j in range(row.shape[0]):
        row[j] -= largest


def _slope_loop(slope):
    def loop(delta, source):
        block, given = flat(delta), flat(source)
        for e in range(block.shape[0]):
            block[e] *= slope(given[e])
        return 0

    return loop


def _single_slope_loop(slope):
    """Back from a single output: delta need not be read before it is set."""

    def loop(delta, source, outer, weights):
        for i in range(delta.shape[0]):
            for j in range(delta.shape[1]):
                delta[i, j] = outer[i] * weights[j] * slope(source[i, j])
        return 0

    return loop


def _softmax_slope(delta, output):
    """Back through a softmax: a_j (delta_j - sum_k a_k delta_k)."""
    for i in range(delta.shape[0]):
        mean = type(delta[0, 0])(0)
        for j in range(delta.shape[1]):
            mean += output[i, j] * delta[i, j]
        for j in range(delta.shape[1]):
            delta[i, j] = output[i, j] * (delta[i, j] - mean)
    return 0


@jit.inline
def _weight(weights, row, scale):
    return scale * weights[row] if weights.shape[0] > 0 else scale


def _column(targets, row, j, smoothing, columns):
    return targets[row, j]


def _smoothed_column(targets, row, j, smoothing, columns):
    return smoothed(targets[row, j], smoothing)


def _class(targets, row, j, smoothing, columns):
    return membership(int(targets[row, 0]) == j, smoothing, columns)


def _target(row):
    """The function that reads the target of an output."""
    if row.labels:
        return _class
    return _smoothed_column if row.smoothing else _column


def _loss_loop(value, slope, link, link_slope, target, unpack, smoothing_of):
    def loop(z, delta, targets, weights, rows, scale, parameters):
        n, columns = z.shape
        p, smoothing = unpack(parameters), smoothing_of(parameters)
        for i in range(n):
            row = rows[i]
            for j in range(columns):
                delta[i, j] = target(targets, row, j, smoothing, columns)
        # One flat pass: with a single output the inner loop above has one turn.
        all_z = flat(z)
        all_delta = flat(delta)
        for e in range(all_z.shape[0]):
            y = all_delta[e]
            a = link(all_z[e])
            all_z[e] = value(y, a, p)
            all_delta[e] = slope(y, a, p) * link_slope(a)
        if weights.shape[0] > 0:
            for i in range(n):
                for j in range(columns):
                    z[i, j] *= weights[rows[i]]
                    delta[i, j] *= weights[rows[i]]
        total = 0.0
        for e in range(all_z.shape[0]):
            total += all_z[e]
            all_delta[e] *= scale
        return total * scale

    return loop


def _loss_by_rows(rule):
    def loop(z, delta, targets, weights, rows, scale, parameters):
        total = 0.0
        for i in range(z.shape[0]):
            w = _weight(weights, rows[i], scale)
            total += w * rule(targets[rows[i]], z[i], delta[i], parameters)
            for j in range(z.shape[1]):
                delta[i, j] *= w
        return total

    return loop


def _softmax_loss(z, delta, targets, weights, rows, scale, parameters):
    """Cross-entropy of classes given by number: log(sum_j exp z_j) - z_class."""
    n, columns = z.shape
    smoothing = parameters[0]
    for i in range(n):
        _shift_to_maximum(z[i])
    all_z = flat(z)
    all_delta = flat(delta)
    for e in range(all_z.shape[0]):
        all_delta[e] = exp(all_z[e])
    total = 0.0
    for i in range(n):
        w = _weight(weights, rows[i], scale)
        of_class = int(targets[rows[i], 0])
        exponentials = type(w)(0)
        for j in range(columns):
            exponentials += delta[i, j]
        chosen = z[i, of_class]
        share = w / exponentials
        for j in range(columns):
            delta[i, j] *= share
        if smoothing > 0:
            chosen = _smooth(chosen, z[i], delta[i], w, smoothing)
        total += w * (log(exponentials) - chosen)
        delta[i, of_class] -= w * (type(w)(1) - smoothing)
    return total


@jit.inline
def _smooth(chosen, z, delta, w, smoothing):
    """Share out a part of the target among all classes (Szegedy et al., 2016)."""
    T, share = type(w), smoothing / type(w)(z.shape[0])
    total = T(0)
    for j in range(z.shape[0]):
        total += z[j]
        delta[j] -= w * share
    return (T(1) - smoothing) * chosen + share * total


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


class Kinds:
    """The array and scalar types of the loops' arguments in one dtype."""

    def __init__(self, dtype):
        self.scalar = from_dtype(dtype)
        self.vector = types.Array(self.scalar, 1, "C")
        self.matrix = types.Array(self.scalar, 2, "C")
        self.given_vector = types.Array(self.scalar, 1, "C", readonly=True)
        self.given_matrix = types.Array(self.scalar, 2, "C", readonly=True)
        self.rows = types.Array(types.int64, 1, "C", readonly=True)

    def activation(self):
        """Z, out."""
        return types.int64(self.matrix, self.matrix)

    def slope(self):
        """Delta, source."""
        return types.int64(self.matrix, self.matrix)

    def single_slope(self):
        """Delta, source, the output's deltas, its weights."""
        return types.int64(self.matrix, self.matrix, *(self.vector,) * 2)

    def loss(self):
        """Z, delta, targets, weights, rows, scale, parameters."""
        return types.float64(
            *(self.matrix, self.matrix, self.given_matrix),
            *(self.given_vector, self.rows, self.scalar, self.vector),
        )

    def update(self):
        """P, g, slots, coefficients, shrink, decay, hyperparameters."""
        return types.float64(*(self.vector,) * 6, self.scalar, self.scalar, self.vector)


# Loops live as long as the process: their addresses are in the hands of kernels.
_ALIVE: list = []


@functools.cache
def address_of(function, key, signature):
    """Address of a compiled loop, which stays valid."""
    dispatcher, address = jit.loop(function, signature, key)
    _ALIVE.append(dispatcher)
    return address


def _from_rules(make, row, rules, signature):
    """Address of the loop that a factory makes of the rules of a table's row."""
    compiled = [
        (jit.inline_always if _is_own(rule) else jit.user_rule)(rule) for rule in rules
    ]
    loop = make(*compiled)
    if all(_is_own(rule) for rule in rules):
        names = ",".join(rule.__qualname__ for rule in rules)
        return address_of(loop, f"{__name__}.{make.__name__}({names})", signature)
    try:
        return address_of(loop, None, signature)
    except Exception as error:
        raise ValueError(
            f"Numba cannot compile the functions of {row.name!r}: they may use "
            "arithmetic, comparisons, conditional expressions and NumPy's mathematical "
            "functions."
        ) from error


def _is_own(rule):
    """Whether a rule is one of this package."""
    return rule.__module__.startswith("skmlp.")


@functools.cache
def activation(row, dtype, *, keeps):
    """Address of ``out = value(z)`` for a row of the activations.

    Parameters
    ----------
    row : Activation
    dtype : numpy dtype
    keeps : bool
        Whether z stays as it is; else `out` is z.
    """
    signature = Kinds(dtype).activation()
    if row.value is None:
        return address_of(_softmax, f"{__name__}._softmax", signature)
    make = _keeping_loop if keeps else _activation_loop
    return _from_rules(make, row, (row.value,), signature)


@functools.cache
def slope(row, dtype):
    """Address of ``delta *= slope(source)`` for a row of the activations."""
    signature = Kinds(dtype).slope()
    if row.slope is None:
        return address_of(_softmax_slope, f"{__name__}._softmax_slope", signature)
    return _from_rules(_slope_loop, row, (row.slope,), signature)


@functools.cache
def single_slope(row, dtype):
    """Address of ``delta = outer weights slope(source)``, back from a single output.

    0 where a slope is not by element.
    """
    if row.slope is None:
        return 0
    signature = Kinds(dtype).single_slope()
    return _from_rules(_single_slope_loop, row, (row.slope,), signature)


@functools.cache
def loss(row, dtype):
    """Address of a loss's loop: sums the loss, leaves the gradient by z in delta."""
    signature = Kinds(dtype).loss()
    if row.row is not None:
        return _from_rules(_loss_by_rows, row, (row.row,), signature)
    if row.value is None:
        return address_of(_softmax_loss, f"{__name__}._softmax_loss", signature)
    link = row.link or ACTIVATIONS[IDENTITY]
    rules = (row.value, row.slope, link.value, link.slope, _target(row))
    n_params = len(row.parameters)

    def make(value, slope, link, link_slope, target):
        plain = (
            *(takes_tuple(value, n_params), takes_tuple(slope, n_params)),
            *(first_params(n_params), smoothing_param(row)),
        )
        value, slope, *readers = map(jit.inline_always, plain)
        return _loss_loop(value, slope, link, link_slope, target, *readers)

    make.__name__ = f"{_loss_loop.__name__}_{'smoothed' if row.smoothing else 'plain'}"
    return _from_rules(make, row, rules, signature)


@functools.cache
def update(row, dtype):
    """Address of an optimizer's loop; it returns the sum of the squares of p before."""
    signature = Kinds(dtype).update()
    return _from_rules(_UPDATE_LOOPS[row.slots], row, (row.update,), signature)
