"""From a user's estimator to the network in it, and the X that it receives."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

# Where searches and other estimators around an estimator keep the fitted one; the last
# is that of a TransformedTargetRegressor, whose module takes long to import.
_TRANSFORMED = "regressor_"
_FITTED = ("best_estimator_", "estimator_", _TRANSFORMED)


def _inner(estimator):
    """The estimator in an estimator; None where there is none."""
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator
    if isinstance(estimator, Pipeline):
        return estimator.steps[-1][1]
    names = [name for name in _FITTED if hasattr(estimator, name)]
    return getattr(estimator, names[0]) if names else None


def fitted_network(estimator, X=None):
    """The fitted network of an estimator, and X as the network receives it.

    Parameters
    ----------
    estimator : object
        A network, a `Pipeline` that ends with one, or what is around one and fitted: a
        search, a `FrozenEstimator`, a `TransformedTargetRegressor`, a threshold.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None

    Returns
    -------
    network : object
        What is innermost; the caller checks that it can use it.
    X : {array-like, sparse matrix} or None
        After the transformers of all pipelines.

    Raises
    ------
    sklearn.exceptions.NotFittedError
    """
    check_is_fitted(estimator)
    while (inner := _inner(estimator)) is not None:
        is_pipeline = isinstance(estimator, Pipeline)
        if X is not None and is_pipeline and len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        estimator = inner
    return estimator, X


def transforms_target(estimator):
    """Whether predictions are transformed back behind the network of an estimator."""
    while estimator is not None:
        if hasattr(estimator, _TRANSFORMED):
            return True
        estimator = _inner(estimator)
    return False


def refusal(caller, needed, estimator):
    """The error for an estimator that a picture cannot be made of."""
    return TypeError(
        f"{caller} needs {needed}, a Pipeline that ends with one or a fitted search "
        f"for one, got {type(estimator).__name__}."
    )
