"""Early stopping on data as people have them: rare classes, labels, other units."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from estimator_bits import bits
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import average_precision_score, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.neural_network import MLPClassifier as SkClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skmlp import MLPClassifier, MLPRegressor
from skmlp.estimators.holdout import split_rows
from skmlp.exceptions import ValidationWarning

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Of scikit-learn 1.7, for targets with nearly as many classes as rows.
    pytest.mark.filterwarnings("ignore:The number of unique classes:UserWarning"),
]
RNG = np.random.RandomState(0)
X = RNG.normal(size=(300, 6))
SMALL = {
    "hidden_layer_sizes": (6,),
    "max_iter": 5,
    "random_state": 0,
    "early_stopping": True,
}
MANY = np.repeat(np.arange(20), 6)
RARE = np.array(["common"] * 150 + ["other"] * 149 + ["rare"])


def classifier(**settings):
    return MLPClassifier(**{**SMALL, **settings})


def regressor(**settings):
    return MLPRegressor(**{**SMALL, **settings})


def of_validation(caught):
    return [w for w in caught if w.category is ValidationWarning]


def rows_of_split(monkeypatch, y, **settings):
    """Training and held-out rows of a fit's split."""
    found = []

    def split(*arguments):
        found.extend(split_rows(*arguments))
        return tuple(found)

    monkeypatch.setattr("skmlp.estimators.training.split_rows", split)
    classifier(max_iter=1, **settings).fit(X[: len(y)], y)
    return found


# --- the split ---


@pytest.mark.parametrize(
    "y",
    [MANY, np.repeat(np.arange(5), 8), np.arange(30) % 15],
    ids=["20 classes", "5 classes", "two rows a class"],
)
def test_more_classes_than_held_out_rows_as_in_scikit_learn(y):
    theirs = SkClassifier(**SMALL).fit(X[: len(y)], y)
    ours = classifier().fit(X[: len(y)], y)
    assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-10)
    assert_allclose(ours.validation_scores_, theirs.validation_scores_)


def test_grid_search_over_many_classes():
    search = GridSearchCV(classifier(), {"alpha": [1e-4, 1e-2]}, cv=5)
    search.fit(X[:120], MANY)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_class_of_one_row_is_trained_on(monkeypatch):
    train, held_out = rows_of_split(monkeypatch, RARE)
    assert 299 in train
    assert_array_equal(np.sort([*train, *held_out]), np.arange(300))
    assert len(held_out) == 30
    shares = np.unique(RARE[held_out], return_counts=True)[1]
    assert_array_equal(shares, [15, 15])


def test_one_positive_of_two_classes(monkeypatch):
    train, held_out = rows_of_split(monkeypatch, RARE == "rare")
    assert 299 in train
    assert len(held_out) == 30


def test_no_class_is_held_out_as_a_whole(monkeypatch):
    y = np.arange(200) // 2
    train, held_out = rows_of_split(monkeypatch, y)
    assert set(y[train]) == set(y)
    assert 2 <= len(held_out) <= 20


def test_every_row_a_class(monkeypatch):
    train, held_out = rows_of_split(monkeypatch, np.arange(40))
    assert len(train) == 36
    assert len(held_out) == 4


def test_rows_of_weight_zero_are_no_rows_of_their_class():
    weight = np.ones(300)
    y = RARE.copy()
    y[100] = "rare"
    weight[100] = 0
    classifier().fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("fraction", [0.1, 0.0, 0.9])
@pytest.mark.parametrize("make", [classifier, regressor])
def test_too_few_rows_are_named(make, fraction):
    y = np.array([0, 1, 0, 1, 0])
    if make is classifier:
        y = np.array(["no", "yes"])[y]
    with pytest.raises(ValueError, match="validation set is too") as caught:
        make(validation_fraction=fraction).fit(X[:5], y)
    for name in ("early_stopping", "validation_fraction", "X_val", "of 5 rows"):
        assert name in str(caught.value)


