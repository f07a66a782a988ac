"""The program for most networks: one launch for all the batches of a span.

Two programs train, and have in common ``most_batches``, ``train(vectors, span)`` and
``close()``. This one is fastest where launches would take longer than their work; the
other, `stepwise`, where products of matrices are all that counts.
"""

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors
from skmlp.backends.cuda.kernels import train
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.runtime.memory import download
from skmlp.backends.cuda.workspace import Memory


class Spanwise:
    """Trains on spans of batches of one size.

    Parameters
    ----------
    fit : rooms.Fit
    work : planner.Work
    spec : Spec
    """

    def __init__(self, fit, work, spec):
        self._fit = fit
        self._spec = spec
        n_items = sum(plan.gradient_items(work, spec.tile))
        self._memory = Memory(fit, spec, work.rows, n_items)
        self._blocks = plan.choose_blocks(work, spec.tile, n_processors())
        self.most_batches = self._memory.most_batches
        if spec.optimizer is None:
            at_once = plan.sweeps_at_once(work)
            self.most_batches = min(self.most_batches, at_once)

    def train(self, vectors, span):
        """Train on the batches of a span.

        Parameters
        ----------
        vectors : rooms.Vectors
        span : rooms.Span
            Of at most `most_batches`.

        Returns
        -------
        list of list of 2 float
            Each batch's loss before its update, and the sum of the squares of its
            weights.
        """
        return self._launch(train.training, vectors, span, self._fit.weight)

    def differentiate(self, vectors, spans):
        """Mean loss over the rows of some spans, and its gradient.

        Returns
        -------
        float
        ndarray
        """
        self._memory.clear_gradient()
        weight = self._fit.weight / self._fit.n_rows
        loss = 0.0
        for span in spans:
            found = self._launch(train.differentiating, vectors, span, weight)
            loss += sum(part for part, _ in found)
        return loss, download(self._memory.room.gradient)

    def _launch(self, kernel_of, vectors, span, weight):
        memory, fit = self._memory, self._fit
        data = fit.data._replace(order=memory.put(span))
        step = memory.step(fit, vectors, weight)
        sizes = memory.sizes(fit, span)
        kernel = kernel_of(self._spec)
        configured(kernel, self._blocks, self._spec.tile.threads)(
            *(fit.net, data, memory.room, fit.extras, vectors.parameters),
            *(step, sizes, memory.floats["result"]),
        )
        return memory.results()

    def close(self):
        """Nothing but memory, which goes with the object."""
