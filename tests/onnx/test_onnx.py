"""Models as ONNX predict in ONNX Runtime what they predict here.

Every row of the tables of rules is converted. What a fitted model has is listed, so
that a new attribute or parameter has to be converted, refused, or said to be none of
the predictions' business.
"""

import inspect
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

onnxruntime = pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")

import skmlp.onnx  # noqa: E402
from skmlp import (  # noqa: E402
    Activation,
    HiddenFeatures,
    Loss,
    MLPAutoencoder,
    MLPClassifier,
    MLPRegressor,
    TabularMLPRegressor,
    TabularPreprocessor,
)
from skmlp.onnx.tracing import Traced, traced  # noqa: E402
from skmlp.rules import losses  # noqa: E402
from skmlp.rules.activations import ACTIVATIONS  # noqa: E402
from skmlp.rules.loss_choice import LINKS  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Some columns of y have the same label"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.DeadUnitsWarning"),
    # Of skl2onnx and of what it imports.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
CODES = np.arange(60) % 3
NAMES = np.array(["ash", "beech", "cedar"])
NUMBERS = X @ RNG.normal(size=4)
SHARES = 1 / (1 + np.exp(-NUMBERS))
SEVERAL = (X[:, :3] > 0).astype(int)
COMMON = {"hidden_layer_sizes": (6, 5), "max_iter": 4, "random_state": 0}


def run(model, x, **settings):
    """Outputs of a model in ONNX Runtime."""
    proto = skmlp.onnx.to_onnx(model, x[:1], **settings)
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x})


def arrays(options):
    """Options of a classifier that give arrays."""
    return {"zipmap": False, **options}


def assert_close(found, expected, dtype):
    expected = np.asarray(expected)
    assert found.dtype == dtype
    assert found.shape == expected.shape
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(
        found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale / 10
    )


def two_columns(scores, n_classes):
    """Scores of two classes, which are one column, as ONNX has them."""
    if scores.ndim == 2:
        return scores
    return scores[:, None] if n_classes == 1 else np.column_stack([-scores, scores])


def as_list(values):
    return values if isinstance(values, list) else [values]


def check_classifier(model, x, dtype, **settings):
    """Compare labels, probabilities and scores."""
    for raw in (False, True):
        options = arrays({"raw_scores": raw})
        label, numbers = run(model, x, options=options, **settings)
        expected = model.predict(x)
        if expected.dtype == bool:
            expected = expected.astype(int)
        assert np.array_equal(label, expected)
        if raw or not hasattr(model, "predict_proba"):
            scores = as_list(model.decision_function(x))
            n_classes = [len(classes) for classes in as_list(model.classes_)]
            expected = list(map(two_columns, scores, n_classes))
        else:
            expected = as_list(model.predict_proba(x))
        for found, right in zip(as_list(numbers), expected, strict=True):
            assert_close(found, right, dtype)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, dtype):
    # Inputs far from zero, too, where a form may overflow or cancel.
    x = (X * 8).astype(dtype)
    model = MLPRegressor(**COMMON, activation=activation).fit(x, NUMBERS)
    assert_close(run(model, x)[0], model.predict(x)[:, None], dtype)


@pytest.mark.sampled
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_at_all_sizes(activation):
    sizes = np.geomspace(1e-6, 300, 25)
    x = np.concatenate([-sizes, [0], sizes])[:, None]
    model = MLPRegressor("squared_error", (1,), activation, max_iter=1).fit(x, x[:, 0])
    model.coefs_[0][:], model.intercepts_[0][:] = 1, 0
    model.coefs_[1][:], model.intercepts_[1][:] = 1, 0
    assert_close(run(model, x)[0], model.predict(x)[:, None], np.float64)


def test_activations_by_layer():
    model = MLPClassifier(**COMMON, activation=["gelu", "softmax"]).fit(X, CODES)
    check_classifier(model, X, np.float64)


