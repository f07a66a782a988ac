"""A session: one fit on a device, by the persistent kernel or by CUDA graphs."""

import math
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends import train_one_by_one
from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors, net_of, reg_of, spec_of
from skmlp.backends.cuda.data_loader import Resident, Streamed, fits
from skmlp.backends.cuda.kernels.structs import TrainingData
from skmlp.backends.cuda.prediction import Predictor, data_of
from skmlp.backends.cuda.prediction import outputs as predict
from skmlp.backends.cuda.programs.per_op import PerOp
from skmlp.backends.cuda.programs.persistent import Persistent
from skmlp.backends.cuda.runtime import device_cache
from skmlp.backends.cuda.runtime.content_hash import cache_key
from skmlp.backends.cuda.runtime.memory import (
    available,
    cache,
    download,
    is_on_device,
    upload,
)
from skmlp.backends.cuda.workspace import BatchRange, Fit, TrainState
from skmlp.network import layout
from skmlp.rules.activations import IDENTITY
from skmlp.rules.optimizers import MAX_HYPERPARAMETERS
from skmlp.segments import n_columns

# Rows of a batch of the gradient over all rows.
_SWEEP_ROWS = 4096
# Most rows of a batch range of several epochs: 2 MB of row ids. And the free bytes that
# each of them must have, of which a range uses some dozens.
_MAX_RANGE_ROWS, _FREE_BYTES = 1 << 18, 1024


class Borrowed(NamedTuple):
    """An X that a fit has on the device, and that the device cache may get back.

    Attributes
    ----------
    x : ndarray, scipy.sparse CSR or array with ``__cuda_array_interface__``
    key : tuple or None
        Its key in the device cache; None for an array of the user's, which stays out of
        the cache.
    data : TrainingData
    """

    x: object
    key: tuple | None
    data: TrainingData


