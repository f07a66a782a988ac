"""Faults that would go unnoticed: data, a fit, and the warning that it gives.

Each row is a mistake that leads to a useless model without an error. Good fits, and
those that were merely cut short, stay silent.
"""

import re
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skmlp import Loss, MLPClassifier, MLPRegressor
from skmlp.backends import cpu
from skmlp.exceptions import DeadUnitsWarning, PoorFitWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.DeadUnitsWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5))
SIGNAL = X[:, 0] + np.sin(2 * X[:, 1]) + 0.1 * RNG.normal(size=400)
T = (SIGNAL - SIGNAL.mean()) / SIGNAL.std()
LABELS = np.where(T > 0.7, ">50K", "<=50K")
THREE = np.digitize(T, [-0.5, 0.5])
# Ages, weights of a census, hours.
ADULT = np.column_stack(
    [40 + 13 * X[:, 0], 190_000 + 105_000 * X[:, 2], 40 + 12 * X[:, 1]]
)


def cosh(y, z):
    return np.cosh(np.minimum(np.maximum(z - y, -50.0), 50.0)) - 1


def cosh_slope(y, z):
    return np.sinh(np.minimum(np.maximum(z - y, -50.0), 50.0))


COSH = Loss("cosh", "identity", cosh, cosh_slope)


def census():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(ADULT, columns=["age", "fnlwgt", "hours"])


