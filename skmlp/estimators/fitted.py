"""The fitted attributes: written here at the end of a fit, and read here to go on.

A fit works on local values and calls `Fitted._set_fitted` last. Only validation sets
attributes earlier (`n_features_in_`, `feature_names_in_`, `classes_`, the labels, the
scale of the target), because scikit-learn's validation does and the targets depend on
them; `Fitted._unchanged_on_failure` restores them if the call fails.
"""

import dataclasses
import inspect
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skmlp._project import DocumentedOnline
from skmlp.estimators.prepared import FittedNetwork, Prepared
from skmlp.estimators.rebuilt import (
    Rebuilt,
    activations_of,
    embedding_of,
    n_features_of,
)
from skmlp.estimators.release import stamped, unstamped, version
from skmlp.estimators.saved_state import (
    check_complete_state,
    from_state,
    parameter_views,
    to_state,
)
from skmlp.network import Network, NormState, pack, shared_vector, views
from skmlp.training.history import History, Outcome, cut
from skmlp.training.optimizer_state import OptimizerState

# Attributes of which a network is made, beside weights and biases: other parameters, in
# lists, and what has none.
_PARTS = ("norm_scales_", "norm_means_", "norm_variances_", "embedding_weights_")
_OTHERS_OF_NETWORK = ("out_activation_", "_activations", "_embedding")
# What scikit-learn keeps in an estimator during a fit with callbacks, to end these.
# A copy or a pickle that is made meanwhile has no use for it.
OF_CALLBACKS = {
    "_callback_fit_ctx",
    "_skl_callbacks_to_teardown",
    "_parent_callback_ctx",
}


def _defaults(cls):
    """The parameters of an estimator's class and their defaults."""
    parameters = inspect.signature(cls).parameters.values()
    return {
        each.name: each.default for each in parameters if each.default is not each.empty
    }