class Session:
    """One fit (see `skmlp.backends`).

    Parameters
    ----------
    problem : skmlp.backends.Problem
    parameters : ndarray
        Copied.
    n_jobs : int or None
    """

    def __init__(self, problem, params, n_jobs):
        self._problem = problem
        self._n_jobs = n_jobs
        self._training_x: Borrowed | None = None
        self._other_x: Borrowed | None = None
        self._dtype = params.dtype
        self._sparse = sparse.issparse(problem.x)
        self._params = upload(params)
        self._source = self._make_source()
        self._fit = Fit(
            network=problem.network,
            net=net_of(problem.network, self._dtype, problem.segments),
            data=self._source.data,
            reg=reg_of(problem.regularization, self._dtype),
            regularization=problem.regularization,
            n_rows=len(problem.row_ids),
            max_range_rows=self._max_range_rows(),
            alpha=problem.alpha,
            inv_mean_weight=1.0 / problem.mean_sample_weight,
        )
        self._n_steps = problem.regularization.first_step
        # Updates are fused with the products that make the gradient, which is not kept.
        self.gradient_norms = None
        self._programs: dict[tuple[int, str | None], Persistent | PerOp] = {}
        # The optimizer whose vectors are on the device, and these.
        self._slots = None
        self._optimizer: Any = None

    @property
    def params(self):
        """A copy of the current parameters on the host."""
        return download(self._params)

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
        self._training_x = self._borrow(problem.x)
        data = self._training_x.data._replace(
            targets=upload(problem.targets), sample_weight=upload(weights)
        )
        return Resident(data)

    def _max_range_rows(self):
        return min(_MAX_RANGE_ROWS, self._source.max_rows, available() // _FREE_BYTES)

    def _borrow(self, x):
        """X on the device: from the device cache, where an earlier fit left it."""
        if is_on_device(x):
            return Borrowed(x=x, key=None, data=data_of(x, self._dtype))
        key = cache_key(x, self._n_jobs)
        data = device_cache.current().pop(key)
        if data is None:
            data = data_of(x, self._dtype)
        return Borrowed(x=x, key=key, data=data)

    def _spec(self, tile, optimizer):
        regularization = self._problem.regularization
        trains = optimizer is not None
        has_noise = trains and regularization.input_noise > 0
        return spec_of(
            self._problem.network,
            self._dtype,
            tile,
            optimizer=optimizer,
            sparse=self._sparse,
            copies_x=has_noise,
            has_dropout=trains and any(rate > 0 for rate in regularization.dropout),
            has_noise=has_noise,
            clips_gradient=trains and math.isfinite(regularization.max_grad_norm),
            clips_weights=trains and math.isfinite(regularization.max_norm),
        )

    def _program(self, batch_size, optimizer):
        """The program for batches of a size, made at first use."""
        key = (batch_size, optimizer)
        if key not in self._programs:
            self._programs[key] = self._make_program(batch_size, optimizer)
        return self._programs[key]

    def _make_program(self, batch_size, optimizer):
        if self._source.reserve(batch_size):
            self._close_programs()
        self._fit = fit = self._fit._replace(data=self._source.data)
        work = plan.Work(
            batch_size,
            fit.network.shapes,
            self._sparse,
            embeds=fit.network.embedding is not None,
        )
        tile = plan.choose_tile(plan.split_threshold_for(n_processors()))
        spec = self._spec(tile, optimizer)
        tf32 = self._problem.matmul_precision == "tf32"
        # Only the persistent program sums over all rows, without an optimizer.
        if optimizer is None or plan.choose_program(work, tf32) == "persistent":
            return Persistent(fit, work, spec)
        return PerOp(fit, work, spec._replace(copies_x=not self._sparse), tf32)

    def _bind(self, optimizer):
        """Copy the optimizer's vectors to the device, unless they are there."""
        if self._optimizer is not optimizer:
            self._return_slots()
            self._optimizer = optimizer
            self._slots = upload(optimizer.slots)

    def sync(self, optimizer):
        """Copy the optimizer's vectors to it, if it is the one trained with last."""
        if optimizer is self._optimizer:
            optimizer.slots[:] = download(self._slots).reshape(optimizer.slots.shape)

    def _return_slots(self):
        if self._optimizer is not None:
            self.sync(self._optimizer)
            self._optimizer = None

    def train(self, optimizer, order, batch_size, batch_bounds, rates, total):
        """Train on some batches of an epoch."""
        program = self._bound_program(optimizer, batch_size)
        first, last = batch_bounds
        row_ids = order[first * batch_size : last * batch_size]
        for batches in self._ranges(program, row_ids, batch_size, rates):
            results = self._train(program, optimizer, batches)
            total = self._add_losses(total, results, len(batches.row_ids), batch_size)
        return total

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs, as many in one batch range as the limits allow."""
        n_epochs, n_rows = orders.shape
        n_batches = len(rates) // n_epochs
        program = self._bound_program(optimizer, batch_size)
        at_once = min(program.max_batches // n_batches, self._source.max_rows // n_rows)
        if at_once < 2:
            return train_one_by_one(self, optimizer, orders, batch_size, rates)
        totals = []
        for first in range(0, n_epochs, at_once):
            some = orders[first : first + at_once]
            last = first + len(some)
            batches = BatchRange(
                row_ids=self._source.fetch(some.reshape(-1), None),
                rates=rates[first * n_batches : last * n_batches],
                first_step_index=self._n_steps,
                epoch_rows=n_rows,
            )
            results = self._train(program, optimizer, batches)
            for epoch in range(0, len(results), n_batches):
                of_epoch = results[epoch : epoch + n_batches]
                totals.append(self._add_losses(0.0, of_epoch, n_rows, batch_size))
        return totals

    def _bound_program(self, optimizer, batch_size):
        self._bind(optimizer)
        return self._program(batch_size, optimizer.name)

    def _train(self, program, optimizer, batches):
        """Train on a range; each batch's loss, and the sum of its weights' squares."""
        hyper = np.array(optimizer.hyper, dtype=self._dtype)
        state = TrainState(params=self._params, slots=self._slots, hyper=hyper)
        results = program.train(state, batches)
        self._n_steps += len(results)
        return results

    def _add_losses(self, total, results, n_rows, batch_size):
        """Add rows times loss of each batch to a total; `n_rows` is the sum of rows."""
        l2 = 0.5 * self._fit.alpha * self._fit.inv_mean_weight
        for i, (loss, squares) in enumerate(results):
            n = min(batch_size, n_rows - i * batch_size)
            total += n * loss + l2 * squares
        return total

    def _ranges(self, program, row_ids, batch_size, rates):
        """Batch ranges over some rows, each fetched to the device when it is due."""
        at_once = max(1, self._source.max_rows // batch_size)
        n_batches = int(min(program.max_batches, at_once))
        size = n_batches * batch_size
        parts = [
            row_ids[first : first + size] for first in range(0, len(row_ids), size)
        ]
        following = [*parts[1:], None]
        for i, (part, after) in enumerate(zip(parts, following, strict=True)):
            first = i * n_batches
            yield BatchRange(
                row_ids=self._source.fetch(part, after),
                rates=rates[first : first + -(-len(part) // batch_size)],
                first_step_index=self._n_steps,
                epoch_rows=len(part),
            )

    def load_params(self, params):
        """Go on from other parameters, of any dtype."""
        values = np.ascontiguousarray(params, dtype=self._dtype)
        self._params.copy_to_device(values)

    def rewind(self, params, n_steps):
        """Go back to the parameters of some steps ago."""
        self.load_params(params)
        self._n_steps -= n_steps
        # The optimizer's vectors are uploaded, and what programs keep is made, anew.
        self._optimizer = None
        self._close_programs()

    def loss_and_gradient(self, params):
        """Loss and gradient over all training rows, the penalty included."""
        network, row_ids = self._fit.network, self._problem.row_ids
        if network.normalization == "batch":
            raise ValueError("A sweep over all rows has no statistics of minibatches.")
        values = upload(np.ascontiguousarray(params, dtype=self._dtype))
        batch_size = min(_SWEEP_ROWS, len(row_ids), self._source.max_rows)
        program = self._program(batch_size, None)
        hyper = np.zeros(MAX_HYPERPARAMETERS, dtype=self._dtype)
        state = TrainState(params=values, slots=values, hyper=hyper)
        n_batches = -(-len(row_ids) // batch_size)
        rates = np.zeros((n_batches, n_columns(len(self._problem.segments))))
        ranges = self._ranges(program, row_ids, batch_size, rates)
        loss, gradient = program.differentiate(state, ranges)
        gradient = gradient.astype(np.float64)
        n_weights = layout(network).bias_offsets[0]
        penalized = np.asarray(params, dtype=np.float64)[:n_weights]
        l2 = self._fit.alpha * self._fit.inv_mean_weight / len(row_ids)
        gradient[:n_weights] += l2 * penalized
        return loss + 0.5 * l2 * float(np.sum(penalized * penalized)), gradient

    def hidden_outputs(self):
        """None: the workspace on the device may hold another program's batch by now."""

    def outputs(self, x, row_ids):
        """Raw outputs for some rows, or for all, with the current parameters."""
        network, params = self._problem.network, self._params
        if x is self._problem.x and isinstance(self._source, Streamed):
            chosen = x if row_ids is None else x[row_ids]
            return predict(network, self.params, chosen, IDENTITY)[0]
        if network.normalization == "batch":
            params = self.params
        predictor = Predictor(network, params, IDENTITY)
        data = self._on_device(x)
        row_ids = np.arange(x.shape[0]) if row_ids is None else row_ids
        return predictor.predict(data, row_ids, self._sparse)

    def _on_device(self, x):
        """X on the device; the training X and the last other one stay there."""
        if x is self._problem.x:
            return self._source.data
        if self._other_x is None or self._other_x.x is not x:
            self._other_x = self._borrow(x)
        return self._other_x.data

    def finish(self):
        """Copy the optimizer's vectors back to it."""
        self._return_slots()

    def borrowed(self):
        """Every X of this fit that the device cache may keep for the next one."""
        both = (self._training_x, self._other_x)
        return [one for one in both if one is not None and one.key is not None]

    def close(self):
        """Free all memory on the device, even if somebody still holds the session."""
        self._source.close()
        self._close_programs()
        del self._source, self._fit, self._params, self._slots
        del self._training_x, self._other_x

    def _close_programs(self):
        programs = list(self._programs.values())
        self._programs.clear()
        for program in programs:
            program.close()


@contextmanager
def open_session(problem, params, n_jobs):
    """A session on a copy of some parameters, on the current device."""
    session, borrowed = Session(problem, params, n_jobs), []
    try:
        yield session
        session.finish()
        borrowed = session.borrowed()
    finally:
        session.close()
    # Only now, when the memory of this fit is free again.
    for one in borrowed:
        cache(one.key, one.data)
