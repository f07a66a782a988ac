"""One fit on a device: binds arrays to kernels, launches them, returns numbers."""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends import train_one_by_one
from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import extras_of, n_processors, net_of, spec_of
from skmlp.backends.cuda.data_loader import Resident, Streamed, fits
from skmlp.backends.cuda.kernels.structs import Data
from skmlp.backends.cuda.prediction import Predictor, data_of
from skmlp.backends.cuda.prediction import outputs as predict
from skmlp.backends.cuda.programs.per_op import Stepwise
from skmlp.backends.cuda.programs.persistent import Spanwise
from skmlp.backends.cuda.runtime import device_cache
from skmlp.backends.cuda.runtime.content_hash import cache_key
from skmlp.backends.cuda.runtime.memory import (
    available,
    cache,
    download,
    is_on_device,
    upload,
)
from skmlp.backends.cuda.workspace import Fit, Span, Vectors
from skmlp.network import layout

# Rows that the gradient over all rows works on at a time.
_SWEEP_ROWS = 4096
# Rows of several epochs that are trained on by one call: 2 MB of their numbers; and
# bytes that are free for each, of which it takes some dozen.
_SPAN_ROWS, _FREE_BYTES = 1 << 18, 1024


class Lent(NamedTuple):
    """An X that a fit has on the device.

    Attributes
    ----------
    x : ndarray, scipy.sparse CSR or array with ``__cuda_array_interface__``
    key : tuple or None
        What the next fit finds it by; None if it was there already, and is not ours.
    data : Data
    """

    x: object
    key: tuple | None
    data: Data


