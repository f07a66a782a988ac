"""The estimator that each rank trains: the local one, with the ranks' common facts."""

import copy
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from skmlp.data_parallel.facts import (
    balanced_weights,
    check_alike,
    distinct_rows,
    global_scale,
)
from skmlp.data_parallel.orders import ShardedOrders
from skmlp.data_parallel.scorer import CollectiveScorer
from skmlp.data_parallel.session import DataParallelSession
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.callbacks import fitted_view
from skmlp.estimators.class_weights import is_balanced
from skmlp.estimators.classifier import MLPClassifier
from skmlp.estimators.data import combine_weights
from skmlp.estimators.regressor import MLPRegressor
from skmlp.estimators.target_names import NO_INFO
from skmlp.estimators.target_scaling import TargetScale, is_centered
from skmlp.training.collective import all_gather


class Shard(NamedTuple):
    """The data of one rank, as for `fit`.

    Attributes
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,) or None
    X_val, y_val, sample_weight_val
        Validation data; None where this rank has none.
    """

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None


class EpochUpdate(NamedTuple):
    """What rank 0 tells of an epoch, or of an iteration of L-BFGS.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    loss : float
    validation_loss, validation_score : float or None
    seconds : float
        Since the beginning of the training.
    n_samples : int or None
        Rows of all ranks that the epoch has trained on; None for L-BFGS.
    estimator : callable
        Returns the plain estimator, fitted up to this epoch; to be called before the
        training goes on.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    validation_score: float | None
    seconds: float
    n_samples: int | None
    estimator: Callable[[], Any]


def fit_replica(
    estimator, shard, collective, *, sync_every=1, on_epoch=None, resumed_from=None
):
    """Train an estimator together with other ranks.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its parameters count; it is not changed.
    shard : Shard
        This rank's rows.
    collective : skmlp.training.collective.Collective
    sync_every : int or inf, default=1
        Minibatches from one exchange to the next (see `DataParallelSession`).
    on_epoch : callable, default=None
        ``on_epoch(update)`` is called in rank 0 at the end of each epoch, and returns
        whether to stop.
    resumed_from : MLPClassifier or MLPRegressor, default=None
        The same estimator, as `EpochUpdate.estimator` has returned it: the training
        goes on after that epoch.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted, the same in every rank.

    Raises
    ------
    ValueError
        For what the estimators raise it, and for parameters that need all rows in one
        place.
    """
    check_supported(estimator)
    start = copy.deepcopy(resumed_from)
    if start is None:
        start = copy.deepcopy(estimator) if estimator.warm_start else clone(estimator)
    replica = _replica(start, type(estimator))
    class_weight = getattr(estimator, "class_weight", None)
    replica._group = _Group(collective, sync_every, on_epoch, class_weight)
    X, y, sample_weight, *validation = shard
    has_validation = all_gather(collective, "validation", shard.X_val is not None)
    if any(has_validation) and shard.X_val is None:
        validation = [X[:0], y[:0], None]
    held_out = dict(zip(Shard._fields[3:], validation, strict=True))
    if resumed_from is None:
        replica.fit(X, y, sample_weight, **held_out)
    elif estimator.solver == "lbfgs":
        # SciPy's memory of earlier iterations is lost.
        replica.set_params(warm_start=True).fit(X, y, sample_weight, **held_out)
        replica.warm_start = estimator.warm_start
    else:
        replica.resume(X, y, sample_weight, **held_out)
    return _plain(replica)


def check_supported(estimator):
    """Refuse parameters that need all rows in one place, or a GPU.

    Raises
    ------
    ValueError
    """
    reasons = {
        "device": ("cpu", "workers train on CPUs"),
        "sampling": (None, "rows cannot be drawn from those of other workers"),
    }
    for name, (needed, reason) in reasons.items():
        value = getattr(estimator, name)
        if value != needed:
            raise ValueError(
                f"{name}={value!r} is not supported by training on several workers: "
                f"{reason}. Use {name}={needed!r}."
            )


class _Group(NamedTuple):
    """What a replica knows of the others, and its own part in the group."""

    collective: Any
    sync_every: float
    on_epoch: Callable[[EpochUpdate], bool] | None
    class_weight: Any
    sizes: list[int] | None = None


class _Replica(BaseMLP):
    """Where a training that shares its minibatches differs from a local one."""

    _group: Any
    batch_size: Any
    alpha: Any

    def _validate(self, user_input, *, first, incremental=False):
        sample = super()._validate(user_input, first=first, incremental=incremental)
        check_alike(self._group.collective, sample.x)
        if getattr(self, "_resumption", None) is not None:
            # A rank may have other rows than before: workers come and go.
            own = {"n_rows": len(sample.row_ids)}
            self._resumption = self._resumption | own
        return sample

    def _held_out(self, validation_data, sample):
        if validation_data.X_val is None or validation_data.X_val.shape[0] > 0:
            return super()._held_out(validation_data, sample)
        none = slice(0, 0)
        return sample._replace(
            x=sample.x[none],
            y=sample.y[none],
            targets=sample.targets[none],
            sample_weight=None,
            row_ids=None,
        )

    def _network(self, sample, resumes):
        network = super()._network(sample, resumes)
        if network.embedding is None:
            return network
        # The bins are those of rank 0's rows.
        return self._group.collective.broadcast("network", network)

    def _initial_params(self, *arguments):
        params = super()._initial_params(*arguments)
        return self._group.collective.broadcast("initial parameters", params)

    def _n_rows_of_epoch(self, row_ids):
        collective = self._group.collective
        sizes = all_gather(collective, "training rows", len(row_ids))
        if 0 in sizes:
            raise ValueError(
                f"rank {sizes.index(0)} has no row of positive weight to train on: use "
                "fewer workers, or spread the rows evenly."
            )
        batch_size = self.batch_size
        if batch_size != "auto" and batch_size < collective.n_ranks:
            raise ValueError(
                f"batch_size={batch_size} is less than the number of workers, "
                f"{collective.n_ranks}: a minibatch needs a row of each."
            )
        self._group = self._group._replace(sizes=sizes)
        return sum(sizes)

    def _problem(self, fit, row_ids, regularization):
        collective = self._group.collective
        regularization = regularization._replace(
            seed=collective.broadcast("seed", regularization.seed)
        )
        problem = super()._problem(fit, row_ids, regularization)
        if collective.n_ranks == 1:
            return problem
        if problem.sample_weight is not None:
            total = np.sum(problem.sample_weight[row_ids], dtype=np.float64)
            total = collective.all_reduce("sample weights", np.array([total]))
            mean = float(total[0]) / sum(self._group.sizes)
            problem = problem._replace(drawn_mean_weight=mean)
        if self.solver == "lbfgs":
            # Each rank has its part of the penalty.
            problem = problem._replace(alpha=self.alpha / collective.n_ranks)
        return problem

    def _orders(self, problem, generator):
        collective = self._group.collective
        if collective.rank > 0:
            # Other numbers than those of rank 0.
            seed = generator.randint(2**31 - 1)
            generator = np.random.RandomState([seed, collective.rank])
        problem, objective, orders = super()._orders(problem, generator)
        if collective.n_ranks > 1:
            orders = ShardedOrders(orders, self._group.sizes, collective.rank)
        return problem, objective, orders

    @contextmanager
    def _open_session(self, fit, problem):
        collective, sync_every, *_, sizes = self._group
        with super()._open_session(fit, problem) as session:
            if collective.n_ranks > 1:
                fraction = sizes[collective.rank] / sum(sizes)
                session = DataParallelSession(session, collective, fraction, sync_every)
            yield session

    def _scorer(self, fit, session, held_out):
        return CollectiveScorer(self, fit, session, held_out, self._group.collective)

    @contextmanager
    def _listening(self, fit):
        yield _EpochListener(self, fit, self._group)


class _EpochListener:
    """Tells rank 0's `on_epoch` of an epoch, and all ranks whether to stop."""

    takes_snapshots = True

    def __init__(self, replica, fit, group):
        self._replica = replica
        self._fit = fit
        self._group = group

    def begin(self):
        """Nothing: only the ends of epochs are told."""

    def end(self, record):
        """The epoch has ended; returns whether to stop."""
        stops = False
        if self._group.collective.rank == 0 and self._group.on_epoch is not None:
            stops = bool(self._group.on_epoch(self._update(record)))
        return self._group.collective.broadcast("stop", stops)

    def _update(self, record):
        history = record.history
        validation = history.validation
        return EpochUpdate(
            epoch=record.epoch,
            loss=history.loss_curve[-1],
            validation_loss=validation.losses[-1] if validation else None,
            validation_score=validation.scores[-1] if validation else None,
            seconds=history.seconds[-1],
            n_samples=record.n_rows,
            estimator=lambda: _plain(fitted_view(self._replica, self._fit, record)),
        )


