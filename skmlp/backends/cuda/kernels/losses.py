"""The loss of every row and its gradient by the raw outputs: a warp a row.

The raw outputs come without the last layer's biases, which are added here, so no other
pass over them is needed.
"""

import math

from numba import cuda

from skmlp.backends.cuda.kernels import reductions
from skmlp.backends.cuda.runtime.jit import device, rule
from skmlp.rules.activations import ACTIVATIONS, IDENTITY
from skmlp.rules.loss_row import first_params, smoothing_param, takes_tuple
from skmlp.rules.losses import membership, smoothed


@device
def _row_weight(data, row, scale):
    if data.sample_weight.shape[0] > 0:
        return scale * data.sample_weight[row]
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
    lanes, warp_sum = reductions.lanes_of(threads), reductions.warp_sum(threads)
    n_params = len(loss.parameters)
    value = device(takes_tuple(rule(loss.value), n_params))
    slope = device(takes_tuple(rule(loss.slope), n_params))
    unpack = device(first_params(n_params))
    link_row = loss.link or ACTIVATIONS[IDENTITY]
    link, link_slope = rule(link_row.value), rule(link_row.slope)
    target, smoothing_of = _target(loss), device(smoothing_param(loss))

    def of_row(ctx, batch, i, lane):
        net, data, ws = ctx.net, ctx.data, ctx.ws
        last = net.sizes.shape[0] - 2
        columns = net.sizes[last + 1]
        row = data.row_ids[batch.first + i]
        weight = _row_weight(data, row, batch.scale)
        p, smoothing = unpack(net.loss_params), smoothing_of(net.loss_params)
        total = type(smoothing)(0)
        for j in range(lane, columns, lanes):
            offset = ws.offsets[last + 1] + i * columns + j
            z = ws.outputs[offset] + ctx.params[net.bias_offsets[last] + j]
            y, a = target(data, row, j, smoothing, columns), link(z)
            total += value(y, a, p)
            ws.deltas[offset] = weight * (slope(y, a, p) * link_slope(a))
        return weight * warp_sum(total)

    return device(of_row)


def _target_columns(loss):
    """The function that counts the target's columns (see `LossRow.target_columns`)."""
    outputs_per_target, n_declared = loss.outputs_per_target, len(loss.declares)
    if loss.by_column:
        return lambda n_outputs, params: params.shape[0] - n_declared
    if loss.labels or outputs_per_target == 0:
        return lambda n_outputs, params: 1
    return lambda n_outputs, params: n_outputs // outputs_per_target


def _by_rows(spec):
    """Losses of all outputs of a row at once, which the first lane computes."""
    row_rule = rule(spec.loss.row)
    warp_sum = reductions.warp_sum(spec.tile.threads)
    target_columns = device(_target_columns(spec.loss))

    def of_row(ctx, batch, i, lane):
        net, data, ws = ctx.net, ctx.data, ctx.ws
        last = net.sizes.shape[0] - 2
        columns = net.sizes[last + 1]
        n_targets = target_columns(columns, net.loss_params)
        row = data.row_ids[batch.first + i]
        start = ws.offsets[last + 1] + i * columns
        weight = _row_weight(data, row, batch.scale)
        total = type(weight)(0)
        if lane == 0:
            z = ws.outputs[start : start + columns]
            delta = ws.deltas[start : start + columns]
            for j in range(columns):
                z[j] += ctx.params[net.bias_offsets[last] + j]
            y = data.targets[row * n_targets : (row + 1) * n_targets]
            total = weight * row_rule(y, z, delta, net.loss_params)
            for j in range(columns):
                delta[j] *= weight
        return warp_sum(total)

    return device(of_row)


def _softmax(spec):
    """Cross-entropy of softmax outputs: log(sum_j exp z_j) - z_class."""
    threads = spec.tile.threads
    lanes = reductions.lanes_of(threads)
    warp_sum, warp_max = reductions.warp_sum(threads), reductions.warp_max(threads)
    is_member = rule(membership)

    def of_row(ctx, batch, i, lane):
        net, data, ws, params = ctx.net, ctx.data, ctx.ws, ctx.params
        last = net.sizes.shape[0] - 2
        columns, biases = net.sizes[last + 1], net.bias_offsets[last]
        row = data.row_ids[batch.first + i]
        start = ws.offsets[last + 1] + i * columns
        weight = _row_weight(data, row, batch.scale)
        T = type(weight)
        smoothing = net.loss_params[0]
        by_class = smoothing / T(columns)
        largest = T(-math.inf)
        for j in range(lane, columns, lanes):
            largest = max(largest, ws.outputs[start + j] + params[biases + j])
        largest = warp_max(largest)
        true_z, exponentials, all_z = T(0), T(0), T(0)
        true_class = int(data.targets[row])
        for j in range(lane, columns, lanes):
            z = ws.outputs[start + j] + params[biases + j] - largest
            e = math.exp(z)
            exponentials += e
            all_z += z
            if j == true_class:
                true_z = z
            ws.deltas[start + j] = e
        exponentials, all_z = warp_sum(exponentials), warp_sum(all_z)
        true_z = warp_sum(true_z)
        for j in range(lane, columns, lanes):
            truth = is_member(j == true_class, smoothing, columns)
            probability = ws.deltas[start + j] / exponentials
            ws.deltas[start + j] = weight * (probability - truth)
        expected_z = (T(1) - smoothing) * true_z + by_class * all_z
        return weight * (math.log(exponentials) - expected_z)

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

    def compute(group, ctx, batch):
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        first = warp * group.n_blocks + group.block_id
        for i in range(first, batch.n_rows, warps * group.n_blocks):
            loss_of_row = of_row(ctx, batch, i, lane)
            if lane == 0:
                ctx.ws.losses[batch.first + i] = loss_of_row

    return device(compute)
