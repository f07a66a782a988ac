"""What both estimators share: parameters, the course of a fit, predictions.

A fit works on local values and writes the fitted attributes at its end; whatever goes
wrong before, the estimator is what it was.
"""

import copy
import inspect
from abc import ABC, abstractmethod
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skmlp.backends import Problem
from skmlp.estimators import devices
from skmlp.estimators.architecture import (
    first_parameters,
    hidden_activations,
    hidden_sizes,
)
from skmlp.estimators.data import (
    Sample,
    canonical_x,
    is_canonical,
    reject_masked,
    validated,
    weigh,
)
from skmlp.estimators.dead_units import (
    HiddenActivations,
    suspected_layers,
    warn_of_dead_units,
)
from skmlp.estimators.fitted import Fitted
from skmlp.estimators.gpu_arrays import on_host
from skmlp.estimators.parameters import (
    COMMON,
    STOCHASTIC_SOLVERS,
    Constructor,
    rule_parameters,
)
from skmlp.estimators.regularizing import regularization
from skmlp.estimators.training_config import check_course, rules_of
from skmlp.estimators.validation import Given, Judge, check_complete, checked
from skmlp.network import Network, as_flat, views
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES
from skmlp.training import lbfgs, minibatch
from skmlp.training.finite import check_finite
from skmlp.training.history import Progress, Validation
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config


