"""Logit adjustment and priors: constants of the raw outputs, exact where they can be.

A model whose features are all zero predicts the weighted shares of the classes, so
that corrected probabilities are known.
"""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, log_loss

from skmlp import MLPClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]
RNG = np.random.default_rng(0)
N_ROWS = 300
X = RNG.normal(size=(N_ROWS, 4))
SCORE = X[:, 0] + 0.5 * RNG.normal(size=N_ROWS)
TWO = np.where(SCORE > 1.2, "rare", "common")
THREE = np.array(["a", "b", "c"])[np.digitize(SCORE, [0.9, 1.5])]
LABELS = np.column_stack([SCORE > 1, SCORE > 0.3, SCORE[::-1] > 0.9]).astype(int)
TARGETS = {"two": TWO, "three": THREE, "labels": LABELS}
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0}
EXACT = {
    "hidden_layer_sizes": (),
    "solver": "lbfgs",
    "alpha": 0.0,
    "tol": 1e-10,
    "max_iter": 500,
}
every_target = pytest.mark.parametrize("target", TARGETS)


def shares_of(y, weights=None):
    weights = np.ones(len(y)) if weights is None else weights
    if y.ndim == 2:
        return weights @ y / weights.sum()
    _, codes = np.unique(y, return_inverse=True)
    return np.bincount(codes, weights) / weights.sum()


def constants_of(y, shares):
    """What is added to raw outputs when the shares are multiplied."""
    if y.ndim == 2:
        return special.logit(shares)
    return np.log(shares) if len(shares) > 2 else special.logit(shares[1:])


def raw_outputs(model, X=X):
    plain = clone(model).set_params(logit_adjustment=0.0, prior=None)
    plain.__dict__.update(vars(model), _prior_offsets=None)
    if len(model.coefs_[-1].T) > 2 and not model._labels.multilabel:
        return plain.predict_log_proba(X)
    return plain.decision_function(X).reshape(len(X), -1)


@every_target
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_training_is_that_of_moved_biases(target, solver):
    y, tau = TARGETS[target], 0.7
    settings = {**SMALL, "solver": solver}
    start = MLPClassifier(**{**settings, "max_iter": 1, "learning_rate_init": 1e-300})
    if solver == "lbfgs":
        start.set_params(solver="adam")
    start.fit(X, y)
    start.intercepts_[-1] += tau * constants_of(y, shares_of(y))
    given = ([*start.coefs_], [*start.intercepts_])
    expected = MLPClassifier(weight_init=given, **settings)
    adjusted = MLPClassifier(logit_adjustment=tau, **settings).fit(X, y)
    # The shuffle draws numbers after those of the initial weights.
    if solver == "lbfgs":
        expected.fit(X, y)
        assert_allclose(adjusted.coefs_[0], expected.coefs_[0], rtol=1e-9)
        likely = expected.predict_proba(X)
        assert_allclose(adjusted.predict_proba(X), likely, rtol=1e-9)
    constant = constants_of(y, shares_of(y))
    decided = raw_outputs(adjusted) - tau * constant
    if target == "three":
        assert_array_equal(adjusted.predict(X), adjusted.classes_[decided.argmax(1)])
        alike = special.expit(adjusted.decision_function(X))
        assert_allclose(alike, special.softmax(decided, axis=1), rtol=1e-9)
    else:
        found = adjusted.decision_function(X).reshape(N_ROWS, -1)
        assert_allclose(found, decided, rtol=1e-12, atol=1e-12)
    assert_allclose(adjusted.class_shares_, shares_of(y))


def test_the_loss_is_that_of_adjusted_logits():
    """The first loss is that of z + tau log(share) (Menon et al., 2021)."""
    tau, shares = 1.5, shares_of(THREE)
    settings = {**SMALL, "max_iter": 1, "alpha": 0.0, "learning_rate_init": 1e-300}
    plain = MLPClassifier(**settings).fit(X, THREE)
    z = plain.predict_log_proba(X) + tau * np.log(shares)
    expected = log_loss(THREE, special.softmax(z, axis=1))
    adjusted = MLPClassifier(logit_adjustment=tau, **settings).fit(X, THREE)
    assert adjusted.loss_ == pytest.approx(expected, rel=1e-12)


