"""`PredictionIntervalDisplay`: bounds, coverage, and the rows in their order."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.stats import norm
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier, MLPRegressor, PredictionIntervalDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (400, 1))
Y = np.sin(2 * X.ravel()) + 0.2 * RNG.normal(size=400)
LEVELS = [0.05, 0.25, 0.5, 0.75, 0.95]
TABLE, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)


def quantiles(levels=LEVELS, x=X, y=Y):
    model = MLPRegressor("quantile", quantile=levels, max_iter=60, random_state=0)
    return model.fit(x, y)


@pytest.fixture(scope="module")
def gaussian():
    network = MLPRegressor(
        "gaussian_nll", scale_target=True, max_iter=40, random_state=0
    )
    return make_pipeline(StandardScaler(), network).fit(TABLE, PROGRESS)


def band(collection):
    """Lower and upper bound of a band, by its x."""
    (path,) = collection.get_paths()
    vertices = path.vertices
    x = np.unique(vertices[:, 0])
    low = np.array([vertices[vertices[:, 0] == each, 1].min() for each in x])
    high = np.array([vertices[vertices[:, 0] == each, 1].max() for each in x])
    return x, low, high


def test_a_fan_of_quantiles():
    model = quantiles()
    display = PredictionIntervalDisplay.from_estimator(model, X, Y)
    predicted = model.predict(X)
    order = np.argsort(X.ravel())
    np.testing.assert_array_equal(display.order_, order)
    for collection, low, high in zip(display.intervals_, (0, 1), (4, 3), strict=True):
        x, lower, upper = band(collection)
        np.testing.assert_allclose(x, X.ravel()[order])
        np.testing.assert_allclose(lower, predicted[order, low])
        np.testing.assert_allclose(upper, predicted[order, high])
    np.testing.assert_allclose(display.levels, [0.9, 0.5])
    expected = [
        np.mean((predicted[:, 0] <= Y) & (predicted[:, 4] >= Y)),
        np.mean((predicted[:, 1] <= Y) & (predicted[:, 3] >= Y)),
    ]
    np.testing.assert_allclose(display.coverage_, expected)
    line = display.prediction_line_
    np.testing.assert_array_equal(line.get_ydata(), predicted[order, 2])
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == [
        f"90% interval, covers {expected[0]:.1%}",
        f"50% interval, covers {expected[1]:.1%}",
        "Prediction",
        "Targets",
        "Targets outside",
    ]
    assert display.ax_.get_xlabel() == "x0"


def test_targets_inside_and_outside():
    lower, upper = np.zeros(4), np.ones(4)
    display = PredictionIntervalDisplay.from_predictions(
        [0.5, 2.0, -1.0, 1.0],
        np.column_stack([lower, upper]),
        quantile=[0.1, 0.9],
        x=[4, 3, 2, 1],
    )
    assert display.covered_points_.get_offsets().tolist() == [[1, 1.0], [4, 0.5]]
    assert display.missed_points_.get_offsets().tolist() == [[2, -1.0], [3, 2.0]]
    np.testing.assert_array_equal(display.coverage_, [0.5])
    assert display.prediction_line_ is None


def test_a_normal_distribution(gaussian):
    display = PredictionIntervalDisplay.from_estimator(
        gaussian, TABLE, PROGRESS, coverage=[0.5, 0.9]
    )
    mean, std = gaussian.predict(TABLE, return_std=True)
    order = np.argsort(mean, kind="stable")
    np.testing.assert_array_equal(display.levels, [0.9, 0.5])
    reach = norm.ppf(0.95) * std
    np.testing.assert_allclose(display.upper[:, 0], mean + reach)
    np.testing.assert_allclose(
        display.coverage_[0], np.mean(np.abs(mean - PROGRESS) <= reach)
    )
    # Bars at 200 of 442 rows, from the lowest prediction to the highest.
    assert len(display.order_) == 200
    assert display.order_[0] == order[0]
    assert display.order_[-1] == order[-1]
    segments = np.array(display.intervals_[0].get_segments())
    np.testing.assert_allclose(segments[:, 1, 1], (mean + reach)[display.order_])
    np.testing.assert_allclose(segments[:, 0, 1], (mean - reach)[display.order_])
    np.testing.assert_array_equal(segments[[0, -1], 0, 0], [0, 441])
    line = display.prediction_line_
    np.testing.assert_array_equal(line.get_ydata(), mean[display.order_])
    assert display.ax_.get_xlabel() == "Rows by prediction"


def test_searches_and_routing(gaussian):
    search = GridSearchCV(gaussian, {"mlpregressor__alpha": [0.1]}, cv=2)
    search.fit(TABLE, PROGRESS)
    with config_context(enable_metadata_routing=True):
        display = PredictionIntervalDisplay.from_estimator(search, TABLE)
    mean, _ = search.best_estimator_.predict(TABLE, return_std=True)
    np.testing.assert_array_equal(display.y_pred, mean)


@pytest.mark.parametrize("feature", ["bmi", 2, -8])
def test_against_a_feature(gaussian, feature):
    display = PredictionIntervalDisplay.from_estimator(
        gaussian, TABLE, feature=feature, max_rows=None
    )
    np.testing.assert_array_equal(
        display.prediction_line_.get_xdata(), np.sort(TABLE["bmi"])
    )
    assert display.ax_.get_xlabel() == "bmi"
    assert display.prediction_line_.get_linestyle() == "None"
    assert display.coverage_ is display.covered_points_ is None
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["90% interval", "Prediction"]


def test_arrays_and_sparse_data():
    x = np.column_stack([X, RNG.normal(size=(400, 1))])
    model = quantiles([0.1, 0.9], x=x)
    dense = PredictionIntervalDisplay.from_estimator(model, x, Y, feature=1)
    thin = PredictionIntervalDisplay.from_estimator(
        model, sparse.csr_array(x), Y, feature=1
    )
    np.testing.assert_array_equal(dense.x, x[:, 1])
    np.testing.assert_array_equal(thin.x, x[:, 1])
    assert dense.ax_.get_xlabel() == "x1"
    listed = PredictionIntervalDisplay.from_estimator(model, x.tolist(), Y, feature=0)
    np.testing.assert_array_equal(listed.x, x[:, 0])


def test_a_frame_of_polars(gaussian):
    frame = pl.DataFrame(TABLE.to_dict(orient="list"))
    display = PredictionIntervalDisplay.from_estimator(gaussian, frame, feature="bmi")
    np.testing.assert_array_equal(display.x, TABLE["bmi"])
    assert display.ax_.get_xlabel() == "bmi"


def test_dates_and_texts_as_features():
    days = pd.date_range("2026-01-01", periods=400)
    frame = pd.DataFrame({"x": X.ravel(), "day": days, "name": ["a", "b"] * 200})
    model = make_pipeline(
        StandardScaler(), MLPRegressor("quantile", quantile=[0.1, 0.9], max_iter=5)
    )
    selected = make_pipeline(Select(), model).fit(frame, Y)
    display = PredictionIntervalDisplay.from_estimator(selected, frame, feature="day")
    assert display.x.dtype.kind == "M"
    assert len(display.intervals_[0].get_paths()) in (1, 200)
    with pytest.raises(ValueError, match=r"feature='name' must be numeric .* dtype"):
        PredictionIntervalDisplay.from_estimator(selected, frame, feature="name")
    with pytest.raises(
        ValueError, match=r"feature='hour' is none of X.*: x, day, name"
    ):
        PredictionIntervalDisplay.from_estimator(selected, frame, feature="hour")
    with pytest.raises(ValueError, match="feature=3 is none of X, which has 3"):
        PredictionIntervalDisplay.from_estimator(selected, frame, feature=3)


class Select(StandardScaler):
    def fit(self, X, y=None):
        return super().fit(X[["x"]])

    def transform(self, X):
        return super().transform(X[["x"]])

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


@pytest.mark.parametrize("kind", ["band", "bars"])
def test_the_kind_can_be_chosen(kind):
    model = quantiles([0.1, 0.9])
    display = PredictionIntervalDisplay.from_estimator(model, X, kind=kind)
    n_paths = len(display.intervals_[0].get_paths())
    assert n_paths == (1 if kind == "band" else 200)
    assert len(display.order_) == (400 if kind == "band" else 200)


def test_arguments_of_the_artists():
    display = PredictionIntervalDisplay.from_estimator(
        quantiles(),
        X,
        Y,
        interval_kwargs={"alpha": 0.5},
        line_kwargs={"color": "black"},
        scatter_kwargs={"s": 33},
    )
    assert display.intervals_[0].get_alpha() == 0.5
    assert display.prediction_line_.get_color() == "black"
    assert display.covered_points_.get_sizes() == [33]


def test_estimators_that_predict_no_interval():
    draw = PredictionIntervalDisplay.from_estimator
    with pytest.raises(TypeError, match=r"needs an MLPRegressor .* got MLPClassifier"):
        draw(MLPClassifier(max_iter=2).fit(X, Y > 0), X)
    for loss in ("squared_error", "quantile"):
        with pytest.raises(ValueError, match="predicts no interval: train it with"):
            draw(MLPRegressor(loss, max_iter=2).fit(X, Y), X)
    inner = MLPRegressor("gaussian_nll", max_iter=2)
    changed = TransformedTargetRegressor(inner, transformer=StandardScaler())
    for model in (changed, make_pipeline(changed)):
        with pytest.raises(TypeError, match=r"use MLPRegressor\(scale_target=True\)"):
            draw(model.fit(X, Y), X)
    several = MLPRegressor("gaussian_nll", max_iter=2).fit(X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match="y_pred has 2 targets: pass one column"):
        draw(several, X)
    with pytest.raises(ValueError, match="kind must be one of 'auto', 'band', 'bars'"):
        draw(quantiles([0.1, 0.9]), X, kind="lines")


@pytest.mark.parametrize(
    ("y_pred", "params", "message"),
    [
        (np.zeros((5, 2)), {}, "either quantile or std"),
        (np.zeros((5, 2)), {"quantile": [0.9, 0.1]}, "ascending levels"),
        (np.zeros((5, 1)), {"quantile": [0.5]}, r"two or more .* got \[0.5\]"),
        (np.zeros((5, 2)), {"quantile": [0.0, 0.9]}, "ascending levels"),
        (np.zeros((5, 2)), {"quantile": [0.1, 0.5, 0.9]}, "2 columns, but .* 3 levels"),
        (np.zeros(5), {"std": np.ones(5), "coverage": 90}, r"in \(0, 1\), got 90"),
        (np.zeros(5), {"std": np.ones(4)}, "inconsistent numbers of samples"),
        (np.zeros(4), {"std": np.ones(4)}, "inconsistent numbers of samples"),
        (np.zeros(5), {"std": np.ones(5), "x": [1, 2]}, "inconsistent numbers"),
        (np.full((5, 2), np.nan), {"quantile": [0.1, 0.9]}, "y_pred contains NaN"),
    ],
)
def test_predictions_that_do_not_fit(y_pred, params, message):
    with pytest.raises(ValueError, match=message):
        PredictionIntervalDisplay.from_predictions(np.zeros(5), y_pred, **params)