class BaseMLP(Fitted, HiddenActivations, BaseEstimator, ABC):
    """Base of the estimators; `MLPClassifier` documents the parameters."""

    _parameter_constraints: dict = COMMON
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
        """Store the constructor's arguments, its ``locals()``, as attributes.

        Raises
        ------
        TypeError
            For an argument that is no parameter.
        """
        others = arguments.pop("rule_parameters")
        del arguments["self"]
        self.__dict__.update(arguments)
        for name, parameter in rule_parameters(self._tables).items():
            if name not in arguments:
                self.__dict__[name] = others.pop(name, parameter.default)
        if others:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"{next(iter(others))!r}"
            )

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

    def _validate_y_val(self, y):
        """`_validate_y` of validation data, of which nothing is kept."""
        return self._validate_y(y, first=False)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
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
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data: loss and score on them are recorded every epoch. With
            ``early_stopping`` they take the place of the split, else they have no
            influence on the training. In a `Pipeline`, ``transform_input=["X_val"]``
            transforms them like X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or numbers.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, to which ``class_weight`` adds nothing. Rows of weight zero
            take no part.

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
            given = Given(X_val, y_val, sample_weight_val)
            return self._fit(X, y, sample_weight, given, incremental=False)

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

    def _fit(self, X, y, sample_weight, given, *, incremental):
        goes_on = hasattr(self, "coefs_") and (self.warm_start or incremental)
        check_complete(given)
        if incremental and self.early_stopping and given.X_val is None:
            raise ValueError(
                "partial_fit does not support early_stopping=True without X_val and "
                "y_val"
            )
        check_course(self, incremental)
        devices.check_dtype(self)
        sample = self._validate(X, y, sample_weight, first=not goes_on)
        held_out = checked(self, given, sample)
        generator = self._generator(incremental)
        network = self._network(sample)
        place = devices.training_place(self, network, sample)
        self.device_ = place.device
        if goes_on:
            parameters = self._current_parameters(network, sample.x.dtype)
            progress = copy.deepcopy(getattr(self, "_progress", Progress()))
        else:
            parameters = first_parameters(
                network, self.weight_init, self.activation, generator, sample.x.dtype
            )
            progress = Progress()
            self._optimizer = None
        if not self.fit_intercept:
            for intercept in views(network, parameters)[1]:
                intercept[:] = 0
        if self.solver in STOCHASTIC_SOLVERS:
            suspects = self._fit_stochastic(
                *(place, network, sample, held_out, parameters),
                *(progress, generator, incremental),
            )
        else:
            suspects = self._fit_lbfgs(
                place, network, sample, held_out, parameters, progress, generator
            )
        warn_of_dead_units(self, network, sample, suspects, place.backend.outputs)
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
        """Dtypes that X may have; a training that goes on keeps the model's."""
        if first or devices.required_dtype(self) is not None:
            return devices.precision(self)
        return np.asarray(self.coefs_[0]).dtype

    def _validate(self, X, y, sample_weight, *, first):
        """Check all that was passed; returns a `Sample`."""
        y, sample_weight = on_host(self.device, y=y, sample_weight=sample_weight)
        reject_masked(X=X, y=y, sample_weight=sample_weight)
        X, y = validated(self, X, y, dtype=self._precision(first), reset=first)
        y = self._validate_y(y, first)
        dtype = X.dtype
        class_weight = getattr(self, "class_weight", None)
        weights, rows = weigh(sample_weight, class_weight, X, y, dtype)
        return Sample(canonical_x(X, dtype), y, self._targets(y, dtype), weights, rows)

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

    def _problem(self, place, network, sample, rows, generator):
        """What to train on; `rows` are the numbers of rows."""
        return Problem(
            *(network, sample.x, sample.targets, sample.weights, rows, self.alpha),
            regularization(self, network, sample.x, generator),
            place.matmul_precision,
        )

    def _fit_stochastic(
        self,
        place,
        network,
        sample,
        held_out,
        parameters,
        progress,
        generator,
        incremental,
    ):
        optimizer = getattr(self, "_optimizer", None) if incremental else None
        # One whose schedule has come to its end has no rate left to go on with.
        if optimizer is None or optimizer.ends:
            optimizer = OptimizerState(
                make_optimizer_config(self), parameters.size, parameters.dtype
            )
        else:
            optimizer = optimizer.copy(parameters.dtype)
        progress.validation = self._validation(
            progress.validation, held_out, parameters
        )
        rows = sample.rows
        if self.early_stopping and held_out is None:
            rows, others = self._split(sample, generator)
            held_out = sample._replace(rows=others)
        problem = self._problem(place, network, sample, rows, generator)
        rules = rules_of(self, len(rows), incremental)
        backend = place.backend
        with backend.open_session(problem, parameters, self.n_jobs) as session:
            judge = held_out and Judge(self, network, backend, session, held_out)
            parameters = minibatch.train(
                session, optimizer, progress, rules, rows, generator, judge
            )
            suspects = [] if incremental else suspected_layers(network, session)
        if not progress.judged_by_score:
            # A square that has overflowed divides all further steps to nothing.
            check_finite(optimizer.slots)
        self._optimizer = optimizer
        self._publish(network, parameters)
        self._publish_progress(progress)
        self._publish_validation(network, progress.validation, incremental)
        return suspects

    def _validation(self, before, held_out, parameters):
        """What goes on with an earlier call's scores, or begins; None without data."""
        if held_out is None and not self.early_stopping:
            return None
        data = "the split" if held_out is None else "X_val"
        measure = f"{self.scoring!r} of {data}"
        if (
            before is not None
            and before.measure == measure
            and before.decides == self.early_stopping
        ):
            return before
        return Validation(measure, parameters if self.early_stopping else None)

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

    def _fit_lbfgs(
        self, place, network, sample, held_out, parameters, progress, generator
    ):
        problem = self._problem(place, network, sample, sample.rows, generator)
        limits = lbfgs.Limits(
            self.max_iter,
            self.max_fun,
            self.tol,
            self.n_iter_no_change,
            self.max_time,
            self.verbose,
        )
        # Iterations are no epochs: the curves of stochastic solvers go on without.
        course = Progress()
        if held_out is not None:
            course.validation = self._validation(None, held_out, parameters)
        backend = place.backend
        with backend.open_session(problem, parameters, self.n_jobs) as session:
            judge = held_out and Judge(self, network, backend, session, held_out)
            found, loss, n_iter = lbfgs.minimize(
                session, parameters, course, limits, judge
            )
            suspects = suspected_layers(network, session)
        self._publish(network, found.astype(parameters.dtype, copy=False))
        self.loss_ = loss
        self.n_iter_ = n_iter
        self.t_ = progress.samples_seen
        self.history_ = course.history()
        self._publish_validation(network, course.validation, incremental=False)
        self._progress = progress
        return suspects

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
        outputs, finite = devices.prediction_backend(self, X).outputs(
            network,
            as_flat(self.coefs_, self.intercepts_, dtype, self._norms().parts),
            canonical_x(X, dtype),
            activation or self.out_activation_,
            self.n_jobs,
        )
        if not (finite or validated):
            self._validate_for_prediction(X)
        return outputs

    def _validate_for_prediction(self, X):
        return validated(self, X, dtype=self.coefs_[0].dtype, reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
