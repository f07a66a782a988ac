"""`scale_target`: the fit is that of a target scaled by hand, with all in y's units.

Most tests fit twice: with the parameter on y, and without it on y scaled by hand. The
two networks must be equal, bit for bit, and predictions differ by the scale alone.
"""

import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor
from sklearn.metrics import make_scorer, mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmlp
from skmlp import Loss, MLPClassifier, MLPRegressor
from skmlp.exceptions import PoorFitWarning, ValidationWarning
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.loss_choice import LINKS
from skmlp.rules.losses import REGRESSION_LOSSES
from skmlp.rules.target_range import target_range

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
T = np.tanh(X[:, 0] + X[:, 1]) + 0.2 * RNG.normal(size=200)
Y = 5000.0 + 300.0 * T
POSITIVE = 1e4 * np.exp(T)
TWO = np.column_stack([1e6 + 1e5 * T, 1e-3 * X[:, 1]])
WEIGHTS = RNG.integers(0, 4, 200).astype(float)
# Those that are not bounded above, which refuse a scale.
NAMES = [row.name for row in REGRESSION_LOSSES.values() if row.high == np.inf]


def regressor(loss="squared_error", **parameters):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 15, "random_state": 0}
    return MLPRegressor(loss, **{**settings, **parameters})


def is_positive(model):
    return target_range(model._loss())[0] == 0.0


def scaled(model, y):
    """A target as a fitted model scales it."""
    return (y - model.target_mean_) / model.target_scale_


def assert_same_network(one, other):
    for a, b in zip(
        [*one.coefs_, *one.intercepts_],
        [*other.coefs_, *other.intercepts_],
        strict=True,
    ):
        assert_array_equal(a, b)


def both(y, *, weights=None, x=X, **parameters):
    """Two fits: with `scale_target` on y, and without on y scaled by hand."""
    model = regressor(scale_target=True, **parameters).fit(x, y, weights)
    by_hand = regressor(**parameters).fit(x, scaled(model, y), weights)
    assert_same_network(model, by_hand)
    assert model.loss_ == by_hand.loss_
    assert by_hand.target_mean_ is None
    assert by_hand.target_scale_ is None
    return model, by_hand


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_every_loss_is_that_of_a_target_scaled_by_hand(name, solver, form):
    y = POSITIVE if is_positive(regressor(name)) else Y
    model, by_hand = both(y, loss=name, solver=solver, x=form(X))
    if is_positive(model):
        assert_array_equal(model.target_mean_, [0.0])
        assert_allclose(model.target_scale_, [y.mean()], rtol=1e-14)
    else:
        scaler = StandardScaler().fit(y[:, np.newaxis])
        assert_allclose(model.target_mean_, scaler.mean_, rtol=1e-14)
        assert_allclose(model.target_scale_, scaler.scale_, rtol=1e-13)
    expected = by_hand.predict(X) * model.target_scale_ + model.target_mean_
    assert_array_equal(model.predict(X), expected)
    assert model.predict(X).shape == y.shape


@pytest.mark.parametrize("output", LINKS)
def test_outputs_that_are_not_negative_are_divided_and_bounded_ones_refuse(output):
    model = regressor(out_activation=output, scale_target=True)
    if np.isfinite(target_range(model._loss())[1]):
        with pytest.raises(ValueError, match=f"scale_target=True.*{output!r}.* to 1"):
            model.fit(X, T)
        assert not hasattr(model, "target_scale_")
    else:
        model, _ = both(POSITIVE, out_activation=output)
        assert_array_equal(model.target_mean_, [0.0])
        assert np.all(model.predict(X) >= 0)


def test_a_target_of_both_signs_keeps_its_signs_when_it_is_divided():
    model, _ = both(Y - Y.mean(), out_activation="relu")
    assert_allclose(model.target_scale_, np.mean(np.abs(Y - Y.mean())))


