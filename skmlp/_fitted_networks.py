"""The networks in a fitted estimator, and what they need for their predictions.

A service loads a pipeline, a search, an ensemble or an estimator for tables, somewhere
in which networks of this package predict. Each of them is used on two rows of zeros:
which kernels run depends on the network and on the form of X, not on its values.
"""

import types
import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skmlp.estimators.base import BaseMLP
from skmlp.estimators.hidden_features import HiddenFeatures

_N_ROWS = 2
_METHODS = (
    "predict",
    "predict_proba",
    "decision_function",
    "transform",
    "reconstruct",
    "score_samples",
)
# What marks an object of anybody's class as something that may hold an estimator.
_OF_ESTIMATORS = ("get_params", "predict", "transform", "score_samples")
_NO_OBJECTS = (type, types.ModuleType, types.FunctionType, types.MethodType)


def fitted_networks(estimator):
    """The fitted networks that an estimator consists of.

    Parameters
    ----------
    estimator : object
        A network, or whatever holds some: pipelines, searches, ensembles, lists.

    Returns
    -------
    list of tuple (network, layer)
        `layer` is that of a `HiddenFeatures`, None for predictions.

    Raises
    ------
    NotFittedError
        If all of them are not fitted.
    TypeError
        If there are none.
    """
    found, unfitted = [], 0
    seen: set = set()
    pending = [(estimator, None)]
    while pending:
        each, layer = pending.pop()
        if (id(each), layer) in seen:
            continue
        seen.add((id(each), layer))
        if not isinstance(each, BaseMLP):
            if isinstance(each, HiddenFeatures):
                layer = each.layer
            pending += [(part, layer) for part in _parts(each)]
        elif hasattr(each, "coefs_"):
            found.append((each, layer))
        else:
            unfitted += 1
    if found:
        return found
    name = type(estimator).__name__
    if unfitted:
        raise NotFittedError(
            f"The networks of this {name} are not fitted yet: precompile compiles what "
            "a fitted estimator predicts with. For fits, call precompile with their "
            "solver, activations and loss."
        )
    raise TypeError(
        "estimator must be an estimator of skmlp, or one that contains such, like a "
        f"Pipeline; got {name}, in which there is none."
    )


def _parts(each):
    """The objects that one consists of, as far as they may hold estimators."""
    if isinstance(each, dict):
        return [*each.values()]
    if isinstance(each, list | tuple | set):
        return [*each]
    if isinstance(each, np.ndarray):
        return [*each.flat] if each.dtype == object else []
    if isinstance(each, _NO_OBJECTS) or not hasattr(each, "__dict__"):
        return []
    if not any(hasattr(type(each), name) for name in _OF_ESTIMATORS):
        return []
    return [*vars(each).values()]


def predict_once(network, layer):
    """Call the methods of a fitted network that predict.

    Parameters
    ----------
    network : BaseMLP
    layer : int or None
        Of `fitted_networks`.
    """
    dense = np.zeros((_N_ROWS, network.n_features_in_), dtype=network.coefs_[0].dtype)
    forms = [dense]
    # A sparse X has no embedding.
    if getattr(network, "_embedding", None) is None:
        forms.append(sparse.csr_array(dense))
    with warnings.catch_warnings():
        # Zeros have no names.
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        for x in forms:
            if layer is not None:
                network.hidden_activations(x, layer)
                continue
            for name in _METHODS:
                if hasattr(network, name):
                    getattr(network, name)(x)
        if layer is None and hasattr(network, "inverse_transform"):
            network.inverse_transform(network.transform(dense))
