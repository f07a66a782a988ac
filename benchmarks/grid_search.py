"""Wall clock of a grid search on all cores, beside scikit-learn's network in the same.

`GridSearchCV(n_jobs=-1)` runs one fit on each core, in processes (joblib's backend
loky) or in threads (threading). Two things can go wrong in a library that uses
threads itself: every fit starts as many threads as there are cores
(oversubscription), and every new process compiles the kernels anew. Neither shows in
the time of a single fit.

"loky, new" starts without worker processes, as in a user's script: its time includes
their start, imports included, which takes the same few seconds for any library, and
their first fits. "loky, again" is a search by workers that are running and have fitted
before. Kernels were compiled before (`skmlp.precompile()`), as in every program but the
first after an installation.

`work` is the processor time of all threads and processes, from the start of the workers
to their end, and `cores` is that time over its wall clock. Oversubscription shows in
it: more work under one backend than under another, for the same fits. It is unknown for
workers that were running before.

`at most` is the ratio that skmlp would reach if its fits were nothing but their matrix
products, at the rate of SciPy's BLAS on one core, on all cores at once.

Searches of 20 epochs a fit show the costs per fit and per process; searches of 200, the
estimators' default, show what a usual search costs.

Both libraries train the same numbers, hence must find the same best parameters.
"""

import math
import os
import time
import warnings

import joblib
import machine
import numpy as np
import scenario
import workloads
from joblib.externals.loky import get_reusable_executor
from sklearn import neural_network
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import skmlp

_GOAL = 5.0
_FOLDS = 5
_GRID = {
    "hidden_layer_sizes": [(50,), (100,), (50, 50)],
    "activation": ["relu", "tanh"],
    "alpha": [1e-4, 1e-2],
    "learning_rate_init": [1e-3, 1e-2],
}
_N_CANDIDATES = math.prod(len(values) for values in _GRID.values())
# Joblib's backend, and whether its workers are running before the search.
_BACKENDS = {
    "loky, new": ("loky", False),
    "loky, again": ("loky", True),
    "threading": ("threading", False),
}
_LIBRARIES = {"skmlp": skmlp, "sklearn": neural_network}


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def rows_20_000():
    return make_classification(
        20_000, 40, n_informative=20, n_classes=3, class_sep=0.7, random_state=0
    )


# Name, data and epochs of each fit, in the whole benchmark and in the quick one.
_PROBLEMS = (
    ("digits", digits, 20, 5),
    ("digits", digits, 200, 50),
    ("20,000 x 40", rows_20_000, 4, 1),
)


def processor_seconds():
    """Processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def stop_workers():
    """End loky's processes, so that their times are known and the next ones are new."""
    get_reusable_executor().shutdown(wait=True)


def scores_of(model, X, y):
    """Accuracy of a fitted model, and for how many epochs it was trained."""
    return {"score": model.score(X, y), "epochs": model.n_iter_}


def searched(library, grid, data, epochs, backend):
    """A finished GridSearchCV."""
    estimator = library.MLPClassifier(max_iter=epochs, random_state=0)
    search = GridSearchCV(
        estimator, grid, cv=_FOLDS, n_jobs=-1, scoring=scores_of, refit=False
    )
    with warnings.catch_warnings(), joblib.parallel_config(backend):
        # Fits end by max_iter on purpose. Workers get these filters, too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(*data)


def timed_search(library, data, epochs, backend):
    """One search: its time and its results.

    Returns
    -------
    dict
    """
    joblib_backend, workers_run = _BACKENDS[backend]
    stop_workers()
    if workers_run:
        small_grid = {"activation": _GRID["activation"]}
        searched(library, small_grid, data, 1, joblib_backend)
    processor, start = processor_seconds(), time.perf_counter()
    search = searched(library, _GRID, data, epochs, joblib_backend)
    seconds = time.perf_counter() - start
    stop_workers()
    until_the_end = time.perf_counter() - start
    work = None if workers_run else processor_seconds() - processor
    return {
        "seconds": seconds,
        "processor_seconds": work,
        "cores": None if workers_run else work / until_the_end,
        "results": search.cv_results_,
    }