CLASSIFICATION = [
    *((name, output, CODES > 0) for name, output in losses.BINARY_LOSSES),
    *((name, output, SEVERAL) for name, output in losses.BINARY_LOSSES),
    *((name, output, CODES) for name, output in losses.MULTICLASS_LOSSES),
    *(
        (name, output, np.column_stack([CODES, CODES > 0, 0 * CODES]))
        for name, output in losses.COLUMN_LOSSES
    ),
]


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", range(len(CLASSIFICATION)))
def test_losses_of_classifiers(case, dtype):
    loss, output, y = CLASSIFICATION[case]
    x = X.astype(dtype)
    model = MLPClassifier(**COMMON, loss=loss, out_activation=output).fit(x, y)
    check_classifier(model, x, dtype)


REGRESSION = [
    *((name, "auto", {}) for name, _ in losses.REGRESSION_LOSSES),
    *(("squared_error", link, {}) for link in LINKS),
    ("quantile", "auto", {"quantile": [0.1, 0.5, 0.9]}),
]


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", range(len(REGRESSION)))
def test_losses_of_regressors(case, dtype):
    loss, output, own = REGRESSION[case]
    x = X.astype(dtype)
    model = MLPRegressor(**COMMON, loss=loss, out_activation=output, **own)
    model.fit(x, SHARES)
    expected = model.predict(x).reshape(len(x), -1)
    assert_close(run(model, x)[0], expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["squared_error", "gaussian_nll", "poisson"])
def test_several_targets_in_units_of_their_own(loss, dtype):
    y = np.column_stack([SHARES * 1000, SHARES + 5])
    x = X.astype(dtype)
    model = MLPRegressor(**COMMON, loss=loss, scale_target=True).fit(x, y)
    assert_close(run(model, x)[0], model.predict(x), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale_target", [False, True])
def test_standard_deviations(scale_target, dtype):
    x = X.astype(dtype)
    model = MLPRegressor(**COMMON, loss="gaussian_nll", scale_target=scale_target)
    model.fit(x, SHARES)
    found = run(model, x, options={"return_std": True})
    for one, expected in zip(found, model.predict(x, return_std=True), strict=True):
        assert_close(one, expected[:, None], dtype)


def test_standard_deviations_of_a_loss_without():
    model = MLPRegressor(**COMMON).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="return_std=True needs a model of a loss"):
        run(model, X, options={"return_std": True})


SETTINGS = {
    "batch": {"normalization": "batch"},
    "layer": {"normalization": "layer"},
    "embedding": {"embedding": "piecewise_linear", "n_bins": 5},
    "embedding and layer": {"embedding": "piecewise_linear", "normalization": "layer"},
    "no hidden layer": {"hidden_layer_sizes": (), "solver": "lbfgs"},
    "no biases": {"fit_intercept": False},
    "dropout": {"dropout": 0.3, "input_noise": 0.1},
    "uniform prior": {"prior": "uniform"},
    "prior": {"prior": [0.1, 0.2, 0.7], "logit_adjustment": 1.0},
    "adjusted": {"logit_adjustment": 0.5},
    "focal": {"loss": "focal", "focal_gamma": 2.0},
    "smoothed": {"label_smoothing": 0.2},
    "early stopping": {"early_stopping": True},
}


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name, dtype):
    x = X.astype(dtype)
    model = MLPClassifier(**{**COMMON, **SETTINGS[name]}).fit(x, CODES)
    check_classifier(model, x, dtype)


@pytest.mark.parametrize("y", [CODES > 0, SEVERAL], ids=["binary", "multilabel"])
def test_priors_of_other_targets(y):
    prior = [0.2, 0.8] if y.ndim == 1 else [0.2, 0.8, 0.4]
    model = MLPClassifier(**COMMON, logit_adjustment=1.0, prior=prior).fit(X, y)
    check_classifier(model, X, np.float64)


