"""Predictions copy no parameters, and calls of `partial_fit` no history.

Counted are calls of `pack`, function calls and allocated bytes, not time. The other
half are the traps of sharing memory: edits by the user take effect, copies are
independent, and what early stopping keeps is nobody else's.
"""

import copy
import pickle
import sys
import tracemalloc
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import skmlp.network
from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators import prediction

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Some parameters serve several solvers, with validation data and without.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6))
Y = np.arange(40) % 3
WIDE = RNG.normal(size=(30, 2000))
HIDDEN = 100
# The bytes of the first layer; a prediction of one row needs far fewer.
MODEL_BYTES = 2000 * HIDDEN * 8


def wide(kind=MLPClassifier, **settings):
    common = {"max_iter": 1, "random_state": 0, "n_jobs": 1}
    return kind(hidden_layer_sizes=(HIDDEN, 10), **{**common, **settings})


def partially_fitted():
    return wide().partial_fit(WIDE, Y[:30], classes=[0, 1, 2])


FITTED = {
    "adam": lambda: wide().fit(WIDE, Y[:30]),
    "sgd": lambda: wide(solver="sgd").fit(WIDE, Y[:30]),
    "lbfgs": lambda: wide(solver="lbfgs").fit(WIDE, Y[:30]),
    "early stopping": lambda: wide(early_stopping=True).fit(WIDE, Y[:30]),
    "partial_fit": partially_fitted,
    "warm start": lambda: wide(warm_start=True).fit(WIDE, Y[:30]).fit(WIDE, Y[:30]),
    "sparse": lambda: wide().fit(sparse.csr_array(WIDE), Y[:30]),
    "regressor": lambda: wide(MLPRegressor, dtype="float32").fit(WIDE, WIDE[:, 0]),
    "layer norm": lambda: wide(normalization="layer").fit(WIDE, Y[:30]),
}


def by_joblib(mmap_mode):
    def load(estimator, folder):
        # Another file each time: the estimator may be mapped from the last one.
        path = folder / f"{len(list(folder.iterdir()))}.joblib"
        joblib.dump(estimator, path)
        return joblib.load(path, mmap_mode=mmap_mode)

    return load


WAYS = {
    "itself": lambda estimator, _: estimator,
    "copy": lambda estimator, _: copy.copy(estimator),
    "deepcopy": lambda estimator, _: copy.deepcopy(estimator),
    "pickle": lambda estimator, _: pickle.loads(pickle.dumps(estimator)),
    "twice": lambda e, _: pickle.loads(pickle.dumps(copy.deepcopy(e))),
    "joblib": by_joblib(None),
    "mapped": by_joblib("r"),
    "mapped c": by_joblib("c"),
}


