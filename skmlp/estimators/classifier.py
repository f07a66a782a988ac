"""The classifier: its constructor, targets, loss and predictions."""

from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from skmlp.estimators import annotations as typed
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.chunk_fitting import ChunkFitting
from skmlp.estimators.class_priors import (
    DECISIONS,
    PROBABILITIES,
    check_whole_data,
    class_sums,
    prepare_priors,
    shifted,
)
from skmlp.estimators.class_weights import check_declared, is_balanced
from skmlp.estimators.data import UserInput, as_supported
from skmlp.estimators.data_advice import check_y
from skmlp.estimators.docs import with_shared_docs
from skmlp.estimators.exchange import ToScikitLearn
from skmlp.estimators.gpu_arrays import returns_like_input
from skmlp.estimators.parameters import LossNames, ordered
from skmlp.estimators.rebuilt import Rebuilt, labels_of_classes
from skmlp.estimators.suggestions import names_arguments
from skmlp.estimators.target_kinds import (
    canonical_labels,
    declared_labels,
    is_first_call,
    labels_of,
)
from skmlp.estimators.target_names import NO_INFO
from skmlp.estimators.validation import ValidationData
from skmlp.rules.activations import IDENTITY
from skmlp.rules.loss_choice import CLASSIFIER_OUTPUTS, is_ordered
from skmlp.rules.loss_row import Loss
from skmlp.rules.losses import BINARY_LOSSES, MULTICLASS_LOSSES


