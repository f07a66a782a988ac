"""Every deliberate difference from scikit-learn, with scikit-learn's behavior beside.

A test stands for a row of the tables in ``docs/differences.md`` and shows both sides.
Where scikit-learn's half of a test fails, scikit-learn has changed: the row then says
something that is no longer true.
"""

import inspect
import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn import calibration, neural_network, pipeline, preprocessing
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

import skmlp
from skmlp.exceptions import ValidationWarning

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N_SAMPLES = 60
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
NOT_FINITE = "non-finite parameter weights"

SkClassifier = neural_network.MLPClassifier
SkRegressor = neural_network.MLPRegressor
OurClassifier = skmlp.MLPClassifier
OurRegressor = skmlp.MLPRegressor


@pytest.fixture
def data():
    """X, labels of two classes, and numbers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, 5))
    return X, (X[:, 0] > 0).astype(int), X[:, 0] + rng.normal(size=N_SAMPLES)


def copies(estimator):
    return [part.copy() for part in (*estimator.coefs_, *estimator.intercepts_)]


def same(parts, others):
    return all(
        np.array_equal(part, other) for part, other in zip(parts, others, strict=True)
    )


def test_the_page_cites_every_test_and_no_other():
    page = Path(__file__).parents[2] / "docs" / "differences.md"
    cited = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")}
    cited.discard("test_differences")
    assert cited == here - {"test_the_page_cites_every_test_and_no_other"}


# Weights


def test_warnings_can_be_turned_off(data):
    X, y, _ = data
    huge = X * 1e6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = SkClassifier(max_iter=20, random_state=0).fit(huge, y)
        ours = OurClassifier(max_iter=20, random_state=0)
        with pytest.raises(skmlp.exceptions.PoorFitWarning):
            ours.fit(huge, y)
        assert not hasattr(ours, "coefs_")
        # The line of the page.
        for name in ("PoorFit", "DeadUnits", "Validation", "IneffectiveParameter"):
            category = getattr(skmlp.exceptions, name + "Warning")
            warnings.simplefilter("ignore", category)
        ours.fit(huge, y)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0])


def test_numbers_can_be_had_back(data):
    X, labels, _ = data
    Y = np.column_stack([X[:, 0] ** 2, X[:, 1], X[:, 2]])
    parameters = {"max_iter": 1000, "random_state": 0}
    theirs = SkRegressor(**parameters).fit(X, Y)
    assert OurRegressor(**parameters).fit(X, Y).n_iter_ != theirs.n_iter_
    ours = OurRegressor(tol=1e-4 * Y.shape[1], **parameters).fit(X, Y)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0])
    weights = np.linspace(0.1, 2.0, N_SAMPLES)
    theirs, ours = (
        estimator(batch_size=len(X), **SMALL).fit(X, labels, sample_weight=weights)
        for estimator in (SkClassifier, OurClassifier)
    )
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0])


class WithoutDecisionFunction(OurClassifier):
    decision_function = property()


def test_decision_function_can_be_hidden(data):
    X = data[0]
    y = np.digitize(X[:, 0], [-0.5, 0.5])

    def calibrated(estimator):
        # A pipeline has the method if its last step has it.
        scaler = preprocessing.StandardScaler()
        model = pipeline.make_pipeline(scaler, estimator(**SMALL))
        model = calibration.CalibratedClassifierCV(model, cv=3)
        return model.fit(X, y).predict_proba(X)

    theirs, hidden, ours = map(
        calibrated, (SkClassifier, WithoutDecisionFunction, OurClassifier)
    )
    np.testing.assert_allclose(hidden, theirs, atol=1e-6)
    assert not np.allclose(ours, theirs, atol=1e-3)


def one_epoch(estimator, X, y, weights, batch_size):
    """Change of the weights in one epoch of plain descent, in units of the rate."""
    rate = 1e-7
    model = estimator(
        hidden_layer_sizes=(),
        solver="sgd",
        momentum=0.0,
        alpha=0.0,
        learning_rate_init=rate,
        batch_size=batch_size,
        shuffle=False,
        max_iter=1,
        random_state=0,
        warm_start=True,
    ).fit(X, y, sample_weight=weights)
    before = model.coefs_[0].copy()
    model.fit(X, y, sample_weight=weights)
    return (model.coefs_[0] - before) / rate


def test_minibatch_weights_are_unbiased(data):
    X, _, y = data
    X, y = X[:6], y[:6]
    weights = np.array([100.0, 100.0, 100.0, 1.0, 1.0, 1.0])
    # The mean step over the two minibatches should be the step of the whole set.
    whole = one_epoch(SkRegressor, X, y, weights, 6)
    unweighted = one_epoch(SkRegressor, X, y, None, 6)
    theirs = one_epoch(SkRegressor, X, y, weights, 3) / 2
    ours = one_epoch(OurRegressor, X, y, weights, 3) / 2
    np.testing.assert_allclose(theirs, unweighted, rtol=1e-5)
    np.testing.assert_allclose(ours, whole, rtol=1e-5)
    assert not np.allclose(unweighted, whole, rtol=0.1)


def test_rows_of_weight_zero_take_no_part(data):
    X, y, _ = data
    weights = np.zeros(N_SAMPLES)
    weights[:12] = 1.0
    with pytest.raises(ZeroDivisionError):
        SkClassifier(batch_size=5, **SMALL).fit(X, y, sample_weight=weights)
    ours = OurClassifier(batch_size=5, **SMALL).fit(X, y, sample_weight=weights)
    without = OurClassifier(batch_size=5, **SMALL).fit(X[:12], y[:12])
    assert same(copies(ours), copies(without))
    assert ours.t_ == 4 * 12


def test_negative_weights_are_an_error(data):
    X, y, _ = data
    weights = np.ones(N_SAMPLES)
    weights[0] = -1.0
    SkClassifier(**SMALL).fit(X, y, sample_weight=weights)
    with pytest.raises(ValueError, match="Negative values"):
        OurClassifier(**SMALL).fit(X, y, sample_weight=weights)


def test_class_weight_is_a_parameter(data):
    X, _, _ = data
    y = (X[:, 0] > 1.0).astype(int)
    with pytest.raises(TypeError, match="class_weight"):
        SkClassifier(class_weight="balanced")
    ours = OurClassifier(class_weight="balanced", **SMALL).fit(X, y)
    by_hand = OurClassifier(**SMALL).fit(
        X, y, sample_weight=compute_sample_weight("balanced", y)
    )
    assert same(copies(ours), copies(by_hand))
    assert not same(copies(ours), copies(OurClassifier(**SMALL).fit(X, y)))
    # One chunk cannot tell the shares of the classes in all of them.
    with pytest.raises(ValueError, match="not supported for partial_fit"):
        OurClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_rows_can_be_drawn(data):
    X, _, _ = data
    y = (X[:, 0] > 1.0).astype(int)
    with pytest.raises(TypeError, match="sampling"):
        SkClassifier(sampling="balanced")
    plain = OurClassifier(**SMALL).fit(X, y)
    for sampling in ("balanced", "weights"):
        drawn = OurClassifier(sampling=sampling, **SMALL).fit(X, y)
        assert not same(copies(plain), copies(drawn))


def test_decisions_and_probabilities_can_be_adjusted(data):
    X, _, _ = data
    y = (X[:, 0] > 1.0).astype(int)
    for model in (SkClassifier(**SMALL), OurClassifier(**SMALL)):
        likely = model.fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(model.predict(X), likely[:, 1] > 0.5)
    model = OurClassifier(logit_adjustment=1.0, **SMALL).fit(X, y)
    likely = model.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(model.predict(X), likely > y.mean())
    model = OurClassifier(prior="uniform", **SMALL).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X)[:, 1] > 0.5)


# Losses and probabilities


def outputs_of_several_scales(X):
    rng = np.random.default_rng(1)
    scales = np.arange(1.0, 7.0)
    return X @ rng.normal(size=(X.shape[1], 6)) * scales + rng.normal(size=(len(X), 6))


@pytest.mark.parametrize("n_outputs", [1, 2, 6])
def test_loss_of_several_outputs_is_summed(data, n_outputs):
    X = data[0]
    Y = outputs_of_several_scales(X)[:, :n_outputs].squeeze()
    parameters = {**SMALL, "alpha": 0.0, "tol": 0.0}
    theirs, ours = (
        estimator(**parameters).fit(X, Y) for estimator in (SkRegressor, OurRegressor)
    )
    np.testing.assert_allclose(
        ours.loss_curve_, np.multiply(theirs.loss_curve_, n_outputs), rtol=1e-10
    )
    # The gradient is the sum's in both.
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-6)


def test_lbfgs_converges_with_several_outputs(data):
    X = data[0]
    Y = outputs_of_several_scales(X)

    def ends(estimator):
        """How the fits of some seeds ended: (score, whether the line search failed)."""
        for seed in range(4):
            model = estimator(
                hidden_layer_sizes=(10,),
                activation="tanh",
                solver="lbfgs",
                alpha=1.0,
                max_iter=5000,
                random_state=seed,
            )
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.fit(X, Y)
            yield model.score(X, Y), any("ABNORMAL" in str(w.message) for w in caught)

    theirs, ours = list(ends(SkRegressor)), list(ends(OurRegressor))
    assert not any(failed for _, failed in ours)
    # In which seeds it fails, and where, is a matter of rounding.
    assert any(failed for _, failed in theirs)
    for (score, failed), (own_score, _) in zip(theirs, ours, strict=True):
        assert not failed or own_score > score


def wrong_and_sure(estimator, X, logit):
    """A linear model of two classes whose logits are wrong by that much."""
    X, y = np.zeros((4, X.shape[1])), np.array([0, 0, 0, 1])
    model = estimator(
        hidden_layer_sizes=(),
        alpha=0.0,
        learning_rate_init=1e-12,
        max_iter=1,
        warm_start=True,
        random_state=0,
    ).fit(X, y)
    model.coefs_[0][:] = 0.0
    model.intercepts_[0][:] = logit
    return model, X, y


def test_loss_is_not_clipped(data):
    theirs, X, y = wrong_and_sure(SkClassifier, data[0], 100.0)
    ours, _, _ = wrong_and_sure(OurClassifier, data[0], 100.0)
    exact = 0.75 * 100.0
    eps = np.finfo(np.float64).eps
    assert theirs.fit(X, y).loss_ == pytest.approx(-0.75 * np.log(eps))
    assert ours.fit(X, y).loss_ == pytest.approx(exact)


def test_poisson_deviance_is_not_of_rounded_means(data):
    X, y = np.zeros((4, data[0].shape[1])), np.ones(4)

    def loss(estimator):
        model = estimator(
            "poisson",
            hidden_layer_sizes=(),
            alpha=0.0,
            learning_rate_init=1e-12,
            max_iter=1,
            warm_start=True,
            random_state=0,
        ).fit(X, y)
        model.coefs_[0][:] = 0.0
        model.intercepts_[0][:] = -1000.0
        return model.fit(X, y).loss_

    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert loss(SkRegressor) == np.inf
    assert loss(OurRegressor) == pytest.approx(1000.0 - 1.0)


def test_log_probabilities_are_exact_in_the_tails(data):
    theirs, X, _ = wrong_and_sure(SkClassifier, data[0], 1000.0)
    ours, _, _ = wrong_and_sure(OurClassifier, data[0], 1000.0)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        clipped = theirs.predict_log_proba(X)
    np.testing.assert_array_equal(clipped[:, 0], -np.inf)
    np.testing.assert_array_equal(ours.predict_log_proba(X)[:, 0], -1000.0)


def test_labels_are_decided_by_logits(data):
    theirs, X, _ = wrong_and_sure(SkClassifier, data[0], 1e-20)
    ours, _, _ = wrong_and_sure(OurClassifier, data[0], 1e-20)
    for model in (theirs, ours):
        np.testing.assert_array_equal(model.predict_proba(X), 0.5)
    np.testing.assert_array_equal(theirs.predict(X), 0)
    np.testing.assert_array_equal(ours.predict(X), 1)


def test_decision_function_is_the_log_odds(data):
    X, y, _ = data
    assert not hasattr(SkClassifier(), "decision_function")
    ours = OurClassifier(**SMALL).fit(X, y)
    logits = ours.decision_function(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), ours.predict_proba(X)[:, 1])
    ours = OurClassifier(**SMALL).fit(X, np.arange(N_SAMPLES) % 3)
    odds = ours.decision_function(X)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), ours.predict_proba(X))


def test_one_class_has_one_column(data):
    X = data[0]
    y = np.full(N_SAMPLES, 7)
    theirs = SkClassifier(**SMALL).fit(X, y)
    ours = OurClassifier(**SMALL).fit(X, y)
    assert len(theirs.classes_) == len(ours.classes_) == 1
    assert theirs.predict_proba(X).shape == (N_SAMPLES, 2)
    np.testing.assert_array_equal(ours.predict_proba(X), np.ones((N_SAMPLES, 1)))
    np.testing.assert_array_equal(ours.predict_log_proba(X), np.zeros((N_SAMPLES, 1)))
    np.testing.assert_array_equal(ours.predict(X), y)


def test_columns_of_classes_are_learned(data):
    X, labels, _ = data
    y = np.column_stack([labels, labels[::-1] + 2])
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        SkClassifier(**SMALL).fit(X, y)
    model = OurClassifier(**SMALL).fit(X, y)
    assert [len(classes) for classes in model.classes_] == [
        len(np.unique(column)) for column in y.T
    ]
    assert model.predict(X).shape == y.shape


def test_minus_one_is_no_label(data):
    X, _, numbers = data
    y = np.sign(np.column_stack([numbers - numbers.mean(), X[:, 0]])).astype(int)
    settings = {**SMALL, "solver": "lbfgs", "max_iter": 200}
    assert np.all(SkClassifier(**settings).fit(X, y).predict(X) == 1)
    assert np.mean(OurClassifier(**settings).fit(X, y).predict(X) == y) > 0.9


def test_poisson_refuses_negative_targets(data):
    X, _, y = data
    theirs = SkRegressor("poisson", **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs.fit(X, y)
    assert np.isnan(theirs.loss_)
    with pytest.raises(ValueError, match="needs y >= 0"):
        OurRegressor("poisson", **SMALL).fit(X, y)


# Early stopping


def shares_of_the_first_class(estimator, X, y):
    """What the first class's share of each validation set was, over ten seeds.

    A model that answers the first class whatever it is asked has that share as its
    validation score.
    """
    shares = []
    for seed in range(10):
        model = estimator(
            hidden_layer_sizes=(),
            learning_rate_init=1e-12,
            alpha=0.0,
            early_stopping=True,
            validation_fraction=0.2,
            max_iter=1,
            warm_start=True,
            random_state=seed,
        ).fit(X, y)
        model.coefs_[0][:] = 0.0
        model.intercepts_[0][:] = [100.0, 0.0, 0.0]
        shares.append(model.fit(X, y).validation_scores_[-1])
    return np.array(shares)


def test_multiclass_early_stopping_is_stratified(data):
    X = data[0]
    y = np.repeat([0, 1, 2], [30, 20, 10])
    theirs = shares_of_the_first_class(SkClassifier, X, y)
    ours = shares_of_the_first_class(OurClassifier, X, y)
    assert theirs.std() > 0
    np.testing.assert_array_equal(ours, 0.5)


def test_rare_classes_are_trained_on(data):
    X = data[0]
    y = np.arange(60) == 59
    parameters = {**SMALL, "early_stopping": True}
    with pytest.raises(ValueError, match="least populated class"):
        SkClassifier(**parameters).fit(X, y)
    assert OurClassifier(**parameters).fit(X, y).best_iter_ >= 1


def test_whole_rows_are_warned_of(data):
    X = data[0]
    y = (X[:, :3] > 0).astype(int)
    parameters = {**SMALL, "early_stopping": True}
    theirs = SkClassifier(**parameters).fit(X, y)
    with pytest.warns(ValidationWarning, match="scoring='loss'"):
        ours = OurClassifier(**parameters).fit(X, y)
    assert ours.validation_scores_ == theirs.validation_scores_


def test_resume_goes_on(data):
    X, y = data[0], data[0][:, 0]
    parameters = {**SMALL, "random_state": 0}
    assert not hasattr(SkRegressor(), "resume")
    whole = OurRegressor(**{**parameters, "max_iter": 9}).fit(X, y)
    parts = OurRegressor(**{**parameters, "max_iter": 4}).fit(X, y)
    parts.resume(X, y, max_iter=9)
    assert parts.loss_curve_ == whole.loss_curve_


def test_chunks_lack_classes_with_warm_start(data):
    X, y = data[0], np.arange(len(data[0])) % 3
    for kind in (SkClassifier, OurClassifier):
        model = kind(**{**SMALL, "warm_start": True}).fit(X, y)
        if kind is SkClassifier:
            with pytest.raises(ValueError, match="warm_start can only be used"):
                model.partial_fit(X[:1], y[:1])
        else:
            model.partial_fit(X[:1], y[:1])


def test_warm_start_after_early_stopping_keeps_the_best(data):
    X, y = data[0], data[0][:, 0]

    def best_and_last(estimator):
        model = estimator(
            solver="sgd",
            learning_rate_init=0.01,
            early_stopping=True,
            warm_start=True,
            hidden_layer_sizes=(),
            max_iter=40,
            n_iter_no_change=100,
            random_state=0,
        ).fit(X, y)
        best, score = copies(model), model.best_validation_score_
        # So large a rate makes everything worse than it was.
        model.set_params(learning_rate_init=2.0, max_iter=5).fit(X, y)
        assert score > max(model.validation_scores_[40:])
        assert model.best_validation_score_ == score
        return best, copies(model)

    assert not same(*best_and_last(SkRegressor))
    assert same(*best_and_last(OurRegressor))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"solver": "lbfgs"}, {"solver": "adam"}),
        ({"early_stopping": False}, {"early_stopping": True}),
        ({"early_stopping": True}, {"early_stopping": False}),
    ],
)
def test_warm_start_survives_another_way_to_train(data, before, after):
    X, _, y = data
    theirs = SkRegressor(warm_start=True, **before, **SMALL).fit(X, y)
    with pytest.raises((AttributeError, TypeError)):
        theirs.set_params(**after).fit(X, y)
    ours = OurRegressor(warm_start=True, **before, **SMALL).fit(X, y)
    first = copies(ours)
    ours.set_params(**after).fit(X, y)
    assert ours.n_iter_ == 4
    assert (ours.validation_scores_ is not None) == ours.early_stopping
    assert not same(first, copies(ours))


# Validation data


def test_validation_data_can_be_passed(data):
    X, y, numbers = data
    for theirs in (SkClassifier, SkRegressor):
        with pytest.raises(TypeError, match="X_val"):
            theirs().fit(X, y, X_val=X, y_val=y)
        with pytest.raises(TypeError, match="scoring"):
            theirs(scoring="loss")
    given = {"X_val": X[40:], "y_val": numbers[40:]}
    calls = []

    def never_better(estimator, X, y):
        calls.append(X)
        return 0.0

    stopping = {"early_stopping": True, "n_iter_no_change": 1, "scoring": never_better}
    for solver in ("adam", "lbfgs"):
        ours = OurRegressor(solver=solver, **SMALL)
        plain = clone(ours).fit(X[:40], numbers[:40])
        recorded = clone(ours).fit(X[:40], numbers[:40], **given)
        assert same(copies(plain), copies(recorded))
        assert plain.validation_scores_ is None
        assert len(recorded.validation_scores_) == plain.n_iter_ == 4
        # The first score is the best, and the next two are more than is tolerated.
        assert (
            ours.set_params(**stopping).fit(X[:40], numbers[:40], **given).n_iter_ == 3
        )
        assert ours.validation_scores_ == [0.0] * 3
    assert all(np.shares_memory(seen, X) for seen in calls)


def test_partial_fit_tells_when_to_stop(data):
    X, y, _ = data
    parameters = {**SMALL, "early_stopping": True, "tol": 1e9}
    theirs, ours = SkClassifier(**parameters), OurClassifier(**parameters)
    for model in (theirs, ours):
        with pytest.raises(ValueError, match="does not support early_stopping=True"):
            model.partial_fit(X, y, classes=[0, 1])
    counts = []
    for _ in range(3):
        ours.partial_fit(X, y, classes=[0, 1], X_val=X, y_val=y)
        counts.append(ours.no_improvement_count_)
    assert counts == [0, 1, 2]
    assert len(ours.validation_scores_) == 3
    best = int(np.argmax(ours.validation_scores_))
    epochs = OurClassifier(**SMALL)
    for _ in range(best + 1):
        epochs.partial_fit(X, y, classes=[0, 1])
    assert same([*ours.best_coefs_, *ours.best_intercepts_], copies(epochs))


def test_time_can_be_limited(data):
    X, _, y = data
    with pytest.raises(TypeError, match="max_time"):
        SkRegressor(max_time=1.0)
    endless = {**SMALL, "max_iter": 10**9, "n_iter_no_change": np.inf}
    with pytest.warns(ConvergenceWarning, match="Maximum time"):
        ours = OurRegressor(max_time=0.05, **endless).fit(X, y)
    assert ours.n_iter_ >= 1


# partial_fit and warm_start


def test_partial_fit_of_a_regressor_is_absent_with_lbfgs(data):
    X, _, y = data
    theirs = SkRegressor(solver="lbfgs", **SMALL)
    assert theirs.partial_fit(X, y).n_iter_ == 4
    assert not hasattr(OurRegressor(solver="lbfgs"), "partial_fit")
    for estimator in (SkClassifier, OurClassifier):
        assert not hasattr(estimator(solver="lbfgs"), "partial_fit")


def test_partial_fit_goes_on_with_its_generator(data):
    X, _, y = data

    def three_epochs(estimator, random_state):
        parameters = {**SMALL, "random_state": random_state, "batch_size": 7}
        model = estimator(**parameters)
        for _ in range(3):
            model.partial_fit(X, y)
        return copies(model)

    # A generator that is passed in goes on by itself.
    goes_on = np.random.RandomState
    assert not same(three_epochs(SkRegressor, 0), three_epochs(SkRegressor, goes_on(0)))
    assert same(three_epochs(OurRegressor, 0), three_epochs(OurRegressor, goes_on(0)))


def test_partial_fit_reads_random_state_once(data):
    X, _, y = data

    def with_another_seed(estimator, seed):
        model = estimator(batch_size=7, **SMALL).partial_fit(X, y)
        return copies(model.set_params(random_state=seed).partial_fit(X, y))

    theirs = [with_another_seed(SkRegressor, seed) for seed in (0, 5)]
    ours = [with_another_seed(OurRegressor, seed) for seed in (0, 5)]
    assert not same(*theirs)
    assert same(*ours)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_changed_layers_are_an_error(data, method):
    X, _, y = data

    def changed(estimator, sizes):
        model = estimator(warm_start=True, **SMALL).fit(X, y)
        return model.set_params(hidden_layer_sizes=sizes)

    theirs = changed(SkRegressor, (8,))
    getattr(theirs, method)(X, y)
    assert theirs.coefs_[0].shape == (5, 4)
    with pytest.raises((AttributeError, TypeError), match="NoneType"):
        getattr(changed(SkRegressor, (4, 4)), method)(X, y)
    for sizes in [(8,), (4, 4)]:
        with pytest.raises(ValueError, match="hidden_layer_sizes"):
            getattr(changed(OurRegressor, sizes), method)(X, y)


def test_changed_number_of_outputs_is_an_error(data):
    X, _, y = data
    Y = np.column_stack([y, y])
    # One column is broadcast against the network's two.
    theirs = SkRegressor(warm_start=True, **SMALL).fit(X, Y).fit(X, y)
    assert theirs.n_outputs_ == 1
    assert theirs.predict(X).shape == (N_SAMPLES, 2)
    with pytest.raises(ValueError, match="targets' columns must stay"):
        OurRegressor(warm_start=True, **SMALL).fit(X, Y).fit(X, y)


def test_warm_start_with_another_loss(data):
    X, _, y = data
    y = np.abs(y)

    def changed(estimator):
        model = estimator("squared_error", warm_start=True, **SMALL).fit(X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return model.set_params(loss="poisson").fit(X, y)

    theirs, ours = changed(SkRegressor), changed(OurRegressor)
    assert theirs.out_activation_ == "identity"
    assert np.isnan(theirs.loss_)
    assert ours.out_activation_ == "exp"
    assert np.isfinite(ours.loss_)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_memory_mapped_models_can_go_on(data, tmp_path, solver):
    X, _, y = data

    def mapped(estimator):
        path = tmp_path / f"{estimator.__module__}.joblib"
        joblib.dump(estimator(solver=solver, **SMALL).fit(X, y), path)
        return joblib.load(path, mmap_mode="r")

    with pytest.raises(ValueError, match="read-only"):
        mapped(SkRegressor).partial_fit(X, y)
    ours = mapped(OurRegressor)
    before = copies(ours)
    assert not same(before, copies(ours.partial_fit(X, y)))


# Precision


def test_lbfgs_keeps_single_precision(data):
    X, y, _ = data
    X = X.astype(np.float32)
    theirs, ours = (
        estimator(solver="lbfgs", **SMALL).fit(X, y)
        for estimator in (SkClassifier, OurClassifier)
    )
    assert theirs.coefs_[0].dtype == theirs.predict_proba(X).dtype == np.float64
    assert ours.coefs_[0].dtype == ours.predict_proba(X).dtype == np.float32


def test_moments_keep_single_precision(data):
    X, _, y = data
    theirs = SkRegressor(**SMALL).fit(X.astype(np.float32), y)
    ours = OurRegressor(**SMALL).fit(X.astype(np.float32), y)
    assert {moment.dtype for moment in theirs._optimizer.ms} == {np.dtype(np.float64)}
    assert ours._optimizer.slots.dtype == np.float32


def test_predictions_have_the_models_precision(data):
    X, _, y = data
    theirs = SkRegressor(**SMALL).fit(X.astype(np.float32), y)
    ours = OurRegressor(**SMALL).fit(X.astype(np.float32), y)
    assert theirs.coefs_[0].dtype == ours.coefs_[0].dtype == np.float32
    assert theirs.predict(X).dtype == np.float64
    assert ours.predict(X).dtype == np.float32
    np.testing.assert_array_equal(ours.predict(X), ours.predict(X.astype(np.float32)))


# Failures


def test_divergence_is_noticed_in_its_epoch(data, capsys):
    X, _, y = data

    def epochs(estimator):
        model = estimator(
            hidden_layer_sizes=(4,),
            solver="sgd",
            learning_rate_init=1e3,
            max_iter=30,
            verbose=True,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            with pytest.raises(ValueError, match=NOT_FINITE):
                model.fit(X, 1e6 * y)
        return capsys.readouterr().out.count("Iteration")

    assert epochs(SkRegressor) == 30
    assert epochs(OurRegressor) < 15


def test_training_gives_no_warnings_of_numpy(data):
    X, _, y = data

    def messages(estimator):
        model = estimator("poisson", solver="sgd", learning_rate_init=1e3, **SMALL)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(ValueError, match=NOT_FINITE):
                model.fit(X, abs(y))
        return [str(w.message) for w in caught if w.category is RuntimeWarning]

    assert any("overflow" in message for message in messages(SkRegressor))
    assert messages(OurRegressor) == []


def test_overflow_of_squared_gradients_is_an_error(data):
    X, y, _ = data
    theirs = SkClassifier(**SMALL)
    with pytest.warns(RuntimeWarning, match="overflow"):
        theirs.fit(1e300 * X, y)
    # The steps are finite numbers divided by infinity: nothing is learnt.
    start = SkClassifier(**{**SMALL, "max_iter": 1})
    with pytest.warns(RuntimeWarning, match="overflow"):
        start.fit(1e300 * X, y)
    np.testing.assert_array_equal(theirs.coefs_[0], start.coefs_[0])
    with pytest.raises(ValueError, match=NOT_FINITE):
        OurClassifier(**SMALL).fit(1e300 * X, y)


def diverge(model, X, y):
    model.set_params(solver="sgd", learning_rate_init=1e3, max_iter=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(ValueError, match=NOT_FINITE):
            model.fit(X, 1e6 * y)


@pytest.mark.parametrize("warm_start", [False, True])
def test_failed_fit_changes_nothing(data, warm_start):
    X, _, y = data

    def before_and_after(estimator):
        model = estimator(warm_start=warm_start, **SMALL).fit(X, y)
        before = copies(model), model.n_iter_, list(model.loss_curve_)
        diverge(model, X, y)
        return before, (copies(model), model.n_iter_, list(model.loss_curve_))

    (old, _, _), (new, _, _) = before_and_after(SkRegressor)
    assert not same(old, new)
    assert not all(np.isfinite(part).all() for part in new)
    (old, *old_course), (new, *new_course) = before_and_after(OurRegressor)
    assert same(old, new)
    assert old_course == new_course


def fitted_attributes(model):
    return set(vars(model)) - set(model.get_params()) - {"loss"}


def test_failed_first_fit_leaves_no_attributes(data):
    X, y, numbers = data
    theirs, ours = SkRegressor(**SMALL), OurRegressor(**SMALL)
    diverge(theirs, X, numbers)
    diverge(ours, X, numbers)
    assert "coefs_" in fitted_attributes(theirs)
    assert fitted_attributes(ours) == set()
    theirs, ours = SkClassifier(**SMALL), OurClassifier(**SMALL)
    for model in (theirs, ours):
        with pytest.raises(ValueError, match="classes not in"):
            model.partial_fit(X, y + 7, classes=[0, 1])
    assert "classes_" in fitted_attributes(theirs)
    assert fitted_attributes(ours) == set()


def test_masked_arrays_are_refused(data):
    X, y, numbers = data
    hidden = np.zeros(X.shape, dtype=bool)
    hidden[0] = True
    masked = np.ma.masked_array(np.where(hidden, 1e3, X), mask=hidden)
    theirs = SkClassifier(**SMALL).fit(masked, y)
    assert same(copies(theirs), copies(SkClassifier(**SMALL).fit(masked.data, y)))
    fitted = OurClassifier(**SMALL).fit(X, y)
    few = np.ma.masked_array(numbers, mask=hidden[:, 0])
    for refused in (
        lambda: OurClassifier(**SMALL).fit(masked, y),
        lambda: OurRegressor(**SMALL).fit(X, few),
        lambda: OurRegressor(**SMALL).fit(X, numbers, sample_weight=abs(few)),
        lambda: fitted.predict(masked),
    ):
        with pytest.raises(ValueError, match="masked array"):
            refused()
    # A mask that hides nothing does no harm.
    harmless = np.ma.masked_array(X, mask=np.zeros(X.shape, dtype=bool))
    assert same(copies(OurClassifier(**SMALL).fit(harmless, y)), copies(fitted))


def test_strings_are_refused_by_fit(data):
    X, y, _ = data
    words = X.astype(str)
    model = SkClassifier(**SMALL).fit(words, y)
    with pytest.raises(ValueError, match="not compatible with arrays of bytes/strings"):
        model.predict(words)
    with pytest.raises(ValueError, match="it holds strings"):
        OurClassifier(**SMALL).fit(words, y)
    with pytest.raises(ValueError, match="it holds strings"):
        OurClassifier(**SMALL).fit(X, y).predict(words)


def test_sizes_that_are_no_integers_are_a_value_error(data):
    X, y, _ = data
    parameters = {**SMALL, "hidden_layer_sizes": (4.5,)}
    with pytest.raises(TypeError):
        SkClassifier(**parameters).fit(X, y)
    with pytest.raises(ValueError, match="must be integers"):
        OurClassifier(**parameters).fit(X, y)


# The interface


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(SkClassifier, OurClassifier), (SkRegressor, OurRegressor)],
)
def test_parameters_are_added_at_the_end(theirs, ours):
    expected = inspect.signature(theirs).parameters
    actual = inspect.signature(ours).parameters
    assert list(actual)[: len(expected)] == list(expected)
    assert {"n_jobs", "dtype"} <= set(actual)
    for name in set(actual) - set(expected):
        assert actual[name].kind == inspect.Parameter.KEYWORD_ONLY
    for name, parameter in expected.items():
        assert actual[name].default == parameter.default
        assert actual[name].kind == parameter.kind


def public_attributes(model):
    return {name for name in vars(model) if re.fullmatch(r"[a-z]\w*_", name)}


def test_a_classifier_is_built_from_public_attributes(data):
    X, labels, _ = data
    built = {}
    for cls in (SkClassifier, OurClassifier):
        model, built[cls] = cls(**SMALL).fit(X, labels), cls(**SMALL)
        names = ["coefs_", "intercepts_", "classes_", "out_activation_"]
        for name in [*names, "n_layers_", "n_outputs_"]:
            setattr(built[cls], name, getattr(model, name))
    with pytest.raises(AttributeError, match="_label_binarizer"):
        built[SkClassifier].predict(X)
    assert np.array_equal(built[OurClassifier].predict(X), model.predict(X))


def test_attributes_are_added(data):
    X, labels, numbers = data
    added = {"history_", "validation_loss_curve_", "no_improvement_count_"}
    added |= {"device_", "best_iter_"}
    norms = {"norm_scales_", "norm_means_", "norm_variances_"}
    norms |= {"bin_edges_", "embedding_weights_"}
    for theirs, ours, y in (
        (SkClassifier, OurClassifier, labels),
        (SkRegressor, OurRegressor, numbers),
    ):
        expected = public_attributes(theirs(**SMALL).fit(X, y))
        model = ours(**SMALL).fit(X, y)
        scales = {"target_mean_", "target_scale_"}
        off = norms | (scales if y is numbers else {"class_shares_"})
        assert public_attributes(model) == expected | added | off
        assert all(getattr(model, name) is None for name in off)
        model.set_params(normalization="batch").fit(X, y)
        assert [len(scale) for scale in model.norm_scales_] == [4]


def test_a_fit_can_be_watched(data, capsys):
    X, labels, _ = data
    printed = {}
    for cls in (SkClassifier, OurClassifier):
        for verbose in (True, 2):
            cls(**{**SMALL, "verbose": verbose}).fit(X, labels)
            printed[cls, verbose] = capsys.readouterr().out
    assert not hasattr(SkClassifier(), "set_callbacks")
    lines = printed[SkClassifier, True].splitlines()
    assert len(lines) > 1
    # Losses agree to eight digits behind the point, but for their rounding.
    assert [line[:-2] for line in printed[OurClassifier, True].splitlines()] == [
        line[:-2] for line in lines
    ]
    assert printed[SkClassifier, 2] == printed[SkClassifier, True]
    assert "rows/s" in printed[OurClassifier, 2]


def test_the_target_can_be_scaled(data):
    X, _, numbers = data
    y = 1e4 + 100 * (numbers - numbers.mean()) / numbers.std()
    theirs = TransformedTargetRegressor(
        SkRegressor(**SMALL), transformer=StandardScaler()
    )
    assert "scale_target" not in SkRegressor().get_params()
    ours = OurRegressor(**SMALL, scale_target=True).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.fit(X, y).predict(X), rtol=1e-9)
    np.testing.assert_allclose(ours.target_mean_, theirs.transformer_.mean_)
    np.testing.assert_allclose(ours.target_scale_, theirs.transformer_.scale_)


def test_the_loss_of_the_classifier_is_a_parameter():
    assert SkClassifier().loss == OurClassifier().loss == "log_loss"
    assert "loss" not in SkClassifier().get_params()
    assert "loss" in OurClassifier().get_params()


def test_predictions_are_of_the_fitted_network(data):
    X, _, y = data
    theirs, ours = SkRegressor(**SMALL).fit(X, y), OurRegressor(**SMALL).fit(X, y)
    before = theirs.predict(X)
    np.testing.assert_allclose(ours.predict(X), before, rtol=1e-9, atol=1e-12)
    for model in (theirs, ours):
        model.set_params(activation="tanh")
    assert np.abs(theirs.predict(X) - before).max() > 0.01
    np.testing.assert_allclose(ours.predict(X), before, rtol=1e-9, atol=1e-12)


def test_labels_and_targets_of_the_wrong_type(data):
    X, y, _ = data
    for label in (1, None):
        labels = np.array([label, "a"], dtype=object)[y]
        with pytest.raises(TypeError):
            SkClassifier(**SMALL).fit(X, labels)
        with pytest.raises(ValueError, match=r"cannot be sorted|missing values"):
            OurClassifier(**SMALL).fit(X, labels)
    days = np.datetime64("2024-01-01") + np.arange(N_SAMPLES)
    for target in (days, days - days[0], y.astype(str)):
        with pytest.raises(TypeError):
            SkRegressor(**SMALL).fit(X, target)
        with pytest.raises(ValueError, match="could not convert y to numbers"):
            OurRegressor(**SMALL).fit(X, target)


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning")
def test_an_activation_for_each_layer(data):
    X, y, _ = data
    settings = {"max_iter": 2, "random_state": 0}
    for layers, activations in [((), []), ((3,), ["tanh"]), ((3, 2), ["tanh", "relu"])]:
        with pytest.raises(ValueError, match="'activation' parameter"):
            SkClassifier(layers, activations, **settings).fit(X, y)
        ours = OurClassifier(layers, activations, **settings).fit(X, y)
        if len(set(activations)) < 2:
            one = OurClassifier(layers, (activations or ["relu"])[0], **settings)
            assert same(ours.coefs_, one.fit(X, y).coefs_)
