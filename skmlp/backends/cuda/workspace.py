"""The workspace: device buffers that a fit allocates once and reuses for every batch.

Both training programs, `persistent` and `per_op`, work in the same buffers; they differ
in their launches.
"""

from typing import Any, NamedTuple

import numpy as np

from skmlp.backends import Regularization
from skmlp.backends.cuda.kernels.reductions import lanes_of
from skmlp.backends.cuda.kernels.structs import (
    BatchRangeSizes,
    NetDesc,
    RegularizationDesc,
    TrainContext,
    TrainingData,
    UpdateParams,
    Workspace,
)
from skmlp.backends.cuda.runtime.memory import Arena, download, upload
from skmlp.network import Network, layout
from skmlp.rules.optimizers import MAX_COEFFICIENTS, MAX_HYPERPARAMETERS
from skmlp.rules.randomness import threshold_of
from skmlp.segments import split_table

# Limits of a batch range: its batches, and partial sums stored for them.
_MAX_BATCHES = 8192
_MAX_PARTIALS = 1 << 22


class Fit(NamedTuple):
    """What stays on the device for a whole fit.

    Attributes
    ----------
    network : Network
    net : NetDesc
    data : TrainingData
    reg : RegularizationDesc
    regularization : Regularization
    n_rows : int
        Number of training rows.
    max_range_rows : int
        Most rows of a batch range of several epochs.
    alpha : float
        L2 penalty.
    inv_mean_weight : float
        One over the mean sample weight of the training rows.
    """

    network: Network
    net: NetDesc
    data: TrainingData
    reg: RegularizationDesc
    regularization: Regularization
    n_rows: int
    max_range_rows: int
    alpha: float
    inv_mean_weight: float


class TrainState(NamedTuple):
    """What training changes, and the optimizer's hyperparameters.

    Attributes
    ----------
    params, slots : device array
    hyper : ndarray of MAX_HYPERPARAMETERS
    """

    params: object
    slots: object
    hyper: np.ndarray


class BatchRange(NamedTuple):
    """Consecutive batches: of a part of an epoch, or of several whole epochs.

    Attributes
    ----------
    row_ids : ndarray of int64
        The rows, one batch after the other.
    rates : ndarray of shape (n_batches, skmlp.segments.n_columns(n_segments))
        Weight decays and the optimizer's coefficients, by segment; factors of dropout.
    first_step_index : int
        Index of the first batch's step in the training.
    epoch_rows : int
        Rows of an epoch, whose last batch may have fewer than the others.
    """

    row_ids: np.ndarray
    rates: np.ndarray
    first_step_index: int
    epoch_rows: int


class LoadedRange(NamedTuple):
    """The arguments of a launch on a batch range, and its results after the launch.

    Attributes
    ----------
    ctx : TrainContext
    update : UpdateParams
    sizes : BatchRangeSizes
    result : device array
        Loss and sum of the squares of the weights, by batch.
    """

    ctx: TrainContext
    update: UpdateParams
    sizes: BatchRangeSizes
    result: Any

    def download_result(self):
        """Each batch's loss and sum of the squares of its weights.

        Returns
        -------
        list of list of 2 float
        """
        result = download(self.result[: 2 * self.sizes.n_batches])
        return result.astype(np.float64).reshape(-1, 2).tolist()


def warps_of(spec):
    """Warps of a block, each of which stores its own partial sums."""
    return spec.tile.threads // lanes_of(spec.tile.threads)


def forward_workspace(offsets, outputs, batch_size, **others):
    """A `Workspace` for kernels without a backward pass.

    Parameters
    ----------
    offsets : ndarray
    outputs : device array
    batch_size : int
    **others : device array
        By name; all other buffers are empty.
    """
    empty = upload(np.zeros(0, dtype=outputs.dtype))
    buffers = dict.fromkeys(Workspace._fields, empty)
    buffers |= {
        "offsets": upload(np.asarray(offsets, dtype=np.int64)),
        "outputs": outputs,
        "n_partials": 0,
        "batch_size": batch_size,
    }
    return Workspace(**(buffers | others))


