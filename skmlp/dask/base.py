"""What both estimators for Dask do: `fit`, and the way to the local estimator."""

import copy
import warnings
from typing import Any, Self

from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning

from skmlp.call_site import user_stacklevel
from skmlp.dask.cluster_fit import ClusterFit, running_client
from skmlp.dask.parameters import OWN
from skmlp.dask.partitions import Collections, is_collection
from skmlp.dask.prediction import lazily
from skmlp.dask.progress import Progress
from skmlp.data_parallel.replica import check_supported
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
        check_supported(self)
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
