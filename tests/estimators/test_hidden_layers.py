"""Hidden layers from outside: outputs as features, and the warning of dead units."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from skmlp import Activation, MLPClassifier, MLPRegressor
from skmlp.backends import cpu
from skmlp.exceptions import DeadUnitsWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Dead layers leave a constant.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

X, Y = make_classification(n_samples=300, n_features=8, n_informative=5, random_state=0)
SQUARE = Activation("square", lambda z: z * z, lambda z: 2 * z, slope_of="input")
FUNCTIONS = {
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
    SQUARE: np.square,
}
SCALED = {"hidden_layer_sizes": (20,), "max_iter": 5, "random_state": 0}
# One step of this size along the sign of the gradient, and nearly all units are dead.
DEADLY = {**SCALED, "learning_rate_init": 10.0, "batch_size": 300}


def by_hand(model, x, layer):
    for coef, intercept, activation in zip(
        model.coefs_[: layer + 1],
        model.intercepts_[: layer + 1],
        model.activation,
        strict=False,
    ):
        x = FUNCTIONS[activation](x @ coef + intercept)
    return x


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_hidden_activations_are_those_of_the_formula(kind, assert_same):
    model = kind(
        hidden_layer_sizes=(7, 6, 5, 4),
        activation=[*FUNCTIONS],
        max_iter=3,
        random_state=0,
    )
    model.fit(X, Y)
    for layer in range(4):
        expected = by_hand(model, X, layer)
        assert_same(model.hidden_activations(X, layer), expected, 1e-10)
        found = model.hidden_activations(X, layer=layer - 4)
        np.testing.assert_array_equal(found, model.hidden_activations(X, layer))
    np.testing.assert_array_equal(
        model.hidden_activations(X), model.hidden_activations(X, 3)
    )


def test_hidden_activations_of_sparse_and_single_precision(assert_same):
    model = MLPClassifier(**SCALED).fit(X.astype(np.float32), Y)
    dense = model.hidden_activations(X)
    assert dense.dtype == np.float32
    assert dense.shape == (300, 20)
    assert_same(model.hidden_activations(sparse.csc_matrix(X)), dense, 1e-4)


def test_hidden_activations_leave_the_model_alone():
    model = MLPClassifier((6, 5), max_iter=3, random_state=0).fit(X, Y)
    before = model.predict_proba(X)
    model.hidden_activations(X, 0)
    assert len(model.coefs_) == 3
    assert model.out_activation_ == "logistic"
    np.testing.assert_array_equal(model.predict_proba(X), before)


def test_hidden_activations_validate_as_predict_does():
    with pytest.raises(NotFittedError):
        MLPClassifier().hidden_activations(X)
    model = MLPClassifier(**SCALED).fit(X, Y)
    with pytest.raises(
        ValueError, match="3 features, but MLPClassifier is expecting 8"
    ):
        model.hidden_activations(X[:, :3])
    broken = X.copy()
    broken[4, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.hidden_activations(broken)


@pytest.mark.parametrize(
    ("sizes", "layer", "error", "message"),
    [
        (
            (6, 5),
            2,
            ValueError,
            r"layer == 2, must be in \[-2, 1\]: .* 2 hidden layers",
        ),
        ((6, 5), -3, ValueError, r"layer == -3, must be in \[-2, 1\]"),
        ((), -1, ValueError, "layer == -1: the network has 0 hidden layers"),
        ((6,), 0.0, TypeError, "layer must be an instance of int"),
        ((6,), "last", TypeError, "layer must be an instance of int"),
    ],
)
def test_a_layer_that_is_not_there_is_an_error(sizes, layer, error, message):
    model = MLPClassifier(sizes, max_iter=3, random_state=0).fit(X, Y)
    with pytest.raises(error, match=message):
        model.hidden_activations(X, layer)


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_a_dead_layer_is_warned_of(kind, convert):
    model = kind(**DEADLY)
    with pytest.warns(DeadUnitsWarning, match="hidden layer 0 are dead") as caught:
        model.fit(convert(X + 10.0), Y)
    told = str(next(w.message for w in caught if w.category is DeadUnitsWarning))
    dead = np.mean(~model.hidden_activations(X + 10.0).any(axis=0))
    assert dead > 0.4
    assert told.startswith(f"{dead:.0%} of the 20 units")
    for word in ("scale X", "learning_rate_init", "leaky_relu", "diagnose", "300"):
        assert word in told


def test_the_warning_is_of_its_own_kind():
    assert not issubclass(DeadUnitsWarning, ConvergenceWarning)


def test_the_warning_names_the_callers_line():
    with pytest.warns(DeadUnitsWarning) as caught:
        MLPClassifier(**DEADLY).fit(X + 10.0, Y)
    files = [w.filename for w in caught if w.category is DeadUnitsWarning]
    assert files == [__file__]


def silent(model, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeadUnitsWarning)
        return model.fit(x, y)


@pytest.mark.parametrize(
    "activation", ["leaky_relu", "tanh", "softmax", "gelu", SQUARE]
)
def test_layers_that_cannot_die_are_not_warned_of(activation):
    silent(MLPRegressor(**{**DEADLY, "max_iter": 1}, activation=activation), X, Y)


def test_healthy_layers_are_not_warned_of():
    silent(MLPClassifier((30, 20, 10), max_iter=50, random_state=0), X, Y)
    silent(MLPRegressor(hidden_layer_sizes=(30, 20), solver="lbfgs"), X, Y)


def test_healthy_layers_cost_no_prediction(monkeypatch):
    """What the last batch has put out is enough: no other kernel need be there."""
    monkeypatch.setattr(cpu, "outputs", None)
    silent(MLPClassifier((30, 20), max_iter=50, random_state=0), X, Y)
    silent(MLPRegressor(hidden_layer_sizes=(30, 20), solver="lbfgs"), X, Y)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        MLPClassifier(**DEADLY).fit(X + 10.0, Y)


def test_few_rows_are_no_ground_for_a_warning():
    silent(MLPClassifier(**{**DEADLY, "batch_size": 90}), X[:90] + 10.0, Y[:90])


@pytest.mark.parametrize(("biases", "warns"), [([-9, -9, 9], False), ([-9] * 3, True)])
def test_in_small_layers_all_units_must_be_dead(biases, warns):
    x = np.linspace(-1, 1, 200).reshape(-1, 1)
    start = [np.ones((1, 3)), np.ones((3, 1))], [np.array(biases), np.zeros(1)]
    model = MLPRegressor(
        hidden_layer_sizes=(3,), max_iter=1, learning_rate_init=1e-9, weight_init=start
    )
    if not warns:
        silent(model, x, np.zeros(200))
        return
    with pytest.warns(DeadUnitsWarning, match="100% of the 3 units"):
        model.fit(x, np.zeros(200))


@pytest.mark.parametrize("n_dead", [40, 41])
def test_a_layer_is_warned_of_above_two_fifths(n_dead):
    x = np.linspace(-1, 1, 200).reshape(-1, 1)
    biases = np.where(np.arange(100) < n_dead, -9.0, 9.0)
    model = MLPRegressor(
        weight_init=([np.ones((1, 100)), np.ones((100, 1))], [biases, np.zeros(1)]),
        max_iter=1,
        learning_rate_init=1e-9,
    )
    if n_dead == 40:
        silent(model, x, np.zeros(200))
        return
    with pytest.warns(DeadUnitsWarning, match="41% of the 100 units of hidden layer 0"):
        model.fit(x, np.zeros(200))


def test_units_that_live_on_rare_rows_are_alive():
    """All rows that the first look takes are alike, some of the others are not."""
    x = np.full((1000, 1), -1.0)
    x[5::10] = 1.0
    start = [np.ones((1, 4)), np.ones((4, 1))], [np.zeros(4), np.zeros(1)]
    model = MLPRegressor(
        hidden_layer_sizes=(4,), max_iter=1, learning_rate_init=1e-9, weight_init=start
    )
    silent(model, x, np.zeros(1000))


def test_partial_fit_does_not_warn():
    model = MLPClassifier(**DEADLY)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeadUnitsWarning)
        for _ in range(5):
            model.partial_fit(X + 10.0, Y, classes=[0, 1])
    assert np.mean(~model.hidden_activations(X + 10.0).any(axis=0)) > 0.4