@every_target
def test_decisions_find_all_classes_alike(target):
    y = TARGETS[target]
    plain = MLPClassifier(**EXACT).fit(X, y)
    adjusted = MLPClassifier(logit_adjustment=1.0, **EXACT).fit(X, y)
    assert_allclose(adjusted.predict_proba(X), plain.predict_proba(X), atol=1e-4)
    for column in range(y.shape[1]) if y.ndim == 2 else [Ellipsis]:
        index = (slice(None), column) if y.ndim == 2 else Ellipsis
        before, after = (
            balanced_accuracy_score(y[index], model.predict(X)[index])
            for model in (plain, adjusted)
        )
        assert after >= before
    if target != "labels":
        assert after > before + 0.05


ZEROS = np.zeros((N_ROWS, 1))
WEIGHTS = RNG.uniform(0.5, 2.0, N_ROWS)
HOW = {
    "class weights": {"class_weight": {"rare": 20.0, "c": 5.0}},
    "balanced": {"class_weight": "balanced"},
}


@pytest.mark.filterwarnings("ignore:class_weight has:UserWarning")
@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("how", HOW)
def test_the_true_shares_undo_the_weights(target, how):
    y = TARGETS[target]
    if how == "class weights":
        rare = "rare" if target == "two" else "c"
        settings = {"class_weight": {rare: 20.0}}
    else:
        settings = HOW[how]
    true = shares_of(y, WEIGHTS)
    weighted = MLPClassifier(**EXACT, **settings)
    plain = weighted.fit(ZEROS, y, WEIGHTS).predict_proba(ZEROS)[0]
    assert np.abs(plain - true).max() > 0.1
    weighted.set_params(prior=dict(zip(weighted.classes_, true, strict=True)))
    weighted.fit(ZEROS, y, WEIGHTS)
    assert_allclose(weighted.predict_proba(ZEROS)[0], true, atol=1e-5)
    assert_allclose(weighted.class_shares_, plain, atol=1e-5)


@pytest.mark.parametrize("sampling", ["balanced", "weights"])
def test_the_true_shares_undo_the_sampling(sampling):
    true = shares_of(THREE)
    settings = {"class_weight": {"c": 4.0}} if sampling == "weights" else {}
    model = MLPClassifier(
        (), sampling=sampling, prior=true, random_state=0, alpha=0.0, batch_size=300,
        learning_rate="cosine", learning_rate_init=0.05, max_iter=300, **settings,
    ).fit(ZEROS, THREE)  # fmt: skip
    factors = np.where(THREE == "c", 4.0, 1.0)
    trained = shares_of(THREE, factors) if sampling == "weights" else np.full(3, 1 / 3)
    assert_allclose(model.class_shares_, trained)
    assert_allclose(model.predict_proba(ZEROS)[0], true, atol=0.02)


def test_labels_have_shares_of_their_own():
    true, given = shares_of(LABELS), np.array([0.5, 0.1, 0.9])
    model = MLPClassifier(prior=given, **EXACT).fit(ZEROS, LABELS)
    assert_allclose(model.class_shares_, true)
    assert_allclose(model.predict_proba(ZEROS)[0], given, atol=1e-4)
    model.set_params(prior="uniform").fit(ZEROS, LABELS)
    assert_allclose(model.predict_proba(ZEROS)[0], 0.5, atol=1e-4)
    named = pd.DataFrame(LABELS, columns=["x", "y", "z"])
    for prior in ({0: 0.3, 1: 0.2, 2: 0.4}, {"x": 0.3, "z": 0.4, "y": 0.2}):
        model.set_params(prior=prior).fit(ZEROS, named)
        assert_allclose(model.predict_proba(ZEROS)[0], [0.3, 0.2, 0.4], atol=1e-4)
    with pytest.raises(ValueError, match=r"in \(0, 1\), got 0 for 'y'"):
        model.set_params(prior=[0.1, 0.0, 0.1]).fit(ZEROS, named)


