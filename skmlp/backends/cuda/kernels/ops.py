"""The kernels of a step of single operations: every phase of a minibatch by itself.

The phases are those that the kernels of whole spans consist of (see `epoch`). Between
launches of one stream all that was written can be read, so nobody has to wait inside a
kernel. Which batch is at work is read from the cursor, and the last kernel of a step
moves it on: that is how one recorded step serves for every batch of a span.
"""

import functools

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels import (
    backward,
    clipping,
    elementwise,
    forward,
    losses,
    normalization,
    reductions,
    train,
)
from skmlp.backends.cuda.kernels.structs import Batch
from skmlp.backends.cuda.runtime.jit import device, kernel, scalar_type

# Weights a thread of a block whose squares are one partial sum.
_WEIGHTS_EACH = 16


def weights_a_block(tile):
    """Weights that a block has to itself, so that sums have an order of their own."""
    return _WEIGHTS_EACH * tile.threads


def _load(spec):
    load = forward.load(spec)
    return lambda team, s, batch, layer, partial: load(
        team, s.net, s.data, s.room, s.extras, batch
    )


def _sparse_forward(spec):
    first_layer = forward.sparse_first_layer(spec)
    return lambda team, s, batch, layer, partial: first_layer(
        team, s.net, s.data, s.room, s.extras, batch, s.parameters
    )


def _finish(spec):
    """Outputs of a hidden layer in the place of its product: a row a block."""
    threads, store = spec.tile.threads, forward.finish(spec)

    def compute(team, s, batch, layer, partial):
        units, start = s.net.sizes[layer + 1], s.room.at[layer + 1]
        for row in range(team[0], batch.n, team[1]):
            for column in range(cuda.threadIdx.x, units, threads):
                z = s.room.outputs[np.uint64(start + row * units + column)]
                store(
                    *(s.net, s.room, s.extras, batch, s.parameters, layer),
                    *((row, column), z),
                )

    return compute


def _norm(spec):
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    norm = normalization.norm(spec)

    def compute(team, s, batch, layer, partial):
        buffer = cuda.shared.array(threads, scalar)
        norm(team, s.net, s.room, s.extras, batch, s.parameters, layer, buffer)

    return compute


def _softmax(spec):
    softmax = normalization.softmax(spec)
    return lambda team, s, batch, layer, partial: softmax(
        team, s.net, s.room, s.extras, batch, layer
    )


def _loss(spec):
    loss = losses.loss(spec)
    return lambda team, s, batch, layer, partial: loss(
        team, s.net, s.data, s.room, batch, s.parameters
    )


def _back_through(spec):
    """Deltas below a layer, in the place of their product: a row a block."""
    threads, back = spec.tile.threads, elementwise.back_through(spec)

    def compute(team, s, batch, layer, partial):
        units, start = s.net.sizes[layer], s.room.at[layer]
        for row in range(team[0], batch.n, team[1]):
            for column in range(cuda.threadIdx.x, units, threads):
                place = np.uint64(start + row * units + column)
                s.room.deltas[place] = back(
                    *(s.net, s.room, s.extras, batch, layer - 1),
                    *((row, column), s.room.deltas[place]),
                )

    return compute


def _softmax_back(spec):
    softmax_back = normalization.softmax_back(spec)
    return lambda team, s, batch, layer, partial: softmax_back(
        team, s.net, s.room, batch, layer
    )


def _norm_sums(spec):
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    sums = normalization.norm_sums(spec)

    def compute(team, s, batch, layer, partial):
        buffer = cuda.shared.array(threads, scalar)
        sums(team, s.net, s.room, batch, layer, buffer)

    return compute


def _norm_back(spec):
    norm_back = normalization.norm_back(spec)
    return lambda team, s, batch, layer, partial: norm_back(
        team, s.net, s.room, batch, s.parameters, layer
    )