@pytest.mark.parametrize("name", [*ACTIVATIONS])
def test_the_output_of_a_loss_of_ones_own_decides(name):
    loss = Loss(name, name, lambda y, z: (z - y) ** 2, lambda y, z: 2 * (z - y))
    low, high = target_range(regressor(loss)._loss())
    reached = np.isinf([low, high])
    model = regressor(loss, scale_target=True, max_iter=2)
    if reached.all() or (low == 0.0 and reached[1]):
        model.fit(X, POSITIVE)
        assert (model.target_mean_[0] == 0.0) == (low == 0.0)
    else:
        with pytest.raises(ValueError, match=f"out_activation={name!r}.*are bounded"):
            model.fit(X, POSITIVE)


def test_the_range_of_a_loss_of_ones_own_decides():
    parts = "half", "identity", lambda y, z: (z - y) ** 2, lambda y, z: 2 * (z - y)
    assert_array_equal(
        regressor(Loss(*parts, low=0.0), scale_target=True)
        .fit(X, POSITIVE)
        .target_mean_,
        [0.0],
    )
    with pytest.raises(ValueError, match="from 1 to inf"):
        regressor(Loss(*parts, low=1.0), scale_target=True).fit(X, POSITIVE)


def test_weights_count_and_rows_without_weight_do_not():
    spoilt = np.where(WEIGHTS > 0, Y, 1e9)
    model = regressor(scale_target=True).fit(X, spoilt, WEIGHTS)
    scaler = StandardScaler().fit(spoilt[:, np.newaxis], sample_weight=WEIGHTS)
    assert_allclose(model.target_mean_, scaler.mean_, rtol=1e-14)
    assert_allclose(model.target_scale_, scaler.scale_, rtol=1e-13)
    present = WEIGHTS > 0
    other = regressor(scale_target=True).fit(X[present], Y[present], WEIGHTS[present])
    assert_same_network(model, other)
    both(Y, weights=WEIGHTS)
    both(POSITIVE, weights=WEIGHTS, loss="poisson")


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_several_targets_are_scaled_each_by_its_own(solver):
    model, by_hand = both(TWO, solver=solver, max_iter=100)
    scaler = StandardScaler().fit(TWO)
    assert_allclose(model.target_scale_, scaler.scale_, rtol=1e-13)
    assert_array_equal(
        model.predict(X), by_hand.predict(X) * model.target_scale_ + model.target_mean_
    )
    assert_allclose(
        r2_score(TWO, model.predict(X), multioutput="raw_values"),
        r2_score(scaled(model, TWO), by_hand.predict(X), multioutput="raw_values"),
        rtol=1e-9,
    )


def test_quantiles_and_their_score():
    levels = [0.1, 0.5, 0.9]
    model, by_hand = both(Y, loss="quantile", quantile=levels, max_iter=50)
    q = model.predict(X)
    assert q.shape == (200, 3)
    assert np.all(np.diff(q, axis=1) > 0)
    assert_array_equal(q, by_hand.predict(X) * model.target_scale_ + model.target_mean_)
    assert_allclose(model.score(X, Y), by_hand.score(X, scaled(model, Y)), rtol=1e-9)
    assert_array_equal(model.target_mean_.shape, (1,))


def test_standard_deviations_are_in_units_of_y():
    for y in (Y, TWO):
        model, by_hand = both(y, loss="gaussian_nll")
        for part, other, shift in zip(
            model.predict(X, return_std=True),
            by_hand.predict(X, return_std=True),
            (model.target_mean_, 0.0),
            strict=True,
        ):
            assert part.shape == y.shape
            assert_array_equal(part, other * model.target_scale_ + shift)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_score_is_that_of_the_units_of_y(weights):
    model, by_hand = both(Y, max_iter=60)
    expected = r2_score(Y, model.predict(X), sample_weight=weights)
    assert model.score(X, Y, weights) == expected
    assert_allclose(expected, by_hand.score(X, scaled(model, Y), weights), rtol=1e-9)


