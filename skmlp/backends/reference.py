"""The reference backend: the network in NumPy, in float64, on one thread.

Short, slow and obviously right: it defines what the other backends have to compute, and
the tests compare them with it. Rules are applied element by element.
"""

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from skmlp.backends.reference_draws import dropout_factors, noise
from skmlp.backends.reference_rules import activate, back_through, losses
from skmlp.network import embedding_part, fold_batch_norm, layout, norm_state, views
from skmlp.rules.activations import IDENTITY, activation_rule
from skmlp.rules.normalization import EPSILON, MOMENTUM
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import split_table


def _dense(x):
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


class Normed(NamedTuple):
    """A hidden layer's inputs, normalized.

    Attributes
    ----------
    values : ndarray
        With mean zero and variance one, before they are scaled.
    inverse : ndarray
        Factor of the differences from the mean: 1 / sqrt(variance + EPSILON).
    mean, variance : ndarray or None
        Of the layer's inputs; None where running statistics were used.
    """

    values: np.ndarray
    inverse: np.ndarray
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None


def _axis(network):
    """The axis that a hidden layer's inputs are normalized over: rows or units."""
    return 0 if network.normalization == "batch" else 1


def _normalize(network, running, z, training):
    """Normalize a hidden layer's inputs; `running` are its running statistics.

    They replace the batch's statistics in predictions, and for a batch of one row,
    whose variance would be zero.
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
        slope = (delta * normed.values).mean(axis=axis, keepdims=True)
        delta = delta - delta.mean(axis=axis, keepdims=True) - normed.values * slope
    return delta * normed.inverse


class Trace(NamedTuple):
    """The values of a forward pass, by list element for x and each hidden layer.

    Attributes
    ----------
    inputs, activated, outputs : list of ndarray
        Preactivations, activations, and activations after dropout. For x the last two.
    normed : list of Normed or None
    z : ndarray
        Raw outputs of the last layer.
    """

    inputs: list
    activated: list
    outputs: list
    normed: list
    z: np.ndarray


def _forward(network, params, x, factors=None, *, training=False):
    """Forward pass; `factors` are those of dropout, an array per hidden layer."""
    coefs, intercepts = views(network, params)
    scales, *statistics = norm_state(network, params)
    running: list = list(zip(*statistics, strict=True)) or [None] * len(coefs)
    if network.embedding is not None:
        x = network.embedding.inputs(x, embedding_part(network, params))
    inputs, activated, outputs = [None], [x], [x]
    normed: list = [None]
    for i, activation in enumerate(network.activations):
        z = outputs[-1] @ coefs[i]
        if network.normalization is not None:
            normed.append(_normalize(network, running[i], z, training))
            z = normed[-1].values * scales[i]
        inputs.append(z + intercepts[i])
        activated.append(activate(activation, inputs[-1]))
        outputs.append(activated[-1] * (1.0 if factors is None else factors[i]))
    z = outputs[-1] @ coefs[-1] + intercepts[-1]
    return Trace(inputs, activated, outputs, normed, z)


def _embedding_gradient(network, x, delta, gradient):
    """Gradient by the embedding's matrices, from that by the first layer's inputs."""
    embedding = network.embedding
    matrices = embedding.matrices(embedding_part(network, gradient))
    parts = np.split(delta[:, embedding.n_features :], len(matrices) or 1, axis=1)
    for matrix, code, part in zip(matrices, embedding.encoded(x), parts, strict=False):
        matrix[:] = code.T @ part


def _gradient(network, params, batch, factors=None):
    """Weighted sum of the rows' losses, its gradient without the penalty, the trace."""
    x, targets, weights = batch
    trace = _forward(network, params, x, factors, training=True)
    by_row, delta = losses(network, targets, trace.z)
    delta = delta * weights[:, None]
    gradient = np.zeros_like(params)
    coef_gradients, intercept_gradients = views(network, gradient)
    scale_gradients = norm_state(network, gradient).scales
    coefs, _ = views(network, params)
    for i in reversed(range(len(coefs))):
        intercept_gradients[i][:] = delta.sum(axis=0) * network.intercepts
        if i < len(scale_gradients):
            normed = trace.normed[i + 1]
            scale_gradients[i][:] = (delta * normed.values).sum(axis=0)
            scaled = delta * norm_state(network, params).scales[i]
            delta = _back_through_norm(network, normed, scaled)
        coef_gradients[i][:] = trace.outputs[i].T @ delta
        if i > 0:
            delta = delta @ coefs[i].T
            if factors is not None:
                delta = delta * factors[i - 1]
            activation = network.activations[i - 1]
            delta = back_through(activation, trace.inputs[i], trace.activated[i], delta)
    if network.embedding is not None:
        _embedding_gradient(network, x, delta @ coefs[0].T, gradient)
    return by_row @ weights, gradient, trace


