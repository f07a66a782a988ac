"""Predictions on the CPU: what a network's predictions need, prepared once.

A service asks for one row at a time. There the arithmetic takes a microsecond or two,
and whatever is done again at every call costs a multiple of that.
"""

import math

import numpy as np
from scipy import sparse

from skmlp.backends.cpu import plan
from skmlp.backends.cpu.binding import (
    Bins,
    as_if_writable,
    kernel_x,
    prediction_net,
    read_only,
)
from skmlp.backends.cpu.gemm import matmul
from skmlp.backends.cpu.kernels import predict
from skmlp.backends.cpu.threads.pool import ThreadPool
from skmlp.backends.cpu.workspace import aligned, whole_lines
from skmlp.network import fold_batch_norm

_ALL_ROWS = read_only(np.empty(0, dtype=np.int64))


class Predictor:
    """Predictions of a network (see `skmlp.backends`).

    Each call owns its working memory, so threads may predict concurrently.

    Parameters
    ----------
    network : Network
    params : ndarray
        Read at every call, so that changes of its numbers count.
    """

    def __init__(self, network, params):
        self._given = network, params
        self._dtype = params.dtype
        self._features_width, self._width = max(network.sizes), max(network.sizes[1:])
        self._dense_work = plan.dense_row_work(network.shapes)
        self._gemm = matmul.gemm_address(params.dtype)
        self._nets: dict = {}
        self._bins = None if network.embedding is None else Bins(network, self._dtype)
        self._folded = self._fold()

    def _fold(self):
        """Network and parameters without batch normalization, and what these are of."""
        network, params = self._given
        folded, vector = fold_batch_norm(network, params)
        seen = None if vector is params else params.tobytes()
        return folded, as_if_writable(vector), seen

    def _current(self):
        """Network and parameters without batch normalization, as they are now."""
        network, vector, seen = self._folded
        if seen is not None and seen != self._given[1].tobytes():
            network, vector, _ = self._folded = self._fold()
        return network, vector

    def _net(self, network, activation):
        """The network for the kernels, with an output activation."""
        # By rows, not names: a user may have replaced the row of a name.
        rows = tuple(network.activation_rows)
        known = self._nets.get(activation)
        if known is None or known[0] != rows:
            by_rows = network._replace(activations=rows, loss=None)
            known = rows, prediction_net(by_rows, activation, self._dtype)
            self._nets[activation] = known
        return known[1]

    def outputs(self, x, activation, n_jobs):
        """Predictions for all rows, and whether the sum of a dense X is finite."""
        return self.outputs_of_rows((x, None), activation, n_jobs)

    def outputs_of_rows(self, source, activation, n_jobs, rows=None):
        """Predictions for some rows, and whether the sum of all of X is finite.

        Parameters
        ----------
        source : tuple
            X and row indices, or X and None; with indices X is not summed.
        activation : str
        n_jobs : int or None
        rows : object, default=None
            X in the kernels' form; None to convert it.
        """
        x, row_ids = source
        network, params = self._current()
        n_rows = x.shape[0] if row_ids is None else len(row_ids)
        is_sparse = sparse.issparse(x)
        width = self._width if is_sparse else self._features_width
        row_block = plan.predict_rows(width, n_rows, self._dtype.itemsize)
        n_blocks = -(-n_rows // row_block)
        work = plan.row_work(network.shapes, x) if is_sparse else self._dense_work
        work *= n_rows
        n_threads = plan.threads_for(work, n_jobs, plan.MIN_PREDICTION)
        n_threads = min(n_threads, n_blocks)
        out = np.empty((n_rows, network.sizes[-1]), dtype=self._dtype)
        half = whole_lines(row_block * width, self._dtype)
        size = 2 * half + matmul.packing_size(width, self._dtype, row_block)
        scratch = aligned(n_threads * size, self._dtype).reshape(n_threads, size)
        workspace = (scratch, half, row_block, self._gemm)
        row_ids = _ALL_ROWS if row_ids is None else read_only(row_ids)
        sums = np.zeros(n_blocks)
        if rows is None and self._bins is not None:
            rows = self._bins.embedded_rows(x, params)
        elif rows is None:
            rows = kernel_x(x, network, params)
        net = self._net(network, activation)
        arguments = (net, rows, row_ids, workspace, params, out, sums)
        with ThreadPool(n_threads) as pool:
            kind = self._dtype, type(rows), getattr(x, "indices", x).dtype
            pool.call(predict.predict, lambda worker_id: arguments, kind)
        return out, math.isfinite(sum(sums.tolist()))


def predictor(network, params):
    """A function that predicts with some parameters."""
    return Predictor(network, params).outputs


def outputs(network, params, x, activation, n_jobs):
    """Predictions with the named output activation, and whether X's sum is finite."""
    return predictor(network, params)(x, activation, n_jobs)
