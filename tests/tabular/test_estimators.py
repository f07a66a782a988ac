"""The tabular estimators: the checks, what a fit keeps to, and bad input."""

import pickle
import time

import numpy as np
import pandas as pd
import polars
import pytest
from conftest import FAST, mixed_table, plain_columns, target_of
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmlp import MLPClassifier, TabularMLPClassifier, TabularMLPRegressor
from skmlp.exceptions import PoorFitWarning

BOTH = (TabularMLPClassifier, TabularMLPRegressor)
# Which rows are validated on depends on how many there are: a row that is repeated is
# another table than a row of weight two, as for every estimator that holds rows out.
SPLITS = dict.fromkeys(
    (
        "check_sample_weight_equivalence_on_dense_data",
        "check_sample_weight_equivalence_on_sparse_data",
    ),
    "rows are held out",
)


@parametrize_with_checks(
    [cls("fast", n_members=1, mlp_params={"max_iter": 30}) for cls in BOTH],
    expected_failed_checks=lambda estimator: SPLITS,
)
@pytest.mark.filterwarnings("default")
def test_check(estimator, check):
    check(estimator)


def model(cls=TabularMLPClassifier, **settings):
    return cls(**{"preset": "fast", "random_state": 0, "mlp_params": FAST, **settings})


def target(cls, table):
    return table[2] if cls is TabularMLPClassifier else table[1]


def output(fitted, X):
    is_classifier = isinstance(fitted, TabularMLPClassifier)
    return fitted.predict_proba(X) if is_classifier else fitted.predict(X)


@pytest.mark.parametrize("cls", BOTH)
def test_a_raw_table_is_learned(cls):
    frame = mixed_table(1500)
    y = target_of(frame)
    if cls is TabularMLPClassifier:
        y = np.where(y > 0.5, "yes", "no")
    parts = train_test_split(frame, y, random_state=0)
    fitted = cls("fast", random_state=0, mlp_params={"max_iter": 40})
    fitted.fit(parts[0], parts[2])
    assert fitted.score(parts[1], parts[3]) > 0.93


