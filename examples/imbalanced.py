"""Rare positives: class weights, and why a minibatch must not be rescaled by them.

Two rows in a thousand are positive, so most batches have none. scikit-learn divides a
batch's loss by the sum of the weights in that batch: in a batch without positives the
weights cancel, in a batch with one they are capped, and little is left of the balance
asked for. skmlp divides by the mean weight of the training set, the same in every
batch, so that the batches together follow the gradient of the weighted loss.
"""

import time

import numpy as np
from sklearn import neural_network
from sklearn.datasets import make_classification
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

import skmlp

PARAMETERS = {
    "hidden_layer_sizes": (32,),
    "batch_size": 100,
    "alpha": 1.0,
    # Stop when the loss is flat to 0.001: all of the models below then converge.
    "tol": 1e-3,
    "max_iter": 200,
    "random_state": 0,
}


def rare_positives():
    """Standardized training and test sets with about 0.2 % positives."""
    X, y = make_classification(
        n_samples=38_000,
        n_features=20,
        n_informative=6,
        n_clusters_per_class=2,
        weights=[0.998],
        class_sep=1.0,
        flip_y=0,
        random_state=0,
    )
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    scale = StandardScaler().fit(X_train)
    return scale.transform(X_train), scale.transform(X_test), y_train, y_test


def candidates(y_train):
    """Name, model, and what its fit takes besides X and y."""
    weights = compute_sample_weight("balanced", y_train)
    ours, theirs = skmlp.MLPClassifier, neural_network.MLPClassifier
    return [
        ("skmlp, no weights", ours(**PARAMETERS), {}),
        ("skmlp, balanced", ours(class_weight="balanced", **PARAMETERS), {}),
        ("sklearn, balanced", theirs(**PARAMETERS), {"sample_weight": weights}),
    ]


def warm_up(X, y):
    """Compile or load the kernels by a fit that is satisfied at once."""
    start = time.perf_counter()
    content = {**PARAMETERS, "tol": 1e9, "n_iter_no_change": 1}
    skmlp.MLPClassifier(class_weight="balanced", **content).fit(X, y)
    print(f"compiling or loading the kernels: {time.perf_counter() - start:.2f} s")


def main():
    X_train, X_test, y_train, y_test = rare_positives()
    warm_up(X_train, y_train)
    print(f"{np.sum(y_train)} positives among {len(y_train)} training rows")
    print(f"{'':<20}{'balanced accuracy':>18}{'average precision':>18}{'seconds':>9}")
    for name, model, arguments in candidates(y_train):
        start = time.perf_counter()
        model.fit(X_train, y_train, **arguments)
        seconds = time.perf_counter() - start
        accuracy = balanced_accuracy_score(y_test, model.predict(X_test))
        precision = average_precision_score(y_test, model.predict_proba(X_test)[:, 1])
        print(f"{name:<20}{accuracy:>18.3f}{precision:>18.3f}{seconds:>9.2f}")


if __name__ == "__main__":
    main()
