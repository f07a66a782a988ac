"""What hidden layers make of data: as features, and a warning when that is nothing.

A network that is cut after a hidden layer, with an identity for its output layer, is a
network: the backends compute it like any other.
"""

import copy
import functools
import warnings
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.data import canonical_x
from skmlp.estimators.gpu_arrays import answers_in_kind
from skmlp.exceptions import DeadUnitsWarning
from skmlp.network import NormState, pack
from skmlp.rules.activations import IDENTITY

# Below this number of rows a healthy unit may well be silent on all of them.
_FEWEST_ROWS = 100
_MOST_ROWS = 1000
_LARGEST_SHARE = 0.4
# In a layer of a few units, a large share of them is what chance may do.
_MOST_BY_CHANCE = 4


class HiddenActivations:
    """Mixin of the estimators: the outputs of hidden layers."""

    @answers_in_kind
    def hidden_activations(self, X, layer=-1):
        """Outputs of a hidden layer, as features for another model or for a plot.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        layer : int, default=-1
            Number of the hidden layer, from 0; negative numbers count from the last
            one back.

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            In the precision of the model.

        Raises
        ------
        TypeError, ValueError
            If there is no such layer.

        Examples
        --------
        >>> from skmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((20, 5), max_iter=500, random_state=0).fit(X, y)
        >>> model.hidden_activations(X).shape
        (150, 5)
        """
        check_is_fitted(self)
        cut: Any = copy.copy(self)
        depth = _number(layer, len(cut._activations))
        cut.coefs_, cut.intercepts_, kept = _cut(self, depth)
        cut._norms = lambda: kept
        cut.out_activation_ = IDENTITY
        cut._activations = cut._activations[: depth + 1]
        return cut._outputs(X)


def _cut(model, depth):
    """Weights, biases and norms up to a hidden layer, and an identity after it."""
    units, dtype = len(model.intercepts_[depth]), model.coefs_[0].dtype
    coefs = [*model.coefs_[: depth + 1], np.eye(units, dtype=dtype)]
    intercepts = [*model.intercepts_[: depth + 1], np.zeros(units, dtype=dtype)]
    norms = NormState(*(part[: depth + 1] for part in model._norms()))
    return coefs, intercepts, norms


def _number(layer, n_hidden):
    """The number of a hidden layer, not negative."""
    if not isinstance(layer, Integral) or isinstance(layer, bool):
        raise TypeError(f"layer must be an instance of int, not {type(layer)}.")
    if not -n_hidden <= layer < n_hidden:
        allowed = f", must be in [{-n_hidden}, {n_hidden - 1}]" if n_hidden else ""
        raise ValueError(
            f"layer == {layer}{allowed}: the network has {n_hidden} hidden layers."
        )
    return int(layer) % n_hidden


def suspected_layers(network, session):
    """Hidden layers that may be largely dead, by the batch trained on last.

    A unit that is dead on all rows is dead on these, and most layers are found healthy:
    which costs nothing, where the backend has their outputs at hand.

    Parameters
    ----------
    network : Network
    session : session of a backend
        That has been trained.

    Returns
    -------
    list of int
    """
    mortal = [n for n, rule in enumerate(network.activation_rows) if _may_die(rule)]
    found = session.hidden_outputs() if mortal else None
    if found is None:
        return mortal
    return [n for n in mortal if _is_largely_dead(found[n])]


def _silent_share(found):
    """Share of a layer's units that are 0 on all rows."""
    return float(np.mean(~found.any(axis=0)))


def _is_largely_dead(found):
    """Whether the share of a layer's units that are silent is worth a warning."""
    share = _silent_share(found)
    return share == 1 or share > max(_LARGEST_SHARE, _MOST_BY_CHANCE / found.shape[1])


def warn_of_dead_units(model, network, sample, suspects, outputs):
    """Warn, at the end of a fit, of hidden layers that are largely dead.

    Parameters
    ----------
    model : BaseMLP
        Fitted.
    network : Network
    sample : Sample
        The training data.
    suspects : list of int
        The layers to look at.
    outputs : callable
        ``outputs`` of a backend.
    """
    if len(sample.rows) < _FEWEST_ROWS:
        return
    dead = []
    for layer in suspects:
        run = functools.partial(_layer_outputs, model, network, layer, outputs)
        found = _outputs_if_dead(run, sample)
        if found is not None:
            share, units = _silent_share(found), found.shape[1]
            dead.append(f"{share:.0%} of the {units} units of hidden layer {layer}")
    if not dead:
        return
    n_rows = min(_MOST_ROWS, len(sample.rows))
    warnings.warn(
        f"{' and '.join(dead)} are dead: they are 0 for all of {n_rows} training "
        "rows, pass no gradient and cannot learn any more. Usual causes are features "
        "that are not scaled and a learning rate that is too large; scale X, lower "
        "learning_rate_init, or use activation='leaky_relu'. skmlp.diagnose shows "
        "more.",
        DeadUnitsWarning,
        stacklevel=5,
    )


@functools.lru_cache(maxsize=256)
def _may_die(rule):
    """Whether an activation is 0, with slope 0, for negative inputs, as relu is."""
    if rule.value is None:
        return False
    with np.errstate(all="ignore"):
        inputs = np.array([-1.0, -10.0])
        values = [rule.value(z) for z in inputs]
        slopes = map(rule.slope, inputs if rule.needs_preactivation else values)
        return not any(values) and not any(slopes)


def _layer_outputs(model, network, layer, outputs, x):
    """Outputs of a hidden layer for canonical x."""
    cut = network._replace(
        sizes=(*network.sizes[: layer + 2], network.sizes[layer + 1]),
        activations=network.activations[: layer + 1],
        loss=None,
        output=IDENTITY,
    )
    coefs, intercepts, norms = _cut(model, layer)
    parameters = pack(coefs, intercepts, x.dtype, norms.parts)
    return outputs(cut, parameters, x, IDENTITY, 1)[0]


def _outputs_if_dead(run, sample):
    """A layer's outputs on a sample of the training rows; None if it is healthy.

    A tenth of the rows is looked at first.
    """
    rows = sample.rows
    for at_most in (_MOST_ROWS // 10, _MOST_ROWS):
        some = np.linspace(0, len(rows) - 1, min(len(rows), at_most)).astype(np.int64)
        found = run(canonical_x(sample.x[rows[some]], sample.x.dtype))
        if not _is_largely_dead(found):
            return None
    return found
