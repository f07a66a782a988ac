"""The definition: the network in NumPy, in float64, on one thread.

Short, slow and obviously right; the tests hold every other backend against it. The
rules are applied element by element, as they stand in their tables.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import log_softmax, softmax

from skmlp.backends import train_one_by_one
from skmlp.network import fold_batch_norm, layout, norm_state, views
from skmlp.rules.activations import activation_rule
from skmlp.rules.normalization import EPSILON, MOMENTUM
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.randomness import (
    is_kept,
    key_of,
    normal_of,
    threshold_of,
    word_of,
)


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


class Normed(NamedTuple):
    """A hidden layer's inputs, normalized.

    Attributes
    ----------
    values : ndarray
        Of mean zero and variance one, before they are scaled.
    inverse : ndarray
        What the differences from the mean were multiplied by.
    mean, variance : ndarray or None
        Of the layer's inputs; None where they were given.
    """

    values: np.ndarray
    inverse: np.ndarray
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None


def _axis(network):
    """What a hidden layer's inputs are normalized over: rows or units."""
    return 0 if network.normalization == "batch" else 1


def _normalize(network, running, z, training):
    """Normalize a hidden layer's inputs; `running` are its running statistics.

    These stand in for a batch's own in predictions, and for a batch of one row, whose
    variance would be zero.
    """
    if network.normalization == "batch" and (not training or len(z) == 1):
        mean, variance = running
        inverse = 1.0 / np.sqrt(variance + EPSILON)
        return Normed((z - mean) * inverse, inverse)
    mean = z.mean(axis=_axis(network), keepdims=True)
    variance = z.var(axis=_axis(network), keepdims=True)
    inverse = 1.0 / np.sqrt(variance + EPSILON)
    return Normed((z - mean) * inverse, inverse, mean, variance)


def _back_through_norm(network, normed, delta):
    """Gradient by a layer's inputs from that by its normalized inputs."""
    if normed.mean is not None:
        axis = _axis(network)
        share = (delta * normed.values).mean(axis=axis, keepdims=True)
        delta = delta - delta.mean(axis=axis, keepdims=True) - normed.values * share
    return delta * normed.inverse


class Trace(NamedTuple):
    """What a forward pass leaves behind, a list element for x and each hidden layer.

    Attributes
    ----------
    inputs, activated, outputs : list of ndarray
        Before the activation, after it, and with dropout. Of x the outputs alone.
    normed : list of Normed or None
    z : ndarray
        Raw outputs of the last layer.
    """

    inputs: list
    activated: list
    outputs: list
    normed: list
    z: np.ndarray


def _forward(network, parameters, x, factors=None, *, training=False):
    """Forward pass; `factors` are those of dropout, an array a hidden layer."""
    coefs, intercepts = views(network, parameters)
    scales, *statistics = norm_state(network, parameters)
    running: list = list(zip(*statistics, strict=True)) or [None] * len(coefs)
    inputs, activated, outputs = [None], [x], [x]
    normed: list = [None]
    for i, activation in enumerate(network.activations):
        z = outputs[-1] @ coefs[i]
        if network.normalization is not None:
            normed.append(_normalize(network, running[i], z, training))
            z = normed[-1].values * scales[i]
        inputs.append(z + intercepts[i])
        activated.append(_activate(activation, inputs[-1]))
        outputs.append(activated[-1] * (1.0 if factors is None else factors[i]))
    z = outputs[-1] @ coefs[-1] + intercepts[-1]
    return Trace(inputs, activated, outputs, normed, z)


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


def _gradient(network, parameters, batch, factors=None):
    """Weighted sum of the rows' losses, its gradient without the penalty, the trace."""
    x, targets, weights = batch
    trace = _forward(network, parameters, x, factors, training=True)
    losses, delta = _loss(network, targets, trace.z)
    delta = delta * weights[:, None]
    gradient = np.zeros_like(parameters)
    coef_gradients, intercept_gradients = views(network, gradient)
    scale_gradients = norm_state(network, gradient).scales
    coefs, _ = views(network, parameters)
    for i in reversed(range(len(coefs))):
        intercept_gradients[i][:] = delta.sum(axis=0) * network.intercepts
        if i < len(scale_gradients):
            normed = trace.normed[i + 1]
            scale_gradients[i][:] = (delta * normed.values).sum(axis=0)
            scaled = delta * norm_state(network, parameters).scales[i]
            delta = _back_through_norm(network, normed, scaled)
        coef_gradients[i][:] = trace.outputs[i].T @ delta
        if i > 0:
            delta = delta @ coefs[i].T
            if factors is not None:
                delta = delta * factors[i - 1]
            activation = network.activations[i - 1]
            delta = _back_through(
                activation, trace.inputs[i], trace.activated[i], delta
            )
    return losses @ weights, gradient, trace


def _track(network, parameters, trace, n):
    """Add a batch's statistics to the running ones, the variance without its bias."""
    if network.normalization != "batch" or n == 1:
        return
    _, means, variances = norm_state(network, parameters)
    for normed, mean, variance in zip(trace.normed[1:], means, variances, strict=True):
        mean += MOMENTUM * (normed.mean[0] - mean)
        variance += MOMENTUM * (normed.variance[0] * n / (n - 1) - variance)


def _numbers(shape):
    """The numbers of a batch's elements, as words."""
    return np.arange(np.prod(shape), dtype=np.uint32)


