"""Validation data, scorers, histories and limits of time: what ends a training.

Each claim is checked against what a user would do by hand: losses and scores epoch by
epoch against fits of as many epochs, which a seed repeats to the bit.
"""

import copy
import pickle
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from estimator_bits import bits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    accuracy_score,
    get_scorer,
    log_loss,
    make_scorer,
    mean_squared_error,
    r2_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import _MODULES, cpu, reference
from skmlp.estimators import validation
from skmlp.exceptions import IneffectiveParameterWarning
from skmlp.network import Network
from skmlp.rules.loss_choice import all_losses
from skmlp.rules.losses import MULTICLASS_LOSSES
from skmlp.training import minibatch

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Trainings of a few epochs, with one set of parameters for all solvers.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]
N_TRAIN = 120
RNG = np.random.default_rng(0)
X_ALL = RNG.normal(size=(200, 5))
NOISY = X_ALL[:, 0] + X_ALL[:, 1] ** 2 + RNG.normal(size=200)
X, X_VAL = X_ALL[:N_TRAIN], X_ALL[N_TRAIN:]
WEIGHTS = RNG.uniform(0.2, 3.0, len(X_VAL))
TARGETS = {
    "binary": (NOISY > 1).astype(int),
    "multiclass": np.array(["low", "mid", "top"])[np.digitize(NOISY, [0.3, 1.5])],
    "multilabel": np.column_stack([NOISY > 1, NOISY < 2, X_ALL[:, 2] > 0]).astype(int),
    "regression": NOISY,
    "outputs": np.column_stack([NOISY, X_ALL[:, 3]]),
    "poisson": RNG.poisson(np.exp(0.5 * X_ALL[:, 0])).astype(float),
}
SMALL = {
    "hidden_layer_sizes": (6,),
    "max_iter": 12,
    "random_state": 0,
    "batch_size": 16,
}
SOLVERS = ("adam", "sgd", "lbfgs")


def data(task):
    """Training and validation targets."""
    return TARGETS[task][:N_TRAIN], TARGETS[task][N_TRAIN:]


def model(task, **settings):
    settings = {**SMALL, **settings}
    if task == "poisson":
        return MLPRegressor("poisson", **settings)
    kind = MLPRegressor if task in ("regression", "outputs") else MLPClassifier
    return kind(**settings)


def fitted(task, X=X, X_val=X_VAL, sample_weight_val=None, **settings):
    y, y_val = data(task)
    return model(task, **settings).fit(
        X, y, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
    )


def after(task, n_epochs, **settings):
    """The same training without validation data, so many epochs long."""
    return model(task, **{**settings, "max_iter": n_epochs}).fit(X, data(task)[0])


def loss_by_hand(task, estimator, y, weights):
    """Mean loss of the validation rows, from what the estimator predicts."""
    if task == "multiclass":
        return log_loss(y, estimator.predict_proba(X_VAL), sample_weight=weights)
    if task in ("binary", "multilabel"):
        raw = estimator.decision_function(X_VAL)
        each = np.logaddexp(0, raw) - y * raw
    elif task == "poisson":
        mean = estimator.predict(X_VAL)
        logs = np.where(y > 0, y, 1)
        each = y * np.log(logs) - y * np.log(mean) - y + mean
    else:
        each = 0.5 * (estimator.predict(X_VAL) - y) ** 2
    each = each.reshape(len(y), -1).sum(axis=1)
    return np.average(each, weights=weights)


# --- losses and scores of validation data ---


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["uniform", "weighted"])
@pytest.mark.parametrize("task", TARGETS)
def test_each_epoch_is_measured(task, weights):
    _, y_val = data(task)
    estimator = fitted(task, sample_weight_val=weights)
    assert len(estimator.validation_scores_) == estimator.n_iter_ == 12
    for n_epochs in (1, 5, 12):
        then = after(task, n_epochs)
        score = then.score(X_VAL, y_val, sample_weight=weights)
        expected = loss_by_hand(task, then, y_val, weights)
        assert_allclose(estimator.validation_loss_curve_[n_epochs - 1], expected)
        if task != "outputs":
            assert_allclose(estimator.validation_scores_[n_epochs - 1], score)
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)
    assert bits(estimator) == bits(then)


