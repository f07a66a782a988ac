"""Dead units: their definition, and the warning at the end of a fit.

A unit is dead on some rows if the slope of its activation is 0 on all of them: no
gradient reaches its weights. The warning looks at outputs, not at slopes, because
backends return outputs; it covers the activations that are 0 with slope 0 for negative
inputs, such as relu. `skmlp.diagnose` looks at the slopes of any activation.
"""

import functools
import warnings

import numpy as np

from skmlp.call_site import is_silent, user_stacklevel
from skmlp.estimators.data import canonical_x
from skmlp.estimators.prediction import cut_after
from skmlp.exceptions import DeadUnitsWarning
from skmlp.rules.activations import IDENTITY

# With fewer rows a healthy unit may well be 0 on all of them.
_MIN_ROWS = 100
_MAX_ROWS = 1000
_MAX_FRACTION = 0.4
# In a layer of a few units a large fraction may be due to chance.
_MAX_BY_CHANCE = 4


def dead_units(values):
    """Which units are 0 on all rows: of slopes, or of outputs that imply the slopes.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_units)

    Returns
    -------
    ndarray of bool of shape (n_units,)
    """
    return ~values.any(axis=0)


def candidate_layers(network, session):
    """Hidden layers that may be largely dead, by the last minibatch.

    A unit that is dead on all rows is dead on these. Most layers turn out to be
    healthy, at no cost where the backend has stored their outputs.

    Parameters
    ----------
    network : Network
    session : skmlp.backends.Session
        After training.

    Returns
    -------
    list of int
    """
    layers = [i for i, rule in enumerate(network.activation_rows) if _can_die(rule)]
    outputs = session.hidden_outputs() if layers else None
    if outputs is None:
        return layers
    return [i for i in layers if _is_largely_dead(outputs[i])]


def warn_of_dead_units(network, params, sample, layers, outputs):
    """Warn of hidden layers that are largely dead.

    Parameters
    ----------
    network : Network
    params : ndarray
        The trained parameters.
    sample : Sample
        The training data.
    layers : list of int
        The layers to check.
    outputs : callable
        ``outputs`` of a `skmlp.backends.Backend`.
    """
    if is_silent(DeadUnitsWarning) or len(sample.row_ids) < _MIN_ROWS:
        return
    findings = []
    for layer in layers:
        network_and_params = cut_after(network, params, layer)
        values = _outputs_if_dead(network_and_params, sample, outputs)
        if values is not None:
            fraction, n_units = np.mean(dead_units(values)), values.shape[1]
            findings.append(
                f"{fraction:.0%} of the {n_units} units of hidden layer {layer}"
            )
    if not findings:
        return
    n_rows = min(_MAX_ROWS, len(sample.row_ids))
    warnings.warn(
        f"{' and '.join(findings)} are dead: they are 0 for all of {n_rows} training "
        "rows, pass no gradient and cannot learn any more. Usual causes are features "
        "that are not scaled and a learning rate that is too large; scale X, lower "
        "learning_rate_init, or use activation='leaky_relu'. skmlp.diagnose shows "
        "more.",
        DeadUnitsWarning,
        stacklevel=user_stacklevel(),
    )


def _is_largely_dead(outputs):
    """Whether enough of a layer's units are dead to warn."""
    fraction = float(np.mean(dead_units(outputs)))
    by_chance = _MAX_BY_CHANCE / outputs.shape[1]
    return fraction == 1 or fraction > max(_MAX_FRACTION, by_chance)


@functools.lru_cache(maxsize=64)
def _can_die(rule):
    """Whether an activation is 0, with slope 0, for negative inputs, as relu is."""
    if rule.value is None:
        return False
    with np.errstate(all="ignore"):
        inputs = np.array([-1.0, -10.0])
        values = [rule.value(z) for z in inputs]
        slopes = map(rule.slope, inputs if rule.needs_preactivation else values)
        return not any(values) and not any(slopes)


def _outputs_if_dead(network_and_params, sample, outputs):
    """A layer's outputs on a sample of the training rows; None if it is healthy.

    A tenth of the rows is checked first.
    """
    network, params = network_and_params
    row_ids = sample.row_ids
    for max_rows in (_MAX_ROWS // 10, _MAX_ROWS):
        n_rows = min(len(row_ids), max_rows)
        chosen = np.linspace(0, len(row_ids) - 1, n_rows).astype(np.int64)
        x = canonical_x(sample.x[row_ids[chosen]], sample.x.dtype)
        values = outputs(network, params, x, IDENTITY, 1)[0]
        if not _is_largely_dead(values):
            return None
    return values
