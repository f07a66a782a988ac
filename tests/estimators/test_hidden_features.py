"""HiddenFeatures: a hidden layer of a network as a transformer."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmlp import HiddenFeatures, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::skmlp.exceptions.PoorFitWarning",
)

X, Y = make_classification(n_samples=200, n_features=6, random_state=0)
SETTINGS = {"hidden_layer_sizes": (7, 5), "max_iter": 5, "random_state": 0}
CONFIGURATIONS = {
    "classifier": MLPClassifier(**SETTINGS),
    "regressor": MLPRegressor(**SETTINGS, activation="tanh"),
    "float32": MLPClassifier(**SETTINGS, dtype="float32"),
    "batch": MLPClassifier(**SETTINGS, normalization="batch"),
    "layer": MLPClassifier(**SETTINGS, normalization="layer"),
    "embedding": MLPRegressor(**SETTINGS, embedding="piecewise_linear"),
}


# The checks seed the transformer alone, and pass no ``classes`` to its `partial_fit`,
# which there is not with this solver.
@parametrize_with_checks(
    [
        HiddenFeatures(MLPRegressor(max_iter=20, random_state=0)),
        HiddenFeatures(MLPClassifier(solver="lbfgs", max_iter=20, random_state=0)),
    ]
)
@pytest.mark.filterwarnings("default")
def test_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize("layer", [0, 1, -1, -2])
def test_features_are_those_of_the_network(name, layer):
    network = CONFIGURATIONS[name]
    features = HiddenFeatures(network, layer).fit_transform(X, Y)
    fitted = clone(network).fit(X, Y)
    np.testing.assert_array_equal(features, fitted.hidden_activations(X, layer))
    assert features.dtype == (np.float32 if name == "float32" else np.float64)
    frozen = HiddenFeatures(FrozenEstimator(fitted), layer).fit(X)
    np.testing.assert_array_equal(frozen.transform(X), features)


def test_a_frozen_network_is_not_trained():
    fitted = MLPClassifier(**SETTINGS).fit(X, Y)
    before = fitted.coefs_[0].copy()
    model = HiddenFeatures(FrozenEstimator(fitted)).fit(X + 1, 1 - Y)
    np.testing.assert_array_equal(fitted.coefs_[0], before)
    assert model.estimator_.estimator is fitted
    with pytest.raises(NotFittedError):
        HiddenFeatures(FrozenEstimator(MLPClassifier())).fit(X)


def test_the_estimator_passed_is_cloned():
    network = MLPClassifier(**SETTINGS)
    HiddenFeatures(network).fit(X, Y)
    assert not hasattr(network, "coefs_")


@pytest.mark.parametrize("n_steps", [1, 2])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_a_pipeline_transforms_before_its_network(n_steps, is_frozen):
    steps = [StandardScaler(), MLPClassifier(**SETTINGS)][-n_steps:]
    pipe = make_pipeline(*steps).fit(X, Y)
    expected = pipe[-1].hidden_activations(
        pipe[0].transform(X) if n_steps == 2 else X, 0
    )
    estimator = FrozenEstimator(pipe) if is_frozen else pipe
    model = HiddenFeatures(estimator, layer=0).fit(X, Y)
    np.testing.assert_array_equal(model.transform(X), expected)
    assert model.n_features_in_ == 6


def test_in_a_pipeline_and_a_search():
    pipe = make_pipeline(
        StandardScaler(),
        HiddenFeatures(MLPClassifier(**SETTINGS)),
        LogisticRegression(),
    )
    grid = {
        "hiddenfeatures__layer": [0, 1],
        "hiddenfeatures__estimator__alpha": [1e-4, 1],
    }
    search = GridSearchCV(pipe, grid, cv=2).fit(X, Y)
    assert search.score(X, Y) > 0.6
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))


def test_names_and_frames():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = HiddenFeatures(MLPClassifier(**SETTINGS)).set_output(transform="pandas")
    out = model.fit(frame, Y).transform(frame)
    expected = [f"hiddenfeatures{i}" for i in range(5)]
    assert list(out.columns) == list(model.get_feature_names_out()) == expected
    assert list(model.feature_names_in_) == list("abcdef")
    # Of a second fit without names none are left.
    assert not hasattr(model.fit(X, Y), "feature_names_in_")


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_array])
def test_sparse_stays_sparse(convert, assert_same):
    model = HiddenFeatures(MLPClassifier(**SETTINGS)).fit(convert(X), Y)
    dense = model.estimator_.hidden_activations(X)
    assert_same(model.transform(convert(X)), dense, 1e-10)


def test_partial_fit_goes_on():
    model = HiddenFeatures(MLPClassifier(**SETTINGS))
    network = MLPClassifier(**SETTINGS)
    for _ in range(3):
        model.partial_fit(X, Y, classes=[0, 1])
        network.partial_fit(X, Y, classes=[0, 1])
    np.testing.assert_array_equal(model.transform(X), network.hidden_activations(X))
    assert not hasattr(HiddenFeatures(make_pipeline(network)), "partial_fit")


@pytest.mark.parametrize("routed", [False, True])
def test_weights_reach_the_network(routed):
    weights = np.arange(200.0)
    network = MLPClassifier(**SETTINGS)
    expected = clone(network).fit(X, Y, weights).hidden_activations(X)
    with sklearn.config_context(enable_metadata_routing=routed):
        if routed:
            network = network.set_fit_request(sample_weight=True)
        model = HiddenFeatures(network).fit(X, Y, sample_weight=weights)
    np.testing.assert_array_equal(model.transform(X), expected)


@pytest.mark.parametrize(
    ("estimator", "layer", "error", "message"),
    [
        (MLPClassifier((6, 5)), 2, ValueError, r"layer == 2, must be in \[-2, 1\]"),
        (MLPClassifier(()), -1, ValueError, "layer == -1: the network has 0 hidden"),
        (make_pipeline(MLPClassifier(4)), 1, ValueError, r"must be in \[-1, 0\]"),
        (MLPClassifier(), 0.5, ValueError, "The 'layer' parameter"),
        (
            LogisticRegression(),
            0,
            TypeError,
            "needs an MLPClassifier, .* got estimator",
        ),
        (make_pipeline(StandardScaler()), 0, TypeError, "Pipeline that ends with one"),
    ],
)
def test_what_has_no_such_layer_is_not_trained(
    estimator, layer, error, message, monkeypatch
):
    monkeypatch.setattr(MLPClassifier, "fit", None)
    with pytest.raises(error, match=message):
        HiddenFeatures(estimator, layer).fit(X, Y)


def test_a_failed_fit_keeps_the_fitted_model():
    model = HiddenFeatures(MLPClassifier(**SETTINGS)).fit(X, Y)
    before = model.transform(X)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full_like(X, np.nan), Y)
    frozen = FrozenEstimator(MLPClassifier((4,), max_iter=1).fit(X, Y))
    with pytest.raises(ValueError, match="layer == 1"):
        model.set_params(estimator=frozen, layer=1).fit(X, Y)
    model.set_params(layer=-1)
    np.testing.assert_array_equal(model.transform(X), before)
    with pytest.raises(NotFittedError):
        HiddenFeatures(MLPClassifier()).transform(X)