@pytest.mark.parametrize(
    "loss", all_losses(), ids=lambda row: f"{row.name}-{row.output}-{row.labels}"
)
@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "weighted"])
@pytest.mark.parametrize("n_rows", [3, 2500])
def test_assess_equals_the_reference(loss, weighted, n_rows):
    rng = np.random.default_rng(1)
    levels = (0.2, 0.4, 0.6, 0.8)
    params = (2.0, 2.0, 0.0) if loss.by_column else levels
    network = Network((2, 4), (), loss, loss.output, params)
    raw = rng.normal(scale=3.0, size=(n_rows, 4))
    shape = (n_rows, network.target_columns)
    targets = (
        rng.integers(0 if loss.closed else 1, 2 if loss.closed else 3, shape) * 1.0
    )
    weights = rng.uniform(0.1, 2.0, n_rows) if weighted else None
    before = raw.copy()
    (expected, theirs), (loss, ours) = (
        backend.evaluate(network, raw, targets, weights) for backend in (reference, cpu)
    )
    assert_allclose(loss, expected, rtol=1e-12)
    assert_allclose(ours, theirs, rtol=1e-10)
    assert_array_equal(raw, before)


def test_the_loss_is_stable_where_probabilities_are_rounded():
    network = Network((2, 3), (), MULTICLASS_LOSSES["log_loss", "softmax"], "softmax")
    raw = np.array([[0.0, 800.0, -800.0]])
    loss, _ = cpu.evaluate(network, raw, np.array([[2.0]]), None)
    assert loss == 1600.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_validation_data_like_x(container, dtype):
    names = {"columns": list("abcde")} if container is pd.DataFrame else {}
    X_train, X_val = (container(x.astype(dtype), **names) for x in (X, X_VAL))
    estimator = fitted("binary", X_train, X_val, scoring="roc_auc", early_stopping=True)
    plain = fitted(
        "binary",
        X.astype(dtype),
        X_VAL.astype(dtype),
        scoring="roc_auc",
        early_stopping=True,
    )
    assert estimator.coefs_[0].dtype == dtype
    rtol = 1e-3 if dtype == np.float32 else 1e-9
    assert_allclose(
        estimator.validation_loss_curve_, plain.validation_loss_curve_, rtol
    )


@pytest.mark.parametrize("sparse_x", [False, True], ids=["dense x", "sparse x"])
def test_validation_data_may_be_stored_otherwise(sparse_x):
    convert, convert_val = np.asarray, sparse.csc_array
    if sparse_x:
        convert, convert_val = convert_val, convert
    estimator = fitted("multiclass", convert(X), convert_val(X_VAL), scoring="accuracy")
    same = fitted("multiclass")
    assert_allclose(estimator.validation_loss_curve_, same.validation_loss_curve_)
    assert estimator.validation_scores_ == same.validation_scores_


@pytest.mark.parametrize("task", ["multiclass", "poisson"])
def test_the_reference_measures_the_same(task, monkeypatch):
    settings = {"max_iter": 2, "early_stopping": True, "scoring": "loss"}
    ours = fitted(task, **settings)
    monkeypatch.setitem(_MODULES, "cpu", "skmlp.backends.reference")
    expected = fitted(task, **settings)
    assert_allclose(ours.validation_scores_, expected.validation_scores_, rtol=1e-9)


def test_sparse_multilabel_targets():
    y, y_val = data("multilabel")
    dense = fitted("multilabel", scoring="f1_macro")
    estimator = model("multilabel", scoring="f1_macro").fit(
        X, sparse.csr_matrix(y), X_val=X_VAL, y_val=sparse.csr_matrix(y_val)
    )
    assert estimator.validation_scores_ == dense.validation_scores_


def test_validation_data_are_not_copied(monkeypatch):
    seen = []
    outputs = cpu.session.Session.outputs

    def record(session, x, rows):
        seen.append((np.shares_memory(x, X_VAL), rows))
        return outputs(session, x, rows)

    monkeypatch.setattr(cpu.session.Session, "outputs", record)
    fitted("binary", scoring=lambda estimator, X, y: np.shares_memory(X, X_VAL))
    assert seen == [(True, None)] * 12


