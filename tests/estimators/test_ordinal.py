"""Classes in an order: probabilities, order of the labels, one output less."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.model_selection import cross_val_score

from skmlp import MLPClassifier
from skmlp.exceptions import PoorFitWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Of trainings that are short on purpose.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
LATENT = X @ [1.0, -0.5, 0.2] + RNG.logistic(size=200) / 4
Y = np.digitize(LATENT, [-1, 0, 1])
WORDS = ["low", "middle", "high", "extreme"]
CATEGORIES = pd.CategoricalDtype(WORDS, ordered=True)
GRADES = pd.Series(np.array(WORDS)[Y], dtype=CATEGORIES)
SETTINGS = {"loss": "ordinal", "random_state": 0, "max_iter": 30}


def fitted(y=Y, x=X, **settings):
    return MLPClassifier((8,), **{**SETTINGS, **settings}).fit(x, y)


def test_probabilities_are_differences_of_cumulative_ones():
    model = fitted()
    assert model.n_outputs_ == 3
    assert model.out_activation_ == "logistic"
    p, log_p = model.predict_proba(X), model.predict_log_proba(X)
    assert_allclose(p.sum(axis=1), 1)
    assert_allclose(np.log(p), log_p)
    assert_array_equal(model.predict(X), p.argmax(axis=1))
    decisions = model.decision_function(X)
    assert_allclose(decisions, np.log(p / (1 - p)), rtol=1e-9)
    assert_array_equal(model.predict(X), decisions.argmax(axis=1))
    # The first logit is the raw output: that of exceeding the lowest class.
    hidden = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)
    raw = hidden @ model.coefs_[1] + model.intercepts_[1]
    assert_allclose(1 - p[:, 0], expit(raw[:, 0]))


def test_a_constant_network_learns_the_shares_of_the_classes():
    weights = RNG.integers(1, 4, 200).astype(float)
    zeros = np.zeros_like(X)
    settings = {"solver": "lbfgs", "tol": 1e-10, "max_iter": 500, "alpha": 0.0}
    model = MLPClassifier((), **{**SETTINGS, **settings})
    with pytest.warns(PoorFitWarning, match="All features are constant"):
        model.fit(zeros, Y, sample_weight=weights)
    shares = np.bincount(Y, weights) / weights.sum()
    assert_allclose(model.predict_proba(zeros[:1])[0], shares, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"dtype": "float32"}], ids=str)
def test_probabilities_never_cross_nor_vanish(settings):
    model = fitted(**settings)
    for factor in (1e3, 1e6):
        p = model.predict_proba(factor * X)
        assert p.min() > 0
        assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        assert np.isfinite(model.predict_log_proba(factor * X)).all()


ORDERED = {
    "numbers": (Y * 3.0 - 4, None),
    "categories": (GRADES, WORDS),
    "a categorical": (GRADES.array, WORDS),
    "a frame": (GRADES.to_frame(), WORDS),
    "strings in their order": (np.array(list("abcd"))[Y], None),
}


@pytest.mark.parametrize("kind", ORDERED)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_the_order_of_the_labels(kind):
    y, order = ORDERED[kind]
    model, expected = fitted(y), fitted()
    assert_array_equal(model.coefs_[0], expected.coefs_[0])
    assert_array_equal(model.classes_, np.unique(np.asarray(y)))
    order = model.classes_ if order is None else order
    assert_array_equal(model.class_order_, order)
    assert_array_equal(model.predict(X), np.array(order)[expected.predict(X)])
    columns = np.searchsorted(model.classes_, order)
    assert_array_equal(model.predict_proba(X)[:, columns], expected.predict_proba(X))
    twin = pickle.loads(pickle.dumps(model))
    assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
    if kind != "a frame":
        assert model.score(X, y) == expected.score(X, Y)


def test_other_losses_have_no_order():
    model = fitted(GRADES, loss="log_loss")
    assert not hasattr(model, "class_order_")
    model.set_params(loss="ordinal").fit(X, GRADES)
    assert_array_equal(model.class_order_, WORDS)
    model.set_params(loss="log_loss").fit(X, GRADES)
    assert not hasattr(model, "class_order_")


def test_scorers_of_probabilities_find_their_columns():
    model = MLPClassifier((8,), **SETTINGS)
    scores = [
        cross_val_score(model, X, y, scoring="neg_log_loss", cv=2)
        for y in (Y, np.asarray(GRADES), GRADES)
    ]
    assert_allclose(scores[2], scores[0])


def test_two_classes_have_the_log_loss():
    y = pd.Series(np.where(Y > 1, "low", "high"))
    y = y.astype(pd.CategoricalDtype(["low", "high"], ordered=True))
    ordinal, plain = fitted(y), fitted(y, loss="log_loss")
    assert_array_equal(ordinal.predict_proba(X), plain.predict_proba(X))
    labels = np.column_stack([Y > 0, Y > 1]).astype(int)
    ordinal, plain = fitted(labels), fitted(labels, loss="log_loss")
    assert_array_equal(ordinal.predict_proba(X), plain.predict_proba(X))


def test_chunks_weights_and_held_out_rows():
    weights = {"low": 2.0, "extreme": 3.0}
    model = MLPClassifier((8,), **SETTINGS, class_weight=weights)
    few = np.flatnonzero(Y < 2)
    model.partial_fit(sparse.csr_array(X[few]), GRADES.iloc[few], classes=WORDS)
    model.partial_fit(X, GRADES)
    assert_array_equal(model.class_order_, WORDS)
    by_hand = np.where(Y == 0, 2.0, np.where(Y == 3, 3.0, 1.0))
    weighted = fitted(GRADES, class_weight=weights)
    given = MLPClassifier((8,), **SETTINGS).fit(X, Y, sample_weight=by_hand)
    assert_allclose(weighted.coefs_[0], given.coefs_[0])
    for scoring in (None, "loss", "balanced_accuracy", "neg_log_loss"):
        stopped = fitted(GRADES, early_stopping=True, scoring=scoring)
        assert max(stopped.validation_scores_) == stopped.best_validation_score_
    model = MLPClassifier((8,), **SETTINGS)
    model.fit(X, GRADES, X_val=X[:50], y_val=GRADES[:50])
    assert_allclose(model.validation_scores_[-1], model.score(X[:50], GRADES[:50]))


def test_another_order_is_refused():
    model = fitted(GRADES, warm_start=True)
    fewer = GRADES.cat.remove_categories(["high"])[Y != 2]
    model.partial_fit(X[Y != 2], fewer)
    model.partial_fit(X, np.asarray(GRADES))
    other = GRADES.cat.reorder_categories(WORDS[::-1])
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="but the network was made for"):
            method(X, other)


def test_the_order_must_have_all_classes():
    model = MLPClassifier((8,), **SETTINGS)
    with pytest.raises(ValueError, match=r"\['top'\], which are none of the ordered"):
        model.partial_fit(X, GRADES, classes=[*WORDS, "top"])


def test_a_network_for_an_order_cannot_go_on_without():
    model = fitted(warm_start=True).set_params(loss="log_loss")
    with pytest.raises(ValueError, match="needs another number of outputs"):
        model.fit(X, Y)
