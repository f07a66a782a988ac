"""The regressor: numbers in, numbers out."""

from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from skmlp.estimators.base import BaseMLP
from skmlp.estimators.docs import with_shared_docs
from skmlp.estimators.gpu_arrays import answers_in_kind, prepared
from skmlp.estimators.parameters import LossNames
from skmlp.estimators.validation import Given
from skmlp.rules.checks import check_loss
from skmlp.rules.coupled import SMALLEST_VARIANCE
from skmlp.rules.losses import (
    LINKS,
    QUANTILES,
    REGRESSION_LOSSES,
    Loss,
    regression_loss,
)


@with_shared_docs
class MLPRegressor(RegressorMixin, BaseMLP):
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

    {own_parameters}

    Attributes
    ----------
    {attributes}

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

    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(LossNames(REGRESSION_LOSSES)), Loss],
        "out_activation": [StrOptions({"auto", "identity", *LINKS})],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "delta": [Interval(Real, 0, None, closed="neither")],
        "power": [Interval(Real, 1, 2, closed="neither")],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        out_activation="auto",
        quantile=0.5,
        delta=1.0,
        power=1.5,
        weight_init="auto",
        fit_intercept=True,
        dropout=0.0,
        input_noise=0.0,
        normalization=None,
        weight_decay=0.0,
        max_norm=None,
        max_grad_norm=None,
        rho=0.9,
        warmup_epochs=0.0,
        decay_factor=0.1,
        decay_epochs=10,
        plateau_patience=10,
        scoring=None,
        max_time=None,
        n_jobs=None,
        device="cpu",
        dtype=None,
        matmul_precision="highest",
    ):
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            out_activation=out_activation,
            quantile=quantile,
            delta=delta,
            power=power,
            weight_init=weight_init,
            fit_intercept=fit_intercept,
            dropout=dropout,
            input_noise=input_noise,
            normalization=normalization,
            weight_decay=weight_decay,
            max_norm=max_norm,
            max_grad_norm=max_grad_norm,
            rho=rho,
            warmup_epochs=warmup_epochs,
            decay_factor=decay_factor,
            decay_epochs=decay_epochs,
            plateau_patience=plateau_patience,
            scoring=scoring,
            max_time=max_time,
            n_jobs=n_jobs,
            device=device,
            dtype=dtype,
            matmul_precision=matmul_precision,
            loss=loss,
        )

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train for one more epoch on the given data.

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
            given = Given(X_val, y_val, sample_weight_val)
            return self._fit(X, y, sample_weight, given, incremental=True)

    def _validate_y(self, y, first):
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y

    def _check_range(self, y):
        """Refuse targets that the loss's distribution cannot have.

        They are those in the precision of the training: a tiny one may be zero there.
        """
        loss = self._loss()
        above = loss.low <= y if loss.closed else loss.low < y
        if np.all(above & (y <= loss.high)):
            return
        needed = f"y {'>=' if loss.closed else '>'} {loss.low:g}"
        found = f"the smallest y is {np.min(y)}"
        if np.isfinite(loss.high):
            needed += f" and y <= {loss.high:g}"
            found += f" and the largest {np.max(y)}"
        own = self.out_activation == "auto"
        output = "" if own else f" with out_activation={self.out_activation!r}"
        raise ValueError(f"loss={loss.name!r}{output} needs {needed}, but {found}.")

    def _loss(self):
        """The row of the loss, from the parameters."""
        if isinstance(self.loss, Loss):
            check_loss(self.loss)
        if self.loss == "quantile" and np.iterable(self.quantile):
            if self.out_activation not in ("auto", "identity"):
                raise ValueError(
                    f"out_activation={self.out_activation!r} does not go with several "
                    "quantiles: use 'identity' or 'auto'."
                )
            return QUANTILES
        return regression_loss(self.loss, self.out_activation)

    def _targets(self, y, dtype):
        targets = np.ascontiguousarray(y.reshape(len(y), -1), dtype=dtype)
        self._check_range(targets)
        return targets

    def _head(self, targets):
        loss = self._loss()
        columns = targets.shape[1]
        if loss is QUANTILES:
            levels = self._levels(columns)
            return len(levels), loss, levels
        parameter = getattr(self, loss.parameter) if loss.parameter else 0.0
        if np.iterable(parameter):
            raise ValueError(f"{loss.parameter} must be one number for this loss.")
        return columns * loss.outputs_per_target, loss, (float(parameter),)

    def _levels(self, columns):
        """Several quantiles, from the parameter ``quantile``."""
        levels = np.asarray(self.quantile)
        if (
            levels.dtype.kind not in "fiu"
            or levels.ndim != 1
            or len(levels) == 0
            or not np.all(np.diff(levels) > 0)
        ):
            raise ValueError(
                "quantile must be one number or an ascending list, got "
                f"{self.quantile!r}."
            )
        if not np.all((levels > 0) & (levels < 1)):
            raise ValueError(f"quantile must be in (0, 1), got {self.quantile}.")
        if columns != 1:
            raise ValueError(
                f"several quantiles need a single target, but y has {columns} columns."
            )
        return tuple(levels.tolist())

    def _stratify(self, targets):
        return None

    def _validation_score(self, outputs, targets, weights):
        if not np.isfinite(outputs).all():
            return np.nan
        per_target = self._loss().outputs_per_target
        levels = self._levels(1) if per_target == 0 else None
        return _score(targets, _decoded(outputs, per_target), weights, levels)

    def _publish(self, network, parameters):
        super()._publish(network, parameters)
        # What the outputs mean stays, whatever the parameters are set to afterwards.
        self._outputs_per_target = network.loss.outputs_per_target
        self._quantiles = network.loss_parameters if network.loss is QUANTILES else None

    def score(self, X, y, sample_weight=None):
        """Coefficient of determination R² of the predictions.

        For several quantiles, the mean over them of the share of the pinball loss
        that the predictions explain (`sklearn.metrics.d2_pinball_score`).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            One at best.
        """
        X, y, sample_weight = prepared(self.device, X, y, sample_weight)
        predicted = self.predict(X)
        return _score(y, predicted, sample_weight, self._quantiles)

    @answers_in_kind
    def predict(self, X, return_std=False):
        """Predict target values.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        return_std : bool, default=False
            Whether to return the standard deviations, too; with
            ``loss='gaussian_nll'`` only.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            With several quantiles a column for each.
        std : ndarray like y
            With ``return_std=True``.

        Raises
        ------
        ValueError
            If `return_std` is asked for of another loss.
        """
        outputs = self._outputs(X)
        predicted = _decoded(outputs, self._outputs_per_target)
        predicted = predicted.ravel() if predicted.shape[1] == 1 else predicted
        if not return_std:
            return predicted
        if self._outputs_per_target != 2:
            raise ValueError(
                "return_std=True needs a model that was trained with "
                "loss='gaussian_nll'."
            )
        raw = outputs[:, outputs.shape[1] // 2 :].reshape(predicted.shape)
        return predicted, np.sqrt(np.logaddexp(0, raw) + SMALLEST_VARIANCE)


def _decoded(outputs, per_target):
    """Predictions from a network's outputs, of which a target may have several."""
    if per_target == 0:
        steps = np.logaddexp(0, outputs[:, 1:])
        return np.cumsum(np.hstack([outputs[:, :1], steps]), axis=1)
    return outputs[:, : outputs.shape[1] // per_target]


def _score(y, predicted, weights, levels):
    """R², or for several quantiles the mean D² of their pinball losses."""
    if levels is None:
        return r2_score(y, predicted, sample_weight=weights)
    columns = predicted.reshape(-1, len(levels)).T
    scores = [
        d2_pinball_score(y, column, sample_weight=weights, alpha=level)
        for level, column in zip(levels, columns, strict=True)
    ]
    return float(np.mean(scores))
