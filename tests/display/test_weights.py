"""`WeightsDisplay`: every pixel is a weight."""

import numpy as np
import pandas as pd
import pytest
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmlp import MLPClassifier, MLPRegressor, WeightsDisplay

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X = X[:300] / 16
Y = Y[:300]
TABLE, LABELS = load_breast_cancer(return_X_y=True, as_frame=True)


def fitted(hidden=9, kind=MLPClassifier, **params):
    params = {"hidden_layer_sizes": hidden, "max_iter": 5, "random_state": 0, **params}
    return kind(**params).fit(X, Y)


@pytest.mark.parametrize("kind", [MLPClassifier, neural_network.MLPClassifier])
def test_units_as_images(kind):
    model = fitted(kind=kind)
    display = WeightsDisplay.from_estimator(model)
    mosaic = display.image_.get_array()
    assert mosaic.shape == (3 * 8 + 2, 3 * 8 + 2)
    for i in range(9):
        top, left = 9 * (i // 3), 9 * (i % 3)
        tile = mosaic[top : top + 8, left : left + 8]
        np.testing.assert_array_equal(tile, model.coefs_[0][:, i].reshape(8, 8))
    assert np.ma.getmaskarray(mosaic)[8].all()
    np.testing.assert_array_equal(display.units_, np.arange(9))
    assert list(display.ax_.get_xticks()) == []
    assert display.ax_.get_title() == "Weights of 9 units of the first layer"
    low, high = display.image_.get_clim()
    assert low == -high
    assert high == np.quantile(np.abs(model.coefs_[0]), 0.999)


def test_shapes_of_images():
    display = WeightsDisplay.from_estimator(fitted(2), image_shape=(4, 16))
    mosaic = display.image_.get_array()
    # Wide images stand below each other.
    assert mosaic.shape == (9, 16)
    with pytest.raises(ValueError, match=r"image_shape=\(8, 9\) must be a height and"):
        WeightsDisplay.from_estimator(fitted(2), image_shape=(8, 9))
    model = MLPClassifier(4, max_iter=2).fit(TABLE, LABELS)
    with pytest.raises(ValueError, match="for 30 features are no square"):
        WeightsDisplay.from_estimator(model, kind="image")


def test_the_largest_units_are_drawn():
    model = fitted(100)
    display = WeightsDisplay.from_estimator(model, max_units=10)
    norms = np.linalg.norm(model.coefs_[0], axis=0)
    assert set(display.units_) == set(np.argsort(-norms)[:10])
    assert "10 of 100 units" in display.ax_.get_title()


def test_a_table_is_a_heatmap_with_names():
    frame = TABLE.iloc[:, :6]
    model = MLPClassifier(7, max_iter=5, random_state=0).fit(frame, LABELS)
    display = WeightsDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.image_.get_array(), model.coefs_[0])
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == list(frame.columns)
    assert display.ax_.get_xlabel() == "Unit of the first layer"
    assert display.colorbar_.ax.get_ylabel() == "Weight"


def test_the_largest_features_and_units_of_a_heatmap():
    model = MLPClassifier(20, max_iter=5, random_state=0).fit(TABLE, LABELS)
    display = WeightsDisplay.from_estimator(model, max_features=5, max_units=4)
    coefs = model.coefs_[0]
    features = np.sort(np.argsort(-np.linalg.norm(coefs, axis=1))[:5])
    np.testing.assert_array_equal(display.features_, features)
    np.testing.assert_array_equal(
        display.image_.get_array(), coefs[np.ix_(features, display.units_)]
    )
    names = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert names == list(TABLE.columns[features])
    assert "5 of 30 features" in display.ax_.get_title()
    write = display.ax_.xaxis.get_major_formatter()
    assert [write(i, None) for i in range(-1, 5)] == [
        "",
        *(str(unit) for unit in display.units_),
        "",
    ]


def test_where_names_come_from():
    table = TABLE.iloc[:, :4]
    network = MLPRegressor(hidden_layer_sizes=3, max_iter=3, random_state=0)
    target = LABELS.astype(float)

    def names(model, **params):
        ax = WeightsDisplay.from_estimator(model, **params).ax_
        return [text.get_text() for text in ax.get_yticklabels()]

    pipeline = make_pipeline(StandardScaler(), network).fit(table, target)
    assert names(pipeline) == list(table.columns)
    assert names(pipeline, feature_names=list("abcd")) == list("abcd")
    unnamed = make_pipeline(FunctionTransformer(), network).fit(table, target)
    assert names(unnamed) == list(table.columns)
    nameless = make_pipeline(
        FunctionTransformer(lambda x: np.asarray(x)[:, :2]), network
    ).fit(table, target)
    assert names(nameless) == ["x0", "x1"]
    alone = network.fit(table.to_numpy(), target)
    assert names(alone) == ["x0", "x1", "x2", "x3"]
    with pytest.raises(ValueError, match="has 2 names, but the network has 4 inputs"):
        names(alone, feature_names=["a", "b"])


def test_named_pixels_are_a_heatmap_unless_a_shape_is_given():
    frame = pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)])
    model = MLPClassifier(4, max_iter=3, random_state=0).fit(frame, Y)
    assert WeightsDisplay.from_estimator(model).features_ is not None
    display = WeightsDisplay.from_estimator(model, image_shape=(8, 8))
    assert display.features_ is None


def test_an_embedding_adds_no_feature():
    model = MLPRegressor(
        hidden_layer_sizes=3, max_iter=3, embedding="piecewise_linear", random_state=0
    ).fit(X[:, :5], Y.astype(float))
    assert len(model.coefs_[0]) > 5
    display = WeightsDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.image_.get_array(), model.coefs_[0][:5])


def test_the_spread_by_layer():
    model = fitted((9, 5))
    display = WeightsDisplay.from_estimator(model, kind="distribution")
    for i, coef in enumerate(model.coefs_):
        median = display.boxes_["medians"][i].get_ydata()
        np.testing.assert_allclose(median, np.median(coef))
        ends = [cap.get_ydata()[0] for cap in display.boxes_["caps"][2 * i : 2 * i + 2]]
        np.testing.assert_allclose(ends, np.quantile(coef, [0.01, 0.99]))
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert labels == ["0\n64 to 9", "1\n9 to 5", "2\n5 to 10"]
    assert display.image_ is display.units_ is None


def test_pictures_may_follow_each_other_on_the_same_axes():
    display = WeightsDisplay.from_estimator(fitted())
    ax = display.ax_
    assert display.plot(ax, kind="heatmap").ax_ is ax
    ticks = [float(tick) for tick in ax.get_xticks()]
    assert ticks == [round(tick) for tick in ticks]
    assert len(ticks) > 2


def test_arguments_and_errors():
    model = fitted()
    display = WeightsDisplay.from_estimator(model, cmap="gray", vmax=2.0)
    assert display.image_.get_cmap().name == "gray"
    assert display.image_.get_clim()[1] == 2.0
    with pytest.raises(ValueError, match="kind must be one of 'image', 'heatmap', 'di"):
        WeightsDisplay.from_estimator(model, kind="bars")
    with pytest.raises(ValueError, match="max_units must be at least 1, got 0"):
        WeightsDisplay.from_estimator(model, max_units=0)
    with pytest.raises(TypeError, match=r"WeightsDisplay needs .* got Ridge"):
        WeightsDisplay.from_estimator(Ridge().fit(X, Y))
    with pytest.raises(NotFittedError):
        WeightsDisplay.from_estimator(MLPClassifier())
