"""Elementwise loops: a scalar rule over a row block or a parameter range.

Each factory below makes a loop from a rule of the tables in `skmlp.rules`. The
functions `activation`, `slope`, `single_output_slope` and `update` compile it once per
rule and dtype, and return the address that kernels call. `losses` does the same for the
losses.
"""

import functools
from typing import Any

import numpy as np
from numba import from_dtype, types

from skmlp.backends.cpu.intrinsics import (
    flat,
    reinterpret_as_float,
    reinterpret_as_integer,
)
from skmlp.compiler import forks, jit
from skmlp.forks import ForkSafeLock
from skmlp.rules import activations, coupled, focal, losses, polynomials
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY
from skmlp.rules.elementary import exp
from skmlp.rules.loss_choice import all_losses
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.own_functions import derived_from

call_activation = jit.caller(types.int64)
call_slope = jit.caller(types.int64)
call_single_output_slope = jit.caller(types.int64)
call_update = jit.caller(types.float64)


def _rules_of_tables():
    """The functions of the rules' tables, and their helpers."""
    for row in (*ACTIVATIONS.values(), *OUTPUT_ONLY.values()):
        yield from (row.value, row.slope)
    for row in all_losses():
        yield from (row.value, row.slope, row.row)
    for row in OPTIMIZERS.values():
        yield row.update
    yield from activations.HELPERS
    yield from coupled.HELPERS
    yield from focal.HELPERS
    yield from losses.HELPERS


def _register_rules():
    """Let compiled code call the rules by their Python names."""
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


_register_rules()


# These loops treat a block as one vector: rows of 50 or 100 columns would each end in a
# few elements that do not fill a vector register.
def _activation_loop(value):
    """In place: overwrites the preactivation z; `out` is z itself."""

    def loop(z, out):
        all_z = flat(z)
        for e in range(all_z.shape[0]):
            all_z[e] = value(all_z[e])
        return 0

    return loop


def _out_of_place_loop(value):
    """To other memory: preserves the preactivation z for a slope that needs it."""

    def loop(z, out):
        all_z, target = flat(z), flat(out)
        for e in range(all_z.shape[0]):
            target[e] = value(all_z[e])
        return 0

    return loop


def _softmax(z, out):
    """Softmax of every row; exponentials over the whole block, to vectorize."""
    rows, columns = z.shape
    for i in range(rows):
        subtract_maximum(z[i])
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
def subtract_maximum(row):
    """Subtract the largest element of a row."""
    largest = row[0]
    for j in range(row.shape[0]):
        largest = max(largest, row[j])
    for j in range(row.shape[0]):
        row[j] -= largest


def _slope_loop(slope):
    def loop(delta, source):
        all_delta, all_source = flat(delta), flat(source)
        for e in range(all_delta.shape[0]):
            all_delta[e] *= slope(all_source[e])
        return 0

    return loop


def _single_output_slope_loop(slope):
    """Backward pass from a single output: sets delta without reading it."""

    def loop(delta, source, outer, weights):
        for i in range(delta.shape[0]):
            for j in range(delta.shape[1]):
                delta[i, j] = outer[i] * weights[j] * slope(source[i, j])
        return 0

    return loop


def _softmax_slope(delta, output):
    """Backward pass of a softmax: a_j (delta_j - sum_k a_k delta_k)."""
    for i in range(delta.shape[0]):
        mean = type(delta[0, 0])(0)
        for j in range(delta.shape[1]):
            mean += output[i, j] * delta[i, j]
        for j in range(delta.shape[1]):
            delta[i, j] = output[i, j] * (delta[i, j] - mean)
    return 0


# How rules of one, two and three slots become rules of three. A slot that a rule lacks
# is passed through; `_update_loop` does not store it.
_WITH_THREE_SLOTS = {
    1: lambda rule: lambda p, g, a, b, c, k, h: (*rule(p, g, a, k, h), b, c),
    2: lambda rule: lambda p, g, a, b, c, k, h: (*rule(p, g, a, b, k, h), c),
    3: lambda rule: rule,
}


def _update_loop(rule, n_slots):
    def loop(p, g, slots, coefficients, weight_decay, l2, hyper):
        first, second, third = slots
        k = (coefficients[0], coefficients[1], coefficients[2])
        h = (hyper[0], hyper[1], hyper[2])
        squares = type(weight_decay)(0)
        for i in range(p.shape[0]):
            squares += p[i] * p[i]
            p[i], a, b, c = rule(
                p[i] - weight_decay * p[i],
                g[i] + l2 * p[i],
                first[i],
                second[i],
                third[i],
                k,
                h,
            )
            first[i] = a
            if n_slots > 1:
                second[i] = b
            if n_slots > 2:
                third[i] = c
        return np.float64(squares)

    return loop


