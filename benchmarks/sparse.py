"""Time of an epoch on sparse text, beside scikit-learn.

Bags of words are what people give to scikit-learn's networks as sparse matrices: some
80 words out of 20,000 in a text, and a first layer of two million weights. The product
of a batch is then the smaller part of a step. The larger part is the update of all
weights, most of which have no gradient: Adam's moments change all the same.

With ``--data`` the texts are the training set of 20 newsgroups, as TF-IDF; without, a
matrix of the same shape is generated, whose columns follow Zipf's law as words do.
scikit-learn and skmlp get the same CSR matrix and must come to the same loss.
"""

import math

import joblib
import numpy as np
import peers
import real_data
import scenario
import timing
import workloads
from scipy.sparse import csr_matrix

_GOAL = 3.0
_ROWS, _FEATURES, _CLASSES = 11_314, 20_000, 20
_WORDS = 90
_EPOCHS = 2
_SAME_LOSS = {"float32": 1e-3, "float64": 1e-9}


def generated():
    """Texts of random words, low ranks more often than high ones, and their labels.

    Returns
    -------
    X : csr_matrix
        Rows of length 1 as TF-IDF has them.
    y : ndarray
    """
    generator = np.random.default_rng(0)
    frequencies = 1 / np.arange(10, _FEATURES + 10)
    frequencies /= frequencies.sum()
    # Columns of a vocabulary are in no order of frequency.
    column_of_rank = generator.permutation(_FEATURES)
    words = generator.choice(_FEATURES, size=(_ROWS, _WORDS), p=frequencies)
    rows = np.repeat(np.arange(_ROWS), _WORDS)
    ones = np.ones(words.size)
    X = csr_matrix((ones, (rows, column_of_rank[words.ravel()])), (_ROWS, _FEATURES))
    X.sum_duplicates()
    texts_with = np.bincount(X.indices, minlength=_FEATURES)
    rarity = np.log((1 + _ROWS) / (1 + texts_with)) + 1
    X.data = (1 + np.log(X.data)) * rarity[X.indices]
    lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X.data /= np.repeat(lengths, np.diff(X.indptr))
    y = (X @ generator.standard_normal((_FEATURES, _CLASSES))).argmax(axis=1)
    return X, y


def texts(folder):
    """TF-IDF of 20 newsgroups from a folder, or a generated matrix without one.

    Returns
    -------
    X : csr_matrix
    y : ndarray
    """
    if folder is None:
        return generated()
    loader = real_data.loader(folder)
    bunch = loader.load("twenty_newsgroups")
    return loader.tfidf(bunch.X_train, max_features=_FEATURES)[0], bunch.y_train


def compare(X, y, dtype, rounds):
    """Times of both libraries in one precision.

    Returns
    -------
    dict
    """
    workload = workloads.Workload(
        "multiclass", X.shape[1], (100,), _CLASSES, "relu", 200, X.shape[0], _EPOCHS
    )
    data = X.astype(dtype), y
    both = peers.with_sklearn(workload, data, joblib.cpu_count())
    times = timing.results_in_turns(both, _EPOCHS, rounds)
    ours, theirs = times["skmlp"], times["sklearn"]
    return {
        "dtype": dtype,
        "times": times,
        "epoch_ratio": theirs["epoch"] / ours["epoch"],
        "fit_ratio": theirs["fit"] / ours["fit"],
        "same_loss": math.isclose(
            ours["loss"], theirs["loss"], rel_tol=_SAME_LOSS[dtype]
        ),
    }


def line(entry):
    """One line of the table; times in milliseconds an epoch."""
    ours, theirs = (1e3 * entry["times"][name]["epoch"] for name in entry["times"])
    return (
        f"{entry['dtype']:<10}{ours:>10.0f}{theirs:>10.0f}"
        f"{scenario.against(entry['epoch_ratio'], _GOAL)}"
        f"   fit of {_EPOCHS} epochs {entry['fit_ratio']:.2f}x"
        + ("" if entry["same_loss"] else "  LOSSES DIFFER")
    )


def setup(options):
    """Print the heading; the matrix and the labels."""
    X, y = texts(options.data)
    source = "20 newsgroups" if options.data else "generated"
    print(
        f"{source}, {X.shape[0]:,} x {X.shape[1]:,}, {X.nnz / X.shape[0]:.0f} "
        f"non-zeros a row; 100 units, batches of 200; milliseconds an epoch\n"
    )
    print(f"{'':<10}{'skmlp':>10}{'sklearn':>10}{'ratio':>8}{'goal':>8}")
    return X, y


def measure(data, options):
    """Yield the comparison in each precision."""
    for dtype in options.dtype:
        yield compare(*data, dtype, options.rounds)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="float32 alone, one round",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": scenario.folder("the texts"),
        "rounds": scenario.rounds(5, 1),
        "dtype": scenario.dtypes(brief=("float32",)),
    },
    goal=_GOAL,
)


if __name__ == "__main__":
    SCENARIO.main()