# --- best_iter_ ---


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_best_iter_is_the_epoch_that_is_kept(solver):
    y = RARE == "other"
    settings = {"solver": solver, "max_iter": 30, "n_iter_no_change": 5}
    model = classifier(**settings).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    best = model.best_iter_
    assert best == np.argmax(model.validation_scores_) + 1 <= model.n_iter_
    assert model.validation_scores_[best - 1] == model.best_validation_score_
    shorter = classifier(solver=solver, max_iter=best, early_stopping=False)
    if solver == "adam":
        assert bits(model) == bits(shorter.fit(X[:200], y[:200]))


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning")
def test_best_iter_is_none_where_scores_do_not_decide():
    y = RARE == "other"
    model = classifier(early_stopping=False)
    assert model.fit(X, y).best_iter_ is None
    assert model.fit(X, y, X_val=X, y_val=y).best_iter_ is None
    assert classifier(solver="lbfgs").fit(X, y).best_iter_ is None


def test_best_iter_counts_along_the_loss_curve():
    y = RARE == "other"
    model = classifier(early_stopping=False, warm_start=True).fit(X, y)
    model.set_params(early_stopping=True).fit(X, y)
    assert 5 < model.best_iter_ <= 10 == len(model.loss_curve_)
    scores = model.history_["validation_score"]
    assert scores[model.best_iter_ - 1] == model.best_validation_score_
    never = classifier(scoring=lambda *_: np.nan).fit(X, y)
    assert never.best_iter_ == 0


def test_best_iter_of_partial_fit():
    y = X[:, 0] ** 2
    model = regressor()
    for _ in range(4):
        model.partial_fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert model.best_iter_ == np.argmax(model.validation_scores_) + 1


# --- several labels ---

LABELS = (X[:, :3] > 0.3).astype(int)


def test_several_labels_warn_once_of_whole_rows():
    with pytest.warns(ValidationWarning) as caught:
        model = classifier().fit(X, LABELS)
    (warning,) = of_validation(caught)
    assert warning.filename == __file__
    message = str(warning.message)
    assert "all of whose labels are right" in message
    assert "scoring='loss'" in message
    assert "scoring='accuracy'" in message
    silent = classifier(scoring="accuracy").fit(X, LABELS)
    assert bits(silent) == bits(model)
    assert silent.validation_scores_ == model.validation_scores_


def test_no_warning_of_whole_rows_where_it_is_not_the_score():
    classifier(scoring="loss").fit(X, LABELS)
    classifier(early_stopping=False).fit(X, LABELS)
    classifier().fit(X, LABELS[:, 0])


def test_chunks_of_several_labels_warn_once():
    model = classifier()
    chunk = {"X_val": X, "y_val": LABELS}
    with pytest.warns(ValidationWarning, match="all of whose labels"):
        model.partial_fit(X, LABELS, classes=[0, 1, 2], **chunk)
    model.partial_fit(X, LABELS, **chunk)


# --- scorers where a class is missing ---

Y3 = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])]
TWO = Y3 != "b"


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    "scoring",
    [
        "neg_log_loss",
        "neg_brier_score",
        "d2_log_loss_score",
        "top_k_accuracy",
        "average_precision",
        "roc_auc_ovr",
        "roc_auc_ovr_weighted",
        "roc_auc_ovo",
        "roc_auc_ovo_weighted",
    ],
)
def test_scorers_where_y_val_lacks_a_class(scoring, early_stopping):
    if scoring not in sklearn.metrics.get_scorer_names():
        pytest.skip("not in this release of scikit-learn")
    model = classifier(scoring=scoring, early_stopping=early_stopping)
    model.fit(X, Y3, X_val=X[TWO], y_val=Y3[TWO])
    assert np.isfinite(model.validation_scores_).all()


@pytest.mark.parametrize("weights", [None, RNG.uniform(1, 2, 300)], ids=["", "weights"])
def test_the_mean_is_over_the_classes_that_are_there(weights):
    some = None if weights is None else weights[TWO]
    data = {"X_val": X[TWO], "y_val": Y3[TWO], "sample_weight_val": some}
    for scoring, metric in [
        ("roc_auc_ovr", roc_auc_score),
        ("average_precision", average_precision_score),
    ]:
        model = classifier(scoring=scoring, early_stopping=False).fit(X, Y3, **data)
        scores = model.decision_function(X[TWO])
        if scoring == "roc_auc_ovr":
            scores = model.predict_proba(X[TWO])
        expected = [
            metric(Y3[TWO] == name, scores[:, i], sample_weight=some)
            for i, name in [(0, "a"), (2, "c")]
        ]
        assert_allclose(model.validation_scores_[-1], np.mean(expected))