@pytest.mark.parametrize("scoring", [None, "loss", "neg_mean_absolute_error"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("stops", [True, False])
def test_validation_data_are_in_units_of_y(scoring, solver, stops):
    parameters = {
        "scoring": scoring,
        "solver": solver,
        "early_stopping": stops,
        "max_iter": 40,
    }
    train, held_out = slice(150), slice(150, None)
    model = regressor(scale_target=True, **parameters)
    model.fit(X[train], Y[train], X_val=X[held_out], y_val=Y[held_out])
    by_hand = regressor(**parameters)
    t = scaled(model, Y)
    by_hand.fit(X[train], t[train], X_val=X[held_out], y_val=t[held_out])
    assert_same_network(model, by_hand)
    assert model.best_iter_ == by_hand.best_iter_
    assert_array_equal(model.validation_loss_curve_, by_hand.validation_loss_curve_)
    unit = model.target_scale_[0] if scoring == "neg_mean_absolute_error" else 1.0
    assert_allclose(
        model.validation_scores_, np.array(by_hand.validation_scores_) * unit, rtol=1e-9
    )
    if scoring == "loss":
        return
    score = model.score(X[held_out], Y[held_out])
    if scoring is not None:
        score = -mean_absolute_error(Y[held_out], model.predict(X[held_out]))
    if stops:
        assert_allclose(model.best_validation_score_, score, rtol=1e-9)
    else:
        assert_allclose(model.validation_scores_[-1], score, rtol=1e-9)


def test_scorers_of_ones_own_see_the_units_of_y():
    seen = []

    def scorer(estimator, x, y):
        seen.append((np.mean(y), np.mean(estimator.predict(x))))
        return 0.0

    regressor(scale_target=True, scoring=scorer, early_stopping=True).fit(X, Y)
    means, predicted = np.transpose(seen)
    assert_allclose(means, 5000, rtol=0.1)
    assert_allclose(predicted, 5000, rtol=0.1)


def test_a_split_of_its_own_stops_where_it_does_by_hand():
    model, by_hand = both(Y, early_stopping=True, max_iter=100)
    assert model.best_iter_ == by_hand.best_iter_
    assert_allclose(model.validation_scores_, by_hand.validation_scores_, rtol=1e-9)


def test_partial_fit_keeps_the_scale_of_the_first_call():
    model = regressor(scale_target=True)
    model.partial_fit(X[:50], Y[:50])
    mean, scale = model.target_mean_, model.target_scale_
    assert_allclose([mean[0], scale[0]], [Y[:50].mean(), Y[:50].std()], rtol=1e-13)
    by_hand = regressor().partial_fit(X[:50], scaled(model, Y[:50]))
    for start in (50, 100, 150):
        rows = slice(start, start + 50)
        model.partial_fit(X[rows], Y[rows], X_val=X, y_val=Y)
        t = scaled(model, Y)
        by_hand.partial_fit(X[rows], t[rows], X_val=X, y_val=t)
    assert_array_equal(model.target_scale_, scale)
    assert_array_equal(model.target_mean_, mean)
    assert_same_network(model, by_hand)
    assert_array_equal(model.predict(X), by_hand.predict(X) * scale + mean)
    assert_allclose(model.validation_scores_[-1], model.score(X, Y), rtol=1e-9)


def test_a_first_chunk_without_a_scale_is_warned_of():
    one_row = {"X": X[:1], "y": Y[:1]}
    with pytest.warns(UserWarning, match="y is constant in the first call") as caught:
        model = regressor(scale_target=True).partial_fit(**one_row)
    assert caught[0].filename == __file__
    columns = np.column_stack([Y, np.ones(200)])
    with pytest.warns(UserWarning, match="Column 1 of y is constant"):
        regressor(scale_target=True).partial_fit(X, columns)
    model.partial_fit(**one_row)
    regressor().partial_fit(**one_row)
    regressor("poisson", scale_target=True).partial_fit(**one_row)


def test_warm_start_keeps_the_scale_of_the_first_fit():
    model = regressor(scale_target=True, warm_start=True).fit(X, Y)
    by_hand = regressor(warm_start=True).fit(X, scaled(model, Y))
    other = 2 * Y + 100
    before = model.target_mean_, model.target_scale_
    model.fit(X, other)
    assert_array_equal((model.target_mean_, model.target_scale_), before)
    assert_same_network(model, by_hand.fit(X, scaled(model, other)))
    # Without it each fit has its own.
    model.set_params(warm_start=False).fit(X, other)
    assert_allclose(model.target_mean_, 2 * before[0] + 100, rtol=1e-12)


def test_a_kept_scale_refuses_another_kind_of_target():
    model = regressor(scale_target=True, warm_start=True).fit(X, POSITIVE)
    for change in (
        {"scale_target": False},
        {"loss": "poisson"},
        {"out_activation": "softplus"},
        {"out_activation": "tanh"},
    ):
        other = pickle.loads(pickle.dumps(model)).set_params(**change)
        before = other.predict(X)
        for fit in (other.fit, other.partial_fit):
            with pytest.raises(ValueError, match="scale_target"):
                fit(X, POSITIVE)
        assert_array_equal(other.predict(X), before)
    plain = regressor(warm_start=True).fit(X, POSITIVE).set_params(scale_target=True)
    with pytest.raises(ValueError, match="scale_target=False, but now it is True"):
        plain.fit(X, POSITIVE)
    # Only divided, it may be centered on nothing.
    divided = regressor("poisson", scale_target=True, warm_start=True).fit(X, POSITIVE)
    divided.set_params(loss="squared_error").fit(X, POSITIVE)
    assert_array_equal(divided.target_mean_, [0.0])


def test_resume_goes_on_bit_for_bit():
    whole = regressor(scale_target=True, max_iter=30, early_stopping=True).fit(X, Y)
    parts = regressor(scale_target=True, max_iter=12, early_stopping=True).fit(X, Y)
    parts = pickle.loads(pickle.dumps(parts)).resume(X, Y, max_iter=30)
    assert_same_network(whole, parts)
    assert_array_equal(whole.predict(X), parts.predict(X))


def test_copies_predict_the_same(tmp_path):
    model = regressor("gaussian_nll", scale_target=True).fit(X, TWO)
    joblib.dump(model, tmp_path / "model")
    joblib.dump(model, buffer := io.BytesIO())
    buffer.seek(0)
    copies = [
        pickle.loads(pickle.dumps(model)),
        joblib.load(tmp_path / "model", mmap_mode="r"),
        joblib.load(buffer),
    ]
    for copy in copies:
        for part, expected in zip(
            copy.predict(X, return_std=True),
            model.predict(X, return_std=True),
            strict=True,
        ):
            assert_array_equal(part, expected)
    assert clone(model).scale_target is True
    assert not hasattr(clone(model), "target_scale_")
    assert model.get_params()["scale_target"] is True


def test_the_fitted_scale_counts_not_the_parameter():
    model = regressor(scale_target=True).fit(X, Y)
    before, table = model.predict(X), str(skmlp.diagnose(model, X, Y))
    model.set_params(scale_target=False)
    assert_array_equal(model.predict(X), before)
    assert str(skmlp.diagnose(model, X, Y)) == table


def test_diagnose_takes_y_in_its_units():
    model, by_hand = both(TWO)
    ours = skmlp.diagnose(model, X, TWO, WEIGHTS)
    theirs = skmlp.diagnose(by_hand, X, scaled(model, TWO), WEIGHTS)
    assert str(ours) == str(theirs)
    assert ours.output_gradient == theirs.output_gradient
    with pytest.raises(ValueError, match="y has 1 columns"):
        skmlp.diagnose(model, X, Y)


def test_a_failed_fit_leaves_the_scale_as_it_was():
    model = regressor(scale_target=True).fit(X, Y)
    before, mean, scale = model.predict(X), model.target_mean_, model.target_scale_
    for parameters, y in (
        ({"loss": "poisson"}, -Y),
        ({"learning_rate_init": 1e300, "solver": "sgd"}, 2 * Y),
        ({"out_activation": "tanh"}, Y),
    ):
        model.set_params(**parameters)
        with pytest.raises(ValueError):  # noqa: PT011
            model.fit(X, y)
        assert model.target_mean_ is mean
        assert model.target_scale_ is scale
        model.set_params(**regressor(scale_target=True).get_params())
        assert_array_equal(model.predict(X), before)
    first = regressor("poisson", scale_target=True)
    with pytest.raises(ValueError, match="needs y >= 0, but the smallest y is -5"):
        first.fit(X, -Y)
    assert not hasattr(first, "target_scale_")
    assert not hasattr(first, "target_mean_")


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e9, 1e300])
def test_a_constant_target_is_not_divided(value):
    model = regressor(scale_target=True, solver="lbfgs", max_iter=50)
    model.fit(X, np.full(200, value))
    assert_array_equal(model.target_mean_, [value])
    assert_array_equal(model.target_scale_, [1.0])
    assert_allclose(model.predict(X), value, atol=0.2)