LABELS = {
    "integers": CODES - 1,
    "small integers": CODES.astype(np.int8),
    "unsigned": CODES.astype(np.uint64),
    "booleans": CODES > 0,
    "whole floats": CODES * 2.0,
    "strings": NAMES[CODES],
    "objects": NAMES[CODES].astype(object),
    "two strings": NAMES[CODES // 2],
    "a single class": 0 * CODES,
    "ranks of strings": NAMES[CODES],
    "columns of strings": np.column_stack([NAMES[CODES], NAMES[CODES // 2]]),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels(name):
    loss = "ordinal" if "ranks" in name else "log_loss"
    model = MLPClassifier(**COMMON, loss=loss).fit(X, LABELS[name])
    check_classifier(model, X, np.float64)


def test_classes_in_an_order_of_their_own():
    pandas = pytest.importorskip("pandas")
    order = ["cedar", "ash", "beech"]
    y = pandas.Series(pandas.Categorical(NAMES[CODES], order, ordered=True))
    model = MLPClassifier(**COMMON, loss="ordinal").fit(X, y)
    check_classifier(model, X, np.float64)


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (CODES + 0.5, None),
        (np.column_stack([NAMES[CODES].astype(object), CODES]), "some numbers"),
    ],
)
def test_labels_that_onnx_does_not_have(y, words):
    model = MLPClassifier(**COMMON)
    if words is None:
        y, words = np.array([0.5, 1.0])[CODES // 2], "strings or 64-bit integers"
        model.fit(X, CODES // 2)
        model._labels.classes = model.classes_ = np.array([0.5, 1.0])
    else:
        model.fit(X, y)
    with pytest.raises(NotImplementedError, match=words):
        run(model, X, options=arrays({}))


@pytest.mark.parametrize(
    "y", [CODES, NAMES[CODES], SEVERAL], ids=["integers", "strings", "labels"]
)
def test_maps(y):
    model = MLPClassifier(**COMMON).fit(X, y)
    label, maps = run(model, X)
    assert np.array_equal(label, model.predict(X))
    found = [[row[each] for each in model.classes_.tolist()] for row in maps]
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-6)
    columns = run(model, X, options={"zipmap": "columns"})
    assert_close(
        np.column_stack([c.ravel() for c in columns[1:]]),
        model.predict_proba(X),
        np.float64,
    )


def test_indices_and_names_of_classes():
    model = MLPClassifier(**COMMON).fit(X, NAMES[CODES])
    label, _ = run(model, X, options=arrays({"nocl": True}))
    assert np.array_equal(model.classes_[label], model.predict(X))
    *_, names = run(model, X, options=arrays({"output_class_labels": True}))
    assert names.tolist() == NAMES.tolist()


def test_a_model_trained_on_sparse_x():
    x = sparse.random(60, 30, 0.2, "csr", np.float64, random_state=0)
    model = MLPClassifier(**COMMON).fit(x, CODES)
    proto = skmlp.onnx.to_onnx(model, x, options=arrays({}))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    _, found = session.run(None, {session.get_inputs()[0].name: x.toarray()})
    assert_close(found, model.predict_proba(x), np.float64)


def test_single_precision_of_a_model_in_double():
    model = MLPClassifier(**COMMON, normalization="batch").fit(X, CODES)
    _, found = run(model, X.astype(np.float32), options=arrays({}))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-4)


def test_numbers_that_single_precision_does_not_have():
    x = X.astype(np.float32)
    model = MLPRegressor(**COMMON).fit(X, NUMBERS)
    model.coefs_[0][0, 0] = 1e200
    with pytest.raises(NotImplementedError, match="too large for single precision"):
        run(model, x)
    model = MLPRegressor(**COMMON, embedding="piecewise_linear", n_bins=4)
    model.fit(1 + X * 1e-9, NUMBERS)
    with pytest.raises(NotImplementedError, match="bin_edges_, are one number in sing"):
        run(model, 1 + x)
    assert_close(
        run(model, 1 + X * 1e-9)[0], model.predict(1 + X * 1e-9)[:, None], np.float64
    )


def test_integers_as_input():
    x = np.round(X * 3).astype(np.int64)
    model = MLPRegressor(**COMMON).fit(x, NUMBERS)
    (found,) = run(model, x)
    np.testing.assert_allclose(found.ravel(), model.predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 15, 18, 20])
def test_versions_of_onnx(opset):
    model = MLPClassifier(**COMMON, normalization="layer", embedding="piecewise_linear")
    check_classifier(model.fit(X, CODES), X, np.float64, target_opset=opset)


def test_a_version_that_is_too_old():
    model = MLPRegressor(**COMMON).fit(X, NUMBERS)
    with pytest.raises(NotImplementedError, match="target_opset=13 or above, got"):
        run(model, X, target_opset=12)


EXTRA = """
import sys
import skmlp
assert not {"onnx", "skl2onnx", "numba"} & sys.modules.keys()
sys.modules["skl2onnx"] = None
try:
    import skmlp.onnx
except ImportError as error:
    assert str(error) == (
        'skmlp.onnx needs skl2onnx and onnx: pip install "skmlp[onnx]".'
    ), error
else:
    raise AssertionError("there is no skl2onnx")
"""


def test_only_the_extra_is_needed_and_only_where_it_is_used():
    subprocess.run([sys.executable, "-c", EXTRA], check=True, timeout=120)


def test_an_autoencoder():
    model = MLPAutoencoder((6, 2, 6), max_iter=4, random_state=0, normalization="batch")
    model.fit(X)
    assert_close(run(model, X)[0], model.transform(X), np.float64)
    code, found = run(model, X, options={"reconstruct": True})
    assert_close(code, model.transform(X), np.float64)
    assert_close(found, model.reconstruct(X), np.float64)


def test_hidden_features():
    network = MLPClassifier(**COMMON, activation="mish")
    inner = make_pipeline(StandardScaler(), network)
    for estimator in (network, inner, FrozenEstimator(inner.fit(X, CODES))):
        features = HiddenFeatures(estimator, layer=0).fit(X, CODES)
        assert_close(run(features, X)[0], features.transform(X), np.float64)
    model = make_pipeline(features, LogisticRegression()).fit(X, CODES)
    _, found = run(model, X, options=arrays({}))
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-6)


def test_meta_estimators():
    model = MLPClassifier(**COMMON)
    search = GridSearchCV(model, {"alpha": [0.1, 1e-3]}, cv=2)
    parents = [
        make_pipeline(StandardScaler(), model),
        search,
        make_pipeline(StandardScaler(), search),
        CalibratedClassifierCV(model, cv=2),
        VotingClassifier(
            [("a", model), ("b", LogisticRegression())],
            voting="soft",
            flatten_transform=False,
        ),
    ]
    for y in (CODES, CODES > 0, NAMES[CODES]):
        for parent in parents:
            parent.fit(X, y)
            label, found = run(parent, X, options={id(parent): {"zipmap": False}})
            expected = parent.predict(X)
            assert np.array_equal(label, expected.astype(label.dtype))
            np.testing.assert_allclose(found, parent.predict_proba(X), rtol=1e-5)
    both = MultiOutputClassifier(model).fit(X, SEVERAL)
    label, _ = run(both, X, options={id(both): {"zipmap": False}})
    assert np.array_equal(label, both.predict(X))


@pytest.mark.parametrize(
    ("cls", "settings", "words"),
    [
        (TunedThresholdClassifierCV, {}, "leaves out the threshold"),
        (CalibratedClassifierCV, {"method": "isotonic"}, "method='isotonic'"),
    ],
)
def test_meta_estimators_that_skl2onnx_converts_to_another_model(cls, settings, words):
    model = cls(MLPClassifier(**COMMON), cv=2, **settings)
    for parent in (model, make_pipeline(StandardScaler(), model)):
        with pytest.raises(NotImplementedError, match=words):
            run(parent.fit(X, CODES > 0), X)
    # If it does so no longer, neither need we.
    proto = skl2onnx.to_onnx(model, X[:1], options={id(model): {"zipmap": False}})
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    label, found = session.run(None, {"X": X})
    assert not (
        np.array_equal(label, model.predict(X))
        and np.allclose(found, model.predict_proba(X))
    )


def test_a_column_transformer():
    x = np.column_stack([X[:, :2], CODES])
    encoder = ColumnTransformer(
        [("numbers", StandardScaler(), [0, 1]), ("codes", OneHotEncoder(), [2])]
    )
    model = make_pipeline(encoder, MLPRegressor(**COMMON)).fit(x, NUMBERS)
    assert_close(run(model, x)[0], model.predict(x)[:, None], np.float64)


def test_columns_as_inputs_of_their_own():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = MLPRegressor(**COMMON).fit(frame, NUMBERS)
    proto = skmlp.onnx.to_onnx(model, frame)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    inputs = {name: frame[[name]].to_numpy() for name in frame.columns}
    (found,) = session.run(None, inputs)
    assert_close(found, model.predict(frame)[:, None], np.float64)


def test_another_number_of_columns():
    model = MLPRegressor(**COMMON).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="X has 3 features, but MLPRegressor is exp"):
        skmlp.onnx.to_onnx(model, X[:1, :3])