@pytest.mark.parametrize("scoring", [None, "loss", "accuracy", "neg_log_loss"])
def test_rows_of_weight_zero_are_not_there(scoring):
    y, y_val = data("binary")
    weights = np.where(np.arange(len(y_val)) % 3 == 0, 0.0, WEIGHTS)
    there = weights > 0
    with_them = fitted("binary", sample_weight_val=weights, scoring=scoring)
    without = model("binary", scoring=scoring).fit(
        X,
        y,
        X_val=X_VAL[there],
        y_val=y_val[there],
        sample_weight_val=weights[there],
    )
    assert_allclose(with_them.validation_scores_, without.validation_scores_)
    assert_allclose(with_them.validation_loss_curve_, without.validation_loss_curve_)


def test_class_weights_do_not_weigh_validation_data():
    estimator = fitted("binary", class_weight={0: 5.0})
    expected = loss_by_hand("binary", estimator, data("binary")[1], None)
    assert_allclose(estimator.validation_loss_curve_[-1], expected)


def test_the_split_has_a_loss_too():
    y, _ = data("multiclass")
    estimator = model("multiclass", early_stopping=True, validation_fraction=0.3)
    estimator.fit(X, y)
    assert np.shape(estimator.validation_loss_curve_) == (estimator.n_iter_,)
    assert estimator.validation_loss_curve_[-1] < estimator.validation_loss_curve_[0]


# --- what is refused ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X_val": X_VAL}, "X_val is provided, but y_val was not"),
        ({"y_val": X_VAL[:, 0]}, "y_val is provided, but X_val was not"),
        ({"sample_weight_val": WEIGHTS}, "sample_weight_val is provided, but X_val"),
        ({"X_val": X_VAL[:, :3]}, "In X_val, y_val: X has 3 features"),
        ({"X_val": np.nan * X_VAL}, "In X_val, y_val: Input X contains NaN"),
        ({"X_val": X_VAL[:9]}, "In X_val, y_val: Found input variables"),
        ({"X_val": X_VAL[0]}, "In X_val, y_val: Expected 2D array"),
        ({"X_val": np.ma.masked_array(X_VAL, X_VAL > 1)}, "X_val is a masked array"),
        ({"sample_weight_val": -WEIGHTS}, "In sample_weight_val: Negative values"),
        ({"sample_weight_val": 0 * WEIGHTS}, "In sample_weight_val: .*non-zero"),
        ({"sample_weight_val": WEIGHTS[:3]}, "In sample_weight_val: "),
        ({"sample_weight_val": np.eye(len(X_VAL))[0]}, "at least two rows"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_unusable_validation_data(task, method, arguments, message):
    y, y_val = data(task)
    complete = {"X_val": X_VAL, "y_val": y_val}
    if "is provided" not in message:
        arguments = {**complete, **arguments}
    estimator = model(task, max_iter=2).fit(X, y)
    before = {**vars(estimator)}
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(X, y, **arguments)
    assert vars(estimator) == before


@pytest.mark.parametrize(
    ("task", "y_val", "message"),
    [
        ("binary", np.full(80, 2), "In y_val: .*classes not in"),
        ("multiclass", np.full(80, "other"), "In y_val: .*classes not in"),
        ("binary", np.linspace(0, 1, 80), "In y_val: .*"),
        ("binary", TARGETS["multilabel"][:80], "In y_val: "),
        ("multilabel", TARGETS["multilabel"][:80, :2], "In y_val: "),
        ("multilabel", TARGETS["binary"][:80], "In y_val: "),
        ("regression", TARGETS["outputs"][:80], "In y_val: 2 columns, but y has 1"),
        ("outputs", NOISY[:80], "In y_val: 1 columns, but y has 2"),
        ("poisson", -np.ones(80), "In y_val: loss='poisson' needs y >= 0"),
        ("regression", np.full(80, np.inf), "In X_val, y_val: Input y contains inf"),
    ],
)
def test_unusable_validation_targets(task, y_val, message):
    estimator = model(task)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, data(task)[0], X_val=X_VAL, y_val=y_val)
    assert not hasattr(estimator, "coefs_")


def test_other_names_of_columns_are_refused():
    y, y_val = data("binary")
    frames = [pd.DataFrame(x, columns=list("abcde")) for x in (X, X_VAL)]
    frames[1].columns = list("abcdX")
    with pytest.raises(ValueError, match="In X_val, y_val: The feature names"):
        model("binary").fit(frames[0], y, X_val=frames[1], y_val=y_val)