def test_a_target_that_is_constant_but_for_rounding_is_not_divided():
    y = np.where(np.arange(200) % 2, 0.1 + 0.2, 0.3)
    assert np.ptp(y) > 0
    both_columns = np.column_stack([y, Y])
    model = regressor(scale_target=True).fit(X, both_columns)
    assert_array_equal(model.target_scale_[0], 1.0)
    single = y.astype(np.float32)
    single[::2] = np.nextafter(single[1], np.float32(1))
    assert_array_equal(regressor(scale_target=True).fit(X, single).target_scale_, [1.0])
    # One more digit, and it is a target.
    assert_allclose(
        regressor(scale_target=True).fit(X, 1.0 + 1e-12 * T).target_scale_,
        1e-12 * T.std(),
        rtol=1e-2,
    )


@pytest.mark.parametrize("loss", ["poisson", "tweedie"])
def test_a_target_of_zeros_is_not_divided(loss):
    model = regressor(loss, scale_target=True).fit(X, np.zeros(200))
    assert_array_equal(model.target_scale_, [1.0])


@pytest.mark.parametrize("size", [1e-300, 1e-40, 1.0, 1e40, 1e150, 1e300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_size_does_not_matter(size, dtype):
    model = regressor(scale_target=True, dtype=dtype, max_iter=50).fit(X, size * T)
    expected = regressor(scale_target=True, dtype=dtype, max_iter=50).fit(X, T)
    assert_allclose(model.predict(X) / size, expected.predict(X), rtol=1e-4, atol=1e-6)
    counts = regressor("gamma", scale_target=True, dtype=dtype).fit(X, size * np.exp(T))
    assert np.all(np.isfinite(counts.predict(X)))
    assert np.all(counts.predict(X) > 0)


def test_single_precision_keeps_the_spread_of_a_large_target():
    y = 1e9 + T
    model = regressor(scale_target=True, dtype="float32", learning_rate_init=0.1)
    model.fit(X.astype(np.float32), y)
    assert model.coefs_[0].dtype == np.float32
    assert model.predict(X).dtype == np.float64
    small = clone(model).fit(X.astype(np.float32), T)
    assert_allclose(model.score(X, y), small.score(X, T), rtol=1e-3)
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, bool, object])
def test_y_of_other_types(dtype):
    y = np.round(100 + 30 * T).clip(0, 200).astype(np.int64).astype(dtype)
    expected = regressor(scale_target=True).fit(X, y.astype(np.float64))
    model = regressor(scale_target=True).fit(X, y)
    assert_same_network(model, expected)
    assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("factor", [0.25, 2.0**40, 1 / 3, 1e-7, 12345.678])
