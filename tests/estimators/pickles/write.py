"""Write a pickle of a small model of each kind, and what it predicts, for a release.

``python tests/estimators/pickles/write.py`` makes the folder of this release beside
this script. It is run once, before the release, and the folder is never changed again:
`tests/estimators/test_saved_models.py` loads the models of all releases.
"""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse

import skmlp
from skmlp import (
    HiddenFeatures,
    MLPAutoencoder,
    MLPClassifier,
    MLPRegressor,
    TabularMLPClassifier,
    TabularPreprocessor,
)

# A formula: generators of random numbers may change.
X = np.sin(np.outer(np.arange(1, 41), np.arange(1, 5)))
CODES = np.arange(40) % 3
NAMES = np.array(["ash", "beech", "cedar"])
NUMBERS = X @ np.array([1.0, -2.0, 0.5, 0.25])
LABELS = (X[:, :3] > 0).astype(int)
SPARSE = sparse.csr_matrix(np.where(np.abs(X) > 0.5, X, 0.0))
TABLE = np.column_stack([X[:, :2].astype(object), NAMES[CODES]])
COMMON = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0}
# What each kind is fitted on, and the methods whose outputs are kept.
CLASSIFIER, REGRESSOR = ("predict", "predict_proba"), ("predict",)


def models():
    """Fitted models by name, with what they predict on and their methods."""
    one = X.astype(np.float32)
    yield "classifier", MLPClassifier(**COMMON).fit(X, NAMES[CODES]), X, CLASSIFIER
    yield (
        "binary",
        MLPClassifier(**COMMON, prior=[0.3, 0.7]).fit(one, CODES > 0),
        (one),
        CLASSIFIER,
    )
    yield (
        "multilabel",
        MLPClassifier(**COMMON, normalization="batch").fit(X, LABELS),
        X,
        CLASSIFIER,
    )
    yield (
        "columns",
        MLPClassifier(**COMMON, normalization="layer").fit(
            X, np.column_stack([CODES, CODES > 0])
        ),
        X,
        REGRESSOR,
    )
    yield (
        "ordinal",
        MLPClassifier(**COMMON, loss="ordinal").fit(X, NAMES[CODES]),
        X,
        CLASSIFIER,
    )
    yield "sparse", MLPClassifier(**COMMON).fit(SPARSE, CODES), SPARSE, CLASSIFIER
    yield (
        "stopped",
        MLPClassifier(**COMMON, early_stopping=True).fit(X, CODES),
        X,
        CLASSIFIER,
    )
    incremental = MLPClassifier(**COMMON, shuffle=False)
    for _ in range(2):
        incremental.partial_fit(X, CODES, classes=[0, 1, 2])
    yield "partial_fit", incremental, X, CLASSIFIER
    yield "regressor", MLPRegressor(**COMMON).fit(X, NUMBERS), X, REGRESSOR
    yield (
        "lbfgs",
        MLPRegressor(**COMMON, solver="lbfgs").fit(one, NUMBERS),
        (one),
        REGRESSOR,
    )
    yield (
        "spread",
        MLPRegressor(
            **COMMON, loss="gaussian_nll", scale_target=True, activation="mish"
        ).fit(X, NUMBERS),
        X,
        REGRESSOR,
    )
    yield (
        "quantiles",
        MLPRegressor(
            **COMMON, loss="quantile", quantile=[0.2, 0.8], activation=["gelu"]
        ).fit(X, NUMBERS),
        X,
        REGRESSOR,
    )
    yield (
        "embedding",
        MLPRegressor(**COMMON, embedding="piecewise_linear", n_bins=4).fit(X, NUMBERS),
        X,
        REGRESSOR,
    )
    yield (
        "autoencoder",
        MLPAutoencoder((5, 2, 5), max_iter=4, random_state=0).fit(X),
        X,
        ("transform", "reconstruct", "score_samples"),
    )
    yield (
        "features",
        HiddenFeatures(MLPRegressor(**COMMON)).fit(X, NUMBERS),
        X,
        ("transform",),
    )
    encoder = TabularPreprocessor().fit(TABLE)
    yield "preprocessor", encoder, TABLE, ("transform",)
    yield (
        "tabular",
        TabularMLPClassifier(n_members=2, random_state=0, mlp_params=COMMON).fit(
            TABLE, CODES
        ),
        TABLE,
        CLASSIFIER,
    )


def further(model):
    """What a model predicts after another call of `partial_fit`."""
    return model.partial_fit(X, CODES).predict_proba(X)


def main():
    """Write the folder of this release."""
    folder = Path(__file__).parent / skmlp.__version__
    if folder.exists():
        sys.exit(f"{folder} is there already, and a release does not change.")
    folder.mkdir()
    warnings.simplefilter("ignore")
    outputs = {}
    for name, model, x, methods in models():
        data = pickle.dumps(model, protocol=4)
        (folder / f"{name}.pickle").write_bytes(data)
        for method in methods:
            outputs[f"{name}.{method}"] = np.asarray(getattr(model, method)(x))
        if name == "partial_fit":
            outputs[f"{name}.further"] = further(model)
        print(f"{name}: {len(data):,} bytes")
    np.savez_compressed(folder / "outputs.npz", **outputs)


if __name__ == "__main__":
    main()
