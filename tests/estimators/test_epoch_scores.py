"""Scores from an epoch's outputs are those of scikit-learn's scorers."""

import contextlib
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn import metrics
from sklearn.metrics import get_scorer, make_scorer

from skmlp import MLPClassifier
from skmlp.estimators import validation
from skmlp.estimators.epoch_scores import epoch_scorer

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
    pytest.mark.filterwarnings("ignore:Some columns of y have:UserWarning"),
    pytest.mark.filterwarnings("ignore:Precision is ill-defined:UserWarning"),
]
RNG = np.random.default_rng(0)
N_ROWS = 240
X = RNG.normal(size=(N_ROWS, 3))
# Rows that occur twice have equal scores.
X[:60] = X[60:120]
SCORE = X[:, 0] + RNG.normal(size=N_ROWS)
TWO = (SCORE > 1.0).astype(int)
THREE = np.array(["a", "b", "c"])[np.digitize(SCORE, [0.3, 1.2])]
LABELS = np.column_stack([SCORE > 0.3, X[:, 1] + SCORE > 1, SCORE > 1.2]).astype(int)
TARGETS = {"two": TWO, "three": THREE, "labels": LABELS, "sparse labels": LABELS}
WEIGHTS = RNG.uniform(0.5, 3, N_ROWS)
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
FAST = {**SMALL, "max_iter": 12, "learning_rate_init": 0.1, "batch_size": 40}
AVERAGES = ["macro", "micro", "weighted"]
OF_ANY = [
    "accuracy",
    "balanced_accuracy",
    "matthews_corrcoef",
    "neg_log_loss",
    "average_precision",
    "roc_auc_ovr",
    "roc_auc_ovr_weighted",
    *(f"{name}_{a}" for name in ("f1", "recall", "precision") for a in AVERAGES),
    *(f"jaccard_{average}" for average in AVERAGES),
]
OF_TWO = ["roc_auc", "f1", "recall", "precision", "jaccard", "neg_brier_score"]
NOT_OF_LABELS = ["balanced_accuracy", "matthews_corrcoef", "neg_log_loss"]
OF_RARE = {
    "recall of one": make_scorer(metrics.recall_score, labels=["c"], average="macro"),
    "precision of two": make_scorer(
        metrics.precision_score, labels=["b", "a"], average="weighted"
    ),
}
CASES = [
    *((name, "two") for name in [*OF_ANY, *OF_TWO]),
    *((name, "three") for name in [*OF_ANY, *OF_RARE]),
    *((name, "labels") for name in ["roc_auc", *OF_ANY] if name not in NOT_OF_LABELS),
    ("f1_macro", "sparse labels"),
]


@pytest.fixture
def by_outputs(monkeypatch):
    """The scores by outputs; None where the scorer of scikit-learn was asked."""
    scores, of_outputs = [], validation._Scorer.of_outputs

    def noted(self, *arguments):
        scores.append(of_outputs(self, *arguments))
        return scores[-1]

    monkeypatch.setattr(validation._Scorer, "of_outputs", noted)
    return scores


@contextlib.contextmanager
def skipped_where_a_positive_class_is_asked_for():
    """Old scorers ask for it also among three classes, none of which is 1."""
    try:
        yield
    except ValueError as error:
        if "pos_label=1 is not a valid label" not in str(error):
            raise
        pytest.skip("this scikit-learn's scorers ask for a positive class of three")


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("adjusted", [False, True], ids=["plain", "adjusted"])
@pytest.mark.parametrize(("name", "target"), CASES)
def test_it_is_the_score_of_the_scorer(name, target, weighted, adjusted, by_outputs):
    y = TARGETS[target]
    y = sparse.csr_matrix(y) if target == "sparse labels" else y
    scoring = OF_RARE.get(name, name)
    how = {"logit_adjustment": 1.0, "prior": "uniform"} if adjusted else {}
    weights = {"sample_weight_val": WEIGHTS} if weighted else {}
    model = MLPClassifier(scoring=scoring, **FAST, **how)
    scorer = get_scorer(scoring)
    with skipped_where_a_positive_class_is_asked_for():
        model.fit(X, y, X_val=X, y_val=y, **weights)
        expected = scorer(model, X, y, sample_weight=WEIGHTS if weighted else None)
    assert model.validation_scores_[-1] == by_outputs[-1]
    assert by_outputs[-1] == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("name", OF_ANY)
