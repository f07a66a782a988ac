"""The base of both estimators: `fit`, from the user's data to fitted attributes."""

import copy
import inspect
from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import check_random_state

from skmlp.compiler.progress import told_if_verbose
from skmlp.estimators import devices
from skmlp.estimators.architecture import (
    hidden_sizes,
    initial_params,
    resolve_activations,
)
from skmlp.estimators.callbacks import CallbackSupport
from skmlp.estimators.data import (
    Sample,
    UserInput,
    as_supported,
    canonical_x,
    combine_weights,
    reject_masked,
    validated,
)
from skmlp.estimators.data_driven import data_driven_params
from skmlp.estimators.dead_units import warn_of_dead_units
from skmlp.estimators.divergence import explained_divergence
from skmlp.estimators.feature_embedding import feature_embedding
from skmlp.estimators.fit_values import FitValues
from skmlp.estimators.holdout import warn_of_other_units, warn_of_whole_rows
from skmlp.estimators.ineffective import warn_of_ineffective
from skmlp.estimators.parameters import (
    COMMON,
    SOLVERS,
    STOCHASTIC_SOLVERS,
    Constructor,
    rule_parameters,
)
from skmlp.estimators.poor_fit import warn_of_poor_fit
from skmlp.estimators.prediction import Prediction
from skmlp.estimators.resuming import Resuming, check_same_rows
from skmlp.estimators.suggestions import Suggesting, names_arguments
from skmlp.estimators.target_advice import warn_of_target
from skmlp.estimators.target_names import NO_INFO, described
from skmlp.estimators.training import Training
from skmlp.estimators.training_config import check_combinations
from skmlp.estimators.validation import (
    ValidationData,
    check_complete,
    validate_held_out,
)
from skmlp.network import Network, views
from skmlp.rules.initializers import DATA_DRIVEN
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES


