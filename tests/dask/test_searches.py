"""Searches and ensembles on a cluster of Dask: the numbers are those without one."""

import functools

import joblib
import numpy as np
import pytest
from estimator_bits import bits
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingRegressor, VotingClassifier
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_score,
)

from skmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")
local_client = pytest.importorskip("local_cluster").local_client

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Optuna says so of the storage.
    pytest.mark.filterwarnings("ignore:DaskStorage is experimental"),
]

SECONDS = 120
X, Y = make_classification(
    n_samples=400, n_features=10, n_informative=5, n_classes=3, random_state=0
)
YR = make_regression(n_samples=400, n_features=10, noise=1.0, random_state=0)[1] / 100
CLASSES = [0, 1, 2]
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 15, "random_state": 0}
CASES = {"classifier": (MLPClassifier, Y), "regressor": (MLPRegressor, YR)}
both = pytest.mark.parametrize("kind", CASES)


@pytest.fixture(scope="module")
def client():
    with local_client(n_workers=2, threads_per_worker=2) as client:
        yield client


def scores_of(search):
    """All scores and parameters of a search, without its times."""
    return {
        name: np.asarray(values).tolist()
        for name, values in search.cv_results_.items()
        if "time" not in name
    }


@both
@pytest.mark.parametrize("scatters", [False, True])
def test_grid_search(client, kind, scatters):
    estimator, y = CASES[kind]
    grid = {"alpha": [1e-4, 1e-1], "hidden_layer_sizes": [(4,), (12,)]}
    search = GridSearchCV(estimator(**SMALL), grid, cv=3, return_train_score=True)
    expected = clone(search).fit(X, y)
    options = {"scatter": [X, y]} if scatters else {}
    with joblib.parallel_config("dask", **options):
        search.fit(X, y)
    assert scores_of(search) == scores_of(expected)
    assert bits(search.best_estimator_) == bits(expected.best_estimator_)


def test_randomized_search(client):
    search = RandomizedSearchCV(
        MLPClassifier(**SMALL), {"alpha": loguniform(1e-5, 1)}, n_iter=4, random_state=0
    )
    expected = clone(search).fit(X, Y)
    with joblib.parallel_config("dask"):
        search.fit(X, Y)
    assert scores_of(search) == scores_of(expected)


def test_an_error_of_a_fit_comes_back(client):
    search = GridSearchCV(
        MLPClassifier(**SMALL), {"alpha": [-1.0]}, error_score="raise", cv=2
    )
    with joblib.parallel_config("dask"), pytest.raises(ValueError, match="'alpha'"):
        search.fit(X, Y)


def test_bagging(client):
    bagging = BaggingRegressor(MLPRegressor(**SMALL), n_estimators=5, random_state=0)
    expected = clone(bagging).fit(X, YR)
    with joblib.parallel_config("dask"):
        bagging.fit(X, YR)
    assert list(map(bits, bagging.estimators_)) == list(map(bits, expected.estimators_))
    assert np.array_equal(bagging.predict(X), expected.predict(X))


def test_voting(client):
    members = [
        (f"seed_{seed}", MLPClassifier(**{**SMALL, "random_state": seed}))
        for seed in range(4)
    ]
    voting = VotingClassifier(members, voting="soft")
    expected = clone(voting).fit(X, Y)
    with joblib.parallel_config("dask"):
        voting.fit(X, Y)
    assert list(map(bits, voting.estimators_)) == list(map(bits, expected.estimators_))
    assert np.array_equal(voting.predict_proba(X), expected.predict_proba(X))


@pytest.mark.slow
def test_ensembles_for_tables(client):
    model = TabularMLPClassifier(
        n_members=2, random_state=0, mlp_params={"max_iter": 5}
    )
    expected = cross_val_score(model, X, Y, cv=3)
    with joblib.parallel_config("dask"):
        found = cross_val_score(model, X, Y, cv=3)
    assert found.tolist() == expected.tolist()


@pytest.fixture(scope="module")
def blocks(client):
    """The rows in four blocks, as Dask's arrays: X and the targets of each kind."""
    da = pytest.importorskip("dask.array")
    return {
        name: da.from_array(array, chunks=(100, *array.shape[1:]))
        for name, array in {"X": X, "classifier": Y, "regressor": YR}.items()
    }


def options_of_partial_fit(kind):
    return {"classes": CLASSES} if kind == "classifier" else {}


@both
def test_incremental(client, blocks, kind):
    """`partial_fit` on block after block, each where it lies."""
    wrappers = pytest.importorskip("dask_ml.wrappers")
    estimator, y = CASES[kind]
    options = options_of_partial_fit(kind)
    incremental = wrappers.Incremental(estimator(**SMALL), shuffle_blocks=False)
    expected = estimator(**SMALL)
    for _ in range(2):
        incremental.partial_fit(blocks["X"], blocks[kind], **options)
        for start in range(0, len(X), 100):
            rows = slice(start, start + 100)
            expected.partial_fit(X[rows], y[rows], **options)
    assert bits(incremental.estimator_) == bits(expected)
    predicted = incremental.predict(blocks["X"]).compute()
    assert np.array_equal(predicted, expected.predict(X))


