"""Activations and losses of one's own: trained as the table's are, and checked first.

Each rule here is a twin of a row of the tables: what it should lead to is known.
"""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from skmlp import Activation, Loss, MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # One set of parameters serves losses with and without `delta`.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = X[:, 0] * X[:, 1]
LABELS = {
    "two": np.where(X[:, 0] > 0, "yes", "no"),
    "three": np.digitize(X[:, 0], [-0.5, 0.5]),
    "any": (X[:, :3] > 0).astype(int),
}
SMALL = {"hidden_layer_sizes": (6, 5), "max_iter": 8, "random_state": 0}


def tanh(z):
    return np.tanh(z)


def tanh_slope(a):
    return 1 - a * a


def silu(z):
    return z / (1 + np.exp(-z))


def silu_slope(z):
    s = 1 / (1 + np.exp(-z))
    return s * (1 + z * (1 - s))


TWINS = {
    "tanh": Activation("mine", tanh, tanh_slope, init="sklearn_uniform"),
    "silu": Activation("mine", silu, silu_slope, slope_of="input", init="he_uniform"),
}


def squared(y, z):
    return 0.5 * (z - y) ** 2


def squared_slope(y, z):
    return z - y


def huber(y, z, p):
    r = abs(z - y)
    return p * (r - 0.5 * p) if r > p else 0.5 * r * r


def huber_slope(y, z, p):
    return min(max(z - y, -p), p)


def cross_entropy(y, z):
    return np.log1p(np.exp(-z)) if y > 0.5 else np.log1p(np.exp(z))


def cross_entropy_slope(y, z):
    return 1 / (1 + np.exp(-z)) - (1 if y > 0.5 else 0)


LOSSES = {
    "squared_error": Loss("mine", "identity", squared, squared_slope),
    "huber": Loss("mine", "identity", huber, huber_slope, parameters=("delta",)),
}
CROSS_ENTROPY = Loss("mine", "logistic", cross_entropy, cross_entropy_slope)


def assert_same_network(one, other, rtol):
    for kind in ("coefs_", "intercepts_"):
        parts = zip(getattr(one, kind), getattr(other, kind), strict=True)
        for mine, theirs in parts:
            assert mine.dtype == theirs.dtype
            assert_allclose(mine, theirs, rtol=rtol, atol=rtol)


PRECISIONS = [("float64", 1e-8), ("float32", 2e-3)]
in_both_precisions = pytest.mark.parametrize(("dtype", "rtol"), PRECISIONS)


@in_both_precisions
@pytest.mark.parametrize("name", TWINS)
def test_a_twin_of_an_activation_trains_the_same_network(name, dtype, rtol):
    fitted = [
        MLPRegressor(activation=activation, dtype=dtype, **SMALL).fit(X, Y)
        for activation in (name, TWINS[name], [TWINS[name], name])
    ]
    for other in fitted[1:]:
        assert_same_network(fitted[0], other, rtol)
        assert_allclose(other.predict(X), fitted[0].predict(X), rtol, 10 * rtol)


@in_both_precisions
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("output", ["identity", "softplus"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_twin_of_a_loss_trains_the_same_network(name, output, solver, dtype, rtol):
    settings = {**SMALL, "out_activation": output, "delta": 0.7, "solver": solver}
    one, other = (
        MLPRegressor(loss, dtype=dtype, **settings).fit(X, Y)
        for loss in (name, LOSSES[name])
    )
    assert_same_network(one, other, rtol)
    assert other.loss_ == pytest.approx(one.loss_, rel=rtol)
    assert other.score(X, Y) == pytest.approx(one.score(X, Y), rel=rtol, abs=rtol)


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.ValidationWarning")
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("kind", LABELS)
def test_a_twin_of_the_log_loss_classifies(kind, early_stopping):
    """Its conditions on y, which is 0 or 1, are not asked of anything between."""
    settings = {**SMALL, "early_stopping": early_stopping}
    one, other = (
        MLPClassifier(loss=loss, out_activation="logistic", **settings)
        for loss in ("log_loss", CROSS_ENTROPY)
    )
    y = LABELS[kind]
    assert_same_network(one.fit(X, y), other.fit(X, y), 1e-8)
    assert_allclose(other.predict_proba(X), one.predict_proba(X), rtol=1e-8)
    assert_array_equal(other.predict(X), one.predict(X))


def test_margins_of_ones_own_are_no_probabilities():
    hinge = Loss(
        "mine",
        "identity",
        lambda y, z: max(0.0, 1 - (2 * y - 1) * z),
        lambda y, z: 0.0 if (2 * y - 1) * z > 1 else 1 - 2 * y,
    )
    model = MLPClassifier(loss=hinge, **SMALL).fit(X, LABELS["two"])
    twin = MLPClassifier(loss="hinge", **SMALL).fit(X, LABELS["two"])
    assert_allclose(model.decision_function(X), twin.decision_function(X), rtol=1e-8)
    assert not hasattr(model, "predict_proba")


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
def test_a_distribution_that_no_table_has():
    """Student's t: its mode is learnt, whatever the outliers."""

    def value(y, z):
        return np.log1p((z - y) ** 2)

    def slope(y, z):
        return 2 * (z - y) / (1 + (z - y) ** 2)

    y = 2.0 + stats.t(1).rvs(500, random_state=1)
    model = MLPRegressor(
        Loss("cauchy", "identity", value, slope), (), solver="lbfgs", alpha=0.0
    )
    found = model.fit(np.zeros((500, 1)), y).predict(np.zeros((1, 1)))
    assert_allclose(found, stats.cauchy.fit(y, fscale=1)[0], rtol=1e-3)
    assert abs(y.mean() - 2) > 0.3 > abs(found[0] - 2)


@pytest.mark.slow
def test_clones_copies_and_other_processes():
    model = MLPRegressor(LOSSES["huber"], activation=TWINS["silu"], **SMALL).fit(X, Y)
    expected = model.predict(X)
    assert_array_equal(clone(model).fit(X, Y).predict(X), expected)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), expected)
    assert_array_equal(again.fit(X, Y).predict(X), expected)
    here, there = (
        cross_val_score(model, X, Y, cv=2, n_jobs=n_jobs) for n_jobs in (1, 2)
    )
    assert_allclose(here, there, rtol=1e-12)


