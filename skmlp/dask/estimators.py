"""The estimators for Dask: those of one machine, fitted where the data are."""

import copy
import warnings
from typing import Any, Self

from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from skmlp.call_site import user_stacklevel
from skmlp.dask.cluster_fit import ClusterFit, running_client
from skmlp.dask.parameters import OWN, ExtendedConstructor, constraints_of
from skmlp.dask.partitions import Collections, is_collection
from skmlp.dask.prediction import accuracy, lazily, regression
from skmlp.dask.progress import Progress
from skmlp.estimators import MLPClassifier, MLPRegressor
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.suggestions import names_arguments
from skmlp.estimators.validation import ValidationData, check_complete


class _Lacking:
    """A method of the local estimator that makes no sense on a cluster."""

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        raise AttributeError(
            f"{(owner or type(instance)).__name__} has no {self._name}. The local "
            f"estimator that to_local() returns has."
        )


class DaskMLP(BaseMLP):
    """What both estimators for Dask have beside their local ones."""

    client: Any
    sync_every: Any
    checkpoint: str | None
    timeout: float

    # The local estimator, and what scores predictions of partitions.
    _local_class: Any
    _delayed_score: Any

    partial_fit = _Lacking()
    resume = _Lacking()
    set_callbacks = _Lacking()

    @names_arguments
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        on_epoch: Any = None,
    ) -> Self:
        """Train on the workers that hold X and y.

        Parameters
        ----------
        X : dask.array.Array, dask.dataframe.DataFrame or list of Delayed
            Training data of shape (n_samples, n_features), in partitions of rows;
            delayed chunks may be arrays, DataFrames or sparse matrices of SciPy, and so
            may the chunks of an array. float32 stays float32, all else becomes float64,
            unless ``dtype`` says otherwise.
        y : dask.array.Array, dask.dataframe.Series or list of Delayed
            Class labels, or numbers in regression, in the same partitions. Chunks of an
            array of known sizes are cut like those of X.
        sample_weight : dask.array.Array, Series or list of Delayed, default=None
            Non-negative weights. Rows of weight zero are ignored.
        X_val : like X, default=None
            Validation data: loss and score on them are recorded every epoch. With
            ``early_stopping`` they replace the split.
        y_val : like y, default=None
            Their labels or numbers.
        sample_weight_val : like sample_weight, default=None
            Their weights, without ``class_weight``.
        on_epoch : callable, default=None
            Called on the client with the `Epoch` that has ended on the workers, which
            go on meanwhile: its fields are epoch, loss, validation_loss,
            validation_score, seconds and n_samples. If it returns True, the training
            stops at the end of an epoch soon after.

        Returns
        -------
        self : object
            The trained estimator.

        Raises
        ------
        TypeError, ValueError
            For data that cannot be used; the estimator is then unchanged. Errors of a
            worker name it in a note.
        RuntimeError
            If a worker is lost, and there is no ``checkpoint`` to go on from, or no
            worker is left; the message names the worker and the last epoch. If the
            client is closed, or there are no workers.
        TimeoutError
            If a worker waits longer than ``timeout`` for another.
        """
        if self.device != "cpu":
            raise ValueError(
                f"device={self.device!r} is not supported on a cluster, only 'cpu'."
            )
        check_complete(ValidationData(X_val, y_val, sample_weight_val))
        validation = None
        if X_val is not None:
            validation = Collections(X_val, y_val, sample_weight_val, "_val")
        client = running_client(self.client)
        local = self._as_local(fitted=self.warm_start)
        progress = Progress(self, on_epoch)
        data = Collections(X, y, sample_weight)
        result = ClusterFit(client, self, local, progress).run(data, validation)
        given = [*result.warnings]
        if result.is_late:
            message = (
                f"The time limit is reached (max_time={self.max_time} s) after epoch "
                f"{progress.epoch}."
            )
            given.append((message, ConvergenceWarning))
        with self._unchanged_on_failure():  # where a warning is an error
            self._adopt(result.fitted)
            for message, category in dict.fromkeys(given):
                warnings.warn(message, category, stacklevel=user_stacklevel())
        return self

    def to_local(self) -> Any:
        """The estimator of one machine with the same parameters and network.

        Returns
        -------
        MLPClassifier or MLPRegressor
            Fitted as this one is, and independent of it.
        """
        return copy.deepcopy(self._as_local(fitted=True))

    def _as_local(self, *, fitted):
        """The local estimator, with or without the fitted attributes."""
        parameters = self.get_params(deep=False)
        own = {name: parameters.pop(name) for name in OWN}
        local = self._local_class(**parameters)
        if fitted:
            state = vars(self)
            names = state.keys() - parameters.keys() - own.keys()
            vars(local).update({name: state[name] for name in names})
        return local

    def _adopt(self, local):
        """Take the fitted attributes of a local estimator, instead of earlier ones."""
        names = {*self._get_param_names()}
        kept = {name: value for name, value in vars(self).items() if name in names}
        new = {k: value for k, value in vars(local).items() if k not in names}
        self.__dict__.clear()
        self.__dict__.update(kept | new)

    def _predicted(self, method, X, **keywords):
        """What a method of the local estimator returns, lazily of Dask collections."""
        self._check_is_fitted()
        local = self._as_local(fitted=True)
        if is_collection(X):
            return lazily(local, method, X, **keywords)
        return getattr(local, method)(X, **keywords)

    def hidden_activations(self, X: Any, layer: int = -1) -> Any:
        """Outputs of a hidden layer, as features for another model or for a plot.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).
        layer : int, default=-1
            Index of the hidden layer; negative indices count from the last one back.

        Returns
        -------
        dask.array.Array or ndarray of shape (n_samples, n_units)
            Lazy if X is.
        """
        return self._predicted("hidden_activations", X, layer=layer)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy of a classifier, R² or D² of a regressor.

        Parameters
        ----------
        X : Dask collection, array-like or sparse matrix
            Of shape (n_samples, n_features).
        y : like X
            True labels or numbers.
        sample_weight : like y, default=None
            Weights of the rows.

        Returns
        -------
        float
            Of Dask collections computed on the workers.
        """
        self._check_is_fitted()
        local = self._as_local(fitted=True)
        if not is_collection(X):
            return local.score(X, y, sample_weight)
        score = self._delayed_score(local, X, y, sample_weight)
        return running_client(self.client).compute(score).result()

    def __sklearn_clone__(self):
        # A client cannot be copied.
        view = object.__new__(type(self))
        view.__dict__.update(vars(self) | {"client": None})
        clone = BaseEstimator.__sklearn_clone__(view)
        clone.client = self.client
        return clone

    def __getstate__(self):
        return super().__getstate__() | {"client": None}


class DaskMLPClassifier(DaskMLP, MLPClassifier):
    """Multi-layer perceptron classifier, trained on a Dask cluster.

    Every worker that holds rows takes its share of each minibatch from them, the
    gradients are summed over the workers, and all do the same step. Data never leave
    their workers for the client or the scheduler.

    Parameters
    ----------
    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
        Units of each hidden layer.

    activation : str, Activation or list of them, default='relu'
        Activation function of the hidden layers.

    client : distributed.Client, default=None
        None for the current one. It is not pickled, and clones share it.

    sync_every : int or 'epoch', default=1
        After how many steps the workers meet. 1: after each; then losses and parameters
        are those of one machine, up to rounding. More: workers step by themselves, and
        then average their parameters and moments, which takes fewer messages.

    checkpoint : str, default=None
        A directory that all workers share, in which the network is kept after each
        epoch, as ``checkpoint.joblib``. If a worker is lost, the fit goes on from there
        on the workers that are left, three times at most.

    timeout : float, default=60.0
        Seconds that a worker may wait for another before the fit ends with an error.

    **parameters
        All others of `skmlp.MLPClassifier`, with its defaults. ``n_jobs=None`` is as
        many threads as the worker has; Dask's variable ``OMP_NUM_THREADS`` limits
        these. ``device`` must be 'cpu'.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,), or list of ndarray
        Class labels of all partitions, sorted.

    coefs_ : list of ndarray
        Weights of each layer. This and all others are as in `skmlp.MLPClassifier`.

    See Also
    --------
    skmlp.MLPClassifier : The same on one machine.
    DaskMLPRegressor : For numbers.

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