class BaseMLP(CallbackSupport, Suggesting, Training, Resuming, Prediction, ABC):
    """Base of the estimators; `MLPClassifier` documents the parameters."""

    _parameter_constraints: dict = COMMON
    # What may be wrong with data from which nothing is learned.
    _nothing_to_learn = "The features may say nothing about y"
    # Tables whose rows declare parameters.
    _tables: tuple = (OPTIMIZERS, SCHEDULES)

    def __init_subclass__(cls, **keywords):
        super().__init_subclass__(**keywords)
        function = vars(cls).get("__init__")
        if inspect.isfunction(function):
            constructor: Any = Constructor(
                function, cls._tables, cls._parameter_constraints
            )
            cls.__init__ = constructor  # type: ignore[method-assign]

    @abstractmethod
    def __init__(self):
        """Store the arguments by `_store`."""

    def _store(self, arguments):
        """Store the constructor's arguments, its ``locals()``, as attributes."""
        others = arguments.pop("rule_parameters")
        del arguments["self"]
        self.__dict__.update(arguments)
        for name, parameter in rule_parameters(self._tables).items():
            if name not in arguments:
                self.__dict__[name] = others.pop(name, parameter.default)
        if others:
            self._refuse_keyword(next(iter(others)))

    @abstractmethod
    def _validate_y(self, y, info=NO_INFO, *, first, incremental=False):
        """Labels or numbers of y as an array; the classifier sets its labels."""

    @abstractmethod
    def _targets(self, y, dtype):
        """Targets of shape (n_samples, columns) from validated y."""

    def _fit_target_scale(self, X, y, sample_weight, incremental):
        """Set what the targets need to know of the first y; nothing by default."""

    def _check_target_scale(self):
        """Refuse to go on if the targets are others now."""

    @abstractmethod
    def _head(self, targets):
        """Number of outputs, loss and the loss's parameters."""

    @abstractmethod
    def _stratify(self, targets):
        """Classes to stratify the split for early stopping by, or None."""

    @abstractmethod
    def _validation_score(self, raw, outputs, targets, weights):
        """Score of the network's outputs, raw and as activated."""

    def _validate_y_val(self, y):
        """`_validate_y` for validation data; sets nothing."""
        return self._validate_y(y, first=False)

    @names_arguments
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 stays float32, all else becomes float64, unless
            ``dtype`` says otherwise. A C-contiguous array of the right dtype is not
            copied; sparse data stay sparse.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Rows of weight zero are ignored. Scale them to mean 1:
            the L2 penalty of ``alpha`` counts against their sum.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data: loss and score on them are recorded every epoch. With
            ``early_stopping`` they replace the split, else they do not influence the
            training. In a `Pipeline`, ``transform_input=["X_val"]`` transforms them
            like X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or numbers.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, without ``class_weight``. Rows of weight zero are ignored.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        ValueError
            For data or weights that cannot be used, and when the training diverges.
            The estimator is then unchanged.
        """
        user_input = UserInput(X, y, sample_weight)
        callbacks = self._open_callbacks(user_input)
        with self._unchanged_on_failure():
            data = ValidationData(X_val, y_val, sample_weight_val)
            return self._fit(user_input, data, incremental=False, callbacks=callbacks)

    def _check_solver(self):
        # An unknown solver is for the validation of parameters to refuse.
        if self.solver in [*SOLVERS] and self.solver not in [*STOCHASTIC_SOLVERS]:
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    @told_if_verbose
    def _fit(
        self,
        user_input,
        validation_data,
        *,
        incremental,
        resumption=None,
        callbacks=None,
    ):
        resumes = hasattr(self, "coefs_") and (
            self.warm_start or incremental or resumption is not None
        )
        has_validation_data = validation_data.X_val is not None
        check_complete(validation_data)
        check_combinations(
            self, incremental=incremental, has_validation_data=has_validation_data
        )
        if resumes:
            self._check_target_scale()
        sample = self._validate(
            as_supported(self.device, user_input),
            first=not resumes,
            incremental=incremental,
        )
        held_out = self._held_out(validation_data, sample)
        if resumption is not None:
            check_same_rows(self, sample)
        elif not (incremental and resumes):
            warn_of_whole_rows(self)
        # A chunk says little about the range of X.
        if held_out is not None and not incremental:
            warn_of_other_units(self, sample, held_out)
        generator = self._generator(incremental)
        if resumption is not None:
            generator = resumption.generator
        network = self._network(sample, resumes)
        if not resumes:
            warn_of_ineffective(
                self,
                network,
                has_validation_data=has_validation_data,
                incremental=incremental,
            )
        if not incremental:
            warn_of_target(self, sample)
        target = devices.training_target(self, network, sample)
        params = self._initial_params(network, generator, sample, target, resumes)
        if resumption is not None and resumption.last_params is not None:
            params = resumption.last_params.copy()
        fit = FitValues(
            incremental=incremental,
            resumes=resumes,
            sample=sample,
            held_out=held_out,
            generator=generator,
            network=network,
            target=target,
            params=params,
            resumable=self._resumable_history(resumes),
            resumption=resumption,
            generator_state=None if incremental else generator.get_state(),
            callbacks=callbacks,
        )
        with explained_divergence(self, network, sample):
            result, problem, layers = self._train(fit)
        if result.outcome.loss != np.inf:  # as where Ctrl-C came before the training
            warn_of_dead_units(
                network, result.outcome.params, sample, layers, target.backend.outputs
            )
        if not incremental:
            warn_of_poor_fit(self, problem, result, target.backend)
        self._set_fitted(result, incremental=incremental)
        if callbacks is not None:
            callbacks.end()
        return self

    def _generator(self, incremental):
        """Random numbers of this call; `partial_fit` resumes those of a seed."""
        seeded = isinstance(self.random_state, Integral)
        if incremental and seeded and hasattr(self, "_random_state"):
            # A copy, so that a call that fails consumes no random numbers.
            return copy.deepcopy(self._random_state)
        return check_random_state(self.random_state)

    def _allowed_dtypes(self, first):
        """Allowed dtypes of X; a resumed training keeps the model's."""
        if first or devices.required_dtype(self) is not None:
            return devices.allowed_dtypes(self)
        return np.asarray(self.coefs_[0]).dtype

    def _validate(self, user_input, *, first, incremental=False):
        """The training data as a `Sample`."""
        X, y, sample_weight = user_input
        reject_masked(X=X, y=y, sample_weight=sample_weight)
        info = described(y)
        X, y = validated(self, X, y, dtype=self._allowed_dtypes(first), reset=first)
        y = self._validate_y(y, info, first=first, incremental=incremental)
        dtype = X.dtype
        if first:
            self._fit_target_scale(X, y, sample_weight, incremental)
        targets = self._targets(y, dtype)
        weights, row_ids = combine_weights(
            sample_weight,
            X,
            dtype,
            class_weight=getattr(self, "class_weight", None),
            labels=getattr(self, "_labels", None),
            y=y,
        )
        return Sample(
            x=canonical_x(X, dtype),
            y=y,
            targets=targets,
            sample_weight=weights,
            row_ids=row_ids,
        )

    def _held_out(self, validation_data, sample):
        """The user's validation data as a `Sample`; None without."""
        supported = as_supported(self.device, validation_data)
        return validate_held_out(self, supported, sample)

    def _layer_activations(self, sizes):
        """Activations of the hidden layers of some sizes."""
        return resolve_activations(self.activation, len(sizes))

    def _network(self, sample, resumes):
        embedding = feature_embedding(self, sample, resumes=resumes)
        n_inputs = sample.x.shape[1] if embedding is None else embedding.width
        hidden = hidden_sizes(self.hidden_layer_sizes)
        n_outputs, loss, loss_params = self._head(sample.targets)
        return Network(
            sizes=(n_inputs, *hidden, n_outputs),
            activations=self._layer_activations(hidden),
            loss=loss,
            output=loss.output,
            loss_params=loss_params,
            intercepts=self.fit_intercept,
            normalization=self.normalization if hidden else None,
            embedding=embedding,
        )

    def _initial_params(self, network, generator, sample, target, resumes):
        dtype = sample.x.dtype
        if resumes:
            params = self._current_params(network, dtype)
        elif isinstance(self.weight_init, str) and self.weight_init == DATA_DRIVEN:
            params = data_driven_params(
                network, sample, target.backend.outputs, generator
            )
        else:
            params = initial_params(
                network, self.weight_init, self.activation, generator, dtype
            )
        if not self.fit_intercept:
            for intercept in views(network, params)[1]:
                intercept[:] = 0
        return params

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
