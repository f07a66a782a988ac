"""The seam between training and devices: what a backend must offer.

A backend is a module, or for GPUs an object, with the functions of `Backend`; its
`open_session` returns a `Session`, which trains one network. Training calls these
methods and never asks which backend it has. Among the estimators only
`skmlp.estimators.devices` knows the backends by name: it asks the CUDA backend whether
a GPU can be used (`obstacle`), whether it would be faster (`worth_it`), and whether a
sparse X fits into its memory (`missing_memory`). `skmlp.estimators.diagnosis` uses the
reference backend, because that one exposes every layer's values, and
`skmlp.estimators.poor_fit` takes losses from it, which needs no compilation.
"""

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, Protocol, overload

import numpy as np

from skmlp.compiler import compile_thread
from skmlp.network import Network
from skmlp.segments import Segment, segments_of

_MODULES = {
    "cpu": "skmlp.backends.cpu",
    "cuda": "skmlp.backends.cuda",
    "reference": "skmlp.backends.reference",
}
# By the same names, those that have been imported.
_IMPORTED: dict = {}


class Regularization(NamedTuple):
    """What changes a network or its gradient during training only.

    Attributes
    ----------
    dropout : tuple of float
        Dropout rate of each hidden layer; empty without dropout.
    input_noise : float
        Standard deviation of the Gaussian noise that is added to X.
    max_norm : float
        Largest Euclidean norm of a unit's incoming weights; inf for no limit.
    max_grad_norm : float
        Norm at which the gradient is clipped; inf for no clipping.
    seed : int
        Seed of dropout and noise.
    first_step : int
        Index of the first step, by which dropout and noise are drawn.
    has_dropout_schedule : bool
        Whether the factor of dropout in the table of steps is not always one.
    """

    dropout: tuple[float, ...] = ()
    input_noise: float = 0.0
    max_norm: float = float("inf")
    max_grad_norm: float = float("inf")
    seed: int = 0
    first_step: int = 0
    has_dropout_schedule: bool = False

    def dropout_rates(self, factors):
        """Dropout rate of each hidden layer in some steps.

        Parameters
        ----------
        factors : ndarray of shape (n_steps,)
            By `skmlp.segments.split_table`.

        Returns
        -------
        ndarray of shape (n_steps, n_hidden)
        """
        return factors[:, np.newaxis] * np.array(self.dropout)


class Problem(NamedTuple):
    """The data and the network of one fit.

    Attributes
    ----------
    network : Network
    x : ndarray of shape (n_samples, n_features) or scipy.sparse CSR
        C-contiguous, aligned, of the session's dtype; or an object with
        ``__cuda_array_interface__`` on the backend's GPU.
    targets : ndarray of shape (n_samples, network.target_columns)
        In the session's dtype; under softmax the index of the class.
    sample_weight : ndarray of shape (n_samples,) or None
        Positive on `row_ids`.
    row_ids : ndarray of int64
        Indices of the rows to train on.
    alpha : float
        Strength of the L2 penalty on the weights.
    regularization : Regularization
    matmul_precision : {'highest', 'tf32'}
        Precision of matrix products: that of the dtype or, on a GPU, factors rounded
        to the 19 bits of TensorFloat-32.
    given_segments : tuple of Segment
        Parts of the parameters that are updated alike, those of the optimizer; empty
        for those of a network without factors.
    drawn_mean_weight : float or None
        Mean sample weight of a row that is drawn, where rows are not drawn alike; None
        for the mean of `row_ids`.
    """

    network: Network
    x: object
    targets: np.ndarray
    sample_weight: np.ndarray | None
    row_ids: np.ndarray
    alpha: float
    regularization: Regularization = Regularization()
    matmul_precision: str = "highest"
    given_segments: tuple[Segment, ...] = ()
    drawn_mean_weight: float | None = None

    @property
    def segments(self):
        """Segments of the parameters."""
        return self.given_segments or segments_of(self.network)

    @property
    def mean_sample_weight(self):
        """Mean sample weight of the training rows.

        The loss of a minibatch is divided by this times its row count, not by the sum
        of its weights, so that its gradient estimates the full one without bias.
        """
        if self.sample_weight is None:
            return 1.0
        if self.drawn_mean_weight is not None:
            return self.drawn_mean_weight
        return float(np.mean(self.sample_weight[self.row_ids], dtype=np.float64))


