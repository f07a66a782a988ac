"""What the last layer of the estimators stands for: losses, outputs, predictions."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, d2_pinball_score, r2_score

from skmlp import MLPClassifier, MLPRegressor
from skmlp.exceptions import PoorFitWarning
from skmlp.rules.loss_choice import LINKED_RANGES, LINKS
from skmlp.rules.losses import BINARY_LOSSES, MULTICLASS_LOSSES, REGRESSION_LOSSES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
LINEAR = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 0, "max_iter": 1000}
TARGETS = {
    "two classes": (X[:, 0] > 0).astype(int),
    "several classes": np.digitize(X[:, 0], [-0.5, 0.5]),
    "labels": (X[:, :3] > 0).astype(int),
}
REGRESSION_OUTPUTS = ["auto", "identity", *LINKS]
CLASSIFIER_OUTPUTS = ["auto", "identity", "logistic", "softmax"]
LOSSES = [name for name, _ in REGRESSION_LOSSES]
CLASSIFIER_LOSSES = sorted({name for name, _ in BINARY_LOSSES})


def fitted(estimator, y, X=X, **fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Of models of a constant X, which are no better than a constant on purpose.
        warnings.simplefilter("ignore", PoorFitWarning)
        return estimator.fit(X, y, **fit)


def table_of(task):
    return MULTICLASS_LOSSES if task == "several classes" else BINARY_LOSSES


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("output", CLASSIFIER_OUTPUTS)
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_classifiers_have_what_goes_together(loss, output, task, dtype):
    y = TARGETS[task]
    allowed = [row.output for row in table_of(task).values() if row.name == loss]
    model = MLPClassifier(loss=loss, out_activation=output, dtype=dtype, **SMALL)
    if output not in ("auto", *allowed):
        kind = "several classes" if task == "several classes" else "two classes"
        names = " or ".join(map(repr, allowed))
        with pytest.raises(
            ValueError, match=f"loss='{loss}' for {kind}.*: use {names} or 'auto'"
        ):
            model.fit(X, y)
        assert not hasattr(model, "coefs_")
        return
    fitted(model, y)
    assert model.out_activation_ == (allowed[0] if output == "auto" else output)
    assert np.isfinite(model.loss_)
    assert model.predict(X).shape == y.shape
    raw = model.decision_function(X)
    assert raw.dtype == dtype
    assert raw.shape == {"two classes": (120,)}.get(task, (120, 3))
    if task == "several classes":
        assert_array_equal(model.predict(X), raw.argmax(axis=1))
    else:
        assert_array_equal(model.predict(X), raw > 0)
    if model.out_activation_ == "identity":
        return
    probabilities = model.predict_proba(X)
    assert probabilities.dtype == dtype
    eps = np.finfo(dtype).eps
    assert_allclose(
        np.exp(model.predict_log_proba(X)), probabilities, rtol=50 * eps, atol=eps
    )
    if task != "labels":
        assert_allclose(probabilities.sum(axis=1), 1, rtol=10 * eps)


@pytest.mark.sampled
@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("output", CLASSIFIER_OUTPUTS)
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_classifiers_learn(loss, output, task):
    allowed = [row.output for row in table_of(task).values() if row.name == loss]
    if output not in allowed:
        return
    model = MLPClassifier(
        (10,), "tanh", loss=loss, out_activation=output, solver="lbfgs", random_state=0
    )
    fitted(model, TARGETS[task])
    assert accuracy_score(TARGETS[task], model.predict(X)) > 0.9


def test_one_against_the_rest_is_a_share_of_the_odds():
    y = TARGETS["several classes"]
    model = fitted(MLPClassifier(out_activation="logistic", **SMALL), y)
    raw = model.decision_function(X)
    alone = special.expit(raw)
    expected = alone / alone.sum(axis=1, keepdims=True)
    assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
    # Where every class is refused, the one that is least so has the largest share.
    model.coefs_ = [coef * 0 for coef in model.coefs_]
    model.intercepts_ = [model.intercepts_[0] * 0, np.array([-2000.0, -2001, -1999])]
    shares = model.predict_proba(X[:1])[0]
    assert_allclose(shares, special.softmax([-2000.0, -2001, -1999]))
    assert_allclose(model.predict_log_proba(X[:1])[0], np.log(shares))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_margins_are_no_probabilities(loss, method):
    model = MLPClassifier(loss=loss, **SMALL)
    for _ in range(2):
        assert not hasattr(model, method)
        with pytest.raises(AttributeError, match=method) as caught:
            getattr(model, method)
        assert f"not available for loss='{loss}'" in str(caught.value.__cause__)
        assert hasattr(model, "decision_function")
        fitted(model, TARGETS["two classes"])


def test_a_fitted_classifier_stays_what_it_is():
    y = TARGETS["two classes"]
    likely = fitted(MLPClassifier(**SMALL), y).set_params(loss="hinge")
    assert likely.predict_proba(X).shape == (120, 2)
    margins = fitted(MLPClassifier(loss="hinge", **SMALL), y).set_params(
        loss="log_loss"
    )
    assert not hasattr(margins, "predict_proba")


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.ValidationWarning")
@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
@pytest.mark.parametrize("task", TARGETS)
def test_early_stopping_judges_by_accuracy(task, loss):
    model = MLPClassifier(
        *((10,), "tanh"),
        loss=loss,
        early_stopping=True,
        n_iter_no_change=30,
        learning_rate_init=0.05,
        random_state=0,
    )
    fitted(model, TARGETS[task])
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert 0.8 < model.best_validation_score_ <= 1
    assert accuracy_score(TARGETS[task], model.predict(X)) > 0.7


@pytest.mark.parametrize("loss", CLASSIFIER_LOSSES)
def test_label_smoothing_needs_the_log_loss(loss):
    model = MLPClassifier(loss=loss, label_smoothing=0.1, **SMALL)
    if loss == "log_loss":
        fitted(model, TARGETS["two classes"])
        return
    with pytest.raises(ValueError, match=r"0\.1 needs loss='log_loss', got loss='"):
        model.fit(X, TARGETS["two classes"])


def test_the_sides_weight_of_the_focal_loss_needs_two_sides():
    model = MLPClassifier(loss="focal", focal_alpha=0.25, **SMALL)
    for task in ("two classes", "labels"):
        fitted(model, TARGETS[task])
    with pytest.raises(ValueError, match=r"focal_alpha=0\.25 is the weight of the"):
        model.fit(X, TARGETS["several classes"])
    fitted(model.set_params(out_activation="logistic"), TARGETS["several classes"])


@pytest.mark.parametrize(
    ("task", "output"),
    [
        ("two classes", "auto"),
        ("several classes", "softmax"),
        ("several classes", "logistic"),
        ("labels", "auto"),
    ],
)
def test_smoothed_labels_are_what_a_constant_model_learns(task, output):
    y, s = TARGETS[task], 0.2
    model = MLPClassifier(
        label_smoothing=s, out_activation=output, tol=1e-10, random_state=0, **LINEAR
    )
    fitted(model, y, np.zeros((120, 1)))
    found = special.expit(model.decision_function(np.zeros((1, 1))))
    if task == "several classes":
        shares = np.bincount(y) / 120 * (1 - s) + s / 3
        if output == "softmax":
            found = model.predict_proba(np.zeros((1, 1)))
    else:
        shares = y.mean(axis=0) * (1 - s) + s / 2
    assert_allclose(found.ravel(), np.ravel(shares), atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "output"),
    [("log_loss", "softmax"), ("squared_error", "softmax")],
)
def test_a_constant_classifier_learns_the_frequencies(loss, output):
    y = TARGETS["several classes"]
    model = MLPClassifier(loss=loss, tol=1e-10, random_state=0, **LINEAR)
    fitted(model, y, np.zeros((120, 1)))
    assert model.out_activation_ == output
    found = model.predict_proba(np.zeros((1, 1)))[0]
    assert_allclose(found, np.bincount(y) / 120, atol=1e-5)


# Regression


def target_for(loss, output, n_columns=1):
    """Targets that the pair allows."""
    y = np.exp(X[:, :n_columns] * 0.3)
    (own,) = (out for name, out in REGRESSION_LOSSES if name == loss)
    output = own if output == "auto" else output
    if output in LINKED_RANGES:
        low, high = LINKED_RANGES[output]
        y = low + (high - low) * special.expit(X[:, :n_columns])
    return y.ravel() if n_columns == 1 else y


def goes_together(loss, output):
    (row,) = (row for row in REGRESSION_LOSSES.values() if row.name == loss)
    by_link = row.output == "identity" and row.value is not None
    return by_link or output in ("auto", row.output)


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("output", REGRESSION_OUTPUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_regressors_have_what_goes_together(loss, output, n_columns):
    y = target_for(loss, output, n_columns)
    model = MLPRegressor(loss, out_activation=output, **SMALL)
    (own,) = (out for name, out in REGRESSION_LOSSES if name == loss)
    if not goes_together(loss, output):
        with pytest.raises(ValueError, match=f"whose own is '{own}': use that or 'a"):
            model.fit(X, y)
        return
    fitted(model, y)
    assert model.out_activation_ == (own if output == "auto" else output)
    assert model.predict(X).shape == y.shape
    assert np.isfinite(model.loss_)


@pytest.mark.sampled
@pytest.mark.parametrize("output", REGRESSION_OUTPUTS)
@pytest.mark.parametrize("loss", LOSSES)
def test_regressors_learn(loss, output):
    if not goes_together(loss, output):
        return
    y = target_for(loss, output)
    model = MLPRegressor(
        loss,
        (10,),
        "tanh",
        out_activation=output,
        solver="lbfgs",
        max_iter=300,
        random_state=1,
    )
    assert fitted(model, y).score(X, y) > 0.9
    assert model.score(X, y) == r2_score(y, model.predict(X))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("settings", "bad", "needs"),
    [
        ({"loss": "poisson"}, -1e-3, "needs y >= 0, but the smallest y is -0.001"),
        ({"loss": "tweedie"}, -1e-3, "needs y >= 0,"),
        ({"loss": "gamma"}, 0.0, "needs y > 0, but the smallest y is 0"),
        ({"loss": "gamma", "dtype": "float32"}, 1e-60, "needs y > 0, but"),
        ({"out_activation": "logistic"}, 1.01, "y >= 0 and y <= 1, but .* 1.01"),
        ({"out_activation": "logistic"}, -0.01, "y >= 0 and y <= 1, but"),
        ({"out_activation": "tanh"}, 1.01, "y >= -1 and y <= 1, but"),
        ({"loss": "huber", "out_activation": "tanh"}, -1.01, "y >= -1 and y <= 1"),
    ],
)
def test_targets_out_of_range(settings, bad, needs, sign):
    y = target_for("squared_error", settings.get("out_activation"))
    X_typed = X.astype(settings.get("dtype", "float64"))
    model = fitted(MLPRegressor(**settings, **SMALL), y, X_typed)
    before = [coef.copy() for coef in model.coefs_]
    y[3] = bad
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=needs):
            method(X_typed, y)
    for coef, old in zip(model.coefs_, before, strict=True):
        assert_array_equal(coef, old)


STATISTICS = {
    "squared_error": np.mean,
    "poisson": np.mean,
    "gamma": np.mean,
    "tweedie": np.mean,
    "gaussian_nll": np.mean,
}


@pytest.mark.parametrize("loss", STATISTICS)
def test_a_constant_regressor_learns_the_statistic(loss):
    y = target_for(loss, "auto")
    model = MLPRegressor(loss, tol=1e-10, random_state=0, **LINEAR)
    fitted(model, y, np.zeros((120, 1)))
    found = model.predict(np.zeros((1, 1)))
    assert_allclose(found, STATISTICS[loss](y), rtol=1e-5)


@pytest.mark.parametrize("output", LINKS)
def test_links_change_what_is_predicted_and_not_what_is_estimated(output):
    y = target_for("squared_error", output)
    model = MLPRegressor(out_activation=output, tol=1e-10, random_state=3, **LINEAR)
    # Without weights to a feature that is zero, relu must start on its right side.
    model.set_params(weight_init=([np.zeros((1, 1))], [np.array([0.3])]))
    fitted(model, y, np.zeros((120, 1)))
    assert_allclose(model.predict(np.zeros((1, 1))), y.mean(), rtol=1e-5)


# Several quantiles


@settings(max_examples=10, deadline=None, derandomize=True, database=None)
@given(
    levels=st.sets(st.integers(1, 99), min_size=2, max_size=6),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_quantiles_never_cross(levels, scale, dtype):
    levels = sorted(level / 100 for level in levels)
    y = X[:, 0] + 0.1 * X[:, 1]
    model = MLPRegressor("quantile", quantile=levels, dtype=dtype, **SMALL)
    far = X * scale
    fitted(model, y, X)
    predicted = model.predict(far)
    assert predicted.shape == (120, len(levels))
    assert predicted.dtype == dtype
    assert np.all(np.diff(predicted, axis=1) >= 0)


def test_quantiles_are_learnt_and_scored():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (2000, 1))
    y = x[:, 0] + (0.3 + 0.2 * x[:, 0]) * rng.normal(size=2000)
    levels = [0.1, 0.5, 0.9]
    model = MLPRegressor(
        "quantile", (20,), quantile=levels, learning_rate_init=0.01, random_state=0
    )
    predicted = fitted(model, y, x).predict(x)
    below = np.mean(y[:, None] <= predicted, axis=0)
    assert_allclose(below, levels, atol=0.04)
    score = np.mean(
        [
            d2_pinball_score(y, column, alpha=p)
            for column, p in zip(predicted.T, levels, strict=True)
        ]
    )
    assert model.score(x, y) == pytest.approx(score)
    # What the parameters are set to afterwards is not what was fitted.
    model.set_params(loss="squared_error", quantile=0.5)
    assert_array_equal(model.predict(x), predicted)
    assert model.score(x, y) == pytest.approx(score)


def test_a_list_of_one_quantile_is_that_quantile():
    y = X[:, 0]
    one = fitted(MLPRegressor("quantile", quantile=0.3, **SMALL), y)
    listed = fitted(MLPRegressor("quantile", quantile=[0.3], **SMALL), y)
    assert_allclose(listed.predict(X), one.predict(X), rtol=1e-12)
    assert listed.score(X, y) == pytest.approx(
        d2_pinball_score(y, one.predict(X), alpha=0.3)
    )


def test_quantiles_and_early_stopping():
    model = MLPRegressor("quantile", quantile=[0.2, 0.8], early_stopping=True, **SMALL)
    fitted(model, X[:, 0])
    assert np.isfinite(model.best_validation_score_)


@pytest.mark.parametrize(
    ("settings", "y", "match"),
    [
        ({"quantile": [0.5, 0.1]}, X[:, 0], "an ascending list, got"),
        ({"quantile": [0.5, 0.5]}, X[:, 0], "an ascending list, got"),
        ({"quantile": []}, X[:, 0], "an ascending list, got"),
        ({"quantile": [[0.1, 0.5]]}, X[:, 0], "an ascending list, got"),
        ({"quantile": [0.0, 0.5]}, X[:, 0], r"must be in \(0, 1\), got"),
        ({"quantile": [0.5, 1.0]}, X[:, 0], r"must be in \(0, 1\), got"),
        ({"quantile": [0.5, np.nan]}, X[:, 0], "quantile must be"),
        ({"quantile": ["low", "high"]}, X[:, 0], "quantile must be .*'high'"),
        ({"quantile": [0.5, None]}, X[:, 0], "quantile must be .*None"),
        ({"quantile": [0.1, 0.5]}, X[:, :2], "single target, but y has 2 columns"),
        (
            {"quantile": [0.1, 0.5], "out_activation": "exp"},
            X[:, 0],
            "'exp' does not go with several quantiles: use 'identity' or 'auto'",
        ),
    ],
)
def test_bad_quantiles(settings, y, match):
    with pytest.raises(ValueError, match=match):
        MLPRegressor("quantile", **settings, **SMALL).fit(X, y)


# Mean and variance


@pytest.mark.parametrize("n_columns", [1, 2])
def test_standard_deviations(n_columns):
    rng = np.random.default_rng(2)
    y = 3.0 + 0.5 * rng.normal(size=(120, n_columns))
    y = y.ravel() if n_columns == 1 else y
    model = MLPRegressor("gaussian_nll", tol=1e-10, random_state=0, **LINEAR)
    fitted(model, y, np.zeros((120, 1)))
    mean, std = model.predict(np.zeros((5, 1)), return_std=True)
    assert mean.shape == std.shape == (5, *y.shape[1:])
    assert_allclose(mean[0], y.mean(axis=0), rtol=1e-5)
    assert_allclose(std[0], y.std(axis=0), rtol=1e-4)
    expected = -stats.norm.logpdf(y, mean[0], std[0]).reshape(120, -1).sum(axis=1)
    constant = 0.5 * n_columns * np.log(2 * np.pi)
    assert model.loss_ == pytest.approx(expected.mean() - constant)
    model.set_params(loss="squared_error")
    assert_array_equal(model.predict(np.zeros((5, 1))), mean)


def test_standard_deviations_in_single_precision():
    model = MLPRegressor("gaussian_nll", dtype="float32", **SMALL)
    mean, std = fitted(model, X[:, 0]).predict(X, return_std=True)
    assert mean.dtype == std.dtype == np.float32
    assert (std > 0).all()


@pytest.mark.parametrize("loss", sorted(set(LOSSES) - {"gaussian_nll"}))
def test_other_losses_know_no_standard_deviation(loss):
    model = fitted(MLPRegressor(loss, **SMALL), target_for(loss, "auto"))
    with pytest.raises(ValueError, match=r"return_std=True needs .*'gaussian_nll'"):
        model.predict(X, return_std=True)


def test_a_warm_start_with_another_number_of_outputs_is_an_error():
    model = fitted(MLPRegressor(warm_start=True, **SMALL), X[:, 0])
    model.set_params(loss="gaussian_nll")
    with pytest.raises(ValueError, match="has weights of shapes"):
        model.fit(X, X[:, 0])
    assert model.predict(X).shape == (120,)
