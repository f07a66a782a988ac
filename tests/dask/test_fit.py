"""Fits on a cluster: as the local ones where all rows are on one worker; errors."""

import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask_ranks import left_behind
from distributed import Client, LocalCluster
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.dask import DaskMLPClassifier, DaskMLPRegressor, Epoch

PARAMETERS = {
    "hidden_layer_sizes": (10,),
    "learning_rate": "cosine",
    "learning_rate_init": 0.01,
    "batch_size": 32,
    "max_iter": 5,
    "random_state": 0,
}
LBFGS = {"hidden_layer_sizes": (10,), "solver": "lbfgs", "tol": 1e-2}
N_ROWS, N_FEATURES = 400, 5


@pytest.fixture
def table():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((N_ROWS, N_FEATURES))
    return X, (X[:, 0] > X[:, 1]).astype(int)


def chunked(*arrays, size=100):
    return [da.from_array(each, chunks=(size, *each.shape[1:])) for each in arrays]


def on_one_worker(client, *collections):
    """The collections, all partitions of which are on the same worker."""
    address = sorted(client.nthreads())[0]
    return [client.persist(each, workers=[address]) for each in collections]


def assert_same_network(actual, expected, **tolerances):
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(
            getattr(actual, name), getattr(expected, name), strict=True
        ):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, **tolerances)