def test_validation_labels_need_not_be_all():
    y, y_val = data("multiclass")
    some = y_val != "mid"
    for settings in ({}, {"warm_start": True, "max_iter": 2}):
        estimator = model("multiclass", **settings).fit(X, y)
        estimator.fit(X, y, X_val=X_VAL[some], y_val=y_val[some])
        expected = accuracy_score(y_val[some], estimator.predict(X_VAL[some]))
        assert estimator.validation_scores_[-1] == expected


# --- early stopping ---


def stopping(**settings):
    """Settings with which the validation score soon gets no better."""
    return {
        "learning_rate_init": 0.05,
        "max_iter": 300,
        "early_stopping": True,
        "n_iter_no_change": 5,
        "hidden_layer_sizes": (30,),
        **settings,
    }


@pytest.mark.parametrize("scoring", [None, "loss"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_the_best_parameters_are_kept(task, solver, scoring):
    settings = stopping(solver=solver, scoring=scoring, alpha=0.0)
    if solver == "sgd":
        settings["learning_rate_init"] = 0.02
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", IneffectiveParameterWarning)
        estimator = fitted(task, **settings)
    scores = np.array(estimator.validation_scores_)
    best = np.argmax(scores)
    assert len(scores) == estimator.n_iter_ < 300
    assert best < len(scores) - 1
    assert estimator.best_validation_score_ == scores[best]
    _, y_val = data(task)
    if scoring == "loss":
        found = -loss_by_hand(task, estimator, y_val, None)
    else:
        found = estimator.score(X_VAL, y_val)
    assert_allclose(found, scores[best], rtol=1e-7)


def test_no_rows_are_held_out():
    estimator = fitted("binary", early_stopping=True, validation_fraction=0.0)
    assert estimator.t_ == 12 * N_TRAIN
    plain = after("binary", 12)
    assert_allclose(estimator.loss_curve_, plain.loss_curve_, rtol=0)


def test_without_early_stopping_the_loss_decides():
    settings = {"max_iter": 200, "tol": 0.01, "learning_rate_init": 0.02}
    plain = model("regression", **settings).fit(X, data("regression")[0])
    estimator = fitted("regression", **settings)
    assert estimator.n_iter_ == plain.n_iter_ < 200
    assert bits(estimator) == bits(plain)
    assert estimator.best_loss_ == plain.best_loss_
    assert len(estimator.validation_scores_) == plain.n_iter_
    assert plain.validation_scores_ is plain.validation_loss_curve_ is None


def test_lbfgs_stops_early_only_with_validation_data():
    settings = stopping(solver="lbfgs", alpha=0.0)
    ours = fitted("regression", **settings)
    recorded = fitted("regression", **{**settings, "early_stopping": False})
    plain = model("regression", **settings).fit(X, data("regression")[0])
    assert ours.n_iter_ < plain.n_iter_ == recorded.n_iter_
    assert bits(recorded) == bits(plain) != bits(ours)
    # Two iterations are sums in the same order, whoever looks on.
    assert ours.history_["loss"] == recorded.history_["loss"][: ours.n_iter_]


def test_a_warm_start_goes_on_with_the_best():
    settings = stopping(warm_start=True, max_iter=20)
    settings["n_iter_no_change"] = np.inf
    estimator = fitted("regression", **settings)
    scores, best = list(estimator.validation_scores_), estimator.best_validation_score_
    y, y_val = data("regression")
    estimator.fit(X, y, X_val=X_VAL, y_val=y_val)
    assert estimator.validation_scores_[:20] == scores
    assert estimator.best_validation_score_ >= best
    assert estimator.score(X_VAL, y_val) == estimator.best_validation_score_


@pytest.mark.parametrize(
    "change",
    [
        {"scoring": "loss"},
        {"scoring": "neg_mean_absolute_error"},
        {"early_stopping": False},
    ],
)
def test_a_warm_start_compares_no_scores_of_different_kinds(change):
    estimator = fitted("regression", **stopping(warm_start=True))
    before = bits(estimator)
    y, y_val = data("regression")
    estimator.set_params(max_iter=5, tol=0, **change)
    estimator.fit(X, y, X_val=X_VAL, y_val=y_val)
    assert len(estimator.validation_scores_) == 5
    assert estimator.best_validation_score_ == max(estimator.validation_scores_)
    assert bits(estimator) != before


# --- scorers ---


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["uniform", "weighted"])
@pytest.mark.parametrize(
    ("task", "scoring"),
    [
        ("binary", "roc_auc"),
        ("binary", "neg_log_loss"),
        ("binary", "average_precision"),
        ("binary", "f1"),
        ("binary", make_scorer(log_loss, response_method="predict_proba")),
        ("multiclass", "roc_auc_ovr"),
        ("multiclass", "f1_macro"),
        ("multiclass", "balanced_accuracy"),
        ("multilabel", "f1_samples"),
        ("multilabel", "roc_auc"),
        ("regression", "neg_mean_absolute_error"),
        ("outputs", "r2"),
        ("poisson", "neg_mean_poisson_deviance"),
        ("regression", "adjusted_mutual_info_score"),
        ("regression", "neg_max_error"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Clustering metrics expects discrete")
@pytest.mark.filterwarnings("ignore:.*number of unique classes is greater than")
def test_scorers_see_the_epoch(task, scoring, weights):
    _, y_val = data(task)
    estimator = fitted(task, scoring=scoring, sample_weight_val=weights)
    scorer = get_scorer(scoring)
    given = {} if weights is None else {"sample_weight": weights}
    if scoring in ("neg_max_error", "adjusted_mutual_info_score"):
        given = {}
    for n_epochs in (1, 12):
        expected = scorer(after(task, n_epochs), X_VAL, y_val, **given)
        assert_allclose(estimator.validation_scores_[n_epochs - 1], expected)


@pytest.mark.parametrize("takes_weights", [False, True])
def test_a_function_scores(takes_weights):
    calls = []

    def without(estimator, X, y):
        calls.append(estimator)
        return accuracy_score(y, estimator.predict(X))

    def with_weights(estimator, X, y, sample_weight=None):
        calls.append(estimator)
        return accuracy_score(y, estimator.predict(X), sample_weight=sample_weight)

    scoring = with_weights if takes_weights else without
    estimator = fitted("multiclass", scoring=scoring, sample_weight_val=WEIGHTS)
    default = fitted("multiclass", sample_weight_val=WEIGHTS if takes_weights else None)
    assert_allclose(estimator.validation_scores_, default.validation_scores_)
    # The same view every epoch, and never the estimator itself.
    assert len(calls) == 12
    assert len({id(each) for each in calls}) == 1
    assert calls[0] is not estimator


def test_scorers_of_the_split():
    y, _ = data("multiclass")
    settings = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 20}
    names = pd.DataFrame(X, columns=list("abcde"))
    default = model("multiclass", **settings).fit(names, y)
    for scoring in ("accuracy", lambda e, X, y: accuracy_score(y, e.predict(X))):
        estimator = model("multiclass", scoring=scoring, **settings).fit(names, y)
        assert_allclose(estimator.validation_scores_, default.validation_scores_)
        assert bits(estimator) == bits(default)


def fails(estimator, X, y):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        (fails, "scoring=<function fails.*no such thing"),
        ("neg_mean_squared_log_error", "scoring='neg_mean_squared_log_error' failed"),
        (lambda estimator, X, y: "good", "scoring=<function.*could not convert"),
        (lambda estimator, X, y: None, "scoring=<function.*failed"),
    ],
)
def test_errors_of_scorers_name_them(scoring, message):
    estimator = model("regression", max_iter=2).fit(X, data("regression")[0])
    before = {**vars(estimator)}
    estimator.set_params(scoring=scoring)
    before["scoring"] = scoring
    y, y_val = data("regression")
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, y, X_val=X_VAL, y_val=y_val)
    assert vars(estimator) == before