@pytest.mark.parametrize("cls", BOTH)
def test_bits_do_not_depend_on_threads(cls, table):
    results = [
        output(model(cls, n_jobs=n_jobs, n_members=3).fit(table[0], y), table[0])
        for n_jobs in (1, 2, None)
        for y in [target(cls, table)]
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("cls", BOTH)
def test_libraries_give_the_same_model(cls, table):
    frame, y = table[0], target(cls, table)
    other = polars.DataFrame(plain_columns(frame))
    np.testing.assert_array_equal(
        output(model(cls).fit(frame, y), frame), output(model(cls).fit(other, y), other)
    )


@pytest.mark.parametrize("cls", BOTH)
def test_pickles_and_clones(cls, table):
    fitted = model(cls).fit(table[0], target(cls, table))
    again = pickle.loads(pickle.dumps(fitted))
    expected = output(fitted, table[0])
    np.testing.assert_array_equal(output(again, table[0]), expected)
    refitted = clone(fitted).fit(table[0], target(cls, table))
    np.testing.assert_array_equal(output(refitted, table[0]), expected)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_decisions_are_log_odds(table, n_classes):
    labels = np.digitize(table[1], [1000, 1200][: n_classes - 1])
    fitted = model().fit(table[0], labels)
    p = fitted.predict_proba(table[0])
    odds = np.log(p) - np.log1p(-p)
    expected = odds[:, 1] if n_classes == 2 else odds
    np.testing.assert_allclose(
        fitted.decision_function(table[0]), expected, rtol=1e-6, atol=1e-6
    )


def test_the_average_is_that_of_the_members(table):
    fitted = model(calibrate=False).fit(table[0], table[2])
    x = fitted.preprocessor_.transform(table[0])
    members = [member.predict_proba(x) for member in fitted.members_]
    assert all(isinstance(member, MLPClassifier) for member in fitted.members_)
    np.testing.assert_allclose(
        fitted.predict_proba(table[0]), np.mean(members, axis=0), rtol=1e-5
    )


def test_the_target_may_be_of_any_size(table):
    predictions = [
        (model(TabularMLPRegressor).fit(table[0], scale * table[1])).predict(table[0])
        for scale in (1.0, 1e6, 1e-6)
    ]
    np.testing.assert_allclose(predictions[1] / 1e6, predictions[0], rtol=1e-3)
    np.testing.assert_allclose(predictions[2] / 1e-6, predictions[0], rtol=1e-3)


def test_predictions_are_clipped_to_the_training_range(table):
    frame, y = table[0], table[1]
    far = frame.assign(age=1e6)
    clipped = model(TabularMLPRegressor).fit(frame, y)
    assert clipped.predict(far).max() <= y.max()
    free = model(TabularMLPRegressor, clip=False).fit(frame, y)
    np.testing.assert_array_equal(
        clipped.predict(far), np.clip(free.predict(far), y.min(), y.max())
    )


def test_several_targets_and_quantiles(table):
    frame, y, _ = table
    both = model(TabularMLPRegressor).fit(frame, np.c_[y, -y / 50])
    assert both.predict(frame).shape == (len(y), 2)
    params = {**FAST, "quantile": [0.1, 0.9]}
    spread = model(TabularMLPRegressor, loss="quantile", mlp_params=params).fit(
        frame, y
    )
    low, high = spread.predict(frame).T
    assert np.mean(low < high) > 0.9
    assert low.min() >= y.min()
    assert high.max() <= y.max()
    assert 0 < spread.score(frame, y) < 1


def test_standard_deviations_are_those_of_the_mixture(table):
    frame, y, _ = table
    fitted = model(TabularMLPRegressor, loss="gaussian_nll").fit(frame, y)
    mean, std = fitted.predict(frame, return_std=True)
    np.testing.assert_allclose(mean, fitted.predict(frame))
    x = fitted.preprocessor_.transform(frame)
    means, deviations = zip(
        *(member.predict(x, return_std=True) for member in fitted.members_), strict=True
    )
    # The law of total variance.
    expected = np.mean(np.square(deviations), axis=0) + np.var(means, axis=0)
    np.testing.assert_allclose(std, np.sqrt(expected), rtol=1e-6)
    plain = model(TabularMLPRegressor).fit(frame, y)
    with pytest.raises(ValueError, match="return_std=True needs a model"):
        plain.predict(frame, return_std=True)


def test_progress_is_a_line_a_network(table, capsys):
    model(verbose=True).fit(table[0], table[2])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("Network 1 of 5: validation score -0.")
    assert lines[4].endswith(f"of {FAST['max_iter']}")


def test_multilabel_targets(table):
    labels = np.c_[table[1] > 1000, table[1] > 1100].astype(int)
    fitted = model().fit(table[0], labels)
    assert fitted.predict_proba(table[0]).shape == labels.shape
    assert set(np.unique(fitted.predict(table[0]))) <= {0, 1}


def test_the_temperature_lowers_the_log_loss():
    frame = mixed_table(2000)
    # Noise that networks without weight decay learn by heart.
    y = target_of(frame) + np.random.default_rng(1).normal(0, 2, 2000) > 0.5
    X, X_test, y, y_test = train_test_split(frame, y, random_state=0)
    params = {"max_iter": 60, "weight_decay": 0.0, "dropout": 0.0}
    settings = {"preset": "fast", "random_state": 0, "mlp_params": params}
    plain = TabularMLPClassifier(calibrate=False, **settings).fit(X, y)
    scaled = TabularMLPClassifier(**settings).fit(X, y)
    assert plain.temperature_ == 1
    assert scaled.temperature_ > 1
    np.testing.assert_array_equal(plain.predict(X_test), scaled.predict(X_test))
    losses = [log_loss(y_test, m.predict_proba(X_test)) for m in (scaled, plain)]
    assert losses[0] < losses[1]


def test_folds_leave_the_probabilities():
    X, y = load_breast_cancer(return_X_y=True)
    fitted = TabularMLPClassifier("fast", random_state=0, mlp_params=FAST).fit(X, y)
    assert len(fitted.members_) == 5
    assert fitted.temperature_ == 1


def test_groups_stay_together(table):
    groups = np.arange(len(table[2])) // 10
    fitted = model(validation_fraction=0.25)
    from skmlp.tabular.planning import row_pairs

    for n_rows in (len(groups), 1200):
        rows = np.arange(n_rows) // 10
        pairs = row_pairs(
            fitted, n_rows, np.random.RandomState(0), strata=rows % 3, groups=rows
        )
        for train, validation in pairs:
            assert not set(rows[train]) & set(rows[validation])
            assert len(train) + len(validation) == n_rows
    fitted.fit(table[0], table[2], groups=groups)


def test_the_last_rows_validate():
    from skmlp.tabular.planning import row_pairs

    fitted = model(validation="last", validation_fraction=0.1)
    ((train, validation),) = row_pairs(fitted, 50, np.random.RandomState(0))
    np.testing.assert_array_equal(validation, np.arange(45, 50))
    np.testing.assert_array_equal(train, np.arange(45))


@pytest.mark.parametrize("cls", BOTH)
def test_raw_validation_data_select_the_epoch(cls, table):
    frame, y = table[0], target(cls, table)
    fitted = model(cls).fit(frame[:160], y[:160], X_val=frame[160:], y_val=y[160:])
    assert len(fitted.members_) == 3
    assert len(fitted.members_[0].validation_scores_) == FAST["max_iter"]


@pytest.mark.parametrize("cls", BOTH)
def test_rows_of_weight_zero_are_no_rows(cls, table):
    frame, y = table[0], target(cls, table)
    weights = np.ones(len(y))
    weights[::3] = 0
    kept = weights > 0
    # The levels and medians are those of the whole table: give both the same.
    whole = model(cls).fit(frame, y, weights)
    assert len(whole._validated.y) == kept.sum()


def test_importances_find_the_features_that_matter(table):
    fitted = model(TabularMLPRegressor, mlp_params={"max_iter": 60}).fit(*table[:2])
    importances = dict(zip(table[0], fitted.feature_importances_, strict=True))
    assert min(importances["age"], importances["color"]) > 10 * abs(importances["took"])
    assert importances["same"] == 0


def test_greedy_selection_beats_the_plain_average():
    X, y = load_diabetes(return_X_y=True)
    fitted = TabularMLPRegressor(
        "best", n_members=4, random_state=0, mlp_params={"max_iter": 20}
    ).fit(X, y)
    assert len(fitted.members_) == 4 * 5  # each on every fold
    assert fitted.member_weights_.sum() == pytest.approx(1)
    by_recipe = fitted.member_weights_.reshape(4, 5)
    assert np.ptp(by_recipe, axis=1).max() == pytest.approx(0)


@pytest.mark.parametrize("cls", BOTH)
def test_networks_are_weighed_by_the_rows_that_they_have_in_common(cls):
    frame = mixed_table(1200)
    y = target_of(frame) if cls is TabularMLPRegressor else target_of(frame) > 0
    fitted = model(cls, preset="default", mlp_params={"max_iter": 10}).fit(frame, y)
    assert len(fitted.members_) == len(fitted.member_weights_) == 6
    assert len(fitted.validation_scores_) == 6
    # Sixteen picks: multiples of one over their number.
    assert np.ptp(fitted.member_weights_) > 0
    best = np.argmax(fitted.validation_scores_)
    assert fitted.member_weights_[best] > 0


def test_rows_that_are_all_right_do_not_make_overconfident():
    from skmlp.tabular.combination import fitted_temperature, log_loss_of_few_rows

    codes = np.arange(500) % 2
    sure = np.where(codes[:, np.newaxis] == [0, 1], 0.99, 0.01)
    # The mean of the probabilities is about what the rule of succession says.
    assert fitted_temperature(sure, codes) == pytest.approx(1, abs=0.4)
    too_sure = np.where(codes[:, np.newaxis] == [0, 1], 1 - 1e-9, 1e-9)
    assert fitted_temperature(too_sure, codes) > 2
    assert log_loss_of_few_rows(too_sure, codes) > log_loss_of_few_rows(sure, codes)


def test_networks_on_folds_in_turn_weigh_the_same(table):
    fitted = model(preset="default").fit(table[0], table[2])
    np.testing.assert_array_equal(fitted.member_weights_, 1 / 5)


def test_scoring_is_that_of_the_user_before_that_of_a_recipe(table):
    fitted = model(scoring="accuracy").fit(table[0], table[2])
    assert {member.scoring for member in fitted.members_} == {"accuracy"}
    fitted = model(scoring="accuracy", mlp_params={**FAST, "scoring": "loss"})
    fitted.fit(table[0], table[2])
    assert {member.scoring for member in fitted.members_} == {"loss"}


@pytest.mark.parametrize("cls", BOTH)
def test_the_time_limit_is_kept(cls):
    frame = mixed_table(4000)
    y = target_of(frame) if cls is TabularMLPRegressor else target_of(frame) > 0
    cls("fast", random_state=0, mlp_params={"max_iter": 2}).fit(frame, y)  # compiles
    start = time.perf_counter()
    fitted = cls(max_time=2.0, random_state=0).fit(frame, y)
    # Generous, since other processes share the machine: without the limit it is 15 s.
    assert time.perf_counter() - start < 5
    assert fitted.score(frame, y) > 0.8


def test_it_works_in_searches_and_pipelines(table):
    frame, _, labels = table
    pipeline = make_pipeline(FunctionTransformer(), model(n_members=1))
    search = GridSearchCV(
        pipeline, {"tabularmlpclassifier__validation_fraction": [0.2, 0.5]}, cv=2
    )
    assert search.fit(frame, labels).best_score_ > 0.6
    scores = cross_val_score(model(n_members=1), frame, labels, scoring="roc_auc", cv=2)
    assert scores.min() > 0.6


def bad_inputs():
    """Name, change of (X, y, further arguments), and the sentence."""
    rows = [
        ("no target", lambda X, y: (X, None, {}), "requires y to be passed"),
        ("short y", lambda X, y: (X, y[:-1], {}), "inconsistent numbers of samples"),
        ("one row", lambda X, y: (X[:1], y[:1], {}), r"n_samples=1 and validation_fr"),
        (
            "half a validation set",
            lambda X, y: (X, y, {"X_val": X}),
            "X_val is provided, but y_val was not provided",
        ),
        (
            "validation weights without rows",
            lambda X, y: (X, y, {"sample_weight_val": np.ones(len(y))}),
            "sample_weight_val is provided, but X_val was not provided",
        ),
        (
            "negative weights",
            lambda X, y: (X, y, {"sample_weight": -np.ones(len(y))}),
            "Negative values in data passed to `sample_weight`",
        ),
        (
            "no weight",
            lambda X, y: (X, y, {"sample_weight": np.zeros(len(y))}),
            "Sample weights must contain at least one non-zero",
        ),
        (
            "short groups",
            lambda X, y: (X, y, {"groups": [0, 1]}),
            "inconsistent numbers of samples",
        ),
        (
            "one group",
            lambda X, y: (X, y, {"groups": np.zeros(len(y))}),
            "groups has a single group",
        ),
        (
            "missing target",
            lambda X, y: (X, [None, *y[1:]], {}),
            "y contains missing values",
        ),
        (
            "another column",
            lambda X, y: (X, y, {"X_val": X.drop(columns="age"), "y_val": y}),
            r"yet now missing:\n- age",
        ),
    ]
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(("change", "message"), bad_inputs())
def test_bad_input_leaves_the_fitted_model(cls, change, message, table):
    frame, y = table[0], target(cls, table)
    fitted = model(cls).fit(frame, y)
    before = output(fitted, frame)
    X, bad_y, arguments = change(frame, y)
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, bad_y, **arguments)
    np.testing.assert_array_equal(output(fitted, frame), before)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize(
    ("name", "value"),
    [("preset", "slow"), ("n_members", 0), ("validation", "first"), ("max_time", 0)],
)
def test_bad_parameters(cls, name, value, table):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {cls.__name__}"):
        model(cls, **{name: value}).fit(table[0], target(cls, table))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [np.nan] * 30, "b": np.arange(30.0)}),
        pd.DataFrame({"a": np.arange(30.0)}),
        pd.DataFrame({"a": ["x", "y", None] * 10}),
        pd.DataFrame(np.random.default_rng(0).random((30, 400))),
    ],
    ids=["all missing", "one number", "one category", "wide"],
)
@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
def test_poor_tables_give_a_model(cls, frame):
    y = np.arange(30) % 2
    assert len(model(cls).fit(frame, y).predict(frame)) == 30