@pytest.fixture(autouse=True)
def nothing_left(client):
    yield
    deadline = time.monotonic() + 20
    while any(client.run(left_behind).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(PARAMETERS, id="adam"),
        pytest.param(LBFGS, id="lbfgs", marks=pytest.mark.slow),
        pytest.param(
            PARAMETERS | {"dropout": 0.2, "normalization": "batch"},
            id="dropout and normalization",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            PARAMETERS | {"early_stopping": True, "class_weight": "balanced"},
            id="early stopping",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_on_one_worker_the_bits_are_those_of_the_local_fit(
    client, table, settings, dtype
):
    X, y = table[0].astype(dtype), table[1]
    parameters = settings | {"n_jobs": 1, "random_state": 0}
    model = DaskMLPClassifier(**parameters, client=client)
    model.fit(*on_one_worker(client, *chunked(X, y)))
    local = MLPClassifier(**parameters).fit(X, y)
    assert_same_network(model, local, rtol=0, atol=0)
    assert model.coefs_[0].dtype == dtype
    assert model.history_["loss"] == local.history_["loss"]
    np.testing.assert_array_equal(model.classes_, local.classes_)
    assert model.get_params()["n_jobs"] == 1


def test_several_workers_give_the_same_bits_again(client, table):
    model = DaskMLPClassifier(**PARAMETERS, client=client)
    first = model.fit(*chunked(*table)).to_local()
    second = model.fit(*chunked(*table)).to_local()
    assert_same_network(first, second, rtol=0, atol=0)
    assert model.score(*table) > 0.8


def test_lbfgs_of_several_workers_is_the_local_fit_up_to_rounding(client, table):
    X, y = table[0], table[0][:, 0]
    parameters = LBFGS | {"activation": "tanh", "random_state": 0}
    model = DaskMLPRegressor(**parameters, client=client).fit(*chunked(X, y))
    local = MLPRegressor(**parameters).fit(X, y)
    np.testing.assert_allclose(
        model.history_["loss"][:5], local.history_["loss"][:5], rtol=1e-9
    )


def test_weights_and_validation_data(client, table):
    weights = np.random.RandomState(1).rand(N_ROWS)
    data = chunked(*table, weights)
    X, y, sample_weight = on_one_worker(client, *data)
    model = DaskMLPClassifier(**PARAMETERS, n_jobs=1, client=client)
    model.fit(X, y, sample_weight, X_val=X, y_val=y, sample_weight_val=sample_weight)
    local = MLPClassifier(**PARAMETERS, n_jobs=1).fit(
        *table, weights, X_val=table[0], y_val=table[1], sample_weight_val=weights
    )
    assert_same_network(model, local, rtol=0, atol=0)
    np.testing.assert_allclose(
        model.validation_loss_curve_, local.validation_loss_curve_, rtol=1e-12
    )
    # On two workers, one of which has no validation data.
    X, y, sample_weight = chunked(*table, weights)
    model.fit(X, y, sample_weight, X_val=X[:100], y_val=y[:100])
    assert len(model.validation_scores_) == model.n_iter_


@pytest.mark.parametrize("kind", ["frame", "delayed", "delayed sparse", "sparse"])
def test_all_kinds_of_collections_train_the_same(client, table, kind):
    X, y = chunked(*table)
    expected = DaskMLPClassifier(**PARAMETERS, client=client).fit(X, y)
    names = [*"abcde"]
    if kind == "frame":
        frame = pd.DataFrame(table[0], columns=names).assign(y=table[1])
        frame = dd.from_pandas(frame, npartitions=4)
        X, y = frame[names], frame["y"]
    elif kind == "sparse":
        X = X.map_blocks(sparse.csr_matrix, meta=sparse.csr_matrix((0, N_FEATURES)))
    else:
        make = sparse.csr_array if "sparse" in kind else np.asarray
        parts = [dask.delayed(make)(table[0][i : i + 100]) for i in range(0, 400, 100)]
        X, y = parts, y if "sparse" in kind else [*map(dask.delayed, y.blocks)]
    model = DaskMLPClassifier(**PARAMETERS, client=client).fit(X, y)
    assert_same_network(model, expected, rtol=1e-6, atol=1e-9)
    assert model.n_features_in_ == N_FEATURES
    if kind == "frame":
        np.testing.assert_array_equal(model.feature_names_in_, names)
    proba = model.predict_proba(X)
    assert isinstance(proba, da.Array)
    plain = pd.DataFrame(table[0], columns=names) if kind == "frame" else table[0]
    np.testing.assert_allclose(
        proba.compute(), model.to_local().predict_proba(plain), rtol=1e-6
    )


def test_a_class_may_be_in_one_partition_only(client, table):
    X, y = table[0], table[1].copy()
    y[-3:] = 7
    model = DaskMLPClassifier(**PARAMETERS, client=client).fit(*chunked(X, y))
    np.testing.assert_array_equal(model.classes_, [0, 1, 7])
    assert model.predict_proba(chunked(X)[0]).shape == (N_ROWS, 3)


def test_chunks_of_y_are_cut_like_those_of_X(client, table):
    X, y = chunked(*table)
    model = DaskMLPClassifier(**PARAMETERS, client=client)
    expected = model.fit(X, y).to_local()
    model.fit(X.rechunk((100, 2)), y.rechunk(170))
    assert_same_network(model, expected, rtol=0, atol=0)


def test_empty_partitions_are_skipped(client, table):
    frame = pd.DataFrame(table[0], columns=[*"abcde"]).assign(y=table[1])
    frame = dd.from_pandas(frame, npartitions=4)
    parts = [frame.partitions[0], frame.partitions[1:3], frame.partitions[3]]
    parts[1] = parts[1][parts[1]["a"] > 100]
    frame = dd.concat(parts)
    model = DaskMLPClassifier(**PARAMETERS, client=client)
    model.fit(frame[[*"abcde"]], frame["y"])
    assert len(model.predict(frame[[*"abcde"]]).compute()) == 200


def widths():
    return [dask.delayed(np.ones)((10, 3 + (i == 3))) for i in range(4)]


def with_nan():
    X = np.ones((40, 3))
    X[35, 1] = np.nan
    return da.from_array(X, chunks=(10, 3))


def columns():
    return [dask.delayed(pd.DataFrame)({name: np.ones(10)}) for name in "aaab"]


LABELS = da.from_array(np.arange(40) % 2, chunks=10)
FRAME = dd.from_pandas(pd.DataFrame({"a": np.ones(40)}), npartitions=4)
LENGTHS = [dask.delayed(np.arange)(n) for n in (10, 10, 9, 10)]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (widths(), LABELS, "The partitions of X have different columns: .* 3, .* 4"),
        (widths()[::3], LABELS[:20], "columns|features|widths"),
        (columns(), LABELS, "partition 2 has 'a', partition 3 has 'b'"),
        (with_nan(), LABELS, "Input X contains NaN"),
        (with_nan(), LABELS[:30], "X has 40 rows, but y has 30"),
        (FRAME, LABELS.rechunk(20), "X has 4 partitions, but y has 2"),
        (FRAME, LENGTHS, "Partition 2 of X has 10 rows, but that of y has 9"),
        (da.ones((0, 3)), da.ones((0,)), "X is empty: it has no rows"),
        (da.ones((4, 3, 2)), da.ones((4,)), "X has 3 dimensions"),
    ],
    # Names of collections differ from process to process.
    ids=[
        *("widths", "widths of few", "columns", "nan", "rows", "partitions"),
        *("lengths", "empty", "dimensions"),
    ],
)
def test_data_that_do_not_belong_together_are_refused(client, X, y, message):
    model = DaskMLPClassifier(**PARAMETERS, client=client)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert vars(model) == before


