"""Where a network is trained: the seam between training and devices.

Training knows a backend by the functions and the session described here and by
nothing else; estimators and training never ask which one they have. A backend is a
module with three functions, or an object that has them, of a GPU:

``open_session(problem, dtype, n_jobs)``
    A context manager, for the length of a fit, with

    - ``parameters``: flat vector (see `skmlp.network`), current when read;
    - ``set_parameters(parameters)``: has the session go on from other parameters;
    - ``train(optimizer, order, batch_size, span, rates, total)``: trains on batches
      span[0] <= b < span[1] of the row numbers in `order`, and returns `total` plus
      those batches' rows times loss (before the update, with the L2 term), added one
      after the other. Of each batch `rates` has the share by which weights shrink
      before their update, and the coefficients of the optimizer's rule;
    - ``train_epochs(optimizer, orders, batch_size, rates)``: trains on whole epochs,
      each a row of `orders`, and returns a list of what `train` would for each;
    - ``loss_and_gradient(parameters)``: float, and a float64 vector, over the rows of
      ``problem.row_ids``; not for problems with dropout, noise or normalization over
      minibatches, which are different at every step;
    - ``hidden_outputs()``: what the hidden layers put out for some rows of the batch
      trained on last, an array of shape (rows, units) each, dropout included; None
      where that is not at hand;
    - ``outputs(x, rows)``: raw outputs of the current parameters for some rows of an
      X like that of the problem, None standing for all of them, with the running
      statistics of a network that is normalized over minibatches.

``outputs(network, parameters, x, activation, n_jobs)``
    Array of shape (rows, outputs) of the network's predictions: `activation` is the
    name of the output activation, "identity" for the raw outputs. And whether the sum
    of a dense x was finite, found on the way: where it was not, x may hold infinities
    or nan.

``evaluate(network, raw, targets, weights)``
    What raw outputs are worth: their rows' mean loss, weighted and without the L2
    term, and the predictions that they stand for.

One of a GPU also has

``missing_memory(x)``
    Why a sparse x, all of which has to be there, has no room, as part of a sentence;
    None where it has.
"""

import importlib
from typing import NamedTuple

import numpy as np

from skmlp.network import Network

_MODULES = {
    "cpu": "skmlp.backends.cpu",
    "cuda": "skmlp.backends.cuda",
    "reference": "skmlp.backends.reference",
}


class Regularization(NamedTuple):
    """What is done to a network only while it is trained.

    Attributes
    ----------
    dropout : tuple of float
        Share of each hidden layer's outputs that is set to zero; empty for none.
    input_noise : float
        Standard deviation of what is added to X.
    max_norm, max_grad_norm : float
        Largest norm of a unit's incoming weights, and of the gradient; inf for none.
    seed : int
        Of dropout and noise.
    """

    dropout: tuple[float, ...] = ()
    input_noise: float = 0.0
    max_norm: float = float("inf")
    max_grad_norm: float = float("inf")
    seed: int = 0


class Problem(NamedTuple):
    """What a session trains on, bound once a fit.

    Attributes
    ----------
    network : Network
    x : ndarray of shape (n_samples, n_features) or scipy.sparse CSR
        Canonical: C-contiguous, aligned, of the session's dtype.
    targets : ndarray of shape (n_samples, network.target_columns)
        In the session's dtype; under softmax the class's number.
    sample_weight : ndarray of shape (n_samples,) or None
        Sample weights, positive on `row_ids`.
    row_ids : ndarray of int64
        Numbers of the rows to train on.
    alpha : float
        Strength of the L2 penalty on the weights.
    regularization : Regularization
    matmul_precision : {'highest', 'tf32'}
        How products of matrices are rounded: as the dtype has it, or, on a GPU, with
        their factors in the 19 bits of TensorFloat-32.
    """

    network: Network
    x: object
    targets: np.ndarray
    sample_weight: np.ndarray | None
    row_ids: np.ndarray
    alpha: float
    regularization: Regularization = Regularization()
    matmul_precision: str = "highest"

    @property
    def mean_sample_weight(self):
        """Mean sample weight of the training rows.

        A minibatch is divided by this times its rows, not by its own sum of weights:
        its gradient is then an unbiased estimate of the full one.
        """
        if self.sample_weight is None:
            return 1.0
        return float(np.mean(self.sample_weight[self.row_ids], dtype=np.float64))


def train_one_by_one(session, optimizer, orders, batch_size, rates):
    """A session's `train_epochs`, where nothing is gained by more than one at once."""
    span = (0, len(rates) // len(orders))
    return [
        session.train(optimizer, order, batch_size, span, part, 0.0)
        for order, part in zip(orders, np.split(rates, len(orders)), strict=True)
    ]


def get_backend(name):
    """The backend of that name; importing it may import Numba.

    Parameters
    ----------
    name : str
        'cpu', 'reference', 'cuda', or 'cuda:1' and the like for the GPU of a number.

    Raises
    ------
    ImportError, RuntimeError
        If that GPU cannot be used; the message says what is missing.
    """
    kind, _, number = name.partition(":")
    module = importlib.import_module(_MODULES[kind])
    return module.on_device(int(number or 0)) if kind == "cuda" else module
