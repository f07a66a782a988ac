"""The way back: deltas of the hidden layers, gradients, and the optimizer's step.

A tile of the gradient is followed by the step on its weights at once, unless the whole
gradient has to be known first. Partial sums of squares, for the penalty in the loss and
for the gradient's norm, are a number a warp, added up later in an order of their own.
"""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, gemm, reductions
from skmlp.backends.cuda.runtime.jit import device, scalar_type


def hidden_deltas(spec):
    """Deltas of a layer from those of the next, `layer`."""
    multiply, total = gemm.product(spec.tile, spec.dtype), gemm.sum_of(spec.tile)
    count, corner_of_item = gemm.count_of(spec.tile), gemm.corner_of(spec.tile)
    halvings_of, own_of_thread = gemm.halvings_of(spec.tile), gemm.own_of(spec.tile)
    back = elementwise.back_through(spec)

    def compute(team, net, room, extras, batch, parameters, layer, strips):
        fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
        sizes = (batch.n, fan_in, fan_out)
        deltas = gemm.matrix(room.deltas, room.at[layer + 1], fan_out, room.at)
        weights = gemm.matrix(parameters, net.weights[layer], fan_out, room.at)
        halvings = halvings_of(batch.n, fan_in)
        for item in range(team[0], count(batch.n, fan_in, halvings), team[1]):
            corner = corner_of_item(item, fan_in, halvings)
            multiply(strips, corner, sizes, (deltas, weights), halvings)
            own = own_of_thread(corner, batch.n, fan_in, halvings)
            first, column, last, apart = own
            for row in range(first, last, apart):
                delta = total(strips, row - corner[0], halvings)
                place = room.at[layer] + row * fan_in + column
                room.deltas[np.uint64(place)] = back(
                    *(net, room, extras, batch, layer - 1),
                    *((row, column), delta),
                )

    return device(compute)


def finish_weight(spec):
    """What becomes of an element of a gradient: added up, stored, or used up at once.

    Returns what is summed for `record`: the squares of the parameter as it was and of
    the gradient.
    """
    if spec.optimizer is None:

        def add(room, parameters, step, batch, place, gradient, decay):
            room.gradient[place] += gradient
            return gradient, gradient

        return device(add)
    if spec.limits_gradient:

        def store(room, parameters, step, batch, place, gradient, decay):
            p = parameters[place]
            gradient += decay * p
            room.gradient[place] = gradient
            return p * p, gradient * gradient

        return device(store)

    change = elementwise.update(spec)

    def use(room, parameters, step, batch, place, gradient, decay):
        p = parameters[place]
        gradient += decay * p
        shrink = step.rates[4 * batch.number]
        change(parameters, step, batch.number, place, gradient, shrink)
        return p * p, gradient * gradient

    return device(use)


def record(spec):
    """Keep a warp's partial sums of squares, where there are steps to keep them for."""
    if spec.optimizer is None:
        return device(lambda room, batch, item, of_parameters, of_gradient: None)
    threads = spec.tile.threads
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)
    warps = threads // lanes
    limits = spec.limits_gradient

    def keep(room, batch, item, of_parameters, of_gradient):
        tid = cuda.threadIdx.x
        place = item * warps + tid // lanes
        of_parameters = total_of(of_parameters)
        if limits:
            of_gradient = total_of(of_gradient)
        if tid % lanes == 0:
            room.squares[batch.number * room.n_partials + place] = of_parameters
            if limits:
                room.norms[place] = of_gradient

    return device(keep)


