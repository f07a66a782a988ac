"""Time of an epoch on sparse text, beside scikit-learn.

Bags of words are what people give to scikit-learn's networks as sparse matrices: some
80 words out of 20,000 in a text, and a first layer of two million weights. The product
of a batch is then the smaller part of a step. The larger part is the update of all
weights, most of which have no gradient: Adam's moments change all the same.

With ``--data`` the texts are the training set of 20 newsgroups, as TF-IDF; without, a
matrix of the same shape is generated, whose columns follow Zipf's law as words do.
scikit-learn and skmlp get the same CSR matrix and must come to the same loss.

Then a vocabulary that nobody has cut, 130,000 generated words: time of an epoch and
memory, each library in a separate process (Linux only). The memory is the peak that
the system has seen (`getrusage`) less what the process held before the fit, when X was
there already, in MB and in vectors of all parameters. Four are needed: the parameters,
Adam's two moments and the gradient. A fifth, which skmlp has, are the initial weights.
"""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import peers
import real_data
import scenario
import timing
import workloads
from scipy.sparse import csr_matrix, save_npz

_GOAL = 3.0
# Of the whole vocabulary: ratio of the times, and vectors of all parameters.
_WIDE_GOAL, _VECTORS_GOAL = 5.0, 4.0
_ROWS, _FEATURES, _CLASSES = 11_314, 20_000, 20
_WIDE = 130_000
_WORDS = 90
_EPOCHS = 2
_SAME_LOSS = {"float32": 1e-3, "float64": 1e-9}


# Fits of one and of three epochs; a first fit of few columns compiles.
_FIT = """
import json, resource, sys, time, warnings
import numpy as np
from scipy.sparse import load_npz
from {module} import MLPClassifier

def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * resource.getpagesize()

def seconds_of(epochs, X):
    model = MLPClassifier((100,), max_iter=epochs, random_state=0)
    start = time.perf_counter()
    model.fit(X, y[:X.shape[0]])
    return time.perf_counter() - start, model.loss_

warnings.simplefilter("ignore")  # one epoch converges nowhere
X, y = load_npz({matrix!r}).astype({dtype!r}), np.load({labels!r})
seconds_of(1, X[:400, :1000])
before = resident()
one, loss = seconds_of(1, X)
memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
three, _ = seconds_of(3, X)
print(json.dumps(
    {{"fit": one, "epoch": (three - one) / 2, "loss": loss, "memory": memory}}
))
"""


def generated(n_features=_FEATURES):
    """Texts of random words, low ranks more often than high ones, and their labels.

    Returns
    -------
    X : csr_matrix
        Rows of length 1 as TF-IDF has them.
    y : ndarray
    """
    generator = np.random.default_rng(0)
    frequencies = 1 / np.arange(10, n_features + 10)
    frequencies /= frequencies.sum()
    # Columns of a vocabulary are in no order of frequency.
    column_of_rank = generator.permutation(n_features)
    words = generator.choice(n_features, size=(_ROWS, _WORDS), p=frequencies)
    rows = np.repeat(np.arange(_ROWS), _WORDS)
    ones = np.ones(words.size)
    X = csr_matrix((ones, (rows, column_of_rank[words.ravel()])), (_ROWS, n_features))
    X.sum_duplicates()
    texts_with = np.bincount(X.indices, minlength=n_features)
    rarity = np.log((1 + _ROWS) / (1 + texts_with)) + 1
    X.data = (1 + np.log(X.data)) * rarity[X.indices]
    lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X.data /= np.repeat(lengths, np.diff(X.indptr))
    y = (X @ generator.standard_normal((n_features, _CLASSES))).argmax(axis=1)
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


def in_own_process(module, paths, dtype):
    """Times, loss and memory of one library's fits of the wide matrix.

    Returns
    -------
    dict
    """
    program = _FIT.format(
        module=module,
        dtype=dtype,
        matrix=str(paths[0]),
        labels=str(paths[1]),
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def compare_wide(paths, shape, dtype):
    """Times and memory of both libraries with the whole vocabulary.

    Returns
    -------
    dict
    """
    found = {
        name: in_own_process(module, paths, dtype)
        for name, module in (
            ("skmlp", "skmlp"),
            ("sklearn", "sklearn.neural_network"),
        )
    }
    ours, theirs = found["skmlp"], found["sklearn"]
    n_params = (shape[1] + 1) * 100 + 101 * _CLASSES
    return {
        "dtype": dtype,
        "wide": True,
        "times": found,
        "vector": n_params * np.dtype(dtype).itemsize,
        "epoch_ratio": theirs["epoch"] / ours["epoch"],
        "same_loss": math.isclose(
            ours["loss"], theirs["loss"], rel_tol=_SAME_LOSS[dtype]
        ),
    }


def wide_line(entry):
    """One line of the second table; milliseconds an epoch, and MB."""
    ours, theirs = (entry["times"][name] for name in entry["times"])
    times = [1e3 * each["epoch"] for each in (ours, theirs)]
    memory = [each["memory"] for each in (ours, theirs)]
    vectors = [each / entry["vector"] for each in memory]
    return (
        f"{entry['dtype']:<10}{times[0]:>10.0f}{times[1]:>10.0f}"
        f"{scenario.against(entry['epoch_ratio'], _WIDE_GOAL)}"
        + ("" if entry["same_loss"] else "  LOSSES DIFFER")
        + f"\n{'  memory':<10}{memory[0] / 1e6:>10.0f}{memory[1] / 1e6:>10.0f}   "
        f"{vectors[0]:.1f} and {vectors[1]:.1f} vectors, goal {_VECTORS_GOAL:g}  "
        f"{'met' if vectors[0] <= _VECTORS_GOAL else 'MISSED'}"
    )


def line(entry):
    """One line of the table; times in milliseconds an epoch."""
    if "wide" in entry:
        return wide_line(entry)
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
    X, y = generated(_WIDE)
    density = f"{X.nnz / X.shape[0]:.0f} non-zeros a row"
    yield f"\ngenerated, {X.shape[0]:,} x {X.shape[1]:,}, {density}"
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "X.npz"), Path(folder, "y.npy")
        save_npz(paths[0], X, compressed=False)
        np.save(paths[1], y)
        for dtype in options.dtype:
            yield compare_wide(paths, X.shape, dtype)


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
