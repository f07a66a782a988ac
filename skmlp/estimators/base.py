"""What both estimators share: parameters, the course of a fit, predictions.

A fit works on local values and writes the fitted attributes at its end; whatever goes
wrong before, the estimator is what it was.
"""

import copy
import warnings
from abc import ABC, abstractmethod
from contextlib import contextmanager
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skmlp.backends import Problem, get_backend
from skmlp.estimators.architecture import (
    first_parameters,
    hidden_activations,
    hidden_sizes,
)
from skmlp.estimators.inputs import canonical_x, is_canonical, reject_masked, weigh
from skmlp.estimators.parameters import COMMON, STOCHASTIC_SOLVERS
from skmlp.estimators.regularising import regularisation
from skmlp.network import Network, Norms, joined, norms, pack, views
from skmlp.training import lbfgs, stochastic
from skmlp.training.optimizer import Optimizer, Recipe
from skmlp.training.progress import Progress, Validation

BACKEND = "cpu"


class Sample(NamedTuple):
    """Validated training data: canonical X, targets, weights, rows that take part."""

    x: object
    targets: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray


class BaseMLP(BaseEstimator, ABC):
    """Base of the estimators; `MLPClassifier` documents the parameters."""

    _parameter_constraints: dict = COMMON

    @abstractmethod
    def __init__(self, **parameters):
        vars(self).update(parameters)

    @abstractmethod
    def _validate_y(self, y, first):
        """Labels or numbers as an array; sets what the estimator keeps of them."""

    @abstractmethod
    def _targets(self, y, dtype):
        """Targets of shape (n_samples, columns) from validated y."""

    @abstractmethod
    def _head(self, targets):
        """Raw outputs, loss and the loss's parameters."""

    @abstractmethod
    def _stratify(self, targets):
        """What the split for early stopping is stratified by, or None."""

    @abstractmethod
    def _validation_score(self, outputs, targets, weights):
        """Score of the network's outputs."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 stays float32, all else becomes float64, unless
            ``dtype`` says otherwise. A C-contiguous array of the right dtype is not
            copied; sparse data are not made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Rows of weight zero take no part.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        ValueError
            For data or weights that cannot be used, and when the training diverges.
            The estimator is then as it was before.
        """
        with self._unchanged_on_failure():
            return self._fit(X, y, sample_weight, incremental=False)

    @contextmanager
    def _unchanged_on_failure(self):
        before = self.__dict__.copy()
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_solver(self):
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    def _fit(self, X, y, sample_weight, *, incremental):
        goes_on = hasattr(self, "coefs_") and (self.warm_start or incremental)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        sample = self._validate(X, y, sample_weight, first=not goes_on)
        generator = self._generator(incremental)
        network = self._network(sample)
        if goes_on:
            parameters = self._current_parameters(network, sample.x.dtype)
            progress = copy.deepcopy(getattr(self, "_progress", Progress()))
        else:
            parameters = first_parameters(
                network, self.weight_init, self.activation, generator, sample.x.dtype
            )
            if not self.fit_intercept:
                for intercept in views(network, parameters)[1]:
                    intercept[:] = 0
            progress = Progress()
            self._optimizer = None
        if self.solver in STOCHASTIC_SOLVERS:
            self._fit_stochastic(
                network, sample, parameters, progress, generator, incremental
            )
        else:
            self._fit_lbfgs(network, sample, parameters, progress, generator)
        self._random_state = generator
        return self

    def _generator(self, incremental):
        """Random numbers of this call; those of `partial_fit` go on from a seed."""
        seeded = isinstance(self.random_state, Integral)
        if incremental and seeded and hasattr(self, "_random_state"):
            # A copy, so that a call that fails uses up nothing.
            return copy.deepcopy(self._random_state)
        return check_random_state(self.random_state)

    def _precision(self, first):
        """Dtypes that X may have, the first being that of any other X."""
        if self.dtype is not None:
            return self.dtype
        if first:
            return np.float64, np.float32
        return np.asarray(self.coefs_[0]).dtype

    def _validate(self, X, y, sample_weight, *, first):
        """Check all that was passed; returns a `Sample`."""
        reject_masked(X=X, y=y, sample_weight=sample_weight)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=self._precision(first),
            reset=first,
        )
        y = self._validate_y(y, first)
        dtype = X.dtype
        class_weight = getattr(self, "class_weight", None)
        weights, rows = weigh(sample_weight, class_weight, X, y, dtype)
        return Sample(canonical_x(X, dtype), self._targets(y, dtype), weights, rows)

    def _network(self, sample):
        hidden = hidden_sizes(self.hidden_layer_sizes)
        n_outputs, loss, loss_parameters = self._head(sample.targets)
        return Network(
            sizes=(sample.x.shape[1], *hidden, n_outputs),
            activations=hidden_activations(self.activation, len(hidden)),
            loss=loss,
            output=loss.output,
            loss_parameters=loss_parameters,
            intercepts=self.fit_intercept,
            normalization=self.normalization if hidden else None,
        )

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
        return Norms(*(getattr(self, name, None) or [] for name in names))

    def _normalization(self):
        """Which normalisation the fitted network has; not what the parameter says."""
        fitted = self._norms()
        if fitted.means:
            return "batch"
        return "layer" if fitted.scales else None

    def _fit_stochastic(
        self, network, sample, parameters, progress, generator, incremental
    ):
        optimizer = getattr(self, "_optimizer", None) if incremental else None
        if optimizer is None:
            optimizer = Optimizer(self._recipe(), parameters.size, parameters.dtype)
        else:
            optimizer = optimizer.copy(parameters.dtype)
        if self.early_stopping:
            rows, held_out = self._split(sample, generator)
            progress.validation = progress.validation or Validation(parameters)
        else:
            rows, held_out = sample.rows, None
            progress.validation = None
        problem = Problem(
            network,
            sample.x,
            sample.targets,
            sample.weights,
            rows,
            self.alpha,
            regularisation(self, network, sample.x, generator),
        )
        rules = self._rules(len(rows), incremental)
        backend = get_backend(BACKEND)
        with backend.open_session(problem, parameters, self.n_jobs) as session:
            score = None
            if held_out is not None:
                score = lambda: self._score_rows(session, sample, held_out)  # noqa: E731
            parameters = stochastic.train(
                session, optimizer, progress, rules, rows, generator, score
            )
        self._optimizer = optimizer
        self._publish(network, parameters)
        self._publish_progress(progress)

    def _recipe(self):
        if self.solver == "adam":
            hyper = (1.0 - self.beta_1, 1.0 - self.beta_2, self.epsilon)
            return Recipe("adam", hyper, "constant", self.learning_rate_init, 0.0)
        name = "nesterov" if self.nesterovs_momentum else "sgd"
        hyper = (self.momentum, 0.0, 0.0)
        initial_rate = self.learning_rate_init
        return Recipe(name, hyper, self.learning_rate, initial_rate, self.power_t)

    def _rules(self, n_rows, incremental):
        if self.batch_size == "auto":
            batch_size = min(200, n_rows)
        else:
            if self.batch_size > n_rows:
                warnings.warn(
                    "Got `batch_size` less than 1 or larger than sample size. It is "
                    "going to be clipped",
                    stacklevel=5,
                )
            batch_size = int(min(self.batch_size, n_rows))
        return stochastic.Rules(
            batch_size,
            self.max_iter,
            self.shuffle,
            self.tol,
            self.n_iter_no_change,
            self.verbose,
            incremental,
        )

    def _split(self, sample, generator):
        """Rows to train on and rows to judge by, for early stopping."""
        train, held_out = train_test_split(
            sample.rows,
            random_state=generator,
            test_size=self.validation_fraction,
            stratify=self._stratify(sample.targets[sample.rows]),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or "
                "the size of your dataset."
            )
        return train, held_out

    def _score_rows(self, session, sample, rows):
        weights = None if sample.weights is None else sample.weights[rows]
        return self._validation_score(
            session.outputs(rows), sample.targets[rows], weights
        )

    def _fit_lbfgs(self, network, sample, parameters, progress, generator):
        problem = Problem(
            network,
            sample.x,
            sample.targets,
            sample.weights,
            sample.rows,
            self.alpha,
            regularisation(self, network, sample.x, generator),
        )
        limits = lbfgs.Limits(self.max_iter, self.max_fun, self.tol, self.verbose)
        backend = get_backend(BACKEND)
        with backend.open_session(problem, parameters, self.n_jobs) as session:
            found, loss, n_iter = lbfgs.minimise(session, parameters, limits)
        self._publish(network, found.astype(parameters.dtype, copy=False))
        self.loss_ = loss
        self.n_iter_ = n_iter
        self.t_ = progress.samples_seen
        self._progress = progress

    def _publish(self, network, parameters):
        """The fitted attributes that describe the network."""
        self.coefs_, self.intercepts_ = views(network, parameters)
        fitted = norms(network, parameters)
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
        seen = progress.validation
        self.best_loss_ = progress.best_loss if seen is None else None
        self.validation_scores_ = None if seen is None else seen.scores
        self.best_validation_score_ = None if seen is None else seen.best_score
        self._progress = progress
        self._no_improvement_count = progress.no_improvement_count

    def _outputs(self, X, activation=None):
        """Outputs of the network for X, through an output activation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        activation : str, default=None
            'identity' for the raw outputs; None for the network's own.

        Returns
        -------
        ndarray of shape (n_samples, n_outputs)
        """
        check_is_fitted(self)
        dtype = self.coefs_[0].dtype
        validated = not is_canonical(self, X, dtype)
        if validated:
            reject_masked(X=X)
            X = self._validate_for_prediction(X)
        sizes = (self.coefs_[0].shape[0], *(len(b) for b in self.intercepts_))
        network = Network(
            *(sizes, self._activations, None, self.out_activation_),
            normalization=self._normalization(),
        )
        outputs, finite = get_backend(BACKEND).outputs(
            network,
            joined(self.coefs_, self.intercepts_, dtype, self._norms().parts),
            canonical_x(X, dtype),
            activation or self.out_activation_,
            self.n_jobs,
        )
        if not (finite or validated):
            self._validate_for_prediction(X)
        return outputs

    def _validate_for_prediction(self, X):
        return validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=self.coefs_[0].dtype,
            reset=False,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
