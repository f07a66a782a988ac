"""Predictions use what the last one has prepared, unless the model has changed since.

Whatever a user replaces or edits, predictions are those of a model that was made from
the new attributes.
"""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import reference

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4))
Y = (X[:, 0] + 0.3 * RNG.standard_normal(60) > 0).astype(int)
MODELS = {
    "plain": {},
    "batch": {"normalization": "batch"},
    "layer": {"normalization": "layer"},
    "embedded": {"embedding": "piecewise_linear"},
}
SETTINGS = {
    "hidden_layer_sizes": (5, 3),
    "max_iter": 3,
    "random_state": 0,
    "tol": 0.0,
    "n_iter_no_change": 10,
}


def fitted(kind, cls=MLPClassifier):
    with pytest.warns(match="Maximum iterations"):
        return cls(**SETTINGS, **MODELS[kind]).fit(X, Y)


def predict(model):
    return model.decision_function(X)


def expected(model):
    """By the slow definition, from the public attributes as they are now."""
    network, params = copy.deepcopy(model)._fitted_network()
    return reference.outputs(network, params, X, "identity")[0].ravel()


def replace_list(model, name):
    setattr(model, name, [1.5 * part for part in getattr(model, name)])


def replace_element(model, name):
    parts = getattr(model, name)
    parts[0] = parts[0] + 0.25


def edit_in_place(model, name):
    getattr(model, name)[0][:] *= 0.5


CHANGES = (replace_list, replace_element, edit_in_place)
PARTS = {
    "plain": ("coefs_", "intercepts_"),
    "batch": ("coefs_", "norm_scales_", "norm_means_", "norm_variances_"),
    "layer": ("norm_scales_",),
    "embedded": ("coefs_", "embedding_weights_"),
}
CASES = [(kind, name) for kind, names in PARTS.items() for name in names]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_changed_parameters_count(kind, name, change):
    model = fitted(kind)
    before = predict(model)
    np.testing.assert_allclose(before, expected(model), rtol=1e-10, atol=1e-12)
    for _ in range(2):
        change(model, name)
        now = predict(model)
        assert np.max(np.abs(now - before)) > 1e-6
        np.testing.assert_allclose(now, expected(model), rtol=1e-10, atol=1e-12)
        before = now


def test_an_edit_of_a_replacement_counts():
    """Arrays that are no views on one vector are packed anew."""
    model = fitted("plain")
    replace_list(model, "coefs_")
    predict(model)
    edit_in_place(model, "coefs_")
    np.testing.assert_allclose(predict(model), expected(model), rtol=1e-10)


def test_another_output_activation_counts():
    model = fitted("plain", MLPRegressor)
    raw = model.predict(X)
    model.out_activation_ = "tanh"
    np.testing.assert_allclose(model.predict(X), np.tanh(raw), rtol=1e-12)


def test_training_goes_on_counts():
    model = fitted("plain")
    before = predict(model)
    model.partial_fit(X, Y)
    after = predict(model)
    assert np.any(after != before)
    np.testing.assert_allclose(after, expected(model), rtol=1e-10)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_a_copy_prepares_its_own(kind, copied):
    model = fitted(kind)
    before = predict(model)
    other = copied(model)
    assert_array_equal(predict(other), before)
    replace_list(other, "coefs_")
    assert np.any(predict(other) != before)
    assert_array_equal(predict(model), before)


def test_predictions_set_no_attribute_and_pickles_are_the_same():
    model = fitted("batch")
    attributes, stored = dict(vars(model)), pickle.dumps(model)
    predict(model)
    assert vars(model) == attributes
    assert pickle.dumps(model) == stored


def test_threads_see_one_model():
    """While one thread exchanges weights, others predict with old or new ones."""
    model = fitted("plain")
    versions = [[k * coef for coef in model.coefs_] for k in range(1, 9)]
    allowed = []
    for version in versions:
        model.coefs_ = version
        allowed.append(predict(model))
    done = []

    def predict_often():
        while not done:
            found = predict(model)
            assert any(np.array_equal(found, each) for each in allowed)
        return True

    with ThreadPoolExecutor(3) as pool:
        results = [pool.submit(predict_often) for _ in range(3)]
        for _ in range(200):
            for version in versions:
                model.coefs_ = version
        done.append(True)
        assert all(result.result(60) for result in results)


def test_parameters_of_a_model_from_public_attributes_count():
    """Its activations are those that the parameters ask for, after a copy, too."""
    trained = fitted("plain")
    model = MLPClassifier(**SETTINGS)
    for name in ("coefs_", "intercepts_", "classes_", "out_activation_"):
        setattr(model, name, getattr(trained, name))
    model = pickle.loads(pickle.dumps(model))
    assert_array_equal(predict(model), predict(trained))
    model.set_params(activation="tanh")
    assert np.any(predict(model) != predict(trained))
    np.testing.assert_allclose(predict(model), expected(model), rtol=1e-10, atol=1e-12)
