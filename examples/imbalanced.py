"""Rare positives: what class weights change, and what they do not.

Three questions are kept apart. Ranking: do positives get the higher probabilities?
Decisions: which rows are called positive? Calibration: are the probabilities as large
as they claim to be? Each has its own metrics, and class weights, a threshold and no
weights at all answer them differently. The sentences at the end are filled in with the
figures of the run.

The last model is scikit-learn's with the same weights. scikit-learn divides a batch's
loss by the sum of the weights in that batch: in a batch without positives the weights
cancel, and in a batch with one they are capped. skmlp divides by the mean weight of the
training set, the same in every batch.
"""

import time

import numpy as np
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    StratifiedShuffleSplit,
    TunedThresholdClassifierCV,
)
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits  # scikit-learn depends on it

import skmlp

N_SPLITS = 4
PARAMETERS = {
    "hidden_layer_sizes": (32,),
    "batch_size": 100,
    # Weighted fits would go on for hundreds of epochs with little gain.
    "tol": 1e-3,
    "max_iter": 200,
    "random_state": 0,
}
# Functions of the labels, decisions and probabilities.
MEASURES = {
    "average precision": lambda y, _, p: average_precision_score(y, p),
    "ROC AUC": lambda y, _, p: roc_auc_score(y, p),
    "balanced accuracy": lambda y, decisions, _: balanced_accuracy_score(y, decisions),
    "log loss": lambda y, _, p: log_loss(y, p),
    "Brier score": lambda y, _, p: brier_score_loss(y, p),
    "mean probability": lambda _, __, p: np.mean(p),
}
PLAIN, BALANCED, THEIRS = "no weights", "balanced", "balanced, scikit-learn"
SHIFTED, TUNED = "threshold at the share", "tuned threshold"


def rare_positives():
    """Rows of which about 0.5 % are positive; the classes overlap."""
    return make_classification(
        n_samples=40_000,
        n_features=20,
        n_informative=6,
        n_clusters_per_class=2,
        weights=[0.995],
        class_sep=0.7,
        flip_y=0,
        random_state=0,
    )


def candidates(y):
    """Names, models and arguments of `fit`, in the order in which they are fitted."""
    ours = skmlp.MLPClassifier(**PARAMETERS)
    yield PLAIN, ours, {}
    # `ours` is fitted by now: this model only decides otherwise.
    frozen, share = FrozenEstimator(ours), np.mean(y)
    yield SHIFTED, FixedThresholdClassifier(frozen, threshold=share), {}
    # The threshold with the best balanced accuracy in the folds.
    yield TUNED, TunedThresholdClassifierCV(clone(ours), cv=3, random_state=0), {}
    yield BALANCED, skmlp.MLPClassifier(class_weight="balanced", **PARAMETERS), {}
    weights = compute_sample_weight("balanced", y)
    theirs = neural_network.MLPClassifier(**PARAMETERS)
    yield THEIRS, theirs, {"sample_weight": weights}


def fit_all(X, y):
    """Fitted models and the seconds that each took, by name."""
    models, seconds = {}, {}
    for name, model, arguments in candidates(y):
        start = time.perf_counter()
        models[name] = model.fit(X, y, **arguments)
        seconds[name] = time.perf_counter() - start
    return models, seconds


def judge(model, X, y):
    """All measures of one model."""
    decisions, probabilities = model.predict(X), model.predict_proba(X)[:, 1]
    return [measure(y, decisions, probabilities) for measure in MEASURES.values()]


def results_by_split(X, y):
    """Arrays of splits by measures, the last being seconds, by model."""
    results = {}
    splits = StratifiedShuffleSplit(N_SPLITS, test_size=0.5, random_state=0)
    for number, (train, test) in enumerate(splits.split(X, y), start=1):
        print(f"split {number} of {N_SPLITS} ...", flush=True)
        scale = StandardScaler().fit(X[train])
        models, seconds = fit_all(scale.transform(X[train]), y[train])
        for name, model in models.items():
            row = [*judge(model, scale.transform(X[test]), y[test]), seconds[name]]
            results.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in results.items()}


def print_table(results):
    """Means over the splits: a row for each measure, a column for each model."""
    print(f"\n{'':<19}" + "".join(f"{name:>24}" for name in results))
    means = np.array([rows.mean(axis=0) for rows in results.values()])
    for heading, row in zip([*MEASURES, "seconds"], means.T, strict=True):
        print(f"{heading:<19}" + "".join(f"{mean:>24.4f}" for mean in row))


def change(results, measure, before, after):
    """How a measure changes from one model to another, in words."""
    column = list(MEASURES).index(measure)
    changes = results[after][:, column] - results[before][:, column]
    ups = np.sum(changes > 0)
    return f"by {np.mean(changes):+.4f} (up in {ups} of {N_SPLITS} splits)"


def best(results, measure, choose):
    """Names of the models with the best mean of a measure."""
    column = list(MEASURES).index(measure)
    means = {name: np.mean(rows[:, column]) for name, rows in results.items()}
    winner = choose(means.values())
    return " = ".join(name for name, mean in means.items() if mean == winner)


def print_conclusions(results, share):
    """What the table says, question by question."""
    print("\nRanking. Balanced weights change")
    for measure in ("average precision", "ROC AUC"):
        print(f"  the {measure} {change(results, measure, PLAIN, BALANCED)}.")
    print("Decisions. Balanced accuracy changes")
    for words, name in (
        ("with balanced weights", BALANCED),
        ("with a threshold at the share of positives", SHIFTED),
        ("with a threshold tuned by cross-validation", TUNED),
    ):
        print(f"  {change(results, 'balanced accuracy', PLAIN, name)} {words}.")
    print("Calibration. Balanced weights change")
    for measure in ("log loss", "Brier score"):
        print(f"  the {measure} {change(results, measure, PLAIN, BALANCED)}.")
    column = list(MEASURES).index("mean probability")
    for name in (PLAIN, BALANCED):
        mean = np.mean(results[name][:, column])
        print(f"  {name}: mean probability {mean:.4f}, share of positives {share:.4f}.")
    print("From skmlp's weights to scikit-learn's in each batch, balanced accuracy")
    print(f"  changes {change(results, 'balanced accuracy', BALANCED, THEIRS)}.")
    print("Best average precision:", best(results, "average precision", max))
    print("Best balanced accuracy:", best(results, "balanced accuracy", max))
    print("Best log loss:", best(results, "log loss", min))


def main():
    X, y = rare_positives()
    print(f"{len(y)} rows, {np.sum(y)} of them positive; training on a random half")
    print("the first split also compiles the kernels of skmlp, or loads them")
    # With more threads of BLAS scikit-learn takes longer for a network of this size.
    with threadpool_limits(1, user_api="blas"):
        results = results_by_split(X, y)
    print_table(results)
    print_conclusions(results, np.mean(y))


if __name__ == "__main__":
    main()