def operations(data, results):
    """Operations in the products of matrices of all fits of a search."""
    X, y = data
    rows = len(X) * (_FOLDS - 1) // _FOLDS
    total = 0
    for hidden, epochs in zip(
        results["param_hidden_layer_sizes"], results["mean_test_epochs"], strict=True
    ):
        shape = ("multiclass", X.shape[1], hidden, len(np.unique(y)), "relu")
        one_epoch = workloads.Workload(*shape, 200, rows, 1).flops
        total += one_epoch * epochs * _FOLDS
    return total


def median_search(searches):
    """One library's search of median duration."""
    return sorted(searches, key=lambda search: search["seconds"])[len(searches) // 2]


def compare(problem, backend, options, rate):
    """Searches of both libraries, in turns.

    Parameters
    ----------
    problem : tuple
        One of those above.
    backend : str
        A key of `_BACKENDS`.
    options : argparse.Namespace
    rate : float
        Operations a second of SciPy's products, one thread on each core.

    Returns
    -------
    dict
    """
    name, make_data, epochs, quick_epochs = problem
    data = make_data()
    epochs = quick_epochs if options.quick else epochs
    rounds = [
        {
            library: timed_search(module, data, epochs, backend)
            for library, module in _LIBRARIES.items()
        }
        for _ in range(options.rounds)
    ]
    searches = {
        library: median_search([by_library[library] for by_library in rounds])
        for library in _LIBRARIES
    }
    ours, theirs = searches["skmlp"], searches["sklearn"]
    results = [search.pop("results") for search in searches.values()]
    scores = [each["mean_test_score"] for each in results]
    return {
        "problem": name,
        "backend": backend,
        "epochs": epochs,
        "searches": searches,
        "ratio": theirs["seconds"] / ours["seconds"],
        "ratio_at_most": theirs["seconds"] * rate / operations(data, results[0]),
        "best_params": results[0]["params"][scores[0].argmax()],
        "same_best": bool(scores[0].argmax() == scores[1].argmax()),
        "largest_difference_of_scores": float(np.abs(scores[0] - scores[1]).max()),
    }


def line(entry):
    """One line of the table, in seconds."""
    name = f"{entry['problem']}, {entry['epochs']} epochs"
    columns = [f"{name:<23}{entry['backend']:<12}"]
    for search in entry["searches"].values():
        columns.append(f"{search['seconds']:>9.2f}")
        known = search["processor_seconds"] is not None
        columns.append(
            f"{search['processor_seconds']:>8.2f}{search['cores']:>7.2f}"
            if known
            else f"{'-':>8}{'-':>7}"
        )
    columns.append(scenario.against(entry["ratio"], _GOAL))
    columns.append(f"{entry['ratio_at_most']:>8.2f}x")
    columns.append(f"   scores differ by {entry['largest_difference_of_scores']:.0e}")
    if not entry["same_best"]:
        columns.append("  BEST PARAMETERS DIFFER")
    return "".join(columns)


def setup(options):
    """Print the heading and compile; the rate of SciPy's products."""
    print(
        f"{_N_CANDIDATES} candidates x {_FOLDS} folds on {joblib.cpu_count()} cores; "
        f"seconds of clock (median of {options.rounds}) and processors\n"
    )
    columns = "".join(f"{name:>9}{'work':>8}{'cores':>7}" for name in _LIBRARIES)
    print(f"{'':<35}{columns}{'ratio':>8}{'goal':>8}{'at most':>17}")
    skmlp.precompile()
    return machine.Gemm("float64", threads=1).best_rate * joblib.cpu_count()


def measure(rate, options):
    """Yield the comparisons of all problems by all backends."""
    for problem in _PROBLEMS:
        for backend in _BACKENDS:
            yield compare(problem, backend, options, rate)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="a quarter of the epochs",
    setup=setup,
    measure=measure,
    line=line,
    options={"rounds": scenario.rounds(1, 1)},
    goal=_GOAL,
)


if __name__ == "__main__":
    SCENARIO.main()