class BatchBuffers:
    """The workspace for batches of one size, and the arrays of a batch range.

    To work on a batch range, `load` it, launch with what that returns, then call
    `LoadedRange.download_result`. Loading overwrites the range before, in the same
    arrays: a captured CUDA graph stays valid as long as `TrainState` has its arrays.

    Parameters
    ----------
    fit : Fit
    spec : Spec
    batch_size : int
    n_items : int
        Parts of the weights of which one block stores the partial sums.

    Attributes
    ----------
    ws : Workspace
    ones : device array
        As many ones as a batch has rows.
    cursor : device array
        See `structs.CURSOR_BATCH`; `load` sets it to the first batch.
    max_batches : int
        Most batches of a range.

    Raises
    ------
    MemoryError
    """

    def __init__(self, fit, spec, batch_size, n_items):
        self._dtype = spec.dtype
        n_partials = (n_items + 1) * warps_of(spec)
        n_batches = -(-fit.n_rows // batch_size)
        if spec.optimizer is not None:
            n_batches = max(n_batches, fit.max_range_rows // batch_size)
        self.max_batches = max(
            1, min(n_batches, _MAX_BATCHES, _MAX_PARTIALS // n_partials)
        )
        sizes = list(fit.network.sizes)
        if not spec.copies_x:
            sizes[0] = 0  # rows of X are read in place
        ends = np.cumsum([0] + [batch_size * units for units in sizes])
        workspace = _workspace_sizes(fit.network, spec, batch_size, ends[-1])
        workspace["losses"] = self.max_batches * batch_size
        workspace["weight_sq_sums"] = self.max_batches * n_partials
        workspace["grad_sq_sums"] = n_partials
        n_updates = self.max_batches * fit.net.segment_ends.shape[0]
        has_schedule = fit.regularization.has_dropout_schedule
        n_scheduled = len(fit.regularization.dropout) if has_schedule else 0
        of_range = {
            "weight_decays": n_updates,
            "coefficients": MAX_COEFFICIENTS * n_updates,
            "hyper": MAX_HYPERPARAMETERS,
            "dropout_scales": self.max_batches * n_scheduled,
            "result": 2 * self.max_batches,
            "ones": batch_size,
        }
        self._floats = Arena(spec.dtype, workspace | of_range)
        integers = {
            "offsets": len(sizes),
            "row_ids": self.max_batches * batch_size,
            "dropout_thresholds": self.max_batches * n_scheduled,
            "cursor": 3,
        }
        self._integers = Arena(np.dtype(np.int64), integers)
        self.ws = Workspace(
            offsets=self._integers.put("offsets", ends[:-1].astype(np.int64)),
            **{name: self._floats[name] for name in workspace},
            n_partials=n_partials,
            batch_size=batch_size,
        )
        self._floats.put("grad_sq_sums", np.zeros(n_partials, dtype=spec.dtype))
        self.ones = self._floats.put("ones", np.ones(batch_size, dtype=spec.dtype))
        self.cursor = self._integers["cursor"]
        self.clear_gradient()

    def clear_gradient(self):
        """Set the gradient to zero."""
        zeros = np.zeros(self.ws.gradient.shape[0], dtype=self._dtype)
        self.ws.gradient.copy_to_device(zeros)

    def load(self, fit, state, batches, inv_mean_weight):
        """Copy a batch range to the device, for a launch.

        Parameters
        ----------
        fit : Fit
        state : TrainState
        batches : BatchRange
            Of at most `max_batches`.
        inv_mean_weight : float
            `UpdateParams.inv_mean_weight`.

        Returns
        -------
        LoadedRange
            Good until the next call.
        """
        scalar, floats = self._dtype.type, self._floats
        steps = split_table(batches.rates)
        floats.put("weight_decays", steps.decays.astype(self._dtype))
        floats.put("coefficients", steps.coefficients.astype(self._dtype))
        floats.put("hyper", state.hyper)
        sizes = BatchRangeSizes(
            n_batches=len(batches.rates),
            epoch_rows=batches.epoch_rows,
            first_step_index=batches.first_step_index,
        )
        cursor = [0, sizes.epoch_rows, sizes.first_step_index]
        self._integers.put("cursor", np.array(cursor, dtype=np.int64))
        self._integers.put("row_ids", batches.row_ids)
        ctx = TrainContext(
            net=fit.net,
            data=fit.data._replace(row_ids=self._integers["row_ids"]),
            ws=self.ws,
            reg=self._regularization(fit, steps.dropout),
            params=state.params,
        )
        update = UpdateParams(
            slots=state.slots,
            weight_decays=floats["weight_decays"],
            coefficients=floats["coefficients"],
            hyper=floats["hyper"],
            l2=scalar(fit.alpha * fit.inv_mean_weight),
            inv_mean_weight=scalar(inv_mean_weight),
        )
        return LoadedRange(ctx=ctx, update=update, sizes=sizes, result=floats["result"])

    def _regularization(self, fit, factors):
        """The regularization of a range, with its factors of dropout."""
        if not fit.regularization.has_dropout_schedule:
            return fit.reg
        rates = fit.regularization.dropout_rates(factors)
        thresholds, scales = dropout_arrays(rates)
        self._integers.put("dropout_thresholds", thresholds)
        self._floats.put("dropout_scales", scales.astype(self._dtype))
        return fit.reg._replace(
            dropout_thresholds=self._integers["dropout_thresholds"],
            dropout_scales=self._floats["dropout_scales"],
            dropout_stride=rates.shape[1],
        )


def dropout_arrays(rates):
    """Thresholds and scales of dropout (see `RegularizationDesc`)."""
    return threshold_of(rates).astype(np.int64), 1.0 / (1.0 - rates)


def _workspace_sizes(network, spec, batch_size, layer_size):
    """Elements of the buffers whose sizes do not depend on the batch range.

    `layer_size` is that of all layers' rows.
    """
    hidden = sum(network.sizes[1:-1])
    normalizes = spec.normalization is not None
    per_row = batch_size * len(network.sizes)
    return {
        "outputs": layer_size,
        "deltas": layer_size,
        "preactivations": layer_size if spec.stores_preactivation else 0,
        "normalized": layer_size if normalizes else 0,
        "inv_std": hidden + per_row if normalizes else 0,
        "norm_grad_sums": 2 * hidden if normalizes else 0,
        "gradient": layout(network).size,
    }