@pytest.mark.parametrize("n_rows", [200, 1200])
def test_an_ensemble_that_learns_nothing_says_so(n_rows):
    frame = mixed_table(n_rows)
    y = np.random.default_rng(5).normal(size=n_rows) > 0
    with pytest.warns(
        PoorFitWarning, match="no better than a constant for the"
    ) as told:
        model(mlp_params={"max_iter": 40, "weight_decay": 0.0}).fit(frame, y)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_a_target_that_drifts_away_is_told_of():
    frame = mixed_table(300)
    y = np.random.default_rng(5).normal(size=300) + 4 * (np.arange(300) >= 240)
    with pytest.warns(PoorFitWarning, match="unexplained part of y is"):
        model(TabularMLPRegressor, validation="last").fit(frame, y)


def test_few_rows_a_class():
    X, y = load_wine(return_X_y=True)
    rows = np.r_[0:5, 60:65, 140:145]
    fitted = TabularMLPClassifier("fast", random_state=0).fit(X[rows], y[rows])
    assert fitted.score(X, y) > 0.8


def test_a_constant_target_is_predicted(table):
    fitted = model(TabularMLPRegressor).fit(table[0], np.full(len(table[0]), 7.0))
    np.testing.assert_allclose(fitted.predict(table[0]), 7.0)
