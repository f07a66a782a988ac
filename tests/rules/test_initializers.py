"""How first weights are drawn: sizes, shapes, and which layer draws how."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.neural_network import MLPRegressor as TheirRegressor

from skmlp import MLPClassifier, MLPRegressor
from skmlp.network import Network, init_params, views
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.loss_choice import regression_loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FAN_IN, FAN_OUT = 300, 200
SQUARED_ERROR = regression_loss("squared_error")
# Of each initializer the variance of its weights, by the source that the row names.
VARIANCES = {
    "sklearn_uniform": 2 / (FAN_IN + FAN_OUT),
    "sklearn_uniform_logistic": 2 / 3 / (FAN_IN + FAN_OUT),
    "glorot_uniform": 2 / (FAN_IN + FAN_OUT),
    "glorot_normal": 2 / (FAN_IN + FAN_OUT),
    "he_uniform": 2 / FAN_IN,
    "he_normal": 2 / FAN_IN,
    "lecun_uniform": 1 / FAN_IN,
    "lecun_normal": 1 / FAN_IN,
    "orthogonal": 1 / FAN_IN,
}
X = np.random.default_rng(0).normal(size=(50, 7))
Y = X[:, 0]


def drawn(initializer, sizes=(FAN_IN, FAN_OUT), dtype=float):
    network = Network(sizes, ("relu",) * (len(sizes) - 2), SQUARED_ERROR, "identity")
    initializers = [INITIALIZERS[initializer]] * len(network.shapes)
    vector = init_params(network, initializers, np.random.RandomState(0), dtype)
    assert vector.dtype == dtype
    return views(network, vector)


def test_every_scheme_has_its_variance():
    assert set(VARIANCES) == set(INITIALIZERS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_weights_are_spread_as_the_source_says(name, dtype):
    (coef,), (bias,) = drawn(name, dtype=dtype)
    expected = np.sqrt(VARIANCES[name])
    assert_allclose(coef.std(), expected, rtol=0.01)
    assert abs(coef.mean()) < 4 * expected / np.sqrt(coef.size)
    assert np.any(bias) == INITIALIZERS[name].biases
    if "uniform" in name:
        assert_allclose(np.abs(coef).max(), expected * np.sqrt(3), rtol=1e-3)
        share = coef.ravel() / expected / np.sqrt(12) + 0.5
        assert stats.kstest(share, "uniform").pvalue > 0.01
    if "normal" in name:
        assert stats.kstest(coef.ravel() / expected, "norm").pvalue > 0.01


@pytest.mark.parametrize("shape", [(9, 9), (30, 8), (8, 30), (1, 5), (5, 1)])
def test_orthogonal_weights_are_orthonormal(shape):
    (coef,), _ = drawn("orthogonal", shape)
    product = coef.T @ coef if shape[0] >= shape[1] else coef @ coef.T
    assert_allclose(product, np.eye(min(shape)), atol=1e-12)


def first_weights(**settings):
    """A network whose weights are all but exactly the initial ones."""
    model = MLPRegressor(learning_rate_init=1e-300, random_state=0, max_iter=1)
    return model.set_params(**settings).fit(X, Y)


# He's for what is zero, or nearly so, on one side; LeCun's normal for selu, which
# normalizes itself by it; scikit-learn's for scikit-learn's; Glorot's for the rest.
INITS = {
    "leaky_relu": "he_uniform",
    "elu": "he_uniform",
    "gelu": "he_uniform",
    "gelu_tanh": "he_uniform",
    "silu": "he_uniform",
    "mish": "he_uniform",
    "relu6": "he_uniform",
    "selu": "lecun_normal",
    "identity": "sklearn_uniform",
    "tanh": "sklearn_uniform",
    "relu": "sklearn_uniform",
    "logistic": "sklearn_uniform_logistic",
    "softplus": "glorot_uniform",
    "softsign": "glorot_uniform",
    "hard_tanh": "glorot_uniform",
    "hard_sigmoid": "glorot_uniform",
    "arctan": "glorot_uniform",
    "erf": "glorot_uniform",
    "gudermannian": "glorot_uniform",
    "algebraic": "glorot_uniform",
    "softmax": "glorot_uniform",
}


def test_activations_are_initialized_as_their_sources_say():
    assert {name: ACTIVATIONS[name].init for name in INITS} == INITS


@pytest.mark.parametrize("name", ["elu", "gelu", "relu"])
def test_signals_keep_their_size_through_twenty_layers(name):
    x = np.random.default_rng(0).normal(size=(200, 200))
    deep = {"hidden_layer_sizes": [200] * 20, "activation": name, "max_iter": 1}
    model = MLPRegressor(learning_rate_init=1e-300, random_state=0, **deep)
    spreads = {}
    for initializer in ("he_uniform", "glorot_uniform"):
        model.set_params(weight_init=initializer).fit(x, x[:, 0])
        spreads[initializer] = model.hidden_activations(x).std()
    assert 0.1 < spreads["he_uniform"] < 3
    assert spreads["glorot_uniform"] < spreads["he_uniform"] / 10


def test_selu_normalizes_itself():
    """Mean 0 and variance 1 are a fixed point (Klambauer et al., 2017)."""
    x = np.random.default_rng(0).normal(size=(200, 200))
    deep = {"hidden_layer_sizes": [200] * 20, "activation": "selu", "max_iter": 1}
    model = MLPRegressor(learning_rate_init=1e-300, random_state=0, **deep)
    hidden = model.fit(x, x[:, 0]).hidden_activations(x)
    assert abs(hidden.mean()) < 0.1
    assert hidden.std() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_auto_is_what_each_layers_activation_asks_for(name):
    layers = ["tanh", name, "logistic"]
    auto = first_weights(hidden_layer_sizes=(40, 30, 20), activation=layers)
    generator = np.random.RandomState(0)
    initializers = [
        INITIALIZERS[ACTIVATIONS[layer].init] for layer in [*layers, "logistic"]
    ]
    network = Network((7, 40, 30, 20, 1), layers, SQUARED_ERROR, "identity")
    expected = views(network, init_params(network, initializers, generator, float))
    for mine, theirs in zip((auto.coefs_, auto.intercepts_), expected, strict=True):
        for part, other in zip(mine, theirs, strict=True):
            assert_allclose(part, other, rtol=1e-12, atol=1e-200)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_auto_is_scikit_learns_for_its_activations(activation):
    settings = {"hidden_layer_sizes": (5, 4), "activation": activation}
    theirs = TheirRegressor(learning_rate_init=1e-300, random_state=0, max_iter=1)
    theirs.set_params(**settings).fit(X, Y)
    ours = first_weights(**settings)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        assert_allclose(mine, other, rtol=1e-12)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_name_is_the_way_of_all_layers(name):
    model = first_weights(hidden_layer_sizes=(6, 5), weight_init=name)
    coefs, intercepts = drawn(name, (7, 6, 5, 1))
    for mine, expected in zip(model.coefs_, coefs, strict=True):
        assert_allclose(mine, expected, rtol=1e-12)
    for mine, expected in zip(model.intercepts_, intercepts, strict=True):
        assert_allclose(mine, expected, rtol=1e-12, atol=1e-200)


@pytest.mark.parametrize(
    "convert", [list, tuple, lambda x: [part.tolist() for part in x]]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_are_where_the_training_starts(convert, dtype):
    coefs, intercepts = drawn("he_normal", (7, 4, 1))
    start = (convert(coefs), convert(intercepts))
    before = [coef.copy() for coef in coefs]
    model = first_weights(hidden_layer_sizes=(4,), weight_init=start, dtype=dtype)
    for mine, given in zip(model.coefs_, coefs, strict=True):
        assert mine.dtype == dtype
        assert_allclose(mine, given.astype(dtype), rtol=1e-6)
    # What the user has passed is not what is trained.
    model.set_params(learning_rate_init=0.1).fit(X, Y)
    for given, old in zip(coefs, before, strict=True):
        assert_array_equal(given, old)


def test_a_fitted_networks_weights_are_a_start():
    first = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0).fit(X, Y)
    again = first_weights(
        hidden_layer_sizes=(4,), weight_init=(first.coefs_, first.intercepts_)
    )
    assert_allclose(again.predict(X), first.predict(X), rtol=1e-10)


def test_equal_weights_stay_equal():
    """Why they are drawn: units that begin alike have like gradients."""
    start = ([np.full((7, 5), 0.1), np.full((5, 3), 0.1)], [np.ones(5), np.zeros(3)])
    y = np.digitize(Y, [-0.5, 0.5])
    model = MLPClassifier((5,), "tanh", weight_init=start, max_iter=20).fit(X, y)
    assert np.ptp(model.coefs_[0], axis=1).max() < 1e-12 < np.ptp(model.coefs_[0])


BAD = {
    "of another shape": (([np.ones((7, 4))], [np.ones(4)]), "of shapes .* but the net"),
    "too few": (([], []), "of shapes .* but the network has"),
    "of three parts": (
        ([], [], []),
        "a pair of lists of arrays .* tuple of 3 elements",
    ),
    "no lists": ((1, 2), "a pair of lists of arrays"),
    "nan": (
        ([np.full((7, 4), np.nan), np.ones((4, 1))], [np.ones(4), np.ones(1)]),
        "weight_init has elements that are not finite",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_arrays_that_cannot_be_a_start(case):
    start, message = BAD[case]
    model = first_weights(hidden_layer_sizes=(4,))
    before = model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.set_params(weight_init=start).fit(X, Y)
    assert_array_equal(model.predict(X), before)
