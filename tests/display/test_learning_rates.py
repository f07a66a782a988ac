"""The range test: its losses, its suggestion, and that it leaves nothing behind."""

import copy

import numpy as np
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import (
    LearningRateRangeDisplay,
    MLPAutoencoder,
    MLPClassifier,
    MLPRegressor,
    learning_rate_range,
)
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_digits(return_X_y=True)
X = X / 16
RNG = np.random.default_rng(0)


def test_losses_are_those_of_single_steps():
    # The penalty is divided by the rows of all data, in partial_fit of a chunk.
    params = {"solver": "sgd", "batch_size": 40, "shuffle": False, "alpha": 0.0}
    params["random_state"] = 0
    x, y = X[:120], Y[:120]
    found = learning_rate_range(
        MLPClassifier(**params),
        x,
        y,
        min_learning_rate=1e-3,
        max_learning_rate=1.0,
        n_steps=20,
    )
    model = MLPClassifier(**params, learning_rate_init=1e-3)
    for i, rate in enumerate(np.geomspace(1e-3, 1.0, 20)):
        rows = slice(40 * (i % 3), 40 * (i % 3) + 40)
        if i:
            model._optimizer.learning_rate = rate
        model.partial_fit(x[rows], y[rows], classes=np.unique(Y))
    np.testing.assert_allclose(found.learning_rates, np.geomspace(1e-3, 1.0, 20))
    np.testing.assert_allclose(found.losses, model.loss_curve_, rtol=1e-9)


def test_the_suggestion_is_where_the_smoothed_loss_falls_fastest():
    found = learning_rate_range(MLPClassifier(random_state=0), X, Y)
    slopes = np.gradient(found.smoothed_losses, np.log(found.learning_rates))
    assert found.suggestion == found.learning_rates[np.argmin(slopes)]
    assert len(found.losses) == len(found.smoothed_losses) < 200
    assert 1e-3 < found.suggestion < 0.02


@pytest.mark.parametrize("solver", STOCHASTIC_SOLVERS)
def test_every_solver_learns_with_its_suggestion(solver):
    model = MLPClassifier(solver=solver, max_iter=15, random_state=0)
    # The default range is too short for 'adadelta', whose usual rate is 1.
    found = learning_rate_range(model, X[::2], Y[::2], max_learning_rate=100.0)
    model.set_params(learning_rate_init=found.suggestion).fit(X[::2], Y[::2])
    assert model.score(X[1::2], Y[1::2]) > 0.85


@pytest.mark.parametrize("is_fitted", [False, True])
def test_the_estimator_is_left_as_it_is(is_fitted):
    model = MLPClassifier(random_state=np.random.RandomState(0), max_iter=3)
    if is_fitted:
        model.fit(X, Y)
    before = copy.deepcopy(vars(model))
    learning_rate_range(model, X, Y, n_steps=20, min_learning_rate=1e-3)
    after = vars(model)
    assert before.keys() == after.keys()
    if is_fitted:
        for old, new in zip(before["coefs_"], after["coefs_"], strict=True):
            np.testing.assert_array_equal(old, new)
    old, new = (each["random_state"].get_state() for each in (before, after))
    np.testing.assert_array_equal(old[1], new[1])
    assert old[2] == new[2]


def test_the_seed_decides():
    model = MLPClassifier(random_state=3)
    one, two = (learning_rate_range(model, X, Y) for _ in range(2))
    np.testing.assert_array_equal(one.losses, two.losses)
    assert one.suggestion == two.suggestion


class Counting(TransformerMixin, BaseEstimator):
    n_fits = 0

    def fit(self, X, y=None):
        Counting.n_fits += 1
        return self

    def transform(self, X):
        return X / 16


def test_transformers_of_a_pipeline_are_fitted_once():
    model = MLPClassifier(random_state=0)
    pipeline = make_pipeline(Counting(), model)
    Counting.n_fits = 0
    found = learning_rate_range(pipeline, X * 16, Y)
    assert Counting.n_fits == 1
    expected = learning_rate_range(model, X, Y)
    np.testing.assert_array_equal(found.losses, expected.losses)
    assert not hasattr(pipeline[-1], "coefs_")
    alone = learning_rate_range(make_pipeline(model), X, Y)
    np.testing.assert_array_equal(alone.losses, expected.losses)


@pytest.mark.skipif(
    not hasattr(MLPClassifier, "set_callbacks"), reason="needs scikit-learn 1.9"
)
def test_callbacks_do_not_hear_of_it():
    from sklearn.callback import ProgressBar

    heard = []

    class Listening(ProgressBar):
        def setup(self, estimator, context):
            heard.append(estimator)
            super().setup(estimator, context)

    model = MLPClassifier(random_state=0, max_iter=2).set_callbacks(Listening())
    model.fit(X, Y)
    assert heard == [model]
    found = learning_rate_range(make_pipeline(StandardScaler(), model), X, Y)
    assert 1e-4 < found.suggestion < 0.1
    assert heard == [model]


def test_weights_are_those_of_fit():
    model = MLPClassifier(random_state=0)
    weights = np.zeros(len(X))
    weights[:500] = 1.0
    found = learning_rate_range(model, X, Y, sample_weight=weights)
    expected = learning_rate_range(model, X[:500], Y[:500])
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-9)