@every_target
def test_probabilities_follow_bayes(target):
    """p' is proportional to p times the ratio of the shares."""
    y = TARGETS[target]
    true = shares_of(y)
    given = np.array([0.3, 0.6, 0.1])[: len(true)]
    if target == "two":
        given = np.array([0.35, 0.65])
    plain = MLPClassifier(**SMALL).fit(X, y)
    moved = MLPClassifier(prior=given, **SMALL).fit(X, y)
    p = plain.predict_proba(X)
    expected = p * given / true
    if target == "labels":
        expected = expected / (expected + (1 - p) * (1 - given) / (1 - true))
    else:
        expected /= expected.sum(axis=1, keepdims=True)
    assert_allclose(moved.predict_proba(X), expected, rtol=1e-10)
    assert_allclose(moved.predict_log_proba(X), np.log(expected), rtol=1e-8)
    if target == "labels":
        assert_array_equal(moved.predict(X), expected > 0.5)
    else:
        assert_array_equal(moved.predict(X), moved.classes_[expected.argmax(axis=1)])


def test_rows_that_were_dropped_are_counted_again():
    """Nine in ten rows of the frequent class dropped, and their share given."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20_000, 2))
    y = (rng.random(20_000) < special.expit(1.5 * x[:, 0] - 3)).astype(int)
    kept = (y == 1) | (rng.random(20_000) < 0.1)
    share = y.mean()
    model = MLPClassifier(prior=[1 - share, share], **EXACT).fit(x[kept], y[kept])
    whole = MLPClassifier(**EXACT).fit(x, y)
    found, best = (each.predict_proba(x) for each in (model, whole))
    assert found[:, 1].mean() == pytest.approx(share, rel=0.05)
    assert log_loss(y, found) < log_loss(y, best) * 1.005


def test_decisions_are_adjusted_to_the_prior():
    given = np.array([0.2, 0.5, 0.3])
    settings = {**SMALL, "prior": given}
    moved = MLPClassifier(**settings).fit(X, THREE)
    both = MLPClassifier(logit_adjustment=1.0, **settings).fit(X, THREE)
    z = raw_outputs(both) + np.log(given / shares_of(THREE)) - np.log(given)
    assert_array_equal(both.predict(X), both.classes_[z.argmax(axis=1)])
    assert both.predict_proba(X).shape == moved.predict_proba(X).shape


@every_target
def test_early_stopping_scores_the_decisions(target):
    y = TARGETS[target]
    settings = {**SMALL, "early_stopping": True, "max_iter": 5, "logit_adjustment": 1.0}
    if target == "labels":
        settings["scoring"] = "accuracy"
    fit = {"X_val": X, "y_val": y}
    by_default = MLPClassifier(**settings).fit(X, y, **fit)
    by_name = MLPClassifier(**{**settings, "scoring": "accuracy"}).fit(X, y, **fit)
    assert by_default.validation_scores_ == by_name.validation_scores_
    assert by_default.score(X, y) == by_default.best_validation_score_


def test_fits_go_on_and_pickles_predict_alike():
    settings = {**SMALL, "logit_adjustment": 1.0, "prior": "uniform"}
    whole = MLPClassifier(**settings).fit(X, TWO)
    model = MLPClassifier(**{**settings, "max_iter": 8}).fit(X, TWO)
    model = pickle.loads(pickle.dumps(model)).resume(X, TWO, max_iter=20)
    for method in ("predict_proba", "decision_function", "predict"):
        assert_array_equal(getattr(model, method)(X), getattr(whole, method)(X))
    # A warm start begins with the fitted biases, not with moved ones.
    warm = MLPClassifier(warm_start=True, **settings).fit(X, TWO)
    biases = warm.intercepts_[-1].copy()
    warm.set_params(learning_rate_init=1e-300, max_iter=1).fit(X, TWO)
    assert_array_equal(warm.intercepts_[-1], biases)
    warm.set_params(logit_adjustment=0.0, prior=None).fit(X, TWO)
    assert warm.class_shares_ is None
    assert_allclose(warm.decision_function(X), raw_outputs(warm).ravel())


@pytest.mark.parametrize("start", ["data_driven", "arrays"])
def test_any_initial_biases_are_moved(start):
    settings = {**SMALL, "max_iter": 1, "learning_rate_init": 1e-300}
    given = (
        [np.ones((4, 6)), np.ones((6, 3))],
        [np.zeros(6), np.array([1.0, 2.0, 3.0])],
    )
    settings["weight_init"] = given if start == "arrays" else start
    plain = MLPClassifier(**settings).fit(X, THREE)
    adjusted = MLPClassifier(logit_adjustment=1.0, **settings).fit(X, THREE)
    moved = plain.intercepts_[-1] + np.log(shares_of(THREE))
    assert_allclose(adjusted.intercepts_[-1], moved)
    assert_array_equal(given[1][1], [1.0, 2.0, 3.0])


def test_a_single_class_is_certain():
    model = MLPClassifier(logit_adjustment=1.0, prior="uniform", **SMALL)
    model.fit(X, np.zeros(N_ROWS, dtype=int))
    assert_array_equal(model.predict_proba(X), np.ones((N_ROWS, 1)))
    assert not model.predict(X).any()


def test_the_precision_is_that_of_the_model():
    model = MLPClassifier(logit_adjustment=1.0, prior="uniform", **SMALL)
    model.fit(X.astype(np.float32), THREE)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        assert getattr(model, method)(X.astype(np.float32)).dtype == np.float32


ERRORS = [
    ({"prior": {"common": 1.0}}, TWO, r"no others: it has \['common'\], the classes"),
    (
        {"prior": {"common": 0.5, "rare": 0.4, "other": 0.1}},
        TWO,
        r"the classes are \['common', 'rare'\]",
    ),
    ({"prior": [0.5, 0.4]}, TWO, r"must sum to 1, got the sum 0\.9"),
    ({"prior": [1.0, 0.0]}, TWO, "that are positive, got 0 for 'rare'"),
    ({"prior": [0.5, np.nan]}, TWO, "that are positive, got nan for 'rare'"),
    ({"prior": [0.5, 0.3, 0.2]}, TWO, r"has shape \(3,\), but must have a share for"),
    ({"prior": {"common": "many", "rare": "few"}}, TWO, "must have numbers as shares"),
    ({"prior": [0.5, 1.0, 0.5]}, LABELS, r"that are in \(0, 1\), got 1 for 1"),
    ({"prior": "uniform", "loss": "hinge"}, TWO, "whose outputs are margins"),
    ({"prior": "uniform", "loss": "focal"}, TWO, "needs outputs that are log-odds"),
    ({"logit_adjustment": 1.0, "loss": "focal"}, THREE, "tune a threshold"),
    ({"logit_adjustment": 1.0, "loss": "hinge"}, THREE, "whose outputs are margins"),
    (
        {"logit_adjustment": 1.0, "out_activation": "logistic"},
        THREE,
        "with several classes needs probabilities by softmax, got loss='log_loss' with",
    ),
    ({"logit_adjustment": 1.0, "loss": "ordinal"}, THREE, "got loss='ordinal' with"),
    ({"logit_adjustment": 1.0, "fit_intercept": False}, TWO, "needs fit_intercept"),
    (
        {"prior": "uniform", "class_weight": {"rare": 0.0}},
        TWO,
        "prior needs rows of each class, but the share of 'rare' among the rows to",
    ),
    (
        {"logit_adjustment": 1.0},
        LABELS * [1, 0, 1],
        "rows without and with each label, but the share of 1 among the rows to train",
    ),
]


@pytest.mark.filterwarnings("ignore:Some columns of y have the same:UserWarning")
@pytest.mark.parametrize(("settings", "y", "message"), ERRORS)
def test_what_cannot_be_is_an_error(settings, y, message):
    model = MLPClassifier(**SMALL).set_params(**settings)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "classes_")


@pytest.mark.parametrize("settings", [{"logit_adjustment": 1.0}, {"prior": "uniform"}])
def test_chunks_have_no_shares(settings):
    model = MLPClassifier(**SMALL).set_params(**settings)
    for _ in range(2):
        with pytest.raises(ValueError, match="a chunk need not have the class shares"):
            model.partial_fit(X, TWO, classes=["common", "rare"])
        model.fit(X, TWO)
