"""Multilabel targets: the names of their columns, and labels that never vary."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmlp import MLPClassifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

X = np.random.default_rng(0).normal(size=(80, 3))
Y = pd.DataFrame({"sun": X[:, 0] > 0, "rain": X[:, 1] > 1, "snow": X[:, 2] > 0})
SMALL = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}


def test_columns_of_a_frame_have_names():
    model = MLPClassifier(**SMALL).fit(X, Y)
    assert_array_equal(model.label_names_, ["sun", "rain", "snow"])
    assert_array_equal(model.classes_, [0, 1, 2])
    assert_array_equal(pickle.loads(pickle.dumps(model)).label_names_, Y.columns)
    plain = MLPClassifier(**SMALL).fit(X, Y.to_numpy())
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert not hasattr(plain, "label_names_")
    model.fit(X, Y.to_numpy())
    assert not hasattr(model, "label_names_")


def test_other_frames_have_none():
    for y in (Y.set_axis([1, 2, 3], axis=1), Y[["sun"]]["sun"]):
        assert not hasattr(MLPClassifier(**SMALL).fit(X, y), "label_names_")


def test_names_come_with_the_first_chunk():
    model = MLPClassifier(**SMALL).partial_fit(X, Y, classes=[0, 1, 2])
    assert_array_equal(model.label_names_, Y.columns)
    model.partial_fit(X, Y.to_numpy())
    assert_array_equal(model.label_names_, Y.columns)
    with pytest.raises(ValueError, match=r"but the column 'sun' of y has \[0 2\]"):
        model.partial_fit(X, 2 * Y.astype(int))


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, pd.DataFrame])
def test_labels_that_never_vary_are_named(container):
    y = Y.assign(rain=False, snow=True).astype(int)
    names = ("'rain'", "'snow'") if container is pd.DataFrame else (1, 2)
    match = r"in all rows.*: column {} has 0, {} has 1\.".format(*names)
    model = MLPClassifier(**SMALL)
    with pytest.warns(UserWarning, match=match):
        model.fit(X, container(y))
    # The rows of another chunk may well have them.
    model.partial_fit(X, container(y))
    weights = np.where(Y["rain"], 0.0, 1.0)
    with pytest.warns(UserWarning, match="column 1 has 0"):
        model.fit(X, Y.to_numpy(), sample_weight=weights)


def test_of_many_labels_some_are_named():
    y = np.tile(Y[["sun"]].to_numpy().astype(int), 8) * (np.arange(8) > 4)
    with pytest.warns(UserWarning, match=r"column 0 has 0, 1 has 0, 2 .* and 2 more"):
        MLPClassifier(**SMALL).fit(X, y)