@contextmanager
def restored_on_failure(estimator):
    """Restore an estimator's attributes when the block raises an exception."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        now = estimator.__dict__
        before.update({name: now[name] for name in OF_CALLBACKS & now.keys()})
        now.clear()
        now.update(before)
        raise


class FitResult(NamedTuple):
    """All that a fit leaves behind.

    Attributes
    ----------
    device : str
    network : Network
    outcome : Outcome
    history : History
        Of this training.
    resumable : History
        Of minibatch training, from which later calls go on: `history` itself, but for
        L-BFGS, whose iterations are no epochs.
    optimizer : OptimizerState or None
    generator : numpy.random.RandomState
    resumption : dict or None
        By `skmlp.estimators.resuming.resumption_state`.
    """

    device: str
    network: Network
    outcome: Outcome
    history: History
    resumable: History
    optimizer: OptimizerState | None
    generator: np.random.RandomState
    resumption: dict | None


class Fitted(DocumentedOnline, BaseEstimator):
    """Base of the estimators: fitted attributes and pickling."""

    best_coefs_: list[np.ndarray]
    best_intercepts_: list[np.ndarray]
    best_iter_: int | None
    best_loss_: float | None
    best_validation_score_: float | None
    bin_edges_: list[np.ndarray] | None
    coefs_: list[np.ndarray]
    device_: str
    embedding_weights_: list[np.ndarray] | None
    feature_names_in_: np.ndarray
    history_: dict[str, list[float]]
    intercepts_: list[np.ndarray]
    loss_: float
    loss_curve_: list[float]
    n_iter_: int
    n_layers_: int
    n_outputs_: int
    no_improvement_count_: int
    norm_means_: list[np.ndarray] | None
    norm_scales_: list[np.ndarray] | None
    norm_variances_: list[np.ndarray] | None
    out_activation_: str
    t_: int
    validation_loss_curve_: list[float] | None
    validation_scores_: list[float] | None

    _activations = Rebuilt(activations_of, "coefs_")
    _embedding = Rebuilt(embedding_of, "coefs_")
    n_features_in_ = Rebuilt(n_features_of, "coefs_")

    @contextmanager
    def _unchanged_on_failure(self):
        """Restore all attributes and the curves when the block raises an exception."""
        history = getattr(self, "_history", None)
        lengths = [] if history is None else history.lengths()
        try:
            with restored_on_failure(self):
                yield
        except BaseException:
            cut(lengths)
            raise

    def _current_params(self, network, dtype):
        """A copy of the fitted parameters, to go on from."""
        shapes = [np.shape(coef) for coef in self.coefs_]
        if shapes != network.shapes:
            raise ValueError(
                f"The fitted network has weights of shapes {shapes}, but parameters "
                f"and data now ask for {network.shapes}: with warm_start or "
                "partial_fit hidden_layer_sizes and the targets' columns must stay."
            )
        normalization = self._normalization()
        if normalization != network.normalization:
            raise ValueError(
                f"The fitted network has normalization={normalization!r}, but now it "
                f"is {network.normalization!r}: with warm_start or partial_fit it must "
                "stay."
            )
        return pack(self.coefs_, self.intercepts_, dtype, self._other_parts())

    def _check_is_fitted(self):
        """scikit-learn's check, which takes longer than a small prediction."""
        if "coefs_" not in self.__dict__:
            check_is_fitted(self)

    def _fitted_network(self):
        """The fitted network, without its loss, and its parameters as a flat vector."""
        fitted = self._prepared_network()
        return fitted.network, fitted.params

    def _prepared_network(self):
        """The `FittedNetwork`: that of the last prediction, unless it has changed."""
        self._check_is_fitted()
        attributes = self.__dict__
        parts = [*self.coefs_, *self.intercepts_]
        # What is computed from the parameters is a new object at each call, so that a
        # change of these counts.
        sources = [*parts, *(getattr(self, name) for name in _OTHERS_OF_NETWORK)]
        for name in _PARTS:
            sources += attributes.get(name) or ()
        prepared = attributes.get("_prepared")
        found = None if prepared is None else prepared.get(sources)
        if found is not None:
            return found
        network = Network(
            sizes=(self.coefs_[0].shape[0], *(len(b) for b in self.intercepts_)),
            activations=self._activations,
            loss=None,
            output=self.out_activation_,
            normalization=self._normalization(),
            embedding=self._embedding,
        )
        parts += self._other_parts()
        dtype = self.coefs_[0].dtype
        shared = shared_vector(parts, dtype)
        if shared is None:  # edits of the parts would not reach a copy
            return FittedNetwork(network, pack(parts, (), dtype))
        found = FittedNetwork(network, shared)
        if prepared is not None:
            prepared.keep(sources, found)
        return found

    def _other_parts(self):
        """Parameters beside weights and biases, in the order of the flat vector."""
        embedding = getattr(self, "embedding_weights_", None) or []
        return [*self._norm_state().parts, *embedding]

    def _norm_state(self):
        """Scales and running statistics of the fitted network."""
        names = ("norm_scales_", "norm_means_", "norm_variances_")
        return NormState(*(getattr(self, name, None) or [] for name in names))

    def _normalization(self):
        """Normalization of the fitted network; the parameter may have changed since."""
        norms = self._norm_state()
        if norms.means:
            return "batch"
        return "layer" if norms.scales else None

    def _set_labels(self, labels):
        """The classes, before the first targets are encoded."""
        self._labels = labels
        for name, value in labels.attributes().items():
            self.__dict__.pop(name, None)
            if value is not None:
                self.__dict__[name] = value

    def _set_fitted(self, result, *, incremental):
        """All other fitted attributes, from a `FitResult`."""
        history, resumable = result.history, result.resumable
        self._publish(result.network, result.outcome.params)
        self.device_ = result.device
        self.loss_ = result.outcome.loss
        self.n_iter_ = result.outcome.n_iter
        self.t_ = resumable.samples_seen
        self.history_ = history.columns()
        if history is resumable:
            self.loss_curve_ = history.loss_curve
            self.best_loss_ = None if history.stops_by_score else history.best_loss
            self.no_improvement_count_ = history.no_improvement_count
            self._no_improvement_count = history.no_improvement_count
        self._set_validation(result.network, history.validation, incremental)
        self._history = resumable
        self._optimizer = result.optimizer
        self._random_state = result.generator
        self._resumption = result.resumption

    def _publish(self, network, params):
        """The fitted attributes that describe the network."""
        self.__dict__.update(parameter_views(network, params))
        self._prepared = Prepared()
        self.n_layers_ = len(network.sizes)
        self.n_outputs_ = network.sizes[-1]
        self.out_activation_ = network.output
        self._activations = network.activations
        self._embedding = network.embedding
        self.bin_edges_ = None
        if network.embedding is not None:
            self.bin_edges_ = network.embedding.edges_by_feature()

    def _set_validation(self, network, validation, incremental):
        """The fitted attributes that describe the scores on held-out data."""
        for name in ("best_coefs_", "best_intercepts_"):
            self.__dict__.pop(name, None)
        if incremental and validation is not None and validation.stops:
            # Copies, as of `coefs_`: an edit must not change what the training keeps.
            best = views(network, validation.best_params.copy())
            self.best_coefs_, self.best_intercepts_ = best
        has_scores = validation is not None
        self.validation_loss_curve_ = validation.losses if has_scores else None
        self.validation_scores_ = validation.scores if has_scores else None
        self.best_validation_score_ = validation.best_score if has_scores else None
        stops = has_scores and validation.stops
        self.best_iter_ = validation.best_epoch if stops else None

    def drop_training_state(self):
        """Drop what only further training needs, for a small saved model.

        The optimizer's moments, the best parameters so far and the random numbers: of
        a network trained by 'adam' two thirds of a pickle. Predictions, attributes
        and curves stay as they are.

        Returns
        -------
        self : object
            A later ``partial_fit``, or ``fit`` with ``warm_start``, goes on from the
            weights with a new optimizer, and with a new count of the epochs without
            improvement of a score; ``resume`` is no longer possible.

        Examples
        --------
        >>> import pickle
        >>> from sklearn.datasets import load_digits
        >>> from skmlp import MLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> model = MLPClassifier(learning_rate="cosine", random_state=0).fit(X, y)
        >>> before = len(pickle.dumps(model))
        >>> len(pickle.dumps(model.drop_training_state())) < 0.45 * before
        True
        """
        for name in ("_optimizer", "_random_state", "best_coefs_", "best_intercepts_"):
            self.__dict__.pop(name, None)
        self._resumption = None
        history = getattr(self, "_history", None)
        if history is not None:
            self._history = dataclasses.replace(
                history, validation=None, unfinished=None
            )
        return self

    def __getstate__(self):
        return stamped(to_state(super().__getstate__()))

    def __setstate__(self, state):
        state, written_by = unstamped(self, state)
        if written_by != version():
            check_complete_state(state, written_by, version())
            # A release that had no such parameter did what is the default since.
            state = _defaults(type(self)) | state
        super().__setstate__(from_state(state))