def _dropout_factors(network, dropout, seed, step, n):
    """0 for units that are dropped, else one over the share that is kept."""
    factors = []
    for layer, rate in enumerate(dropout):
        shape = (n, network.sizes[layer + 1])
        with np.errstate(over="ignore"):
            key = key_of(seed, step, layer + 1)
            kept = is_kept(key, _numbers(shape), threshold_of(rate))
        factors.append(kept.reshape(shape) / (1.0 - rate))
    return factors


def _noise(extras, step, shape):
    """Normal numbers for a batch of X."""
    deviation = np.float64(extras.input_noise)
    with np.errstate(over="ignore"):
        words = word_of(key_of(extras.seed, step, 0), _numbers(shape))
        return np.array([normal_of(word, deviation) for word in words]).reshape(shape)


def _limit_norms(network, parameters, largest):
    """Shrink the incoming weights of every unit to a Euclidean norm."""
    for coef in views(network, parameters)[0]:
        norms = np.linalg.norm(coef, axis=0)
        coef *= np.minimum(1.0, largest / np.maximum(norms, np.finfo(float).tiny))


def _weights_only(network, parameters):
    """The parameters with all that is not penalized set to zero."""
    penalized = parameters.copy()
    penalized[layout(network).bias_offsets[0] :] = 0
    return penalized


class Session:
    """One fit (see `skmlp.backends`)."""

    def __init__(self, problem, parameters):
        self._problem = problem
        self.parameters = np.array(parameters, dtype=np.float64)
        self._steps = 0

    def _batch(self, parameters, rows, scale, step=None):
        """Loss, gradient and trace of some rows, weights times `scale`.

        With the number of a step, dropout and noise are those of that step.
        """
        problem = self._problem
        extras = problem.regularization
        weights = (
            np.ones(len(rows))
            if problem.sample_weight is None
            else problem.sample_weight[rows]
        )
        x = _dense(problem.x[rows]).astype(np.float64)
        targets = problem.targets[rows].astype(np.float64)
        factors = None
        if step is not None and extras.dropout:
            factors = _dropout_factors(
                problem.network, extras.dropout, extras.seed, step, len(rows)
            )
        if step is not None and extras.input_noise > 0:
            x += _noise(extras, step, x.shape)
        batch = (x, targets, weights * scale)
        loss, gradient, trace = _gradient(problem.network, parameters, batch, factors)
        penalized = _weights_only(problem.network, parameters)
        decay = problem.alpha / (problem.mean_sample_weight * len(rows))
        loss += 0.5 * decay * penalized @ penalized
        return loss, gradient + decay * penalized, trace

    def train(self, optimizer, order, batch_size, span, rates, total):
        """Train on some batches of an epoch."""
        update = OPTIMIZERS[optimizer.name].update
        network, extras = self._problem.network, self._problem.regularization
        n_trained = layout(network).n_trained
        for b, (shrink, *c) in zip(range(*span), rates, strict=True):
            rows = order[b * batch_size : (b + 1) * batch_size]
            scale = 1.0 / (self._problem.mean_sample_weight * len(rows))
            found = self._batch(self.parameters, rows, scale, self._steps)
            loss, gradient, trace = found
            self._steps += 1
            _track(network, self.parameters, trace, len(rows))
            total += loss * len(rows)
            norm = np.linalg.norm(gradient)
            if norm > extras.max_grad_norm:
                gradient *= extras.max_grad_norm / norm
            shrinking = _weights_only(network, self.parameters)
            self.parameters -= shrink * shrinking
            for i, g in enumerate(gradient[:n_trained]):
                slots = optimizer.slots[:, i]
                self.parameters[i], *slots[:] = update(
                    self.parameters[i], g, *slots, c, optimizer.hyper
                )
            if np.isfinite(extras.max_norm):
                _limit_norms(network, self.parameters, extras.max_norm)
        return total

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs."""
        return train_one_by_one(self, optimizer, orders, batch_size, rates)

    def set_parameters(self, parameters):
        """Go on from other parameters, in whatever precision."""
        self.parameters[:] = parameters

    def loss_and_gradient(self, parameters):
        """Loss and gradient over all training rows, the penalty included."""
        rows = self._problem.row_ids
        scale = 1.0 / (self._problem.mean_sample_weight * len(rows))
        return self._batch(np.asarray(parameters), rows, scale)[:2]

    def hidden_outputs(self):
        """None: traces are not kept."""

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
        z = _forward(network, parameters, x).z
        return _activate(activation, z), bool(np.isfinite(x.sum()))


def evaluate(network, raw, targets, weights):
    """Mean loss of raw outputs, and the predictions that they stand for."""
    losses, _ = _loss(network, targets.astype(np.float64), raw)
    loss = float(np.average(losses, weights=weights))
    return loss, _activate(network.output, raw)


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
    network, parameters = fold_batch_norm(network, parameters)
    coefs, _ = views(network, parameters)
    scales = norm_state(network, parameters).scales
    found = _forward(network, parameters, _dense(x).astype(np.float64))
    inputs, layers = found.inputs, found.activated
    if targets is None:
        return inputs[1:], layers[1:], None
    deltas = [_loss(network, targets.astype(np.float64), found.z)[1]]
    for i in reversed(range(1, len(coefs))):
        delta = deltas[0]
        if i < len(scales):
            delta = _back_through_norm(network, found.normed[i + 1], delta * scales[i])
        delta = delta @ coefs[i].T
        deltas.insert(
            0, _back_through(network.activations[i - 1], inputs[i], layers[i], delta)
        )
    return inputs[1:], layers[1:], deltas


if TYPE_CHECKING:
    from skmlp import backends

    # mypy checks functions and arity here, tests/training/test_contract.py the names.
    _BACKEND: backends.Backend = backends.reference
    _SESSION: type[backends.Session] = Session
