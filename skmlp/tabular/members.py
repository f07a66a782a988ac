"""Training of the networks of an ensemble, one thread each."""

from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp.call_site import without_warnings
from skmlp.exceptions import DeadUnitsWarning, PoorFitWarning


class EncodedRows(NamedTuple):
    """Encoded inputs with targets and weights.

    Attributes
    ----------
    x : {ndarray, csr_matrix} of shape (n_rows, n_features_out), float32
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
    sample_weight : ndarray of shape (n_rows,) or None
    """

    x: Any
    y: Any
    sample_weight: np.ndarray | None

    def at(self, rows, n_columns=None):
        """Some of the rows, with all or with the first columns of X."""
        weights = None if self.sample_weight is None else self.sample_weight[rows]
        x = self.x[rows]
        return EncodedRows(first_columns(x, n_columns), self.y[rows], weights)


def first_columns(x, n_columns):
    """The first columns of a matrix, contiguous; the matrix itself if these are all."""
    if n_columns is None or n_columns == x.shape[1]:
        return x
    part = x[:, :n_columns]
    return np.ascontiguousarray(part) if isinstance(part, np.ndarray) else part


class Job(NamedTuple):
    """A network to train.

    Attributes
    ----------
    recipe : int
        Jobs of one recipe differ by their rows alone.
    estimator : MLPClassifier or MLPRegressor
        Not fitted.
    n_columns : int
        Columns of X that it sees.
    train, validation : ndarray of int
        Rows of the training and of the validation data.
    """

    recipe: int
    estimator: Any
    n_columns: int
    train: np.ndarray
    validation: np.ndarray


def train_members(jobs, data, held_out, n_threads):
    """Fitted estimators in the order of the jobs, the same for any number of threads.

    Parameters
    ----------
    jobs : list of Job
    data, held_out : EncodedRows
        What `Job.train` and `Job.validation` are rows of.
    n_threads : int
    """
    side_by_side = min(n_threads, len(jobs))
    for job in jobs:
        job.estimator.set_params(n_jobs=max(1, n_threads // side_by_side))
    run = Parallel(n_jobs=side_by_side, backend="threading")
    return run(delayed(train_member)(job, data, held_out) for job in jobs)


def train_member(job, data, held_out):
    """The fitted estimator of a job."""
    train = data.at(job.train, job.n_columns)
    validation = held_out.at(job.validation, job.n_columns)
    estimator = clone(job.estimator)
    batch_size = estimator.batch_size
    if isinstance(batch_size, int) and batch_size > len(job.train):
        # Folds differ in size, and the recipe is for all of them.
        estimator.set_params(batch_size=len(job.train))
    # Inputs of this size give the first layer the rate that the NTK parametrization
    # gives it: then the root of its fan-in is that of the other layers.
    units = np.atleast_1d(estimator.hidden_layer_sizes)[0]
    factor = np.float32(np.sqrt(units / job.n_columns))
    # An ensemble says in one voice what is to be said.
    with without_warnings(ConvergenceWarning, DeadUnitsWarning, PoorFitWarning):
        estimator.fit(
            train.x * factor,
            train.y,
            train.sample_weight,
            X_val=validation.x * factor,
            y_val=validation.y,
            sample_weight_val=validation.sample_weight,
        )
    # From here on it takes X as it is.
    estimator.coefs_[0][:] *= factor
    return estimator
