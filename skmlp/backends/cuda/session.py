"""One fit on a device: binds arrays to kernels, launches them, returns numbers."""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends.cuda import epoch, planner
from skmlp.backends.cuda.binding import extras_of, n_processors, net_of, spec_of
from skmlp.backends.cuda.memory import Arena, download, upload
from skmlp.backends.cuda.prediction import Predictor, data_of
from skmlp.backends.cuda.spec import Spec
from skmlp.backends.cuda.structures import Room, Step
from skmlp.backends.cuda.teams import lanes_of
from skmlp.network import layout

# Batches of a launch at most, and numbers that it keeps of them: memory for the sums.
_MOST_BATCHES = 8192
_MOST_PARTIALS = 1 << 22
# Rows that the gradient over all rows works on at a time.
_SWEEP_ROWS = 4096


class _Place(NamedTuple):
    """Where batches of one size are worked on."""

    spec: Spec
    room: Room
    floats: Arena
    integers: Arena
    blocks: int
    most_batches: int


class Session:
    """One fit (see `skmlp.backends`).

    Parameters
    ----------
    problem : skmlp.backends.Problem
    parameters : ndarray
        Copied.
    """

    def __init__(self, problem, parameters):
        self._problem = problem
        self._dtype = parameters.dtype
        self._sparse = sparse.issparse(problem.x)
        self._net = net_of(problem.network, self._dtype)
        self._parameters = upload(parameters)
        self._data = self._upload_data()
        self._extras = extras_of(problem.regularisation, self._dtype)
        self._weight = 1.0 / problem.mean_weight
        self._steps = 0
        self._places: dict[int, _Place] = {}
        self._slots = None
        self._optimizer = None
        self._other = None

    @property
    def parameters(self):
        """A copy of the current parameters on the host."""
        return download(self._parameters)

    def _upload_data(self):
        problem = self._problem
        weights = problem.weights
        if weights is None:
            weights = np.zeros(0, dtype=self._dtype)
        data = data_of(problem.x, self._dtype)
        return data._replace(targets=upload(problem.targets), weights=upload(weights))

    def _spec(self, tile, optimizer):
        network, extras = self._problem.network, self._problem.regularisation
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

    def _work(self, batch_size):
        return planner.Work(batch_size, self._problem.network.shapes, self._sparse)

    def _place(self, batch_size, optimizer):
        """Working memory for batches of a size, made at first use."""
        key = (batch_size, optimizer)
        if key not in self._places:
            work = self._work(batch_size)
            tile = planner.choose_tile(work, n_processors())
            spec = self._spec(tile, optimizer)
            self._places[key] = self._make_place(work, spec)
        return self._places[key]

    def _make_place(self, work, spec):
        network = self._problem.network
        warps = spec.tile.threads // lanes_of(spec.tile.threads)
        n_partials = (sum(planner.gradient_items(work, spec.tile)) + 1) * warps
        n_batches = -(-len(self._problem.rows) // work.rows)
        most = max(1, min(n_batches, _MOST_BATCHES, _MOST_PARTIALS // n_partials))
        sizes = list(network.sizes)
        if not spec.loaded:
            sizes[0] = 0  # rows of X are read where they lie
        ends = np.cumsum([0] + [work.rows * units for units in sizes])
        hidden = sum(network.sizes[1:-1])
        normalises = spec.normalization is not None
        floats = Arena(
            self._dtype,
            {
                "outputs": ends[-1],
                "deltas": ends[-1],
                "inputs": ends[-1] if spec.keeps else 0,
                "normed": ends[-1] if normalises else 0,
                "factors": (hidden + work.rows * len(sizes)) if normalises else 0,
                "sums": 2 * hidden if normalises else 0,
                "gradient": layout(network).size,
                "losses": most * work.rows,
                "squares": most * n_partials,
                "norms": n_partials,
                "rates": 4 * most,
                "hyper": 3,
                "result": 2 * most,
            },
        )
        integers = Arena(
            np.dtype(np.int64), {"at": len(sizes), "order": most * work.rows}
        )
        names = ("outputs", "deltas", "inputs", "normed", "factors", "sums")
        names += ("gradient", "losses", "squares", "norms")
        at = integers.put("at", ends[:-1].astype(np.int64))
        room = Room(at, *(floats[name] for name in names), n_partials, work.rows)
        floats.put("norms", np.zeros(n_partials, dtype=self._dtype))
        self._clear_gradient(room)
        blocks = planner.choose_blocks(work, spec.tile, n_processors())
        return _Place(spec, room, floats, integers, blocks, most)

    def _clear_gradient(self, room):
        room.gradient.copy_to_device(np.zeros(room.gradient.shape[0], self._dtype))

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
        self._bind(optimizer)
        place = self._place(batch_size, optimizer.name)
        hyper = np.array(optimizer.hyper, dtype=self._dtype)
        place.floats.put("hyper", hyper)
        for first in range(span[0], span[1], place.most_batches):
            last = min(first + place.most_batches, span[1])
            rows = order[first * batch_size : last * batch_size]
            part = rates[first - span[0] : last - span[0]]
            found = self._launch(epoch.training, place, rows, part)
            sizes = np.diff(np.append(np.arange(0, len(rows), batch_size), len(rows)))
            decay = 0.5 * self._problem.alpha * self._weight
            for n, (loss, squares) in zip(sizes.tolist(), found, strict=True):
                total += n * loss + decay * squares
            self._steps += last - first
        return total

    def _launch(self, kernel_of, place, rows, rates):
        """Run a kernel over the batches of some rows.

        Returns
        -------
        list of list of float
            Each batch's loss and sum of the squares of its weights.
        """
        kind = self._dtype.type
        batch_size = place.room.batch
        n_batches = -(-len(rows) // batch_size)
        data = self._data._replace(order=place.integers.put("order", rows))
        weight = self._weight
        if place.spec.optimizer is None:
            weight /= len(self._problem.rows)
        slots = self._parameters if self._slots is None else self._slots
        step = Step(
            slots,
            place.floats.put("rates", rates.astype(self._dtype)),
            place.floats["hyper"],
            kind(self._problem.alpha * self._weight),
            kind(weight),
        )
        trained = layout(self._problem.network).trained
        span = (batch_size, n_batches, self._steps, trained)
        result = place.floats["result"]
        kernel = kernel_of(place.spec)
        kernel[place.blocks, place.spec.tile.threads](
            *(self._net, data, place.room, self._extras),
            *(self._parameters, step, span, result),
        )
        found = download(result[: 2 * n_batches]).astype(np.float64)
        return found.reshape(n_batches, 2).tolist()

    def loss_and_gradient(self, parameters):
        """Loss and gradient over all training rows, the penalty included."""
        network, rows = self._problem.network, self._problem.rows
        if network.normalization == "batch":
            raise ValueError("A sweep over all rows has no statistics of minibatches.")
        current = self._parameters
        values = np.ascontiguousarray(parameters, dtype=self._dtype)
        place = self._place(min(_SWEEP_ROWS, len(rows)), None)
        self._clear_gradient(place.room)
        self._parameters = upload(values)
        try:
            loss = self._sweep(place, rows)
        finally:
            self._parameters = current
        gradient = download(place.room.gradient).astype(np.float64)
        n_weights = layout(network).biases[0]
        penalised = np.asarray(parameters, dtype=np.float64)[:n_weights]
        decay = self._problem.alpha * self._weight / len(rows)
        gradient[:n_weights] += decay * penalised
        return loss + 0.5 * decay * float(np.sum(penalised * penalised)), gradient

    def _sweep(self, place, rows):
        """Mean loss over rows, whose gradient is added up in the room."""
        total = 0.0
        step = place.most_batches * place.room.batch
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            n_batches = -(-len(part) // place.room.batch)
            found = self._launch(
                epoch.differentiating, place, part, np.zeros((n_batches, 4))
            )
            total += sum(loss for loss, _ in found)
        return total

    def outputs(self, x, rows):
        """Raw outputs for some rows, or for all, with the current parameters."""
        network, parameters = self._problem.network, self._parameters
        if network.normalization == "batch":
            parameters = self.parameters
        predictor = Predictor(network, parameters, "identity")
        data = self._on_device(x)
        order = np.arange(x.shape[0]) if rows is None else rows
        return predictor.predict(data, order, self._sparse)[0]

    def _on_device(self, x):
        """Some X on the device; that of the training and the last other one stay."""
        if x is self._problem.x:
            return self._data
        if self._other is None or self._other[0] is not x:
            self._other = (x, data_of(x, self._dtype))
        return self._other[1]

    def close(self):
        """Give the optimizer its vectors back, and the device its memory."""
        self._give_back_slots()
        self._places.clear()


@contextmanager
def open_session(problem, parameters):
    """A session on a copy of some parameters, on the current device."""
    session = Session(problem, parameters)
    yield session
    session.close()