def fit_on(client, search, X, y, kind):
    """Fit a search of dask-ml."""
    # The search persists arrays within the client's event loop, which Dask forbids to
    # those who do not name the client.
    with dask.config.set(scheduler=client.get):
        return search.fit(X, y, **options_of_partial_fit(kind))


@pytest.mark.parametrize(
    "kind", ["classifier", pytest.param("regressor", marks=pytest.mark.slow)]
)
def test_hyperband_finds_the_same_again(client, blocks, kind):
    model_selection = pytest.importorskip("dask_ml.model_selection")
    distributions = {
        "alpha": loguniform(1e-5, 1),
        "learning_rate_init": loguniform(1e-4, 1e-1),
    }
    search = model_selection.HyperbandSearchCV(
        CASES[kind][0](**SMALL), distributions, max_iter=9, random_state=0
    )
    first, second = (
        fit_on(client, clone(search), blocks["X"], blocks[kind], kind) for _ in range(2)
    )
    assert first.best_params_ == second.best_params_
    assert scores_of(first) == scores_of(second)
    assert bits(first.best_estimator_) == bits(second.best_estimator_)


@both
def test_the_best_model_of_a_search_is_that_of_its_calls(client, kind):
    """As many calls of `partial_fit` without Dask lead to it, and to its score."""
    da = pytest.importorskip("dask.array")
    model_selection = pytest.importorskip("dask_ml.model_selection")
    estimator, y = CASES[kind]
    arrays = [da.from_array(each, chunks=each.shape) for each in (X, y)]
    split = {"test_size": 0.25, "random_state": 0}
    search = model_selection.IncrementalSearchCV(
        estimator(**SMALL),
        {"alpha": loguniform(1e-5, 1)},
        n_initial_parameters=4,
        max_iter=5,
        decay_rate=None,
        **split,
    )
    fit_on(client, search, *arrays, kind)
    X_train, X_test, y_train, y_test = dask.compute(
        *model_selection.train_test_split(*arrays, shuffle=True, **split)
    )
    expected = estimator(**SMALL).set_params(**search.best_params_)
    for _ in range(search.cv_results_["partial_fit_calls"][search.best_index_]):
        expected.partial_fit(X_train, y_train, **options_of_partial_fit(kind))
    assert bits(search.best_estimator_) == bits(expected)
    assert search.best_score_ == expected.score(X_test, y_test)


def score_of_trial(trial, X, y):
    model = MLPClassifier(**SMALL).set_params(
        alpha=trial.suggest_float("alpha", 1e-5, 1.0, log=True),
        hidden_layer_sizes=(trial.suggest_int("units", 4, 32, log=True),),
    )
    return cross_val_score(model, X, y, cv=2).mean()


@pytest.fixture
def optuna():
    pytest.importorskip("optuna_integration.dask")
    optuna = pytest.importorskip("optuna")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield optuna
    optuna.logging.set_verbosity(before)


def trials_on(client, study, n_tasks, n_trials):
    """The trials of a study in the storage of a cluster, run by some tasks at once."""
    objective = functools.partial(score_of_trial, X=X, y=Y)
    futures = [
        client.submit(study.optimize, objective, n_trials=n_trials, pure=False)
        for _ in range(n_tasks)
    ]
    for future in futures:
        future.result(SECONDS)
    return sorted((*trial.params.values(), trial.value) for trial in study.trials)


def test_trials_of_optuna_have_the_values_that_they_have_without_dask(client, optuna):
    from optuna_integration import DaskStorage

    study = optuna.create_study(
        storage=DaskStorage(client=client), direction="maximize"
    )
    found = trials_on(client, study, n_tasks=4, n_trials=2)
    assert len(found) == len(set(found)) == 8  # the tasks draw, each for itself
    for trial in study.trials:
        fixed = optuna.trial.FixedTrial(trial.params)
        assert trial.value == score_of_trial(fixed, X, Y)
    assert study.best_value == max(value for *_, value in found)


def test_tasks_with_a_seeded_sampler_try_the_same(client, optuna):
    """Why the page has a sampler without a seed."""
    from optuna_integration import DaskStorage

    study = optuna.create_study(
        storage=DaskStorage(client=client), sampler=optuna.samplers.RandomSampler(0)
    )
    assert len(set(trials_on(client, study, n_tasks=3, n_trials=1))) == 1


def test_a_queue_of_optuna_is_that_without_dask(client, optuna):
    from optuna_integration import DaskStorage

    studies = [
        optuna.create_study(storage=storage, direction="maximize")
        for storage in (DaskStorage(client=client), None)
    ]
    for study in studies:
        for units in (4, 8, 16, 32):
            study.enqueue_trial({"units": units, "alpha": 1e-3})
    far, near = studies
    near.optimize(functools.partial(score_of_trial, X=X, y=Y), n_trials=4)
    expected = sorted((*trial.params.values(), trial.value) for trial in near.trials)
    assert trials_on(client, far, n_tasks=4, n_trials=1) == expected
    assert far.best_params == near.best_params