def test_scorers_where_all_classes_are_there_are_untouched():
    scorer = make_scorer(
        roc_auc_score, response_method="predict_proba", multi_class="ovr"
    )
    model = classifier(scoring=scorer, early_stopping=False)
    model.fit(X, Y3, X_val=X, y_val=Y3)
    assert_allclose(model.validation_scores_[-1], scorer(model, X, Y3), rtol=1e-13)


def test_several_labels_of_which_one_is_missing():
    none = LABELS[:, 1] == 0
    model = classifier(scoring="roc_auc").fit(
        X, LABELS, X_val=X[none], y_val=LABELS[none]
    )
    assert np.isfinite(model.validation_scores_).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_one_of_two_classes():
    y = np.where(X[:, 0] > 0, "yes", "no")
    data = {"X_val": X[y == "yes"], "y_val": y[y == "yes"]}
    model = classifier(scoring="neg_log_loss").fit(X, y, **data)
    assert np.isfinite(model.validation_scores_).all()
    with pytest.raises(ValueError, match=r"\['no'\].*scoring='loss'"):
        classifier(scoring="roc_auc").fit(X, y, **data)


def test_a_callable_may_return_nan_where_a_class_is_missing():
    model = classifier(scoring=lambda *_: np.nan)
    model.fit(X, Y3, X_val=X[TWO], y_val=Y3[TWO])
    assert model.best_iter_ == 0


# --- other units ---


def cancer():
    data = load_breast_cancer(as_frame=True)
    return data.data, data.target


def test_x_val_of_a_pipeline_is_not_scaled():
    frame, y = cancer()
    pipe = make_pipeline(StandardScaler(), classifier())
    data = {"X_val": frame[400:].to_numpy(), "y_val": y[400:]}
    with pytest.warns(ValidationWarning) as caught:
        pipe.fit(
            frame[:400].to_numpy(),
            y[:400],
            **{f"mlpclassifier__{name}": value for name, value in data.items()},
        )
    (warning,) = of_validation(caught)
    message = str(warning.message)
    assert 'transform_input=["X_val"]' in message
    assert "from -" in message


@pytest.mark.parametrize(
    "x_val",
    [
        np.array([["Private", 1.0]] * 40, dtype=object),
        X[:40, :1],
        np.where(X[:40, :2] > 0, np.nan, 0.0),
    ],
    ids=["strings", "other columns", "nan"],
)
def test_errors_of_x_val_name_the_pipeline(x_val):
    y = np.arange(40) % 2
    with pytest.raises(ValueError, match=r'transform_input=\["X_val"\]') as caught:
        classifier().fit(X[:40, :2], y, X_val=x_val, y_val=y)
    assert str(caught.value).startswith("In X_val, y_val: ")


def test_errors_of_y_val_do_not_name_the_pipeline():
    y = np.arange(40) % 2
    with pytest.raises(ValueError, match="In X_val, y_val: ") as caught:
        classifier().fit(X[:40], y, X_val=X[:40], y_val=[np.nan] * 40)
    assert "Pipeline" not in str(caught.value)


def test_columns_are_named():
    frame, y = cancer()
    scaled = StandardScaler().set_output(transform="pandas").fit_transform(frame)
    with pytest.warns(ValidationWarning, match=r"of X: \w+ .*\(median .* more columns"):
        classifier().fit(scaled, y, X_val=frame, y_val=y)


