"""A session on the CPU: one fit, its arrays bound to kernels and its threads.

A session keeps one `BatchContext` per batch size: a workspace, a thread pool and its
tuner.
"""

import time
from contextlib import contextmanager

import numpy as np
from scipy import sparse

from skmlp.backends.cpu import plan
from skmlp.backends.cpu.binding import kernel_x, read_only, training_net
from skmlp.backends.cpu.contexts import BatchContext, packed_by_worker
from skmlp.backends.cpu.kernels import clipping, elementwise, train
from skmlp.backends.cpu.kernels.apply import apply_gradient
from skmlp.backends.cpu.kernels.batch_norm import (
    batch_norm_desc,
    differentiate_batch_norm,
    train_batch_norm,
)
from skmlp.backends.cpu.kernels.regularization import regularization_desc, scheduled
from skmlp.backends.cpu.kernels.structs import (
    BatchRange,
    TrainContext,
    TrainingData,
    UpdateParams,
    Workspace,
)
from skmlp.backends.cpu.prediction import Predictor
from skmlp.backends.cpu.threads.autotune import ThreadCountTuner
from skmlp.backends.cpu.threads.pool import ThreadPool
from skmlp.backends.cpu.workspace import (
    aligned_copy,
    layer_rows,
    make_workspace,
    transposed_weights,
    workspaces_of_workers,
)
from skmlp.compiler.struct_pointer import PackedStruct
from skmlp.network import embedding_part, layout
from skmlp.rules.activations import IDENTITY
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import split_table

# Rows per batch of the gradient over all rows.
_FULL_GRADIENT_ROWS = 1024
# Most rows of a batch in `hidden_outputs`: a copy of all might be large.
_MOST_HIDDEN_ROWS = 1024