@pytest.mark.parametrize("shift", [0.0, -1.0, 1e3])
def test_predictions_follow_a_change_of_units(solver, factor, shift):
    model = regressor(scale_target=True, solver=solver).fit(X, T)
    other = regressor(scale_target=True, solver=solver)
    other.fit(X, factor * T + shift * factor)
    assert_allclose(
        other.predict(X) / factor - shift, model.predict(X), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
def test_predictions_of_amounts_follow_a_change_of_units(loss):
    model = regressor(loss, scale_target=True).fit(X, POSITIVE)
    other = regressor(loss, scale_target=True).fit(X, POSITIVE / 1000)
    assert_allclose(other.predict(X) * 1000, model.predict(X), rtol=1e-9)


def test_units_of_losses_are_those_of_the_scaled_target():
    both(Y, loss="huber", delta=0.1)


def test_off_by_default_and_the_classifier_has_no_such_parameter():
    assert MLPRegressor().scale_target is False
    assert "scale_target" not in MLPClassifier().get_params()
    with pytest.raises(ValueError, match="'scale_target' parameter"):
        regressor(scale_target="yes").fit(X, Y)


def test_in_a_pipeline_and_a_search():
    pipeline = make_pipeline(
        StandardScaler(), regressor(max_iter=60, learning_rate_init=0.01)
    )
    search = GridSearchCV(
        pipeline,
        {"mlpregressor__scale_target": [False, True]},
        scoring=make_scorer(mean_absolute_error, greater_is_better=False),
        cv=3,
    ).fit(X, Y)
    assert search.best_params_ == {"mlpregressor__scale_target": True}
    assert -search.best_score_ < 200
    predicted = cross_val_predict(search.best_estimator_, X, Y, cv=3)
    assert r2_score(Y, predicted) > 0.5
    network = regressor(scale_target=True, max_iter=60)
    bag = BaggingRegressor(network, 3, random_state=0).fit(X, Y)
    # Without the scale it would be thousands off.
    assert abs(bag.predict(X).mean() - Y.mean()) < Y.std()


def test_inside_of_a_transformed_target_regressor():
    inner = regressor(scale_target=True, learning_rate_init=0.1)
    model = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
    model.fit(X, POSITIVE)
    assert r2_score(np.log(POSITIVE), np.log(model.predict(X))) > 0.5
    assert_allclose(model.regressor_.target_mean_, [np.log(POSITIVE).mean()])


def test_it_does_what_a_transformed_target_regressor_does():
    ours = regressor(scale_target=True).fit(X, Y)
    theirs = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    assert_allclose(ours.predict(X), theirs.fit(X, Y).predict(X), rtol=1e-9)


def test_initial_weights_are_those_of_the_scaled_target():
    start = regressor(max_iter=1).fit(X, T)
    parts = [c.copy() for c in start.coefs_], [b.copy() for b in start.intercepts_]
    both(Y, weight_init=parts)


def test_other_columns_are_refused():
    model = regressor(scale_target=True, warm_start=True).fit(X, TWO)
    with pytest.raises(ValueError, match="the targets' columns must stay"):
        model.fit(X, Y)
    with pytest.raises(ValueError, match="In y_val: 1 columns, but y has 2"):
        model.fit(X, TWO, X_val=X, y_val=Y)


def test_a_scaled_target_makes_a_good_fit_of_a_poor_one():
    with pytest.warns(PoorFitWarning, match="scale_target=True"):
        MLPRegressor(random_state=0).fit(X, 1e6 + 1e5 * T)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorFitWarning)
        model = MLPRegressor(random_state=0, scale_target=True)
        assert model.fit(X, 1e6 + 1e5 * T).score(X, 1e6 + 1e5 * T) > 0.8
        regressor(scale_target=True).fit(X, np.full(200, 7.0))


