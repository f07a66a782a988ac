"""The structs that kernels take: named tuples of flat device arrays and scalars.

Host and kernels build them by keyword, so a new field cannot shift the others. Integers
in arrays are int64 throughout; random words (uint32) are compared as such in the rules.
"""

from typing import Any, NamedTuple


class EmbeddingDesc(NamedTuple):
    """The embedding of X's columns (see `skmlp.embedding.Embedding`).

    Attributes
    ----------
    n_features : int
        Columns of X; the embedded numbers are the other inputs of the first layer.
    dim : int
        Numbers that a column is embedded in.
    columns : array of int64
        The embedded columns of X.
    first_bins : array of int64
        Index of each one's first bin among those of all, and the number of bins.
    bin_columns : array of int64
        Of each bin, which of the embedded columns it is of.
    edges : array
        Edges of the bins, column by column: each has one more than bins.
    offset, segment : int
        Offset of the matrices in the parameter vector, and index of their segment.
    """

    n_features: int
    dim: int
    columns: object
    first_bins: object
    bin_columns: object
    edges: object
    offset: int
    segment: int


class NetDesc(NamedTuple):
    """The network.

    Attributes
    ----------
    sizes : array of int64
        Units of each layer, features and outputs included.
    weight_offsets, bias_offsets : array of int64
        Offsets in the parameter vector, by layer.
    scale_offsets, mean_offsets, variance_offsets : array of int64
        Offsets of normalization's vectors, by hidden layer; empty where there are none.
    weight_segments : array of int64
        Index of the segment of each layer's weights (see `skmlp.segments`).
    bias_segments, scale_segments : array of int64
        Those of each layer's biases, and of each hidden layer's scales.
    segment_ends : array of int64
        Offset after each segment.
    activation_ids : array of int64
        Index of each hidden layer's activation in `Spec.activations`; -1 for softmax.
    needs_preactivation : array of int64
        1 for each hidden layer whose derivative takes the preactivation; else 0.
    loss_params : array
        At least one.
    n_trained : int
        Number of trained parameters, which come first in the vector.
    embedding : EmbeddingDesc or tuple
        An empty tuple, which is no argument of a compiled kernel, without an embedding.
    """

    sizes: object
    weight_offsets: object
    bias_offsets: object
    scale_offsets: object
    mean_offsets: object
    variance_offsets: object
    weight_segments: object
    bias_segments: object
    scale_segments: object
    segment_ends: object
    activation_ids: object
    needs_preactivation: object
    loss_params: object
    n_trained: int
    embedding: EmbeddingDesc | tuple[()]


class TrainingData(NamedTuple):
    """The training data.

    Attributes
    ----------
    x : array
        Rows of X one after the other; of sparse X the values.
    indices, indptr : array of int64
        Of compressed sparse rows, column indices ascending; empty for dense X.
    targets : array
        Rows of the targets, one after the other.
    sample_weight : array
        One for each row, or empty.
    row_ids : array of int64
        The rows to work on, one batch after the other, epoch by epoch.
    """

    x: object
    indices: object
    indptr: object
    targets: object
    sample_weight: object
    row_ids: object


class Workspace(NamedTuple):
    """Preallocated buffers for batches of one size.

    Attributes
    ----------
    offsets : array of int64
        Offset of each layer's rows of a batch in the following four.
    outputs, deltas : array
        The layers' outputs, rows of X first, and the loss's gradients by their
        preactivations.
    preactivations : array
        What derivatives need beside the outputs: the preactivation, or the output
        before dropout. Empty where no layer needs it.
    normalized : array
        Normalized preactivations; empty without normalization.
    inv_std : array
        One over the standard deviations in normalizing: one for each hidden unit over
        minibatches, one for each row and layer over units.
    norm_grad_sums : array
        Column sums of the normalized layers' deltas, by unit, then of their products
        with the normalized preactivations: gradients of biases and scales.
    gradient : array like the parameters
    losses : array
        One for each row of a batch range.
    weight_sq_sums : array
        Partial sums of squares of the weights, `n_partials` for each batch of a range.
    grad_sq_sums : array
        Partial sums of squares of the gradient, `n_partials`.
    n_partials : int
        The last ones, one for each warp of a block, are those of what is not
        penalized.
    batch_size : int
        Rows that the buffers hold.
    """

    offsets: object
    outputs: object
    deltas: object
    preactivations: object
    normalized: object
    inv_std: object
    norm_grad_sums: object
    gradient: Any
    losses: object
    weight_sq_sums: object
    grad_sq_sums: object
    n_partials: int
    batch_size: int


class RegularizationDesc(NamedTuple):
    """Regularization of the training (see `skmlp.backends.Regularization`).

    Attributes
    ----------
    seed : int
    dropout_thresholds : array of int64
        Each hidden layer's threshold, which uint32 random words are compared with; for
        each batch of a range where they change.
    dropout_scales : array
        One over the fraction of outputs that each hidden layer keeps, likewise.
    dropout_stride : int
        Elements of these from one batch to the next: the hidden layers, or 0 without a
        schedule.
    noise_std, max_grad_norm, max_norm : float
    """

    seed: object
    dropout_thresholds: object
    dropout_scales: object
    dropout_stride: int
    noise_std: object
    max_grad_norm: object
    max_norm: object


class TrainContext(NamedTuple):
    """What all device functions of a training or prediction read and write.

    Attributes
    ----------
    net : NetDesc
    data : TrainingData
    ws : Workspace
    reg : RegularizationDesc
    params : array
        The parameter vector.
    """

    net: object
    data: object
    ws: object
    reg: object
    params: object


class UpdateParams(NamedTuple):
    """The optimizer.

    Attributes
    ----------
    slots : array
        Its vectors, one after the other.
    weight_decays : array
        For each batch of a range and segment, the fraction by which parameters shrink.
    coefficients : array
        For each of them the rule's `MAX_COEFFICIENTS` coefficients.
    hyper : array
        The rule's hyperparameters, as many.
    l2 : float
        L2 penalty over the mean weight of the training rows.
    inv_mean_weight : float
        One over that mean weight.
    """

    slots: object
    weight_decays: object
    coefficients: object
    hyper: object
    l2: object
    inv_mean_weight: object


class BatchRangeSizes(NamedTuple):
    """Sizes of a batch range (see `skmlp.backends.cuda.workspace.BatchRange`).

    Attributes
    ----------
    n_batches : int
    epoch_rows : int
        Rows of an epoch, whose last batch may have fewer than the others.
    first_step_index : int
        Index of the first batch's step in the training.
    """

    n_batches: int
    epoch_rows: int
    first_step_index: int


# Elements of the cursor: a device array that says which batch of a range the kernels
# of a captured CUDA graph work on. The last two are those of `BatchRangeSizes`.
CURSOR_BATCH, CURSOR_EPOCH_ROWS, CURSOR_FIRST_STEP = range(3)


class Batch(NamedTuple):
    """A minibatch within a batch range.

    Attributes
    ----------
    range_index : int
        Index of the batch in its range.
    first : int
        Index of its first row in `TrainingData.row_ids`.
    n_rows : int
    step_index : int
        Of the step in the training, for random numbers.
    scale : float
        Factor of the rows' sample weights.
    """

    range_index: object
    first: object
    n_rows: object
    step_index: object
    scale: object