def test_rules_of_ones_own_are_values_of_a_grid():
    parameters = {
        "loss": ["huber", LOSSES["huber"]],
        "activation": ["silu", TWINS["silu"]],
    }
    search = GridSearchCV(MLPRegressor(**SMALL), parameters, cv=2).fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert_allclose(scores, scores[0], rtol=1e-7)


GOOD = (lambda z: z * z, lambda z: 2 * z)
BAD_ACTIVATIONS = {
    "a slope of neither": (GOOD, {"slope_of": "z"}, "has slope_of='z', which must be"),
    "a wrong sign": ((GOOD[0], lambda z: -2 * z), {}, "slope .* not the derivative"),
    "a lost factor": ((GOOD[0], lambda z: z), {}, r"at z=.* it is .* differences"),
    "no number": (
        (GOOD[0], lambda z: 2 * z if z > 0 else np.nan),
        {},
        "it is nan, by finite differences -",
    ),
    "an exception": ((GOOD[0], lambda z: 1 / 0), {}, "slope of .* 'mine' failed: Zero"),
    "no slope": ((GOOD[0], None), {}, "slope of .* must be a function .*, got None"),
    "a ufunc": ((np.sin, np.cos), {}, "'mine' must be a function .*, got <ufunc"),
    "SciPy's": (
        (lambda z: special.expit(z), lambda z: special.expit(z) * special.expit(-z)),
        {},
        "Numba cannot compile the functions of 'mine'",
    ),
    "a scheme": (GOOD, {"init": "unknown"}, "'mine' has init='unknown', which must be"),
}


@pytest.mark.parametrize("case", BAD_ACTIVATIONS)
def test_bad_activations_are_found_before_they_train(case):
    functions, others, message = BAD_ACTIVATIONS[case]
    own = Activation("mine", *functions, **{"slope_of": "input", **others})
    model = MLPRegressor(**SMALL).fit(X, Y)
    before = model.predict(X)
    for activation in (own, ["relu", own]):
        with pytest.raises(ValueError, match=message):
            model.set_params(activation=activation).fit(X, Y)
    assert_array_equal(model.predict(X), before)


BAD_LOSSES = {
    "a wrong sign": ({"slope": lambda y, z: y - z}, "slope of loss 'mine' is not the"),
    "a forgotten slope": ({"slope": None}, "'mine' needs both a value and a slope"),
    "a parameter": (
        {"value": huber, "slope": huber_slope, "parameters": ("alpha",)},
        "the parameter 'alpha', but .* must be 'quantile' or 'delta' or 'power' here",
    ),
    "an output": ({"output": "unknown"}, "output='unknown', which must be one of"),
    "a range": ({"low": 0.0, "high": 1.0}, "needs y >= 0 and y <= 1, but the smallest"),
}


@pytest.mark.parametrize("case", BAD_LOSSES)
def test_bad_losses_are_found_before_they_train(case):
    changes, message = BAD_LOSSES[case]
    loss = LOSSES["squared_error"]._replace(**changes)
    model = MLPRegressor(**SMALL).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(ValueError, match=message):
        model.set_params(loss=loss).fit(X, Y)
    assert_array_equal(model.predict(X), before)


def test_a_bad_loss_of_a_classifier_is_found():
    wrong = CROSS_ENTROPY._replace(slope=lambda y, z: 1 / (1 + np.exp(-z)) - 2 * y)
    with pytest.raises(ValueError, match="slope of loss 'mine' is not the derivative"):
        MLPClassifier(loss=wrong, **SMALL).fit(X, LABELS["two"])
    with pytest.raises(ValueError, match=r"'delta', but .* must be 'focal_gamma' or"):
        MLPClassifier(loss=LOSSES["huber"], **SMALL).fit(X, LABELS["two"])


def test_kinks_are_no_errors():
    kinked = Activation(
        "kinked", lambda z: abs(z), lambda z: np.sign(z), slope_of="input"
    )
    assert MLPRegressor(activation=kinked, **SMALL).fit(X, Y).loss_ > 0
