"""The classifier for tables."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from scipy.special import logit
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from skmlp.estimators import MLPClassifier
from skmlp.estimators import annotations as typed
from skmlp.estimators.data_advice import check_y
from skmlp.estimators.log_odds import log_odds
from skmlp.tabular.base import BaseTabularMLP
from skmlp.tabular.combination import (
    fitted_temperature,
    log_loss_of_few_rows,
    with_temperature,
)
from skmlp.tabular.docs import with_tabular_docs

_MULTILABEL = "multilabel-indicator"


@with_tabular_docs
class TabularMLPClassifier(ClassifierMixin, BaseTabularMLP):
    """Ensemble of multi-layer perceptrons for the classification of tables.

    Takes a raw table: numbers, categories, strings, dates, missing values. Members
    are narrow networks with a recipe close to RealMLP's [1]_, trained side by side, one
    thread each; their probabilities are averaged and, where that helps, calibrated by a
    temperature [2]_.

    Parameters
    ----------
    {parameters}
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes, as in `MLPClassifier`. Validation rows have none.
    calibrate : bool, default=True
        Whether to divide the logarithms of the averaged probabilities by the
        temperature that makes their log-loss on the validation rows least. The
        predicted classes stay the same. Not for several labels a row, and not where
        folds validate: there no row is validated on by the whole average.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    temperature_ : float
    {attributes}

    See Also
    --------
    MLPClassifier : One network, with scikit-learn's defaults.

    References
    ----------
    {references}

    Examples
    --------
    >>> import pandas as pd
    >>> from skmlp import TabularMLPClassifier
    >>> X = pd.DataFrame({{
    ...     "petals": [1.4, 4.7, None, 1.3, 4.5, 5.1] * 20,
    ...     "color": ["white", "blue", "blue", "white", None, "blue"] * 20,
    ... }})
    >>> y = ["setosa", "other", "other", "setosa", "other", "other"] * 20
    >>> model = TabularMLPClassifier("fast", random_state=0).fit(X, y)
    >>> model.predict(X.head(3)).tolist()
    ['setosa', 'other', 'other']
    """

    _parameter_constraints: dict = {
        **BaseTabularMLP._parameter_constraints,
        "scoring": [str, callable, None],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "calibrate": ["boolean"],
    }
    _error_name = "log-loss"

    def __init__(
        self,
        preset: str = "default",
        *,
        n_members: int | None = None,
        scoring: typed.Scoring | None = None,
        categorical_features: typed.Columns | None = "from_dtype",
        validation: Literal["random", "last"] = "random",
        validation_fraction: float = 0.2,
        max_time: float | None = None,
        mlp_params: Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
        random_state: typed.RandomState | None = None,
        verbose: bool | int = False,
        class_weight: typed.ClassWeight | None = None,
        calibrate: bool = True,
    ) -> None:
        self.preset = preset
        self.n_members = n_members
        self.scoring = scoring
        self.categorical_features = categorical_features
        self.validation = validation
        self.validation_fraction = validation_fraction
        self.max_time = max_time
        self.mlp_params = mlp_params
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.class_weight = class_weight
        self.calibrate = calibrate

    def _validated_y(self, y, *, first):
        check_y(y, numeric=False)
        check_classification_targets(y)
        is_multilabel = type_of_target(y) == _MULTILABEL
        if is_multilabel:
            y = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
            classes = np.arange(y.shape[1])
        else:
            y = column_or_1d(y, warn=True)
            classes = np.unique(y)
        if first:
            self.temperature_ = 1.0
            self.classes_, self._is_multilabel = classes, is_multilabel
        return y

    def _strata(self, y):
        return None if y.ndim == 2 else np.searchsorted(self.classes_, y)

    @property
    def _kind(self):
        # Each label of several is one of two classes.
        is_binary = self._is_multilabel or len(self.classes_) <= 2
        return "binary" if is_binary else "multiclass"

    def _member(self, params):
        settings = {"class_weight": self.class_weight}
        if self._is_multilabel:
            # Rows all of whose labels are right are too few to tell epochs apart.
            settings["scoring"] = "loss"
        return MLPClassifier(**{**settings, **params})

    def _output(self, member, x):
        return member.predict_proba(x)

    def _error(self, output, y, sample_weight):
        if y.ndim == 2:
            return -np.mean(np.log(np.maximum(np.where(y, output, 1 - output), 1e-12)))
        if len(self.classes_) == 1:
            return 0.0
        probabilities = output / output.sum(axis=1, keepdims=True)
        codes = np.searchsorted(self.classes_, y)
        return log_loss_of_few_rows(probabilities, codes, sample_weight)

    def _constant_output(self, y, sample_weight):
        is_class = y if y.ndim == 2 else y[:, np.newaxis] == self.classes_
        return np.average(is_class, axis=0, weights=sample_weight)

    def _calibrate(self, output, y, sample_weight):
        if self.calibrate and y.ndim == 1 and len(self.classes_) > 1:
            codes = np.searchsorted(self.classes_, y)
            self.temperature_ = fitted_temperature(output, codes, sample_weight)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; with several labels a row, of each label.
        """
        probabilities = np.asarray(self._averaged(X), dtype=np.float64)
        if self._is_multilabel:
            return probabilities
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return with_temperature(probabilities, self.temperature_)

    def decision_function(self, X: Any) -> Any:
        """Log-odds: of the second of two classes, else of each class against the rest.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            A column a label for several labels a row.
        """
        probabilities = np.maximum(self.predict_proba(X), np.finfo(np.float64).tiny)
        if self._is_multilabel:
            return logit(np.minimum(probabilities, 1 - np.finfo(np.float64).epsneg))
        if len(self.classes_) == 1:
            return np.zeros(len(probabilities))
        logarithms = np.log(probabilities)
        if len(self.classes_) == 2:
            return logarithms[:, 1] - logarithms[:, 0]
        return log_odds(logarithms)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X: Any) -> Any:
        """Class labels.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows, as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            An indicator matrix for several labels a row.
        """
        probabilities = self._averaged(X)
        if self._is_multilabel:
            return (probabilities > 0.5).astype(np.int64)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
