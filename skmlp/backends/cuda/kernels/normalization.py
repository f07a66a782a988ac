"""What couples the elements of a hidden layer: normalization, and softmax.

The product of such a layer is stored as it is; when all of it is there, a warp takes a
row, or the threads that share a column take that column, and do the rest. So does the
way back.
"""

import math

from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, reductions
from skmlp.backends.cuda.runtime.jit import device, scalar_type
from skmlp.rules.normalization import EPSILON, MOMENTUM


def _rows(spec):
    """Lanes and warps of a block."""
    lanes = reductions.lanes_of(spec.tile.threads)
    return lanes, spec.tile.threads // lanes


@device
def _unit(net, layer, column):
    """Number of a unit among all hidden ones."""
    return net.biases[layer] - net.biases[0] + column


@device
def _hidden(net):
    """Number of hidden units."""
    return net.biases[net.sizes.shape[0] - 2] - net.biases[0]


def _statistics(spec):
    """Mean and factor of a column of a batch; moves the running statistics."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    width = reductions.lanes_of(threads)
    height = threads // width
    total_of = reductions.column_sum(threads)

    def compute(net, room, parameters, layer, column, n, buffer):
        units = net.sizes[layer + 1]
        start, y = room.at[layer + 1] + column, cuda.threadIdx.x // width
        inside = column < units
        total = kind(0)
        if inside:
            for i in range(y, n, height):
                total += room.outputs[start + i * units]
        mean = total_of(buffer, total) / kind(n)
        total = kind(0)
        if inside:
            for i in range(y, n, height):
                off = room.outputs[start + i * units] - mean
                total += off * off
        squares = total_of(buffer, total)
        variance = squares / kind(n)
        if inside:
            at_mean = net.means[layer] + column
            at_variance = net.variances[layer] + column
            if n == 1:
                mean, variance = parameters[at_mean], parameters[at_variance]
            elif y == 0:
                parameters[at_mean] += kind(MOMENTUM) * (mean - parameters[at_mean])
                difference = squares / kind(n - 1) - parameters[at_variance]
                parameters[at_variance] += kind(MOMENTUM) * difference
        return mean, kind(1) / math.sqrt(variance + kind(EPSILON))

    return device(compute)


def _batch_norm(spec):
    """Normalize a layer over the rows of a batch, scale, add the bias, activate."""
    threads = spec.tile.threads
    width = reductions.lanes_of(threads)
    height = threads // width
    statistics, activate = _statistics(spec), elementwise.activate(spec)

    def compute(team, net, room, extras, batch, parameters, layer, buffer):
        units, start = net.sizes[layer + 1], room.at[layer + 1]
        y = cuda.threadIdx.x // width
        for item in range(team[0], (units + width - 1) // width, team[1]):
            column = item * width + cuda.threadIdx.x % width
            mean, factor = statistics(
                net, room, parameters, layer, column, batch.n, buffer
            )
            if column < units:
                if y == 0:
                    room.factors[_unit(net, layer, column)] = factor
                scale = parameters[net.scales[layer] + column]
                bias = parameters[net.biases[layer] + column]
                for i in range(y, batch.n, height):
                    place = start + i * units + column
                    value = (room.outputs[place] - mean) * factor
                    room.normed[place] = value
                    z, at = value * scale + bias, (i, column)
                    activate(net, room, extras, batch, layer, at, z)

    return device(compute)


def _layer_norm(spec):
    """Normalize the rows of a layer over its units, scale, add the bias, activate."""
    kind = scalar_type(spec.dtype)
    lanes, warps = _rows(spec)
    total_of = reductions.warp_sum(spec.tile.threads)
    activate, keeps = elementwise.activate(spec), not spec.forward_only

    def compute(team, net, room, extras, batch, parameters, layer, buffer):
        units = net.sizes[layer + 1]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        for i in range(warp * team[1] + team[0], batch.n, warps * team[1]):
            start = room.at[layer + 1] + i * units
            total = kind(0)
            for j in range(lane, units, lanes):
                total += room.outputs[start + j]
            mean = total_of(total) / kind(units)
            total = kind(0)
            for j in range(lane, units, lanes):
                off = room.outputs[start + j] - mean
                total += off * off
            variance = total_of(total) / kind(units)
            factor = kind(1) / math.sqrt(variance + kind(EPSILON))
            if keeps and lane == 0:
                room.factors[layer * room.batch + i] = factor
            for j in range(lane, units, lanes):
                value = (room.outputs[start + j] - mean) * factor
                if keeps:
                    room.normed[start + j] = value
                scale = parameters[net.scales[layer] + j]
                z = value * scale + parameters[net.biases[layer] + j]
                activate(net, room, extras, batch, layer, (i, j), z)

    return device(compute)


def norm(spec):
    """The normalization of a hidden layer, forward; all threads of the team join."""
    return {"batch": _batch_norm, "layer": _layer_norm}[spec.normalization](spec)


def softmax(spec):
    """Softmax of the rows of a hidden layer, whose inputs are in the outputs."""
    lanes, warps = _rows(spec)
    threads, drops = spec.tile.threads, spec.drops
    total_of, largest_of = reductions.warp_sum(threads), reductions.warp_max(threads)
    dropout = elementwise.factor_of_dropout()

    def compute(team, net, room, extras, batch, layer):
        units = net.sizes[layer + 1]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        for i in range(warp * team[1] + team[0], batch.n, warps * team[1]):
            start = room.at[layer + 1] + i * units
            largest = room.outputs[start]
            for j in range(lane, units, lanes):
                largest = max(largest, room.outputs[start + j])
            largest = largest_of(largest)
            total = type(largest)(0)
            for j in range(lane, units, lanes):
                total += math.exp(room.outputs[start + j] - largest)
            total = total_of(total)
            # The first element is read by all lanes, and now overwritten by one.
            cuda.syncwarp()
            for j in range(lane, units, lanes):
                a = math.exp(room.outputs[start + j] - largest) / total
                if drops:
                    room.inputs[start + j] = a
                    a *= dropout(extras, batch, layer, i * units + j)
                room.outputs[start + j] = a

    return device(compute)


def softmax_back(spec):
    """Deltas by the inputs of a hidden softmax, in place."""
    lanes, warps = _rows(spec)
    total_of, drops = reductions.warp_sum(spec.tile.threads), spec.drops
    kind = scalar_type(spec.dtype)

    def compute(team, net, room, batch, layer):
        units = net.sizes[layer + 1]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        outputs = room.inputs if drops else room.outputs
        for i in range(warp * team[1] + team[0], batch.n, warps * team[1]):
            start = room.at[layer + 1] + i * units
            mean = kind(0)
            for j in range(lane, units, lanes):
                mean += outputs[start + j] * room.deltas[start + j]
            mean = total_of(mean)
            for j in range(lane, units, lanes):
                difference = room.deltas[start + j] - mean
                room.deltas[start + j] = outputs[start + j] * difference

    return device(compute)


def norm_sums(spec):
    """Sums of a hidden layer's deltas, and of their products with the inputs."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    width = reductions.lanes_of(threads)
    height = threads // width
    total_of = reductions.column_sum(threads)

    def compute(team, net, room, batch, layer, buffer):
        units, start = net.sizes[layer + 1], room.at[layer + 1]
        y = cuda.threadIdx.x // width
        for item in range(team[0], (units + width - 1) // width, team[1]):
            column = item * width + cuda.threadIdx.x % width
            total = kind(0)
            products = kind(0)
            if column < units:
                for i in range(y, batch.n, height):
                    place = start + i * units + column
                    total += room.deltas[place]
                    products += room.deltas[place] * room.normed[place]
            total = total_of(buffer, total)
            products = total_of(buffer, products)
            if y == 0 and column < units:
                unit = _unit(net, layer, column)
                room.sums[unit] = total
                room.sums[_hidden(net) + unit] = products

    return device(compute)


def _batch_norm_back(spec):
    """Deltas by a layer's inputs, in place, from the sums over the batch."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)

    def compute(team, net, room, batch, parameters, layer):
        units, start, n = net.sizes[layer + 1], room.at[layer + 1], batch.n
        first = team[0] * threads + cuda.threadIdx.x
        for e in range(first, n * units, team[1] * threads):
            column = e % units
            unit = _unit(net, layer, column)
            delta = room.deltas[start + e]
            if n > 1:
                share = room.sums[_hidden(net) + unit] / kind(n)
                delta -= room.sums[unit] / kind(n) + room.normed[start + e] * share
            scale = parameters[net.scales[layer] + column]
            room.deltas[start + e] = room.factors[unit] * scale * delta

    return device(compute)


def _layer_norm_back(spec):
    """Deltas by a layer's inputs, in place, row by row."""
    kind = scalar_type(spec.dtype)
    lanes, warps = _rows(spec)
    total_of = reductions.warp_sum(spec.tile.threads)

    def compute(team, net, room, batch, parameters, layer):
        units = net.sizes[layer + 1]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        for i in range(warp * team[1] + team[0], batch.n, warps * team[1]):
            start = room.at[layer + 1] + i * units
            mean, share = kind(0), kind(0)
            for j in range(lane, units, lanes):
                delta = room.deltas[start + j] * parameters[net.scales[layer] + j]
                mean += delta
                share += delta * room.normed[start + j]
            mean = total_of(mean) / kind(units)
            share = total_of(share) / kind(units)
            factor = room.factors[layer * room.batch + i]
            for j in range(lane, units, lanes):
                delta = room.deltas[start + j] * parameters[net.scales[layer] + j]
                rest = delta - mean - room.normed[start + j] * share
                room.deltas[start + j] = factor * rest

    return device(compute)


def norm_back(spec):
    """The normalization of a hidden layer, on the way back."""
    makers = {"batch": _batch_norm_back, "layer": _layer_norm_back}
    return makers[spec.normalization](spec)
