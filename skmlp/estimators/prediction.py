"""Predictions of a network: the one path from a user's X to a backend's outputs.

The methods of the estimators, the features of hidden layers and the check for dead
units all predict with a network and a vector of parameters.
"""

from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp.compiler.progress import told_if_verbose
from skmlp.estimators import devices
from skmlp.estimators.data import (
    canonical_x,
    frame_values,
    is_canonical,
    reject_masked,
    validated,
)
from skmlp.estimators.fitted import Fitted
from skmlp.estimators.gpu_arrays import returns_like_input
from skmlp.estimators.suggestions import names_arguments
from skmlp.network import NormState, embedding_part, norm_state, pack, views
from skmlp.rules.activations import IDENTITY


class Prediction(Fitted):
    """Base of the estimators: outputs of the network and of its hidden layers."""

    n_jobs: int | None
    verbose: bool | int

    def _outputs(self, X, activation=None):
        """Outputs of the fitted network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        activation : str, default=None
            Output activation: 'identity' for the raw outputs; None for the network's.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        check_is_fitted(self)
        network, params = self._fitted_network()
        return self._network_outputs(X, network, params, activation or network.output)

    @told_if_verbose
    def _network_outputs(self, X, network, params, activation):
        """Outputs of a network whose inputs are the features of X."""
        values = X if is_canonical(self, X, params.dtype) else None
        if values is None:
            values = frame_values(self, X, params.dtype)
        is_validated = values is None
        if is_validated:
            values = self._validate_for_prediction(X)
        outputs, is_finite = devices.prediction_backend(self, values).outputs(
            network, params, canonical_x(values, params.dtype), activation, self.n_jobs
        )
        if not (is_finite or is_validated):
            self._validate_for_prediction(X)
        return outputs

    def _validate_for_prediction(self, X):
        reject_masked(X=X)
        return validated(self, X, dtype=self.coefs_[0].dtype, reset=False)

    @names_arguments
    @returns_like_input
    def hidden_activations(self, X, layer=-1):
        """Outputs of a hidden layer, as features for another model or for a plot.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        layer : int, default=-1
            Index of the hidden layer; negative indices count from the last one back.

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
        >>> model = MLPClassifier((20, 5), learning_rate="cosine", random_state=0)
        >>> model = model.fit(X, y)
        >>> model.hidden_activations(X).shape
        (150, 5)
        """
        check_is_fitted(self)
        network, params = self._fitted_network()
        index = layer_index(layer, len(network.activations))
        network, params = cut_after(network, params, index)
        return self._network_outputs(X, network, params, IDENTITY)


def cut_after(network, params, layer):
    """The network up to a hidden layer, followed by an identity as its output layer.

    Backends compute it like any other network.

    Parameters
    ----------
    network : Network
    params : ndarray
    layer : int
        Index of the hidden layer.

    Returns
    -------
    network : Network
    params : ndarray
        A new vector.
    """
    units, end = network.sizes[layer + 1], layer + 1
    coefs, intercepts = views(network, params)
    norms = NormState(*(part[:end] for part in norm_state(network, params)))
    cut = network._replace(
        sizes=(*network.sizes[: layer + 2], units),
        activations=network.activations[:end],
        loss=None,
        output=IDENTITY,
    )
    identity = np.eye(units, dtype=params.dtype)
    no_bias = np.zeros(units, dtype=params.dtype)
    return cut, pack(
        [*coefs[:end], identity],
        [*intercepts[:end], no_bias],
        params.dtype,
        [*norms.parts, embedding_part(network, params)],
    )


def layer_index(layer, n_hidden):
    """The index of a hidden layer, not negative."""
    if not isinstance(layer, Integral) or isinstance(layer, bool):
        raise TypeError(f"layer must be an instance of int, not {type(layer)}.")
    if not -n_hidden <= layer < n_hidden:
        allowed = f", must be in [{-n_hidden}, {n_hidden - 1}]" if n_hidden else ""
        raise ValueError(
            f"layer == {layer}{allowed}: the network has {n_hidden} hidden layers."
        )
    return int(layer) % n_hidden
