"""One fit on the CPU: binds arrays to kernels, keeps the threads, returns numbers."""

import functools
import math
import time
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends.cpu import plan
from skmlp.backends.cpu.gemm import matmul
from skmlp.backends.cpu.kernels import clipping, elementwise, predict, train
from skmlp.backends.cpu.kernels.batch_norm import batch_norm_of, train_batch_norm
from skmlp.backends.cpu.kernels.input_layer import SparseRows
from skmlp.backends.cpu.kernels.layer_norm import layer_loops
from skmlp.backends.cpu.kernels.regularization import extras_of
from skmlp.backends.cpu.kernels.structs import Data, Layers, Room, Span, Step
from skmlp.backends.cpu.threads.autotune import Pace
from skmlp.backends.cpu.threads.pool import Team
from skmlp.backends.cpu.workspace import (
    aligned,
    aligned_copy,
    make_room,
    rows_of,
    transposed,
    whole_lines,
)
from skmlp.compiler.struct_pointer import PackedStruct
from skmlp.network import fold_batch_norm, layout
from skmlp.rules.activations import IDENTITY, activation_rule
from skmlp.rules.optimizers import OPTIMIZERS

# Rows that the gradient over all rows works on at a time.
_SWEEP_ROWS = 1024
# Rows of a batch whose hidden outputs are shown: a copy of all might be large.
_MOST_ROWS_SHOWN = 1024


