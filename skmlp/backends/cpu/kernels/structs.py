"""The structs that kernels take by pointer.

A kernel takes few arguments: a `WorkerContext`, and the structs below, by address (see
`skmlp.compiler.struct_pointer`). `TrainContext` points to the structs that many calls
share, which the session packs once; `UpdateParams` and `BatchRange` are new for every
call.
"""

from typing import NamedTuple

import numpy as np

from skmlp.compiler.struct_pointer import passed_by_pointer


class NetDesc(NamedTuple):
    """The network in the form that kernels read. Loops are given by their addresses.

    Attributes
    ----------
    sizes : ndarray of int64
        Units of each layer, features and outputs included.
    weight_offsets, bias_offsets : ndarray of int64
        Offsets in the parameter vector.
    activation_fns : ndarray of int64
        Each hidden layer's activation; in `predict` also that of the outputs.
    slope_fns : ndarray of int64
        Each hidden layer's derivative.
    single_output_slope_fns : ndarray of int64
        Each hidden layer's derivative, combined with the backward product from a single
        output; 0 for layers without such a loop; empty unless there is one output.
    needs_preactivation : ndarray of int64
        1 for each hidden layer whose derivative is a function of its preactivation,
        0 where it is a function of its output.
    stores_preactivation : ndarray of int64
        1 for each hidden layer whose preactivation, or whose output before dropout, is
        stored in `Workspace.preactivations` for the backward pass; else 0.
    loss_fn : int
    loss_params : ndarray
        At least one.
    scale_offsets : ndarray of int64
        Offsets of the hidden layers' scales; empty without normalization.
    layer_norm_fn, layer_norm_predict_fn, layer_norm_backward_fn : int
        Layer normalization; 0 for networks without it.
    """

    sizes: np.ndarray
    weight_offsets: np.ndarray
    bias_offsets: np.ndarray
    activation_fns: np.ndarray
    slope_fns: np.ndarray
    single_output_slope_fns: np.ndarray
    needs_preactivation: np.ndarray
    stores_preactivation: np.ndarray
    loss_fn: int
    loss_params: np.ndarray
    scale_offsets: np.ndarray
    layer_norm_fn: int
    layer_norm_predict_fn: int
    layer_norm_backward_fn: int


class TrainingData(NamedTuple):
    """X, dense or sparse, targets (rows, columns), and sample weights, maybe empty."""

    x: object
    targets: np.ndarray
    sample_weight: np.ndarray


class Workspace(NamedTuple):
    """The preallocated buffers of a fit, for minibatches of one size.

    Attributes
    ----------
    outputs : ndarray
        Outputs of a batch, layer by layer, starting with the batch's rows of X.
    deltas : ndarray like outputs
    preactivations : ndarray like outputs
        Empty unless a layer stores them.
    offsets : ndarray of int64
        Offset of each layer in these vectors.
    gap : int
        Elements between two row blocks of a layer.
    gradient : ndarray of shape (parameters,)
        The end of `partial_grads`.
    losses : ndarray of float64
        Partial sums of the loss, by row block.
    param_sq_sums, grad_sq_sums : ndarray of float64
        Sums of squares of the penalized parameters, and of the gradient, by parameter
        range.
    partial_grads : ndarray of shape (row blocks * partial_grads_stride + parameters,)
        Gradients by row block: of biases and scales, and where the reduction is done by
        row block, of all parameters. At the end the gradient of the whole batch.
    partial_grads_size : int
        Number of parameters with partial gradients; they are the last ones of all.
    partial_grads_stride : int
        Elements from one block's partial gradients to the next, padding included.
    normalized : ndarray like outputs
        Normalized preactivations of the hidden layers; empty without normalization.
    inv_stds : ndarray
        The factor by which layer normalization scaled each row of each layer.
    param_ranges : ndarray of int64 of shape (ranges, 7)
        Rows are `plan.ParamRange`.
    row_block : int
        Rows of a block.
    gemm : tuple
        The matrix product, with the packing buffer of one worker (see
        `skmlp.backends.cpu.gemm.matmul`).
    transposed_weights : ndarray
        Weights of every layer but the first, transposed, for the backward pass.
    """

    outputs: np.ndarray
    deltas: np.ndarray
    preactivations: np.ndarray
    offsets: np.ndarray
    gap: int
    gradient: np.ndarray
    losses: np.ndarray
    param_sq_sums: np.ndarray
    grad_sq_sums: np.ndarray
    partial_grads: np.ndarray
    partial_grads_size: int
    partial_grads_stride: int
    normalized: np.ndarray
    inv_stds: np.ndarray
    param_ranges: np.ndarray
    row_block: int
    gemm: tuple
    transposed_weights: np.ndarray


class TrainContext(NamedTuple):
    """What stays the same in all calls of a training kernel.

    Attributes
    ----------
    net : PackedStruct of NetDesc
    data : PackedStruct of TrainingData
    ws : PackedStruct of Workspace
    reg : PackedStruct of skmlp.backends.cpu.kernels.regularization.RegularizationDesc
    params : ndarray
        The network's parameters, trained in place.
    """

    net: object
    data: object
    ws: object
    reg: object
    params: np.ndarray


@passed_by_pointer
class UpdateParams(NamedTuple):
    """The optimizer's update: its loop, state and coefficients.

    Attributes
    ----------
    update_fn : int
        Address of the loop.
    slots : ndarray of shape (1 to 3, parameters)
    steps : ndarray of shape (batches, columns)
        For each batch and segment the factor of the decoupled weight decay, then the
        coefficients of the rule (see `skmlp.segments.step_table`).
    hyper : ndarray of shape (3,)
    l2 : float
        L2 penalty over the mean weight of the training rows.
    """

    update_fn: int
    slots: np.ndarray
    steps: np.ndarray
    hyper: np.ndarray
    l2: float


@passed_by_pointer
class BatchRange(NamedTuple):
    """The minibatches first_batch <= b < last_batch of an order of rows.

    Attributes
    ----------
    order : ndarray of int64
        Row indices of one epoch, or of several, one after the other.
    n_rows : int
        Rows of an epoch.
    batch_size : int
        Rows of a batch; the last batch of an epoch may have fewer.
    first_batch, last_batch : int
    inv_mean_weight : float
        One over the mean weight of the training rows.
    step_offset : int
        Step index of batch 0.
    """

    order: np.ndarray
    n_rows: int
    batch_size: int
    first_batch: int
    last_batch: int
    inv_mean_weight: float
    step_offset: int

    @property
    def last_batch_rows(self):
        """Rows of the last batch."""
        per_epoch = -(-self.n_rows // self.batch_size)
        before = (self.last_batch - 1) % per_epoch * self.batch_size
        return min(self.batch_size, self.n_rows - before)