class LoopTypes:
    """The array and scalar types of the loops' arguments in one dtype."""

    def __init__(self, dtype):
        self.scalar = from_dtype(dtype)
        self.vector = types.Array(self.scalar, 1, "C")
        self.matrix = types.Array(self.scalar, 2, "C")
        self.readonly_vector = types.Array(self.scalar, 1, "C", readonly=True)
        self.readonly_matrix = types.Array(self.scalar, 2, "C", readonly=True)
        self.row_ids = types.Array(types.int64, 1, "C", readonly=True)

    def activation(self):
        """Z, out."""
        return types.int64(self.matrix, self.matrix)

    def slope(self):
        """Delta, source."""
        return types.int64(self.matrix, self.matrix)

    def single_output_slope(self):
        """Delta, source, the output's deltas, its weights."""
        return types.int64(self.matrix, self.matrix, self.vector, self.vector)

    def loss(self):
        """Z, delta, targets, sample_weight, row_ids, scale, loss_params."""
        return types.float64(
            self.matrix,
            self.matrix,
            self.readonly_matrix,
            self.readonly_vector,
            self.row_ids,
            self.scalar,
            self.vector,
        )

    def update(self):
        """P, g, slots, coefficients, weight_decay, l2, hyperparameters."""
        return types.float64(
            self.vector,
            self.vector,
            types.UniTuple(self.vector, 3),
            self.vector,
            self.scalar,
            self.scalar,
            self.vector,
        )


class Address(int):
    """The address of a compiled loop, which lives as long as this number."""

    loop: Any

    def __new__(cls, value, loop):
        """The number, with the dispatcher that owns the machine code."""
        address = super().__new__(cls, value)
        address.loop = loop
        return address


@functools.cache
def address_of(function, key, signature):
    """Address of a loop of this package, valid for the rest of the process."""
    dispatcher, address = jit.loop(function, signature, key)
    return Address(address, dispatcher)


# Fits in several threads do not compile the same loop twice.
_LOCK = ForkSafeLock()


def by_rule(make):
    """Cache the addresses that a function of a table's row returns.

    Those of rules of the package and of the tables live as long as the process. Those
    of a user's rule belong to its functions: who uses an address holds the row.
    """
    of_tables = functools.cache(make)

    @functools.wraps(make)
    def cached(row, *arguments, **options):
        found = (derived_from(field) for field in row)
        derived = next((each for each in found if each is not None), None)
        if derived is None:
            return of_tables(row, *arguments, **options)
        key = (make, row, arguments, *options.items())
        with _LOCK:
            if key not in derived:
                derived[key] = make(row, *arguments, **options)
            return derived[key]

    return cached


def _compiled_rule(rule):
    """A rule for loops to call; one dispatcher for all loops of a user's rule."""
    if _is_builtin(rule):
        return jit.inline_always(rule)
    derived = derived_from(rule)
    if derived is None:
        return jit.user_rule(rule)
    return derived.setdefault("rule", jit.user_rule(rule))


def from_rules(factory, row, rules, signature):
    """Address of the loop that a factory makes from the rules of a table's row."""
    compiled_rules = [*map(_compiled_rule, rules)]
    loop = factory(*compiled_rules)
    if all(_is_builtin(rule) for rule in rules):
        names = ",".join(rule.__qualname__ for rule in rules)
        return address_of(loop, f"{__name__}.{factory.__name__}({names})", signature)
    try:
        dispatcher, address = jit.loop(loop, signature, None)
    except (forks.ForkedError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"Numba cannot compile the functions of {row.name!r}: they may use "
            "arithmetic, comparisons, conditional expressions and NumPy's mathematical "
            "functions."
        ) from error
    for each in (dispatcher, *compiled_rules):
        jit.forget_source(each)
    return Address(address, dispatcher)


def _is_builtin(rule):
    """Whether a rule is part of this package."""
    return rule.__module__.startswith("skmlp.")


@by_rule
def activation(row, dtype, *, in_place):
    """Address of ``out = value(z)`` for a row of the activations.

    Parameters
    ----------
    row : Activation
    dtype : numpy dtype
    in_place : bool
        Whether `out` is z; else z is preserved.
    """
    signature = LoopTypes(dtype).activation()
    if row.value is None:
        return address_of(_softmax, f"{__name__}._softmax", signature)
    factory = _activation_loop if in_place else _out_of_place_loop
    return from_rules(factory, row, (row.value,), signature)


@by_rule
def slope(row, dtype):
    """Address of ``delta *= slope(source)`` for a row of the activations."""
    signature = LoopTypes(dtype).slope()
    if row.slope is None:
        return address_of(_softmax_slope, f"{__name__}._softmax_slope", signature)
    return from_rules(_slope_loop, row, (row.slope,), signature)


@by_rule
def single_output_slope(row, dtype):
    """Address of ``delta = outer weights slope(source)``, below a single output.

    0 where the slope is not elementwise.
    """
    if row.slope is None:
        return 0
    signature = LoopTypes(dtype).single_output_slope()
    return from_rules(_single_output_slope_loop, row, (row.slope,), signature)


@by_rule
def update(row, dtype):
    """Address of an optimizer's loop; it returns the previous sum of squares of p."""
    signature = LoopTypes(dtype).update()

    def factory(rule):
        if row.slots < 3:
            rule = jit.inline_always(_WITH_THREE_SLOTS[row.slots](rule))
        return _update_loop(rule, row.slots)

    factory.__name__ = _update_loop.__name__
    return from_rules(factory, row, (row.update,), signature)
