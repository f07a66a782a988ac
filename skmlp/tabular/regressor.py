"""The regressor for tables."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _check_y, check_is_fitted

from skmlp.estimators import MLPRegressor
from skmlp.estimators import annotations as typed
from skmlp.estimators.data_advice import check_y
from skmlp.estimators.regression_score import regression_score
from skmlp.tabular.base import BaseTabularMLP
from skmlp.tabular.docs import with_tabular_docs


@with_tabular_docs
class TabularMLPRegressor(RegressorMixin, BaseTabularMLP):
    """Ensemble of multi-layer perceptrons for regression on tables.

    Takes a raw table: numbers, categories, strings, dates, missing values. Members
    are narrow networks with a recipe close to RealMLP's [1]_, trained side by side, one
    thread each, on a standardized target. Their predictions are averaged in y's units.

    Parameters
    ----------
    {parameters}
    loss : str or Loss, default='squared_error'
        As in `MLPRegressor`; its parameters, as ``quantile``, go into ``mlp_params``.
    clip : bool, default=True
        Whether predictions stay within the range of y in training.

    Attributes
    ----------
    {attributes}

    See Also
    --------
    MLPRegressor : One network, with scikit-learn's defaults.

    References
    ----------
    {references}

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp import TabularMLPRegressor
    >>> X = np.linspace(0, 6, 200).reshape(-1, 1)
    >>> y = 1000 * np.sin(X).ravel()
    >>> model = TabularMLPRegressor("fast", random_state=0).fit(X, y)
    >>> round(model.score(X, y), 1)
    1.0
    """

    _parameter_constraints: dict = {
        **BaseTabularMLP._parameter_constraints,
        "scoring": [str, callable, None],
        "loss": MLPRegressor._parameter_constraints["loss"],
        "clip": ["boolean"],
    }
    _kind = "regression"
    _error_name = "unexplained part of y"

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
        loss: typed.LossLike = "squared_error",
        clip: bool = True,
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
        self.loss = loss
        self.clip = clip

    def _validated_y(self, y, *, first):
        check_y(y, numeric=True)
        y = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        if first:
            self._limits = y.min(axis=0), y.max(axis=0)
        return y.astype(np.float64)

    def _strata(self, y):
        return None

    def _member(self, params):
        settings = {"loss": self.loss, "scale_target": True}
        return MLPRegressor(**{**settings, **params})

    def _output(self, member, x):
        return member.predict(x)

    def _error(self, output, y, sample_weight):
        return 1 - regression_score(y, output, sample_weight, self._levels())

    def _levels(self):
        """The quantiles that are predicted, if there are several."""
        return self.members_[0]._decoder.levels

    def _constant_output(self, y, sample_weight):
        levels = self._levels()
        if levels is None:
            return np.average(y, axis=0, weights=sample_weight)
        return np.quantile(y, levels)

    def _calibrate(self, output, y, sample_weight):
        """Nothing: means are not calibrated."""

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predictions in the units of y.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows, as in `fit`.
        return_std : bool, default=False
            Whether to return standard deviations, too: those of the mixture of the
            members' normal distributions. Only for losses that learn them, as
            ``loss='gaussian_nll'``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            With several quantiles a column for each.
        std : ndarray like y
            With ``return_std=True``.

        Raises
        ------
        ValueError
            If `return_std` is set and the loss has no standard deviations.
        """
        check_is_fitted(self)
        x = self.preprocessor_.transform(X)
        if not return_std:
            return self._clipped(self._averaged_encoded(x))
        pairs = [member.predict(x, return_std=True) for member in self.members_]
        means, deviations = np.asarray(pairs).swapaxes(0, 1)
        mean = np.tensordot(self.member_weights_, means, axes=1)
        squares = deviations**2 + (means - mean) ** 2
        variance = np.tensordot(self.member_weights_, squares, axes=1)
        return self._clipped(mean), np.sqrt(variance)

    def _clipped(self, predicted):
        """Predictions within the range of y in training, unless ``clip=False``."""
        if not self.clip:
            return predicted
        low, high = (np.reshape(limit, (-1, 1)) for limit in self._limits)
        # Quantiles of one target are neighbors.
        by_target = predicted.reshape(len(predicted), len(low), -1)
        return np.clip(by_target, low, high).reshape(predicted.shape)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², or for several quantiles the mean D² of their pinball losses.

        Parameters
        ----------
        X : table of shape (n_samples, n_features)
            Rows, as in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            One at best.
        """
        y = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        return regression_score(y, self.predict(X), sample_weight, self._levels())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
