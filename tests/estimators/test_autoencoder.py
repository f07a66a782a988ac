"""MLPAutoencoder: a regressor of X on itself, its code, the way back and the errors."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, special
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import DataDimensionalityWarning, NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import skmlp
from skmlp import HiddenFeatures, Loss, MLPAutoencoder, MLPRegressor
from skmlp.estimators import reconstruction
from skmlp.exceptions import IneffectiveParameterWarning, PoorFitWarning

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::skmlp.exceptions.PoorFitWarning",
)

RNG = np.random.default_rng(0)
# Six columns of which two numbers tell everything.
HIDDEN = RNG.normal(size=(300, 2))
X = np.tanh(HIDDEN @ RNG.normal(size=(2, 6))) + 0.05 * RNG.normal(size=(300, 6))
SHARES = special.expit(3 * X)
SPARSE = np.where(RNG.random(X.shape) < 0.5, X, 0.0)
RATE = {"learning_rate_init": 0.01}
SETTINGS = {"hidden_layer_sizes": (9, 2, 7), "max_iter": 15, "random_state": 0}
FORMS = {
    "dense": np.asarray,
    "float32": lambda x: x.astype(np.float32),
    "csr": sparse.csr_array,
    "csc": sparse.csc_matrix,
    "frame": pd.DataFrame,
}


def model(**parameters):
    return MLPAutoencoder(**{**SETTINGS, **parameters})


@parametrize_with_checks([MLPAutoencoder(max_iter=20)])
@pytest.mark.filterwarnings("default")
def test_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        MLPAutoencoder((5,), max_iter=20, solver="lbfgs"),
        MLPAutoencoder((20, 2, 20), "tanh", max_iter=20, dtype="float32"),
    ]
)
@pytest.mark.filterwarnings("default")
def test_check_of_other_configurations(estimator, check):
    if estimator.dtype == "float32" and "weight_equivalence" in check.func.__name__:
        pytest.skip("asks for the precision of float64")
    check(estimator)


@pytest.mark.parametrize("form", ["dense", "float32", "csr", "csc"])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_it_is_a_regressor_of_x_on_itself(solver, form):
    x = FORMS[form](SPARSE)
    found = model(solver=solver, code_activation=None).fit(x)
    y = x.toarray() if sparse.issparse(x) else x
    expected = MLPRegressor(solver=solver, **SETTINGS).fit(x, y)
    for mine, theirs in zip(found.coefs_, expected.coefs_, strict=True):
        assert_array_equal(mine, theirs)
    assert_array_equal(found.reconstruct(x), expected.predict(x))
    assert found.loss_ == expected.loss_
    assert found.transform(x).dtype == found.coefs_[0].dtype == y.dtype


def test_it_learns_what_scikit_learns_regressor_learns():
    found = model(code_activation=None).fit(X)
    expected = TheirRegressor(**SETTINGS).fit(X, X)
    assert_allclose(found.reconstruct(X), expected.predict(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "huber", "gaussian_nll"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"layer": 0},
        {"layer": -1},
        {"normalization": "batch"},
        {"normalization": "layer"},
        {"embedding": "piecewise_linear"},
        {"fit_intercept": False},
        {"activation": ["tanh", "relu", "softmax"], "code_activation": "identity"},
    ],
    ids=str,
)
def test_the_way_back_ends_at_the_reconstruction(loss, parameters):
    fitted = model(**{"activation": "tanh", "loss": loss, **parameters}).fit(SHARES)
    code = fitted.transform(SHARES)
    layer = fitted.layer_
    assert code.shape[1] == fitted.hidden_layer_sizes[layer]
    assert layer == parameters.get("layer", 1) % 3
    assert_array_equal(code, fitted.hidden_activations(SHARES, layer))
    back = fitted.inverse_transform(code)
    assert back.shape == SHARES.shape
    assert_allclose(back, fitted.reconstruct(SHARES), rtol=1e-9, atol=1e-12)


def test_the_code_is_linear_unless_said_otherwise():
    fitted = model().fit(X)
    before = fitted.hidden_activations(X, 0) @ fitted.coefs_[1] + fitted.intercepts_[1]
    assert_allclose(fitted.transform(X), before, rtol=1e-10, atol=1e-12)
    cut = model(code_activation="relu").fit(X)
    assert np.all(cut.transform(X) >= 0)
    with pytest.warns(IneffectiveParameterWarning, match="code_activation='tanh' has"):
        model(activation=["relu"] * 3, code_activation="tanh").fit(X)


def divergence(x, p):
    return special.rel_entr(x, p) + special.rel_entr(1 - x, 1 - p)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_scores_are_minus_the_losses_of_the_rows(loss, form, monkeypatch):
    monkeypatch.setattr(reconstruction, "_BLOCK_ELEMENTS", 100)
    x = FORMS[form](np.where(SPARSE == 0, 0.0, SHARES))
    fitted = model(loss=loss).fit(x)
    dense = x.toarray() if sparse.issparse(x) else np.asarray(x)
    dense = dense.astype(np.float64)
    found = fitted.reconstruct(x).astype(np.float64)
    error = (
        (dense - found) ** 2 / 2
        if loss == "squared_error"
        else divergence(dense, found)
    )
    scores = fitted.score_samples(x)
    assert_allclose(scores, -error.sum(axis=1), rtol=1e-4, atol=1e-5)
    assert fitted.score(x) == pytest.approx(scores.mean())
    weights = np.arange(300.0)
    expected = np.average(scores, weights=weights)
    assert fitted.score(x, sample_weight=weights) == pytest.approx(expected)


def test_validation_data_are_scored_by_their_reconstruction():
    fitted = model(early_stopping=True).fit(X[:200], X_val=X[200:])
    best = fitted.best_validation_score_
    assert fitted.score(X[200:]) == pytest.approx(best, rel=1e-9)
    assert_allclose(
        fitted.validation_scores_, -np.array(fitted.validation_loss_curve_), rtol=1e-12
    )
    weights = np.r_[np.ones(50), np.zeros(50)]
    weighted = model().fit(X[:200], X_val=X[200:], sample_weight_val=weights)
    expected = weighted.score(X[200:], sample_weight=weights)
    assert weighted.validation_scores_[-1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_early_stopping_splits(convert):
    fitted = model(early_stopping=True, max_iter=40).fit(convert(SPARSE))
    assert len(fitted.validation_scores_) == fitted.n_iter_
    assert fitted.best_iter_ >= 1


def test_partial_fit_warm_start_and_resume_go_on():
    whole = model(max_iter=10).fit(X)
    halves = model(max_iter=5).fit(X).resume(X, max_iter=10)
    assert_array_equal(halves.coefs_[0], whole.coefs_[0])
    by_part = model()
    for _ in range(10):
        by_part.partial_fit(X)
    assert by_part.n_iter_ == 1
    assert len(by_part.loss_curve_) == 10
    assert by_part.loss_curve_[-1] < by_part.loss_curve_[0]
    warm = model(warm_start=True).fit(X)
    before = warm.score(X)
    assert warm.fit(X).score(X) > before


def test_weights_of_zero_leave_rows_out():
    weights = np.r_[np.ones(200), np.zeros(100)]
    expected = model(shuffle=False, batch_size=50).fit(X[:200])
    found = model(shuffle=False, batch_size=50).fit(X, sample_weight=weights)
    assert_allclose(found.coefs_[0], expected.coefs_[0], rtol=1e-9)


def test_pickles_clones_and_parameters_that_change_later():
    fitted = model(loss="gaussian_nll").fit(X)
    expected = fitted.reconstruct(X), fitted.score_samples(X), fitted.transform(X)
    again = pickle.loads(pickle.dumps(fitted))
    again.set_params(loss="log_loss", layer=0)
    for mine, theirs in zip(
        (again.reconstruct(X), again.score_samples(X), again.transform(X)),
        expected,
        strict=True,
    ):
        assert_array_equal(mine, theirs)
    assert_array_equal(clone(fitted).fit(X).coefs_[0], fitted.coefs_[0])


def test_own_losses_and_activations():
    cosh = Loss(
        "cosh", "identity", lambda y, z: np.cosh(z - y) - 1, lambda y, z: np.sinh(z - y)
    )
    fitted = model(loss=cosh).fit(X)
    error = np.cosh(fitted.reconstruct(X) - X) - 1
    assert_allclose(fitted.score_samples(X), -error.sum(axis=1), rtol=1e-9)


def test_names_and_frames():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    fitted = model().set_output(transform="pandas").fit(frame)
    out = fitted.transform(frame)
    assert list(out.columns) == ["mlpautoencoder0", "mlpautoencoder1"]
    assert list(fitted.get_feature_names_out()) == list(out.columns)
    with pytest.raises(ValueError, match="feature names"):
        fitted.score_samples(frame.rename(columns={"a": "z"}))


def test_in_pipelines_searches_and_as_hidden_features():
    pipe = make_pipeline(StandardScaler(), model())
    search = GridSearchCV(pipe, {"mlpautoencoder__alpha": [1e-4, 10.0]}, cv=2).fit(X)
    assert search.best_params_ == {"mlpautoencoder__alpha": 1e-4}
    assert search.score(X) == pytest.approx(search.best_estimator_.score(X))
    features = HiddenFeatures(model(), layer=0).fit_transform(X)
    assert_array_equal(features, model().fit(X).hidden_activations(X, 0))
    table = skmlp.diagnose(model().fit(X), X, X)
    assert [row.units for row in table.rows] == [9, 2, 7]


def test_it_keeps_more_than_a_linear_code_and_finds_what_is_odd():
    settings = {**RATE, "max_iter": 100, "n_iter_no_change": 100}
    fitted = model(hidden_layer_sizes=(30, 2, 30), **settings).fit(X)
    centered = X - X.mean(axis=0)
    lost = np.sum(np.linalg.svd(centered, compute_uv=False)[2:] ** 2) / 2 / len(X)
    assert -fitted.score(X) < 0.6 * lost
    odd = RNG.permuted(X, axis=0)
    scores = np.r_[fitted.score_samples(X), fitted.score_samples(odd)]
    assert roc_auc_score(np.r_[np.ones(300), np.zeros(300)], scores) > 0.85


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataDimensionalityWarning")
def test_denoising_takes_noise_away():
    digits = load_digits().data / 16
    noisy = digits + 0.3 * np.random.default_rng(1).normal(size=digits.shape)
    settings = {
        "hidden_layer_sizes": (100,),
        "max_iter": 20,
        "batch_size": 50,
        "code_activation": None,
        "random_state": 0,
    }
    fits = [MLPAutoencoder(input_noise=noise, **settings) for noise in (0.0, 0.3)]
    errors = [
        np.mean((fitted.fit(digits).reconstruct(noisy) - digits) ** 2)
        for fitted in fits
    ]
    assert errors[1] < 0.75 * errors[0]


def test_a_wide_code_is_warned_of():
    message = r"code has 6 units and X 6 columns"
    with pytest.warns(DataDimensionalityWarning, match=message):
        model(hidden_layer_sizes=(9, 6, 9)).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PoorFitWarning)
        model(hidden_layer_sizes=(9, 6, 9), input_noise=0.1, tol=1).fit(X)
        model(hidden_layer_sizes=(9, 6, 9), dropout=0.1, tol=1).fit(X)
        model(hidden_layer_sizes=(3, 6, 3), layer=1, tol=1).fit(X)


@pytest.mark.filterwarnings("default::skmlp.exceptions.PoorFitWarning")
def test_columns_that_are_too_small_to_be_learned_are_warned_of():
    frame = pd.DataFrame(X * [1, 1e-3, 1, 1, 1, 1e-3], columns=list("abcdef"))
    settings = {**RATE, "max_iter": 60}
    with pytest.warns(PoorFitWarning, match="of 6 columns are hardly.*'[bf]'.*Scale X"):
        model(**settings).fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorFitWarning)
        make_pipeline(StandardScaler(), model(**settings)).fit(frame)


@pytest.mark.filterwarnings("default::skmlp.exceptions.PoorFitWarning")
def test_a_code_that_tells_nothing_is_warned_of():
    with pytest.warns(PoorFitWarning, match="The code may be too narrow") as caught:
        model(activation="tanh", solver="lbfgs", alpha=1e6, max_iter=60).fit(X)
    assert "about y" not in str(caught[0].message)


def test_targets_share_the_memory_of_x(monkeypatch):
    seen = []
    monkeypatch.setattr(
        MLPAutoencoder,
        "_problem",
        lambda self, fit, *others: (
            seen.append(fit.sample)
            or super(MLPAutoencoder, self)._problem(fit, *others)
        ),
    )
    model(max_iter=1).fit(X)
    assert seen[0].x is seen[0].targets
    assert np.shares_memory(seen[0].targets, X)


def test_predictions_of_sparse_rows_are_not_dense():
    x = sparse.random_array(
        (4000, 3000), density=1e-3, format="csr", random_state=0, dtype=np.float32
    )
    fitted = MLPAutoencoder((4, 2, 4), max_iter=1, random_state=0).partial_fit(x[:50])
    fitted.score_samples(x[:50])
    tracemalloc.start()
    fitted.score_samples(x)
    fitted.transform(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000 * 3000 * 4 / 2


def test_a_target_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(reconstruction, "_MAX_BYTES", 10_000)
    x = sparse.csr_array(SPARSE)
    with pytest.raises(ValueError, match=r"The target of .*\(300, 6\).* 14,400 bytes"):
        model().fit(x)
    fitted = model()
    for part in (x[:150], x[150:]):
        fitted.partial_fit(part)
    with pytest.raises(ValueError, match=r"The reconstruction of .* 14,400 bytes"):
        fitted.reconstruct(x)
    assert fitted.score_samples(x).shape == (300,)
    # An array is there already.
    model(max_iter=1).fit(SPARSE)


@pytest.mark.parametrize(
    ("parameters", "x", "error", "message"),
    [
        ({"hidden_layer_sizes": ()}, X, ValueError, "hidden_layer_sizes has no layer"),
        ({"layer": 3}, X, ValueError, r"layer == 3, must be in \[-3, 2\]: there are 3"),
        ({"layer": 1.0}, X, ValueError, "The 'layer' parameter"),
        ({"code_activation": "rely"}, X, ValueError, "code_activation='relu'"),
        ({"loss": "hinge"}, X, ValueError, "The 'loss' parameter"),
        (
            {"loss": "log_loss"},
            X,
            ValueError,
            "needs X >= 0 and X <= 1, but column 0 g",
        ),
        (
            {"loss": "gamma"},
            pd.DataFrame({"a": [1.0, 2], "b": [0.0, 1]}),
            ValueError,
            "needs X > 0, but column 'b' goes from 0 to 1",
        ),
        ({}, np.full((5, 6), np.nan), ValueError, "Input X contains NaN"),
        ({"input_noise": 0.1}, sparse.csr_array(SPARSE), ValueError, "needs dense X"),
        ({"loss": "quantile", "quantile": [0.1, 0.9]}, X, ValueError, "quantile"),
    ],
)
def test_bad_input_leaves_a_fitted_model_as_it_was(parameters, x, error, message):
    fitted = model(max_iter=2).fit(X)
    before = fitted.score_samples(X)
    with pytest.raises(error, match=message):
        fitted.set_params(**parameters).fit(x)
    assert_array_equal(fitted.score_samples(X), before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fitted: fitted.transform(X[:, :3]), "3 features, but MLPAutoencoder"),
        (lambda fitted: fitted.inverse_transform(X), "6 columns, but the code has 2"),
        (lambda fitted: fitted.inverse_transform([[np.nan] * 2]), "contains NaN"),
        (lambda fitted: fitted.score_samples(X * np.nan), "contains NaN"),
        (lambda fitted: fitted.fit(X, X_val=X[:, :2]), "In X_val: X has 2 features"),
        (lambda fitted: fitted.fit(X, X_val=X[:1]), "at least two rows"),
        (lambda fitted: fitted.fit(X, sample_weight_val=[1]), "X_val was not provided"),
        (lambda fitted: fitted.partial_fit(X[:, :2]), "2 features, but MLPAutoencoder"),
    ],
)
def test_bad_calls_are_answered(call, message):
    fitted = model(max_iter=2).fit(X)
    with pytest.raises(ValueError, match=message):
        call(fitted)


@pytest.mark.parametrize(
    ("keyword", "sentence"),
    [
        ("n_components", r"narrowest of hidden_layer_sizes"),
        ("scale_target", "X is its own target: an autoencoder has no scale_target"),
        ("metric", "an autoencoder has no scoring"),
        ("noise", "Did you mean input_noise"),
    ],
)
def test_unknown_parameters_are_answered(keyword, sentence):
    with pytest.raises(TypeError, match=sentence):
        MLPAutoencoder(**{keyword: 1})


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "reconstruct", "score_samples"]
)
def test_it_must_be_fitted(method):
    with pytest.raises(NotFittedError):
        getattr(MLPAutoencoder(), method)(X)
