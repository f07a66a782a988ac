"""The parameter `embedding`: what a fit keeps, goes on with, and refuses."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification, make_friedman1

import skmlp
from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import reference
from skmlp.exceptions import IneffectiveParameterWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::skmlp.exceptions.PoorFitWarning",
)

X, Y = make_classification(n_samples=300, n_features=6, random_state=0)
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def model(cls=MLPClassifier, **settings):
    return cls(embedding="piecewise_linear", **{**SETTINGS, **settings})


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_bend_is_learned_by_a_linear_model(solver):
    """One number decides, by thresholds: no hidden unit is needed."""
    x = np.random.default_rng(0).uniform(-1, 1, (400, 1))
    y = (np.abs(x[:, 0]) > 0.5).astype(int)
    settings = {"solver": solver, "hidden_layer_sizes": (), "max_iter": 300}
    rate = {} if solver == "lbfgs" else {"learning_rate_init": 0.05}
    plain = MLPClassifier(**settings, **rate, random_state=0).fit(x, y)
    bent = model(**settings, **rate).fit(x, y)
    assert plain.score(x, y) < 0.8
    assert bent.score(x, y) > 0.95


def test_it_helps_where_single_features_bend():
    x, y = make_friedman1(600, random_state=0)
    settings = {"hidden_layer_sizes": (30,), "max_iter": 200, "scale_target": True}
    plain = MLPRegressor(random_state=0, **settings).fit(x[:400], y[:400])
    bent = model(MLPRegressor, **settings).fit(x[:400], y[:400])
    assert bent.score(x[400:], y[400:]) > plain.score(x[400:], y[400:])


def test_attributes():
    x = np.c_[X, X[:, 0] > 0]
    fitted = model(n_bins=5, embedding_dim=3).fit(x, Y)
    assert fitted.coefs_[0].shape == (7 + 6 * 3, 8)
    assert [len(edges) for edges in fitted.bin_edges_] == [6] * 6 + [0]
    assert [w.shape for w in fitted.embedding_weights_] == [(5, 3)] * 6
    plain = MLPClassifier(**SETTINGS).fit(x, Y)
    assert plain.bin_edges_ is None
    assert plain.embedding_weights_ is None


def test_predictions_are_those_of_the_attributes():
    fitted = model().fit(X, Y)
    parts = [X]
    for i, matrix in enumerate(fitted.embedding_weights_):
        edges = fitted.bin_edges_[i]
        code = np.clip((X[:, [i]] - edges[:-1]) / np.diff(edges), 0, 1)
        parts.append(code @ matrix)
    hidden = np.concatenate(parts, axis=1) @ fitted.coefs_[0] + fitted.intercepts_[0]
    raw = np.maximum(hidden, 0) @ fitted.coefs_[1] + fitted.intercepts_[1]
    expected = 1 / (1 + np.exp(-raw.ravel()))
    assert_allclose(fitted.predict_proba(X)[:, 1], expected, rtol=1e-9)
    assert_allclose(fitted.hidden_activations(X), np.maximum(hidden, 0), rtol=1e-9)


def test_the_columns_without_bins_alone_leave_no_embedding():
    x = (X > 0).astype(float)
    assert_array_equal(
        model().fit(x, Y).predict_proba(x),
        MLPClassifier(**SETTINGS).fit(x, Y).predict_proba(x),
    )


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda fitted: pickle.loads(pickle.dumps(fitted))],
    ids=["deepcopy", "pickle"],
)
def test_copies_predict_and_go_on_alike(copied):
    fitted = model().fit(X, Y)
    again = copied(fitted)
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    # All parameters are views on one vector, so that predictions copy nothing.
    _, vector = again._fitted_network()
    assert np.shares_memory(vector, again.embedding_weights_[0])
    assert np.shares_memory(vector, again.coefs_[0])
    for one in (again, fitted):
        one.partial_fit(X, Y)
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_partial_fit_keeps_the_bins_of_the_first_chunk():
    streamed = model().partial_fit(X[:100], Y[:100], classes=[0, 1])
    edges = [edges.copy() for edges in streamed.bin_edges_]
    streamed.partial_fit(10 * X[100:], Y[100:])
    for before, after in zip(edges, streamed.bin_edges_, strict=True):
        assert_array_equal(before, after)


def test_resuming_equals_one_long_fit():
    long = model(max_iter=8).fit(X, Y)
    short = model(max_iter=5).fit(X, Y).resume(X, Y, max_iter=8)
    for one, other in zip(long.coefs_, short.coefs_, strict=True):
        assert_array_equal(one, other)
    for one, other in zip(
        long.embedding_weights_, short.embedding_weights_, strict=True
    ):
        assert_array_equal(one, other)


def test_warm_starts_go_on():
    warm = model(warm_start=True, max_iter=3).fit(X, Y)
    loss = warm.loss_
    assert warm.fit(X, Y).loss_ < loss


def test_early_stopping_restores_the_embedding():
    fitted = model(early_stopping=True, max_iter=30, n_iter_no_change=5)
    fitted.fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    assert fitted.score(X[200:], Y[200:]) == pytest.approx(
        fitted.best_validation_score_
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_give_the_same_bits(dtype):
    x = X.astype(dtype)
    one, two = (
        model(n_jobs=n_jobs, hidden_layer_sizes=(200, 100), batch_size=150).fit(x, Y)
        for n_jobs in (1, 2)
    )
    assert one.coefs_[0].dtype == dtype
    assert_array_equal(one.predict_proba(x), two.predict_proba(x))


def test_clones_and_data_driven_weights():
    start = model(weight_init="data_driven", hidden_layer_sizes=(20, 10))
    fitted = start.fit(X, Y)
    assert_array_equal(clone(fitted).fit(X, Y).predict_proba(X), start.predict_proba(X))


def test_it_can_be_diagnosed():
    table = skmlp.diagnose(model().fit(X, Y), X, Y)
    assert len(table.rows) == 1
    assert np.isfinite(table.rows[0].gradient)


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({"normalization": "batch"}, X, "does not support normalization='batch'"),
        ({"input_noise": 0.1}, X, "does not support input_noise=0.1"),
        ({}, sparse.csr_matrix(X), "needs dense X"),
        ({"embedding": "periodic"}, X, "The 'embedding' parameter of MLPClassifier"),
        ({"n_bins": 1}, X, "The 'n_bins' parameter of MLPClassifier"),
    ],
)
def test_refusals_leave_the_fitted_model(settings, x, message):
    fitted = model().fit(X, Y)
    before = fitted.predict_proba(X)
    failing = copy.deepcopy(fitted).set_params(**settings)
    with pytest.raises(ValueError, match=message):
        failing.fit(x, Y)
    assert_array_equal(failing.predict_proba(X), before)


def test_bins_without_an_embedding_have_no_effect():
    with pytest.warns(IneffectiveParameterWarning, match="n_bins.*without embedding"):
        MLPClassifier(n_bins=8, **SETTINGS).fit(X, Y)


def test_the_reference_predicts_alike():
    fitted = model().fit(X, Y)
    network, params = fitted._fitted_network()
    raw, _ = reference.outputs(network, params, X, network.output, 1)
    assert_allclose(fitted.predict_proba(X)[:, 1], np.ravel(raw), rtol=1e-9)
