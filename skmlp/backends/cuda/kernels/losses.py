"""The loss of every row and its gradient by the raw outputs: a warp a row.

The raw outputs come without the last layer's biases, which are added here, so that the
pass over them is the only one.
"""

import math

from numba import cuda

from skmlp.backends.cuda.kernels import reductions
from skmlp.backends.cuda.runtime.jit import device, rule
from skmlp.rules.activations import ACTIVATIONS, IDENTITY
from skmlp.rules.loss_row import first_params, smoothing_param, takes_tuple
from skmlp.rules.losses import membership, smoothed


@device
def _weight(data, row, scale):
    if data.weights.shape[0] > 0:
        return scale * data.weights[row]
    return scale


def _target(loss):
    """The function that reads the target of an output."""
    smooth, is_member = rule(smoothed), rule(membership)

    def column(data, row, j, smoothing, columns):
        return data.targets[row * columns + j]

    def smoothed_column(data, row, j, smoothing, columns):
        return smooth(data.targets[row * columns + j], smoothing)

    def of_class(data, row, j, smoothing, columns):
        return is_member(int(data.targets[row]) == j, smoothing, columns)

    if loss.labels:
        return device(of_class)
    return device(smoothed_column if loss.smoothing else column)


def _by_elements(spec):
    """Losses that are sums over outputs."""
    loss, threads = spec.loss, spec.tile.threads
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)
    n_params = len(loss.parameters)
    value = device(takes_tuple(rule(loss.value), n_params))
    slope = device(takes_tuple(rule(loss.slope), n_params))
    unpack = device(first_params(n_params))
    link_row = loss.link or ACTIVATIONS[IDENTITY]
    link, link_slope = rule(link_row.value), rule(link_row.slope)
    target, smoothing_of = _target(loss), device(smoothing_param(loss))

    def of_row(net, data, room, batch, parameters, i, lane):
        last = net.sizes.shape[0] - 2
        columns = net.sizes[last + 1]
        row = data.order[batch.first + i]
        weight = _weight(data, row, batch.scale)
        p = unpack(net.loss_parameters)
        smoothing = smoothing_of(net.loss_parameters)
        total = type(smoothing)(0)
        for j in range(lane, columns, lanes):
            place = room.at[last + 1] + i * columns + j
            z = room.outputs[place] + parameters[net.biases[last] + j]
            y, a = target(data, row, j, smoothing, columns), link(z)
            total += value(y, a, p)
            room.deltas[place] = weight * (slope(y, a, p) * link_slope(a))
        return weight * total_of(total)

    return device(of_row)


def _by_rows(spec):
    """Losses that take all outputs of a row at once, by the first lane."""
    found = rule(spec.loss.row)
    threads = spec.tile.threads
    total_of = reductions.warp_sum(threads)
    outputs_per_target, labels = spec.loss.outputs_per_target, spec.loss.labels
    single = labels or outputs_per_target == 0

    def of_row(net, data, room, batch, parameters, i, lane):
        last = net.sizes.shape[0] - 2
        columns = net.sizes[last + 1]
        n_targets = 1 if single else columns // outputs_per_target
        row = data.order[batch.first + i]
        start = room.at[last + 1] + i * columns
        weight = _weight(data, row, batch.scale)
        total = type(weight)(0)
        if lane == 0:
            z = room.outputs[start : start + columns]
            delta = room.deltas[start : start + columns]
            for j in range(columns):
                z[j] += parameters[net.biases[last] + j]
            y = data.targets[row * n_targets : (row + 1) * n_targets]
            total = weight * found(y, z, delta, net.loss_parameters)
            for j in range(columns):
                delta[j] *= weight
        return total_of(total)

    return device(of_row)


def _softmax(spec):
    """The cross-entropy of classes given by number: log(sum_j exp z_j) - z_class."""
    threads = spec.tile.threads
    lanes = reductions.lanes_of(threads)
    total_of, largest_of = reductions.warp_sum(threads), reductions.warp_max(threads)
    is_member = rule(membership)

    def of_row(net, data, room, batch, parameters, i, lane):
        last = net.sizes.shape[0] - 2
        columns, biases = net.sizes[last + 1], net.biases[last]
        row = data.order[batch.first + i]
        start = room.at[last + 1] + i * columns
        weight = _weight(data, row, batch.scale)
        kind = type(weight)
        smoothing = net.loss_parameters[0]
        share = smoothing / kind(columns)
        largest = kind(-math.inf)
        for j in range(lane, columns, lanes):
            largest = max(largest, room.outputs[start + j] + parameters[biases + j])
        largest = largest_of(largest)
        chosen, exponentials, others = kind(0), kind(0), kind(0)
        own = int(data.targets[row])
        for j in range(lane, columns, lanes):
            z = room.outputs[start + j] + parameters[biases + j] - largest
            e = math.exp(z)
            exponentials += e
            others += z
            if j == own:
                chosen = z
            room.deltas[start + j] = e
        exponentials, others = total_of(exponentials), total_of(others)
        chosen = total_of(chosen)
        for j in range(lane, columns, lanes):
            truth = is_member(j == own, smoothing, columns)
            probability = room.deltas[start + j] / exponentials
            room.deltas[start + j] = weight * (probability - truth)
        kept = (kind(1) - smoothing) * chosen + share * others
        return weight * (math.log(exponentials) - kept)

    return device(of_row)


def loss(spec):
    """Losses of a batch's rows, and the last layer's deltas."""
    threads = spec.tile.threads
    lanes = reductions.lanes_of(threads)
    warps = threads // lanes
    make = _by_elements
    if spec.loss.row is not None:
        make = _by_rows
    elif spec.loss.value is None:
        make = _softmax
    of_row = make(spec)

    def compute(team, net, data, room, batch, parameters):
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        for i in range(warp * team[1] + team[0], batch.n, warps * team[1]):
            found = of_row(net, data, room, batch, parameters, i, lane)
            if lane == 0:
                room.losses[batch.first + i] = found

    return device(compute)
