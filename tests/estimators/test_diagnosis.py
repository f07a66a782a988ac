"""The table of `diagnose`: every figure against the formula or a case known by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmlp
from skmlp import Activation, MLPClassifier, MLPRegressor
from skmlp.estimators.diagnosis import LayerReport
from skmlp.rules.activations import ACTIVATIONS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = make_classification(
    n_samples=120, n_features=6, n_informative=4, n_classes=3, random_state=0
)
YR = X[:, 0] - X[:, 1] ** 2
SQUARE = Activation("square", lambda z: z * z, lambda z: 2 * z, slope_of="input")
FLAT_AT_BOTH_ENDS = {
    "logistic",
    "tanh",
    "softsign",
    "hard_tanh",
    "hard_sigmoid",
    "relu6",
    "arctan",
    "erf",
    "gudermannian",
    "algebraic",
    "softmax",
}


def started(coefs, intercepts, activation, kind=MLPRegressor, x=X, y=YR, **settings):
    """A network with the given weights: it was fitted with a rate next to nothing."""
    model = kind(
        hidden_layer_sizes=tuple(len(b) for b in intercepts[:-1]),
        activation=activation,
        weight_init=(coefs, intercepts),
        learning_rate_init=1e-300,
        max_iter=1,
        alpha=0.0,
        **settings,
    )
    return model.fit(x, y)


def one_unit(activation, z):
    """Figures of a layer of one unit, its inputs being z."""
    z = np.asarray(z, dtype=float).reshape(-1, 1)
    ones = [np.ones((1, 1)), np.ones((1, 1))], [np.zeros(1), np.zeros(1)]
    model = started(*ones, activation, x=z, y=np.zeros(len(z)))
    return skmlp.diagnose(model, z, np.zeros(len(z))).rows[0]


def test_dead_units_by_hand():
    coefs = [np.array([[1.0, -1.0, 1.0, 1.0]]), np.ones((4, 1))]
    intercepts = [np.array([0.0, 0.0, -9.0, 9.0]), np.zeros(1)]
    x = np.array([[-2.0], [1.0], [2.0]])
    model = started(coefs, intercepts, "relu", x=x, y=np.zeros(3))
    assert skmlp.diagnose(model, x).rows[0].dead == 0.25
    assert skmlp.diagnose(model, x[:1]).rows[0].dead == 0.5


def test_saturated_outputs_by_hand():
    # tanh has slope 0.05 at 2.1784.
    row = one_unit("tanh", [0.0, 2.1, -2.1, 2.2, -2.2])
    assert row.saturated == pytest.approx(0.4)
    assert row.dead == 0.0
    # 4 a (1 - a) is 0.05 at 4.357.
    assert one_unit("logistic", [4.3, -4.3, 4.4, -4.4]).saturated == pytest.approx(0.5)
    assert one_unit("relu6", [-1.0, 1.0, 5.9, 6.1]).saturated == pytest.approx(0.5)


def test_moments_and_slope_by_hand():
    row = one_unit("relu", [-1.0, 3.0, 5.0, -2.0])
    assert row.mean == pytest.approx(2.0)
    assert row.spread == pytest.approx(np.std([0, 3, 5, 0]))
    assert row.slope == pytest.approx(math.sqrt(0.5))


def test_gradient_and_factor_by_hand():
    row = one_unit("identity", [1.0, 3.0])
    # The network is the identity and the target zero: the gradient is z.
    assert row.gradient == pytest.approx(math.sqrt(5.0))
    assert row.factor == pytest.approx(1.0)


@pytest.mark.parametrize(
    "activation", [*ACTIVATIONS, SQUARE], ids=lambda row: getattr(row, "name", row)
)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_every_activation_in_both_estimators(kind, activation):
    y = Y if kind is MLPClassifier else YR
    model = (
        kind((5, 4), activation, max_iter=3, random_state=0)
        if y is Y
        else kind("squared_error", (5, 4), activation, max_iter=3, random_state=0)
    )
    table = skmlp.diagnose(model.fit(X, y), X, y)
    name = getattr(activation, "name", activation)
    for layer, (row, units) in enumerate(zip(table.rows, (5, 4), strict=True)):
        assert row[:3] == (layer, name, units)
        assert 0 <= row.dead <= 1
        assert math.isnan(row.saturated) == (name not in FLAT_AT_BOTH_ENDS)
        hidden = model.hidden_activations(X, layer)
        assert row.mean == pytest.approx(hidden.mean(), rel=1e-6, abs=1e-9)
        assert row.spread == pytest.approx(hidden.std(), rel=1e-6, abs=1e-9)
        assert np.isfinite([row.slope, row.gradient, row.factor]).all()
    assert table.rows[1].factor == pytest.approx(
        table.rows[1].gradient / table.output_gradient
    )
    assert table.rows[0].factor == pytest.approx(
        table.rows[0].gradient / table.rows[1].gradient
    )


def gradient_by_differences(model, x, y):
    """RMS over rows and units of the loss's gradient by the first layer's biases.

    A row's gradient by a bias is that by the input of the unit.
    """
    h = 1e-5
    found = []
    for i in range(len(x)):
        for unit in range(len(model.intercepts_[0])):
            losses = []
            for step in (h, -h):
                model.intercepts_[0][unit] += step
                losses.append(-model.predict_log_proba(x[i : i + 1])[0, y[i]])
                model.intercepts_[0][unit] -= step
            found.append((losses[0] - losses[1]) / (2 * h))
    return math.sqrt(np.mean(np.square(found)))


@pytest.mark.parametrize("activation", ["tanh", "softmax", "silu"])
def test_gradient_by_finite_differences(activation):
    model = MLPClassifier((4, 3), activation, max_iter=20, random_state=0).fit(X, Y)
    row = skmlp.diagnose(model, X[:20], Y[:20]).rows[0]
    expected = gradient_by_differences(model, X[:20], Y[:20])
    assert row.gradient == pytest.approx(expected, rel=1e-6)


LOSSES = [
    (MLPClassifier, {"loss": "hinge"}, Y),
    (MLPClassifier, {"loss": "squared_error"}, Y == 1),
    (MLPClassifier, {"label_smoothing": 0.1}, Y),
    (MLPClassifier, {"loss": "focal", "focal_gamma": 1.0}, Y),
    (MLPClassifier, {}, np.column_stack([Y == 1, Y == 2, Y > 0]).astype(int)),
    (MLPRegressor, {"loss": "poisson"}, np.abs(YR)),
    (MLPRegressor, {"loss": "gaussian_nll"}, YR),
    (MLPRegressor, {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}, YR),
    (MLPRegressor, {"out_activation": "softplus"}, np.column_stack([YR, -YR])),
]


@pytest.mark.parametrize(("kind", "settings", "y"), LOSSES)
def test_the_gradient_is_that_of_the_models_own_loss(kind, settings, y):
    model = kind(hidden_layer_sizes=(4,), max_iter=3, random_state=0, **settings)
    table = skmlp.diagnose(model.fit(X, y), X, y)
    assert table.output_gradient > 0
    assert table.rows[0].gradient > 0


def test_weights_repeat_rows():
    model = MLPClassifier((5, 4), "tanh", max_iter=3, random_state=0).fit(X, Y)
    weights = np.arange(len(X)) % 3
    weighted = skmlp.diagnose(model, X, Y, weights)
    rows = np.repeat(np.arange(len(X)), weights)
    repeated = skmlp.diagnose(model, X[rows], Y[rows])
    assert weighted.n_samples == np.count_nonzero(weights)
    for one, other in zip(weighted.rows, repeated.rows, strict=True):
        assert one[3:] == pytest.approx(other[3:])
    without = skmlp.diagnose(model, X, sample_weight=weights).rows[0]
    assert without[3:8] == pytest.approx(weighted.rows[0][3:8])


def test_sparse_x_and_blocks_of_rows(monkeypatch):
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, Y)
    whole = skmlp.diagnose(model, X, Y).rows[0]
    monkeypatch.setattr("skmlp.estimators.diagnosis._CHUNK", 7)
    blocks = skmlp.diagnose(model, sparse.csc_matrix(X), Y).rows[0]
    known = [not (isinstance(v, float) and math.isnan(v)) for v in whole]
    for one, other, is_known in zip(whole, blocks, known, strict=True):
        assert not is_known or other == (
            one if isinstance(one, str) else pytest.approx(one)
        )


def test_single_precision_models_and_few_classes():
    model = MLPClassifier((5,), max_iter=3, random_state=0, warm_start=True)
    model.fit(X.astype(np.float32), Y)
    some = Y < 2
    table = skmlp.diagnose(model, X[some], Y[some])
    assert table.rows[0].gradient > 0
    assert model.warm_start


def test_a_linear_model_has_no_rows():
    model = MLPClassifier((), max_iter=3, random_state=0).fit(X, Y)
    table = skmlp.diagnose(model, X, Y)
    assert table.rows == []
    assert str(table) == "no hidden layers"
    assert "no hidden layers" in table._repr_html_()
    assert table.output_gradient > 0


def test_the_table_prints_itself_and_feeds_pandas():
    model = MLPClassifier((5, 4), ["relu", "tanh"], max_iter=3, random_state=0)
    model.fit(X, Y)
    table = skmlp.diagnose(model, X, Y)
    title, head, *lines = str(table).splitlines()
    assert title == "hidden layers on 120 rows"
    assert head.split() == list(LayerReport._fields)
    assert [line.split()[:3] for line in lines] == [
        ["0", "relu", "5"],
        ["1", "tanh", "4"],
    ]
    assert lines[0].split()[4] == "-"
    assert repr(table) == str(table)
    frame = pd.DataFrame(table.to_dict())
    assert list(frame.columns) == list(LayerReport._fields)
    assert list(frame["units"]) == [5, 4]
    assert table._repr_html_().count("<tr>") == 3


def test_without_y_there_is_no_gradient():
    model = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, Y)
    table = skmlp.diagnose(model, X)
    assert math.isnan(table.rows[0].gradient)
    assert math.isnan(table.output_gradient)
    assert "gradient" not in str(table)


def test_what_cannot_be_diagnosed_is_an_error():
    with pytest.raises(NotFittedError):
        skmlp.diagnose(MLPClassifier(), X)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((5,), max_iter=3))
    with pytest.raises(TypeError, match=r"got Pipeline.*pipeline\[-1\]"):
        skmlp.diagnose(pipeline.fit(X, Y), X)
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3).fit(X, YR)
    with pytest.raises(ValueError, match="4 features, but MLPRegressor is expecting 6"):
        skmlp.diagnose(model, X[:, :4])
    with pytest.raises(ValueError, match="trained with 1"):
        skmlp.diagnose(model, X, np.column_stack([YR, YR]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        skmlp.diagnose(model, X, YR[:5])
    with pytest.raises(ValueError, match="classes not in"):
        skmlp.diagnose(MLPClassifier((5,), max_iter=3).fit(X, Y), X, Y + 1)