def _read_only(array):
    """A read-only view: kernels see one type, whatever the caller's array allows."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def _kernel_x(x):
    """X in the form of `first_layer`."""
    if sparse.issparse(x):
        return SparseRows(*map(_read_only, (x.data, x.indices, x.indptr)))
    return _read_only(x)


def _row_work(network, x):
    """Multiplications and additions to propagate one row through the network."""
    shapes = network.shapes
    work = 2.0 * sum(fan_in * fan_out for fan_in, fan_out in shapes)
    if sparse.issparse(x):
        fan_in, fan_out = shapes[0]
        work -= 2.0 * fan_out * (fan_in - x.nnz / max(1, x.shape[0]))
    return work


def _layers(network, dtype):
    """The network for the kernels, but for the loops that they call."""
    offsets = layout(network)
    normalizes = network.normalization == "layer"
    norm, in_place, back = layer_loops(dtype) if normalizes else (0, 0, 0)
    return Layers(
        sizes=np.array(network.sizes, dtype=np.int64),
        weights=np.array(offsets.weight_offsets, dtype=np.int64),
        biases=np.array(offsets.bias_offsets, dtype=np.int64),
        activations=_addresses(
            elementwise.activation(row, dtype, keeps=False)
            for row in network.activation_rows
        ),
        slopes=_addresses(()),
        single_slopes=_addresses(()),
        by_input=np.zeros(len(network.activation_rows), dtype=np.int64),
        keeps=np.zeros(len(network.activation_rows), dtype=np.int64),
        loss=0,
        loss_parameters=np.zeros(1, dtype=dtype),
        scales=_addresses(offsets.scale_offsets),
        norm=norm,
        norm_in_place=in_place,
        norm_back=back,
    )


def _addresses(numbers):
    return np.array([*numbers], dtype=np.int64)


def _training_layers(network, dtype, drops):
    """The network with all that a minibatch needs."""
    rules = network.activation_rows
    # Dropout comes between the product and the slope.
    is_single = network.sizes[-1] == 1 and not drops
    singles = (
        [elementwise.single_slope(row, dtype) for row in rules] if is_single else []
    )
    by_input = np.array([row.needs_preactivation for row in rules], dtype=np.int64)
    return _layers(network, dtype)._replace(
        activations=_addresses(
            elementwise.activation(row, dtype, keeps=row.needs_preactivation)
            for row in rules
        ),
        slopes=_addresses(elementwise.slope(row, dtype) for row in rules),
        single_slopes=_addresses(singles),
        by_input=by_input,
        keeps=np.ones_like(by_input) if drops else by_input,
        loss=elementwise.loss(network.loss, dtype),
        loss_parameters=np.array(network.loss_parameters, dtype=dtype),
    )


@functools.lru_cache(maxsize=256)
def _predicting_layers(network, output, dtype):
    """The network with an output activation, for `predict`."""
    layers = _layers(network, dtype)
    last = elementwise.activation(activation_rule(output), dtype, keeps=False)
    return PackedStruct(
        layers._replace(activations=np.append(layers.activations, last))
    )


class _Place(NamedTuple):
    """Where batches of one size are worked on."""

    room: Room
    packed: PackedStruct
    norm: PackedStruct | None
    team: Team
    pace: Pace


class Session:
    """One fit (see `skmlp.backends`).

    Parameters
    ----------
    problem : skmlp.backends.Problem
    parameters : ndarray
        Trained in place.
    n_jobs : int or None
    """

    def __init__(self, problem, parameters, n_jobs):
        self.parameters = parameters
        self._problem = problem
        self._n_jobs = n_jobs
        self._dtype = parameters.dtype
        weights = problem.sample_weight
        if weights is None:
            weights = np.zeros(0, dtype=self._dtype)
        self._data = PackedStruct(
            Data(_kernel_x(problem.x), _read_only(problem.targets), _read_only(weights))
        )
        self._weight = 1.0 / problem.mean_sample_weight
        extras = extras_of(problem.regularization, self._dtype)
        self._is_limited = extras.penalize != 0
        self._extras = PackedStruct(extras)
        self._layers = PackedStruct(
            _training_layers(problem.network, self._dtype, extras.drop != 0)
        )
        self._steps = 0
        self._places: dict[int, _Place] = {}
        self._last: tuple[Room, int] | None = None

    def _place(self, batch_size):
        """Working memory and threads for batches of a size, made at first use."""
        if batch_size not in self._places:
            work = batch_size * _row_work(self._problem.network, self._problem.x)
            team = Team(plan.threads_for(work, self._n_jobs))
            room = make_room(self._problem, batch_size, self.parameters)
            network = self._problem.network
            norm = None
            if network.normalization == "batch":
                units = sum(network.sizes[1:-1])
                norm = PackedStruct(
                    batch_norm_of(layout(network), room, units, self._dtype)
                )
            pace = Pace(team.size)
            self._places[batch_size] = _Place(
                room, PackedStruct(room), norm, team, pace
            )
        return self._places[batch_size]

    def train(self, optimizer, order, batch_size, span, rates, total):
        """Train on some batches of an epoch."""
        batches = self._span(order, len(order), batch_size, span)
        return float(self._train(optimizer, batches, rates, np.array([total]))[0])

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs, in one call of the kernel or a few."""
        n_epochs, n_rows = orders.shape
        batches = self._span(orders.ravel(), n_rows, batch_size, (0, len(rates)))
        return self._train(optimizer, batches, rates, np.zeros(n_epochs)).tolist()

    def _span(self, order, n_rows, batch_size, span):
        """Some batches of epochs of so many rows, the next ones to be trained on."""
        return Span(
            order=_read_only(order),
            rows=n_rows,
            batch=batch_size,
            first=span[0],
            last=span[1],
            weight=self._weight,
            steps=self._steps - span[0],
        )

    def _train(self, optimizer, span, rates, result):
        """Train on a span's batches; adds up losses in result, by epoch."""
        place = self._place(span.batch)
        step = Step(
            update=elementwise.update(OPTIMIZERS[optimizer.name], self._dtype),
            slots=optimizer.slots,
            shrinks=rates[:, 0].astype(self._dtype),
            coefficients=rates[:, 1:].astype(self._dtype, order="C"),
            hyper=np.array(optimizer.hyper, dtype=self._dtype),
            decay=self._problem.alpha * self._weight,
        )
        self._steps += span.last - span.first
        arguments: tuple = (self._layers, self._data, place.packed, self._extras)
        kernel = clipping.train_limited if self._is_limited else train.train
        if place.norm is not None:
            kernel = train_batch_norm
            arguments = (*arguments, place.norm)

        def work(post, part):
            first = part.first - span.first
            rest = step._replace(
                shrinks=step.shrinks[first:], coefficients=step.coefficients[first:]
            )
            return kernel(post, *arguments, self.parameters, rest, part, result)

        self._run(place, span, work)
        self._last = place.room, span.last_rows
        return result

    def set_parameters(self, parameters):
        """Go on from other parameters, in whatever precision."""
        self.parameters[:] = parameters

    def loss_and_gradient(self, parameters):
        """Loss and gradient over all training rows, the penalty included."""
        self._check_sweep()
        rows = self._problem.row_ids
        batch_size = min(_SWEEP_ROWS, len(rows))
        place = self._place(batch_size)
        room = place.room
        n_batches = -(-len(rows) // batch_size)
        span = self._span(rows, len(rows), batch_size, (0, n_batches))
        values = np.ascontiguousarray(parameters, dtype=self._dtype)
        result = np.zeros(1)
        room.gradient[:] = 0
        room.transposed[:] = transposed(self._problem.network, values)
        arguments = (self._layers, self._data, place.packed, self._extras, values)
        self._run(
            place,
            span,
            lambda post, part: train.differentiate(post, *arguments, part, result),
        )
        self._last = room, span.last_rows
        gradient = room.gradient.astype(np.float64)
        n_weights = layout(self._problem.network).bias_offsets[0]
        penalized = np.asarray(parameters, dtype=np.float64)[:n_weights]
        decay = self._problem.alpha * self._weight / len(rows)
        gradient[:n_weights] += decay * penalized
        # Not a dot product: BLAS would share it among threads, with other bits.
        penalty = 0.5 * decay * np.sum(penalized * penalized)
        return float(result[0] + penalty), gradient

    def _check_sweep(self):
        """Refuse what a sweep over all rows has not: minibatches and numbered steps."""
        if self._problem.network.normalization == "batch":
            raise ValueError("A sweep over all rows has no statistics of minibatches.")
        extras = self._problem.regularization
        if extras.input_noise > 0 or any(rate > 0 for rate in extras.dropout):
            raise ValueError("A sweep over all rows has no dropout and no noise.")

    @staticmethod
    def _run(place, span, work):
        """Let as many members work on a span's batches as have proved worth it."""
        first = span.first
        while first < span.last:
            size, n_batches = place.pace.next(span.last - first)
            part = span._replace(first=first, last=first + n_batches)
            start = time.perf_counter()
            place.team.run(lambda post, part=part: work(post, part), size)
            place.pace.record(size, n_batches, time.perf_counter() - start)
            first += n_batches

    def hidden_outputs(self):
        """Outputs of the hidden layers for rows of the batch trained on last."""
        if self._last is None:
            return None
        room, n_rows = self._last
        some, sizes = min(n_rows, _MOST_ROWS_SHOWN), self._problem.network.sizes[1:-1]
        return [rows_of(room, n, units, some) for n, units in enumerate(sizes, 1)]

    def outputs(self, x, rows):
        """Raw outputs for some rows, or for all, with the current parameters."""
        network = self._problem.network
        return _predict(network, self.parameters, (x, rows), IDENTITY, self._n_jobs)[0]

    def close(self):
        """End the threads."""
        for place in self._places.values():
            place.team.close()


@contextmanager
def open_session(problem, parameters, n_jobs):
    """A session on a copy of some parameters, closed at the end of the block."""
    session = Session(problem, aligned_copy(parameters), n_jobs)
    try:
        yield session
    finally:
        session.close()


def _predict(network, parameters, source, activation, n_jobs):
    """Predictions for some rows, and whether the sum of all of X is finite.

    `source` is X and row numbers, or X and none; with numbers X is not summed.
    """
    x, rows = source
    network, parameters = fold_batch_norm(network, parameters)
    n_rows = x.shape[0] if rows is None else len(rows)
    dtype = parameters.dtype
    width = max(network.sizes[1:] if sparse.issparse(x) else network.sizes)
    block = plan.predict_rows(width, n_rows, dtype.itemsize)
    n_blocks = -(-n_rows // block)
    work = n_rows * _row_work(network, x)
    n_threads = min(plan.threads_for(work, n_jobs), n_blocks)
    out = np.empty((n_rows, network.sizes[-1]), dtype=dtype)
    size = 2 * whole_lines(block * width, dtype)
    scratch = aligned(n_threads * size, dtype).reshape(n_threads, size)
    room = (scratch, block, matmul.multiplier(dtype))
    # By rows, not names: the row that a name stands for may have been exchanged.
    by_rows = network._replace(activations=tuple(network.activation_rows), loss=None)
    layers = _predicting_layers(by_rows, activation, dtype)
    numbers = _read_only(np.empty(0, dtype=np.int64) if rows is None else rows)
    sums = np.zeros(n_blocks)
    arguments = (layers, _kernel_x(x), numbers, room, parameters, out, sums)
    with Team(n_threads) as team:
        team.run(lambda post: predict.predict(post, *arguments))
    return out, math.isfinite(sum(sums.tolist()))


def outputs(network, parameters, x, activation, n_jobs):
    """Predictions of a network, its output activation being the one named.

    With them, whether the sum of X is finite. The working memory belongs to the call,
    so that threads may predict at once.
    """
    return _predict(network, parameters, (x, None), activation, n_jobs)


def evaluate(network, raw, targets, weights):
    """Mean loss of raw outputs, and the predictions that they stand for."""
    n_rows, columns = raw.shape
    dtype = raw.dtype
    if weights is None:
        weights = np.zeros(0, dtype=dtype)
        total_weight = float(n_rows)
    else:
        total_weight = float(weights.sum(dtype=np.float64))
    block = min(_SWEEP_ROWS, n_rows)
    predictions = np.empty_like(raw)
    total = np.zeros(1)
    predict.evaluate(
        (
            elementwise.activation(activation_rule(network.output), dtype, keeps=False),
            elementwise.loss(network.loss, dtype),
        ),
        _read_only(raw),
        (_read_only(targets), _read_only(weights), _read_only(np.arange(n_rows))),
        (np.empty(block * columns, dtype=dtype), np.empty(block * columns, dtype)),
        predictions,
        np.array(network.loss_parameters, dtype=dtype),
        total,
    )
    return float(total[0]) / total_weight, predictions