def test_unknown_names_are_refused():
    # Also where nothing would be scored.
    with pytest.raises(ValueError, match=r"'scoring' parameter .*'no_such_score'"):
        model("binary", scoring="no_such_score").fit(X, data("binary")[0])


def test_outputs_that_are_not_finite_score_nan():
    y, y_val = data("regression")
    settings = {"solver": "sgd", "learning_rate_init": 1e3, "early_stopping": True}
    for scoring in (None, "r2"):
        estimator = model("regression", scoring=scoring, **settings)
        estimator.fit(X, 1e6 * y, X_val=X_VAL, y_val=1e6 * y_val)
        assert np.isnan(estimator.validation_scores_[-1])
        assert np.isfinite(estimator.coefs_[0]).all()


def test_ctrl_c_in_a_scorer_leaves_whole_epochs():
    calls = []

    def interrupted(estimator, X, y):
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return len(calls)

    with pytest.warns(UserWarning, match="interrupted by user"):
        estimator = fitted("regression", scoring=interrupted, early_stopping=True)
    assert len(pd.DataFrame(estimator.history_)) == estimator.n_iter_ == 3
    assert bits(estimator) == bits(after("regression", 3))


# --- partial_fit ---


@pytest.mark.parametrize("early_stopping", [False, True])
def test_partial_fit_counts_over_calls(early_stopping):
    y, y_val = data("regression")
    # Without shuffling, since a fit shuffles what the last epoch has left.
    settings = stopping(early_stopping=early_stopping, shuffle=False)
    whole = fitted("regression", **settings)
    estimator = model("regression", **settings)
    counts = []
    for _ in range(300):
        estimator.partial_fit(X, y, X_val=X_VAL, y_val=y_val)
        counts.append(estimator.no_improvement_count_)
        if counts[-1] > estimator.n_iter_no_change:
            break
    assert len(counts) == whole.n_iter_
    assert estimator.validation_scores_ == whole.validation_scores_
    assert estimator.validation_loss_curve_ == whole.validation_loss_curve_
    assert estimator.loss_curve_ == whole.loss_curve_
    assert estimator.best_validation_score_ == whole.best_validation_score_
    assert hasattr(estimator, "best_coefs_") == early_stopping
    assert (bits(estimator) == bits(whole)) == (not early_stopping)
    if early_stopping:
        estimator = pickle.loads(pickle.dumps(estimator))
        estimator.coefs_ = estimator.best_coefs_
        estimator.intercepts_ = estimator.best_intercepts_
        assert bits(estimator) == bits(whole)
        # It never stops by itself.
        estimator.partial_fit(X, y, X_val=X_VAL, y_val=y_val)
        assert len(estimator.loss_curve_) == len(counts) + 1


