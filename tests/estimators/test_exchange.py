"""Fitted networks go to scikit-learn and come from it, and are built by hand."""

import copy
import pickle

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn import neural_network
from sklearn.exceptions import NotFittedError
from sklearn.utils.fixes import parse_version

import skmlp
from skmlp import Activation, MLPAutoencoder, MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.ValidationWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
CODES = np.arange(80) % 3
NAMES = np.array(["ash", "beech", "cedar"])
NUMBERS = X @ RNG.normal(size=4)
SEVERAL = (X[:, :3] > 0).astype(int)
COMMON = {"hidden_layer_sizes": (6, 5), "max_iter": 5, "random_state": 0}
KINDS = {
    "classes": ("MLPClassifier", CODES, {}),
    "names": ("MLPClassifier", NAMES[CODES], {}),
    "two names": ("MLPClassifier", NAMES[CODES // 2], {}),
    "booleans": ("MLPClassifier", CODES > 0, {}),
    "labels": ("MLPClassifier", SEVERAL, {}),
    "number": ("MLPRegressor", NUMBERS, {}),
    "numbers": ("MLPRegressor", np.column_stack([NUMBERS, -NUMBERS]), {}),
    "counts": ("MLPRegressor", np.floor(np.exp(NUMBERS / 3)), {"loss": "poisson"}),
}
SETTINGS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.5},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling"},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3},
    "tanh": {"activation": "tanh", "hidden_layer_sizes": 7, "shuffle": False},
    "no hidden layer": {"hidden_layer_sizes": ()},
}


def predictions(model, x=X):
    """All that a model predicts."""
    names = ("predict_proba",) if hasattr(model, "predict_proba") else ("predict",)
    return [np.asarray(getattr(model, name)(x), dtype=float) for name in names]


