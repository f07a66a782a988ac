"""Training on several ranks against a local fit of the same minibatches.

The ranks are threads. The local fit gets the rows of every minibatch in the order in
which the ranks have their shares.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from thread_collective import run_ranks

from skmlp import MLPClassifier, MLPRegressor
from skmlp.data_parallel import orders
from skmlp.data_parallel.replica import Shard, fit_replica

# Shares of a minibatch of 30 rows are whole: 5, 10 and 15 of them.
SIZES = (20, 40, 60)
COMMON = {"hidden_layer_sizes": (7,), "batch_size": 30, "max_iter": 4}
COMMON |= {"random_state": 3, "tol": 0.0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def numbers(n_rows=120, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, 5))


def classes(x):
    return np.array(["low", "middle", "high"])[np.digitize(x[:, 0] + x[:, 1], [-1, 1])]


def labels(x):
    return (x[:, :3] > 0.2).astype(int)


def values(x):
    return 3.0 + x[:, 0] - 2 * x[:, 1] ** 2


def weights(x):
    return np.abs(x[:, 4]) + 0.1


def shards(x, y, sizes=SIZES, sample_weight=None, **validation):
    """The rows of each rank."""
    cuts = np.cumsum(sizes)
    parts = []
    for end, size in zip(cuts, sizes, strict=True):
        rows = slice(end - size, end)
        weight = None if sample_weight is None else sample_weight[rows]
        parts.append(Shard(x[rows], y[rows], weight, **validation))
    return parts


def fit_together(estimator, parts, **keywords):
    """The fitted estimator of every rank."""
    return run_ranks(
        lambda group: fit_replica(estimator, parts[group.rank], group, **keywords),
        len(parts),
    )


class Given:
    """Orders of epochs that are given."""

    def __init__(self, epochs):
        self._epochs = iter(epochs)
        self.n_rows = len(epochs[0])

    def next(self, n_epochs):
        return np.stack([next(self._epochs) for _ in range(n_epochs)])

    def skip(self, n_epochs):
        for _ in range(n_epochs):
            next(self._epochs)


@pytest.fixture
def recorded(monkeypatch):
    """Rows of the ranks' shares, by rank and in the order of training."""
    rows = {rank: [] for rank in range(len(SIZES))}
    share = orders.ShardedOrder.share

    def record(self, b, batch_size):
        found = share(self, b, batch_size)
        rows[self._rank].append(found.row_ids.copy())
        return found

    monkeypatch.setattr(orders.ShardedOrder, "share", record)
    return rows


def fit_alone(estimator, parts, recorded, *data, **validation):
    """A local fit of all rows, with the minibatches of the ranks."""
    firsts = np.cumsum([0, *(part.X.shape[0] for part in parts)])
    batches = [
        np.concatenate(
            [first + part for first, part in zip(firsts, shared, strict=False)]
        )
        for shared in zip(*recorded.values(), strict=True)
    ]
    per_epoch = -(-int(firsts[-1]) // 30)
    epochs = [
        np.concatenate(batches[i : i + per_epoch])
        for i in range(0, len(batches), per_epoch)
    ]
    cls = type(estimator)

    class Local(cls):
        def _orders(self, problem, generator):
            return problem, problem, Given(epochs)

    return Local(**estimator.get_params()).fit(*data, **validation)


def assert_same_training(mine, theirs, rtol=1e-7):
    assert_allclose(mine.history_["loss"], theirs.history_["loss"], rtol=rtol)
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(mine, name), getattr(theirs, name), strict=True):
            assert_allclose(a, b, rtol=rtol, atol=rtol)