@with_shared_docs
class MLPClassifier(ClassifierMixin, ToScikitLearn, ChunkFitting, BaseMLP):
    """Multi-layer perceptron classifier, trained by compiled kernels.

    Minimizes the log-loss, or another loss, by stochastic gradient descent, its
    relatives or L-BFGS. Parameters, attributes and, for a given ``random_state`` in
    float64, the fitted network are those of `sklearn.neural_network.MLPClassifier`;
    the differences are listed in ``docs/differences.md``.

    Parameters
    ----------
    {parameters}

    {classifier_loss}

    class_weight : dict, 'balanced' or list of dicts, default=None
        Weights of the classes, which multiply ``sample_weight``. A dict has weights
        by label; classes that it leaves out weigh one, and the data of a call need
        not have all classes that it names. 'balanced' weighs a class by
        ``n_samples / (n_classes * n_samples_of_the_class)``. For a target of several
        columns a list has a dict, 'balanced' or None a column, and a sample's weight
        is the product over them; 'balanced' alone is for all columns.

    {class_priors}

    {classifier_output}

    {own_parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or list of ndarray
        Class labels, sorted. For several columns of classes a list with those of each
        column, for a multilabel target the numbers of the columns.

    label_names_ : ndarray of str of shape (n_columns,)
        Names of y's columns, where y is a DataFrame of several whose names are strings.

    class_order_ : ndarray of shape (n_classes,)
        With ``loss='ordinal'`` and more than two classes these from the lowest to the
        highest. Columns of probabilities are in the order of ``classes_`` all the same,
        as scikit-learn's metrics expect.

    class_shares_ : ndarray of shape (n_classes,) or None
        With ``logit_adjustment`` or ``prior`` the weighted share of each class, or of
        the rows that have each label, among the rows that the last call trained on.

    {attributes}

    See Also
    --------
    MLPRegressor : Multi-layer perceptron regressor.

    Notes
    -----
    Minibatches are weighted without bias: a batch's loss is divided by the number of
    its rows times the mean weight of the training set, not by the batch's own sum of
    weights.

    References
    ----------
    {references}

    Examples
    --------
    >>> from skmlp import MLPClassifier
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y,
    ...                                                     random_state=1)
    >>> clf = MLPClassifier(random_state=1, max_iter=300).fit(X_train, y_train)
    >>> clf.predict(X_test[:5, :])
    array([1, 0, 1, 0, 1])
    >>> clf.score(X_test, y_test)
    0.8...
    """

    classes_: np.ndarray | list
    _labels: Any = Rebuilt(labels_of_classes, "coefs_", "classes_")
    _tables = (*BaseMLP._tables, BINARY_LOSSES, MULTICLASS_LOSSES)

    _parameter_constraints: dict = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "logit_adjustment": [Interval(Real, 0, None, closed="left")],
        "prior": [dict, StrOptions({"uniform"}), "array-like", None],
        "loss": [StrOptions(LossNames(BINARY_LOSSES)), Loss],
        "out_activation": [StrOptions(ordered("auto", *CLASSIFIER_OUTPUTS))],
    }

    def __init__(
        self,
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
        class_weight: typed.ClassWeight | None = None,
        logit_adjustment: float = 0.0,
        prior: typed.Prior | None = None,
        loss: typed.LossLike = "log_loss",
        out_activation: str = "auto",
        label_smoothing: float = 0.0,
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
        classes: Any = None,
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
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. Rows of weight zero take no part.
        classes : array-like of shape (n_classes,) or list of such, default=None
            All classes that any call will bring; needed in the first call. For several
            columns of classes a list with those of each column.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data: loss and score on them are recorded. The training never
            stops by itself: ``no_improvement_count_`` counts over the calls, by the
            score with ``early_stopping``, which keeps the best parameters, too.
        y_val : array-like of shape (n_val,) or (n_val, n_columns), default=None
            Their class labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        ValueError
            For data or weights that cannot be used, for ``class_weight='balanced'``,
            ``logit_adjustment`` and ``prior`` (the class frequencies of one chunk may
            differ from those of the others), and when the training diverges. The
            estimator is then as it was before.

        Examples
        --------
        >>> from skmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((10,), random_state=0)
        >>> for start in range(0, 150, 50):  # chunks that have one class each
        ...     part = slice(start, start + 50)
        ...     model = model.partial_fit(X[part], y[part], classes=[0, 1, 2])
        >>> model.t_
        150
        """
        if is_balanced(self.class_weight):
            raise ValueError(
                f"class_weight={self.class_weight!r} is not supported for partial_fit, "
                "since a chunk need not have the class frequencies of the whole data. "
                "Compute the weights with sklearn.utils.class_weight."
                "compute_class_weight and pass them as a dict."
            )
        check_whole_data(self)
        with self._unchanged_on_failure():
            user_input = as_supported(self.device, UserInput(X, y, sample_weight))
            if is_first_call(self, classes):
                check_y(user_input.y, numeric=False)
                labels = declared_labels(
                    user_input.y, self.classes_, ordered=is_ordered(self.loss)
                )
                check_declared(self.class_weight, labels)
                self._set_labels(labels)
            data = ValidationData(X_val, y_val, sample_weight_val)
            return self._fit(user_input, data, incremental=True)

    def _validate_y(self, y, info=NO_INFO, *, first, incremental=False):
        y = canonical_labels(y)
        # The first call of partial_fit has set the labels before the data are seen.
        if (not first or not hasattr(self, "coefs_")) and hasattr(self, "_labels"):
            # A chunk need not have all classes, whatever `fit` would ask for.
            self._labels.check_known(y, self.warm_start and not incremental)
            self._labels.check_order(info.order)
        else:
            self._set_labels(labels_of(y, info, ordered=is_ordered(self.loss)))
        return y

    def _validate_y_val(self, y):
        y = canonical_labels(y)
        # Unlike a warm start's labels, these need not be all that there are.
        self._labels.check_known(y, warm_start=False)
        return y

    def _targets(self, y, dtype):
        return self._labels.encode(y, dtype)

    def _head(self, targets):
        return self._labels.n_outputs, *self._labels.loss(self, targets.shape[1])

    def _stratify(self, targets):
        return self._labels.strata(targets)

    def _class_sums(self, objective):
        """Sums of the weights by class of the rows to train on (see `class_sums`)."""
        rows, weights = objective.row_ids, objective.sample_weight
        weights = None if weights is None else weights[rows]
        return class_sums(self._labels, objective.targets[rows], weights)

    def _prepare(self, fit, objective):
        prepare_priors(self, fit, objective)

    def _validation_score(self, raw, outputs, targets, weights):
        threshold = 0.0 if self._head(targets)[1].is_margin else 0.5
        decided = shifted(self, lambda _: raw, DECISIONS)(IDENTITY)
        if decided is raw:
            predicted = self._labels.scored(raw, outputs, threshold)
        else:
            predicted = self._labels.predicted(decided, 0.0)
        correct = np.all(predicted == targets, axis=1)
        return float(np.average(correct, weights=weights))

    @returns_like_input
    def predict(self, X: Any) -> Any:
        """Predict class labels, the most probable ones.

        With ``loss='ordinal'``, too: accuracy and scikit-learn's tools count on it.
        The median class, whose absolute error is the least to be expected, is
        ``clf.class_order_[(p.cumsum(axis=1) < 0.5).sum(axis=1)]``, p being the
        probabilities in the order of ``class_order_``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_columns)
            Labels; for a multilabel target an indicator matrix, sparse if the
            target was.
        """
        raw = shifted(self, partial(self._outputs, X), DECISIONS)(IDENTITY)
        return self._labels.decode(raw)

    @returns_like_input
    def decision_function(self, X: Any) -> Any:
        """The evidence for each class: log-odds, or margins of the hinge losses.

        For probabilities p they are log(p / (1 - p)), each class against all others;
        with ``logit_adjustment`` those of the adjusted logits, as in ``predict``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes), or list of such
            For two classes that of the second, else a column a class or label. With
            ``out_activation='logistic'`` of several classes, the log-odds before the
            probabilities are made to sum to one. A list for several columns of classes.
        """
        raw = shifted(self, partial(self._outputs, X), DECISIONS)(IDENTITY)
        return self._labels.decision(raw, self.out_activation_)

    def _has_probabilities(self):
        """Whether the loss is one of probabilities; else there is no such method."""
        rows = {row.name: row for row in BINARY_LOSSES.values()}
        loss = rows.get(self.loss) if isinstance(self.loss, str) else self.loss
        # A fitted network's output counts, whatever was set afterwards.
        output = getattr(self, "out_activation_", getattr(loss, "output", None))
        if output == IDENTITY:
            raise AttributeError(
                f"probability estimates are not available for loss={self.loss!r}, "
                "whose outputs are margins: use decision_function, or loss='log_loss'."
            )
        return True

    @available_if(_has_probabilities)
    @returns_like_input
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Not available with ``loss='hinge'`` and ``'squared_hinge'``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or list of such
            In the order of ``classes_``; for a multilabel target the probability of
            each label. A list for several columns of classes.
        """
        self._check_is_fitted()
        outputs = shifted(self, partial(self._outputs, X), PROBABILITIES)
        return self._labels.probabilities(outputs, self.out_activation_)

    @available_if(_has_probabilities)
    @returns_like_input
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities, from the logits: exact in the tails.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or list of such
            In the order of ``classes_``; a list for several columns of classes.
        """
        self._check_is_fitted()
        outputs = shifted(self, partial(self._outputs, X), PROBABILITIES)
        return self._labels.log_probabilities(outputs, self.out_activation_)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of the predicted labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_columns)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            Fraction of rows whose labels are right in all columns.
        """
        X, y, sample_weight = as_supported(self.device, UserInput(X, y, sample_weight))
        return self._labels.accuracy(y, self.predict(X), sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