def assert_same_predictions(one, other, rtol=1e-12):
    labels = one.predict(X)
    if labels.dtype.kind != "f":
        assert np.array_equal(labels, other.predict(X))
        assert labels.dtype == other.predict(X).dtype
    for a, b in zip(predictions(one), predictions(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def made(package, kind, **settings):
    """An estimator of a package, by the name of its kind, and its y."""
    name, y, own = KINDS[kind]
    stops = settings.get("early_stopping")
    if (
        stops
        and kind == "two names"
        and parse_version(sklearn.__version__) < parse_version("1.7.1")
    ):
        pytest.skip("scikit-learn 1.7.0 has no early stopping for labels of text")
    return getattr(package, name)(**{**COMMON, **own, **settings}), y


@pytest.mark.sampled
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_to_scikit_learn_and_back(kind, setting):
    ours, y = made(skmlp, kind, **SETTINGS[setting])
    ours.fit(X, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is getattr(neural_network, KINDS[kind][0])
    assert_same_predictions(ours, theirs)
    assert {k: ours.get_params()[k] for k in theirs.get_params()} == theirs.get_params()
    back = skmlp.from_sklearn(theirs)
    assert_same_predictions(ours, back)
    assert back.get_params() == ours.get_params()
    for name in ("loss_", "n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_"):
        assert getattr(back, name) == getattr(ours, name) == getattr(theirs, name)
    # A second fit is scikit-learn's, or ours.
    fresh, _ = made(neural_network, kind, **SETTINGS[setting])
    assert_same_predictions(theirs.fit(X, y), fresh.fit(X, y))
    assert_same_predictions(back.fit(X, y), ours.fit(X, y))


@pytest.mark.sampled
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_from_scikit_learn(kind, setting):
    theirs, y = made(neural_network, kind, **SETTINGS[setting])
    ours = skmlp.from_sklearn(theirs.fit(X, y))
    assert type(ours) is getattr(skmlp, KINDS[kind][0])
    assert_same_predictions(theirs, ours)
    assert set(vars(ours)) >= set(vars(made(skmlp, kind, **SETTINGS[setting])[0]))
    again = pickle.loads(pickle.dumps(ours))
    assert_same_predictions(theirs, again)
    for name in ("classes_", "loss_curve_", "validation_scores_", "best_loss_"):
        if hasattr(theirs, name):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.sampled
@pytest.mark.parametrize("setting", ["adam", "sgd", "invscaling", "early stopping"])
@pytest.mark.parametrize("kind", ["classes", "labels", "counts"])
@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_training_goes_on(kind, setting, direction):
    """By `partial_fit` and warm starts, as if the package had not changed."""
    if kind == "classes" and setting == "early stopping":
        pytest.skip("the split is stratified here alone, see docs/differences.md")
    settings = {**SETTINGS[setting], "warm_start": True}
    theirs, y = made(neural_network, kind, **settings)
    ours, _ = made(skmlp, kind, **settings)
    ours.fit(X, y)
    theirs.fit(X, y)
    moved = ours.to_sklearn() if direction == "to" else skmlp.from_sklearn(theirs)
    stayed = theirs if direction == "to" else ours
    for model in (moved, stayed):
        model.fit(X, y)
    assert_same_predictions(moved, stayed, rtol=1e-9)
    np.testing.assert_allclose(moved.loss_curve_, stayed.loss_curve_, rtol=1e-9)
    if setting == "early stopping":
        return
    for model in (moved, stayed):
        # Each call of scikit-learn's begins the random numbers anew.
        model.set_params(shuffle=False)
        model.partial_fit(X, y).partial_fit(X, y)
    assert_same_predictions(moved, stayed, rtol=1e-9)


def test_single_precision_and_names_of_features():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X.astype(np.float32), columns=list("abcd"))
    ours = MLPClassifier(**COMMON).fit(frame, CODES)
    for model in (ours.to_sklearn(), skmlp.from_sklearn(ours.to_sklearn())):
        assert model.coefs_[0].dtype == np.float32
        assert model.feature_names_in_.tolist() == list("abcd")
        np.testing.assert_allclose(
            model.predict_proba(frame), ours.predict_proba(frame), rtol=1e-5
        )


def test_sparse_labels():
    ours = MLPClassifier(**COMMON).fit(X, sparse.csr_matrix(SEVERAL))
    theirs = ours.to_sklearn()
    back = skmlp.from_sklearn(theirs)
    for model in (theirs, back):
        predicted = model.predict(X)
        assert sparse.issparse(predicted)
        assert (predicted != ours.predict(X)).nnz == 0


def test_the_copies_share_nothing():
    ours = MLPClassifier(**COMMON).fit(X, CODES)
    theirs = ours.to_sklearn()
    back = skmlp.from_sklearn(theirs)
    expected = predictions(ours)
    theirs.partial_fit(X, CODES)
    back.partial_fit(X, CODES)
    assert np.array_equal(predictions(ours), expected)
    assert len(ours.loss_curve_) == 5


def own_value(z):
    return z / 2


def own_slope(a):
    return 0.5 + 0 * a


MISSING = {
    "normalization='batch'": ({"normalization": "batch"}, CODES),
    "embedding='piecewise_linear'": ({"embedding": "piecewise_linear"}, CODES),
    "activation='gelu'": ({"activation": "gelu"}, CODES),
    r"activation=\['relu', 'tanh'\]": ({"activation": ["relu", "tanh"]}, CODES),
    "activation='half'": (
        {"activation": Activation("half", own_value, own_slope)},
        CODES,
    ),
    "target of several columns of classes": ({}, np.column_stack([CODES, CODES])),
    "loss of classes in an order": ({"loss": "ordinal"}, CODES),
    "probabilities of a single class": ({}, 0 * CODES),
    "out_activation='identity'": ({"loss": "hinge"}, CODES),
    "out_activation='logistic'": ({"out_activation": "logistic"}, CODES),
    "logit_adjustment": ({"logit_adjustment": 1.0}, CODES),
}


@pytest.mark.parametrize("words", MISSING)
def test_what_predictions_need_is_refused_by_name(words):
    settings, y = MISSING[words]
    model = MLPClassifier(**COMMON, **settings).fit(X, y)
    for predict_only in (True, False):
        with pytest.raises(ValueError, match=f"MLPClassifier has no .*{words}"):
            model.to_sklearn(predict_only=predict_only)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("loss='gaussian_nll'", {"loss": "gaussian_nll"}),
        ("loss='quantile'", {"loss": "quantile", "quantile": [0.1, 0.9]}),
        ("out_activation='softplus'", {"out_activation": "softplus"}),
    ],
)
def test_what_predictions_of_a_regressor_need_is_refused_by_name(words, settings):
    model = MLPRegressor(**COMMON, **settings).fit(X, np.exp(NUMBERS))
    with pytest.raises(ValueError, match=f"MLPRegressor has no .*{words}"):
        model.to_sklearn(predict_only=True)


