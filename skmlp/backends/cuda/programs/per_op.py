"""The per-operation program: a kernel per operation, captured in a CUDA graph.

From some GFLOP a step on, nothing is faster than NVIDIA's own matrix products, and the
launches between them hide behind them. A step is here a list of operations on one
stream: matrix products (see `matmul`) and the small kernels of `kernels.ops`. The first
batch runs them eagerly, which compiles them; the second captures them in a CUDA graph,
which is launched once a batch from then on. A last batch of fewer rows, whose products
have other sizes, has its own graph: launching all its operations from Python takes
longer than some batches do.
"""

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors
from skmlp.backends.cuda.kernels import ops
from skmlp.backends.cuda.kernels.reductions import lanes_of
from skmlp.backends.cuda.kernels.structs import TrainContext, UpdateParams
from skmlp.backends.cuda.programs import matmul
from skmlp.backends.cuda.programs.matmul import Matrix
from skmlp.backends.cuda.runtime import graph, simulator
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.workspace import BatchBuffers
from skmlp.network import layout


class PerOp:
    """Trains on ranges of batches of one size (see `persistent.Persistent`).

    Parameters
    ----------
    fit : workspace.Fit
    work : plan.Work
    spec : Spec
        Of a dense X it has `copies_x`.
    tf32 : bool
        Whether products round their factors to TensorFloat-32.

    Raises
    ------
    ImportError
        If `tf32` is asked for without cuBLAS.
    """

    def __init__(self, fit, work, spec, tf32):
        self._fit = fit
        self._spec = spec
        self._shapes = work.shapes
        size = ops.weights_per_block(spec.tile)
        self._items = plan.weight_items(work, size)
        self._buffers = BatchBuffers(fit, spec, work.batch_size, sum(self._items))
        self._ws = self._buffers.ws
        self._offsets = layout(fit.network)
        self._is_softmax = [row.value is None for row in fit.network.activation_rows]
        self._stream = graph.new_stream()
        self._ctx: TrainContext
        self._update: UpdateParams
        # The parameters and the optimizer's vectors.
        self._trained: tuple = (None, None)
        # By rows of a batch: which have run eagerly, and the captured graphs.
        self._has_run: set[int] = set()
        self._graphs: dict[int, graph.Graph | simulator.SimulatedGraph] = {}
        self._products = matmul.choose(spec, self._ws.offsets, self._stream, tf32)
        self.max_batches = self._buffers.max_batches

    def train(self, state, batches):
        """Train on the batches of a range (see `persistent.Persistent.train`)."""
        inv_mean_weight = self._fit.inv_mean_weight
        loaded = self._buffers.load(self._fit, state, batches, inv_mean_weight)
        self._bind(loaded)
        graph.sync_default_stream()
        kernel = ops.totaling(self._spec)
        try:
            for _ in range(len(batches.row_ids) // batches.epoch_rows):
                self._epoch(*divmod(batches.epoch_rows, self._ws.batch_size))
            configured(kernel, 1, self._spec.tile.threads, self._stream)(
                self._ws, loaded.sizes, loaded.result
            )
        finally:
            # After Ctrl-C, too: the copy of the parameters runs on a stream that does
            # not wait for this one, and would mix several batches.
            self._stream.synchronize()
        return loaded.download_result()

    def _bind(self, loaded):
        """Set the operations' arguments; graphs captured with other arrays are closed.

        Loading reuses all arrays but those that are trained.
        """
        self._ctx, self._update = loaded.ctx, loaded.update
        trained = (loaded.ctx.params, loaded.update.slots)
        if any(new is not old for new, old in zip(trained, self._trained, strict=True)):
            self._close_graphs()
            self._trained = trained

    def _epoch(self, n_full, remainder):
        """Some full batches, and one of the remainder."""
        for _ in range(n_full):
            self._batch(self._ws.batch_size)
        if remainder:
            self._batch(remainder)

    def _batch(self, n_rows):
        """A batch: eager the first time, by a captured graph from then on."""
        if n_rows not in self._has_run:
            self._eager_step(n_rows)
            self._has_run.add(n_rows)
            return
        if n_rows not in self._graphs:
            self._graphs[n_rows] = graph.capture(
                self._stream, lambda: self._step(n_rows)
            )
        self._graphs[n_rows].launch()

    def _eager_step(self, n_rows):
        """Run one batch eagerly; on an exception restore parameters and slots.

        The backup is enqueued on the same stream, behind the batches in flight. It goes
        to the host, because the fit may already use all device memory.
        """
        # An optimizer may have no slots, and an empty array cannot be copied.
        trained = [vector for vector in self._trained if vector.size > 0]
        backup = [vector.copy_to_host(stream=self._stream) for vector in trained]
        try:
            self._step(n_rows)
        except BaseException:
            self._stream.synchronize()
            for vector, values in zip(trained, backup, strict=True):
                vector.copy_to_device(values)
            graph.sync_default_stream()
            raise

    def _step(self, n_rows):
        """All operations of a batch."""
        self._forward(n_rows)
        self._launch("loss", n_rows)
        self._backward(n_rows)
        self._clip()
        configured(ops.advancing(), 1, 1, self._stream)(self._buffers.cursor)

    def _launch(self, name, items, layer=0, partial=0, ctx=None):
        """Launch an operation that has work for `items` blocks."""
        kernel = ops.operation(self._spec, name)
        blocks = plan.blocks_for(items, n_processors())
        configured(kernel, blocks, self._spec.tile.threads, self._stream)(
            ctx or self._ctx, self._update, self._buffers.cursor, layer, partial
        )

    def _launch_by_columns(self, name, layer):
        """Launch an operation whose blocks work on a warp's width of units each."""
        width = lanes_of(self._spec.tile.threads)
        self._launch(name, -(-self._shapes[layer][1] // width), layer)

    def _rows(self, array, layer, transposed=False):
        """The batch's rows of a layer's inputs, or of the last one's outputs."""
        units = self._fit.network.sizes[layer]
        sizes = self._fit.network.sizes[:layer]
        start = self._ws.batch_size * sum(sizes[not self._spec.copies_x :])
        return Matrix(array, start, units, transposed)

    def _weights(self, array, layer, transposed=False):
        offset = self._offsets.weight_offsets[layer]
        return Matrix(array, offset, self._shapes[layer][1], transposed)

    def _forward(self, n_rows):
        """All layers, with their normalization or softmax where there is one."""
        ws, last = self._ws, len(self._shapes) - 1
        normalizes = self._spec.normalization is not None
        self._launch("sparse_forward" if self._spec.sparse else "copy_rows", n_rows)
        for layer, (fan_in, units) in enumerate(self._shapes):
            if layer > 0 or not self._spec.sparse:
                self._products.multiply(
                    (n_rows, units, fan_in),
                    self._rows(ws.outputs, layer),
                    self._weights(self._ctx.params, layer),
                    self._rows(ws.outputs, layer + 1),
                )
                if layer < last and not normalizes:
                    self._launch("finish", n_rows, layer)
            if layer < last and normalizes:
                self._launch_norm("norm", n_rows, layer)
            if layer < last and self._is_softmax[layer]:
                self._launch("softmax", n_rows, layer)

    def _launch_norm(self, name, n_rows, layer):
        if self._spec.normalization == "batch":
            self._launch_by_columns(name, layer)
        else:
            self._launch(name, n_rows, layer)

    def _backward(self, n_rows):
        """All layers from the last one, each with its gradients and their use."""
        partial = 0
        for layer in reversed(range(len(self._shapes))):
            if layer > 0:
                self._deltas(n_rows, layer)
            elif self._spec.embeds:
                self._embedding_gradient(n_rows)
            self._gradient(n_rows, layer, partial)
            self._biases(n_rows, layer)
            partial += self._items[layer]

    def _deltas(self, n_rows, layer):
        """Deltas of the layer below; all operations but the first work in place."""
        ws, (fan_in, units) = self._ws, self._shapes[layer]
        self._products.multiply(
            (n_rows, fan_in, units),
            self._rows(ws.deltas, layer + 1),
            self._weights(self._ctx.params, layer, transposed=True),
            self._rows(ws.deltas, layer),
        )
        self._launch("back_through", n_rows, layer)
        if self._is_softmax[layer - 1]:
            self._launch("softmax_back", n_rows, layer - 1)
        if self._spec.normalization is not None:
            self._launch_by_columns("norm_grad_sums", layer - 1)
            self._launch("norm_back", n_rows, layer - 1)

    def _embedding_gradient(self, n_rows):
        """Deltas of the embedded numbers, before weights change; the matrices by them.

        These deltas have no gaps for the other inputs.
        """
        ws, embedding = self._ws, self._fit.network.embedding
        units, columns = self._shapes[0][1], embedding.n_embedded
        first = self._offsets.weight_offsets[0] + embedding.n_features * units
        self._products.multiply(
            (n_rows, columns, units),
            self._rows(ws.deltas, 1),
            Matrix(self._ctx.params, first, units, transposed=True),
            Matrix(ws.deltas, 0, columns),
        )
        lanes = lanes_of(self._spec.tile.threads)
        self._launch("embedding", -(-embedding.n_params // lanes))

    def _gradient(self, n_rows, layer, partial):
        """Gradient of a layer's weights, stored or applied."""
        ws, (fan_in, units) = self._ws, self._shapes[layer]
        if layer == 0 and self._spec.sparse:
            self._launch("sparse_weights", self._items[0], 0, partial)
            return
        self._products.multiply(
            (fan_in, units, n_rows),
            self._rows(ws.outputs, layer, transposed=True),
            self._rows(ws.deltas, layer + 1),
            self._weights(ws.gradient, layer),
        )
        self._launch("weights", self._items[layer], layer, partial)

    def _biases(self, n_rows, layer):
        """Gradient of a layer's biases, stored or applied.

        The sum over the batch is a matrix product, too: with a row of ones.
        """
        is_hidden = layer < len(self._shapes) - 1
        if is_hidden and self._spec.normalization is not None:
            self._launch_by_columns("norm_biases", layer)
            return
        if not self._spec.intercepts:
            return
        ws, units = self._ws, self._shapes[layer][1]
        self._products.multiply(
            (1, units, n_rows),
            Matrix(self._buffers.ones, 0, ws.batch_size),
            self._rows(ws.deltas, layer + 1),
            Matrix(ws.gradient, self._offsets.bias_offsets[layer], units),
        )
        if not self._spec.clips_gradient:
            self._launch("biases", -(-units // self._spec.tile.threads), layer)

    def _clip(self):
        """Gradient clipping, after the whole gradient; max-norm, after all updates."""
        threads = self._spec.tile.threads
        if self._spec.clips_gradient:
            self._launch("bias_sq_sums", 1)
            self._launch("fold_grad_sq_sums", 1)
            # `update_all` reads the folded sum only.
            ctx = self._ctx._replace(ws=self._ws._replace(n_partials=1))
            items = -(-self._offsets.n_trained // threads)
            self._launch("update_all", items, ctx=ctx)
        if self._spec.clips_weights:
            widest = max(units for _, units in self._shapes)
            self._launch("clip_weights", -(-widest // threads))

    def _close_graphs(self):
        graphs = list(self._graphs.values())
        self._graphs.clear()
        for captured in graphs:
            captured.close()

    def close(self):
        """Release graphs and the handle of cuBLAS."""
        self._close_graphs()
        self._products.close()