def bump(z):
    return z * np.exp(-z * z) if z > -1 else np.minimum(np.sin(z), 0.25)


def bump_slope(z):
    if z > -1:
        return (1 - 2 * z * z) * np.exp(-z * z)
    return np.cos(z) if np.sin(z) < 0.25 else 0.0


def unknown(z):
    return np.cbrt(z)


def unknown_slope(z):
    return 1 / (3 * np.cbrt(z) ** 2)


def with_module_math(z):
    return math.tanh(z)


def test_an_activation_of_the_users():
    own = Activation("bump", bump, bump_slope, slope_of="input")
    model = MLPClassifier(**COMMON, activation=own).fit(X, CODES)
    check_classifier(model, X, np.float64)


def test_an_activation_of_the_users_that_onnx_cannot_express():
    model = MLPClassifier(**COMMON).fit(X, CODES)
    for function, words in ((unknown, "cbrt has no form"), (with_module_math, "")):
        own = Activation("mine", function, unknown_slope, slope_of="input")
        model._activations = (own, own)
        with pytest.raises(NotImplementedError, match=f"'mine' has no form.*{words}"):
            run(model, X)


def test_a_loss_of_the_users():
    model = MLPRegressor(**COMMON, loss=Loss("half", "identity", _half, _half_slope))
    model.fit(X, NUMBERS)
    assert_close(run(model, X)[0], model.predict(X)[:, None], np.float64)