def peak_bytes(call):
    """Bytes that a call has allocated at its peak."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FITTED)
def test_a_prediction_copies_no_parameters(name, way, tmp_path, monkeypatch):
    estimator = WAYS[way](FITTED[name](), tmp_path)
    x = sparse.csr_array(WIDE[:1]) if name == "sparse" else WIDE[:1]
    expected = estimator.predict(x)

    def pack(*arguments):
        raise AssertionError("packed")

    monkeypatch.setattr(skmlp.network, "pack", pack)
    assert peak_bytes(lambda: estimator.predict(x)) < MODEL_BYTES / 8
    np.testing.assert_array_equal(estimator.predict(x), expected)


@pytest.mark.parametrize("mmap_mode", ["r", "c"])
def test_a_mapped_model_stays_in_its_file(mmap_mode, tmp_path):
    estimator = by_joblib(mmap_mode)(FITTED["adam"](), tmp_path)
    assert isinstance(estimator.coefs_[0], np.memmap)
    assert estimator.coefs_[0].flags.writeable == (mmap_mode == "c")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["adam", "lbfgs", "layer norm"])
def test_copies_are_equal(name, way, tmp_path):
    estimator = FITTED[name]()
    twin = WAYS[way](estimator, tmp_path)
    for attribute in ("coefs_", "intercepts_", "norm_scales_", "norm_means_"):
        ours, theirs = getattr(estimator, attribute), getattr(twin, attribute)
        assert (ours is None) == (theirs is None)
        for one, other in zip(ours or (), theirs or (), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        twin.predict_proba(WIDE), estimator.predict_proba(WIDE)
    )


def edit_in_place(estimator):
    estimator.coefs_[0][:] *= -3.0
    estimator.intercepts_[-1][0] += 7.0


def replace_one(estimator):
    estimator.coefs_[0] = estimator.coefs_[0] * -3.0
    estimator.intercepts_[-1] = estimator.intercepts_[-1] + [7.0, 0, 0]


def replace_all(estimator):
    replace_one(estimator)
    estimator.coefs_ = [coef.copy() for coef in estimator.coefs_]
    estimator.intercepts_ = [bias.copy() for bias in estimator.intercepts_]


def by_hand(estimator, x):
    hidden = np.asarray(x)
    *layers, (coef, bias) = zip(estimator.coefs_, estimator.intercepts_, strict=True)
    for one, other in layers:
        hidden = np.maximum(hidden @ one + other, 0)
    return (hidden @ coef + bias).argmax(axis=1)


@pytest.mark.parametrize("edit", [edit_in_place, replace_one, replace_all])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "mapped"])
@pytest.mark.parametrize("name", ["adam", "lbfgs", "partial_fit"])
def test_edits_take_effect(name, way, edit, tmp_path):
    estimator = WAYS[way](FITTED[name](), tmp_path)
    before = estimator.predict(WIDE)
    edit(estimator)
    np.testing.assert_array_equal(estimator.predict(WIDE), by_hand(estimator, WIDE))
    assert (estimator.predict(WIDE) != before).any()
    edited = estimator.predict(WIDE)
    for copied in ("deepcopy", "pickle", "joblib"):
        twin = WAYS[copied](estimator, tmp_path)
        np.testing.assert_array_equal(twin.predict(WIDE), edited)
    edit(estimator)
    np.testing.assert_array_equal(twin.predict(WIDE), edited)
    assert estimator.fit(WIDE, Y[:30]).score(WIDE, Y[:30]) >= 0


def test_layers_that_change_places():
    estimator = MLPClassifier((6, 6), max_iter=2, random_state=0).fit(X, Y)
    estimator.coefs_[0], estimator.coefs_[1] = estimator.coefs_[1], estimator.coefs_[0]
    np.testing.assert_array_equal(estimator.predict(X), by_hand(estimator, X))
    estimator.coefs_[1] = estimator.coefs_[1].T
    np.testing.assert_array_equal(estimator.predict(X), by_hand(estimator, X))


def test_parameters_that_cannot_be_packed_are_stored_as_they_are():
    estimator = MLPClassifier((6,), max_iter=2, random_state=0).fit(X, Y)
    estimator.coefs_[1] = estimator.coefs_[1].astype(np.float32)
    twin = pickle.loads(pickle.dumps(estimator))
    assert twin.coefs_[1].dtype == np.float32
    estimator.coefs_ = "lost"
    assert copy.deepcopy(estimator).coefs_ == "lost"


# --- rows of a DataFrame ---

NAMES = list("abcdef")


def named(dtype=None):
    model = MLPRegressor(
        hidden_layer_sizes=(5,), random_state=0, max_iter=2, dtype=dtype
    )
    return model.fit(pd.DataFrame(X, columns=NAMES), X[:, 0])


def n_validations(monkeypatch):
    calls = []
    plain = prediction.validated

    def counted(*arguments, **options):
        calls.append(1)
        return plain(*arguments, **options)

    monkeypatch.setattr(prediction, "validated", counted)
    return calls


@pytest.mark.parametrize("kind", [float, "float32", "int64", "mixed"])
def test_a_row_of_a_frame_needs_no_validation(kind, monkeypatch):
    model, calls = named(), n_validations(monkeypatch)
    frame = pd.DataFrame(3 * X, columns=NAMES)
    if kind == "mixed":
        frame = frame.astype({"a": "int8", "b": "float32"})
    else:
        frame = frame.astype(kind)
    found = model.predict(frame[:1]), model.predict(frame)
    assert not calls
    values = frame.to_numpy(dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        np.testing.assert_array_equal(found[0], model.predict(values[:1]))
        np.testing.assert_array_equal(found[1], model.predict(values))


def test_other_frames_are_validated(monkeypatch):
    model, calls = named(), n_validations(monkeypatch)
    frame = pd.DataFrame(X, columns=NAMES)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[NAMES[::-1]])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[NAMES[1:]])
    with pytest.raises(ValueError, match="NaN"):
        model.predict(frame.mask(frame > 1))
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        model.predict(frame[:0])
    model.predict(frame.astype("Float64"))
    model.predict(frame.astype(pd.SparseDtype(float, 0.0)))
    model.predict(frame.astype({"a": bool}))
    assert len(calls) == 7
    named("float32").predict(frame)
    assert len(calls) == 8


# --- histories ---


def streaming(with_validation):
    settings = {"early_stopping": True} if with_validation else {}
    estimator = MLPClassifier((5,), random_state=0, n_jobs=1, **settings)
    data = {"X_val": X, "y_val": Y} if with_validation else {}

    def go_on():
        estimator.partial_fit(X[:8], Y[:8], classes=[0, 1, 2], **data)

    return estimator, go_on


def lengthen(estimator, n_epochs):
    """As if there had been so many more calls."""
    for curve, _ in estimator._history.lengths():
        curve.extend([0.5] * n_epochs)


def n_calls(call):
    """Functions that a call calls, Python's and C's."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("scoring", [None, "loss", "neg_log_loss"])
@pytest.mark.parametrize("with_validation", [False, True])
def test_any_call_of_partial_fit_costs_the_same(with_validation, scoring):
    estimator, go_on = streaming(with_validation)
    estimator.set_params(scoring=scoring)
    for _ in range(3):
        go_on()
    calls, peak = n_calls(go_on), peak_bytes(go_on)
    lengthen(estimator, 1_000_000)
    # The lists grow by an eighth now and then.
    for _ in range(2):
        go_on()
    assert n_calls(go_on) < 1.1 * calls
    assert peak_bytes(go_on) < peak + 100_000
    assert len(estimator.loss_curve_) > 1_000_000


