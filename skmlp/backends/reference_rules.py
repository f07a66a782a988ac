"""Rules of activations and losses in the reference backend, element by element."""

import numpy as np
from scipy.special import log_softmax, softmax

from skmlp.rules.activations import activation_rule
from skmlp.rules.losses import membership, smoothed


def apply_rule(rule, *arrays):
    """A scalar rule on every element."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.vectorize(rule, otypes=[np.float64])(*arrays)


def activate(activation, z):
    """Outputs of a layer from its inputs."""
    row = activation_rule(activation)
    return softmax(z, axis=1) if row.by_rows else apply_rule(row.value, z)


def back_through(activation, z, a, delta):
    """Gradient by z of a layer from that by its outputs a."""
    row = activation_rule(activation)
    if row.by_rows:
        return a * (delta - np.sum(delta * a, axis=1, keepdims=True))
    return delta * apply_rule(row.slope, z if row.needs_preactivation else a)


def _class_targets(targets, n_classes, smoothing):
    """A row of targets for the index of each row's class, smoothed."""
    is_class = np.arange(n_classes) == targets
    return apply_rule(lambda own: membership(own, smoothing, n_classes), is_class)


def _softmax_cross_entropy(targets, z, smoothing):
    targets = _class_targets(targets, z.shape[1], smoothing)
    return -np.sum(log_softmax(z, axis=1) * targets, axis=1), softmax(z, 1) - targets


def losses(network, targets, z):
    """Loss of every row and its gradient by the raw outputs."""
    row, loss_params = network.loss, np.array(network.loss_params, np.float64)
    if row.row is not None:
        delta = np.empty_like(z)
        rows = zip(targets, z, delta, strict=True)
        return np.array([row.row(*one, loss_params) for one in rows]), delta
    n_params = len(row.parameters)
    params = loss_params[:n_params]
    smoothing = loss_params[n_params] if row.smoothing else np.float64(0)
    if row.value is None:
        return _softmax_cross_entropy(targets, z, smoothing)
    if row.labels:
        targets = _class_targets(targets, z.shape[1], smoothing)
    elif row.smoothing:
        targets = apply_rule(smoothed, targets, smoothing)
    u = z if row.link is None else apply_rule(row.link.value, z)
    losses, delta = (
        apply_rule(lambda y, v, rule=rule: rule(y, v, *params), targets, u)
        for rule in (row.value, row.slope)
    )
    if row.link is not None:
        delta = back_through(row.link, z, u, delta)
    return losses.sum(axis=1), delta
