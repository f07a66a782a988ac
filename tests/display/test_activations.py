"""`ActivationDisplay`: the bars and the line are the figures of `diagnose`."""

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import ActivationDisplay, MLPAutoencoder, MLPClassifier, diagnose

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.DeadUnitsWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

X, Y = load_digits(return_X_y=True)
X = X[:300] / 16
Y = Y[:300]


def fitted(hidden=(20, 10), activation="relu", **params):
    params = {"max_iter": 8, "random_state": 0, **params}
    return MLPClassifier(hidden, activation, **params).fit(X, Y)


def heights(bars):
    return [bar.get_height() for bar in bars]


def test_bars_are_the_figures_of_diagnose():
    model = fitted(activation=["tanh", "logistic"], learning_rate_init=0.3)
    rows = diagnose(model, X, Y).rows
    display = ActivationDisplay.from_estimator(model, X, Y)
    assert heights(display.dead_bars_) == [row.dead for row in rows]
    assert heights(display.saturated_bars_) == [row.saturated for row in rows]
    assert max(heights(display.saturated_bars_)) > 0.1
    line = display.gradient_line_
    np.testing.assert_array_equal(line.get_ydata(), [row.gradient for row in rows])
    assert line.axes is display.gradient_ax_ is not display.ax_
    assert display.gradient_ax_.get_yscale() == "log"
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert labels == ["0\ntanh\n20 units", "1\nlogistic\n10 units"]
    low, high = display.gradient_ax_.get_ylim()
    assert high / low >= 10
    legend = display.gradient_ax_.get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["Dead units", "Saturated outputs", "Gradient"]


def test_relu_has_dead_units_and_no_saturated_outputs():
    model = fitted(learning_rate_init=0.5)
    display = ActivationDisplay.from_estimator(model, X)
    dead = [row.dead for row in diagnose(model, X).rows]
    assert heights(display.dead_bars_) == dead
    assert max(dead) > 0.3
    assert np.isnan(heights(display.saturated_bars_)).all()
    assert display.gradient_line_ is None
    assert display.gradient_ax_ is None
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts == ["Dead units"]
    shown = [text.get_text() for text in display.ax_.texts]
    assert f"{dead[0]:.0%}" in shown


def test_small_shares_are_not_called_none():
    model = fitted((200,), "tanh", max_iter=30, learning_rate_init=0.01)
    table = diagnose(model, X)
    share = table.rows[0].saturated
    assert 0 < share < 0.01
    display = ActivationDisplay(table=table).plot()
    assert "<1%" in [text.get_text() for text in display.ax_.texts]


def test_the_weights_of_rows_count():
    model = fitted(activation="tanh", learning_rate_init=0.3)
    weights = np.arange(len(X), dtype=float)
    display = ActivationDisplay.from_estimator(model, X, Y, sample_weight=weights)
    rows = diagnose(model, X, Y, weights).rows
    assert heights(display.saturated_bars_) == [row.saturated for row in rows]


def test_pipelines_transform_x():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(10, max_iter=5))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1]}, cv=2).fit(X, Y)
    display = ActivationDisplay.from_estimator(search, X, Y)
    best = search.best_estimator_
    expected = diagnose(best[-1], best[:-1].transform(X), Y)
    assert str(display.table) == str(expected)
    coder = MLPAutoencoder((8, 2, 8), max_iter=3, random_state=0).fit(X)
    assert len(ActivationDisplay.from_estimator(coder, X).dead_bars_) == 3


def test_arguments_and_errors():
    model = fitted()
    display = ActivationDisplay.from_estimator(
        model, X, dead_kwargs={"color": "black", "label": "mine"}
    )
    assert display.dead_bars_[0].get_facecolor() == (0, 0, 0, 1)
    assert display.ax_.get_legend().get_texts()[0].get_text() == "mine"
    theirs = neural_network.MLPClassifier(max_iter=2).fit(X, Y)
    with pytest.raises(TypeError, match=r"of skmlp, a Pipeline .* got MLPClassifier"):
        ActivationDisplay.from_estimator(theirs, X)
    with pytest.raises(ValueError, match="no hidden layers"):
        ActivationDisplay.from_estimator(fitted(()), X)
    with pytest.raises(ValueError, match="X has 3 features"):
        ActivationDisplay.from_estimator(model, X[:, :3])