@pytest.mark.parametrize(
    "params",
    [
        {"class_weight": "balanced", "logit_adjustment": 1.0},
        {"sampling": "balanced"},
        {"early_stopping": True, "scoring": "roc_auc_ovr"},
        {"learning_rate": "one_cycle", "weight_decay": 0.01, "warmup_epochs": 2.0},
        {"normalization": "batch", "dropout": 0.2, "dropout_schedule": "flat_cosine"},
        {"embedding": "piecewise_linear", "weight_init": "data_driven"},
        {"dtype": "float32", "max_norm": 3.0, "max_time": 1e-6, "warm_start": True},
    ],
)
def test_what_fit_prepares_is_prepared(params):
    model = MLPClassifier(**params, random_state=0)
    found = learning_rate_range(model, X, Y)
    assert 1e-4 < found.suggestion < 1.0
    assert min(found.smoothed_losses) < 0.7 * found.losses[0]


def test_targets_are_scaled_as_in_fit():
    y = 1e6 + 1e5 * (X @ RNG.normal(size=64))
    model = MLPRegressor(scale_target=True, random_state=0)
    found = learning_rate_range(model, X, y)
    scaled = learning_rate_range(model, X, (y - y.mean()) / y.std())
    np.testing.assert_allclose(found.losses, scaled.losses, rtol=1e-6)
    assert found.losses[0] < 2.0


def test_sparse_data_and_no_target():
    x = sparse.csr_array(np.where(X > 0.9, X, 0.0))
    model = MLPClassifier(random_state=0)
    found = learning_rate_range(model, x, Y)
    dense = learning_rate_range(model, x.toarray(), Y)
    assert found.suggestion == pytest.approx(dense.suggestion, rel=0.3)
    np.testing.assert_allclose(found.losses[:50], dense.losses[:50], rtol=1e-6)
    coder = MLPAutoencoder((32, 8, 32), random_state=0)
    coded = learning_rate_range(make_pipeline(StandardScaler(), coder), X)
    assert 1e-4 < coded.suggestion < 0.1


def test_what_cannot_be_learned_keeps_the_own_rate():
    x = RNG.normal(size=(400, 1))
    y = RNG.permutation(np.sign(x.ravel()))
    model = MLPRegressor(
        hidden_layer_sizes=1, learning_rate_init=0.004, random_state=0, batch_size=40
    )
    with pytest.warns(UserWarning, match="falls at no learning rate from 1e-06 to"):
        found = learning_rate_range(model, x, y, max_learning_rate=1e-4)
    assert found.suggestion == 0.004


def test_a_range_that_ends_too_early():
    model = MLPClassifier(random_state=0)
    with pytest.warns(UserWarning, match="still falls fastest at max_learning_rate"):
        learning_rate_range(model, X, Y, max_learning_rate=2e-3)


def test_a_range_that_begins_too_high():
    model = MLPRegressor(random_state=0, solver="sgd")
    with pytest.warns(UserWarning, match=r"to 1e\+10, where the training diverges, by"):
        learning_rate_range(
            model, X, Y, min_learning_rate=1e10, max_learning_rate=1e11, n_steps=2000
        )
    with pytest.raises(ValueError, match=r"diverges within \d steps .*min_learning_ra"):
        learning_rate_range(
            model, X, Y, min_learning_rate=1e300, max_learning_rate=1e301
        )


@pytest.mark.parametrize(
    ("estimator", "params", "error", "message"),
    [
        (MLPClassifier(solver="lbfgs"), {}, ValueError, "'lbfgs' has no learning rate"),
        (neural_network.MLPClassifier(), {}, TypeError, "of skmlp.*got MLPClassifier"),
        (make_pipeline(StandardScaler()), {}, TypeError, "got StandardScaler"),
        (MLPClassifier(), {"n_steps": 5}, ValueError, "n_steps == 5, must be >= 20"),
        (MLPClassifier(), {"n_steps": 50.0}, TypeError, "n_steps must be an instance"),
        (MLPClassifier(), {"min_learning_rate": 0}, ValueError, "must be > 0"),
        (
            MLPClassifier(),
            {"min_learning_rate": 1.0, "max_learning_rate": 0.5},
            ValueError,
            "min_learning_rate must be less than max_learning_rate, got 1.0 and 0.5",
        ),
        (MLPClassifier(alpha=-1), {}, ValueError, "'alpha' parameter"),
    ],
)
def test_errors(estimator, params, error, message):
    with pytest.raises(error, match=message):
        learning_rate_range(estimator, X, Y, **params)


def test_the_picture():
    display = LearningRateRangeDisplay.from_estimator(
        MLPClassifier(random_state=0), X, Y, n_steps=60
    )
    for line, values in (
        (display.loss_points_, display.losses),
        (display.smoothed_line_, display.smoothed_losses),
    ):
        np.testing.assert_array_equal(line.get_xdata(), display.learning_rates)
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert display.suggestion_line_.get_xdata()[0] == display.suggestion
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_xlabel() == "Learning rate"
    low, high = display.ax_.get_ylim()
    assert low < display.losses.min()
    assert display.losses[0] < high < 2 * display.losses[0]
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[-1] == f"Suggestion: {display.suggestion:.2g}"
    styled = display.plot(
        loss_kwargs={"marker": "x"},
        smoothed_kwargs={"color": "black"},
        suggestion_kwargs={"linestyle": ":"},
    )
    assert styled.loss_points_.get_marker() == "x"
    assert styled.smoothed_line_.get_color() == "black"
    assert styled.suggestion_line_.get_linestyle() == ":"
