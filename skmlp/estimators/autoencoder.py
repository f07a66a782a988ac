"""The autoencoder: a network that learns to give back its input.

A regressor whose target is X. Everything about training is the base's; here are the
code, the way back from it, and the errors of the reconstruction.
"""

from numbers import Integral
from typing import Any, Self

from sklearn.base import _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from skmlp.estimators import annotations as typed
from skmlp.estimators.architecture import resolve_activations
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.data import (
    Sample,
    UserInput,
    as_supported,
    canonical_x,
    combine_weights,
    reject_masked,
    validated,
)
from skmlp.estimators.docs import with_shared_docs
from skmlp.estimators.parameters import LossNames, ordered, rule_parameters
from skmlp.estimators.rebuilt import Rebuilt
from skmlp.estimators.reconstruction import (
    Reconstruction,
    check_dense_size,
    check_range,
    code_layer,
    dense_rows,
    warn_of_unlearned_columns,
    warn_of_wide_code,
)
from skmlp.estimators.suggestions import names_arguments
from skmlp.estimators.validation import ValidationData, naming
from skmlp.rules.activations import ACTIVATIONS, IDENTITY, Activation
from skmlp.rules.loss_choice import LINKS, regression_loss
from skmlp.rules.loss_row import Loss
from skmlp.rules.losses import REGRESSION_LOSSES