CASES = {
    "classifier": (MLPClassifier, classes, {}),
    "sgd": (MLPClassifier, classes, {"solver": "sgd", "momentum": 0.8}),
    "balanced": (MLPClassifier, classes, {"class_weight": "balanced"}),
    "multilabel": (MLPClassifier, labels, {"class_weight": "balanced"}),
    "adjusted": (MLPClassifier, classes, {"logit_adjustment": 1.0}),
    "prior": (MLPClassifier, labels, {"prior": [0.2, 0.5, 0.1]}),
    "dropout": (MLPClassifier, classes, {"dropout": 0.4}),
    "noise": (MLPRegressor, values, {"input_noise": 0.2}),
    "clipping": (MLPRegressor, values, {"max_grad_norm": 0.3, "max_norm": 1.0}),
    "layer norm": (MLPRegressor, values, {"normalization": "layer"}),
    "decay": (MLPRegressor, values, {"weight_decay": 0.1, "learning_rate": "cosine"}),
    "scaled": (MLPRegressor, values, {"scale_target": True}),
    "poisson": (MLPRegressor, lambda x: np.exp(x[:, 0]), {"loss": "poisson"}),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("name", CASES)
def test_ranks_train_what_one_would(recorded, name, storage, weighted):
    cls, target, settings = CASES[name]
    if name == "noise" and storage is sparse.csr_array:
        pytest.skip("noise makes sparse X dense")
    x = numbers()
    y, data = target(x), storage(x)
    given = weights(x) if weighted else None
    estimator = cls(**COMMON | settings)
    parts = shards(data, y, sample_weight=given)
    together = fit_together(estimator, parts)
    alone = fit_alone(estimator, parts, recorded, data, y, given)
    assert_same_training(together[0], alone)
    for other in together[1:]:
        assert type(other) is cls
        assert other.loss_curve_ == together[0].loss_curve_
        for a, b in zip(other.coefs_, together[0].coefs_, strict=True):
            assert_array_equal(a, b)
    assert together[0].get_params() == estimator.get_params()
    assert together[0].t_ == 4 * len(x)
    if name in ("adjusted", "prior"):
        assert_allclose(together[2].class_shares_, alone.class_shares_)
        for method in ("predict_proba", "decision_function"):
            mine, theirs = (getattr(one, method)(x) for one in (together[2], alone))
            assert_allclose(mine, theirs, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("cls", "target"), [(MLPClassifier, labels), (MLPRegressor, values)]
)
def test_lbfgs_is_the_local_one(cls, target, weighted):
    x = numbers()
    y = target(x)
    given = weights(x) if weighted else None
    settings = {"solver": "lbfgs", "alpha": 0.1, "max_iter": 8, "batch_size": "auto"}
    estimator = cls(**COMMON | settings)
    together = fit_together(estimator, shards(x, y, sample_weight=given))[0]
    alone = estimator.fit(x, y, given)
    assert together.n_iter_ == alone.n_iter_
    assert_same_training(together, alone, rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"early_stopping": True, "max_iter": 60, "learning_rate_init": 0.02},
        {"normalization": "batch", "dropout": 0.2},
        {"solver": "lbfgs", "max_iter": 9, "batch_size": "auto"},
        {"embedding": "piecewise_linear"},
    ],
)
def test_one_rank_has_the_bits_of_a_local_fit(settings):
    x = numbers()
    y = classes(x)
    estimator = MLPClassifier(**COMMON | settings)
    (alone,) = fit_together(estimator, [Shard(x, y)])
    local = estimator.fit(x, y)
    assert alone.history_["loss"] == local.history_["loss"]
    for a, b in zip(alone.coefs_, local.coefs_, strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("sync_every", [1, 2, float("inf")])
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_a_run_is_repeatable_and_learns(sync_every, normalization):
    x = numbers(1200)
    y = classes(x)
    estimator = MLPClassifier(
        **COMMON | {"max_iter": 20, "normalization": normalization}
    )
    runs = [
        fit_together(estimator, shards(x, y, (300, 500, 400)), sync_every=sync_every)
        for _ in range(2)
    ]
    first, again = runs[0][0], runs[1][2]
    assert first.loss_curve_ == again.loss_curve_
    for a, b in zip(first.coefs_, again.coefs_, strict=True):
        assert_array_equal(a, b)
    assert first.score(x, y) > 0.8


@pytest.mark.parametrize("scoring", [None, "loss", "balanced_accuracy"])
def test_the_validation_is_that_of_all_rows(recorded, scoring):
    """One rank has no validation data, and each has other rows of them."""
    x, other = numbers(), numbers(50, seed=1)
    y = classes(x)
    estimator = MLPClassifier(
        **COMMON | {"early_stopping": True, "scoring": scoring, "max_iter": 6}
    )
    parts = shards(x, y)
    rows = slice(0, 20), slice(20, 50)
    for i in range(2):
        parts[i] = parts[i]._replace(
            X_val=other[rows[i]], y_val=classes(other[rows[i]])
        )
    together = fit_together(estimator, parts)
    alone = fit_alone(
        estimator, parts, recorded, x, y, X_val=other, y_val=classes(other)
    )
    for fitted in together:
        assert_allclose(fitted.validation_scores_, alone.validation_scores_, rtol=1e-7)
        assert fitted.n_iter_ == alone.n_iter_
    assert_same_training(together[0], alone)


def test_the_split_is_scored_over_all_ranks():
    x = numbers(1200)
    estimator = MLPClassifier(
        **COMMON | {"early_stopping": True, "max_iter": 40, "n_iter_no_change": 4}
    )
    together = fit_together(estimator, shards(x, classes(x), (300, 500, 400)))
    assert together[0].validation_scores_ == together[1].validation_scores_
    assert together[0].best_validation_score_ > 0.8


def test_a_class_may_be_in_one_rank_only():
    x = numbers()
    y = np.where(np.arange(len(x)) < SIZES[0], "rare", "common")
    fitted = fit_together(MLPClassifier(**COMMON), shards(x, y))
    for one in fitted:
        assert one.classes_.tolist() == ["common", "rare"]


def test_a_training_goes_on_from_an_epoch(recorded):
    """Bit for bit, where the ranks have the same rows as before."""
    x = numbers()
    y = classes(x)
    estimator = MLPClassifier(**COMMON | {"max_iter": 9, "class_weight": "balanced"})
    parts = shards(x, y)
    whole = fit_together(estimator, parts)[0]
    kept = []

    def stop(update):
        kept.append(update.estimator())
        return update.epoch == 4

    stopped = fit_together(estimator, parts, on_epoch=stop)[0]
    assert stopped.n_iter_ == 4
    assert len(kept) == 4
    assert kept[-1].class_weight == "balanced"
    assert kept[1].loss_curve_ == whole.loss_curve_[:2]
    resumed = fit_together(estimator, parts, resumed_from=kept[-1])[2]
    assert resumed.loss_curve_ == whole.loss_curve_
    for a, b in zip(resumed.coefs_, whole.coefs_, strict=True):
        assert_array_equal(a, b)
    # Other ranks, as after one has been lost.
    two = shards(x, y, (50, 70))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fewer = fit_together(estimator, two, resumed_from=kept[-1])[0]
    assert fewer.loss_curve_[:4] == whole.loss_curve_[:4]
    assert fewer.n_iter_ == 9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"device": "cuda"}, "device='cuda' is not supported by training on several"),
        ({"sampling": "balanced"}, "sampling='balanced' is not supported"),
        ({"batch_size": 2}, "batch_size=2 is less than the number of workers, 3"),
    ],
)
def test_what_needs_all_rows_is_refused(settings, sentence):
    x = numbers()
    with pytest.raises(ValueError, match=sentence):
        fit_together(MLPClassifier(**COMMON | settings), shards(x, classes(x)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda x: x[:, :4],
            "X has 5 features on one worker and 4 features",
        ),
        (lambda x: x.astype(np.float32), "X has dtype float64 on one worker and dtype"),
        (sparse.csr_array, "X has sparse=False on one worker and sparse=True"),
    ],
)
def test_partitions_that_differ_are_refused(change, sentence):
    x = numbers()
    parts = shards(x, classes(x))
    parts[2] = parts[2]._replace(X=change(parts[2].X))
    with pytest.raises(ValueError, match=sentence):
        fit_together(MLPClassifier(**COMMON), parts)


@pytest.mark.parametrize("batch_size", [3, 7, 30, 60])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 3, 55), (59, 1, 1), (20, 20, 20)])
def test_every_row_is_trained_on_once(sizes, batch_size):
    by_rank = [
        orders.ShardedOrder(np.arange(size), sizes, rank)
        for rank, size in enumerate(sizes)
    ]
    total = 0
    seen = [[] for _ in sizes]
    for b in range(by_rank[0].n_batches(batch_size)):
        shares = [order.share(b, batch_size) for order in by_rank]
        counts = [len(share.row_ids) for share in shares]
        assert len({share.n_rows for share in shares}) == 1
        assert shares[0].n_rows == sum(counts) > 0
        assert [share.first_row for share in shares] == [0, *np.cumsum(counts)[:-1]]
        assert all(len(share.row_ids) <= share.capacity for share in shares)
        total += shares[0].n_rows
        for rows, share in zip(seen, shares, strict=True):
            rows += share.row_ids.tolist()
    assert total == sum(sizes)
    assert seen == [list(range(size)) for size in sizes]