def weight_tile(spec):
    """A tile of the gradient of a layer's weights over dense inputs."""
    multiply, total = gemm.product(spec.tile, spec.dtype), gemm.sum_of(spec.tile)
    reads_x = not (spec.loaded or spec.sparse)
    corner_of_item, own_of_thread = gemm.corner_of(spec.tile), gemm.own_of(spec.tile)
    halvings_of = gemm.halvings_of(spec.tile)
    finish, keep = finish_weight(spec), record(spec)

    def compute(item, partial, net, data, room, batch, parameters, step, layer, strips):
        fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
        sizes = (fan_in, fan_out, batch.n)
        inputs = gemm.transposed(room.outputs, room.at[layer], fan_in, data.order)
        if reads_x and layer == 0:
            inputs = gemm.gathered_transposed(data.x, fan_in, data.order, batch.first)
        deltas = gemm.transposed(room.deltas, room.at[layer + 1], fan_out, data.order)
        halvings = halvings_of(fan_in, fan_out)
        corner = corner_of_item(item, fan_out, halvings)
        multiply(strips, corner, sizes, (inputs, deltas), halvings)
        first, column, last, apart = own_of_thread(corner, fan_in, fan_out, halvings)
        decay = step.decay / type(step.decay)(batch.n)
        of_parameters, of_gradient = type(decay)(0), type(decay)(0)
        for row in range(first, last, apart):
            gradient = total(strips, row - corner[0], halvings)
            place = np.uint64(net.weights[layer] + row * fan_out + column)
            found = finish(room, parameters, step, batch, place, gradient, decay)
            of_parameters += found[0]
            of_gradient += found[1]
        keep(room, batch, partial, of_parameters, of_gradient)

    return device(compute)


def column_sums(spec):
    """Sums of the deltas of some columns over a batch, for all threads of a column."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    width = reductions.lanes_of(threads)
    height = threads // width
    total_of = reductions.column_sum(threads)

    def compute(item, net, room, batch, layer, buffer):
        columns = net.sizes[layer + 1]
        column = item * width + cuda.threadIdx.x % width
        total = kind(0)
        if column < columns:
            for i in range(cuda.threadIdx.x // width, batch.n, height):
                total += room.deltas[room.at[layer + 1] + i * columns + column]
        return total_of(buffer, total)

    return device(compute)


def use_bias(spec):
    """What becomes of a bias's gradient: added up, stored, or used up at once."""
    if spec.optimizer is None:

        def add(room, parameters, step, batch, place, gradient):
            room.gradient[place] += gradient

        return device(add)
    if spec.limits_gradient:

        def store(room, parameters, step, batch, place, gradient):
            room.gradient[place] = gradient

        return device(store)
    change = elementwise.update(spec)

    def use(room, parameters, step, batch, place, gradient):
        shrink = type(gradient)(0)
        change(parameters, step, batch.number, place, gradient, shrink)

    return device(use)


def biases(spec):
    """Gradient of some biases of a layer, and what becomes of it.

    Those of normalized layers, and the scales, have theirs from the normalization.
    """
    threads, trains = spec.tile.threads, spec.intercepts
    width = reductions.lanes_of(threads)
    sums, use = column_sums(spec), use_bias(spec)
    normalizes = spec.normalization is not None

    def compute(item, net, room, batch, parameters, step, layer, buffer):
        units = net.sizes[layer + 1]
        column = item * width + cuda.threadIdx.x % width
        is_first = cuda.threadIdx.x < width and column < units
        if normalizes and layer < net.sizes.shape[0] - 2:
            last = net.sizes.shape[0] - 2
            unit = net.biases[layer] - net.biases[0] + column
            if is_first:
                place = np.uint64(net.scales[layer] + column)
                products = room.sums[net.biases[last] - net.biases[0] + unit]
                use(room, parameters, step, batch, place, products)
            if is_first and trains:
                place = np.uint64(net.biases[layer] + column)
                use(room, parameters, step, batch, place, room.sums[unit])
            return
        total = sums(item, net, room, batch, layer, buffer)
        if is_first and trains:
            place = np.uint64(net.biases[layer] + column)
            use(room, parameters, step, batch, place, total)

    return device(compute)


