"""What is done with one element, wherever it comes from: the rules and what they read.

The last lines of a product's tile call these, and so do the passes over elements that a
normalization or a softmax needs after its product.
"""

import numpy as np

from skmlp.backends.cuda.runtime.jit import device, rule, switch
from skmlp.rules.activations import identity, identity_slope
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.randomness import is_kept, key_of


def _chosen(spec, field, default):
    """A function of a layer's code and a number."""
    rules = [getattr(row, field) for row in spec.activations] or [default]
    return switch([rule(each) for each in rules])


def factor_of_dropout():
    """0 for an element that is dropped, else one over the share that is kept."""
    key_of_layer, kept = rule(key_of), rule(is_kept)
    as_word = rule(_as_word)

    def factor(extras, batch, layer, number):
        key = key_of_layer(extras.seed, batch.step, layer + 1)
        if kept(key, as_word(number), extras.thresholds[layer]):
            return extras.factors[layer]
        return type(extras.factors[layer])(0)

    return device(factor)


def _as_word(number):
    return np.uint32(number & 0xFFFFFFFF)


def activate(spec):
    """Outputs of a hidden layer from an input, the bias included.

    Of a softmax the inputs are stored instead: it takes a row at a time.
    """
    value = _chosen(spec, "value", identity)
    dropout = factor_of_dropout()
    drops, by_input, softmax = spec.drops, spec.by_input, spec.softmax

    def store(net, room, extras, batch, layer, at, z):
        row, column = at
        number = row * net.sizes[layer + 1] + column
        place = np.uint64(room.at[layer + 1] + number)
        if softmax and net.codes[layer] < 0:
            room.outputs[place] = z
            return
        a = value(net.codes[layer], z)
        if by_input and net.by_input[layer] == 1:
            room.inputs[place] = z
        elif drops:
            room.inputs[place] = a
        if drops:
            a *= dropout(extras, batch, layer, number)
        room.outputs[place] = a

    return device(store)


def back_through(spec):
    """Gradient by an input of a hidden layer from that by the output."""
    slope = _chosen(spec, "slope", identity_slope)
    dropout = factor_of_dropout()
    drops, by_input, softmax = spec.drops, spec.by_input, spec.softmax

    def back(net, room, extras, batch, layer, at, delta):
        row, column = at
        number = row * net.sizes[layer + 1] + column
        place = np.uint64(room.at[layer + 1] + number)
        if drops:
            delta *= dropout(extras, batch, layer, number)
        code = net.codes[layer]
        if softmax and code < 0:
            return delta
        if drops or (by_input and net.by_input[layer] == 1):
            return delta * slope(code, room.inputs[place])
        return delta * slope(code, room.outputs[place])

    return device(back)


def update(spec):
    """The optimizer's step on one parameter, by its number."""
    row = OPTIMIZERS[spec.optimizer]
    change = rule(row.update)

    def one(parameters, step, number, place, gradient, shrink):
        c, h = coefficients(step, number), hyperparameters(step)
        p = parameters[place]
        parameters[place], step.slots[place] = change(
            p - shrink * p, gradient, step.slots[place], c, h
        )

    def two(parameters, step, number, place, gradient, shrink):
        c, h = coefficients(step, number), hyperparameters(step)
        p, other = parameters[place], place + np.uint64(parameters.shape[0])
        parameters[place], step.slots[place], step.slots[other] = change(
            p - shrink * p, gradient, step.slots[place], step.slots[other], c, h
        )

    def three(parameters, step, number, place, gradient, shrink):
        c, h = coefficients(step, number), hyperparameters(step)
        p, second = parameters[place], place + np.uint64(parameters.shape[0])
        third = second + np.uint64(parameters.shape[0])
        (
            parameters[place],
            step.slots[place],
            step.slots[second],
            step.slots[third],
        ) = change(
            p - shrink * p,
            gradient,
            step.slots[place],
            step.slots[second],
            step.slots[third],
            c,
            h,
        )

    return device((one, two, three)[row.slots - 1])


@device
def coefficients(step, number):
    """The optimizer's coefficients in a batch of the span."""
    at = 4 * number
    return step.rates[at + 1], step.rates[at + 2], step.rates[at + 3]


@device
def hyperparameters(step):
    """The optimizer's hyperparameters."""
    return step.hyper[0], step.hyper[1], step.hyper[2]
