"""The base of the tabular estimators: from a user's table to an ensemble."""

import warnings
from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from skmlp._project import DocumentedOnline
from skmlp.backends.threads import available_threads
from skmlp.call_site import user_stacklevel
from skmlp.estimators.callbacks import CallbackSupport, open_callbacks
from skmlp.estimators.data import UserInput, combine_weights
from skmlp.estimators.fitted import restored_on_failure
from skmlp.estimators.validation import ValidationData, check_complete
from skmlp.exceptions import PoorFitWarning
from skmlp.tabular.budget import Budget
from skmlp.tabular.combination import greedy_weights, out_of_sample_mean
from skmlp.tabular.importance import permutation_importances
from skmlp.tabular.members import EncodedRows, train_members
from skmlp.tabular.planning import make_jobs, row_pairs
from skmlp.tabular.preprocessor import TabularPreprocessor
from skmlp.tabular.presets import PRESETS, recipes, without_embedding
from skmlp.tabular.saved_state import PlainState

_MAX_PICKS = 16
# Columns of the encoded table up to which numbers are embedded: an embedded number
# makes the first layer several times as wide.
_MAX_EMBEDDED = 1000
# Validation rows that are kept for `feature_importances_`.
_MAX_IMPORTANCE_ROWS = 1000


class BaseTabularMLP(CallbackSupport, DocumentedOnline, PlainState, ABC):
    """Base of the estimators; `TabularMLPClassifier` documents the parameters."""

    _parameter_constraints: dict = {
        "preset": [StrOptions(set(PRESETS))],
        "n_members": [Interval(Integral, 1, None, closed="left"), None],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "validation": [StrOptions({"random", "last"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "mlp_params": [dict, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }
    _error_name: str
    _plain = {"_validated": (tuple, lambda values: EncodedRows(*values))}

    @property
    @abstractmethod
    def _kind(self):
        """The kind of target, by which the recipes are chosen; known after y."""

    @abstractmethod
    def _validated_y(self, y, *, first):
        """Y as an array; the classifier learns its classes from the first one."""

    @abstractmethod
    def _strata(self, y):
        """Codes of classes to stratify by, or None."""

    @abstractmethod
    def _member(self, params):
        """A plain estimator with some parameters."""

    @abstractmethod
    def _output(self, member, x):
        """What is averaged over the members: probabilities or numbers."""

    @abstractmethod
    def _error(self, output, y, sample_weight):
        """Error of an averaged output, by which greedy selection picks."""

    @abstractmethod
    def _constant_output(self, y, sample_weight):
        """The best output that is the same for all rows."""

    @abstractmethod
    def _calibrate(self, output, y, sample_weight):
        """Learn from the averaged output for the validation rows."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train an ensemble on a table.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            A DataFrame of pandas or polars, a pyarrow Table, an array or a sparse
            matrix: numbers, categories, strings, booleans and dates, missing values
            among them. See `TabularPreprocessor`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows, in training and in validation.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group are either trained on or validated on.
        X_val : table like X, default=None
            Raw validation data, on which epochs are selected in place of a part of X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or numbers.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        ValueError
            For data that cannot be used. A model that was fitted before is then kept.
        """
        with restored_on_failure(self):
            data = ValidationData(X_val, y_val, sample_weight_val)
            self._fit(UserInput(X, y, sample_weight), groups, data)
        return self

    def _fit(self, user_input, groups, validation_data):
        X, y, sample_weight = user_input
        check_complete(validation_data)
        budget = Budget(self.max_time)
        generator = check_random_state(self.random_state)
        self._check_lengths(X, y, groups)
        encoder = TabularPreprocessor(self.categorical_features)
        data = self._encoded(encoder.fit_transform, X, y, sample_weight, first=True)
        self.preprocessor_ = encoder
        self._take_names(encoder)
        if data.sample_weight is not None and not np.all(data.sample_weight > 0):
            # Rows of weight zero are no rows, and bring no classes.
            positive = np.flatnonzero(data.sample_weight > 0)
            data = data.at(positive)
            self._validated_y(data.y, first=True)
            groups = None if groups is None else np.asarray(groups)[positive]
        held_out = self._held_out(validation_data)
        if held_out is None:
            held_out = data
            pairs = row_pairs(
                self,
                len(data.y),
                generator,
                strata=self._strata(data.y),
                groups=None if groups is None else column_or_1d(groups),
            )
        else:
            pairs = [(np.arange(len(data.y)), np.arange(len(held_out.y)))]
        embeds = not sparse.issparse(data.x) and data.x.shape[1] <= _MAX_EMBEDDED
        jobs = self._jobs(pairs, generator, embeds=embeds)
        jobs = budget.affordable(jobs, data, held_out, self._threads())
        callbacks = open_callbacks(
            self, user_input, "fit", n_tasks=len(jobs), in_order=False
        )
        self.members_ = train_members(
            jobs,
            data,
            held_out,
            self._threads(),
            verbose=self.verbose,
            callbacks=callbacks,
        )
        self._combine(jobs, held_out, has_folds=len(pairs) > 1)
        for member in self.members_:
            member.set_params(n_jobs=self.n_jobs)
        if callbacks is not None:
            callbacks.end()

    def _check_lengths(self, X, y, groups):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but "
                "the target y is None."
            )
        if groups is not None:
            check_consistent_length(y, groups)

    def _encoded(self, encode, X, y, sample_weight, *, first):
        """A table with its targets and weights, checked and encoded."""
        x, y = encode(X), self._validated_y(y, first=first)
        check_consistent_length(x, y)
        weights, _ = combine_weights(sample_weight, x, np.float64)
        return EncodedRows(x, y, weights)

    def _held_out(self, validation_data):
        """The user's validation data, encoded; None without."""
        X_val, y_val, weights = validation_data
        if X_val is None:
            return None
        encode = self.preprocessor_.transform
        return self._encoded(encode, X_val, y_val, weights, first=False)

    def _take_names(self, encoder):
        self.n_features_in_ = encoder.n_features_in_
        if hasattr(encoder, "feature_names_in_"):
            self.feature_names_in_ = encoder.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _jobs(self, pairs, generator, *, embeds):
        preset = PRESETS[self.preset]
        n_members = self.n_members
        if n_members is None:
            # Every fold is validated on as often as the others.
            rounds = max(1, round(preset.n_members / len(pairs)))
            n_members = preset.n_members if preset.varies else rounds * len(pairs)
        n_rows = len(pairs[0][0])
        recipe_list = recipes(preset, self._kind, n_members, n_rows, generator)
        if not embeds:
            recipe_list = [without_embedding(recipe) for recipe in recipe_list]
        given = {} if self.scoring is None else {"scoring": self.scoring}
        given |= self.mlp_params or {}
        return make_jobs(
            recipe_list,
            pairs,
            lambda params: self._member({**params, **given}),
            generator,
            crossed=preset.varies,
        )

    def _threads(self):
        return available_threads(self.n_jobs)

    def _combine(self, jobs, held_out, *, has_folds):
        """Weights of the members, and what the validation rows tell of the average."""
        outputs = [
            self._output(member, held_out.at(job.validation).x)
            for member, job in zip(self.members_, jobs, strict=True)
        ]
        self.validation_scores_ = -np.array(
            [
                self._error(output, *held_out.at(job.validation)[1:])
                for job, output in zip(jobs, outputs, strict=True)
            ]
        )
        # In turn on the folds, the networks have no rows in common to be compared on.
        are_comparable = PRESETS[self.preset].varies or not has_folds
        weights = np.ones(len(jobs))
        if are_comparable:
            weights = self._greedy_weights(jobs, outputs, held_out)
        self.member_weights_ = weights / weights.sum()
        parts = zip([job.validation for job in jobs], outputs, weights, strict=True)
        rows, mean = out_of_sample_mean(parts, len(held_out.y))
        validated = held_out.at(rows)
        self._warn_of_poor_fit(mean, validated)
        # A row that a single network validates on, as with folds in turn, says how sure
        # that one is of itself: too sure, as the mean over all is not.
        if are_comparable:
            self._calibrate(mean, validated.y, validated.sample_weight)
        self._validated = validated.at(slice(_MAX_IMPORTANCE_ROWS))

    def _warn_of_poor_fit(self, output, validated):
        """Warn if a constant is as good for the validation rows."""
        y, weights = validated.y, validated.sample_weight
        if np.all(y == y[0]):
            return
        constant = self._constant_output(y, weights)
        error = self._error(output, y, weights)
        limit = self._error(np.broadcast_to(constant, output.shape), y, weights)
        if error < limit:
            return
        warnings.warn(
            f"The ensemble is no better than a constant for the {len(y)} rows that it "
            f"was validated on: its {self._error_name} is {error:.4g}, that of the "
            f"best constant {limit:.4g}. The columns of X may say nothing about y, or "
            "there are too few rows.",
            PoorFitWarning,
            stacklevel=user_stacklevel(),
        )

    def _greedy_weights(self, jobs, outputs, held_out):
        """Weights of the jobs by greedy selection among their recipes."""
        recipe_of = np.array([job.recipe for job in jobs])
        means = []
        for recipe in range(recipe_of.max() + 1):
            parts = [
                (jobs[i].validation, outputs[i], 1.0)
                for i in np.flatnonzero(recipe_of == recipe)
            ]
            rows, mean = out_of_sample_mean(parts, len(held_out.y))
            means.append(mean)
        validated = held_out.at(rows)

        def error(output):
            return self._error(output, validated.y, validated.sample_weight)

        return greedy_weights(means, error, _MAX_PICKS)[recipe_of]

    def _averaged(self, X):
        """Weighted mean of the members' outputs for a table."""
        check_is_fitted(self)
        return self._averaged_encoded(self.preprocessor_.transform(X))

    def _averaged_encoded(self, x):
        used = np.flatnonzero(self.member_weights_)
        return sum(
            self.member_weights_[i] * self._output(self.members_[i], x) for i in used
        )

    @property
    def feature_importances_(self):
        """Permutation importances of the features, on validation rows.

        Increase of the error that selects epochs when the values of a feature are
        shuffled among at most 1,000 validation rows (Breiman, 2001), computed at each
        access.

        Returns
        -------
        ndarray of shape (`n_features_in_`,)
        """
        check_is_fitted(self)
        return permutation_importances(self)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "members_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