def sparse_weights(spec):
    """Gradient of the first layer's weights over sparse rows, some features at a time.

    A thread has a column of the weights to itself, so nothing is added by two at once.
    Where a row's elements of these features begin is searched for by a thread a row.
    """
    threads, adds = spec.tile.threads, spec.optimizer is None
    finish, keep = finish_weight(spec), record(spec)

    def compute(item, partial, net, data, room, batch, parameters, step, starts):
        features, units = net.sizes[0], net.sizes[1]
        first = item * SPARSE_FEATURES
        last = min(first + SPARSE_FEATURES, features)
        tid = cuda.threadIdx.x
        if not adds:
            for column in range(tid, units, threads):
                for feature in range(first, last):
                    room.gradient[net.weights[0] + feature * units + column] = 0
        for before in range(0, batch.n, threads):
            cuda.syncthreads()
            if before + tid < batch.n:
                row = data.order[batch.first + before + tid]
                starts[tid] = _first_from(data, row, first)
            cuda.syncthreads()
            for i in range(before, min(before + threads, batch.n)):
                end = data.indptr[data.order[batch.first + i] + 1]
                e = starts[i - before]
                while e < end and data.indices[e] < last:
                    start = net.weights[0] + data.indices[e] * units
                    for column in range(tid, units, threads):
                        delta = room.deltas[room.at[1] + i * units + column]
                        room.gradient[start + column] += data.x[e] * delta
                    e += 1
        if adds:
            return
        decay = step.decay / type(step.decay)(batch.n)
        of_parameters, of_gradient = type(decay)(0), type(decay)(0)
        for column in range(tid, units, threads):
            for feature in range(first, last):
                place = np.uint64(net.weights[0] + feature * units + column)
                gradient = room.gradient[place]
                found = finish(room, parameters, step, batch, place, gradient, decay)
                of_parameters += found[0]
                of_gradient += found[1]
        keep(room, batch, partial, of_parameters, of_gradient)

    return device(compute)


# Features of a sparse X whose weights a block has to itself at a time.
SPARSE_FEATURES = 32


@device
def _first_from(data, row, feature):
    """First element of a sparse row with that feature or a later one."""
    low, high = data.indptr[row], data.indptr[row + 1]
    while low < high:
        middle = (low + high) // 2
        if data.indices[middle] < feature:
            low = middle + 1
        else:
            high = middle
    return low


def gradient(spec):
    """Gradients of a layer's weights and biases over a batch, and what becomes of them.

    The layer's partial sums begin at `partial`; their number is returned.
    """
    tile_of = weight_tile(spec)
    sparse = spec.sparse
    trains = spec.intercepts or spec.normalization is not None
    sparse_part = sparse_weights(spec) if sparse else tile_of
    of_biases, count = biases(spec), gemm.count_of(spec.tile)
    halvings_of = gemm.halvings_of(spec.tile)
    width = reductions.lanes_of(spec.tile.threads)

    def compute(
        team, partial, net, data, room, batch, parameters, step, layer, strips, starts
    ):
        fan_in, fan_out = net.sizes[layer], net.sizes[layer + 1]
        is_sparse = sparse and layer == 0
        n_tiles = count(fan_in, fan_out, halvings_of(fan_in, fan_out))
        if is_sparse:
            n_tiles = (fan_in + SPARSE_FEATURES - 1) // SPARSE_FEATURES
        n_items = n_tiles
        if trains:
            n_items += (fan_out + width - 1) // width
        # From the last block on: the first ones are still at the deltas of this phase.
        for item in range(team[1] - 1 - team[0], n_items, team[1]):
            if item >= n_tiles:
                of_biases(
                    *(item - n_tiles, net, room, batch, parameters, step, layer),
                    strips,
                )
            elif is_sparse:
                sparse_part(
                    *(item, partial + item, net, data, room, batch),
                    *(parameters, step, starts),
                )
            else:
                tile_of(
                    *(item, partial + item, net, data, room, batch),
                    *(parameters, step, layer, strips),
                )
        return n_tiles

    return device(compute)
