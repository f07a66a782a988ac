"""What stays on the device for a fit, and the room in which its batches are worked on.

Both programs that train, `spanwise` and `stepwise`, work in the same room; they differ
in the launches that they need.
"""

from typing import NamedTuple

import numpy as np

from skmlp.backends.cuda.kernels.reductions import lanes_of
from skmlp.backends.cuda.kernels.structs import Data, Extras, Net, Room, Step
from skmlp.backends.cuda.runtime.memory import Arena, download
from skmlp.network import Network, layout

# Batches of a span at most, and numbers that it keeps of them: memory for the sums.
_MOST_BATCHES = 8192
_MOST_PARTIALS = 1 << 22


class Fit(NamedTuple):
    """What stays on the device for a whole fit.

    Attributes
    ----------
    network : Network
    net : Net
    data : Data
    extras : Extras
    n_rows : int
        Rows that are trained on.
    span_rows : int
        Rows that a span of several epochs may have.
    alpha : float
        L2 penalty.
    weight : float
        One over the mean weight of those rows.
    """

    network: Network
    net: Net
    data: Data
    extras: Extras
    n_rows: int
    span_rows: int
    alpha: float
    weight: float


class Vectors(NamedTuple):
    """What is trained, and by what.

    Attributes
    ----------
    parameters, slots : device array
    hyper : ndarray of 3
        The optimizer's hyperparameters.
    """

    parameters: object
    slots: object
    hyper: np.ndarray


class Span(NamedTuple):
    """Batches one after the other, of a part of an epoch or of several whole ones.

    Attributes
    ----------
    rows : ndarray of int64
        Numbers of the rows.
    rates : ndarray of shape (n_batches, 4)
        Share by which weights shrink, and the optimizer's coefficients.
    first_step : int
        Number of the first batch's step in the training.
    epoch_rows : int
        Rows of an epoch, of whose batches the last may have fewer than the others.
    """

    rows: np.ndarray
    rates: np.ndarray
    first_step: int
    epoch_rows: int


def warps_of(spec):
    """Warps of a block, each of which keeps sums of its own."""
    return spec.tile.threads // lanes_of(spec.tile.threads)


class Memory:
    """Working memory for batches of one size.

    Parameters
    ----------
    fit : Fit
    spec : Spec
    rows : int
        Of a batch.
    n_items : int
        Parts of the weights that a block has to itself.

    Attributes
    ----------
    room : Room
    floats, integers : Arena
    most_batches : int
        Of a span.

    Raises
    ------
    MemoryError
    """

    def __init__(self, fit, spec, rows, n_items):
        self._dtype = spec.dtype
        n_partials = (n_items + 1) * warps_of(spec)
        n_batches = -(-fit.n_rows // rows)
        if spec.optimizer is not None:
            n_batches = max(n_batches, fit.span_rows // rows)
        self.most_batches = max(
            1, min(n_batches, _MOST_BATCHES, _MOST_PARTIALS // n_partials)
        )
        sizes = list(fit.network.sizes)
        if not spec.loaded:
            sizes[0] = 0  # rows of X are read where they lie
        ends = np.cumsum([0] + [rows * units for units in sizes])
        numbers = self._numbers(fit, spec, rows, n_partials)
        room = {"outputs": ends[-1], "deltas": ends[-1]}
        room["inputs"] = ends[-1] if spec.keeps else 0
        room["normed"] = ends[-1] if spec.normalization is not None else 0
        self.floats = Arena(spec.dtype, room | numbers)
        integers = {"at": len(sizes), "order": self.most_batches * rows, "cursor": 3}
        self.integers = Arena(np.dtype(np.int64), integers)
        self._n_batches = 0
        arrays = {name: self.floats[name] for name in Room._fields[1:-2]}
        at = self.integers.put("at", ends[:-1].astype(np.int64))
        self.room = Room(at=at, **arrays, n_partials=n_partials, batch=rows)
        self.floats.put("norms", np.zeros(n_partials, dtype=spec.dtype))
        self.floats.put("ones", np.ones(rows, dtype=spec.dtype))
        self.clear_gradient()

    def _numbers(self, fit, spec, rows, n_partials):
        """Lengths of what is not a layer's rows."""
        network, most = fit.network, self.most_batches
        hidden = sum(network.sizes[1:-1])
        normalizes = spec.normalization is not None
        return {
            "factors": (hidden + rows * len(network.sizes)) if normalizes else 0,
            "sums": 2 * hidden if normalizes else 0,
            "gradient": layout(network).size,
            "losses": most * rows,
            "squares": most * n_partials,
            "norms": n_partials,
            "rates": 4 * most,
            "hyper": 3,
            "result": 2 * most,
            "ones": rows,
        }

    def clear_gradient(self):
        """Set the gradient to zero."""
        gradient = self.floats["gradient"]
        gradient.copy_to_device(np.zeros(gradient.shape[0], dtype=self._dtype))

    def put(self, span):
        """Copy what a span is to the device; returns its rows there."""
        self._n_batches = len(span.rates)
        self.floats.put("rates", span.rates.astype(self._dtype))
        cursor = np.array([0, span.epoch_rows, span.first_step], dtype=np.int64)
        self.integers.put("cursor", cursor)
        return self.integers.put("order", span.rows)

    def step(self, fit, vectors, weight):
        """The optimizer for kernels, rows weighing `weight`."""
        kind = self._dtype.type
        self.floats.put("hyper", vectors.hyper)
        return Step(
            vectors.slots,
            self.floats["rates"],
            self.floats["hyper"],
            kind(fit.alpha * fit.weight),
            kind(weight),
        )

    def sizes(self, fit, span):
        """A span's numbers for kernels (see `epoch.training`)."""
        return (
            *(self.room.batch, len(span.rates), span.first_step),
            *(layout(fit.network).n_trained, span.epoch_rows),
        )

    def results(self):
        """Each batch's loss and sum of the squares of its weights, of the last span.

        Returns
        -------
        list of list of 2 float
        """
        found = download(self.floats["result"][: 2 * self._n_batches])
        return found.astype(np.float64).reshape(-1, 2).tolist()