class Session:
    """One fit (see `skmlp.backends`).

    Parameters
    ----------
    problem : skmlp.backends.Problem
    parameters : ndarray
        Copied.
    n_jobs : int or None
    """

    def __init__(self, problem, parameters, n_jobs):
        self._problem = problem
        self._n_jobs = n_jobs
        self._trained_on: Lent | None = None
        self._other: Lent | None = None
        self._dtype = parameters.dtype
        self._sparse = sparse.issparse(problem.x)
        self._parameters = upload(parameters)
        self._source = self._make_source()
        self._fit = Fit(
            *(problem.network, net_of(problem.network, self._dtype)),
            *(self._source.data, extras_of(problem.regularization, self._dtype)),
            *(len(problem.row_ids), self._span_rows()),
            *(problem.alpha, 1.0 / problem.mean_sample_weight),
        )
        self._steps = 0
        self._programs: dict[tuple[int, str | None], Spanwise | Stepwise] = {}
        self._slots = None
        self._optimizer = None

    @property
    def parameters(self):
        """A copy of the current parameters on the host."""
        return download(self._parameters)

    def _make_source(self):
        problem = self._problem
        if not fits(problem.x):
            columns = [problem.x, problem.targets]
            if problem.sample_weight is not None:
                columns.append(problem.sample_weight.reshape(-1, 1))
            return Streamed(columns, self._n_jobs)
        weights = problem.sample_weight
        if weights is None:
            weights = np.zeros(0, dtype=self._dtype)
        self._trained_on = self._lent(problem.x)
        targets, weights = upload(problem.targets), upload(weights)
        return Resident(
            self._trained_on.data._replace(targets=targets, weights=weights)
        )

    def _span_rows(self):
        return min(_SPAN_ROWS, self._source.most_rows, available() // _FREE_BYTES)

    def _lent(self, x):
        """X on the device, where an earlier fit may have left the same."""
        if is_on_device(x):
            return Lent(x, None, data_of(x, self._dtype))
        key = cache_key(x, self._n_jobs)
        found = device_cache.current().pop(key)
        return Lent(x, key, data_of(x, self._dtype) if found is None else found)

    def _spec(self, tile, optimizer):
        network, extras = self._problem.network, self._problem.regularization
        steps = optimizer is not None
        noisy = extras.input_noise > 0 and steps
        return spec_of(
            *(network, self._dtype, tile),
            optimizer=optimizer,
            sparse=self._sparse,
            loaded=noisy,
            drops=steps and any(rate > 0 for rate in extras.dropout),
            noisy=noisy,
            limits_gradient=steps and np.isfinite(extras.max_grad_norm).item(),
            limits_weights=steps and np.isfinite(extras.max_norm).item(),
        )

    def _program(self, batch_size, optimizer):
        """What works on batches of a size, made at first use."""
        key = (batch_size, optimizer)
        if key not in self._programs:
            self._programs[key] = self._make_program(batch_size, optimizer)
        return self._programs[key]

    def _make_program(self, batch_size, optimizer):
        if self._source.reserve(batch_size):
            self._close_programs()
        self._fit = fit = self._fit._replace(data=self._source.data)
        shapes = self._fit.network.shapes
        work = plan.Work(batch_size, shapes, self._sparse)
        tile = plan.choose_tile(plan.few_for(n_processors()))
        spec = self._spec(tile, optimizer)
        tf32 = self._problem.matmul_precision == "tf32"
        # Sums over all rows, which have no optimizer, are the spans' kernel's.
        if optimizer is None or plan.choose_program(work, tf32) == "spanwise":
            return Spanwise(fit, work, spec)
        spec = spec._replace(loaded=not self._sparse)
        return Stepwise(fit, work, spec, tf32)

    def _bind(self, optimizer):
        """The optimizer's vectors on the device, as they are on the host."""
        if self._optimizer is not optimizer:
            self._give_back_slots()
            self._optimizer = optimizer
            self._slots = upload(optimizer.slots)

    def _give_back_slots(self):
        if self._optimizer is not None:
            slots = download(self._slots).reshape(self._optimizer.slots.shape)
            self._optimizer.slots[:] = slots
            self._optimizer = None

    def train(self, optimizer, order, batch_size, span, rates, total):
        """Train on some batches of an epoch."""
        program = self._bound_program(optimizer, batch_size)
        rows = order[span[0] * batch_size : span[1] * batch_size]
        for part in self._parts(program, rows, batch_size, rates):
            found = self._train(program, optimizer, part)
            total = self._added(total, found, len(part.rows), batch_size)
        return total

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs, as many in one span as there is room for."""
        n_epochs, n_rows = orders.shape
        n_batches = len(rates) // n_epochs
        program = self._bound_program(optimizer, batch_size)
        at_once = min(
            program.most_batches // n_batches, self._source.most_rows // n_rows
        )
        if at_once < 2:
            return train_one_by_one(self, optimizer, orders, batch_size, rates)
        totals = []
        for first in range(0, n_epochs, at_once):
            some = orders[first : first + at_once]
            last = (first + len(some)) * n_batches
            rows = self._source.fetch(some.reshape(-1), None)
            span = Span(rows, rates[first * n_batches : last], self._steps, n_rows)
            found = self._train(program, optimizer, span)
            for epoch in range(0, len(found), n_batches):
                batches = found[epoch : epoch + n_batches]
                totals.append(self._added(0.0, batches, n_rows, batch_size))
        return totals

    def _bound_program(self, optimizer, batch_size):
        self._bind(optimizer)
        return self._program(batch_size, optimizer.name)

    def _train(self, program, optimizer, span):
        """Train on a span; each batch's loss, and the sum of its weights' squares."""
        hyper = np.array(optimizer.hyper, dtype=self._dtype)
        vectors = Vectors(self._parameters, self._slots, hyper)
        found = program.train(vectors, span)
        self._steps += len(found)
        return found

    def _added(self, total, found, n_rows, batch_size):
        """A total plus rows times loss of each batch, of so many rows in all."""
        decay = 0.5 * self._fit.alpha * self._fit.weight
        for number, (loss, squares) in enumerate(found):
            n = min(batch_size, n_rows - number * batch_size)
            total += n * loss + decay * squares
        return total

    def _parts(self, program, rows, batch_size, rates):
        """Spans that have some rows between them, brought to the device in turn."""
        at_once = max(1, self._source.most_rows // batch_size)
        n_batches = int(min(program.most_batches, at_once))
        size = n_batches * batch_size
        parts = [rows[first : first + size] for first in range(0, len(rows), size)]
        following = [*parts[1:], None]
        for number, (part, after) in enumerate(zip(parts, following, strict=True)):
            some = rates[number * n_batches :][: -(-len(part) // batch_size)]
            there = self._source.fetch(part, after)
            yield Span(there, some, self._steps, len(part))

    def set_parameters(self, parameters):
        """Go on from other parameters, in whatever precision."""
        values = np.ascontiguousarray(parameters, dtype=self._dtype)
        self._parameters.copy_to_device(values)

    def loss_and_gradient(self, parameters):
        """Loss and gradient over all training rows, the penalty included."""
        network, rows = self._fit.network, self._problem.row_ids
        if network.normalization == "batch":
            raise ValueError("A sweep over all rows has no statistics of minibatches.")
        values = upload(np.ascontiguousarray(parameters, dtype=self._dtype))
        batch_size = min(_SWEEP_ROWS, len(rows), self._source.most_rows)
        program = self._program(batch_size, None)
        vectors = Vectors(values, values, np.zeros(3, dtype=self._dtype))
        rates = np.zeros((-(-len(rows) // batch_size), 4))
        spans = self._parts(program, rows, batch_size, rates)
        loss, gradient = program.differentiate(vectors, spans)
        gradient = gradient.astype(np.float64)
        n_weights = layout(network).bias_offsets[0]
        penalized = np.asarray(parameters, dtype=np.float64)[:n_weights]
        decay = self._fit.alpha * self._fit.weight / len(rows)
        gradient[:n_weights] += decay * penalized
        return loss + 0.5 * decay * float(np.sum(penalized * penalized)), gradient

    def hidden_outputs(self):
        """None: they are on the device, and batches of other programs over them."""

    def outputs(self, x, rows):
        """Raw outputs for some rows, or for all, with the current parameters."""
        network, parameters = self._problem.network, self._parameters
        if x is self._problem.x and isinstance(self._source, Streamed):
            some = x if rows is None else x[rows]
            return predict(network, self.parameters, some, "identity")[0]
        if network.normalization == "batch":
            parameters = self.parameters
        predictor = Predictor(network, parameters, "identity")
        data = self._on_device(x)
        order = np.arange(x.shape[0]) if rows is None else rows
        return predictor.predict(data, order, self._sparse)

    def _on_device(self, x):
        """Some X on the device; that of the training and the last other one stay."""
        if x is self._problem.x:
            return self._source.data
        if self._other is None or self._other.x is not x:
            self._other = self._lent(x)
        return self._other.data

    def finish(self):
        """Give the optimizer its vectors back."""
        self._give_back_slots()

    def lent(self):
        """All X of this fit that the next one may find on the device."""
        found = (self._trained_on, self._other)
        return [one for one in found if one is not None and one.key is not None]

    def close(self):
        """Give the device all back, whoever goes on having the session."""
        self._source.close()
        self._close_programs()
        del self._source, self._fit, self._parameters, self._slots
        del self._trained_on, self._other

    def _close_programs(self):
        programs = list(self._programs.values())
        self._programs.clear()
        for program in programs:
            program.close()


@contextmanager
def open_session(problem, parameters, n_jobs):
    """A session on a copy of some parameters, on the current device."""
    session, lent = Session(problem, parameters, n_jobs), []
    try:
        yield session
        session.finish()
        lent = session.lent()
    finally:
        session.close()
    # Only now, when the memory of this fit is free again.
    for one in lent:
        cache(one.key, one.data)
