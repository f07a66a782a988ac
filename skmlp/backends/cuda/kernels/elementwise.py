"""Elementwise device functions: activations, dropout, derivatives, optimizer updates.

The epilogues of matrix products call these, and so do the passes over elements that a
normalization or a softmax needs after its product.
"""

import numpy as np

from skmlp.backends.cuda.runtime.jit import device, rule, switch
from skmlp.rules.activations import identity, identity_slope
from skmlp.rules.optimizers import MAX_COEFFICIENTS, OPTIMIZERS
from skmlp.rules.randomness import is_kept, key_of


def _switch_of(spec, field, default):
    """A function of an activation's id and a scalar, over the spec's activations."""
    rules = [getattr(row, field) for row in spec.activations] or [default]
    return switch([rule(function) for function in rules])


def dropout_factor():
    """0 for an element that is dropped, else one over the fraction that is kept."""
    key_of_layer, kept = rule(key_of), rule(is_kept)
    as_word = rule(_as_word)

    def factor(reg, batch, layer, element):
        key = key_of_layer(reg.seed, batch.step_index, layer + 1)
        index = batch.range_index * reg.dropout_stride + layer
        if kept(key, as_word(element), reg.dropout_thresholds[index]):
            return reg.dropout_scales[index]
        return type(reg.dropout_scales[index])(0)

    return device(factor)


def _as_word(element):
    return np.uint32(element & 0xFFFFFFFF)


def activate(spec):
    """Store the output of a hidden unit, from its preactivation with the bias.

    For a softmax it stores the preactivation: `normalization.softmax` works on rows.
    """
    value = _switch_of(spec, "value", identity)
    dropout = dropout_factor()
    has_dropout, softmax = spec.has_dropout, spec.softmax
    needs_preactivation = spec.needs_preactivation

    def store(ctx, batch, layer, row, column, z):
        net, ws = ctx.net, ctx.ws
        element = row * net.sizes[layer + 1] + column
        offset = np.uint64(ws.offsets[layer + 1] + element)
        if softmax and net.activation_ids[layer] < 0:
            ws.outputs[offset] = z
            return
        a = value(net.activation_ids[layer], z)
        if needs_preactivation and net.needs_preactivation[layer] == 1:
            ws.preactivations[offset] = z
        elif has_dropout:
            ws.preactivations[offset] = a
        if has_dropout:
            a *= dropout(ctx.reg, batch, layer, element)
        ws.outputs[offset] = a

    return device(store)


def back_through(spec):
    """The loss's gradient by a hidden unit's preactivation, from that by its output."""
    slope = _switch_of(spec, "slope", identity_slope)
    dropout = dropout_factor()
    has_dropout, softmax = spec.has_dropout, spec.softmax
    needs_preactivation = spec.needs_preactivation

    def back(ctx, batch, layer, row, column, delta):
        net, ws = ctx.net, ctx.ws
        element = row * net.sizes[layer + 1] + column
        offset = np.uint64(ws.offsets[layer + 1] + element)
        if has_dropout:
            delta *= dropout(ctx.reg, batch, layer, element)
        activation = net.activation_ids[layer]
        if softmax and activation < 0:
            return delta
        if has_dropout or (needs_preactivation and net.needs_preactivation[layer] == 1):
            return delta * slope(activation, ws.preactivations[offset])
        return delta * slope(activation, ws.outputs[offset])

    return device(back)


def _read_slots(n_slots):
    """A function that reads a parameter's `n_slots` slots, `stride` apart, as a tuple.

    The recursion happens when the function is made: compiled tuples have a fixed
    length.
    """
    if n_slots == 0:
        return device(lambda slots, offset, stride: ())
    others = _read_slots(n_slots - 1)
    return device(
        lambda slots, offset, stride: (
            slots[offset],
            *others(slots, offset + stride, stride),
        )
    )


@device
def step_of(net, batch, segment):
    """Where the numbers of a batch's update of a segment stand in `UpdateParams`."""
    return batch.range_index * net.segment_ends.shape[0] + segment


def update_one(spec):
    """The optimizer's update of one parameter, by the numbers of a `step_of`."""
    row = OPTIMIZERS[spec.optimizer]
    rule_of_row, n_slots = rule(row.update), row.slots
    read_slots = _read_slots(n_slots)

    def apply(params, update, step, offset, gradient):
        c, h = coefficients(update, step), hyperparameters(update)
        weight_decay = update.weight_decays[step]
        p, stride = params[offset], np.uint64(params.shape[0])
        slots = read_slots(update.slots, offset, stride)
        p_and_slots = rule_of_row(p - weight_decay * p, gradient, *slots, c, h)
        params[offset] = p_and_slots[0]
        for i in range(n_slots):
            update.slots[offset + np.uint64(i) * stride] = p_and_slots[i + 1]

    return device(apply)


@device
def coefficients(update, step):
    """The optimizer's coefficients, by a `step_of`."""
    first = MAX_COEFFICIENTS * step
    c = update.coefficients
    return c[first], c[first + 1], c[first + 2]


@device
def hyperparameters(update):
    """The optimizer's hyperparameters."""
    return update.hyper[0], update.hyper[1], update.hyper[2]