def test_data_in_memory_are_refused(client, table):
    with pytest.raises(TypeError, match=r"X must be a Dask array, .* not ndarray"):
        DaskMLPClassifier(client=client).fit(*table)
    with pytest.raises(TypeError, match=r"y must be a Dask array, .* not ndarray"):
        DaskMLPClassifier(client=client).fit(*chunked(table[0]), table[1])
    with pytest.raises(ValueError, match="X_val is provided, but y_val was not"):
        DaskMLPClassifier(client=client).fit(*chunked(*table), X_val=table[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"device": "cuda"}, "device='cuda' is not supported by training on several"),
        ({"sampling": "balanced"}, "sampling='balanced' is not supported by training"),
        ({"sync_every": 0}, "'sync_every' parameter"),
        ({"timeout": 0}, "'timeout' parameter"),
        ({"alpha": -1}, "'alpha' parameter"),
    ],
    ids=str,
)
def test_parameters_are_checked(client, table, parameters, message):
    with pytest.raises(ValueError, match=message):
        DaskMLPClassifier(**parameters, client=client).fit(*chunked(*table))


def test_an_error_names_its_worker(client):
    with pytest.raises(ValueError, match="NaN") as raised:
        DaskMLPClassifier(client=client).fit(with_nan(), LABELS)
    (note,) = raised.value.__notes__
    assert any(f"On the worker {address} " in note for address in client.nthreads())


def test_errors_of_the_data_themselves_are_raised(client):
    X = da.ones((40, 3), chunks=(10, 3)).map_blocks(fails, dtype=float)
    with pytest.raises(ArithmeticError, match="in a partition"):
        DaskMLPClassifier(client=client).fit(X, LABELS)


def fails(block):
    raise ArithmeticError("in a partition")


def test_epochs_are_told_on_the_client(client, table, capsys):
    told = []
    model = DaskMLPClassifier(**PARAMETERS, verbose=True, client=client)
    X, y = chunked(*table)
    model.fit(X, y, X_val=X, y_val=y, on_epoch=told.append)
    assert all(isinstance(epoch, Epoch) for epoch in told)
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4, 5]
    assert [epoch.loss for epoch in told] == model.loss_curve_
    assert [epoch.validation_loss for epoch in told] == model.validation_loss_curve_
    assert {epoch.n_samples for epoch in told} == {N_ROWS}
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"Iteration 1, loss = {model.loss_curve_[0]:.8f}"
    assert len(printed) >= 10
    assert model.verbose is True


def test_on_epoch_stops_the_training(client, table):
    parameters = PARAMETERS | {"max_iter": 100_000, "n_iter_no_change": 100_000}
    model = DaskMLPClassifier(**parameters, client=client)
    model.fit(*chunked(*table), on_epoch=lambda epoch: epoch.epoch >= 3)
    assert 3 <= model.n_iter_ < 100_000


def test_an_error_of_on_epoch_ends_the_fit(client, table):
    def fail(epoch):
        raise ArithmeticError("of the user's function")

    model = DaskMLPClassifier(**PARAMETERS | {"max_iter": 100_000}, client=client)
    with pytest.raises(ArithmeticError, match="of the user's function"):
        model.fit(*chunked(*table), on_epoch=fail)


def test_the_time_limit_ends_the_training(client, table):
    parameters = PARAMETERS | {"max_iter": 100_000, "n_iter_no_change": 100_000}
    model = DaskMLPClassifier(**parameters, max_time=0.5, client=client)
    with pytest.warns(ConvergenceWarning, match=r"time limit .*max_time=0\.5 s"):
        model.fit(*chunked(*table))
    assert 1 <= model.n_iter_ < 100_000
    assert model.max_time == 0.5


def test_warnings_of_the_training_are_given_once(client, table):
    parameters = PARAMETERS | {"learning_rate": "constant"}
    model = DaskMLPClassifier(**parameters, client=client)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations") as given:
        model.fit(*chunked(*table))
    assert len(given) == 1
    assert given[0].filename == __file__


@pytest.mark.parametrize("sync_every", [3, "epoch"])
def test_workers_may_meet_less_often(client, table, sync_every):
    model = DaskMLPClassifier(**PARAMETERS, sync_every=sync_every, client=client)
    model.fit(*chunked(*table))
    assert model.score(*chunked(*table)) > 0.8


def test_a_closed_client_is_refused(client, table):
    with Client(client.scheduler.address, set_as_default=False) as other:
        pass
    with pytest.raises(RuntimeError, match="The Dask client is closed"):
        DaskMLPClassifier(client=other).fit(*chunked(*table))


def test_a_cluster_without_workers_is_refused(table):
    with (
        LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as empty,
        pytest.raises(RuntimeError, match="The cluster has no workers"),
    ):
        DaskMLPClassifier(client=empty).fit(*chunked(*table))


def test_ranks_that_are_threads_of_one_process(threads_client, table):
    model = DaskMLPClassifier(**PARAMETERS | {"batch_size": 40}, client=threads_client)
    parameters = {"learning_rate": "constant"}
    with pytest.warns(ConvergenceWarning) as given:
        model.set_params(**parameters).fit(*chunked(*table))
    assert len(given) == 1
    assert model.score(*table) > 0.6
