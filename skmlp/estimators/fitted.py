"""The fitted attributes: written here at the end of a fit, and read here to go on.

A fit works on local values and calls `Fitted._set_fitted` last. Only validation sets
attributes earlier (`n_features_in_`, `feature_names_in_`, `classes_`, the labels, the
scale of the target), because scikit-learn's validation does and the targets depend on
them; `Fitted._unchanged_on_failure` restores them if the call fails.
"""

import inspect
import sys
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from skmlp._project import DocumentedOnline
from skmlp.estimators.saved_state import (
    check_complete_state,
    from_state,
    parameter_views,
    to_state,
)
from skmlp.network import Network, NormState, as_flat, pack, views
from skmlp.training.history import History, Outcome, cut
from skmlp.training.optimizer_state import OptimizerState

# The entry of a pickled state that has the release that wrote it.
_VERSION = "_skmlp_version"
# What scikit-learn keeps in an estimator during a fit with callbacks, to end these.
# A copy or a pickle that is made meanwhile has no use for it.
OF_CALLBACKS = {
    "_callback_fit_ctx",
    "_skl_callbacks_to_teardown",
    "_parent_callback_ctx",
}


def _version():
    """The release of this package."""
    return sys.modules["skmlp"].__version__


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

    def _fitted_network(self):
        """The fitted network, without its loss, and its parameters as a flat vector."""
        network = Network(
            sizes=(self.coefs_[0].shape[0], *(len(b) for b in self.intercepts_)),
            activations=self._activations,
            loss=None,
            output=self.out_activation_,
            normalization=self._normalization(),
            embedding=getattr(self, "_embedding", None),
        )
        return network, as_flat(
            self.coefs_, self.intercepts_, self.coefs_[0].dtype, self._other_parts()
        )

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

    def __getstate__(self):
        return to_state(super().__getstate__()) | {_VERSION: _version()}

    def __setstate__(self, state):
        state = dict(state)
        written_by = state.pop(_VERSION, None)
        if written_by != _version():
            check_complete_state(state, written_by, _version())
            # A release that had no such parameter did what is the default since.
            state = _defaults(type(self)) | state
        super().__setstate__(from_state(state))
