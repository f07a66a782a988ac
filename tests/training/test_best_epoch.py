"""Which of several equally good epochs early stopping keeps."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier
from skmlp.exceptions import IneffectiveParameterWarning
from skmlp.training.history import Measurement, ValidationHistory

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
Y = X[:, 0] + 0.5 * RNG.normal(size=80) > 0
# Few validation rows have few different accuracies.
VALIDATION = {"X_val": RNG.normal(size=(9, 4)), "y_val": np.arange(9) % 2 == 0}


@pytest.fixture(autouse=True)
def no_limits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def classifier(**settings):
    usual = {"max_iter": 30, "random_state": 0, "early_stopping": True}
    usual |= {"n_iter_no_change": 30, "learning_rate_init": 0.01}
    return MLPClassifier((5,), **{**usual, **settings})


def kept(scores, *, keeps_last):
    history = ValidationHistory.begin("", np.zeros(1), 0)
    history.keeps_last = keeps_last
    for epoch, score in enumerate(scores, start=1):
        history.record(Measurement(0.0, score, np.array([float(epoch)])), 0.1, epoch)
    assert history.best_epoch == history.best_params[0]
    return history.best_epoch


@pytest.mark.parametrize(
    ("scores", "first", "last"),
    [
        ([1.0, 1.0, 0.5], 1, 2),
        ([0.5, 1.0, np.nan, 1.0, 0.5], 2, 4),
        ([1.0, 2.0, 1.0], 2, 2),
        ([np.nan, np.nan], 0, 0),
        ([-np.inf, -np.inf], 0, 0),
    ],
)
def test_equal_scores(scores, first, last):
    assert kept(scores, keeps_last=False) == first
    assert kept(scores, keeps_last=True) == last


def test_fits_keep_the_first_or_the_last_best_epoch():
    first = classifier().fit(X, Y, **VALIDATION)
    last = classifier(best_epoch="last").fit(X, Y, **VALIDATION)
    scores = np.array(first.validation_scores_)
    best = np.flatnonzero(scores == scores.max()) + 1
    assert len(best) > 1
    assert (first.best_iter_, last.best_iter_) == (best[0], best[-1])
    # Nothing else differs: neither the scores nor when the training stops.
    assert last.validation_scores_ == first.validation_scores_
    assert last.best_validation_score_ == first.best_validation_score_
    exact = classifier(early_stopping=False, max_iter=best[-1]).fit(X, Y)
    assert_array_equal(last.coefs_[0], exact.coefs_[0])
    assert last.score(VALIDATION["X_val"], VALIDATION["y_val"]) == scores.max()


def test_the_patience_is_the_same():
    settings = {"n_iter_no_change": 3}
    first = classifier(**settings).fit(X, Y, **VALIDATION)
    last = classifier(**settings, best_epoch="last").fit(X, Y, **VALIDATION)
    assert first.n_iter_ == last.n_iter_ < 30


def test_resuming_partial_fit_and_pickle():
    whole = classifier(best_epoch="last").fit(X, Y, **VALIDATION)
    part = classifier(best_epoch="last", max_iter=7).fit(X, Y, **VALIDATION)
    part = pickle.loads(pickle.dumps(part)).resume(X, Y, max_iter=30, **VALIDATION)
    assert part.best_iter_ == whole.best_iter_
    assert_array_equal(part.coefs_[0], whole.coefs_[0])
    steps = classifier(best_epoch="last", shuffle=False)
    for _ in range(12):
        steps.partial_fit(X, Y, classes=[False, True], **VALIDATION)
    scores = np.array(steps.validation_scores_)
    assert steps.best_iter_ == np.flatnonzero(scores == scores.max())[-1] + 1


def test_lbfgs_has_it_too():
    settings = {"solver": "lbfgs", "learning_rate_init": 0.001}
    model = classifier(**settings, best_epoch="last").fit(X, Y, **VALIDATION)
    scores = np.array(model.validation_scores_)
    assert model.best_iter_ == np.flatnonzero(scores == scores.max())[-1] + 1


def test_refused_and_without_effect():
    with pytest.raises(ValueError, match="best_epoch"):
        classifier(best_epoch="best").fit(X, Y)
    for settings in ({}, {"solver": "lbfgs", "learning_rate_init": 0.001}):
        model = classifier(
            early_stopping=False, n_iter_no_change=10, best_epoch="last", **settings
        )
        with pytest.warns(IneffectiveParameterWarning, match="best_epoch='last'"):
            model.fit(X, Y)
