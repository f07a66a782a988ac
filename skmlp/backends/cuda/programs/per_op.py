"""The program for large steps: a launch an operation, recorded once.

From some GFLOP a step on, nothing is faster than NVIDIA's own products of matrices, and
what lies between them hides behind them. A step is here a list of operations on one
stream: products (see `products`) and the small kernels of `operations`. The list is run
once as it stands, which compiles it; then it is recorded as a graph, which is launched
once a batch. A last batch of fewer rows, whose products have other sizes, has a graph
of its own: launching all its operations from Python takes longer than some batches do.
"""

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors
from skmlp.backends.cuda.kernels import ops
from skmlp.backends.cuda.kernels.reductions import lanes_of
from skmlp.backends.cuda.kernels.structs import State
from skmlp.backends.cuda.programs import matmul
from skmlp.backends.cuda.programs.matmul import Matrix
from skmlp.backends.cuda.runtime import graph
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.workspace import Memory
from skmlp.network import layout


class Stepwise:
    """Trains on spans of batches of one size (see `spanwise.Spanwise`).

    Parameters
    ----------
    fit : rooms.Fit
    work : planner.Work
    spec : Spec
        Of a dense X it is `loaded`.
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
        size = ops.weights_a_block(spec.tile)
        self._items = plan.weight_items(work, size)
        self._memory = Memory(fit, spec, work.rows, sum(self._items))
        self._offsets = layout(fit.network)
        self._is_softmax = [row.value is None for row in fit.network.activation_rows]
        self._stream = graph.new_stream()
        self._state: State
        # The parameters and the optimizer's vectors.
        self._bound: tuple = (None, None)
        # By rows of a batch: what has run as it stands, and what is recorded.
        self._has_run: set[int] = set()
        self._recorded: dict[int, graph.Graph | graph.SimulatedGraph] = {}
        self._products = matmul.choose(spec, self._memory.room.at, self._stream, tf32)
        self.most_batches = self._memory.most_batches

    def train(self, vectors, span):
        """Train on the batches of a span (see `spanwise.Spanwise.train`)."""
        memory = self._memory
        memory.put(span)
        self._bind(vectors)
        graph.sync_default_stream()
        sizes = memory.sizes(self._fit, span)
        kernel = ops.totaling(self._spec)
        try:
            for _ in range(len(span.rows) // span.epoch_rows):
                self._epoch(*divmod(span.epoch_rows, memory.room.batch))
            configured(kernel, 1, self._spec.tile.threads, self._stream)(
                memory.room, sizes, memory.floats["result"]
            )
        finally:
            # After Ctrl-C, too: what is trained is copied by a stream that does not
            # wait for this one, and would be of several batches.
            self._stream.synchronize()
        return memory.results()

    def _bind(self, vectors):
        """Point the operations to what is trained; a recording is for one of these."""
        memory, fit = self._memory, self._fit
        step = memory.step(fit, vectors, fit.weight)
        bound = (vectors.parameters, vectors.slots)
        if all(one is other for one, other in zip(bound, self._bound, strict=True)):
            return
        self._forget_recordings()
        self._bound = bound
        data = fit.data._replace(order=memory.integers["order"])
        self._state = State(
            *(fit.net, data, memory.room, fit.extras, vectors.parameters, step),
            *(self._offsets.n_trained, memory.integers["cursor"]),
        )

    def _epoch(self, n_full, rest):
        """Some full batches, and one of what is left."""
        for _ in range(n_full):
            self._batch(self._memory.room.batch)
        if rest:
            self._batch(rest)

    def _batch(self, n):
        """A batch of n rows: as it stands at first, recorded from then on."""
        if n not in self._has_run:
            self._step_or_nothing(n)
            self._has_run.add(n)
            return
        if n not in self._recorded:
            self._recorded[n] = graph.capture(self._stream, lambda: self._step(n))
        self._recorded[n].launch()

    def _step_or_nothing(self, n):
        """A batch as it stands, of which nothing is left where it is interrupted.

        Its operations are launched one by one, and a half of a step is no step. What
        is there before is copied behind the batches that are still at work, and to the
        host: a fit's memory is all there is of the device's.
        """
        # An optimizer may have no vectors, and nothing cannot be copied.
        trained = [vector for vector in self._bound if vector.size > 0]
        before = [vector.copy_to_host(stream=self._stream) for vector in trained]
        try:
            self._step(n)
        except BaseException:
            self._stream.synchronize()
            for vector, values in zip(trained, before, strict=True):
                vector.copy_to_device(values)
            graph.sync_default_stream()
            raise

    def _step(self, n):
        """All operations of a batch of n rows."""
        self._forward(n)
        self._launch("loss", n)
        self._back(n)
        self._limit()
        configured(ops.advancing(), 1, 1, self._stream)(self._state.cursor)

    def _launch(self, name, items, layer=0, partial=0, state=None):
        """An operation that has work for so many blocks."""
        kernel = ops.operation(self._spec, name)
        blocks = plan.blocks_for(items, n_processors())
        configured(kernel, blocks, self._spec.tile.threads, self._stream)(
            state or self._state, layer, partial
        )

    def _launch_by_columns(self, name, layer):
        """An operation in which a block takes as many units as a warp is wide."""
        width = lanes_of(self._spec.tile.threads)
        self._launch(name, -(-self._shapes[layer][1] // width), layer)

    def _rows(self, array, layer, transposed=False):
        """The batch's rows of what a layer gets, or of what the last one gives."""
        units = self._fit.network.sizes[layer]
        sizes = self._fit.network.sizes[:layer]
        start = self._memory.room.batch * sum(sizes[not self._spec.loaded :])
        return Matrix(array, start, units, transposed)

    def _weights(self, array, layer, transposed=False):
        place = self._offsets.weight_offsets[layer]
        return Matrix(array, place, self._shapes[layer][1], transposed)

    def _forward(self, n):
        """All layers, with what a normalization or a softmax adds."""
        room, last = self._memory.room, len(self._shapes) - 1
        normalizes = self._spec.normalization is not None
        self._launch("sparse_forward" if self._spec.sparse else "load", n)
        for layer, (fan_in, units) in enumerate(self._shapes):
            if layer > 0 or not self._spec.sparse:
                self._products.multiply(
                    (n, units, fan_in),
                    self._rows(room.outputs, layer),
                    self._weights(self._state.parameters, layer),
                    self._rows(room.outputs, layer + 1),
                )
                if layer < last and not normalizes:
                    self._launch("finish", n, layer)
            if layer < last and normalizes:
                self._launch_norm("norm", n, layer)
            if layer < last and self._is_softmax[layer]:
                self._launch("softmax", n, layer)

    def _launch_norm(self, name, n, layer):
        if self._spec.normalization == "batch":
            self._launch_by_columns(name, layer)
        else:
            self._launch(name, n, layer)

    def _back(self, n):
        """All layers from the last one, each with its gradients and their use."""
        partial = 0
        for layer in reversed(range(len(self._shapes))):
            if layer > 0:
                self._deltas(n, layer)
            self._gradient(n, layer, partial)
            self._biases(n, layer)
            partial += self._items[layer]

    def _deltas(self, n, layer):
        """Deltas of the layer below one, the last operation's in place."""
        room, (fan_in, units) = self._memory.room, self._shapes[layer]
        self._products.multiply(
            (n, fan_in, units),
            self._rows(room.deltas, layer + 1),
            self._weights(self._state.parameters, layer, transposed=True),
            self._rows(room.deltas, layer),
        )
        self._launch("back_through", n, layer)
        if self._is_softmax[layer - 1]:
            self._launch("softmax_back", n, layer - 1)
        if self._spec.normalization is not None:
            self._launch_by_columns("norm_sums", layer - 1)
            self._launch("norm_back", n, layer - 1)

    def _gradient(self, n, layer, partial):
        """Gradient of a layer's weights, and what is done with it."""
        room, (fan_in, units) = self._memory.room, self._shapes[layer]
        if layer == 0 and self._spec.sparse:
            self._launch("sparse_weights", self._items[0], 0, partial)
            return
        self._products.multiply(
            (fan_in, units, n),
            self._rows(room.outputs, layer, transposed=True),
            self._rows(room.deltas, layer + 1),
            self._weights(room.gradient, layer),
        )
        self._launch("weights", self._items[layer], layer, partial)

    def _biases(self, n, layer):
        """Gradient of a layer's biases, and what is done with it.

        A sum over the batch is a product, too: one with a row of ones.
        """
        is_hidden = layer < len(self._shapes) - 1
        if is_hidden and self._spec.normalization is not None:
            self._launch_by_columns("norm_biases", layer)
            return
        if not self._spec.intercepts:
            return
        room, units = self._memory.room, self._shapes[layer][1]
        self._products.multiply(
            (1, units, n),
            Matrix(self._memory.floats["ones"], 0, self._memory.room.batch),
            self._rows(room.deltas, layer + 1),
            Matrix(room.gradient, self._offsets.bias_offsets[layer], units),
        )
        if not self._spec.limits_gradient:
            self._launch("biases", -(-units // self._spec.tile.threads), layer)

    def _limit(self):
        """What has to wait for the whole gradient, or for all weights."""
        threads = self._spec.tile.threads
        if self._spec.limits_gradient:
            self._launch("bias_squares", 1)
            self._launch("fold_norms", 1)
            room = self._memory.room._replace(n_partials=1)
            state = self._state._replace(room=room)
            items = -(-self._offsets.n_trained // threads)
            self._launch("update_all", items, state=state)
        if self._spec.limits_weights:
            widest = max(units for _, units in self._shapes)
            self._launch("limit_weights", -(-widest // threads))

    def _forget_recordings(self):
        recorded = list(self._recorded.values())
        self._recorded.clear()
        for one in recorded:
            one.close()

    def close(self):
        """Give back what is not memory."""
        self._forget_recordings()
        self._products.close()