def test_single_precision(name, by_outputs):
    x = X.astype(np.float32)
    model = MLPClassifier(scoring=name, **FAST).fit(x, THREE, X_val=x, y_val=THREE)
    with skipped_where_a_positive_class_is_asked_for():
        expected = get_scorer(name)(model, x, THREE)
    assert by_outputs[-1] == pytest.approx(expected, rel=1e-6)


def left_to_scikit_learn(scoring, y, labels=None):
    model = MLPClassifier(**SMALL).fit(X, y)
    labels = model._labels
    return epoch_scorer(scoring, labels, labels.encode(y, np.float64), None) is None


@pytest.mark.parametrize(
    "scoring",
    [
        make_scorer(metrics.balanced_accuracy_score, adjusted=True),
        make_scorer(metrics.roc_auc_score, response_method="predict_proba"),
        make_scorer(metrics.f1_score, average="samples"),
        make_scorer(metrics.recall_score),
        get_scorer("roc_auc_ovo"),
        get_scorer("neg_brier_score"),
        get_scorer("top_k_accuracy"),
        lambda estimator, X, y: 1.0,
    ],
)
def test_what_it_does_not_know_is_left_to_scikit_learn(scoring):
    assert left_to_scikit_learn(scoring, THREE)


def test_other_targets_are_left_to_scikit_learn():
    for name in ("f1_samples", "neg_log_loss"):
        assert left_to_scikit_learn(get_scorer(name), LABELS)
    assert left_to_scikit_learn(get_scorer("roc_auc"), LABELS * [1, 0, 1])
    columns = np.column_stack([THREE, THREE[::-1]])
    assert left_to_scikit_learn(get_scorer("accuracy"), columns)
    labels = MLPClassifier(**SMALL).fit(X, THREE)._labels
    lacking = labels.encode(np.array(["a", "b"] * 10), np.float64)
    assert epoch_scorer(get_scorer("f1_macro"), labels, lacking, None) is None


def test_positives_are_those_of_scikit_learn():
    # Its positive class is 1, which here is the first.
    y = TWO + 1
    for name in ("f1", "recall", "average_precision"):
        model = MLPClassifier(scoring=name, **SMALL).fit(X, y, X_val=X, y_val=y)
        assert model.validation_scores_[-1] == get_scorer(name)(model, X, y)


def test_an_undefined_score_is_told_by_scikit_learn():
    model = MLPClassifier(scoring="precision", **SMALL)
    model.set_params(learning_rate_init=1e-9)
    rare = np.arange(N_ROWS) % 120 == 0
    start = MLPClassifier(**SMALL).fit(X, rare)
    start.intercepts_[-1][:] = -50
    model.set_params(weight_init=(start.coefs_, start.intercepts_))
    with pytest.warns(UserWarning, match="Precision is ill-defined"):
        model.fit(X, rare, X_val=X, y_val=rare)
    assert model.validation_scores_ == [0.0] * 3


class Optimist(MLPClassifier):
    """Always says yes."""

    def predict(self, X):
        return np.ones(len(X), dtype=int)


def test_predictions_of_ones_own_are_scored():
    model = Optimist(scoring="recall", **SMALL).fit(X, TWO, X_val=X, y_val=TWO)
    assert model.validation_scores_ == [1.0] * 3


def test_outputs_that_are_not_finite_score_nan():
    model = MLPClassifier(scoring="recall", solver="sgd", **SMALL)
    model.set_params(learning_rate_init=1e200, early_stopping=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, TWO, X_val=X, y_val=TWO)
    assert np.isnan(model.validation_scores_[-1])