@pytest.mark.parametrize("with_validation", [False, True])
def test_a_pickle_holds_each_curve_once(with_validation):
    estimator, go_on = streaming(with_validation)
    go_on()
    short = len(pickle.dumps(estimator))
    lengthen(estimator, 1000)
    go_on()
    # A float is nine bytes of a pickle.
    n_curves = len(estimator.history_)
    assert n_curves == (6 if with_validation else 4)
    assert len(pickle.dumps(estimator)) - short < 1.05 * 9 * 1001 * n_curves


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle", "joblib"])
@pytest.mark.parametrize("with_validation", [False, True])
def test_copies_have_curves_of_their_own(with_validation, way, tmp_path):
    estimator, go_on = streaming(with_validation)
    go_on()
    go_on()
    twin = WAYS[way](estimator, tmp_path)
    go_on()
    assert len(estimator.loss_curve_) == 3
    assert {len(curve) for curve in twin.history_.values()} == {2}
    assert len(twin.loss_curve_) == 2
    assert len(twin.validation_scores_ or [0, 0]) == 2
    assert twin.loss_curve_ is twin.history_["loss"]


def test_curves_that_a_user_has_replaced_are_kept(tmp_path):
    estimator, go_on = streaming(False)
    go_on()
    estimator.loss_curve_ = [1.0]
    for way in ("copy", "deepcopy", "pickle"):
        assert WAYS[way](estimator, tmp_path).loss_curve_ == [1.0]


def test_validation_data_that_come_later():
    estimator = MLPClassifier((5,), random_state=0, early_stopping=True, scoring="loss")
    estimator.set_params(early_stopping=False)
    estimator.partial_fit(X, Y, classes=[0, 1, 2]).partial_fit(X, Y)
    estimator.set_params(early_stopping=True)
    for _ in range(2):
        estimator.partial_fit(X, Y, X_val=X, y_val=Y)
        estimator = pickle.loads(pickle.dumps(estimator))
    column = estimator.history_["validation_loss"]
    assert np.isnan(column[:2]).all()
    assert column[2:] == estimator.validation_loss_curve_
    assert len(column) == len(estimator.loss_curve_) == 4


class FailsAt:
    """A scorer that fails at one of its calls."""

    def __init__(self, call):
        self.left = call

    def __call__(self, estimator, X, y):
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("broken")
        return 1.0 / self.left


@pytest.mark.parametrize("first", ["partial_fit", "fit"])
def test_a_call_that_fails_leaves_the_curves(first):
    estimator = MLPClassifier((5,), random_state=0, max_iter=5, warm_start=True)
    estimator.set_params(scoring=FailsAt(100))
    data = {"X_val": X, "y_val": Y}
    if first == "fit":
        estimator.fit(X, Y, **data)
    else:
        estimator.partial_fit(X, Y, classes=[0, 1, 2], **data)
    curves = dict(estimator.history_)
    before = copy.deepcopy(curves)
    estimator.scoring.left = 3
    with pytest.raises(ValueError, match="broken"):
        estimator.fit(X, Y, **data)
    assert estimator.history_ == before
    assert all(estimator.history_[name] is curve for name, curve in curves.items())
    n_epochs = len(estimator.loss_curve_)
    estimator.scoring.left = 100
    estimator.fit(X, Y, **data)
    assert len(estimator.loss_curve_) == n_epochs + estimator.n_iter_


# --- what early stopping keeps ---


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_edits_do_not_change_what_early_stopping_keeps(solver):
    y = (X[:, 0] > 0).astype(int)
    estimator = MLPClassifier(
        (5,), solver=solver, early_stopping=True, max_iter=30, random_state=0
    )
    estimator.set_params(learning_rate_init=0.05).fit(X, y, X_val=X, y_val=y)
    kept = estimator._history.validation
    if kept is not None:
        assert not any(np.shares_memory(kept.best_params, w) for w in estimator.coefs_)
    best = [coef.copy() for coef in estimator.coefs_]
    score = estimator.best_validation_score_
    assert score > 0.8
    for coef in estimator.coefs_:
        coef[:] = 100.0
    if solver == "adam":
        estimator.set_params(warm_start=True, max_iter=1, learning_rate_init=1e-12)
        estimator.fit(X, y, X_val=X, y_val=y)
        assert estimator.best_validation_score_ == score
        for found, expected in zip(estimator.coefs_, best, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_edits_of_the_best_parameters_change_nothing():
    estimator, go_on = streaming(True)
    go_on()
    kept = estimator._history.validation.best_params.copy()
    for part in (*estimator.best_coefs_, *estimator.best_intercepts_):
        part[:] = np.nan
    np.testing.assert_array_equal(estimator._history.validation.best_params, kept)