def _weights(spec):
    """The penalty on a layer's weights, and the step on them by their gradient.

    Where the gradient's norm is limited, there is no step yet.
    """
    kind, threads = scalar_type(spec.dtype), spec.tile.threads
    finish, keep = backward.finish_weight(spec), backward.record(spec)
    size = weights_a_block(spec.tile)

    def compute(team, s, batch, layer, partial):
        n_weights = s.net.sizes[layer] * s.net.sizes[layer + 1]
        decay = s.step.decay / kind(batch.n)
        for item in range(team[0], (n_weights + size - 1) // size, team[1]):
            of_parameters, of_gradient = kind(0), kind(0)
            end = min((item + 1) * size, n_weights)
            for e in range(item * size + cuda.threadIdx.x, end, threads):
                place = np.uint64(s.net.weights[layer] + e)
                found = finish(
                    *(s.room, s.parameters, s.step, batch),
                    *(place, s.room.gradient[place], decay),
                )
                of_parameters += found[0]
                of_gradient += found[1]
            keep(s.room, batch, partial + item, of_parameters, of_gradient)

    return compute


def _sparse_weights(spec):
    """The gradient of the first layer's weights over sparse rows, and their step."""
    index, threads = scalar_type("int64"), spec.tile.threads
    sparse_weights, size = backward.sparse_weights(spec), backward.SPARSE_FEATURES

    def compute(team, s, batch, layer, partial):
        starts = cuda.shared.array(threads, index)
        n_items = (s.net.sizes[0] + size - 1) // size
        for item in range(team[0], n_items, team[1]):
            sparse_weights(
                *(item, partial + item, s.net, s.data, s.room, batch),
                *(s.parameters, s.step, starts),
            )

    return compute


def _biases(spec):
    """The step on a layer's biases, whose gradient is there."""
    threads, use = spec.tile.threads, backward.use_bias(spec)

    def compute(team, s, batch, layer, partial):
        first = team[0] * threads + cuda.threadIdx.x
        for column in range(first, s.net.sizes[layer + 1], team[1] * threads):
            place = np.uint64(s.net.biases[layer] + column)
            gradient = s.room.gradient[place]
            use(s.room, s.parameters, s.step, batch, place, gradient)

    return compute


def _norm_biases(spec):
    """Gradients of a normalized layer's scales and biases, and what becomes of them."""
    scalar, threads = scalar_type(spec.dtype), spec.tile.threads
    biases, width = backward.biases(spec), reductions.lanes_of(threads)

    def compute(team, s, batch, layer, partial):
        buffer = cuda.shared.array(threads, scalar)
        n_items = (s.net.sizes[layer + 1] + width - 1) // width
        for item in range(team[0], n_items, team[1]):
            biases(
                *(item, s.net, s.room, batch, s.parameters, s.step),
                *(layer, buffer),
            )

    return compute


def _bias_squares(spec):
    squares = clipping.bias_squares(spec)
    return lambda team, s, batch, layer, partial: squares(
        team, s.net, s.room, s.trained
    )


def _fold_norms(spec):
    fold = clipping.fold_norms(spec)
    return lambda team, s, batch, layer, partial: fold(s.room)


def _update_all(spec):
    update = clipping.update_all(spec)
    return lambda team, s, batch, layer, partial: update(
        *(team, s.net, s.room, s.extras, batch, s.parameters, s.step, s.trained)
    )


def _limit_weights(spec):
    limit = clipping.limit_weights(spec)
    return lambda team, s, batch, layer, partial: limit(
        team, s.net, s.extras, s.parameters
    )


OPERATIONS = {
    "load": _load,
    "sparse_forward": _sparse_forward,
    "finish": _finish,
    "norm": _norm,
    "softmax": _softmax,
    "loss": _loss,
    "back_through": _back_through,
    "softmax_back": _softmax_back,
    "norm_sums": _norm_sums,
    "norm_back": _norm_back,
    "weights": _weights,
    "sparse_weights": _sparse_weights,
    "biases": _biases,
    "norm_biases": _norm_biases,
    "bias_squares": _bias_squares,
    "fold_norms": _fold_norms,
    "update_all": _update_all,
    "limit_weights": _limit_weights,
}


@functools.lru_cache(maxsize=256)
def operation(spec, name):
    """The kernel of a row of `OPERATIONS`.

    Its arguments: `State`, the number of a layer, and the number of the first of the
    layer's partial sums of squares.
    """
    kind, phase = scalar_type(spec.dtype), device(OPERATIONS[name](spec))
    place = train.place_of_batch()

    def run(state, layer, partial):
        number = state.cursor[0]
        first, n = place(number, state.room.batch, state.cursor[1])
        scale = state.step.weight / kind(n)
        batch = Batch(number, first, n, state.cursor[2] + number, scale)
        phase((cuda.blockIdx.x, cuda.gridDim.x), state, batch, layer, partial)

    return kernel(run, spec, name)


def _advance(cursor):
    cursor[0] += 1


@functools.cache
def advancing():
    """The kernel that moves the cursor to the next batch: one thread."""
    return kernel(_advance)


@functools.lru_cache(maxsize=64)
def totaling(spec):
    """The kernel that adds up losses and squares by batch (see `epoch.totals`)."""
    totals = train.totals(spec)

    def run(room, span, result):
        totals((cuda.blockIdx.x, cuda.gridDim.x), room, span, result)

    return kernel(run, spec)
