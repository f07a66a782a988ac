"""The estimators for Dask: those of one machine, fitted where the data are."""

from typing import Any

from sklearn.utils.metaestimators import available_if

from skmlp.dask.base import DaskMLP
from skmlp.dask.docs import with_docs_of
from skmlp.dask.parameters import ExtendedConstructor, constraints_of
from skmlp.dask.prediction import accuracy, regression
from skmlp.estimators import MLPClassifier, MLPRegressor


@with_docs_of(MLPClassifier)
class DaskMLPClassifier(DaskMLP, MLPClassifier):
    """Multi-layer perceptron classifier, trained on a Dask cluster.

    Every worker that holds rows takes its share of each minibatch from them, the
    gradients are summed over the workers, and all do the same step. Data never leave
    their workers for the client or the scheduler.

    Parameters
    ----------
    {parameters of the local estimator}

    {own parameters}

    Attributes
    ----------
    {attributes of the local estimator}

    See Also
    --------
    skmlp.MLPClassifier : The same on one machine.
    DaskMLPRegressor : For numbers.

    Notes
    -----
    {notes}

    References
    ----------
    {references of the local estimator}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skmlp.dask import DaskMLPClassifier
    >>> client = Client(processes=False, n_workers=2, threads_per_worker=1,
    ...                 dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(250, 5))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> clf = DaskMLPClassifier((20,), client=client, max_iter=20, random_state=0,
    ...                         learning_rate="cosine", learning_rate_init=0.01)
    >>> predicted = clf.fit(X, y).predict(X)
    >>> predicted.shape
    (1000,)
    >>> bool((predicted == y).mean().compute() > 0.9)
    True
    >>> client.close()
    """

    _local_class = MLPClassifier
    _delayed_score = staticmethod(accuracy)
    _parameter_constraints: Any = constraints_of(MLPClassifier)
    __init__: Any = ExtendedConstructor(MLPClassifier)

    def predict(self, X: Any) -> Any:
        """Predict class labels.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples,) or (n_samples, n_columns)
            Lazy if X is; then the chunks are the partitions of X.
        """
        return self._predicted("predict", X)

    @available_if(MLPClassifier._has_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples, n_classes), or list of such
            Lazy if X is. A list for several columns of classes.
        """
        return self._predicted("predict_proba", X)

    @available_if(MLPClassifier._has_probabilities)
    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples, n_classes), or list of such
            Lazy if X is. A list for several columns of classes.
        """
        return self._predicted("predict_log_proba", X)

    def decision_function(self, X: Any) -> Any:
        """The evidence for each class: log-odds, or margins of the hinge losses.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples,) or (n_samples, n_classes)
            Lazy if X is. A list of such for several columns of classes.
        """
        return self._predicted("decision_function", X)


@with_docs_of(MLPRegressor)
class DaskMLPRegressor(DaskMLP, MLPRegressor):
    """Multi-layer perceptron regressor, trained on a Dask cluster.

    Every worker that holds rows takes its share of each minibatch from them, the
    gradients are summed over the workers, and all do the same step. Data never leave
    their workers for the client or the scheduler.

    Parameters
    ----------
    {parameters of the local estimator}

    {own parameters}

    Attributes
    ----------
    {attributes of the local estimator}

    See Also
    --------
    skmlp.MLPRegressor : The same on one machine.
    DaskMLPClassifier : For classes.

    Notes
    -----
    {notes}

    References
    ----------
    {references of the local estimator}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from skmlp.dask import DaskMLPRegressor
    >>> client = Client(processes=False, n_workers=2, threads_per_worker=1,
    ...                 dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(250, 5))
    >>> model = DaskMLPRegressor(solver="lbfgs", client=client, max_iter=50,
    ...                          activation="tanh", random_state=0, tol=1e-3)
    >>> bool(model.fit(X, X[:, 0]).score(X, X[:, 0]) > 0.9)
    True
    >>> client.close()
    """

    _local_class = MLPRegressor
    _delayed_score = staticmethod(regression)
    _parameter_constraints: Any = constraints_of(MLPRegressor)
    __init__: Any = ExtendedConstructor(MLPRegressor)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict target values.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).
        return_std : bool, default=False
            Whether to return the standard deviations, too; only for losses that
            learn them, as ``loss='gaussian_nll'``.

        Returns
        -------
        y : dask.array.Array or ndarray of shape (n_samples,) or (n_samples, n_targets)
            Lazy if X is; then the chunks are the partitions of X.
        std : like y
            With ``return_std=True``.
        """
        return self._predicted("predict", X, return_std=return_std)