@with_shared_docs
class MLPAutoencoder(Reconstruction, BaseMLP):
    """Autoencoder: a multi-layer perceptron that learns to give back its input.

    Between input and output stands the code, the narrowest hidden layer, from which all
    of X has to be told; so it keeps what the columns have in common (Hinton and
    Salakhutdinov, 2006). A transformer: `transform` gives the code, `inverse_transform`
    leads back from it, and `score_samples` says how well a row is reconstructed, which
    finds anomalies. No labels are needed. Scale X before, or the largest columns alone
    are learned.

    Parameters
    ----------
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(64, 8, 64)
        Units of each hidden layer, from the input to the output: those of the encoder,
        the code, those of the decoder. The code should be narrower than X.

    {regressor_loss}

    {parameters}

    code_activation : str, Activation or None, default='identity'
        Activation of the code. The identity does not cut it off at zero, as relu does.
        None for that of ``activation``, and no effect where that is a list, which has
        an activation for the code, too.

    layer : int or None, default=None
        Index of the hidden layer that is the code, which `transform` returns; negative
        indices count from the last one back. None for the first of the narrowest. For
        other layers call `hidden_activations`.

    {regressor_output}

    early_stopping : bool, default=False
        Whether to set ``validation_fraction`` of the rows aside, to stop when their
        reconstruction no longer improves, and to keep the best parameters. With
        ``X_val`` passed to ``fit`` nothing is set aside: its rows are reconstructed,
        also with 'lbfgs', which makes no split of its own.

    input_noise : float, default=0.0
        Standard deviation of the normal noise that is added to the input in training,
        anew in each epoch, while X without noise is to be given back: a denoising
        autoencoder (Vincent et al., 2008). Its code may be as wide as X. For dense X.

    {own_parameters}

    Attributes
    ----------
    {attributes}

    layer_ : int
        Index of the hidden layer that is the code, not negative.

    validation_scores_ : list of float or None
        With early stopping or ``X_val``, minus the loss of each epoch on the held-out
        rows.

    See Also
    --------
    HiddenFeatures : A hidden layer of a network that was trained with a target.

    Notes
    -----
    Of a sparse X the network reads the elements that are not zero. Its target is dense:
    a fit needs the memory of a dense X, ``partial_fit`` that of the rows passed to it.
    Targets of more than 2 GB are refused. `transform` and `score_samples` need no such
    memory.

    References
    ----------
    G. Hinton, R. Salakhutdinov (2006). Reducing the dimensionality of data with neural
    networks. Science 313.

    P. Vincent et al. (2008). Extracting and composing robust features with denoising
    autoencoders. ICML.

    {references}

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import MLPAutoencoder
    >>> X = load_digits().data / 16
    >>> model = MLPAutoencoder((32, 5, 32), loss="log_loss", max_iter=30,
    ...                        batch_size=50, n_iter_no_change=30, tol=0,
    ...                        learning_rate="one_cycle", learning_rate_init=0.01,
    ...                        random_state=0).fit(X)
    >>> code = model.transform(X)
    >>> code.shape
    (1797, 5)
    >>> model.inverse_transform(code).shape
    (1797, 64)
    >>> upside_down = X.reshape(-1, 8, 8)[:, ::-1].reshape(-1, 64)
    >>> bool(model.score_samples(X).mean() > model.score_samples(upside_down).mean())
    True
    """

    _loss_settings: Any = Rebuilt(lambda estimator: estimator._settings(), "coefs_")
    layer_: Any = Rebuilt(
        lambda estimator: code_layer(
            estimator.layer, [len(biases) for biases in estimator.intercepts_[:-1]]
        ),
        "coefs_",
    )
    _tables = (*BaseMLP._tables, REGRESSION_LOSSES)
    _parameter_constraints: dict = {
        **{k: v for k, v in BaseMLP._parameter_constraints.items() if k != "scoring"},
        "loss": [StrOptions(LossNames(REGRESSION_LOSSES)), Loss],
        "out_activation": [StrOptions(ordered("auto", IDENTITY, *LINKS))],
        "code_activation": [StrOptions(ACTIVATIONS.keys()), Activation, None],
        "layer": [Integral, None],
    }
    _nothing_to_learn = "The code may be too narrow, or columns have little in common"
    # Held-out rows are scored by their loss: there is no other truth than X.
    scoring = "loss"

    def __init__(
        self,
        hidden_layer_sizes: typed.Layers = (64, 8, 64),
        activation: typed.Activations = "relu",
        *,
        loss: typed.LossLike = "squared_error",
        code_activation: typed.ActivationLike | None = "identity",
        layer: int | None = None,
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
        weight_init: typed.WeightInit = "auto",
        fit_intercept: bool = True,
        dropout: typed.Rates = 0.0,
        input_noise: float = 0.0,
        normalization: typed.Normalization | None = None,
        weight_decay: float = 0.0,
        max_norm: float | None = None,
        max_grad_norm: float | None = None,
        warmup_epochs: float = 0.0,
        weight_decay_schedule: str = "constant",
        dropout_schedule: str = "constant",
        learning_rate_factors: typed.Factors | None = None,
        bias_learning_rate_factor: float = 1.0,
        best_epoch: typed.BestEpoch = "first",
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

    @names_arguments
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Learn to reconstruct X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 stays float32, all else becomes float64, unless
            ``dtype`` says otherwise. A C-contiguous array of the right dtype is not
            copied, neither as input nor as target.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Rows of weight zero are ignored.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data: the loss of their reconstruction is recorded every epoch.
            With ``early_stopping`` they replace the split.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        ValueError
            For data or weights that cannot be used, for a sparse X whose dense target
            would be too large, and when the training diverges. The estimator is then
            unchanged.
        """
        return self._fit_to(X, sample_weight, X_val, sample_weight_val, False)

    @available_if(lambda estimator: estimator._check_solver())
    @names_arguments
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train for one more epoch on the given rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Rows of weight zero take no part.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data: the loss of their reconstruction is recorded.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        ValueError
            As `fit`. The estimator is then as it was before.
        """
        return self._fit_to(X, sample_weight, X_val, sample_weight_val, True)

    def _fit_to(self, X, sample_weight, X_val, sample_weight_val, incremental):
        user_input = UserInput(X, None, sample_weight)
        callbacks = None if incremental else self._open_callbacks(user_input)
        with self._unchanged_on_failure():
            # The target of a row is the row.
            data = ValidationData(X_val, X_val, sample_weight_val)
            return self._fit(
                user_input, data, incremental=incremental, callbacks=callbacks
            )

    @available_if(lambda estimator: estimator._check_resumable())
    def resume(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        max_iter: Any = None,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Go on with the last ``fit`` as if it had not ended.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The training data of ``fit``.
        y : Ignored
            For pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.
        max_iter : int, default=None
            Epochs in all, those of ``fit`` included. None for the parameter
            ``max_iter``.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            The validation data of ``fit``, if it had any.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator, see `MLPRegressor.resume`.
        """
        return super().resume(
            X,
            None,
            sample_weight,
            max_iter=max_iter,
            X_val=X_val,
            y_val=X_val,
            sample_weight_val=sample_weight_val,
        )

    def _validate(self, user_input, *, first, incremental=False):
        dtype = self._allowed_dtypes(first)
        return self._sample(user_input, dtype=dtype, reset=first)

    def _sample(self, user_input, *, dtype, reset):
        """Rows as a `Sample` whose targets are the rows."""
        X, _, sample_weight = user_input
        reject_masked(X=X, sample_weight=sample_weight)
        X = validated(self, X, dtype=dtype, reset=reset)
        x = canonical_x(X, X.dtype)
        check_dense_size(x, "The target")
        targets = dense_rows(x)
        check_range(self, self._loss(), targets)
        weights, row_ids = combine_weights(sample_weight, X, X.dtype)
        return Sample(x, targets, targets, weights, row_ids)

    def _held_out(self, validation_data, sample):
        X_val, _, weights = as_supported(
            self.device, validation_data._replace(y_val=None)
        )
        if X_val is None:
            return None
        with naming("X_val"):
            user_input = UserInput(X_val, None, weights)
            held_out = self._sample(user_input, dtype=sample.x.dtype, reset=False)
        if len(held_out.row_ids) < 2:
            raise ValueError("X_val must have at least two rows of positive weight.")
        return held_out

    def _layer_activations(self, sizes):
        activations = resolve_activations(self.activation, len(sizes))
        layer = code_layer(self.layer, sizes)
        if self.code_activation is None or not self._has_one_activation():
            return activations
        (own,) = resolve_activations(self.code_activation, 1)
        return (*activations[:layer], own, *activations[layer + 1 :])

    def _has_one_activation(self):
        return isinstance(self.activation, str | Activation)

    def _loss(self):
        """The row of the loss, from the parameters."""
        return regression_loss(self.loss, self.out_activation, self)

    def _head(self, targets):
        loss, columns = self._loss(), targets.shape[1]
        params = loss.loss_params(self, columns)
        return loss.n_outputs(columns, params), loss, params

    def _validate_y(self, y, info=None, *, first, incremental=False):
        return y

    def _targets(self, y, dtype):
        return y

    def _stratify(self, targets):
        return None

    def _validation_score(self, raw, outputs, targets, weights):
        raise AssertionError("Held-out rows are scored by their loss.")

    def _train(self, fit):
        layer = code_layer(self.layer, fit.network.sizes[1:-1])
        if not fit.resumes:
            warn_of_wide_code(self, fit.network, layer)
        result, problem, layers = super()._train(fit)
        if not fit.incremental:
            params = result.outcome.params
            warn_of_unlearned_columns(self, problem, params, fit.target.backend)
        return result, problem, layers

    def _publish(self, network, params):
        super()._publish(network, params)
        # Fixed by the fit, whatever the parameters are set to afterwards.
        self.layer_ = code_layer(self.layer, network.sizes[1:-1])
        self._loss_settings = self._settings()

    def _settings(self):
        """The parameters by which the loss was chosen."""
        names = ("loss", "out_activation", *rule_parameters(self._tables))
        return {name: getattr(self, name) for name in names}