class _ClassifierReplica(_Replica, MLPClassifier):
    class_weight: Any

    def _validate_y(self, y, info=NO_INFO, *, first, incremental=False):
        collective = self._group.collective
        if first:
            super()._validate_y(distinct_rows(collective, y), info, first=True)
        y = super()._validate_y(y, info, first=first, incremental=incremental)
        if is_balanced(self.class_weight):
            self.class_weight = balanced_weights(
                collective, self.class_weight, self._labels, y
            )
        return y

    def _class_sums(self, objective):
        sums = super()._class_sums(objective)
        return self._group.collective.all_reduce("class sums", sums)


class _RegressorReplica(_Replica, MLPRegressor):
    def _fit_target_scale(self, X, y, sample_weight, incremental):
        collective = self._group.collective
        if collective.n_ranks == 1 or not self.scale_target:
            super()._fit_target_scale(X, y, sample_weight, incremental)
            return
        y = y.reshape(len(y), -1)
        weights = combine_weights(sample_weight, X, X.dtype)
        centered = is_centered(self._loss())
        scale = global_scale(collective, y, *weights, is_centered=centered)
        self.target_mean_, self.target_scale_ = TargetScale(*scale)


_REPLICAS: dict = {MLPClassifier: _ClassifierReplica, MLPRegressor: _RegressorReplica}
for _plain_class, _class in _REPLICAS.items():
    _class.__name__ = _plain_class.__name__  # in messages


def _replica(estimator, cls):
    """A replica with the parameters, and the state, of an estimator."""
    replica = object.__new__(_REPLICAS[cls])
    vars(replica).update(vars(estimator))
    return replica


def _plain(replica):
    """The local estimator that a replica has trained."""
    cls = next(base for base in _REPLICAS if isinstance(replica, base))
    plain = object.__new__(cls)
    vars(plain).update(vars(replica))
    group = vars(plain).pop("_group")
    if hasattr(plain, "class_weight"):
        plain.class_weight = group.class_weight
    return plain
