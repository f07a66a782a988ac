"""The regressor: its constructor, targets, loss and predictions."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from skmlp.estimators import annotations as typed
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.chunk_fitting import ChunkFitting
from skmlp.estimators.data import UserInput, as_supported, combine_weights
from skmlp.estimators.data_advice import as_column
from skmlp.estimators.docs import with_shared_docs
from skmlp.estimators.exchange import ToScikitLearn
from skmlp.estimators.gpu_arrays import returns_like_input
from skmlp.estimators.parameters import LossNames, ordered
from skmlp.estimators.rebuilt import Rebuilt, decoder_of
from skmlp.estimators.regression_score import regression_score
from skmlp.estimators.suggestions import names_arguments
from skmlp.estimators.target_names import NO_INFO
from skmlp.estimators.target_scaling import (
    TargetScale,
    check_same_scaling,
    fitted_scale,
    is_centered,
    warn_of_unknown_scale,
)
from skmlp.estimators.validation import ValidationData
from skmlp.rules.activations import IDENTITY
from skmlp.rules.loss_choice import LINKS, regression_loss
from skmlp.rules.loss_row import Loss
from skmlp.rules.losses import REGRESSION_LOSSES


@with_shared_docs
class MLPRegressor(RegressorMixin, ToScikitLearn, ChunkFitting, BaseMLP):
    """Multi-layer perceptron regressor, trained by compiled kernels.

    Minimizes the squared error, or another loss, by stochastic gradient descent, its
    relatives or L-BFGS. Parameters, attributes and, for a given ``random_state`` in
    float64, the fitted network are those of `sklearn.neural_network.MLPRegressor`;
    the differences are listed in ``docs/differences.md``.

    Parameters
    ----------
    {regressor_loss}

    {parameters}

    {regressor_output}

    scale_target : bool, default=False
        Whether to train on y scaled, target by target, by its weighted mean and
        standard deviation, or by its mean alone where outputs cannot be negative
        (``loss='poisson'``, ``out_activation='softplus'``, ...). Outputs with other
        bounds refuse it. All that goes in and out, as ``y_val``, predictions and
        scores, stays in the units of y; losses, weights and the parameters of the
        loss, as ``delta``, are those of the scaled target. A constant target is not
        divided. The scale is that of the first call of ``partial_fit``, and with
        ``warm_start`` of the first ``fit``. A model in float32 then predicts float64.

    {own_parameters}

    Attributes
    ----------
    {attributes}

    target_mean_ : ndarray of shape (n_targets,) or None
        With ``scale_target`` what is subtracted from each target: its mean, or 0 where
        outputs cannot be negative.

    target_scale_ : ndarray of shape (n_targets,) or None
        With ``scale_target`` what each target is then divided by: ``scaled = (y -
        target_mean_) / target_scale_``.

    See Also
    --------
    MLPClassifier : Multi-layer perceptron classifier.

    References
    ----------
    {references}

    Examples
    --------
    >>> from skmlp import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y,
    ...                                                     random_state=1)
    >>> regr = MLPRegressor(random_state=1, max_iter=2000, tol=0.1)
    >>> regr.fit(X_train, y_train)
    MLPRegressor(max_iter=2000, random_state=1, tol=0.1)
    >>> regr.score(X_test, y_test)
    0.98...
    """

    _decoder: Any = Rebuilt(decoder_of, "coefs_")
    _tables = (*BaseMLP._tables, REGRESSION_LOSSES)
    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(LossNames(REGRESSION_LOSSES)), Loss],
        "out_activation": [StrOptions(ordered("auto", IDENTITY, *LINKS))],
        "scale_target": ["boolean"],
    }

    def __init__(
        self,
        loss: typed.LossLike = "squared_error",
        hidden_layer_sizes: typed.Layers = (100,),
        activation: typed.Activations = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: typed.BatchSize = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: typed.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        out_activation: str = "auto",
        quantile: typed.Rates = 0.5,
        delta: float = 1.0,
        power: float = 1.5,
        scale_target: bool = False,
        weight_init: typed.WeightInit = "auto",
        fit_intercept: bool = True,
        dropout: typed.Rates = 0.0,
        input_noise: float = 0.0,
        normalization: typed.Normalization | None = None,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
        max_grad_norm: float | None = None,
        rho: float = 0.9,
        warmup_epochs: float = 0.0,
        decay_factor: float = 0.1,
        decay_epochs: int = 10,
        plateau_patience: int = 10,
        weight_decay_schedule: str = "constant",
        dropout_schedule: str = "constant",
        learning_rate_factors: typed.Factors | None = None,
        bias_learning_rate_factor: float = 1.0,
        best_epoch: typed.BestEpoch = "first",
        scoring: typed.Scoring | None = None,
        sampling: typed.Sampling | None = None,
        max_time: float | None = None,
        n_jobs: int | None = None,
        device: str = "cpu",
        dtype: typed.Dtype | None = None,
        matmul_precision: typed.MatmulPrecision = "highest",
        embedding: typed.Embedding | None = None,
        n_bins: int = 16,
        embedding_dim: int = 4,
        embedding_learning_rate_factor: float = 1.0,
        **rule_parameters: Any,
    ) -> None:
        self._store(locals())

    @available_if(lambda estimator: estimator._check_solver())
    @names_arguments
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train for one more epoch on the given data.

        To go on with ``fit`` on the same data, for several epochs and in the order in
        which ``fit`` would have shuffled them, call ``resume``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Rows of weight zero take no part.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data: loss and score on them are recorded. The training never
            stops by itself: ``no_improvement_count_`` counts over the calls, by the
            score with ``early_stopping``, which keeps the best parameters, too.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their target values.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

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
            user_input = UserInput(X, y, sample_weight)
            data = ValidationData(X_val, y_val, sample_weight_val)
            return self._fit(user_input, data, incremental=True)

    def _validate_y(self, y, info=NO_INFO, *, first, incremental=False):
        if y.ndim == 2 and y.shape[1] == 1:
            y = as_column(y)
        return y

    def _check_range(self, targets):
        """Refuse targets outside of the range of the loss's distribution.

        The targets are in the precision of the training, where a tiny one may be zero.
        A scale is positive and keeps the range, which is said in y's units.
        """
        loss = self._loss()
        above = loss.low <= targets if loss.closed else loss.low < targets
        if np.all(above & (targets <= loss.high)):
            return
        y = self._target_scale().unscaled(targets)
        needed = f"y {'>=' if loss.closed else '>'} {loss.low:g}"
        actual = f"the smallest y is {np.min(y)}"
        if np.isfinite(loss.high):
            needed += f" and y <= {loss.high:g}"
            actual += f" and the largest {np.max(y)}"
        output = ""
        if self.out_activation != "auto":
            output = f" with out_activation={self.out_activation!r}"
        raise ValueError(f"loss={loss.name!r}{output} needs {needed}, but {actual}.")

    def _loss(self):
        """The row of the loss, from the parameters."""
        return regression_loss(self.loss, self.out_activation, self)

    def _fit_target_scale(self, X, y, sample_weight, incremental):
        scale = TargetScale(None, None)
        if self.scale_target:
            y = y.reshape(len(y), -1)
            weights = combine_weights(sample_weight, X, X.dtype)
            scale = fitted_scale(y, *weights, is_centered=is_centered(self._loss()))
            if incremental:
                warn_of_unknown_scale(scale, y)
        self.target_mean_, self.target_scale_ = scale

    def _check_target_scale(self):
        check_same_scaling(self.scale_target, self._loss(), self._target_scale())

    def _target_scale(self):
        """The fitted scale, whatever the parameter is set to afterwards."""
        # A model that the user has put together may have none.
        scale = vars(self).get("target_scale_")
        return TargetScale(None if scale is None else self.target_mean_, scale)

    def _targets(self, y, dtype):
        scaled = self._target_scale().scaled(y.reshape(len(y), -1))
        targets = np.ascontiguousarray(scaled, dtype=dtype)
        self._check_range(targets)
        return targets

    def _head(self, targets):
        loss, columns = self._loss(), targets.shape[1]
        params = loss.loss_params(self, columns)
        return loss.n_outputs(columns, params), loss, params

    def _stratify(self, targets):
        return None

    def _validation_score(self, raw, outputs, targets, weights):
        if not np.isfinite(outputs).all():
            return np.nan
        _, loss, params = self._head(targets)
        decoder = loss.decoder(params)
        return regression_score(
            targets, decoder.prediction(outputs), weights, decoder.levels
        )

    def _publish(self, network, params):
        super()._publish(network, params)
        # Fixed by the fit, whatever the parameters are set to afterwards.
        self._decoder = network.loss.decoder(network.loss_params)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Coefficient of determination R² of the predictions.

        For several quantiles, the mean over them of the fraction of the pinball loss
        that the predictions explain (`sklearn.metrics.d2_pinball_score`).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            True targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            One at best.
        """
        X, y, sample_weight = as_supported(self.device, UserInput(X, y, sample_weight))
        predicted = self.predict(X)
        return regression_score(y, predicted, sample_weight, self._decoder.levels)

    @returns_like_input
    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict target values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the standard deviations, too; only for losses that
            learn them, as ``loss='gaussian_nll'``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            With several quantiles a column for each.
        std : ndarray like y
            With ``return_std=True``.

        Raises
        ------
        ValueError
            If `return_std` is set and the loss has no standard deviations.

        Examples
        --------
        >>> from skmlp import MLPRegressor
        >>> from sklearn.datasets import load_diabetes
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = MLPRegressor("gaussian_nll", activation="tanh", scale_target=True,
        ...                      learning_rate="cosine", random_state=0)
        >>> mean, std = model.fit(X, y).predict(X, return_std=True)
        >>> bool((std > 0).all())
        True
        """
        outputs = self._outputs(X)
        scale = self._target_scale()
        predicted = _as_column(scale.unscaled(self._decoder.prediction(outputs)))
        if not return_std:
            return predicted
        if self._decoder.std is None:
            names = [row.name for row in REGRESSION_LOSSES.values() if row.std]
            raise ValueError(
                "return_std=True needs a model that was trained with loss="
                f"{' or '.join(map(repr, names))}."
            )
        std = scale.unscaled_spread(self._decoder.standard_deviation(outputs))
        return predicted, _as_column(std)


def _as_column(values):
    """A vector of the values for a single target."""
    return values.ravel() if values.shape[1] == 1 else values
