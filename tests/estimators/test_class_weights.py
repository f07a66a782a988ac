"""Class weights ask about the classes, not about the rows at hand.

A chunk, a fold, a subset or rows of positive weight may lack a class that has a weight.
Only keys that are no class at all are an error, in the user's words.
"""

import copy
import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.class_weight import compute_sample_weight

import skmlp
from skmlp import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
# The last twenty rows are all of the first class.
Y = np.r_[np.arange(40) % 3, np.zeros(20, dtype=int)]
NAMES = np.array(["alpha", "beta", "gamma"])[Y]
SEVERAL = np.c_[Y == 1, Y == 2, Y < 2].astype(int)
SETTINGS = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}


def model(class_weight=None, **settings):
    return MLPClassifier(class_weight=class_weight, **{**SETTINGS, **settings})


def arrays(estimator):
    return [part.tobytes() for part in (*estimator.coefs_, *estimator.intercepts_)]


def assert_same(found, expected):
    assert arrays(found) == arrays(expected)


def by_rows(weights, y):
    return np.array([weights.get(label, 1.0) for label in y.tolist()])


@pytest.mark.parametrize("rows", [slice(0, 40), slice(40, 60), slice(0, 1)], ids=str)
@pytest.mark.parametrize("weights", [{1: 5.0}, {1: 5.0, 2: 3.0}, {}, {0: 2.0}], ids=str)
def test_any_chunk_of_partial_fit(weights, rows):
    found, expected = model(weights), model()
    for part in (rows, slice(0, 40), rows):
        found.partial_fit(X[part], Y[part], classes=[0, 1, 2])
        expected.partial_fit(
            X[part], Y[part], by_rows(weights, Y[part]), classes=[0, 1, 2]
        )
    assert_same(found, expected)


def test_a_chunk_that_lacks_a_class_of_several_that_have_weights():
    rows = Y != 1
    found = model({1: 5.0, 2: 3.0}).partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
    weight = by_rows({2: 3.0}, Y[rows])
    expected = model().partial_fit(X[rows], Y[rows], weight, classes=[0, 1, 2])
    assert_same(found, expected)


def test_names_of_classes():
    names = ["alpha", "beta", "gamma"]
    found = model({"beta": 5.0}).partial_fit(X[40:], NAMES[40:], classes=names)
    assert_same(found, model().partial_fit(X[40:], NAMES[40:], classes=names))
    found.partial_fit(X, NAMES)
    assert found.predict(X[:1]).dtype.kind == "U"


@pytest.mark.parametrize("labels", ["classes", "names"])
def test_rows_of_zero_weight(labels):
    y, weights = (Y, {2: 5.0}) if labels == "classes" else (NAMES, {"gamma": 5.0})
    weight = (Y != 2).astype(float)
    assert_same(
        model(weights).fit(X, y, sample_weight=weight),
        model().fit(X, y, sample_weight=weight),
    )


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_columns_of_labels(make):
    weights = [{1: 5.0}, {1: 2.0}, {0: 0.5}]
    product = (
        np.where(SEVERAL[:, 0] == 1, 5.0, 1.0)
        * np.where(SEVERAL[:, 1] == 1, 2.0, 1.0)
        * np.where(SEVERAL[:, 2] == 0, 0.5, 1.0)
    )
    assert_same(
        model(weights).fit(X, make(SEVERAL)), model().fit(X, make(SEVERAL), product)
    )
    # No row of the chunk has the first two labels.
    found = model(weights).partial_fit(X[40:], make(SEVERAL[40:]), classes=[0, 1, 2])
    expected = model().partial_fit(X[40:], make(SEVERAL[40:]), classes=[0, 1, 2])
    assert_same(found, expected)


def test_balanced_is_that_of_scikit_learn():
    for y in (Y, SEVERAL):
        weight = compute_sample_weight("balanced", y)
        assert_same(model("balanced").fit(X, y), model().fit(X, y, weight))
    mixed = ["balanced", None, {1: 2.0}]
    weight = compute_sample_weight("balanced", Y == 1) * np.where(Y < 2, 2.0, 1.0)
    assert_same(model(mixed).fit(X, SEVERAL), model().fit(X, SEVERAL, weight))


def test_diagnose_of_rows_of_one_class():
    estimator = model({1: 5.0}).fit(X, Y)
    rows = Y == 0
    found = skmlp.diagnose(estimator, X[rows], Y[rows])
    expected = skmlp.diagnose(model().fit(X, Y), X[rows], Y[rows])
    assert found.n_samples == expected.n_samples == rows.sum()


@pytest.mark.parametrize(
    ("labels", "weights"),
    [("ints", {2: 5.0}), ("ints", {1: 5.0}), ("names", {"gamma": 5.0})],
    ids=str,
)
def test_folds_that_lack_a_class_train(labels, weights):
    y = Y if labels == "ints" else NAMES
    # The groups are the classes: each fold lacks one.
    with pytest.warns(UserWarning, match="is no class of y.*fold without the class"):
        scores = cross_val_score(
            model(weights), X, y, groups=Y, cv=GroupKFold(3), error_score="raise"
        )
    assert np.isfinite(scores).all()


