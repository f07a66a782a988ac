"""What scikit-learn builds around an estimator, run on ours and on scikit-learn's.

Each use returns numbers, and both estimators must give the same ones. The data fit into
one batch, because with sample weights our smaller batches are meant to differ; and the
networks are small, because what is tested is the handling, not the mathematics.
"""

import pickle

import joblib
import numpy as np
import pytest
import sklearn
from estimator_bits import bits
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import skmlp as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y2 = make_classification(n_samples=150, n_features=6, flip_y=0.2, random_state=0)
_, Y3 = make_classification(
    n_samples=150, n_features=6, n_informative=4, n_classes=3, random_state=1
)
YR = make_regression(n_samples=150, n_features=6, noise=1.0, random_state=2)[1] / 50
YR2 = np.column_stack([YR, YR[::-1]])
LABELS = np.column_stack([Y2, Y3 > 0]).astype(int)
WEIGHT = np.random.default_rng(3).uniform(0.2, 2.0, len(X))
SETTINGS = {
    "hidden_layer_sizes": (8,),
    "learning_rate_init": 0.01,
    "max_iter": 25,
    "random_state": 0,
}


def classifier(library):
    return library.MLPClassifier(**SETTINGS)


def regressor(library):
    return library.MLPRegressor(**SETTINGS)


def scaled(library, **options):
    return Pipeline(
        [("scale", StandardScaler()), ("mlp", classifier(library))], **options
    )


def use_pipeline(library):
    return scaled(library).fit(X, Y2).predict_proba(X)


def use_pipeline_with_memory(library, folder):
    pipeline = scaled(library, memory=str(folder))
    return np.vstack([pipeline.fit(X, Y3).predict_proba(X) for _ in range(2)])


def use_pandas_output(library):
    pytest.importorskip("pandas")
    pipeline = scaled(library).set_output(transform="pandas").fit(X, Y2)
    assert list(pipeline["mlp"].feature_names_in_) == [f"x{i}" for i in range(6)]
    return pipeline.predict_proba(X)


def use_column_transformer(library):
    half = ColumnTransformer([("first", StandardScaler(), slice(0, 3))])
    return make_pipeline(half, classifier(library)).fit(X, Y2).predict_proba(X)


def use_grid_search(library):
    grid = {"mlp__alpha": [1e-4, 1.0], "mlp__activation": ["relu", "tanh"]}
    search = GridSearchCV(
        scaled(library), grid, scoring="neg_log_loss", cv=3, n_jobs=2
    ).fit(X, Y2)
    scores = search.cv_results_["mean_test_score"]
    return np.append(scores, search.predict_proba(X)[:, 1])


def use_cross_validate(library):
    scoring = {
        "accuracy": "accuracy",
        "log_loss": make_scorer(
            log_loss, response_method="predict_proba", greater_is_better=False
        ),
    }
    found = cross_validate(scaled(library), X, Y3, scoring=scoring, cv=4)
    return np.concatenate([found["test_accuracy"], found["test_log_loss"]])


def use_cross_val_predict(library):
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    return cross_val_predict(
        classifier(library), X, Y3, cv=folds, method="predict_log_proba"
    )


def use_learning_curve(library):
    return np.hstack(
        learning_curve(regressor(library), X, YR, train_sizes=[0.4, 1.0], cv=3)[1:]
    )


def use_incremental_learning_curve(library):
    return np.hstack(
        learning_curve(
            classifier(library),
            X,
            Y2,
            train_sizes=[0.5, 1.0],
            cv=3,
            exploit_incremental_learning=True,
            scoring="neg_log_loss",
        )[1:]
    )


def use_calibration(library, method):
    class WithoutLogits(library.MLPClassifier):
        # Calibration prefers decision_function, which scikit-learn's has not.
        @property
        def decision_function(self):
            raise AttributeError

    calibrated = CalibratedClassifierCV(WithoutLogits(**SETTINGS), cv=3, method=method)
    return calibrated.fit(X, Y3, sample_weight=WEIGHT).predict_proba(X)


def use_sigmoid_calibration(library):
    return use_calibration(library, "sigmoid")


def use_isotonic_calibration(library):
    return use_calibration(library, "isotonic")