def test_transform_input_scales_x_val():
    frame, y = cancer()
    with sklearn.config_context(enable_metadata_routing=True):
        model = classifier().set_fit_request(X_val=True, y_val=True)
        pipe = Pipeline(
            [("scale", StandardScaler()), ("mlp", model)], transform_input=["X_val"]
        )
        pipe.fit(frame[:400], y[:400], X_val=frame[400:], y_val=y[400:])


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
def test_pictures_that_are_not_scaled(scaler):
    digits, y = load_digits(return_X_y=True)
    scaled = scaler.fit_transform(digits[:1000])
    with pytest.warns(ValidationWarning, match="more columns"):
        classifier().fit(scaled, y[:1000], X_val=digits[1000:], y_val=y[1000:])
    classifier().fit(
        scaled, y[:1000], X_val=scaler.transform(digits[1000:]), y_val=y[1000:]
    )


def test_sparse_x_val_that_is_not_scaled():
    raw = np.random.RandomState(0).poisson(0.3, (200, 50)) * 40.0
    scaled, y = sparse.csr_array(raw / 200), X[:200, 0] > 0
    for x_val in (sparse.csr_array(raw), raw):
        with pytest.warns(ValidationWarning, match="nonzero elements"):
            classifier().fit(scaled, y, X_val=x_val, y_val=y)
    classifier().fit(scaled, y, X_val=scaled[:50], y_val=y[:50])


def drifting(n):
    """A table with a time stamp, a trend, a season, a flag and a random walk."""
    rng = np.random.RandomState(0)
    day = np.arange(n)
    return np.column_stack(
        [
            day,
            1e9 + 86400.0 * day,
            0.01 * day + rng.normal(size=n),
            np.sin(day / 58),
            day > n // 2,
            rng.normal(size=n).cumsum(),
            rng.lognormal(sigma=2, size=n),
        ]
    )


@pytest.mark.parametrize("n", [60, 300, 2000])
def test_time_series_do_not_warn(n):
    table = drifting(n)
    y = table[:, 2] + table[:, 5]
    model = regressor(max_iter=1, early_stopping=False, learning_rate_init=1e-15)
    for train, held_out in TimeSeriesSplit(4).split(table):
        scaler = StandardScaler().fit(table[train])
        there, later = map(scaler.transform, (table[train], table[held_out]))
        model.fit(there, y[train], X_val=later, y_val=y[held_out])
        model.fit(table[train], y[train], X_val=table[held_out], y_val=y[held_out])


def test_rare_values_do_not_warn():
    table = np.zeros((400, 3))
    table[:, 0] = np.arange(400) % 7
    table[300:, 1] = 50.0  # constant in training
    table[395:, 0] = 1e6  # a few outliers
    y = np.arange(400) % 2
    classifier(max_iter=1).fit(table[:300], y[:300], X_val=table[300:], y_val=y[300:])
    # Too few rows to know the range from.
    few = np.array([[0.0], [1e-3], [2e-3]])
    classifier().fit(few, [0, 1, 0], X_val=X[:9, :1], y_val=[0, 1, 0] * 3)


def test_chunks_do_not_warn():
    y = np.arange(300) % 2
    model = classifier()
    chunk = X[:30] * 1e-3
    model.partial_fit(chunk, y[:30], classes=[0, 1], X_val=X, y_val=y)


def test_y_val_of_a_transformed_target():
    y = 200_000 + 80_000 * X[:, 0]
    model = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    with pytest.warns(ValidationWarning, match="TransformedTargetRegressor") as caught:
        model.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert len(of_validation(caught)) == 1
    scaled = clone(model.transformer).fit(y[:200, np.newaxis])
    y_val = scaled.transform(y[200:, np.newaxis]).ravel()
    model.fit(X[:200], y[:200], X_val=X[200:], y_val=y_val)


def test_y_val_of_several_targets():
    y = np.column_stack([X[:, 0], 5 * X[:, 1]])
    with pytest.warns(ValidationWarning, match=r"column 1 \(median 1e"):
        regressor().fit(X, y, X_val=X, y_val=y * 0 + [0, 1e5])


def test_a_frame_of_other_units_is_checked_by_its_numbers():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    y = np.arange(300) % 2
    with pytest.warns(ValidationWarning, match=r"of X: c \(median 1e"):
        classifier().fit(frame, y, X_val=frame * 0 + [0, 0, 1e4, 0, 0, 0], y_val=y)
