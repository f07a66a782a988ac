"""Loss loops: a loss's rule over a row block, its value and its gradient.

As in `elementwise`, the loop of a loss is compiled once per rule and dtype, and kernels
call it by its address.
"""

from numba import types

from skmlp.backends.cpu.intrinsics import flat
from skmlp.backends.cpu.kernels.elementwise import (
    LoopTypes,
    address_of,
    by_rule,
    from_rules,
    subtract_maximum,
)
from skmlp.compiler import jit
from skmlp.rules.activations import ACTIVATIONS, IDENTITY
from skmlp.rules.elementary import exp, log
from skmlp.rules.loss_row import first_params, smoothing_param, takes_tuple
from skmlp.rules.losses import membership, smoothed

call_loss = jit.caller(types.float64)


@jit.inline
def _weight(sample_weight, row, scale):
    return scale * sample_weight[row] if sample_weight.shape[0] > 0 else scale


def _column(targets, row, j, smoothing, columns):
    return targets[row, j]


def _smoothed_column(targets, row, j, smoothing, columns):
    return smoothed(targets[row, j], smoothing)


def _class(targets, row, j, smoothing, columns):
    return membership(int(targets[row, 0]) == j, smoothing, columns)


def _target(row):
    """The function that reads the target of an output."""
    if row.labels:
        return _class
    return _smoothed_column if row.smoothing else _column


def _loss_loop(value, slope, link, link_slope, target, readers):
    unpack, smoothing_of = readers

    def loop(z, delta, targets, sample_weight, row_ids, scale, loss_params):
        n, columns = z.shape
        p, smoothing = unpack(loss_params), smoothing_of(loss_params)
        for i in range(n):
            row = row_ids[i]
            for j in range(columns):
                delta[i, j] = target(targets, row, j, smoothing, columns)
        # One flat pass: with a single output the inner loop above has one iteration.
        all_z = flat(z)
        all_delta = flat(delta)
        for e in range(all_z.shape[0]):
            y = all_delta[e]
            a = link(all_z[e])
            all_z[e] = value(y, a, p)
            all_delta[e] = slope(y, a, p) * link_slope(a)
        if sample_weight.shape[0] > 0:
            for i in range(n):
                for j in range(columns):
                    z[i, j] *= sample_weight[row_ids[i]]
                    delta[i, j] *= sample_weight[row_ids[i]]
        total = 0.0
        for e in range(all_z.shape[0]):
            total += all_z[e]
            all_delta[e] *= scale
        return total * scale

    return loop


def _row_loss_loop(rule):
    def loop(z, delta, targets, sample_weight, row_ids, scale, loss_params):
        total = 0.0
        for i in range(z.shape[0]):
            w = _weight(sample_weight, row_ids[i], scale)
            total += w * rule(targets[row_ids[i]], z[i], delta[i], loss_params)
            for j in range(z.shape[1]):
                delta[i, j] *= w
        return total

    return loop


def _softmax_loss(z, delta, targets, sample_weight, row_ids, scale, loss_params):
    """Cross-entropy, the class given by its index: log(sum_j exp z_j) - z_class."""
    n, columns = z.shape
    smoothing = loss_params[0]
    for i in range(n):
        subtract_maximum(z[i])
    all_z = flat(z)
    all_delta = flat(delta)
    for e in range(all_z.shape[0]):
        all_delta[e] = exp(all_z[e])
    total = 0.0
    for i in range(n):
        w = _weight(sample_weight, row_ids[i], scale)
        of_class = int(targets[row_ids[i], 0])
        exponentials = type(w)(0)
        for j in range(columns):
            exponentials += delta[i, j]
        logit = z[i, of_class]
        factor = w / exponentials
        for j in range(columns):
            delta[i, j] *= factor
        if smoothing > 0:
            logit = _smooth(logit, z[i], delta[i], w, smoothing)
        total += w * (log(exponentials) - logit)
        delta[i, of_class] -= w * (type(w)(1) - smoothing)
    return total


@jit.inline
def _smooth(logit, z, delta, w, smoothing):
    """Label smoothing: part of the target goes to all classes (Szegedy et al., 2016).

    Returns the smoothed target's mean logit, and updates the deltas.
    """
    T = type(w)
    uniform = smoothing / T(z.shape[0])
    total = T(0)
    for j in range(z.shape[0]):
        total += z[j]
        delta[j] -= w * uniform
    return (T(1) - smoothing) * logit + uniform * total


@by_rule
def loss(row, dtype):
    """Address of a loss's loop: returns the loss, leaves its gradient by z in delta."""
    signature = LoopTypes(dtype).loss()
    if row.row is not None:
        return from_rules(_row_loss_loop, row, (row.row,), signature)
    if row.value is None:
        return address_of(_softmax_loss, f"{__name__}._softmax_loss", signature)
    link = row.link or ACTIVATIONS[IDENTITY]
    rules = (row.value, row.slope, link.value, link.slope, _target(row))
    n_params = len(row.parameters)

    def factory(value, slope, link, link_slope, target):
        value = jit.inline_always(takes_tuple(value, n_params))
        slope = jit.inline_always(takes_tuple(slope, n_params))
        readers = (
            jit.inline_always(first_params(n_params)),
            jit.inline_always(smoothing_param(row)),
        )
        return _loss_loop(value, slope, link, link_slope, target, readers)

    # The name is part of the key in the disk cache.
    smoothing = "smoothed" if row.smoothing else "plain"
    factory.__name__ = f"{_loss_loop.__name__}_{smoothing}"
    return from_rules(factory, row, rules, signature)
