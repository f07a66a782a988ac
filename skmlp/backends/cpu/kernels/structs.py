"""What kernels are told, in a handful of named tuples.

A kernel takes few arguments, each a whole, and hands it on by its address (see
`skmlp.compiler.struct_pointer`): `Layers`, `Data` and `Room`, which many calls share,
are packed by who makes them; `Step` and `Span` are new for every call.
"""

from typing import NamedTuple

import numpy as np

from skmlp.compiler.struct_pointer import passed_by_pointer


class Layers(NamedTuple):
    """The network in the form that kernels read.

    Attributes
    ----------
    sizes : ndarray of int64
        Units of each layer, features and outputs included.
    weights, biases : ndarray of int64
        Offsets in the parameter vector.
    activations : ndarray of int64
        Addresses of each hidden layer's activation; in `predict` also the output's.
    slopes : ndarray of int64
        Addresses of each hidden layer's slope.
    single_slopes : ndarray of int64
        Addresses of each hidden layer's slope together with the way back to it from a
        single output, 0 for those that have no such loop; empty where there is no
        single output.
    by_input : ndarray of int64
        1 for each hidden layer whose slope is a function of its inputs; else 0.
    keeps : ndarray of int64
        1 for each hidden layer whose inputs, or its outputs before dropout, are kept
        in `Room.inputs` for the slope; else 0.
    loss : int
        Address of the loss.
    loss_parameters : ndarray
        At least one.
    scales : ndarray of int64
        Offsets of the hidden layers' scales.
    norm, norm_in_place, norm_back : int
        Addresses of the loops that normalize rows; 0 where there are none.
    """

    sizes: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    activations: np.ndarray
    slopes: np.ndarray
    single_slopes: np.ndarray
    by_input: np.ndarray
    keeps: np.ndarray
    loss: int
    loss_parameters: np.ndarray
    scales: np.ndarray
    norm: int
    norm_in_place: int
    norm_back: int


class Data(NamedTuple):
    """The training data: X dense or sparse, targets (rows, columns), weights or ()."""

    x: object
    targets: np.ndarray
    weights: np.ndarray


class Room(NamedTuple):
    """Working memory of a fit.

    Attributes
    ----------
    outputs : ndarray
        Layer by layer the outputs of a batch, the batch's rows of X first.
    deltas : ndarray like outputs
    inputs : ndarray like outputs
        Of the layers that keep theirs; empty if none does.
    at : ndarray of int64
        Where each layer's part of the outputs begins.
    gap : int
        Elements between two blocks of rows in a layer's part.
    gradient : ndarray of shape (parameters,)
        The end of `sums`.
    losses, squares : ndarray of float64
        Partial sums by row block and by slab.
    norms : ndarray of float64
        Sums of the squares of the gradient, by slab.
    sums : ndarray of shape (row blocks * sums_step + parameters,)
        Gradients by row block: of biases and scales, and where blocks compute their
        weights' gradient, of all parameters. At the end that of all rows.
    sums_size : int
        Number of these parameters, the last ones of all.
    sums_step : int
        Elements from one block's sums to the next one's, a gap included.
    normed : ndarray like outputs
        Normalized inputs of the hidden layers; empty if they are not.
    inverses : ndarray
        What each row of each layer was multiplied by in normalizing it.
    slabs : ndarray of int64 of shape (slabs, 6)
        See `plan.slabs`.
    block : int
        Rows of a block.
    multiply : int
        Address of the product of matrices.
    transposed : ndarray
        Every layer's weights but the first's, transposed, for the way back.
    """

    outputs: np.ndarray
    deltas: np.ndarray
    inputs: np.ndarray
    at: np.ndarray
    gap: int
    gradient: np.ndarray
    losses: np.ndarray
    squares: np.ndarray
    norms: np.ndarray
    sums: np.ndarray
    sums_size: int
    sums_step: int
    normed: np.ndarray
    inverses: np.ndarray
    slabs: np.ndarray
    block: int
    multiply: int
    transposed: np.ndarray


@passed_by_pointer
class Step(NamedTuple):
    """The optimizer: address of its loop, its vectors, and its scalars.

    Attributes
    ----------
    update : int
    slots : ndarray of shape (1 to 3, parameters)
    shrinks : ndarray of shape (batches of the span,)
        Share by which the weights shrink before each batch's update.
    coefficients : ndarray of shape (batches of the span, 3)
        The rule's, for each batch.
    hyper : ndarray of shape (3,)
    decay : float
        L2 penalty over the mean weight of the training rows.
    """

    update: int
    slots: np.ndarray
    shrinks: np.ndarray
    coefficients: np.ndarray
    hyper: np.ndarray
    decay: float


@passed_by_pointer
class Span(NamedTuple):
    """Which rows to train on: batches first <= b < last of an order.

    Attributes
    ----------
    order : ndarray of int64
        Row numbers of one epoch or of several, one after the other.
    rows : int
        Rows of an epoch.
    batch : int
        Rows of a batch, the last of an epoch excepted.
    first, last : int
    weight : float
        One over the mean weight of the training rows.
    steps : int
        Steps before the batch of number 0.
    """

    order: np.ndarray
    rows: int
    batch: int
    first: int
    last: int
    weight: float
    steps: int

    @property
    def last_rows(self):
        """Rows of the last batch."""
        per_epoch = -(-self.rows // self.batch)
        before = (self.last - 1) % per_epoch * self.batch
        return min(self.batch, self.rows - before)
