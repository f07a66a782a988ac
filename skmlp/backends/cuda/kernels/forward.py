"""The way forward: rows of X, the products of the layers, the activations."""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import elementwise, gemm
from skmlp.backends.cuda.runtime.jit import device, rule, scalar_type
from skmlp.rules.randomness import key_of, normal_of, word_of


def load(spec):
    """Copy a batch's rows of X to the room, with noise where there is any."""
    threads, noisy = spec.tile.threads, spec.noisy
    key_of_layer, word, normal = rule(key_of), rule(word_of), rule(normal_of)

    def copy(team, net, data, room, extras, batch):
        features = net.sizes[0]
        key = key_of_layer(extras.seed, batch.step, 0)
        for i in range(team[0], batch.n, team[1]):
            row = data.order[batch.first + i]
            for column in range(cuda.threadIdx.x, features, threads):
                value = data.x[np.uint64(row * features + column)]
                e = i * features + column
                if noisy:
                    place = np.uint32(e & 0xFFFFFFFF)
                    value += normal(word(key, place), extras.deviation)
                room.outputs[np.uint64(room.at[0] + e)] = value

    return device(copy)


def finish(spec):
    """What becomes of an element of a layer's product, without its bias."""
    activate = elementwise.activate(spec)
    normalizes = spec.normalization is not None

    def store(net, room, extras, batch, parameters, layer, at, z):
        units = net.sizes[layer + 1]
        row, column = at
        is_last = layer == net.sizes.shape[0] - 2
        # The loss adds the last layer's biases, a normalization its own.
        if is_last or normalizes:
            place = room.at[layer + 1] + row * units + column
            room.outputs[np.uint64(place)] = z
            return
        bias = parameters[np.uint64(net.biases[layer] + column)]
        activate(net, room, extras, batch, layer, at, z + bias)

    return device(store)


def _finish_tile(spec):
    """What becomes of a thread's elements of a tile."""
    own_of_thread, total = gemm.own_of(spec.tile), gemm.sum_of(spec.tile)
    store = finish(spec)

    def end(strips, corner, halvings, net, room, extras, batch, parameters, layer):
        units = net.sizes[layer + 1]
        first, column, last, apart = own_of_thread(corner, batch.n, units, halvings)
        for row in range(first, last, apart):
            z = total(strips, row - corner[0], halvings)
            store(net, room, extras, batch, parameters, layer, (row, column), z)

    return device(end)


def sparse_first_layer(spec):
    """The first layer's products for sparse rows: a row a block, a column a thread."""
    threads, store = spec.tile.threads, finish(spec)
    kind = scalar_type(spec.dtype)

    def forward(team, net, data, room, extras, batch, parameters):
        units = net.sizes[1]
        for i in range(team[0], batch.n, team[1]):
            row = data.order[batch.first + i]
            for column in range(cuda.threadIdx.x, units, threads):
                z = kind(0)
                for e in range(data.indptr[row], data.indptr[row + 1]):
                    place = net.weights[0] + data.indices[e] * units + column
                    z += data.x[e] * parameters[place]
                store(net, room, extras, batch, parameters, 0, (i, column), z)

    return device(forward)


def dense_layer(spec):
    """A layer's products and what becomes of them."""
    multiply, loaded = gemm.product(spec.tile, spec.dtype), spec.loaded
    count, corner_of_item = gemm.count_of(spec.tile), gemm.corner_of(spec.tile)
    halvings_of, end = gemm.halvings_of(spec.tile), _finish_tile(spec)

    def forward(team, net, data, room, extras, batch, parameters, layer, strips):
        fan_in, units = net.sizes[layer], net.sizes[layer + 1]
        sizes = (batch.n, units, fan_in)
        rows = gemm.matrix(room.outputs, room.at[layer], fan_in, data.order)
        if layer == 0 and not loaded:
            rows = gemm.gathered(data.x, fan_in, data.order, batch.first)
        weights = gemm.transposed(parameters, net.weights[layer], units, data.order)
        halvings = halvings_of(batch.n, units)
        for item in range(team[0], count(batch.n, units, halvings), team[1]):
            corner = corner_of_item(item, units, halvings)
            multiply(strips, corner, sizes, (rows, weights), halvings)
            end(strips, corner, halvings, net, room, extras, batch, parameters, layer)

    return device(forward)


def layer(spec):
    """A layer, the first one over dense or sparse rows."""
    dense = dense_layer(spec)
    if not spec.sparse:
        return dense
    sparse = sparse_first_layer(spec)

    def forward(team, net, data, room, extras, batch, parameters, layer, strips):
        if layer == 0:
            sparse(team, net, data, room, extras, batch, parameters)
        else:
            dense(team, net, data, room, extras, batch, parameters, layer, strips)

    return device(forward)