def test_partial_fit_with_early_stopping_needs_validation_data():
    y, y_val = data("binary")
    estimator = model("binary", early_stopping=True)
    with pytest.raises(ValueError, match="does not support early_stopping=True"):
        estimator.partial_fit(X, y, classes=[0, 1])
    estimator.partial_fit(X, y, classes=[0, 1], X_val=X_VAL, y_val=y_val)
    assert len(estimator.validation_scores_) == 1
    with pytest.raises(ValueError, match="does not support early_stopping=True"):
        estimator.partial_fit(X, y)


def test_partial_fit_knows_classes_that_are_yet_to_come():
    y, y_val = data("multiclass")
    some = y != "mid"
    estimator = model("multiclass").partial_fit(
        X[some], y[some], classes=["low", "mid", "top"], X_val=X_VAL, y_val=y_val
    )
    assert estimator.validation_scores_ == [estimator.score(X_VAL, y_val)]


def test_a_fit_forgets_what_partial_fit_had():
    y, y_val = data("binary")
    for solver in ("adam", "lbfgs"):
        estimator = model("binary", early_stopping=True)
        estimator.partial_fit(X, y, classes=[0, 1], X_val=X_VAL, y_val=y_val)
        estimator.set_params(solver=solver, early_stopping=False).fit(X, y)
        assert not hasattr(estimator, "best_coefs_")
        assert estimator.validation_scores_ is None
        assert "validation_loss" not in estimator.history_


# --- histories ---


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_history(task):
    estimator = fitted(task, solver="sgd", learning_rate="invscaling")
    history = pd.DataFrame(estimator.history_)
    assert list(history) == [
        "loss",
        "learning_rate",
        "seconds",
        "gradient_norm",
        "validation_loss",
        "validation_score",
    ]
    assert history["loss"].tolist() == estimator.loss_curve_
    assert history["validation_loss"].tolist() == estimator.validation_loss_curve_
    assert history["validation_score"].tolist() == estimator.validation_scores_
    samples = N_TRAIN * np.arange(12)
    rates = estimator.learning_rate_init / np.where(samples, samples + 1, 1) ** 0.5
    assert_allclose(history["learning_rate"], rates)
    assert (np.diff(history["seconds"], prepend=0.0) > 0).all()