def _track(network, params, trace, n):
    """Update the running statistics by a batch's mean and unbiased variance."""
    if network.normalization != "batch" or n == 1:
        return
    _, means, variances = norm_state(network, params)
    for normed, mean, variance in zip(trace.normed[1:], means, variances, strict=True):
        mean += MOMENTUM * (normed.mean[0] - mean)
        variance += MOMENTUM * (normed.variance[0] * n / (n - 1) - variance)


def _clip_weights(network, params, max_norm):
    """Max-norm: scale down the incoming weights of units with a larger norm."""
    for coef in views(network, params)[0]:
        norms = np.linalg.norm(coef, axis=0)
        coef *= np.minimum(1.0, max_norm / np.maximum(norms, np.finfo(float).tiny))


def _weights_only(network, params):
    """The parameters with everything but the weights set to zero."""
    penalized = params.copy()
    penalized[layout(network).bias_offsets[0] :] = 0
    return penalized


class Session:
    """One fit (see `skmlp.backends`)."""

    def __init__(self, problem, params):
        self._problem = problem
        self.params = np.array(params, dtype=np.float64)
        self._step_index = problem.regularization.first_step
        self.gradient_norms: list[float] | None = []

    def _batch(self, params, row_ids, scale, step_index=None, dropout=1.0):
        """Loss, gradient and trace of some rows, sample weights times `scale`.

        With the index of a step, dropout and noise are those of that step, and
        `dropout` is the factor of the dropout rates.
        """
        problem = self._problem
        loss, gradient, trace = self._rows(
            params, row_ids, scale, step_index=step_index, dropout=dropout
        )
        penalized = _weights_only(problem.network, params)
        l2 = problem.alpha / (problem.mean_sample_weight * len(row_ids))
        loss += 0.5 * l2 * penalized @ penalized
        return loss, gradient + l2 * penalized, trace

    def _rows(self, params, row_ids, scale, *, step_index, dropout, first_row=0):
        """As `_batch`, without the penalty, for rows from `first_row` of a batch."""
        problem = self._problem
        regularization = problem.regularization
        weights = (
            np.ones(len(row_ids))
            if problem.sample_weight is None
            else problem.sample_weight[row_ids]
        )
        x = _dense(problem.x[row_ids]).astype(np.float64)
        targets = problem.targets[row_ids].astype(np.float64)
        factors = None
        if step_index is not None and regularization.dropout:
            factors = dropout_factors(
                network=problem.network,
                dropout=[dropout * rate for rate in regularization.dropout],
                seed=regularization.seed,
                step_index=step_index,
                n=first_row + len(row_ids),
            )
            factors = [layer[first_row:] for layer in factors]
        if step_index is not None and regularization.input_noise > 0:
            shape = (first_row + len(x), x.shape[1])
            x += noise(regularization, step_index, shape)[first_row:]
        batch = (x, targets, weights * scale)
        return _gradient(problem.network, params, batch, factors)

    def train(self, optimizer, order, batch_size, batch_bounds, rates, total):
        """Train on some batches of an epoch."""
        network = self._problem.network
        steps = zip(*split_table(rates), strict=True)
        for b, step in zip(range(*batch_bounds), steps, strict=True):
            decays, coefficients, dropout = step
            row_ids = order[b * batch_size : (b + 1) * batch_size]
            scale = 1.0 / (self._problem.mean_sample_weight * len(row_ids))
            loss, gradient, trace = self._batch(
                self.params, row_ids, scale, self._step_index, dropout
            )
            self._step_index += 1
            _track(network, self.params, trace, len(row_ids))
            total += loss * len(row_ids)
            norm = self._update(optimizer, gradient, decays, coefficients)
            if b == 0:
                self.gradient_norms = [norm]
        return total

    def _update(self, optimizer, gradient, decays, coefficients):
        """The step of an optimizer; returns the norm of the gradient."""
        update = OPTIMIZERS[optimizer.name].update
        network, regularization = self._problem.network, self._problem.regularization
        norm = float(np.linalg.norm(gradient))
        if norm > regularization.max_grad_norm:
            gradient *= regularization.max_grad_norm / norm
        for segment, decay, c in zip(
            self._problem.segments, decays, coefficients, strict=True
        ):
            for i in range(segment.begin, segment.end):
                p, slots = self.params[i], optimizer.slots[:, i]
                self.params[i], *slots[:] = update(
                    p - decay * p, gradient[i], *slots, c, optimizer.hyper
                )
        if np.isfinite(regularization.max_norm):
            _clip_weights(network, self.params, regularization.max_norm)
        return norm

    def gradient(self, share, step):
        """Loss and gradient of a share of the next minibatch, without the penalty."""
        network, n = self._problem.network, len(share.row_ids)
        if n == 0:
            return 0.0, np.zeros_like(self.params)
        loss, gradient, trace = self._rows(
            self.params,
            share.row_ids,
            1.0 / (self._problem.mean_sample_weight * share.n_rows),
            step_index=self._step_index,
            dropout=split_table(step[np.newaxis]).dropout[0],
            first_row=share.first_row,
        )
        _track(network, self.params, trace, n)
        first = layout(network).n_trained
        gradient[first:] = n / share.n_rows * self.params[first:]
        return float(loss), gradient

    def apply(self, optimizer, gradient, n_rows, step):
        """One step by the gradient of a whole minibatch."""
        problem = self._problem
        self._step_index += 1
        penalized = _weights_only(problem.network, self.params)
        l2 = problem.alpha / (problem.mean_sample_weight * n_rows)
        first = layout(problem.network).n_trained
        self.params[first:] = gradient[first:]
        gradient = gradient + l2 * penalized
        gradient[first:] = 0
        table = split_table(step[np.newaxis])
        norm = self._update(optimizer, gradient, table.decays[0], table.coefficients[0])
        return float(0.5 * l2 * penalized @ penalized), norm

    def train_epochs(self, optimizer, orders, batch_size, rates):
        """Train on whole epochs."""
        totals, norms = [], []
        for order, steps in zip(orders, np.split(rates, len(orders)), strict=True):
            span = (0, len(steps))
            totals.append(self.train(optimizer, order, batch_size, span, steps, 0.0))
            norms += self.gradient_norms or []
        self.gradient_norms = norms
        return totals

    def load_params(self, params):
        """Replace the parameters, which may have another precision."""
        self.params[:] = params

    def rewind(self, params, n_steps):
        """Go back to the parameters of some steps ago."""
        self.params[:] = params
        self._step_index -= n_steps

    def sync(self, optimizer):
        """Nothing: training updates the optimizer's own vectors."""

    def loss_and_gradient(self, params):
        """Loss and gradient over all training rows, the penalty included."""
        row_ids = self._problem.row_ids
        scale = 1.0 / (self._problem.mean_sample_weight * len(row_ids))
        return self._batch(np.asarray(params), row_ids, scale)[:2]

    def hidden_outputs(self):
        """None: traces are not stored."""

    def outputs(self, x, row_ids):
        """Raw outputs for some rows, or for all, with the current parameters."""
        x = x if row_ids is None else x[row_ids]
        return outputs(self._problem.network, self.params, x, IDENTITY)[0]


