"""scikit-learn's tools for thresholds and calibration over each remedy of imbalance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import (
    FixedThresholdClassifier,
    TunedThresholdClassifierCV,
    cross_val_score,
)

from skmlp import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
N_ROWS = 800
X = RNG.normal(size=(N_ROWS, 4))
SCORE = X[:, 0] + RNG.normal(size=N_ROWS)
TWO = np.where(SCORE > 2.0, "rare", "common")
THREE = np.array(["a", "b", "c"])[np.digitize(SCORE, [1.0, 2.2])]
SMALL = {
    "hidden_layer_sizes": (8,),
    "max_iter": 30,
    "learning_rate_init": 0.01,
    "random_state": 0,
}
REMEDIES = {
    "focal": {"loss": "focal"},
    "drawn by class": {"sampling": "balanced"},
    "drawn by weight": {"sampling": "weights", "class_weight": "balanced"},
    "adjusted": {"logit_adjustment": 1.0},
    "uniform": {"prior": "uniform"},
    "corrected": {"class_weight": {"rare": 15.0}, "prior": [0.92, 0.08]},
}
every_remedy = pytest.mark.parametrize("remedy", REMEDIES)


def model(remedy):
    return MLPClassifier(**SMALL, **REMEDIES[remedy])


@every_remedy
def test_a_fixed_threshold(remedy):
    fitted = model(remedy).fit(X, TWO)
    likely = fitted.predict_proba(X)[:, 1]
    fixed = FixedThresholdClassifier(FrozenEstimator(fitted), threshold=0.2)
    expected = np.where(likely >= 0.2, "rare", "common")
    fixed.set_params(pos_label="rare", response_method="predict_proba").fit(X, TWO)
    assert_array_equal(fixed.predict(X), expected)
    # At zero the evidence decides as the classifier does.
    fixed.set_params(threshold=0.0, response_method="decision_function").fit(X, TWO)
    assert_array_equal(fixed.predict(X), fitted.predict(X))


@every_remedy
def test_a_tuned_threshold(remedy):
    tuned = TunedThresholdClassifierCV(
        model(remedy), scoring="balanced_accuracy", cv=3, random_state=0
    ).fit(X, TWO)
    likely = tuned.estimator_.predict_proba(X)[:, 1]
    expected = np.where(likely >= tuned.best_threshold_, "rare", "common")
    assert_array_equal(tuned.predict(X), expected)
    assert balanced_accuracy_score(TWO, tuned.predict(X)) > 0.8


@every_remedy
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(remedy, method):
    fitted = model(remedy).fit(X, TWO)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method=method)
    likely = calibrated.fit(X, TWO).predict_proba(X)
    assert likely[:, 1].mean() == pytest.approx(np.mean(TWO == "rare"), abs=0.01)
    assert log_loss(TWO, likely) < log_loss(TWO, fitted.predict_proba(X)) + 0.01


@every_remedy
def test_cross_validated_calibration(remedy):
    y = TWO if remedy == "corrected" else THREE
    calibrated = CalibratedClassifierCV(model(remedy), cv=3).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    shares = np.unique(y, return_counts=True)[1] / N_ROWS
    assert_allclose(calibrated.predict_proba(X).mean(axis=0), shares, atol=0.03)
    assert clone(calibrated.estimator).get_params() == model(remedy).get_params()


def test_an_adjustment_does_not_change_the_calibration():
    """Only a constant of the evidence differs, which the sigmoid takes off."""
    adjusted = model("adjusted").fit(X, TWO)
    plain = model("adjusted").fit(X, TWO)
    plain._prior_offsets = None
    likely = [
        CalibratedClassifierCV(FrozenEstimator(each)).fit(X, TWO).predict_proba(X)
        for each in (adjusted, plain)
    ]
    assert_allclose(*likely, atol=1e-4)


def test_a_tuned_threshold_finds_the_adjustment():
    """Menon's threshold, the share of the class, without a search."""
    adjusted = model("adjusted").fit(X, TWO)
    share = np.mean(TWO == "rare")
    fixed = FixedThresholdClassifier(
        FrozenEstimator(adjusted), threshold=share, pos_label="rare"
    )
    fixed.set_params(response_method="predict_proba").fit(X, TWO)
    assert_array_equal(fixed.predict(X), adjusted.predict(X))


@every_remedy
def test_cross_validation_by_scorers_of_rare_classes(remedy):
    for scoring in ("average_precision", "balanced_accuracy"):
        y = (TWO == "rare").astype(int)
        estimator = model(remedy)
        if remedy == "corrected":
            estimator.set_params(class_weight={1: 15.0})
        scores = cross_val_score(estimator, X, y, cv=3, scoring=scoring)
        assert np.isfinite(scores).all()
        assert scores.mean() > np.mean(y)