def test_history_goes_on():
    y, y_val = data("binary")
    estimator = model("binary", warm_start=True, max_iter=3).fit(X, y)
    expected = ["loss", "learning_rate", "seconds", "gradient_norm"]
    assert list(estimator.history_) == expected
    estimator.fit(X, y, X_val=X_VAL, y_val=y_val)
    estimator.partial_fit(X, y, X_val=X_VAL, y_val=y_val)
    history = pd.DataFrame(estimator.history_)
    assert len(history) == 7
    assert history["validation_score"].isna().tolist() == [True] * 3 + [False] * 4
    assert (np.diff(history["seconds"], prepend=0.0) > 0).all()
    estimator.set_params(warm_start=False).fit(X, y)
    assert len(pd.DataFrame(estimator.history_)) == 3


def test_history_of_lbfgs():
    estimator = fitted("binary", solver="lbfgs", scoring="loss", max_iter=30)
    history = pd.DataFrame(estimator.history_)
    expected = ["seconds", "gradient_norm", "validation_loss", "validation_score"]
    assert list(history) == ["loss", *expected]
    assert len(history) == estimator.n_iter_
    assert history["loss"].iloc[-1] == estimator.loss_
    expected = loss_by_hand("binary", estimator, data("binary")[1], None)
    assert_allclose(history["validation_loss"].iloc[-1], expected)
    assert_allclose(history["validation_score"], -history["validation_loss"])


def test_verbose_prints_scores_also_where_they_do_not_decide(capsys):
    fitted("binary", verbose=True, max_iter=2)
    assert capsys.readouterr().out.count("Validation score: ") == 2


# --- limits of time ---


ENDLESS = {
    "hidden_layer_sizes": (50,),
    "max_iter": 10_000_000,
    "max_fun": 10_000_000,
    "n_iter_no_change": np.inf,
    "tol": 0.0,
    "random_state": 0,
}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_the_training_ends_in_time(solver, early_stopping):
    y, y_val = data("regression")
    settings = {**ENDLESS, "solver": solver, "early_stopping": early_stopping}
    MLPRegressor(**{**settings, "max_iter": 1}).fit(X, y, X_val=X_VAL, y_val=y_val)
    estimator = MLPRegressor(max_time=0.4, **settings)
    start = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match=r"Maximum time \(0.4 s\)") as caught:
        estimator.fit(X, y, X_val=X_VAL, y_val=y_val)
    assert [w.category for w in caught].count(ConvergenceWarning) == 1
    assert 0.4 <= time.perf_counter() - start < 1.5
    assert estimator.n_iter_ == len(estimator.history_["loss"])
    if early_stopping:
        assert_allclose(
            estimator.score(X_VAL, y_val), max(estimator.validation_scores_)
        )


def test_lbfgs_ends_in_time():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 20)), rng.normal(size=2000)
    settings = {**ENDLESS, "solver": "lbfgs", "alpha": 0.0}
    MLPRegressor(**{**settings, "max_iter": 1}).fit(x, y)
    start = time.perf_counter()
    with pytest.warns(ConvergenceWarning, match="MAXIMUM TIME") as caught:
        estimator = MLPRegressor(max_time=0.3, **settings).fit(x, y)
    assert [w.category for w in caught].count(ConvergenceWarning) == 1
    assert 0.3 <= time.perf_counter() - start < 1.5
    assert estimator.n_iter_ == len(estimator.history_["loss"]) > 1


@pytest.fixture
def slow_slices(monkeypatch):
    """A clock on which each call of the backend takes one second."""
    train = cpu.session.Session.train
    now = [0.0]

    def slow(self, optimizer, order, batch_size, span, rates, total):
        now[0] += float(span[1] - span[0])
        return train(self, optimizer, order, batch_size, span, rates, total)

    monkeypatch.setattr(cpu.session.Session, "train", slow)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    return now


def first_rows(n_rows):
    """One epoch over the first rows alone, in their order."""
    y, _ = data("regression")
    return model("regression", shuffle=False, max_iter=1).fit(X[:n_rows], y[:n_rows])


