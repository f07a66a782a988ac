"""The fitted attributes: the one place where they are written, and read again.

A fit ends by writing them; a training that goes on from one begins by reading them.
"""

import numpy as np

from skmlp.network import NormState, norm_state, pack, views


class Fitted:
    """Mixin of the estimators that knows their fitted attributes."""

    def _current_parameters(self, network, dtype):
        """A copy of the fitted parameters, for a training that goes on from them."""
        shapes = [np.shape(coef) for coef in self.coefs_]
        if shapes != network.shapes:
            raise ValueError(
                f"The fitted network has weights of shapes {shapes}, but parameters "
                f"and data now ask for {network.shapes}: with warm_start or "
                "partial_fit hidden_layer_sizes and the targets' columns must stay."
            )
        found = self._normalization()
        if found != network.normalization:
            raise ValueError(
                f"The fitted network has normalization={found!r}, but now it is "
                f"{network.normalization!r}: with warm_start or partial_fit it must "
                "stay."
            )
        return pack(self.coefs_, self.intercepts_, dtype, self._norms().parts)

    def _norms(self):
        """Scales and running statistics of the fitted network."""
        names = ("norm_scales_", "norm_means_", "norm_variances_")
        return NormState(*(getattr(self, name, None) or [] for name in names))

    def _normalization(self):
        """Which normalization the fitted network has; not what the parameter says."""
        fitted = self._norms()
        if fitted.means:
            return "batch"
        return "layer" if fitted.scales else None

    def _publish(self, network, parameters):
        """The fitted attributes that describe the network."""
        self.coefs_, self.intercepts_ = views(network, parameters)
        fitted = norm_state(network, parameters)
        self.norm_scales_ = fitted.scales or None
        self.norm_means_ = fitted.means or None
        self.norm_variances_ = fitted.variances or None
        self.n_layers_ = len(network.sizes)
        self.n_outputs_ = network.sizes[-1]
        self.out_activation_ = network.output
        self._activations = network.activations

    def _publish_progress(self, progress):
        """The fitted attributes that describe the course of the training."""
        self.n_iter_ = progress.n_epochs
        self.t_ = progress.samples_seen
        self.loss_curve_ = progress.loss_curve
        self.loss_ = progress.loss_curve[-1] if progress.loss_curve else np.inf
        self.best_loss_ = None if progress.judged_by_score else progress.best_loss
        self.history_ = progress.history()
        self.no_improvement_count_ = progress.no_improvement_count
        self._progress = progress
        self._no_improvement_count = progress.no_improvement_count

    def _publish_validation(self, network, seen, incremental):
        """The fitted attributes that describe the scores on held-out data."""
        for name in ("best_coefs_", "best_intercepts_"):
            self.__dict__.pop(name, None)
        if incremental and seen is not None and seen.decides:
            best = views(network, seen.best_parameters)
            self.best_coefs_, self.best_intercepts_ = best
        self.validation_loss_curve_ = None if seen is None else seen.losses
        self.validation_scores_ = None if seen is None else seen.scores
        self.best_validation_score_ = None if seen is None else seen.best_score
