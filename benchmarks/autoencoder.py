"""Autoencoders: reconstruction and seconds beside others; anomalies by their errors.

The first table trains one network for the same epochs in skmlp, in scikit-learn
(``MLPRegressor.fit(X, X)``) and, where it is installed, in PyTorch: Adam, batches of
200, relu, squared error, single precision. Images of Fashion-MNIST with ``--data``,
digits of scikit-learn without. The error is that of held-out rows, per pixel; PCA with
as many components stands beside it. Two more rows are skmlp's alone: a code that is not
cut off at zero, as is its default, and the cross-entropy.

The second table needs ``--data``. Models are fitted to half of the rows, anomalies
among them, without labels, and rank the other half: area under the ROC curve and
average precision, means over random halves. The settings are the same for both sets.
"""

import itertools
import time
import warnings

import joblib
import numpy as np
import real_data
import scenario
import timing
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPAutoencoder

_HIDDEN = (128, 16, 128)
_TRAINING = {"batch_size": 200, "tol": 0, "n_iter_no_change": 1000, "random_state": 0}
_SETS = ("smtp", "mammography")
_ANOMALY = {
    "learning_rate": "one_cycle",
    "learning_rate_init": 0.01,
    "max_iter": 20,
    "random_state": 0,
}


def images(folder):
    """Training and test rows of pixels between 0 and 1."""
    if folder is None:
        X = (load_digits().data / 16).astype(np.float32)
        return X[:1400], X[1400:]
    bunch = real_data.loader(folder).load("fashion_mnist")
    return (
        np.ascontiguousarray(part, dtype=np.float32) / np.float32(255)
        for part in (bunch.X_train[:10_000], bunch.X_test[:2_000])
    )


class Torch:
    """The same network in PyTorch, eager, as its users train it."""

    def __init__(self, epochs):
        import torch

        torch.set_num_threads(joblib.cpu_count())
        self._torch, self._epochs = torch, epochs

    def fit(self, X):
        """Train by the loop that every tutorial shows."""
        torch = self._torch
        torch.manual_seed(0)
        sizes = (X.shape[1], *_HIDDEN, X.shape[1])
        layers = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        self._network = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.Adam(self._network.parameters(), fused=True)
        x = torch.from_numpy(X)
        for _ in range(self._epochs):
            for rows in torch.randperm(len(x)).split(_TRAINING["batch_size"]):
                # scikit-learn's loss is half the sum over the columns.
                error = (self._network(x[rows]) - x[rows]) ** 2
                loss = 0.5 * error.sum(dim=1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return self

    def predict(self, X):
        """Reconstructions."""
        with self._torch.no_grad():
            return self._network(self._torch.from_numpy(X)).numpy()


def reconstructors(epochs):
    """Names, functions that fit to X, and those that then reconstruct."""
    settings = {"hidden_layer_sizes": _HIDDEN, "max_iter": epochs, **_TRAINING}

    def autoencoder(**others):
        model = MLPAutoencoder(**settings, **others)
        return model.fit, model.reconstruct

    yield "skmlp", *autoencoder(code_activation=None)
    theirs = MLPRegressor(**settings)
    yield "sklearn", lambda X: theirs.fit(X, X), theirs.predict
    try:
        peer = Torch(epochs)
        yield "torch", peer.fit, peer.predict
    except ImportError:
        pass
    yield "skmlp, linear code", *autoencoder()
    yield "skmlp, linear code, log_loss", *autoencoder(loss="log_loss")
    pca = PCA(min(_HIDDEN), random_state=0)
    yield "PCA", pca.fit, lambda X: pca.inverse_transform(pca.transform(X))


def reconstruction(options):
    """Yield time and error of each."""
    X, X_test = images(options.data)
    yield f"{X.shape[0]:,} rows of {X.shape[1]} pixels, {options.epochs} epochs"
    yield f"{'':<30}{'seconds':>9}{'error':>10}"
    for name, fit, reconstruct in reconstructors(options.epochs):
        fit(X[:400])  # compiles
        seconds = min(
            timing.seconds_of(lambda fit=fit: fit(X)) for _ in range(options.rounds)
        )
        error = float(np.mean((reconstruct(X_test) - X_test) ** 2))
        yield {"name": name, "seconds": seconds, "error": error}


def detectors(n_features):
    """Models with `score_samples`, by name; codes of half of the columns."""
    half = max(1, n_features // 2)

    def autoencoder(code, **others):
        model = MLPAutoencoder((50, code, 50), **_ANOMALY, **others)
        return make_pipeline(StandardScaler(), model)

    return {
        "IsolationForest": IsolationForest(random_state=0),
        f"PCA, {half}": make_pipeline(StandardScaler(), PCA(half)),
        f"autoencoder, {half}": autoencoder(half, activation="tanh"),
        "autoencoder, 1 relu": autoencoder(1, code_activation=None),
        f"autoencoder, {half}, noise": autoencoder(
            half, activation="tanh", input_noise=0.2
        ),
        f"autoencoder, {half}, gaussian_nll": autoencoder(
            half, activation="tanh", loss="gaussian_nll"
        ),
    }


def anomalies(options):
    """Yield the measures of each model on each set."""
    loader = real_data.loader(options.data)
    for name in _SETS:
        bunch = loader.load(name)
        X, y = bunch.X.astype(np.float32), bunch.y
        yield f"\n{name}: {len(y):,} x {X.shape[1]}, {int(y.sum())} anomalies"
        yield f"{'':<30}{'seconds':>9}{'ROC AUC':>10}{'average precision':>20}"
        halves = StratifiedShuffleSplit(options.halves, test_size=0.5, random_state=0)
        for kind, model in detectors(X.shape[1]).items():
            found, start = [], time.perf_counter()
            for train, test in halves.split(X, y):
                scores = -model.fit(X[train]).score_samples(X[test])
                found.append(
                    (
                        roc_auc_score(y[test], scores),
                        average_precision_score(y[test], scores),
                    )
                )
            seconds = (time.perf_counter() - start) / options.halves
            auc, precision = np.mean(found, axis=0).tolist()
            yield {
                "set": name,
                "name": kind,
                "seconds": seconds,
                "auc": auc,
                "average_precision": precision,
            }


def setup(options):
    """Nothing to prepare."""
    # Epochs are counted, not converged.
    warnings.simplefilter("ignore")


def measure(state, options):
    """Yield both tables."""
    yield from reconstruction(options)
    if options.data is not None:
        yield from anomalies(options)


def line(entry):
    """One line of a table."""
    head = f"{entry['name']:<30}{entry['seconds']:>9.2f}"
    if "error" in entry:
        return f"{head}{entry['error']:>10.5f}"
    return f"{head}{entry['auc']:>10.3f}{entry['average_precision']:>20.3f}"


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="two epochs, one round, one half",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": scenario.folder("images and tables"),
        "epochs": {"type": int, "full": 10, "brief": 2},
        "rounds": scenario.rounds(2, 1),
        "halves": {"type": int, "full": 5, "brief": 1},
    },
)


if __name__ == "__main__":
    SCENARIO.main()
