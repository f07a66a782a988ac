"""The persistent-kernel program: one cooperative launch for all batches of a range.

Two programs train, and both have ``max_batches``, ``train(state, batches)`` and
``close()``. This one is fastest where launches would take longer than their work; the
other, `per_op`, where matrix products dominate.
"""

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors
from skmlp.backends.cuda.kernels import train
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.runtime.memory import download
from skmlp.backends.cuda.workspace import BatchBuffers


class Persistent:
    """Trains on ranges of batches of one size.

    Parameters
    ----------
    fit : workspace.Fit
    work : plan.Work
    spec : Spec

    Attributes
    ----------
    max_batches : int
        Most batches of a range.
    """

    def __init__(self, fit, work, spec):
        self._fit = fit
        self._spec = spec
        n_items = sum(plan.gradient_items(work, spec.tile))
        self._buffers = BatchBuffers(fit, spec, work.batch_size, n_items)
        self._blocks = plan.choose_blocks(work, spec.tile, n_processors())
        self.max_batches = self._buffers.max_batches
        if spec.optimizer is None:
            self.max_batches = min(self.max_batches, plan.sweep_batches(work))

    def train(self, state, batches):
        """Train on the batches of a range.

        Parameters
        ----------
        state : workspace.TrainState
        batches : workspace.BatchRange
            Of at most `max_batches`.

        Returns
        -------
        list of list of 2 float
            Each batch's loss before its update, and the sum of the squares of its
            weights.
        """
        return self._launch(train.training, state, batches, self._fit.inv_mean_weight)

    def differentiate(self, state, ranges):
        """Mean loss over the rows of some batch ranges, and its gradient.

        Returns
        -------
        float
        ndarray
        """
        self._buffers.clear_gradient()
        row_weight = self._fit.inv_mean_weight / self._fit.n_rows
        loss = 0.0
        for batches in ranges:
            results = self._launch(train.differentiating, state, batches, row_weight)
            loss += sum(loss_of_batch for loss_of_batch, _ in results)
        return loss, download(self._buffers.ws.gradient)

    def _launch(self, make_kernel, state, batches, inv_mean_weight):
        loaded = self._buffers.load(self._fit, state, batches, inv_mean_weight)
        kernel = make_kernel(self._spec)
        configured(kernel, self._blocks, self._spec.tile.threads)(
            loaded.ctx, loaded.update, loaded.sizes, loaded.result
        )
        return loaded.download_result()

    def close(self):
        """Nothing to do: its memory goes with the object."""