@pytest.mark.parametrize("incremental", [False, True])
def test_a_part_of_an_epoch_counts_as_far_as_it_went(slow_slices, incremental):
    y, y_val = data("regression")
    estimator = model("regression", shuffle=False, max_time=2.5)
    method = estimator.partial_fit if incremental else estimator.fit
    with pytest.warns(ConvergenceWarning, match="Maximum time"):
        method(X, y, X_val=X_VAL, y_val=y_val)
    # Three batches of sixteen rows.
    expected = first_rows(48)
    assert estimator.n_iter_ == 1
    assert estimator.t_ == 48
    assert estimator.history_["seconds"] == [3.0]
    # The penalty of each batch is that of its own rows, of which there are as many.
    assert_allclose(estimator.loss_curve_, expected.loss_curve_, rtol=1e-12)
    assert_allclose(estimator.coefs_[0], expected.coefs_[0], rtol=1e-12)
    assert_allclose(estimator.validation_scores_, expected.score(X_VAL, y_val))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_seconds_have_the_scoring_of_their_epoch(monkeypatch, solver):
    """On a clock on which nothing takes any time but scoring, half a second."""
    call = validation.ValidationScorer.__call__
    now = [0.0]

    def slow(self):
        now[0] += 0.5
        return call(self)

    monkeypatch.setattr(validation.ValidationScorer, "__call__", slow)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(minibatch._Calls, "_adapt", lambda self, batches, start: None)
    y, y_val = data("regression")
    estimator = model("regression", solver=solver, max_iter=3)
    estimator.fit(X, y, X_val=X_VAL, y_val=y_val)
    assert estimator.history_["seconds"] == [0.5, 1.0, 1.5]
    if solver == "adam":
        for _ in range(2):
            estimator.partial_fit(X, y, X_val=X_VAL, y_val=y_val)
        assert estimator.history_["seconds"] == [0.5, 1.0, 1.5, 2.0, 2.5]


def test_a_training_that_ends_in_time_is_untouched():
    y, _ = data("multiclass")
    plain = model("multiclass").fit(X, y)
    limited = model("multiclass", max_time=1e6)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        limited.fit(X, y)
    assert bits(plain) == bits(limited)


def test_max_time_must_be_positive():
    with pytest.raises(ValueError, match="max_time"):
        model("binary", max_time=0.0).fit(X, data("binary")[0])


# --- scikit-learn's machinery ---


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_a_pipeline_transforms_validation_data(routing):
    y, y_val = data("binary")
    shifted, shifted_val = 100 * X + 7, 100 * X_VAL + 7
    estimator = model("binary", early_stopping=True).set_fit_request(
        X_val=True, y_val=True
    )
    pipeline = make_pipeline(StandardScaler(), estimator, transform_input=["X_val"])
    pipeline.fit(shifted, y, X_val=shifted_val, y_val=y_val)
    scaler = StandardScaler().fit(shifted)
    by_hand = model("binary", early_stopping=True).fit(
        scaler.transform(shifted), y, X_val=scaler.transform(shifted_val), y_val=y_val
    )
    assert bits(pipeline[-1]) == bits(by_hand)
    assert pipeline[-1].validation_scores_ == by_hand.validation_scores_


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_scorers_with_routing(routing, scoring):
    estimator = fitted("binary", scoring=scoring, sample_weight_val=WEIGHTS)
    with sklearn.config_context(enable_metadata_routing=False):
        without = fitted("binary", scoring=scoring, sample_weight_val=WEIGHTS)
    assert estimator.validation_scores_ == without.validation_scores_


def test_requests_of_partial_fit(routing):
    estimator = model("binary").set_partial_fit_request(X_val=True, y_val=True)
    assert estimator.get_metadata_routing().partial_fit.requests["X_val"] is True


def test_clones_copies_and_pickles():
    estimator = fitted("binary", early_stopping=True, scoring="roc_auc")
    assert clone(estimator).scoring == "roc_auc"
    for twin in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert twin.history_ == estimator.history_
        assert bits(twin) == bits(estimator)


def test_a_squared_error_is_half_of_scikit_learns():
    _, y_val = data("regression")
    estimator = fitted("regression", scoring="neg_mean_squared_error")
    assert_allclose(
        -2 * np.array(estimator.validation_loss_curve_), estimator.validation_scores_
    )
    predicted = estimator.predict(X_VAL)
    assert_allclose(
        2 * estimator.validation_loss_curve_[-1], mean_squared_error(y_val, predicted)
    )
    assert r2_score(y_val, predicted) == estimator.score(X_VAL, y_val)