def test_a_dict_that_names_every_class_is_for_any_fold():
    rows = Y != 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "Stochastic Optimizer")
        found = model({0: 1.0, 1: 5.0, 2: 2.0}).fit(X[rows], Y[rows])
    expected = model().fit(X[rows], Y[rows], by_rows({2: 2.0}, Y[rows]))
    assert_same(found, expected)


DIGITS = np.arange(60) % 10
ERRORS = [
    (
        Y,
        {"0": 1, "1": 5},
        "Keys of class_weight are of type str, but the labels in y are of type int: "
        "write 0 for '0', 1 for '1'.",
    ),
    (
        Y.astype(str),
        {0: 1, 2: 5},
        "Keys of class_weight are of type int, but the labels in y are of type str: "
        "write '0' for 0, '2' for 2.",
    ),
    (
        Y == 1,
        {"yes": 5},
        "Keys of class_weight are of type str, but the labels in y are of type bool; "
        "the labels are [False, True].",
    ),
    (
        DIGITS,
        {0: 1, 11: 5},
        "class_weight has a weight for 11, but 11 is no class of y, which has "
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].",
    ),
    (
        np.arange(60) % 12,
        {np.int64(20): 1, -5: 2},
        "class_weight has weights for 20, -5, but 20, -5 are no classes of y, which "
        "has [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...].",
    ),
    (
        Y % 2,
        [1, 2],
        "class_weight=[1, 2] is a list, which is for targets of several columns of "
        "labels; y has one: pass a dict of weights by label, such as {0: 1, 1: 2}.",
    ),
    (
        Y,
        [{1: 2.0}],
        "class_weight=[{1: 2.0}] is a list, which is for targets of several columns "
        "of labels; y has one: pass a dict of weights by label.",
    ),
    (
        SEVERAL,
        {1: 5},
        "class_weight={1: 5} is one dict, but y has 3 columns of labels: pass a list "
        "with a dict for each column, such as [{1: 5}] * 3.",
    ),
    (
        SEVERAL,
        [{1: 5}],
        "class_weight has 1 elements, but y has 3 columns of labels: pass a dict for "
        "each.",
    ),
    (
        SEVERAL,
        [1, 2, 3],
        "class_weight[0] must be a dict of weights by label, 0 or 1, got 1: a weight "
        "for the rows that have the label is {1: 1}.",
    ),
    (
        SEVERAL,
        [{1: 1}, {2: 5}, {3: 1}],
        "class_weight[1] has a weight for 2, but 2 is no class of y, which has [0, 1].",
    ),
    (Y, {0: -1.0}, "class_weight must have finite weights >= 0, got {0: -1.0}."),
    (Y, {1: "much"}, "class_weight must have finite weights >= 0, got {1: 'much'}."),
    (Y, {1: None}, "class_weight must have finite weights >= 0, got {1: None}."),
]


@pytest.mark.parametrize(("y", "class_weight", "message"), ERRORS, ids=str)
def test_keys_that_are_no_class(y, class_weight, message):
    estimator = model(class_weight)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        estimator.fit(X, y)
    assert not hasattr(estimator, "classes_")


def test_targets_of_another_shape_are_refused_first():
    single, several = model({1: 5.0}).fit(X, Y), model([{1: 5.0}] * 3).fit(X, SEVERAL)
    with pytest.raises(ValueError, match="y has shape"):
        single.partial_fit(X, SEVERAL[:, :2])
    with pytest.raises(ValueError, match="y has shape"):
        several.partial_fit(X, SEVERAL[:, 0])


def test_a_misspelled_name_is_warned_of():
    with pytest.warns(UserWarning, match="Did you mean 'beta'") as caught:
        model({"betta": 5.0}).fit(X, NAMES)
    sentences = [str(w.message) for w in caught if w.category is UserWarning]
    assert sentences == [
        "class_weight has a weight for 'betta', but 'betta' is no class of y, which "
        "has ['alpha', 'beta', 'gamma']. Did you mean 'beta'? The weight has no effect "
        "on this fit, as is right for a fold without the class."
    ]


@pytest.mark.parametrize(
    "class_weight", [{3: 5.0}, {0: 1, 1: 1, 2: 1, 3: 5.0}], ids=str
)
def test_declared_classes_are_all(class_weight):
    estimator = model(class_weight)
    with pytest.raises(ValueError, match="3 is no class of y, which has"):
        estimator.partial_fit(X, Y, classes=[0, 1, 2])
    assert not hasattr(estimator, "classes_")
    estimator.partial_fit(X, Y, classes=[0, 1, 2, 3])


def test_weights_of_absent_classes_are_checked():
    estimator = model({2: -1.0}).partial_fit
    with pytest.raises(ValueError, match="finite weights >= 0"):
        estimator(X[40:], Y[40:], classes=[0, 1, 2])


def test_a_list_with_balanced_is_refused_by_partial_fit():
    with pytest.raises(ValueError, match="not supported for partial_fit"):
        model(["balanced", None, None]).partial_fit(X, SEVERAL, classes=[0, 1, 2])


def test_a_failed_call_leaves_the_estimator():
    estimator = model({1: 5.0}).fit(X, Y)
    before = arrays(estimator)
    twin = copy.deepcopy(estimator)
    estimator.set_params(class_weight={"1": 5.0})
    with pytest.raises(ValueError, match="write 1 for '1'"):
        estimator.partial_fit(X, Y)
    assert arrays(estimator) == before == arrays(twin)