class DaskMLPRegressor(DaskMLP, MLPRegressor):
    """Multi-layer perceptron regressor, trained on a Dask cluster.

    Every worker that holds rows takes its share of each minibatch from them, the
    gradients are summed over the workers, and all do the same step. Data never leave
    their workers for the client or the scheduler.

    Parameters
    ----------
    loss : str or Loss, default='squared_error'
        What is minimized.

    hidden_layer_sizes : array-like of shape (n_layers - 2,), default=(100,)
        Units of each hidden layer.

    activation : str, Activation or list of them, default='relu'
        Activation function of the hidden layers.

    client : distributed.Client, default=None
        None for the current one. It is not pickled, and clones share it.

    sync_every : int or 'epoch', default=1
        After how many steps the workers meet. 1: after each; then losses and parameters
        are those of one machine, up to rounding. More: workers step by themselves, and
        then average their parameters and moments, which takes fewer messages.

    checkpoint : str, default=None
        A directory that all workers share, in which the network is kept after each
        epoch, as ``checkpoint.joblib``. If a worker is lost, the fit goes on from there
        on the workers that are left, three times at most.

    timeout : float, default=60.0
        Seconds that a worker may wait for another before the fit ends with an error.

    **parameters
        All others of `skmlp.MLPRegressor`, with its defaults. ``n_jobs=None`` is as
        many threads as the worker has; Dask's variable ``OMP_NUM_THREADS`` limits
        these. ``device`` must be 'cpu'.

    Attributes
    ----------
    coefs_ : list of ndarray
        Weights of each layer. This and all others are as in `skmlp.MLPRegressor`.

    See Also
    --------
    skmlp.MLPRegressor : The same on one machine.
    DaskMLPClassifier : For classes.

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
