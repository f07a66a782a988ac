"""`LossCurveDisplay`: what the artists show is what the trainings recorded."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import same_color
from sklearn import neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import (
    LossCurveDisplay,
    MLPAutoencoder,
    MLPClassifier,
    MLPRegressor,
    TabularMLPClassifier,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X = X[:400] / 16
Y = Y[:400]


def fitted(kind=MLPClassifier, **params):
    return kind(**{"random_state": 0, "max_iter": 12, **params}).fit(X, Y)


def data(line):
    return [np.asarray(values, dtype=float).tolist() for values in line.get_data()]


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_early_stopping_shows_losses_scores_and_the_kept_epoch():
    model = fitted(early_stopping=True, max_iter=40)
    display = LossCurveDisplay.from_estimator(model)
    epochs = np.arange(1.0, len(model.loss_curve_) + 1).tolist()
    assert data(display.training_lines_[0]) == [epochs, model.loss_curve_]
    losses = model.validation_loss_curve_
    assert data(display.validation_lines_[0]) == [epochs, losses]
    assert data(display.score_lines_[0]) == [epochs, model.validation_scores_]
    assert data(display.kept_markers_[0]) == [
        [model.best_iter_],
        [model.best_validation_score_],
    ]
    assert display.score_lines_[0].axes is display.score_ax_
    assert display.score_ax_ is not display.ax_
    assert display.learning_rate_ax_ is None
    assert display.ax_.get_xlabel() == "Epoch"
    assert display.ax_.get_ylabel() == "Loss"
    assert display.score_ax_.get_ylabel() == "Validation score"
    assert legend_texts(display.score_ax_) == [
        "Training loss",
        "Validation loss",
        "Validation score",
        f"Kept: epoch {model.best_iter_}",
    ]


def test_without_held_out_data_there_is_one_curve():
    display = LossCurveDisplay.from_estimator(fitted(MLPRegressor))
    assert display.validation_lines_ == display.score_lines_ == [None]
    assert display.kept_markers_ == [None]
    assert display.score_ax_ is None
    assert legend_texts(display.ax_) == ["Training loss"]


def test_validation_data_that_do_not_stop_keep_the_last_epoch():
    model = MLPClassifier(max_iter=5, random_state=0)
    model.fit(X[:300], Y[:300], X_val=X[300:], y_val=Y[300:])
    display = LossCurveDisplay.from_estimator(model)
    assert data(display.score_lines_[0])[1] == model.validation_scores_
    assert display.kept_markers_ == [None]


def test_a_schedule_is_shown_below():
    model = fitted(learning_rate="cosine")
    display = LossCurveDisplay.from_estimator(model)
    rates = model.history_["learning_rate"]
    assert data(display.learning_rate_lines_[0])[1] == rates
    below = display.learning_rate_ax_
    assert below.get_yscale() == "log"
    assert below.get_xlabel() == "Epoch"
    assert below.get_shared_x_axes().joined(below, display.ax_)
    assert below.get_position().y1 < display.ax_.get_position().y0
    hidden = LossCurveDisplay.from_estimator(model, learning_rate=False)
    assert hidden.learning_rate_ax_ is None
    assert hidden.learning_rate_lines_ == [None]
    constant = LossCurveDisplay.from_estimator(fitted(), learning_rate=True)
    assert set(data(constant.learning_rate_lines_[0])[1]) == {0.001}


def test_axes_are_divided_wherever_they_stand():
    figure = plt.figure()
    ax = figure.add_axes((0.2, 0.1, 0.4, 0.8))
    display = LossCurveDisplay.from_estimator(fitted(learning_rate="cosine"), ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    below, above = display.learning_rate_ax_.get_position(), ax.get_position()
    np.testing.assert_allclose([below.x0, below.x1], [0.2, 0.6])
    np.testing.assert_allclose([below.y0, above.y1], [0.1, 0.9])
    assert below.y1 < above.y0


def test_several_trainings_have_a_color_each():
    models = {"relu": fitted(early_stopping=True), "tanh": fitted(activation="tanh")}
    display = LossCurveDisplay.from_estimator(models)
    for line, model in zip(display.training_lines_, models.values(), strict=True):
        assert data(line)[1] == model.loss_curve_
    colors = [line.get_color() for line in display.training_lines_]
    assert not same_color(*colors)
    assert same_color(display.score_lines_[0].get_color(), colors[0])
    assert display.score_lines_[1] is None
    assert legend_texts(display.score_ax_) == [
        "relu",
        "tanh",
        "Training loss",
        "Validation loss",
        "Validation score",
        "Kept",
    ]


def test_a_list_gets_names():
    models = [fitted(), fitted(activation="tanh"), fitted(MLPRegressor)]
    display = LossCurveDisplay.from_estimator(models)
    assert [curve.name for curve in display.curves] == [
        "MLPClassifier 1",
        "MLPClassifier 2",
        "MLPRegressor",
    ]
    assert legend_texts(display.ax_) == [curve.name for curve in display.curves]


def test_lbfgs_has_iterations():
    model = fitted(solver="lbfgs")
    display = LossCurveDisplay.from_estimator(model)
    assert data(display.training_lines_[0])[1] == model.history_["loss"]
    assert display.ax_.get_xlabel() == "Iteration"
    both = LossCurveDisplay.from_estimator([model, fitted()])
    assert both.ax_.get_xlabel() == "Epoch or iteration"


def test_partial_fit_goes_on():
    model = MLPClassifier(random_state=0)
    model.partial_fit(X, Y, classes=np.unique(Y))
    alone = LossCurveDisplay.from_estimator(model)
    assert alone.training_lines_[0].get_marker() == "."
    model.partial_fit(X[:300], Y[:300], X_val=X[300:], y_val=Y[300:])
    display = LossCurveDisplay.from_estimator(model)
    assert data(display.training_lines_[0]) == [[1, 2], model.loss_curve_]
    assert np.isnan(data(display.validation_lines_[0])[1][0])
    assert data(display.score_lines_[0])[1][1] == model.validation_scores_[0]


def test_networks_of_scikit_learn_are_drawn_too():
    kind = neural_network.MLPClassifier
    model = fitted(kind, early_stopping=True, max_iter=30)
    display = LossCurveDisplay.from_estimator([model, fitted()])
    assert data(display.training_lines_[0])[1] == model.loss_curve_
    assert data(display.score_lines_[0])[1] == list(model.validation_scores_)
    kept = display.kept_markers_[0]
    assert data(kept)[1] == [model.best_validation_score_]
    with pytest.raises(ValueError, match=r"no loss_curve_: .* solver='lbfgs'"):
        LossCurveDisplay.from_estimator(fitted(kind, solver="lbfgs"))
    with pytest.raises(ValueError, match="x='seconds', but MLPClassifier has recorded"):
        LossCurveDisplay.from_estimator(fitted(kind), x="seconds")


def test_pipelines_searches_and_autoencoders():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=3))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.1]}, cv=2).fit(X, Y)
    best = search.best_estimator_[-1]
    display = LossCurveDisplay.from_estimator(search)
    assert data(display.training_lines_[0])[1] == best.loss_curve_
    target = TransformedTargetRegressor(
        MLPRegressor(max_iter=3, random_state=0), transformer=StandardScaler()
    ).fit(X, Y.astype(float))
    display = LossCurveDisplay.from_estimator(FrozenEstimator(target))
    assert data(display.training_lines_[0])[1] == target.regressor_.loss_curve_
    coder = MLPAutoencoder((8, 2, 8), max_iter=3, random_state=0).fit(X)
    display = LossCurveDisplay.from_estimator(coder)
    assert data(display.training_lines_[0])[1] == coder.loss_curve_


def test_curves_over_time():
    model = fitted()
    display = LossCurveDisplay.from_estimator(model, x="seconds")
    assert data(display.training_lines_[0])[0] == model.history_["seconds"]
    assert display.ax_.get_xlabel() == "Seconds"


def test_members_of_an_ensemble():
    table, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    model = TabularMLPClassifier("fast", n_members=2, random_state=0)
    model.fit(table[:150], labels[:150])
    display = LossCurveDisplay.from_estimator(model)
    for line, member in zip(display.training_lines_, model.members_, strict=True):
        assert data(line)[1] == member.loss_curve_
    assert [curve.name for curve in display.curves] == ["member 0", "member 1"]
    named = LossCurveDisplay.from_estimator({"table": model})
    assert named.curves[1].name == "table, member 1"


def test_arguments_of_the_artists():
    model = fitted(early_stopping=True)
    display = LossCurveDisplay.from_estimator(
        model,
        training_kwargs={"color": "black", "label": "mine"},
        validation_kwargs={"linestyle": "-."},
        score_kwargs={"linewidth": 7},
    )
    assert display.training_lines_[0].get_color() == "black"
    assert display.validation_lines_[0].get_linestyle() == "-."
    assert display.score_lines_[0].get_linewidth() == 7
    assert legend_texts(display.score_ax_)[0] == "mine"
    again = display.plot()
    assert again is display
    assert display.training_lines_[0].get_color() != "black"


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match=r"needs an MLPClassifier.*LogisticRegression"):
        LossCurveDisplay.from_estimator(LogisticRegression(max_iter=1000).fit(X, Y))
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(MLPClassifier())
    with pytest.raises(ValueError, match="at least one estimator, got none"):
        LossCurveDisplay.from_estimator([])
    model = fitted(max_iter=2)
    with pytest.raises(ValueError, match="x must be 'epoch' or 'seconds', got 'time'"):
        LossCurveDisplay.from_estimator(model, x="time")
    with pytest.raises(ValueError, match="learning_rate must be 'auto', True or False"):
        LossCurveDisplay.from_estimator(model, learning_rate="log")