def use_tuned_threshold(library):
    tuned = TunedThresholdClassifierCV(
        classifier(library), scoring="balanced_accuracy", cv=3
    ).fit(X, Y2)
    return np.append(tuned.predict(X), [tuned.best_threshold_, tuned.best_score_])


def use_stacking(library):
    stack = StackingClassifier(
        [("mlp", classifier(library)), ("linear", LogisticRegression())], cv=3
    )
    return stack.fit(X, Y3).predict_proba(X)


def use_one_vs_rest(library):
    return OneVsRestClassifier(classifier(library)).fit(X, Y3).predict_proba(X)


def use_one_vs_rest_on_labels(library):
    several = OneVsRestClassifier(classifier(library), n_jobs=2).fit(X, LABELS)
    return several.predict_proba(X)


def use_classifier_chain(library):
    chain = ClassifierChain(classifier(library), order=[1, 0])
    return chain.fit(X, LABELS).predict_proba(X)


def use_boosting(library):
    boosted = AdaBoostClassifier(
        classifier(library), n_estimators=4, random_state=0
    ).fit(X, Y3, sample_weight=WEIGHT)
    assert len(boosted.estimators_) == 4
    return np.append(boosted.predict_proba(X), boosted.estimator_errors_)


def use_bagging(library):
    bag = BaggingRegressor(regressor(library), n_estimators=4, random_state=0)
    return bag.fit(X, YR).predict(X)


def use_voting(library):
    votes = VotingRegressor([("a", regressor(library)), ("b", regressor(library))])
    return votes.fit(X, YR, sample_weight=WEIGHT).predict(X)


def use_multi_output(library):
    return MultiOutputRegressor(regressor(library)).fit(X, YR2).predict(X)


def use_transformed_target(library):
    transformed = TransformedTargetRegressor(
        regressor(library), func=np.arcsinh, inverse_func=np.sinh
    )
    return transformed.fit(X, YR).predict(X)


def use_feature_selection(library):
    selector = SequentialFeatureSelector(
        classifier(library), n_features_to_select=1, cv=2, scoring="neg_log_loss"
    )
    return selector.fit(X, Y2).get_support()


def use_permutation_importance(library):
    return permutation_importance(
        classifier(library).fit(X, Y2),
        X,
        Y2,
        n_repeats=3,
        random_state=0,
        scoring="neg_log_loss",
    ).importances


def use_routing_through_a_pipeline(library):
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = scaled(library)
        pipeline["scale"].set_fit_request(sample_weight=False)
        pipeline["mlp"].set_fit_request(sample_weight=True)
        return pipeline.fit(X, Y2, sample_weight=WEIGHT).predict_proba(X)


def use_routing_through_cross_validation(library):
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = classifier(library).set_fit_request(sample_weight=True)
        weighted.set_score_request(sample_weight=True)
        search = GridSearchCV(weighted, {"alpha": [1e-4, 1.0]}, cv=3)
        search.fit(X, Y2, sample_weight=WEIGHT)
        scores = search.cv_results_["mean_test_score"]
        return np.append(scores, search.predict_proba(X)[:, 1])


def use_routing_to_partial_fit(library):
    with sklearn.config_context(enable_metadata_routing=True):
        weighted = classifier(library).set_partial_fit_request(
            sample_weight=True, classes=True
        )
        several = OneVsRestClassifier(weighted)
        several.partial_fit(X, Y3, classes=[0, 1, 2], sample_weight=WEIGHT)
        return several.predict_proba(X)


USES = (
    use_pipeline,
    use_pandas_output,
    use_column_transformer,
    use_grid_search,
    use_cross_validate,
    use_cross_val_predict,
    use_learning_curve,
    use_incremental_learning_curve,
    use_sigmoid_calibration,
    use_isotonic_calibration,
    use_tuned_threshold,
    use_stacking,
    use_one_vs_rest,
    use_one_vs_rest_on_labels,
    use_classifier_chain,
    use_boosting,
    use_bagging,
    use_voting,
    use_multi_output,
    use_transformed_target,
    use_feature_selection,
    use_permutation_importance,
    use_routing_through_a_pipeline,
    use_routing_through_cross_validation,
)


