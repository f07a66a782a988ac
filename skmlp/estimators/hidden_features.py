"""A hidden layer of a fitted network as a transformer, for pipelines.

Features that one task has taught are often good for another, or for a simpler model.
`hidden_activations` computes them; this meta-estimator gives them scikit-learn's
interface of transformers.
"""

from numbers import Integral
from typing import Any, Self

from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmlp._project import DocumentedOnline
from skmlp.estimators.architecture import hidden_sizes
from skmlp.estimators.fitted import restored_on_failure
from skmlp.estimators.prediction import layer_index


def _last_step(estimator):
    """The network of an estimator, which may be frozen or the end of a pipeline."""
    while isinstance(estimator, FrozenEstimator | Pipeline):
        is_frozen = isinstance(estimator, FrozenEstimator)
        estimator = estimator.estimator if is_frozen else estimator.steps[-1][1]
    return estimator


def _has_partial_fit(transformer):
    return hasattr(transformer.estimator, "partial_fit")


class HiddenFeatures(
    DocumentedOnline,
    ClassNamePrefixFeaturesOutMixin,
    MetaEstimatorMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Outputs of a network's hidden layer as features.

    A transformer for pipelines: `fit` trains a clone of the network, `transform`
    computes one of its hidden layers, as ``hidden_activations`` does. To use a network
    that is fitted already, wrap it by `sklearn.frozen.FrozenEstimator`; it is then not
    trained again.

    Parameters
    ----------
    estimator : estimator
        An `MLPClassifier`, an `MLPRegressor`, an `MLPAutoencoder` or a `Pipeline` that
        ends with one; or one of these, fitted, in a `FrozenEstimator`.

    layer : int, default=-1
        Index of the hidden layer; negative indices count from the last one back.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone, or the frozen estimator.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    MLPAutoencoder : Learns features without a target.

    Examples
    --------
    What a linear model does not see in X, it sees in what a network makes of X:

    >>> from sklearn.datasets import make_circles
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skmlp import HiddenFeatures, MLPClassifier
    >>> X, y = make_circles(300, factor=0.5, noise=0.05, random_state=0)
    >>> round(LogisticRegression().fit(X, y).score(X, y), 1)
    0.5
    >>> network = MLPClassifier(8, "tanh", solver="lbfgs", random_state=0)
    >>> model = make_pipeline(HiddenFeatures(network), LogisticRegression())
    >>> round(model.fit(X, y).score(X, y), 1)
    1.0
    >>> model[0].transform(X).shape
    (300, 8)
    """

    _parameter_constraints: dict = {"estimator": "no_validation", "layer": [Integral]}

    def __init__(self, estimator, layer=-1):
        self.estimator = estimator
        self.layer = layer

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train a clone of the estimator; a frozen one stays as it is.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The estimator's target.
        **fit_params : dict
            Arguments of the estimator's ``fit``, as ``sample_weight``; with metadata
            routing those that it requests.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        TypeError, ValueError
            For an estimator without hidden layers, for a layer that there is not, and
            what the estimator itself raises. A model that was fitted before is kept.
        NotFittedError
            For a frozen estimator that is not fitted.
        """
        return self._fit("fit", clone(self.estimator), X, y, fit_params)

    @available_if(_has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train the estimator, or its clone at the first call, by its `partial_fit`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            The estimator's target.
        **fit_params : dict
            Arguments of the estimator's ``partial_fit``, as ``classes``.

        Returns
        -------
        self : object
            The transformer.
        """
        is_first = not hasattr(self, "estimator_")
        estimator = clone(self.estimator) if is_first else self.estimator_
        return self._fit("partial_fit", estimator, X, y, fit_params)

    def _fit(self, method, estimator, X, y, fit_params):
        self._check_layer()
        if _routing_enabled():
            fit_params = process_routing(self, method, **fit_params).estimator[method]
        getattr(estimator, method)(X, y, **fit_params)
        with restored_on_failure(self):
            self.estimator_ = estimator
            self.__dict__.pop("feature_names_in_", None)
            names = getattr(estimator, "feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
            # The network that was frozen may have other layers than its parameters say.
            self._n_hidden_units()
        return self

    def _check_layer(self):
        """Refuse what has no hidden layer of that index before it is trained."""
        network = _last_step(self.estimator)
        if not hasattr(network, "hidden_activations"):
            raise TypeError(
                "HiddenFeatures needs an MLPClassifier, an MLPRegressor, an "
                "MLPAutoencoder or a Pipeline that ends with one, got estimator="
                f"{network!r}."
            )
        if not hasattr(network, "coefs_"):
            layer_index(self.layer, len(hidden_sizes(network.hidden_layer_sizes)))

    def _n_hidden_units(self):
        """Units of the layer of the fitted network."""
        units = _last_step(self.estimator_).intercepts_[:-1]
        return len(units[layer_index(self.layer, len(units))])

    def transform(self, X: Any) -> Any:
        """Outputs of the hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            In the precision of the network.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmlp import HiddenFeatures, MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> network = MLPClassifier((20, 5), learning_rate="cosine", random_state=0)
        >>> HiddenFeatures(network, layer=0).fit(X, y).transform(X).shape
        (150, 20)
        """
        check_is_fitted(self)
        estimator = self.estimator_
        while isinstance(estimator, FrozenEstimator | Pipeline):
            if isinstance(estimator, FrozenEstimator):
                estimator = estimator.estimator
                continue
            if len(estimator.steps) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        return estimator.hidden_activations(X, self.layer)

    @property
    def n_features_in_(self):
        """Number of features seen during fit."""
        # Where there is none, hasattr must be False.
        try:
            check_is_fitted(self)
        except ValueError as error:
            raise AttributeError(
                f"{type(self).__name__} object has no n_features_in_ attribute."
            ) from error
        return self.estimator_.n_features_in_

    @property
    def _n_features_out(self):
        return self._n_hidden_units()

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        is_frozen = isinstance(self.estimator, FrozenEstimator)
        tags.target_tags.required = inner.target_tags.required and not is_frozen
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def get_metadata_routing(self):
        """How arguments of `fit` and `partial_fit` are routed to the estimator.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            That of the estimator.
        """
        mapping = MethodMapping()
        for method in ("fit", "partial_fit"):
            mapping.add(caller=method, callee=method)
        router = MetadataRouter(owner=self)
        return router.add(estimator=self.estimator, method_mapping=mapping)