def _half(y, z):
    return (z - y) * (z - y) / 2


def _half_slope(y, z):
    return z - y


def test_a_function_with_too_many_ways():
    def halved(z):
        while z > 1:
            z = z / 2
        return z

    with pytest.raises(NotImplementedError, match="more than 64 conditions"):
        traced(halved, Traced.input())


def test_a_decoder_that_onnx_cannot_express():
    model = MLPRegressor(**COMMON).fit(X, NUMBERS)
    model._decoder = model._decoder._replace(decode=lambda z, p: np.sort(z, axis=1))
    with pytest.raises(NotImplementedError, match="Predictions of this loss"):
        run(model, X)


def test_a_kind_of_target_that_is_not_known():
    model = MLPClassifier(**COMMON).fit(X, CODES)
    model._labels.__class__ = type("Unknown", (type(model._labels),), {})
    with pytest.raises(NotImplementedError, match="Unknown has no form in ONNX"):
        run(model, X)


def test_estimators_for_tables_are_refused():
    with pytest.raises(NotImplementedError, match="TabularMLPRegressor has no form"):
        run(TabularMLPRegressor(), X)
    model = make_pipeline(TabularPreprocessor(), MLPRegressor(**COMMON))
    with pytest.raises(NotImplementedError, match="TabularPreprocessor has no form"):
        run(model.fit(X, NUMBERS), X)