@pytest.mark.sampled
@pytest.mark.parametrize("use", USES)
def test_same_numbers_as_with_scikit_learn(use):
    found, expected = use(ours), use(theirs)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_pipeline_with_memory(tmp_path):
    found = use_pipeline_with_memory(ours, tmp_path / "ours")
    expected = use_pipeline_with_memory(theirs, tmp_path / "theirs")
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_routed_weights_arrive():
    weighted = use_routing_through_a_pipeline(ours)
    assert not np.allclose(weighted, use_pipeline(ours), atol=1e-3)


def test_one_vs_rest_routes_partial_fit():
    assert use_routing_to_partial_fit(ours).shape == (len(X), 3)


@sklearn.config_context(enable_metadata_routing=True)
def test_unrequested_weights_are_refused():
    search = GridSearchCV(classifier(ours), {"alpha": [1e-4]}, cv=3)
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        search.fit(X, Y2, sample_weight=WEIGHT)


def test_calibration_takes_the_logits():
    calibrated = CalibratedClassifierCV(classifier(ours), ensemble=False, cv=3)
    calibrated.fit(X, Y2)
    # A calibration of the logits is a straight line in them.
    logits = calibrated.estimator.fit(X, Y2).decision_function(X)
    odds = calibrated.predict_proba(X)[:, 1]
    line = np.polyfit(logits, np.log(odds / (1 - odds)), 1)
    np.testing.assert_allclose(
        np.polyval(line, logits), np.log(odds / (1 - odds)), atol=1e-6
    )


def go_on(estimator, y):
    """Train further in each way that reads the state of an earlier training."""
    estimator = estimator.partial_fit(X, y).partial_fit(X[:60], y[:60])
    return bits(estimator), estimator.predict(X).tobytes()


def fitted(kind, **settings):
    y = Y3 if kind == "MLPClassifier" else YR
    estimator = getattr(ours, kind)(**{**SETTINGS, **settings})
    return estimator.fit(X, y), y


VARIANTS = (
    {},
    {"solver": "sgd"},
    {"dtype": "float32"},
    {"activation": "tanh", "hidden_layer_sizes": (7, 5)},
)
KINDS = ("MLPClassifier", "MLPRegressor")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_everything(kind, settings, protocol):
    estimator, y = fitted(kind, **settings)
    twin = pickle.loads(pickle.dumps(estimator, protocol=protocol))
    assert bits(twin) == bits(estimator)
    assert twin.get_params() == estimator.get_params()
    assert twin.predict(X).tobytes() == estimator.predict(X).tobytes()
    assert go_on(twin, y) == go_on(estimator, y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("mmap_mode", [None, "r", "c"])
def test_joblib_keeps_everything(kind, settings, mmap_mode, tmp_path):
    estimator, y = fitted(kind, **settings)
    joblib.dump(estimator, tmp_path / "model.joblib")
    twin = joblib.load(tmp_path / "model.joblib", mmap_mode=mmap_mode)
    assert twin.predict(X).tobytes() == estimator.predict(X).tobytes()
    assert go_on(twin, y) == go_on(estimator, y)
    untouched = joblib.load(tmp_path / "model.joblib")
    assert bits(untouched) != bits(twin)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_warm_start_of_a_read_only_model(early_stopping, tmp_path):
    estimator, y = fitted(
        "MLPClassifier", warm_start=True, early_stopping=early_stopping
    )
    joblib.dump(estimator, tmp_path / "model.joblib")
    twin = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert bits(twin.fit(X, y)) == bits(estimator.fit(X, y))


def test_clone_has_the_parameters_and_nothing_else():
    estimator, _ = fitted("MLPClassifier", class_weight={0: 2.0}, n_jobs=1)
    twin = clone(estimator)
    assert twin.get_params() == estimator.get_params()
    assert vars(twin).keys() == estimator.get_params().keys()


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learns_parameters_carry_over(kind):
    """Same names and defaults; test_differences.py has their order and ours."""
    other = getattr(theirs, kind)().get_params()
    own = getattr(ours, kind)().get_params()
    assert {name: own[name] for name in other} == other


@pytest.mark.parametrize("kind", KINDS)
def test_refitting_is_deterministic(kind):
    assert bits(fitted(kind)[0]) == bits(fitted(kind)[0])