def fitted(model, x, y, **options):
    """The texts of the poor-fit warnings of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x() if callable(x) else x, y, **options)
    return [str(w.message) for w in caught if w.category is PoorFitWarning]


def classifier(**parameters):
    return MLPClassifier(**{"random_state": 0, **parameters})


def regressor(**parameters):
    return MLPRegressor(**{"random_state": 0, **parameters})


TARGET = "scale_target=True"
FAULTS = {
    "unscaled X": (classifier(), ADULT, LABELS, ["column 1", "StandardScaler"]),
    "names of columns": (classifier(), census, LABELS, ["'fnlwgt'", "1e+05"]),
    "y * 0.01": (regressor(), X, 0.01 * T, [TARGET, "deviation 0.01"]),
    "y * 1e-4": (regressor(), X, 1e-4 * T, [TARGET, "times as large"]),
    "y * 1000": (regressor(), X, 1e3 * T, [TARGET, "deviation 1e+03"]),
    "y * 1000, many rows": (
        regressor(),
        np.tile(X, (5, 1)),
        np.tile(1e3 * T, 5),
        ["still learning fast", TARGET],
    ),
    "y * 1e6": (regressor(), X, 1e6 * T, [TARGET]),
    "offset": (regressor(), X, 1e6 + 1e5 * T, [TARGET, "mean 1e+06"]),
    "two targets": (
        regressor(),
        X,
        np.column_stack([T, 1e4 * T]),
        ["Column 1 of y", TARGET],
    ),
    "dollars": (
        regressor(loss="gaussian_nll"),
        X,
        4000 + 4000 * np.exp(T),
        [TARGET],
    ),
    "absolute error": (
        regressor(loss="absolute_error"),
        X,
        1e5 + 1e4 * T,
        [TARGET],
    ),
    "quantiles": (
        regressor(loss="quantile", quantile=[0.1, 0.9]),
        X,
        1e5 + 1e4 * T,
        [TARGET],
    ),
    "huber": (regressor(loss="huber"), X, 1e5 + 1e4 * T, [TARGET]),
    "log-cosh": (regressor(loss="log_cosh"), X, 1e5 + 1e4 * T, [TARGET]),
    "custom loss": (regressor(loss=COSH), X, 1e-3 * T, [TARGET]),
    "counts in millions": (
        regressor(loss="poisson", max_iter=20),
        X,
        1e6 * np.exp(T),
        ["scale_target=True divides it by its mean"],
    ),
    "lbfgs stops at once": (
        regressor(solver="lbfgs", alpha=0, tol=1.0),
        X,
        1e-4 * T,
        [TARGET],
    ),
    "float32": (regressor(dtype="float32"), X, 1e6 + 1e5 * T, [TARGET]),
    "early stopping": (regressor(early_stopping=True), X, 1e-4 * T, [TARGET]),
    "rate": (
        classifier(solver="sgd", learning_rate_init=100.0, momentum=0.9),
        X,
        THREE,
        ["learning_rate_init=100"],
    ),
    "one class": (
        classifier(alpha=1e4, max_iter=500),
        X,
        LABELS,
        ["'<=50K' for all rows"],
    ),
    "tiny X": (
        classifier(hidden_layer_sizes=(20, 20)),
        1e-6 * X,
        LABELS,
        ["standard deviation of a feature is", "StandardScaler"],
    ),
    "sparse": (classifier(), sparse.csr_matrix(ADULT), LABELS, ["StandardScaler"]),
    "no features": (classifier(), np.ones((400, 3)), LABELS, ["are constant"]),
    "hinge": (classifier(loss="hinge"), ADULT, LABELS, ["StandardScaler"]),
    "several hinges": (classifier(loss="hinge"), ADULT, THREE, ["StandardScaler"]),
    "unreachable": (
        regressor(out_activation="relu"),
        X,
        T - 20.0,
        ["no better", "Most of y lies outside of the range from 0 to inf"],
    ),
    "part of a range": (
        regressor(out_activation="logistic", max_iter=15),
        X,
        1e-3 * expit(T),
        ["a small part of the range from 0 to 1", "MinMaxScaler((0, 1))"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fit_that_is_no_better_than_a_constant_says_so(fault):
    model, x, y, words = FAULTS[fault]
    (text,) = fitted(model, x, y)
    assert re.search("better than a constant prediction|still learning fast", text)
    for word in words:
        assert word in text, text


def scaled(load):
    x, y = load(return_X_y=True)
    return StandardScaler().fit_transform(x), y


WEIGHTED = RNG.random(400) + 0.1
GOOD = {
    "iris": (classifier(), load_iris(return_X_y=True)),
    "wine": (classifier(), scaled(load_wine)),
    "cancer, stopped": (classifier(early_stopping=True), scaled(load_breast_cancer)),
    "cancer, balanced": (
        classifier(class_weight="balanced"),
        scaled(load_breast_cancer),
    ),
    "hinge": (classifier(loss="hinge"), (X, THREE)),
    "squared hinge": (classifier(loss="squared_hinge"), (X, LABELS)),
    "brier": (classifier(loss="squared_error"), (X, THREE)),
    "focal": (classifier(loss="focal"), (X, THREE)),
    "smoothed": (classifier(label_smoothing=0.1), (X, THREE)),
    "labels": (classifier(), (X, np.column_stack([T > 0, T > 1, X[:, 3] > 0]))),
    "lbfgs": (classifier(solver="lbfgs"), (X, LABELS)),
    "dropout": (classifier(dropout=0.5), (X, LABELS)),
    "batch norm": (classifier(normalization="batch"), (X, LABELS)),
    "squared": (regressor(), (X, T)),
    "two targets": (regressor(), (X, np.column_stack([T, -T]))),
    "quantiles": (regressor(loss="quantile", quantile=[0.1, 0.5, 0.9]), (X, T)),
    "gaussian": (regressor(loss="gaussian_nll"), (X, T)),
    "poisson": (regressor(loss="poisson"), (X, np.exp(T))),
    "gamma": (regressor(loss="gamma"), (X, np.exp(T))),
    "tweedie": (regressor(loss="tweedie"), (X, np.exp(T))),
    "custom": (regressor(loss=COSH), (X, T)),
    "diabetes": (
        regressor(solver="lbfgs", max_iter=1000),
        load_diabetes(return_X_y=True),
    ),
    "noise": (regressor(), (X, RNG.normal(size=400))),
    "coins": (classifier(), (X, RNG.integers(0, 2, 400))),
    "one class": (classifier(), (X, np.zeros(400, dtype=int))),
    "one number": (regressor(), (X, np.full(400, 3.0))),
    **{
        f"one number but for rounding: {scale_target}, {dtype}": (
            regressor(scale_target=scale_target, dtype=dtype),
            (X, np.where(T > 0, 0.1 + 0.2, 0.3)),
        )
        for scale_target in (False, True)
        for dtype in ("float32", "float64")
    },
    "scaled target": (regressor(scale_target=True), (X, 1e9 + 1e-3 * T)),
    "scaled counts": (
        regressor(loss="poisson", scale_target=True),
        (X, 1e6 * np.exp(T)),
    ),
    **{
        f"cut short: {epochs}, {solver}": (
            regressor(solver=solver, max_iter=epochs),
            (X, 1e3 * T),
        )
        for epochs in (1, 5)
        for solver in ("adam", "lbfgs")
    },
}


@pytest.mark.parametrize("fit", GOOD)
def test_good_fits_and_short_ones_are_silent(fit):
    model, (x, y) = GOOD[fit]
    assert fitted(model, x, y) == []


@pytest.mark.parametrize(
    ("class_weight", "constant"), [(None, ""), ("balanced", "0.6931")]
)
def test_weights_count(class_weight, constant):
    (text,) = fitted(classifier(class_weight=class_weight), ADULT, LABELS)
    p = np.mean(LABELS == ">50K")
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    assert f"that of the best constant {constant or f'{entropy:.4g}'}" in text


def test_partial_fit_is_not_judged():
    model = regressor()
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorFitWarning)
        for _ in range(15):
            model.partial_fit(X, 1e6 + T)


def test_the_warning_names_the_callers_line_and_is_of_its_own_kind():
    with pytest.warns(PoorFitWarning) as caught:
        regressor().fit(X, 1e6 + 1e5 * T)
    files = [w.filename for w in caught if w.category is PoorFitWarning]
    assert files == [__file__]
    assert not issubclass(PoorFitWarning, ConvergenceWarning | DeadUnitsWarning)


def test_good_fits_cost_no_prediction(monkeypatch):
    monkeypatch.setattr(cpu, "outputs", None)
    classifier().fit(X, LABELS)
    regressor().fit(X, T)
    regressor(loss=COSH).fit(X, T)


def test_no_random_numbers_are_drawn_and_no_attribute_changes():
    generator, other = np.random.RandomState(0), np.random.RandomState(0)
    with pytest.warns(PoorFitWarning):
        poor = regressor(random_state=generator, max_iter=15).fit(X, 1e6 + T)
    regressor(random_state=other, max_iter=15).fit(X, T)
    assert generator.randint(1 << 30) == other.randint(1 << 30)
    with pytest.warns(PoorFitWarning):
        again = regressor(max_iter=15).fit(X, 1e6 + T)
    assert vars(poor).keys() == vars(again).keys()