class Session(Protocol):
    """One fit of a network on a device.

    Attributes
    ----------
    gradient_norms : list of float or None
        Of each epoch of the last call that began with one: the norm of the gradient of
        its first minibatch's loss, penalty included, before it is clipped. None where
        the device does not compute it.
    """

    gradient_norms: list[float] | None

    @property
    def params(self) -> np.ndarray:
        """The current parameters as a flat vector (see `skmlp.network`)."""

    def load_params(self, params: np.ndarray) -> None:
        """Replace the current parameters by others, of any float dtype."""

    def rewind(self, params: np.ndarray, n_steps: int) -> None:
        """Go back to the parameters of some steps ago, and to their random numbers.

        The optimizer is the caller's to take back: its `slots` are read anew.
        """

    def train(
        self,
        optimizer: Any,
        order: np.ndarray,
        batch_size: int,
        batch_bounds: tuple[int, int],
        rates: np.ndarray,
        total: float,
    ) -> float:
        """Train on some minibatches of an epoch.

        Parameters
        ----------
        optimizer : skmlp.training.optimizer_state.OptimizerState
            Its `slots` are updated.
        order : ndarray of int64
            Indices of the epoch's rows, in the order of training.
        batch_size : int
        batch_bounds : (int, int)
            First minibatch, and the one after the last.
        rates : ndarray of shape (n_batches, n_columns)
            For each minibatch and segment the weight decay, then the coefficients of
            the optimizer's rule (see `OptimizerState.next_rates`); at last the factor
            of the dropout rates.
        total : float
            Sum to continue.

        Returns
        -------
        float
            `total` plus each minibatch's loss times its rows, added one after the
            other. The loss is the one before the update, L2 penalty included.
        """

    def train_epochs(
        self, optimizer: Any, orders: np.ndarray, batch_size: int, rates: np.ndarray
    ) -> list[float]:
        """Train on whole epochs, one per row of `orders`.

        Returns what `train` would return for each.
        """

    def sync(self, optimizer: Any) -> None:
        """Copy the optimizer's vectors to its `slots`, where a device has them."""

    def loss_and_gradient(self, params: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and float64 gradient over the rows of ``problem.row_ids``.

        Only for problems without dropout, noise and batch normalization, whose loss
        changes from step to step.
        """

    def hidden_outputs(self) -> list[np.ndarray] | None:
        """Outputs of the hidden layers for rows of the last minibatch, with dropout.

        Arrays of shape (n_rows, n_units); None where the backend has not stored them.
        """

    def outputs(self, x: Any, row_ids: np.ndarray | None) -> np.ndarray:
        """Raw outputs of the current parameters for some rows of an X.

        `row_ids` has the indices of the rows, None stands for all. A network with batch
        normalization uses its running statistics.
        """


class ReusableSession(Session, Protocol):
    """A session that can go on with other rows."""

    def replace_rows(self, problem: Problem) -> None:
        """Train on other rows from now on.

        Parameters
        ----------
        problem : Problem
            The present one but for its rows: X, targets, weights, and their mean.
        """


class Share(NamedTuple):
    """The rows of a minibatch that are one session's.

    Attributes
    ----------
    row_ids : ndarray of int64
        Indices of these rows; possibly none.
    n_rows : int
        Rows of the whole minibatch.
    first_row : int
        Place of the first of these rows in the minibatch, by which dropout and noise
        are drawn.
    capacity : int
        Rows of the largest share of this session.
    """

    row_ids: np.ndarray
    n_rows: int
    first_row: int
    capacity: int


class SharedSession(Session, Protocol):
    """A session that can share minibatches with others: its gradient leaves it.

    A step is `gradient` and then, with the sum of all sessions' gradients, `apply`.
    """

    def gradient(self, share: Share, step: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient of a share of the next minibatch, without the penalty.

        Both are sums over the rows of the share, divided by the rows of the whole
        minibatch and by the mean sample weight; so those of all shares add up. With
        batch normalization the statistics are those of the share, and where the running
        statistics stand in the vector, the gradient has them, times the share's
        fraction of the rows.

        Parameters
        ----------
        share : Share
        step : ndarray of shape (n_columns,)
            The row of the table of `Session.train` for this step.
        """

    def apply(
        self, optimizer: Any, gradient: np.ndarray, n_rows: int, step: np.ndarray
    ) -> tuple[float, float]:
        """One step by the gradient of a whole minibatch of `n_rows` rows.

        Returns
        -------
        penalty : float
            The penalty's part of the minibatch's loss, before the step.
        norm : float
            Norm of the gradient, the penalty's included, before it is clipped.
        """


class Backend(Protocol):
    """The functions of a backend."""

    def open_session(
        self, problem: Problem, params: np.ndarray, n_jobs: int | None
    ) -> AbstractContextManager[Session]:
        """A session that starts from a copy of `params`, as a context manager."""

    def outputs(
        self,
        network: Network,
        params: np.ndarray,
        x: Any,
        activation: str,
        n_jobs: int | None,
    ) -> tuple[np.ndarray, bool]:
        """Predictions, and whether the sum of a dense x is finite.

        `activation` is the name of the output activation, "identity" for raw outputs.
        The sum is a by-product of reading x: where it is not finite, x may contain
        infinities or nan.
        """

    def predictor(
        self, network: Network, params: np.ndarray
    ) -> Callable[[Any, str, int | None], tuple[np.ndarray, bool]]:
        """A function ``(x, activation, n_jobs)`` that predicts as `outputs` does.

        For many calls: what the network needs is prepared once. The parameters are
        read at every call.
        """

    def evaluate(
        self,
        network: Network,
        raw: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None,
    ) -> tuple[float, np.ndarray]:
        """Weighted mean loss of raw outputs, without penalty, and the predictions."""

    def row_losses(
        self, network: Network, raw: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """Loss of each row of raw outputs, without penalty."""


class DeviceBackend(Backend, Protocol):
    """The functions of a GPU's backend."""

    def missing_memory(self, x: Any) -> str | None:
        """Why a sparse x does not fit into the GPU's memory; None if it does."""


def train_one_by_one(session, optimizer, orders, batch_size, rates):
    """A session's `train_epochs` that calls `train` once per epoch."""
    batch_bounds = (0, len(rates) // len(orders))
    return [
        session.train(optimizer, order, batch_size, batch_bounds, epoch_rates, 0.0)
        for order, epoch_rates in zip(orders, np.split(rates, len(orders)), strict=True)
    ]


# Modules that threads import at this moment, and in a child those that it cannot
# import, because the import's lock is held by a thread that is not there.
_IMPORTING: set[str] = set()
_LOST: set[str] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _LOST.update(_IMPORTING))


def _imported(name):
    if name in _LOST:
        raise RuntimeError(
            "this process was forked while another thread of its parent imported "
            "Numba, so it cannot. Call skmlp.precompile() or fit once before the fork, "
            "or start processes by the method 'forkserver' or 'spawn' of "
            "multiprocessing."
        )
    if name in sys.modules:  # perhaps not as a whole yet: then this waits
        return importlib.import_module(name)
    _IMPORTING.add(name)
    try:
        return importlib.import_module(name)
    finally:
        _IMPORTING.discard(name)


@overload
def get_backend(name: Literal["cuda"]) -> DeviceBackend: ...


@overload
def get_backend(name: str) -> Backend: ...


def get_backend(name):
    """The backend of that name; importing it may import Numba.

    Parameters
    ----------
    name : str
        'cpu', 'reference', 'cuda', or 'cuda:1' and the like for a GPU by its index.

    Raises
    ------
    ImportError, RuntimeError
        If that GPU cannot be used; the message says what is missing.
    """
    base, _, index = name.partition(":")
    if base not in _IMPORTED:
        _IMPORTED[base] = compile_thread.run(_imported, _MODULES[base])
    module = _IMPORTED[base]
    return module.on_device(int(index or 0)) if base == "cuda" else module