def test_all_that_is_missing_is_named():
    model = MLPClassifier(
        **COMMON, normalization="layer", dropout=0.1, solver="nadam", activation="silu"
    ).fit(X, CODES)
    with pytest.raises(ValueError, match="has no") as caught:
        model.to_sklearn()
    for part in ("normalization='layer'", "dropout=0.1", "'nadam'", "'silu'"):
        assert part in str(caught.value)
    assert "predict_only" not in str(caught.value)


TRAINING = {
    "classes": {"class_weight": "balanced", "solver": "nadam", "dropout": 0.1},
    "two names": {"prior": [0.3, 0.7], "learning_rate": "cosine"},
    "labels": {"prior": [0.3, 0.7, 0.5], "label_smoothing": 0.1},
    "number": {"loss": "huber", "scale_target": True},
    "numbers": {"scale_target": True, "weight_decay": 0.01},
    "counts": {"scale_target": True, "max_grad_norm": 1.0},
}


@pytest.mark.parametrize("kind", TRAINING)
def test_predictions_alone(kind):
    settings = TRAINING[kind]
    ours, y = made(skmlp, kind, **settings)
    ours.fit(X, y * 1000.0 if "scale_target" in settings else y)
    with pytest.raises(ValueError, match=r"call to_sklearn\(predict_only=True\)") as e:
        ours.to_sklearn()
    assert all(f"{name}={value!r}" in str(e.value) for name, value in settings.items())
    theirs = ours.to_sklearn(predict_only=True)
    assert_same_predictions(ours, theirs, rtol=1e-11)
    theirs.fit(X, y)


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match=r"of sklearn\.neural_network, got MLPAutoenc"):
        skmlp.from_sklearn(MLPAutoencoder())
    with pytest.raises(NotFittedError):
        skmlp.from_sklearn(neural_network.MLPClassifier())
    with pytest.raises(NotFittedError):
        MLPRegressor().to_sklearn()
    assert not hasattr(MLPAutoencoder, "to_sklearn")


# Public attributes that users of scikit-learn set to build a model.
PUBLIC = ("coefs_", "intercepts_", "classes_", "n_layers_", "n_outputs_")
BUILT = {
    "classes": {},
    "names": {"activation": ["gelu", "tanh"]},
    "two names": {},
    "booleans": {},
    "labels": {},
    "number": {},
    "numbers": {"loss": "gaussian_nll"},
    "counts": {"out_activation": "exp"},
    "hinge": {"loss": "hinge"},
    "quantiles": {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]},
    "ordinal": {"loss": "ordinal"},
    "columns": {},
    "batch": {"normalization": "batch"},
    "embedding": {"embedding": "piecewise_linear", "n_bins": 4},
}
BUILT_KINDS = KINDS | {
    "hinge": ("MLPClassifier", CODES, {}),
    "quantiles": ("MLPRegressor", NUMBERS, {}),
    "ordinal": ("MLPClassifier", NAMES[CODES], {}),
    "columns": (
        "MLPClassifier",
        np.column_stack([NAMES[CODES], NAMES[::-1][CODES]]),
        {},
    ),
    "batch": ("MLPClassifier", CODES, {}),
    "embedding": ("MLPRegressor", NUMBERS, {}),
}


