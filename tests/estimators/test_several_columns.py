"""Targets of several columns of classes: a softmax each, in one network."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils.class_weight import compute_sample_weight

from skmlp import MLPClassifier
from skmlp.backends import _MODULES
from skmlp.exceptions import PoorFitWarning, ValidationWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Of trainings that are short on purpose.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4))
SIZES = np.digitize(X[:, 0] + X[:, 1], [-1, 0, 1]) * 10
COLORS = np.array(["blue", "green", "red"])[np.digitize(X[:, 1] - X[:, 2], [-1, 1])]
ON = X[:, 3] > 0
TABLES = {
    "integers": np.column_stack([SIZES, np.digitize(X[:, 2], [0]) + 5]),
    "strings": np.column_stack([COLORS, np.where(ON, "yes", "no")]),
    "frame": pd.DataFrame({"size": SIZES, "color": COLORS, "on": ON}),
}
Y = TABLES["frame"]
CLASSES = [np.unique(Y[name].tolist()) for name in Y]
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
LINEAR = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1.0, "max_iter": 500}
HOLDS_OUT = {"early_stopping": True, "n_iter_no_change": 3}


@pytest.mark.parametrize("kind", TABLES)
def test_everything_has_the_form_of_the_forests(kind):
    y = TABLES[kind]
    # scikit-learn refuses a mix of types.
    like_y = np.asarray(y).astype(str) if kind == "frame" else y
    forest = RandomForestClassifier(2, random_state=0).fit(X, like_y)
    model = MLPClassifier(**SMALL).fit(X, y)
    for ours, theirs in zip(model.classes_, forest.classes_, strict=True):
        assert_array_equal(ours.astype(theirs.dtype), theirs)
    predicted = model.predict(X)
    assert predicted.shape == forest.predict(X).shape
    assert predicted.dtype.kind == np.asarray(y).dtype.kind
    probabilities = model.predict_proba(X)
    logarithms = model.predict_log_proba(X)
    assert type(probabilities) is type(logarithms) is list
    for c, theirs in enumerate(forest.predict_proba(X)):
        assert probabilities[c].shape == theirs.shape
        assert_allclose(probabilities[c].sum(axis=1), 1)
        assert_allclose(np.log(probabilities[c]), logarithms[c])
        best = model.classes_[c][probabilities[c].argmax(axis=1)]
        assert_array_equal(best, predicted[:, c])
    right = predicted.astype(object) == np.asarray(y, dtype=object)
    assert model.score(X, y) == np.mean(right.all(axis=1))
    weights = RNG.random(len(X))
    expected = np.average(right.all(axis=1), weights=weights)
    assert_allclose(model.score(X, y, weights), expected)


def test_a_linear_network_is_a_network_a_column():
    joint = MLPClassifier(**LINEAR, tol=1e-9).fit(X, Y)
    decisions = joint.decision_function(X)
    for c, name in enumerate(Y):
        alone = MLPClassifier(**LINEAR, tol=1e-9).fit(X, Y[name].to_numpy())
        expected = alone.predict_proba(X)
        # Of two classes a softmax has two outputs, whose penalty is another one.
        if len(alone.classes_) > 2:
            assert_allclose(joint.predict_proba(X)[c], expected, atol=1e-3)
            assert_allclose(decisions[c], alone.decision_function(X), atol=1e-2)
        else:
            assert_array_equal(decisions[c] > 0, joint.predict(X)[:, c])


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.ValidationWarning")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "lbfgs"},
        {"label_smoothing": 0.2, "normalization": "batch"},
        {"class_weight": "balanced"},
        {**HOLDS_OUT, "scoring": "loss"},
        HOLDS_OUT,
    ],
    ids=str,
)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_fits_equal_those_of_the_reference(monkeypatch, settings, container):
    x, weights = container(X[:60]), RNG.integers(0, 3, 60)
    outcomes = []
    for backend in ("cpu", "reference"):
        monkeypatch.setitem(_MODULES, "cpu", f"skmlp.backends.{backend}")
        model = MLPClassifier(**{**SMALL, "max_iter": 3, **settings})
        with np.errstate(all="ignore"):
            model.fit(x, Y[:60], sample_weight=weights)
        scores = model.validation_scores_ or []
        outcomes.append([*model.coefs_, model.history_["loss"], scores])
    for ours, theirs in zip(*outcomes, strict=True):
        assert_allclose(ours, theirs, rtol=1e-7, atol=1e-9)


def test_any_number_of_threads_gives_the_same_bits():
    one, two = (MLPClassifier(n_jobs=n, **SMALL).fit(X, Y) for n in (1, 2))
    for ours, theirs in zip(one.coefs_, two.coefs_, strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_are_never_zero(dtype):
    model = MLPClassifier(**SMALL, dtype=dtype).fit(X, Y)
    for part in model.predict_proba(1e6 * X):
        assert part.dtype == dtype
        assert part.min() > 0
    assert all(np.isfinite(part).all() for part in model.predict_log_proba(1e6 * X))


BY_COLUMN = [{0: 2.0, 10: 0.5}, None, "balanced"]


def test_class_weights_multiply_over_the_columns():
    by_hand = np.where(SIZES == 0, 2.0, np.where(SIZES == 10, 0.5, 1.0))
    by_hand = by_hand * compute_sample_weight("balanced", ON)
    cases = [(BY_COLUMN, by_hand), ("balanced", compute_sample_weight("balanced", Y))]
    for class_weight, sample_weight in cases:
        weighted = MLPClassifier(class_weight=class_weight, **SMALL).fit(X, Y)
        given = MLPClassifier(**SMALL).fit(X, Y, sample_weight=sample_weight)
        for ours, theirs in zip(weighted.coefs_, given.coefs_, strict=True):
            assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({0: 2.0}, "is one dict, but y has 3 columns of labels"),
        ([{0: 2.0}], "has 1 elements, but y has 3 columns"),
        ([{0: -1.0}, None, None], r"class_weight\[0\] must have finite weights >= 0"),
        ([None, 3, None], r"class_weight\[1\] must be a dict of weights by label"),
        ([None, {1: 2.0}, None], r"Keys of class_weight\[1\] are of type int, but"),
    ],
)
def test_bad_class_weights(class_weight, match):
    with pytest.raises(ValueError, match=match):
        MLPClassifier(class_weight=class_weight, **SMALL).fit(X, Y)


def test_chunks_need_not_have_all_classes():
    model = MLPClassifier(**SMALL)
    few = np.flatnonzero((SIZES == 10) & (COLORS == "red"))
    model.partial_fit(X[few], Y.iloc[few], classes=CLASSES)
    model.partial_fit(X, Y)
    model.partial_fit(X, Y, classes=CLASSES)
    assert model.n_outputs_ == 9
    assert model.predict(X).shape == (150, 3)
    with pytest.raises(ValueError, match="not the same as on last call"):
        model.partial_fit(X, Y, classes=[*CLASSES[:2], [0, 1, 2]])
    other = Y.assign(color="pink")
    match = r"the column 'color' has \['pink'\], but `self.classes_\[1\]` has \['blue'"
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, other)
    with pytest.raises(ValueError, match="made for 3 columns of classes"):
        model.partial_fit(X, Y[["size", "color"]])
    with pytest.raises(ValueError, match="made for 2 columns of classes"):
        MLPClassifier().partial_fit(X, Y, classes=CLASSES[:2])


def test_rows_of_zeros_and_ones_are_classes_where_they_were_declared():
    y = np.column_stack([ON, ON]).astype(int)
    model = MLPClassifier(**SMALL).partial_fit(X, y, classes=[[0, 1], [0, 1, 2]])
    assert [p.shape[1] for p in model.predict_proba(X)] == [2, 3]


def test_copies_predict_and_go_on_alike():
    model = MLPClassifier(**SMALL).fit(X, Y)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_array_equal(twin.predict(X), model.predict(X))
        assert_array_equal(twin.label_names_, ["size", "color", "on"])
    whole = MLPClassifier(**{**SMALL, "max_iter": 9}).fit(X, Y)
    part = MLPClassifier(**{**SMALL, "max_iter": 4}).fit(X, Y)
    part = pickle.loads(pickle.dumps(part)).resume(X, Y, max_iter=9)
    assert_array_equal(part.coefs_[0], whole.coefs_[0])
    model.set_params(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match="In the column 'on' it does not have"):
        model.fit(X[ON], Y[ON])


def test_early_stopping_judges_whole_rows():
    with pytest.warns(ValidationWarning, match="judges several columns by the"):
        model = MLPClassifier(**{**SMALL, "early_stopping": True}).fit(X, Y)
    model.scoring = "accuracy"
    with pytest.raises(ValueError, match="failed on the validation data"):
        model.fit(X, Y)
    model = MLPClassifier(**{**SMALL, "tol": 0, "max_iter": 30}, scoring="loss")
    model.fit(X, Y, X_val=X[:50], y_val=Y[:50])
    log_p = model.predict_log_proba(X[:50])
    codes = [np.searchsorted(c, Y[n][:50]) for c, n in zip(CLASSES, Y, strict=True)]
    loss = -sum(p[np.arange(50), k] for p, k in zip(log_p, codes, strict=True)).mean()
    assert_allclose(model.validation_loss_curve_[-1], loss)


def test_columns_with_a_single_class_are_named():
    y = Y.assign(one="always")
    match = r"same label in all rows.*: column 'one' has 'always'\."
    with pytest.warns(UserWarning, match=match):
        model = MLPClassifier(**SMALL).fit(X, y)
    assert_array_equal(model.predict_proba(X)[3], np.ones((150, 1)))
    assert_array_equal(model.decision_function(X)[3], np.zeros(150))
    assert set(model.predict(X)[:, 3]) == {"always"}


def test_columns_of_the_types_of_pandas_are_kept_apart():
    frame = pd.DataFrame(
        {"size": pd.array(SIZES, "Int64"), "color": pd.Categorical(COLORS)}
    )
    model = MLPClassifier(**SMALL).fit(X, frame)
    assert_array_equal(model.classes_[0], [0, 10, 20, 30])
    assert_array_equal(model.classes_[1], ["blue", "green", "red"])
    expected = MLPClassifier(**SMALL).fit(X, Y[["size", "color"]])
    assert_array_equal(model.predict(X), expected.predict(X))
    search = GridSearchCV(model, {"alpha": [0.1, 1.0]}, cv=KFold(2)).fit(X, frame)
    assert 0 < search.best_score_ < 1


def test_a_poor_fit_is_noticed():
    noise = np.random.default_rng(1).permutation(Y.to_numpy())
    model = MLPClassifier((8,), "tanh", learning_rate_init=30.0, random_state=0)
    with pytest.warns(PoorFitWarning, match="no better than a constant"):
        model.fit(X, noise)


def test_a_failed_fit_changes_nothing():
    model = MLPClassifier(**SMALL).fit(X, Y)
    before = dict(vars(model))
    mixed = Y.assign(color=[1, *COLORS[1:]])
    with pytest.raises(ValueError, match="the column 'color' of y mixes labels"):
        model.fit(X, mixed)
    assert all(vars(model)[name] is value for name, value in before.items())


@pytest.mark.parametrize("values", [(-1, 1), (1, 2), (0, 5)], ids=str)
def test_two_other_values_than_zero_and_one_are_classes(values):
    y = np.asarray(values)[np.column_stack([ON, SIZES > 0]).astype(int)]
    model = MLPClassifier((8,), learning_rate_init=0.05, random_state=0).fit(X, y)
    assert_array_equal(model.classes_[0], values)
    assert model.score(X, y) > 0.7
    with pytest.raises(ValueError, match="Sparse y must be a matrix of labels"):
        model.fit(X, sparse.csr_array(y))