@contextmanager
def open_session(problem, params, n_jobs=None):
    """A session; `n_jobs` has no effect here."""
    yield Session(problem, params)


def outputs(network, params, x, activation, n_jobs=None):
    """Predictions of a network through a named output activation."""
    params = np.asarray(params, dtype=np.float64)
    x = _dense(x).astype(np.float64)
    with np.errstate(invalid="ignore"):
        z = _forward(network, params, x).z
        return activate(activation, z), bool(np.isfinite(x.sum()))


def predictor(network, params):
    """A function that predicts with some parameters."""
    return partial(outputs, network, params)


def evaluate(network, raw, targets, weights):
    """Mean loss of raw outputs, and their predictions."""
    by_row, _ = losses(network, targets.astype(np.float64), raw)
    loss = float(np.average(by_row, weights=weights))
    return loss, activate(network.output, raw)


def row_losses(network, raw, targets):
    """Loss of each row of raw outputs."""
    return losses(network, targets.astype(np.float64), raw.astype(np.float64))[0]


def slope(activation, z, a):
    """Derivative of each unit's output by the unit's input.

    For softmax the diagonal of its Jacobian.

    Parameters
    ----------
    activation : str or Activation
    z, a : ndarray of shape (n_samples, units)
        Inputs and outputs of a layer.
    """
    if activation_rule(activation).by_rows:
        return a * (1.0 - a)
    return back_through(activation, z, a, np.ones_like(a))


def trace(network, params, x, targets=None):
    """Inputs, outputs and gradients of every layer for some rows.

    Returns
    -------
    inputs, outputs : list of ndarray of shape (n_samples, units)
        Of each hidden layer.
    deltas : list of ndarray of shape (n_samples, units) or None
        Gradient of each row's loss by the inputs of each layer, the output layer being
        the last; None without targets.
    """
    network, params = fold_batch_norm(network, params)
    coefs, _ = views(network, params)
    scales = norm_state(network, params).scales
    forward = _forward(network, params, _dense(x).astype(np.float64))
    inputs, layers = forward.inputs, forward.activated
    if targets is None:
        return inputs[1:], layers[1:], None
    deltas = [losses(network, targets.astype(np.float64), forward.z)[1]]
    for i in reversed(range(1, len(coefs))):
        delta = deltas[0]
        if i < len(scales):
            delta = _back_through_norm(
                network, forward.normed[i + 1], delta * scales[i]
            )
        delta = delta @ coefs[i].T
        deltas.insert(
            0, back_through(network.activations[i - 1], inputs[i], layers[i], delta)
        )
    return inputs[1:], layers[1:], deltas


if TYPE_CHECKING:
    from skmlp import backends

    # mypy checks functions and arity here, tests/training/test_contract.py the names.
    _BACKEND: backends.Backend = backends.reference
    _SESSION: type[backends.SharedSession] = Session
