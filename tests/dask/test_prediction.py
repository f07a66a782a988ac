"""Predictions of Dask collections, and the estimators as scikit-learn sees them."""

import inspect
import pickle

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.dask import DaskMLPClassifier, DaskMLPRegressor

PARAMETERS = {
    "hidden_layer_sizes": (10,),
    "learning_rate": "cosine",
    "max_iter": 3,
    "random_state": 0,
}
ESTIMATORS = [
    (DaskMLPClassifier, MLPClassifier),
    (DaskMLPRegressor, MLPRegressor),
]
RNG = np.random.RandomState(0)
X = RNG.standard_normal((40, 4))
LABELS = np.array(["a", "b", "c"])[RNG.randint(3, size=40)]


def fitted(dask_class, local, y, **parameters):
    """An estimator for Dask with the network of a local fit."""
    model = dask_class(**PARAMETERS, **parameters)
    model._adopt(local(**PARAMETERS, **parameters).fit(X, y))
    return model


@pytest.fixture(scope="module")
def classifier():
    return fitted(DaskMLPClassifier, MLPClassifier, LABELS)


def delayed(make=np.asarray):
    return [dask.delayed(make)(X[i : i + 10]) for i in range(0, 40, 10)]


def collections():
    array = da.from_array(X, chunks=(15, 2))
    frame = dd.from_pandas(pd.DataFrame(X, columns=[*"abcd"]), npartitions=3)
    rows = sparse.csr_matrix((0, 4))
    return {
        "array": array,
        "unknown": array[array[:, 0] < 100],
        "frame": frame,
        "delayed": delayed(),
        "sparse": array.rechunk((15, 4)).map_blocks(sparse.csr_matrix, meta=rows),
        "delayed sparse": delayed(sparse.csr_matrix),
        "empty chunks": [*delayed(), dask.delayed(np.ones)((0, 4))],
    }


@pytest.mark.parametrize("kind", [*collections()])
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_collections_are_predicted_lazily(classifier, kind, method):
    model = classifier
    if kind == "frame":
        frame = pd.DataFrame(X, columns=[*"abcd"])
        model = clone(classifier)
        model._adopt(MLPClassifier(**PARAMETERS).fit(frame, LABELS))
    expected = getattr(model.to_local(), method)(
        pd.DataFrame(X, columns=[*"abcd"]) if kind == "frame" else X
    )
    found = getattr(model, method)(collections()[kind])
    assert isinstance(found, da.Array)
    assert found.dtype == expected.dtype
    assert found.ndim == expected.ndim
    assert found.shape[1:] == expected.shape[1:]
    computed = found.compute(scheduler="synchronous")
    assert type(computed) is type(expected)
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(computed, expected, rtol=1e-12)
    else:
        np.testing.assert_array_equal(computed, expected)
    if kind in ("array", "sparse"):
        assert found.chunks[0] == (15, 15, 10)


def test_arrays_of_numpy_are_predicted_at_once(classifier):
    assert isinstance(classifier.predict(X), np.ndarray)
    np.testing.assert_array_equal(
        classifier.predict(X), classifier.to_local().predict(X)
    )


def test_lists_and_pairs_of_predictions():
    columns = np.column_stack([LABELS, RNG.randint(2, size=40).astype(str)])
    model = fitted(DaskMLPClassifier, MLPClassifier, columns)
    array = collections()["array"]
    found = model.predict_proba(array)
    for one, other in zip(found, model.predict_proba(X), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one.compute(scheduler="synchronous"), other)
    model = fitted(DaskMLPRegressor, MLPRegressor, X[:, 0], loss="gaussian_nll")
    mean, std = model.predict(array, return_std=True)
    expected = model.predict(X, return_std=True)
    np.testing.assert_allclose(mean.compute(scheduler="synchronous"), expected[0])
    np.testing.assert_allclose(std.compute(scheduler="synchronous"), expected[1])


def test_hidden_activations(classifier):
    found = classifier.hidden_activations(collections()["array"], layer=0)
    np.testing.assert_allclose(
        found.compute(scheduler="synchronous"), classifier.hidden_activations(X, 0)
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dask_class", "local"), ESTIMATORS)
def test_scores_are_those_of_all_rows(client, dask_class, local, weighted):
    y = LABELS if local is MLPClassifier else X @ [1.0, 2.0, 0.0, 0.0]
    weights = RNG.rand(40) if weighted else None
    model = fitted(dask_class, local, y).set_params(client=client)
    chunks = {"chunks": 15}
    args = [da.from_array(X, chunks=(15, 4)), da.from_array(y, **chunks)]
    if weighted:
        args.append(da.from_array(weights, **chunks))
    expected = model.to_local().score(X, y, weights)
    np.testing.assert_allclose(model.score(*args), expected, rtol=1e-12)
    assert model.score(X, y, weights) == expected


@pytest.mark.parametrize(("dask_class", "local"), ESTIMATORS)
def test_all_local_parameters_are_there(dask_class, local):
    parameters = inspect.signature(local).parameters
    found = inspect.signature(dask_class).parameters
    assert [*found] == [*parameters, "client", "sync_every", "checkpoint", "timeout"]
    assert all(found[name] == parameter for name, parameter in parameters.items())
    model = dask_class(beta_1=0.5, sync_every="epoch")
    assert model.get_params()["sync_every"] == "epoch"
    assert model.set_params(beta_1=0.7).beta_1 == 0.7
    assert repr(model).startswith(dask_class.__name__)
    with pytest.raises(TypeError, match="Did you mean max_iter"):
        dask_class(max_itr=3)
    with pytest.raises(ValueError, match="Invalid parameter"):
        model.set_params(unknown=3)


def test_clones_share_the_client_and_pickles_have_none(client, classifier):
    model = clone(classifier).set_params(client=client, activation="tanh")
    assert clone(model).client is client
    assert clone(model).activation == "tanh"
    assert not hasattr(clone(model), "coefs_")
    loaded = pickle.loads(pickle.dumps(classifier))
    assert loaded.client is None
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))


def test_to_local_is_independent(classifier):
    local = classifier.to_local()
    assert type(local) is MLPClassifier
    before = classifier.predict_proba(X)
    local.coefs_[0][:] = 0
    np.testing.assert_array_equal(classifier.predict_proba(X), before)
    assert local.get_params() == {
        name: value
        for name, value in classifier.get_params().items()
        if name in local.get_params()
    }


def test_what_is_lacking():
    model = DaskMLPClassifier()
    with pytest.raises(NotFittedError):
        model.predict(collections()["array"])
    for name in ("partial_fit", "resume", "set_callbacks"):
        assert not hasattr(model, name)
    with pytest.raises(AttributeError, match="has no resume"):
        _ = model.resume
    assert not hasattr(DaskMLPClassifier(loss="hinge"), "predict_proba")