def of_validation(y, y_val, **parameters):
    """The warnings about validation data of a fit."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        regressor(max_iter=2, **parameters).fit(X, y, X_val=X, y_val=y_val)
    return [str(w.message) for w in caught if w.category is ValidationWarning]


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize(
    ("y", "y_val"),
    [
        (Y, (Y - Y.mean()) / Y.std()),
        ((Y - Y.mean()) / Y.std(), Y),
        (1e3 * T, T),
        (TWO, (TWO - TWO.mean(axis=0)) / TWO.std(axis=0)),
        (2e5 * np.exp(T), T),
    ],
)
def test_a_y_val_of_other_units_is_warned_of(scale, y, y_val):
    (text,) = of_validation(y, y_val, scale_target=scale)
    assert "y_val" in text
    assert "scale_target=True scales both" in text


def test_ranges_of_y_val_are_said_in_its_units():
    (text,) = of_validation(Y, 10 * Y, scale_target=True)
    assert "median 5.01e+04, in training from 4.57e+03" in text


@pytest.mark.parametrize("scale", [False, True])
def test_a_y_val_of_the_same_units_is_silent(scale):
    for y in (Y, T, 1e3 * T, POSITIVE, np.exp(3 * T), np.full(200, 5.0), TWO):
        assert of_validation(y, y, scale_target=scale) == []
        shifted = y + 0.5 * np.ptp(y, axis=0)
        assert of_validation(y, shifted, scale_target=scale) == []