@pytest.mark.parametrize("kind", BUILT)
def test_a_model_built_from_public_attributes(kind):
    name, y, own = BUILT_KINDS[kind]
    settings = {**COMMON, **own, **BUILT[kind]}
    model = getattr(skmlp, name)(**settings).fit(X, y)
    built = getattr(skmlp, name)(**settings)
    for attribute in (*PUBLIC, "out_activation_", "class_order_", "bin_edges_"):
        if hasattr(model, attribute):
            setattr(built, attribute, copy.deepcopy(getattr(model, attribute)))
    for attribute in ("norm_scales_", "norm_means_", "norm_variances_"):
        setattr(built, attribute, copy.deepcopy(getattr(model, attribute)))
    built.embedding_weights_ = copy.deepcopy(model.embedding_weights_)
    for method in ("predict", "predict_proba", "decision_function", "score"):
        if not hasattr(model, method):
            continue
        arguments = (X, y) if method == "score" else (X,)
        found = getattr(built, method)(*arguments)
        assert np.array_equal(found, getattr(model, method)(*arguments))
    again = pickle.loads(pickle.dumps(built))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert built.n_features_in_ == 4
    assert np.array_equal(
        built.hidden_activations(X, 0), model.hidden_activations(X, 0)
    )
    # Edits of the arrays count, and so does another one in their place.
    before = built.hidden_activations(X, 0)
    built.coefs_[0][:] = 0
    built.intercepts_[0] = np.ones_like(built.intercepts_[0])
    assert not np.array_equal(built.hidden_activations(X, 0), before)
    built.set_params(warm_start=True).fit(X, y)
    getattr(skmlp, name)(**settings).fit(X, y)


def test_a_built_model_predicts_as_that_of_scikit_learn():
    theirs = neural_network.MLPRegressor(**COMMON).fit(X, NUMBERS)
    ours = MLPRegressor(**COMMON)
    for name in ("coefs_", "intercepts_", "n_layers_", "out_activation_"):
        setattr(ours, name, getattr(theirs, name))
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match="X has 3 features, but MLPRegressor is expec"):
        ours.predict(X[:, :3])


def test_a_built_autoencoder():
    model = MLPAutoencoder((6, 2, 6), max_iter=3, random_state=0).fit(X)
    built = MLPAutoencoder((6, 2, 6))
    for name in ("coefs_", "intercepts_", "out_activation_"):
        setattr(built, name, getattr(model, name))
    assert np.array_equal(built.transform(X), model.transform(X))
    assert np.array_equal(built.reconstruct(X), model.reconstruct(X))
    assert np.array_equal(built.score_samples(X), model.score_samples(X))


def test_classes_that_do_not_fit_the_outputs():
    model = MLPClassifier(**COMMON).fit(X, CODES)
    built = MLPClassifier(**COMMON)
    built.coefs_, built.intercepts_ = model.coefs_, model.intercepts_
    built.classes_, built.out_activation_ = np.arange(5), "softmax"
    with pytest.raises(ValueError, match=r"needs 5 outputs, but intercepts_\[-1\] has"):
        built.predict(X)
    built.fit(X, CODES)


def test_an_unfitted_model_has_none_of_them():
    for cls in (MLPClassifier, MLPRegressor, MLPAutoencoder):
        model = cls()
        for name in ("_labels", "_decoder", "_activations", "n_features_in_", "layer_"):
            assert not hasattr(model, name)
        assert all(not name.endswith("_") for name in vars(model))
