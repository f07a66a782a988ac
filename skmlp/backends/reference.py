"""The definition: the network in NumPy, in float64, on one thread.

Short, slow and obviously right; the tests hold every other backend against it. The
rules are applied element by element, as they stand in their tables.
"""

from contextlib import contextmanager

import numpy as np
from scipy.special import log_softmax, softmax

from skmlp.network import views
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.optimizers import OPTIMIZERS


def _apply(rule, *arrays):
    """A scalar rule on every element."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.vectorize(rule, otypes=[np.float64])(*arrays)


def _dense(x):
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def _activate(name, z):
    return (
        softmax(z, axis=1) if name == "softmax" else _apply(ACTIVATIONS[name].value, z)
    )


def _forward(network, parameters, x):
    """Outputs of every hidden layer, x first, and the raw outputs of the last."""
    coefs, intercepts = views(network, parameters)
    layers = [x]
    for coef, intercept, name in zip(
        coefs[:-1], intercepts[:-1], network.activations, strict=True
    ):
        layers.append(_activate(name, layers[-1] @ coef + intercept))
    return layers, layers[-1] @ coefs[-1] + intercepts[-1]


def _loss(network, targets, z):
    """Loss of every row and its gradient by the raw outputs."""
    rule = network.loss_rule
    if network.output == "softmax":
        chosen = np.arange(z.shape[1]) == targets
        return -np.sum(log_softmax(z, axis=1) * chosen, axis=1), softmax(z, 1) - chosen
    return _apply(rule.value, targets, z).sum(axis=1), _apply(rule.slope, targets, z)


def _gradient(network, parameters, x, targets, weights):
    """Weighted sum of the rows' losses and its gradient, without the penalty."""
    layers, z = _forward(network, parameters, x)
    losses, delta = _loss(network, targets, z)
    delta = delta * weights[:, None]
    gradient = np.empty_like(parameters)
    coef_gradients, intercept_gradients = views(network, gradient)
    coefs, _ = views(network, parameters)
    for i in reversed(range(len(coefs))):
        coef_gradients[i][:] = layers[i].T @ delta
        intercept_gradients[i][:] = delta.sum(axis=0)
        if i > 0:
            slope = ACTIVATIONS[network.activations[i - 1]].slope
            delta = (delta @ coefs[i].T) * _apply(slope, layers[i])
    return losses @ weights, gradient


def _weights_only(network, parameters):
    """The parameters with the biases, which are not penalised, set to zero."""
    penalised = parameters.copy()
    for intercept in views(network, penalised)[1]:
        intercept[:] = 0
    return penalised


class Session:
    """One fit (see `skmlp.backends`)."""

    def __init__(self, problem, parameters):
        self._problem = problem
        self.parameters = np.array(parameters, dtype=np.float64)

    def _batch(self, parameters, rows, scale):
        """Loss and gradient over some rows, the sum of their weights times `scale`."""
        problem = self._problem
        weights = (
            np.ones(len(rows)) if problem.weights is None else problem.weights[rows]
        )
        loss, gradient = _gradient(
            problem.network,
            parameters,
            _dense(problem.x[rows]).astype(np.float64),
            problem.targets[rows].astype(np.float64),
            weights * scale,
        )
        penalised = _weights_only(problem.network, parameters)
        decay = problem.alpha / (problem.mean_weight * len(rows))
        return loss + 0.5 * decay * penalised @ penalised, gradient + decay * penalised

    def train(self, optimizer, order, batch_size, span, rates, total):
        """Train on some batches of an epoch."""
        update = OPTIMIZERS[optimizer.name].update
        for b, rate in zip(range(*span), rates, strict=True):
            rows = order[b * batch_size : (b + 1) * batch_size]
            scale = 1.0 / (self._problem.mean_weight * len(rows))
            loss, gradient = self._batch(self.parameters, rows, scale)
            total += loss * len(rows)
            for i, g in enumerate(gradient):
                slots = optimizer.slots[:, i]
                self.parameters[i], *slots[:] = update(
                    self.parameters[i], g, *slots, rate, optimizer.hyper
                )
        return total

    def loss_and_gradient(self, parameters):
        """Loss and gradient over all training rows, the penalty included."""
        rows = self._problem.rows
        scale = 1.0 / (self._problem.mean_weight * len(rows))
        return self._batch(np.asarray(parameters), rows, scale)

    def outputs(self, x, rows):
        """Raw outputs for some rows, or for all, with the current parameters."""
        x = x if rows is None else x[rows]
        return outputs(self._problem.network, self.parameters, x, "identity")[0]


@contextmanager
def open_session(problem, parameters, n_jobs=None):
    """A session; `n_jobs` is accepted for the other backends' sake."""
    yield Session(problem, parameters)


def outputs(network, parameters, x, activation, n_jobs=None):
    """Predictions of a network, its output activation being the one named."""
    parameters = np.asarray(parameters, dtype=np.float64)
    x = _dense(x).astype(np.float64)
    with np.errstate(invalid="ignore"):
        _, z = _forward(network, parameters, x)
        return _activate(activation, z), bool(np.isfinite(x.sum()))


def assess(network, raw, targets, weights):
    """Mean loss of raw outputs, and the predictions that they stand for."""
    losses, _ = _loss(network, targets.astype(np.float64), raw)
    loss = float(np.average(losses, weights=weights))
    return loss, _activate(network.output, raw)
