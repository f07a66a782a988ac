"""How each library trains a workload for a number of epochs.

All train the same network by Adam with the same batch size, L2 penalty and precision
from the same arrays, and shuffle in every epoch. A peer is a class with a name, whose
instances hold one workload's data. ``fit(epochs)`` trains a new network and returns the
mean loss of the last epoch; peers with scikit-learn's interface also have
``train(epochs)``, which returns the estimator.
"""

import importlib.util
import itertools
import warnings

import numpy as np
from jax_peer import Jax
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import skmlp

ALPHA = 1e-4
LEARNING_RATE = 1e-3


class _Estimator:
    """What skmlp and scikit-learn have in common: the interface."""

    library = None

    def __init__(self, workload, X, y, threads):
        suffix = "Regressor" if workload.task == "regression" else "Classifier"
        self._class = getattr(self.library, f"MLP{suffix}")
        self._data = (X, y)
        self._threads = threads
        # tol=0 with endless patience: exactly max_iter epochs.
        self._parameters = {
            "hidden_layer_sizes": workload.hidden,
            "activation": workload.activation,
            "batch_size": workload.batch_size,
            "alpha": ALPHA,
            "learning_rate_init": LEARNING_RATE,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
            "random_state": 0,
        }

    def train(self, epochs):
        """Train a new estimator for some epochs and return it."""
        estimator = self._class(max_iter=epochs, **self._parameters)
        with warnings.catch_warnings():
            # Every fit ends by max_iter, on purpose.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return estimator.fit(*self._data)

    def fit(self, epochs):
        """Train a new estimator and return its loss."""
        return self.train(epochs).loss_


class Skmlp(_Estimator):
    """skmlp itself: the classes of the same names, with n_jobs threads."""

    name = "skmlp"
    library = skmlp

    def __init__(self, workload, X, y, threads):
        super().__init__(workload, X, y, threads)
        self._parameters["n_jobs"] = threads


class ScikitLearn(_Estimator):
    """scikit-learn, whose only threads are those of BLAS."""

    name = "sklearn"
    library = neural_network

    def train(self, epochs):
        """Train under a limit: scikit-learn has no ``n_jobs`` here."""
        with threadpool_limits(limits=self._threads):
            return super().train(epochs)


class Torch:
    """PyTorch as its users train a small network, eager, with the fused Adam.

    The batches are slices of tensors by shuffled row numbers, without a DataLoader,
    which would cost several times the training itself.
    """

    name = "torch"

    def __init__(self, workload, X, y, threads):
        import torch

        torch.set_num_threads(threads)
        self._torch = torch
        self._workload = workload
        self._X = torch.from_numpy(X)
        self._y = torch.from_numpy(y)
        if workload.task != "multiclass":
            self._y = self._y.to(self._X.dtype).reshape(-1, 1)

    def _network(self):
        nn = self._torch.nn
        activation = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}
        workload = self._workload
        sizes = (workload.features, *workload.hidden, workload.outputs)
        layers = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers.append(nn.Linear(fan_in, fan_out, dtype=self._X.dtype))
            layers.append(activation[workload.activation]())
        return nn.Sequential(*layers[:-1])

    def _loss(self):
        nn = self._torch.nn
        losses = {
            "binary": nn.BCEWithLogitsLoss,
            "multiclass": nn.CrossEntropyLoss,
            "regression": nn.MSELoss,
        }
        return losses[self._workload.task]()

    def _forward(self, network, loss_of):
        """The function of a batch's rows and targets that returns its loss."""
        return lambda X, y: loss_of(network(X), y)

    def fit(self, epochs):
        """Train a new network by the loop that every tutorial shows."""
        torch = self._torch
        torch.manual_seed(0)
        network, loss_of = self._network(), self._loss()
        forward = self._forward(network, loss_of)
        batch_size = self._workload.batch_size
        optimizer = torch.optim.Adam(
            network.parameters(),
            lr=LEARNING_RATE,
            # scikit-learn divides the penalty by the rows of the batch.
            weight_decay=ALPHA / batch_size,
            fused=True,
        )
        for _ in range(epochs):
            total = 0.0
            for rows in torch.randperm(len(self._X)).split(batch_size):
                loss = forward(self._X[rows], self._y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
        return total / len(self._X)


class CompiledTorch(Torch):
    """PyTorch with forward and backward pass compiled by `torch.compile`."""

    name = "compiled"
    _built = None

    def _network(self):
        """The network that is compiled, with new weights."""
        if self._built is None:
            network, loss_of = super()._network(), self._loss()
            forward = super()._forward(network, loss_of)
            # Two shapes: whole batches and the last one.
            self._built = network, self._torch.compile(forward, dynamic=False)
        for layer in self._built[0]:
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
        return self._built[0]

    def _forward(self, network, loss_of):
        return self._built[1]


def with_sklearn(workload, data, threads):
    """The two libraries with scikit-learn's interface on one workload.

    Parameters
    ----------
    workload : workloads.Workload
    data : (X, y)
    threads : int

    Returns
    -------
    dict of peers by name, skmlp first
    """
    return {peer.name: peer(workload, *data, threads) for peer in (Skmlp, ScikitLearn)}


def installed():
    """The peers that can run here, skmlp first.

    Returns
    -------
    list of classes
    """
    found = [Skmlp, ScikitLearn]
    if importlib.util.find_spec("torch") is not None:
        found += [Torch, CompiledTorch]
    if importlib.util.find_spec("jax") and importlib.util.find_spec("optax"):
        found.append(Jax)
    return found
