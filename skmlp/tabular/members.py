"""Training of the networks of an ensemble, one thread each."""

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp.call_site import without_warnings
from skmlp.exceptions import (
    DeadUnitsWarning,
    IneffectiveParameterWarning,
    PoorFitWarning,
)

# Warnings about one network, or about a parameter of a recipe that another one of
# ``mlp_params`` makes useless.
_OF_MEMBERS = (
    ConvergenceWarning,
    DeadUnitsWarning,
    IneffectiveParameterWarning,
    PoorFitWarning,
)


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

    def at(self, rows):
        """Some of the rows."""
        weights = None if self.sample_weight is None else self.sample_weight[rows]
        return EncodedRows(self.x[rows], self.y[rows], weights)


class Job(NamedTuple):
    """A network to train.

    Attributes
    ----------
    recipe : int
        Jobs of one recipe differ by their rows alone.
    estimator : MLPClassifier or MLPRegressor
        Not fitted.
    train, validation : ndarray of int
        Rows of the training and of the validation data.
    """

    recipe: int
    estimator: Any
    train: np.ndarray
    validation: np.ndarray


def train_members(jobs, data, held_out, n_threads, *, verbose, callbacks=None):
    """Fitted estimators in the order of the jobs, the same for any number of threads.

    Parameters
    ----------
    jobs : list of Job
    data, held_out : EncodedRows
        What `Job.train` and `Job.validation` are rows of.
    n_threads : int
    verbose : bool
        Whether to print a line for each network that is trained.
    callbacks : skmlp.estimators.callbacks.FitCallbacks or None
        Told of each network, and by it of its epochs.
    """
    side_by_side = min(n_threads, len(jobs))
    for job in jobs:
        job.estimator.set_params(n_jobs=max(1, n_threads // side_by_side))
    run = Parallel(n_jobs=side_by_side, backend="threading", return_as="generator")
    tasks = [None] * len(jobs)
    if callbacks is not None:
        tasks = [callbacks.subtask("network", i) for i in range(len(jobs))]
    members = []
    for member in run(
        delayed(train_member)(job, data, held_out, callbacks, task)
        for job, task in zip(jobs, tasks, strict=True)
    ):
        members.append(member)
        if verbose:
            print(
                f"Network {len(members)} of {len(jobs)}: validation score "
                f"{member.best_validation_score_:.4f} after epoch {member.best_iter_} "
                f"of {member.n_iter_}"
            )
    return members


def train_member(job, data, held_out, callbacks=None, task=None):
    """The fitted estimator of a job."""
    train, validation = data.at(job.train), held_out.at(job.validation)
    estimator = clone(job.estimator)
    batch_size = estimator.batch_size
    if isinstance(batch_size, int) and batch_size > len(job.train):
        # Folds differ in size, and the recipe is for all of them.
        estimator.set_params(batch_size=len(job.train))
    # An ensemble says in one voice what is to be said.
    told = nullcontext() if task is None else callbacks.around(task, estimator)
    with told, without_warnings(*_OF_MEMBERS):
        estimator.fit(
            train.x,
            train.y,
            train.sample_weight,
            X_val=validation.x,
            y_val=validation.y,
            sample_weight_val=validation.sample_weight,
        )
    # No ensemble goes on, and moments are two thirds of a saved one.
    return estimator.drop_training_state()