def test_a_subclass_is_not_taken_for_its_base():
    class Mine(MLPRegressor):
        def predict(self, X):
            return super().predict(X) + 1

    with pytest.raises(skl2onnx.common.exceptions.MissingShapeCalculator):
        run(Mine(**COMMON).fit(X, NUMBERS), X)


def test_what_was_edited_after_the_fit():
    model = MLPRegressor(**COMMON).fit(X, NUMBERS)
    model.coefs_[0][:] *= 2
    model.intercepts_[1] = model.intercepts_[1] + 1
    model.set_params(activation="tanh", loss="poisson")  # of a later fit
    assert_close(run(model, X)[0], model.predict(X)[:, None], np.float64)


# Fitted attributes that the converters read, by `_fitted_network` and others.
CONVERTED = {
    *("coefs_", "intercepts_", "norm_scales_", "norm_means_", "norm_variances_"),
    *("embedding_weights_", "_embedding", "_activations", "out_activation_"),
    *("n_features_in_", "classes_", "_labels", "_prior_offsets"),
    *("_decoder", "target_mean_", "target_scale_", "layer_", "_loss_settings"),
}
# Those of the training, and descriptions of what is converted.
OF_THE_TRAINING = {
    "_prepared",
    *("loss_", "loss_curve_", "best_loss_", "history_", "n_iter_", "t_", "device_"),
    *("validation_scores_", "validation_loss_curve_", "best_validation_score_"),
    *("best_iter_", "no_improvement_count_", "_no_improvement_count", "_history"),
    *("_optimizer", "_random_state", "_resumption", "best_coefs_", "best_intercepts_"),
    *("n_layers_", "n_outputs_", "bin_edges_", "label_names_", "class_order_"),
    *("class_shares_", "feature_names_in_"),
}
# Parameters whose fitted form the converters read; all others act in training only.
PREDICTING = {"activation", "loss", "out_activation", "layer"}


def test_all_fitted_attributes_are_converted_or_of_the_training():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    both = {"embedding": "piecewise_linear", "normalization": "layer"}
    models = [
        MLPClassifier(**COMMON, **both).fit(frame, CODES),
        MLPClassifier(**COMMON, normalization="batch", prior="uniform").fit(X, CODES),
        MLPClassifier(**COMMON, loss="ordinal", early_stopping=True).fit(X, CODES),
        MLPClassifier(**COMMON).fit(X, pandas.DataFrame(SEVERAL, columns=list("abc"))),
        MLPClassifier(**COMMON, early_stopping=True).partial_fit(
            X, CODES, classes=[0, 1, 2], X_val=X, y_val=CODES
        ),
        MLPRegressor(**COMMON, **both, scale_target=True).fit(X, NUMBERS),
        MLPRegressor(**COMMON, solver="lbfgs", loss="gaussian_nll").fit(X, NUMBERS),
        MLPAutoencoder((6, 2, 6), max_iter=3, **both).fit(X),
    ]
    found = set()
    for model in models:
        found |= set(vars(model)) - set(model.get_params())
        assert set(vars(pickle.loads(pickle.dumps(model)))) == set(vars(model))
    assert found == CONVERTED | OF_THE_TRAINING


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor, MLPAutoencoder])
def test_predictions_read_no_parameters_but_these(cls):
    # Set after the fit to what no code could use, the others change no prediction.
    y = None if cls is MLPAutoencoder else CODES
    model = cls(hidden_layer_sizes=(6, 2, 6), max_iter=2, random_state=0).fit(X, y)
    method = model.transform if cls is MLPAutoencoder else model.predict
    expected = method(X)
    kept = PREDICTING | {"device", "n_jobs", "dtype", "matmul_precision", "verbose"}
    for name in set(inspect.signature(cls).parameters) - kept:
        setattr(model, name, object())
    assert np.array_equal(method(X), expected)
