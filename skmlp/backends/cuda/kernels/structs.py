"""What kernels are told, in a handful of named tuples of flat arrays on the device."""

from typing import NamedTuple


class Net(NamedTuple):
    """The network.

    Attributes
    ----------
    sizes : array of int64
        Units of each layer, features and outputs included.
    weights, biases, scales, means, variances : array of int64
        Offsets in the parameter vector by layer, and by hidden layer.
    codes : array of int64
        Number of each hidden layer's activation among those compiled; -1 for softmax.
    by_input : array of int64
        1 for each hidden layer whose slope is a function of its inputs; else 0.
    loss_parameters : array
        At least one.
    """

    sizes: object
    weights: object
    biases: object
    scales: object
    means: object
    variances: object
    codes: object
    by_input: object
    loss_parameters: object


class Data(NamedTuple):
    """The training data.

    Attributes
    ----------
    x : array
        Rows of X one after the other; of sparse X the values.
    indices, indptr : array of int64
        Of compressed sparse rows, column numbers ascending; empty for dense X.
    targets : array
        Rows of the targets, one after the other.
    weights : array
        One a row, or empty.
    order : array of int64
        The rows of the span, one batch after the other, epoch by epoch.
    """

    x: object
    indices: object
    indptr: object
    targets: object
    weights: object
    order: object


class Room(NamedTuple):
    """Working memory.

    Attributes
    ----------
    at : array of int64
        Where each layer's rows of a batch begin in the following four.
    outputs, deltas, inputs, normed : array
        `inputs` holds what slopes need beside the outputs, `normed` the normalized
        inputs; each is empty where nothing needs it.
    factors : array
        What the differences from the mean were multiplied by in normalizing: one a
        hidden unit over minibatches, one a row and layer over units.
    sums : array
        Of the normalized layers' deltas, by unit, then of their products with the
        normalized inputs.
    gradient : array
        As the parameters.
    losses : array
        One a row of the span.
    squares : array
        Partial sums of squares of the weights, `n_partials` a batch of the span.
    norms : array
        Partial sums of squares of the gradient, `n_partials`.
    n_partials : int
        The last warps of a block are those of what is not penalized.
    batch : int
        Rows that there is room for.
    """

    at: object
    outputs: object
    deltas: object
    inputs: object
    normed: object
    factors: object
    sums: object
    gradient: object
    losses: object
    squares: object
    norms: object
    n_partials: int
    batch: int


class Extras(NamedTuple):
    """What is done only in training (see `skmlp.backends.Regularization`).

    Attributes
    ----------
    seed : int
    thresholds : array of uint32
        Of each hidden layer's dropout.
    factors : array
        One over the share that each hidden layer keeps.
    deviation, max_grad_norm, max_norm : float
    """

    seed: object
    thresholds: object
    factors: object
    deviation: object
    max_grad_norm: object
    max_norm: object


class Step(NamedTuple):
    """The optimizer.

    Attributes
    ----------
    slots : array
        Its vectors, one after the other.
    rates : array
        Four numbers a batch of the span: the share by which weights shrink, and the
        rule's coefficients.
    hyper : array of 3
    decay : float
        L2 penalty over the mean weight of the training rows.
    weight : float
        One over that mean weight.
    """

    slots: object
    rates: object
    hyper: object
    decay: object
    weight: object


class Batch(NamedTuple):
    """A minibatch within a span.

    Attributes
    ----------
    number : int
        Of the batch in the span.
    first : int
        Number of its first row in the span's order.
    n : int
        Rows.
    step : int
        Number of the step in the training, for random numbers.
    scale : float
        What weights of rows are multiplied by.
    """

    number: object
    first: object
    n: object
    step: object
    scale: object


class State(NamedTuple):
    """All that the kernels of a step of single operations share.

    Attributes
    ----------
    net : Net
    data : Data
    room : Room
    extras : Extras
    parameters : array
    step : Step
    trained : int
        Number of trained parameters.
    cursor : array of 3 int64
        Number of the batch in the span, rows of an epoch's part of it, number of its
        first step.
    """

    net: object
    data: object
    room: object
    extras: object
    parameters: object
    step: object
    trained: object
    cursor: object
