"""The definition: the network in NumPy, in float64, on one thread.

Short, slow and obviously right; the tests hold every other backend against it. The
rules are applied element by element, as they stand in their tables.
"""

from contextlib import contextmanager

import numpy as np
from scipy.special import log_softmax, softmax

from skmlp.network import views
from skmlp.rules.activations import activation_rule
from skmlp.rules.optimizers import OPTIMIZERS


def _apply(rule, *arrays):
    """A scalar rule on every element."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.vectorize(rule, otypes=[np.float64])(*arrays)


def _dense(x):
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def _activate(activation, z):
    if activation == "softmax":
        return softmax(z, axis=1)
    return _apply(activation_rule(activation).value, z)


def _back_through(activation, z, a, delta):
    """Gradient by z of a layer from that by its outputs a."""
    if activation == "softmax":
        return a * (delta - np.sum(delta * a, axis=1, keepdims=True))
    row = activation_rule(activation)
    return delta * _apply(row.slope, z if row.by_input else a)


def _forward(network, parameters, x):
    """Inputs and outputs of every hidden layer, and the raw outputs of the last.

    The first output is x, which has no input.
    """
    coefs, intercepts = views(network, parameters)
    inputs, outputs = [None], [x]
    for coef, intercept, activation in zip(
        coefs[:-1], intercepts[:-1], network.activations, strict=True
    ):
        inputs.append(outputs[-1] @ coef + intercept)
        outputs.append(_activate(activation, inputs[-1]))
    return inputs, outputs, outputs[-1] @ coefs[-1] + intercepts[-1]


def _softmax_loss(targets, z, smoothing):
    shares = (np.arange(z.shape[1]) == targets) * (1.0 - smoothing)
    shares += smoothing / z.shape[1]
    return -np.sum(log_softmax(z, axis=1) * shares, axis=1), softmax(z, 1) - shares


def _loss(network, targets, z):
    """Loss of every row and its gradient by the raw outputs."""
    rule, parameters = network.loss, np.array(network.loss_parameters)
    if rule.row is not None:
        delta = np.empty_like(z)
        rows = zip(targets, z, delta, strict=True)
        return np.array([rule.row(*row, parameters) for row in rows]), delta
    if rule.value is None:
        return _softmax_loss(targets, z, parameters[0])
    if rule.labels:
        targets = (np.arange(z.shape[1]) == targets) * (1.0 - parameters[0])
        targets += parameters[0] / z.shape[1]
    elif rule.parameter is None:
        targets = targets + parameters[0] * (0.5 - targets)
    extra = () if rule.parameter is None else (parameters[0],)
    u = z if rule.link is None else _apply(rule.link.value, z)
    losses, delta = (
        _apply(lambda y, v, r=r: r(y, v, *extra), targets, u)
        for r in (rule.value, rule.slope)
    )
    if rule.link is not None:
        delta = _back_through(rule.link, z, u, delta)
    return losses.sum(axis=1), delta


def _gradient(network, parameters, x, targets, weights):
    """Weighted sum of the rows' losses and its gradient, without the penalty."""
    inputs, layers, z = _forward(network, parameters, x)
    losses, delta = _loss(network, targets, z)
    delta = delta * weights[:, None]
    gradient = np.empty_like(parameters)
    coef_gradients, intercept_gradients = views(network, gradient)
    coefs, _ = views(network, parameters)
    for i in reversed(range(len(coefs))):
        coef_gradients[i][:] = layers[i].T @ delta
        intercept_gradients[i][:] = delta.sum(axis=0) * network.intercepts
        if i > 0:
            activation = network.activations[i - 1]
            delta = _back_through(activation, inputs[i], layers[i], delta @ coefs[i].T)
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

    def outputs(self, rows):
        """Predictions for some rows with the current parameters."""
        network = self._problem.network
        x = self._problem.x[rows]
        return outputs(network, self.parameters, x, network.output)[0]


@contextmanager
def open_session(problem, parameters, n_jobs=None):
    """A session; `n_jobs` is accepted for the other backends' sake."""
    yield Session(problem, parameters)


def outputs(network, parameters, x, activation, n_jobs=None):
    """Predictions of a network, its output activation being the one named."""
    parameters = np.asarray(parameters, dtype=np.float64)
    x = _dense(x).astype(np.float64)
    with np.errstate(invalid="ignore"):
        z = _forward(network, parameters, x)[-1]
        return _activate(activation, z), bool(np.isfinite(x.sum()))


def slope(activation, z, a):
    """By how much each unit's output changes with its own input.

    Of softmax that is the diagonal of its derivative.

    Parameters
    ----------
    activation : str or Activation
    z, a : ndarray of shape (n_samples, units)
        Inputs and outputs of a layer.
    """
    if activation == "softmax":
        return a * (1.0 - a)
    return _back_through(activation, z, a, np.ones_like(a))


def trace(network, parameters, x, targets=None):
    """What happens in every layer for some rows, for a look inside.

    Returns
    -------
    inputs, outputs : list of ndarray of shape (n_samples, units)
        Of each hidden layer.
    deltas : list of ndarray of shape (n_samples, units) or None
        Gradient of each row's loss by the inputs of each layer, the output layer being
        the last; None without targets.
    """
    coefs, _ = views(network, parameters)
    inputs, layers, z = _forward(network, parameters, _dense(x).astype(np.float64))
    if targets is None:
        return inputs[1:], layers[1:], None
    deltas = [_loss(network, targets.astype(np.float64), z)[1]]
    for i in reversed(range(1, len(coefs))):
        delta = deltas[0] @ coefs[i].T
        deltas.insert(
            0, _back_through(network.activations[i - 1], inputs[i], layers[i], delta)
        )
    return inputs[1:], layers[1:], deltas