class Session:
    """One fit (see `skmlp.backends`).

    Parameters
    ----------
    problem : skmlp.backends.Problem
    parameters : ndarray
        Trained in place.
    n_jobs : int or None
    """

    def __init__(self, problem, params, n_jobs):
        self.params = params
        self._n_jobs = n_jobs
        self._dtype = params.dtype
        self._bind_rows(problem)
        reg = regularization_desc(problem.regularization, self._dtype)
        self._is_clipped = reg.add_l2_fn != 0
        self._reg = PackedStruct(reg)
        self._net = PackedStruct(
            training_net(problem.network, self._dtype, has_dropout=reg.dropout_fn != 0)
        )
        self._n_steps = problem.regularization.first_step
        self.gradient_norms: list[float] | None = []
        self._contexts: dict[int, BatchContext] = {}
        # Rows of the largest share of a minibatch that is trained together with others.
        self._shared_capacity = 0
        # `UpdateParams` of the last step by a gradient from elsewhere.
        self._one_update: PackedStruct | None = None
        # Workspace and rows of the batch trained on last.
        self._last_batch: tuple[Workspace, int] | None = None
        self._predictor = Predictor(problem.network, params)
        # X of the last predictions, as the caller's and as the kernels'.
        self._last_x: tuple | None = None

    def _bind_rows(self, problem):
        """Let the kernels' structs point to the rows of a problem."""
        self._problem = problem
        sample_weight = problem.sample_weight
        if sample_weight is None:
            sample_weight = np.zeros(0, dtype=self._dtype)
        self._x = kernel_x(problem.x, problem.network, self.params)
        self._data = PackedStruct(
            TrainingData(
                x=self._x,
                targets=read_only(problem.targets),
                sample_weight=read_only(sample_weight),
            )
        )
        self._inv_mean_weight = 1.0 / problem.mean_sample_weight

    def replace_rows(self, problem):
        """Go on with other rows, by the same threads and what is known of them."""
        self._bind_rows(problem)
        for batch_size, context in self._contexts.items():
            ctx = self._train_contexts(context.packed_ws, self.params, self._reg)
            self._contexts[batch_size] = context._replace(ctx=ctx)

    def _context(self, batch_size):
        """The `BatchContext` of a size, made at first use."""
        if batch_size not in self._contexts:
            network = self._problem.network
            work = batch_size * plan.row_work(network.shapes, self._problem.x)
            n_threads = plan.threads_for(work, self._n_jobs)
            ws = make_workspace(self._problem, batch_size, self.params)
            by_worker = workspaces_of_workers(ws, self._width, n_threads)
            packed_ws = packed_by_worker(lambda own_ws: own_ws, by_worker)
            norm = None
            if network.normalization == "batch":
                units = sum(network.sizes[1:-1])
                norm = PackedStruct(
                    batch_norm_desc(layout(network), ws, units, self._dtype)
                )
            ctx = self._train_contexts(packed_ws, self.params, self._reg)
            # Last, so that it is not left waiting where memory runs out before.
            pool = ThreadPool(n_threads)
            self._contexts[batch_size] = BatchContext(
                ws=ws,
                packed_ws=packed_ws,
                ctx=ctx,
                norm=norm,
                pool=pool,
                tuner=ThreadCountTuner(pool.n_threads),
            )
        return self._contexts[batch_size]

    @property
    def _width(self):
        """Most units of layers that matrix products read or write."""
        sizes = self._problem.network.sizes
        return max(sizes[1:] if sparse.issparse(self._problem.x) else sizes)

    def _train_contexts(self, packed_ws, params, reg):
        return packed_by_worker(
            lambda ws: TrainContext(self._net, self._data, ws, reg, params), packed_ws
        )

    def train(self, optimizer, order, batch_size, batch_bounds, rates, total):
        """Train on some batches of an epoch."""
        batches = self._batch_range(order, len(order), batch_size, batch_bounds)
        return self._train(optimizer, batches, rates, [total])[0]

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs, in one call of the kernel or a few."""
        n_epochs, n_rows = orders.shape
        batches = self._batch_range(orders.ravel(), n_rows, batch_size, (0, len(rates)))
        return self._train(optimizer, batches, rates, [0.0] * n_epochs)

    def _batch_range(self, order, n_rows, batch_size, batch_bounds):
        """Batches of epochs of `n_rows` rows, the next ones to train on."""
        first_batch, last_batch = batch_bounds
        return BatchRange(
            order=read_only(order),
            n_rows=n_rows,
            batch_size=batch_size,
            first_batch=first_batch,
            last_batch=last_batch,
            inv_mean_weight=self._inv_mean_weight,
            step_offset=self._n_steps - first_batch,
        )

    def _train(self, optimizer, batches, rates, totals):
        """Train on some batches; the totals with their losses, by epoch."""
        # The epoch's sum of losses, and the square of its gradient's norm.
        result = np.zeros((len(totals), 2))
        result[:, 0] = totals
        context = self._context(batches.batch_size)
        update = self._update_params(optimizer, rates)
        ctx = self._context_of_steps(context, rates)
        self._n_steps += batches.last_batch - batches.first_batch
        norm: tuple[PackedStruct, ...] = ()
        kernel = clipping.train_clipped if self._is_clipped else train.train
        if context.norm is not None:
            norm = (context.norm,)
            kernel = train_batch_norm

        def arguments(part):
            i = part.first_batch - batches.first_batch
            part_update = PackedStruct(update._replace(steps=update.steps[i:]))
            others = (*norm, part_update, PackedStruct(part), result.ravel())
            return lambda worker_id: (ctx[worker_id], *others)

        self._run(context, batches, kernel, arguments)
        self._last_batch = context.ws, batches.last_batch_rows
        if batches.first_batch == 0:
            self.gradient_norms = np.sqrt(result[:, 1]).tolist()
        return result[:, 0].tolist()

    def _update_params(self, optimizer, rates):
        return UpdateParams(
            update_fn=elementwise.update(OPTIMIZERS[optimizer.name], self._dtype),
            slots=optimizer.slots,
            steps=rates.astype(self._dtype),
            hyper=np.array(optimizer.hyper, dtype=self._dtype),
            l2=self._problem.alpha * self._inv_mean_weight,
        )

    def gradient(self, share, step):
        """Loss and gradient of a share of the next minibatch, without the penalty."""
        context = self._shared_context(share.capacity)
        ws, n = context.ws, len(share.row_ids)
        ws.gradient[:] = 0
        statistics = np.zeros_like(self._statistics)
        result = np.zeros(1)
        if n > 0:
            fraction = n / share.n_rows
            batches = self._batch_range(share.row_ids, n, share.capacity, (0, 1))
            batches = batches._replace(inv_mean_weight=self._inv_mean_weight * fraction)
            ctx = self._context_of_steps(context, step[np.newaxis], share.first_row)
            self._differentiate(context, ctx, batches, result)
            self._last_batch = ws, n
            statistics = fraction * self._statistics
        return float(result[0]), np.concatenate([ws.gradient, statistics])

    def apply(self, optimizer, gradient, n_rows, step):
        """One step by the gradient of a whole minibatch."""
        context = self._contexts[self._shared_capacity]
        update = self._packed_update(optimizer, step)
        gradient = read_only(np.ascontiguousarray(gradient, dtype=self._dtype))
        result = np.zeros(2)
        context.pool.call(
            apply_gradient,
            lambda worker_id: (
                context.ctx[worker_id],
                update,
                gradient,
                n_rows,
                result,
            ),
            context.ctx[0]._numba_type_,
            plan.workers_of_update(len(gradient)),
        )
        self._n_steps += 1
        if len(self._statistics):
            self._statistics[:] = gradient[-len(self._statistics) :]
        penalty = 0.5 * update.fields.l2 / n_rows * float(result[0])
        return penalty, float(result[1])

    def _packed_update(self, optimizer, step):
        """The parameters of one update, packed once: that takes longer than the update.

        Only the row of `steps` changes from one to the next.
        """
        packed = self._one_update
        if packed is None or packed.fields.slots is not optimizer.slots:
            packed = PackedStruct(self._update_params(optimizer, step[np.newaxis]))
            self._one_update = packed
        packed.fields.steps[0] = step
        return packed

    def _shared_context(self, capacity):
        """The `BatchContext` of shares, which keeps the transposed weights."""
        self._shared_capacity = capacity
        return self._context(capacity)

    def _differentiate(self, context, ctx, batches, result):
        """Add the gradient of batches to that of the workspace."""
        norm: tuple[PackedStruct, ...] = ()
        kernel = train.differentiate
        if context.norm is not None:
            norm = (context.norm,)
            kernel = differentiate_batch_norm

        def arguments(part):
            others = (*norm, PackedStruct(part), result)
            return lambda worker_id: (ctx[worker_id], *others)

        self._run(context, batches, kernel, arguments)

    @property
    def _statistics(self):
        """The running statistics, a view on the parameters; empty without."""
        return self.params[layout(self._problem.network).n_trained :]

    def _context_of_steps(self, context, rates, first_row=0):
        """The `TrainContext`s of the next steps, with their factors of dropout.

        `first_row` is the place of this session's first row in a minibatch.
        """
        regularization = self._problem.regularization
        if not regularization.has_dropout_schedule and first_row == 0:
            return context.ctx
        reg = self._reg.fields._replace(first_row=first_row)
        if regularization.has_dropout_schedule:
            dropout = regularization.dropout_rates(split_table(rates).dropout)
            reg = scheduled(reg, dropout, self._n_steps)
        return self._train_contexts(context.packed_ws, self.params, PackedStruct(reg))

    def load_params(self, params):
        """Continue from other parameters, of any precision."""
        self.params[:] = params

    def rewind(self, params, n_steps):
        """Go back to the parameters of some steps ago, and to what kernels keep."""
        self.params[:] = params
        self._n_steps -= n_steps
        for context in self._contexts.values():
            self._refresh(context.ws, self.params)

    def _refresh(self, ws, params):
        """Compute from parameters what the kernels otherwise keep up to date."""
        network = self._problem.network
        ws.transposed_weights[:] = transposed_weights(network, params)
        if network.embedding is not None:
            part = embedding_part(network, params)
            self._x.knots[:] = network.embedding.knots(part)

    def sync(self, optimizer):
        """Nothing: the kernels update the optimizer's own vectors."""

    def loss_and_gradient(self, params):
        """Loss and gradient over all training rows, including the penalty."""
        self._check_full_gradient()
        row_ids = self._problem.row_ids
        batch_size = min(_FULL_GRADIENT_ROWS, len(row_ids))
        context = self._context(batch_size)
        ws = context.ws
        n_batches = -(-len(row_ids) // batch_size)
        batches = self._batch_range(row_ids, len(row_ids), batch_size, (0, n_batches))
        params = np.ascontiguousarray(params, dtype=self._dtype)
        result = np.zeros(1)
        ws.gradient[:] = 0
        self._refresh(ws, params)
        ctx = self._train_contexts(context.packed_ws, params, self._reg)
        self._differentiate(context, ctx, batches, result)
        self._last_batch = ws, batches.last_batch_rows
        gradient = ws.gradient.astype(np.float64)
        n_weights = layout(self._problem.network).bias_offsets[0]
        penalized = np.asarray(params, dtype=np.float64)[:n_weights]
        l2 = self._problem.alpha * self._inv_mean_weight / len(row_ids)
        gradient[:n_weights] += l2 * penalized
        # Not a dot product: BLAS would split it among threads, with other bits.
        penalty = 0.5 * l2 * np.sum(penalized * penalized)
        return float(result[0] + penalty), gradient

    def _check_full_gradient(self):
        """Refuse problems whose loss depends on minibatches or on the step."""
        if self._problem.network.normalization == "batch":
            raise ValueError("A sweep over all rows has no statistics of minibatches.")
        regularization = self._problem.regularization
        has_dropout = any(rate > 0 for rate in regularization.dropout)
        if regularization.input_noise > 0 or has_dropout:
            raise ValueError("A sweep over all rows has no dropout and no noise.")

    @staticmethod
    def _run(context, batches, kernel, arguments):
        """Run batches in calls, each with the number of workers that the tuner says."""
        first = batches.first_batch
        while first < batches.last_batch:
            n_workers, n_batches = context.tuner.next(batches.last_batch - first)
            part = batches._replace(first_batch=first, last_batch=first + n_batches)
            start = time.perf_counter()
            kind = context.ctx[0]._numba_type_
            context.pool.call(kernel, arguments(part), kind, n_workers)
            context.tuner.record(n_workers, n_batches, time.perf_counter() - start)
            first += n_batches

    def hidden_outputs(self):
        """Outputs of the hidden layers for rows of the batch trained on last."""
        if self._last_batch is None:
            return None
        ws, n_rows = self._last_batch
        n_rows = min(n_rows, _MOST_HIDDEN_ROWS)
        sizes = self._problem.network.sizes[1:-1]
        return [layer_rows(ws, i, units, n_rows) for i, units in enumerate(sizes, 1)]

    def outputs(self, x, row_ids):
        """Raw outputs for some rows, or for all, with the current parameters."""
        out, _ = self._predictor.outputs_of_rows(
            (x, row_ids), IDENTITY, self._n_jobs, rows=self._embedded(x)
        )
        return out

    def _embedded(self, x):
        """X with its bins, which are those of the last call with the same X.

        None without an embedding.
        """
        network = self._problem.network
        if network.embedding is None:
            return None
        if self._last_x is None or self._last_x[0] is not x:
            self._last_x = x, kernel_x(x, network, self.params)
        rows = self._last_x[1]
        rows.knots[:] = network.embedding.knots(embedding_part(network, self.params))
        return rows

    def close(self):
        """End the threads."""
        for context in self._contexts.values():
            context.pool.close()


@contextmanager
def open_session(problem, params, n_jobs):
    """A session on a copy of some parameters, closed at the end of the block."""
    session = Session(problem, aligned_copy(params), n_jobs)
    try:
        yield session
    finally:
        session.close()
