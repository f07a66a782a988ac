"""The kernels for what a network says: outputs of rows, and what outputs are worth.

The one for outputs brings all rows through one layer after the other, as wide networks
need it; `fused` has that for narrow ones.
"""

import functools
import math

from numba import cuda

from skmlp.backends.cuda.kernels import losses, passes, reductions
from skmlp.backends.cuda.kernels.structs import Batch
from skmlp.backends.cuda.runtime.jit import device, kernel, rule, scalar_type


def _by_elements(spec, row):
    """An output activation of single outputs."""
    threads, value = spec.tile.threads, rule(row.value)

    def compute(team, net, room, parameters, batch, out):
        last = net.sizes.shape[0] - 2
        columns, biases = net.sizes[last + 1], net.biases[last]
        start = batch.first * columns
        first = team[0] * threads + cuda.threadIdx.x
        for e in range(first, batch.n * columns, team[1] * threads):
            bias = parameters[biases + e % columns]
            out[start + e] = value(room.outputs[room.at[last + 1] + e] + bias)

    return device(compute)


def _softmax(spec):
    """Softmax of every row, a warp a row."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    lanes = reductions.lanes_of(threads)
    warps = threads // lanes
    total_of, largest_of = reductions.warp_sum(threads), reductions.warp_max(threads)

    def compute(team, net, room, parameters, batch, out):
        last = net.sizes.shape[0] - 2
        columns, biases = net.sizes[last + 1], net.biases[last]
        warp, lane = cuda.threadIdx.x // lanes, cuda.threadIdx.x % lanes
        for i in range(warp * team[1] + team[0], batch.n, warps * team[1]):
            start = room.at[last + 1] + i * columns
            found = (batch.first + i) * columns
            largest = kind(-math.inf)
            for j in range(lane, columns, lanes):
                largest = max(largest, room.outputs[start + j] + parameters[biases + j])
            largest = largest_of(largest)
            total = type(largest)(0)
            for j in range(lane, columns, lanes):
                z = room.outputs[start + j] + parameters[biases + j]
                e = math.exp(z - largest)
                out[found + j] = e
                total += e
            total = total_of(total)
            for j in range(lane, columns, lanes):
                out[found + j] /= total

    return device(compute)


def output(spec, row):
    """The output activation, with the last layer's biases.

    ``output(team, net, room, parameters, batch, out)``: for a batch of the rows whose
    predictions go to `out`.
    """
    return _softmax(spec) if row.value is None else _by_elements(spec, row)


def sum_of_x(spec):
    """Adds numbers of X to sums by warp: not finite where X is not."""
    threads, kind = spec.tile.threads, scalar_type(spec.dtype)
    lanes, total_of = reductions.lanes_of(threads), reductions.warp_sum(threads)

    def compute(team, x, sums):
        first = team[0] * threads + cuda.threadIdx.x
        total = kind(0)
        for e in range(first, x.shape[0], team[1] * threads):
            total += x[e]
        total = total_of(total)
        if first % lanes == 0:
            sums[first // lanes] += total

    return device(compute)


@functools.lru_cache(maxsize=64)
def predicting(spec, row):
    """The kernel that predicts some rows, with an output activation.

    Its arguments: `Net`, `Data`, `Room`, `Extras`, the parameters, the number of rows,
    where the outputs go, the numbers of X to look at, and the sums that these are added
    to, one a warp.
    """
    scalar, buffer = scalar_type(spec.dtype), spec.tile.buffer
    way = passes.forward_way(spec, reductions.meet_in_grid)
    finish, sum_up = output(spec, row), sum_of_x(spec)

    def predict(net, data, room, extras, parameters, n, out, looked_at, sums):
        strips = cuda.shared.array(buffer, scalar, alignment=16)
        team = (cuda.blockIdx.x, cuda.gridDim.x)
        batch = Batch(0, 0, n, 0, scalar(1))
        sum_up(team, looked_at, sums)
        way(team, net, data, room, extras, batch, parameters, strips)
        finish(team, net, room, parameters, batch, out)

    return kernel(predict, spec, row)


@functools.lru_cache(maxsize=64)
def evaluating(spec, row):
    """The kernel for raw outputs: their losses by row, and their predictions.

    Its arguments: `Net` of a single layer whose biases are zero, `Data`, `Room` with
    the raw outputs, the parameters, the number of rows, and where predictions go.
    """
    finish, loss = output(spec, row), losses.loss(spec)
    kind = scalar_type(spec.dtype)

    def evaluate(net, data, room, parameters, n, out):
        team = (cuda.blockIdx.x, cuda.gridDim.x)
        batch = Batch(0, 0, n, 0, kind(1))
        finish(team, net, room, parameters, batch, out)
        reductions.meet_in_grid()
        loss(team, net, data, room, batch, parameters)

    return kernel(evaluate, spec, row)
