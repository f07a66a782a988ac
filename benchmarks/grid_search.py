"""Wall clock of a grid search on all cores, beside scikit-learn's network in the same.

`GridSearchCV(n_jobs=-1)` runs one fit on each core, in processes (joblib's backend
loky) or in threads (threading). Two things can go wrong in a library that uses
threads itself: every fit starts as many threads as there are cores, so that they all
stand in each other's way; and every new process compiles the kernels anew. Neither
shows in the time of a single fit.

"loky, new" starts without worker processes, as in a script of one's own: the time has
their start in it, imports included, which is the same few seconds for any library, and
their first fits. "loky, again" is a search by workers that are there and have fitted
before. Kernels were compiled before (`skmlp.precompile()`), as in every program but the
first after an installation.

`work` is the processor time of all threads and processes, from the start of the workers
to their end, and `cores` is it over the wall clock of that. Threads that stand in each
other's way show in it: more work under one backend than under another, for the same
fits. With workers that were there before, it cannot be told.

`at most` is the ratio that there would be if skmlp's fits were nothing but their
products of matrices, at the rate of SciPy's BLAS on one core, on all cores at once:
scikit-learn's time over that.

Searches of 20 epochs a fit show what is done once a fit and once a process; one of 200,
the estimators' default, what the fits of a usual search cost.

Both libraries train the same numbers, hence must find the same best parameters.
"""

import math
import os
import time
import warnings

import joblib
import machine
import numpy as np
import reporting
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
_CANDIDATES = math.prod(len(values) for values in _GRID.values())
# Joblib's backend, and whether its workers are there before.
_WAYS = {
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
    """Processor time of this process and of all that it started and that have ended."""
    return sum(os.times()[:4])


def stop_workers():
    """End loky's processes: their times are then known, and the next start anew."""
    get_reusable_executor().shutdown(wait=True)


def judged(model, X, y):
    """Accuracy of a fitted model, and how many epochs it was trained for."""
    return {"score": model.score(X, y), "epochs": model.n_iter_}


def searched(library, grid, data, epochs, backend):
    """A finished GridSearchCV."""
    estimator = library.MLPClassifier(max_iter=epochs, random_state=0)
    search = GridSearchCV(
        estimator, grid, cv=_FOLDS, n_jobs=-1, scoring=judged, refit=False
    )
    with warnings.catch_warnings(), joblib.parallel_config(backend):
        # Fits end by max_iter, on purpose. Workers get these filters, too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(*data)


def measured(library, data, epochs, way):
    """One search, its time and what it has found.

    Returns
    -------
    dict
    """
    backend, workers_there = _WAYS[way]
    stop_workers()
    if workers_there:
        few = {"activation": _GRID["activation"]}
        searched(library, few, data, 1, backend)
    processor, start = processor_seconds(), time.perf_counter()
    search = searched(library, _GRID, data, epochs, backend)
    seconds = time.perf_counter() - start
    stop_workers()
    until_the_end = time.perf_counter() - start
    work = None if workers_there else processor_seconds() - processor
    return {
        "seconds": seconds,
        "processor_seconds": work,
        "cores": None if workers_there else work / until_the_end,
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
    """The search of median duration, of those of one library."""
    return sorted(searches, key=lambda found: found["seconds"])[len(searches) // 2]


def measure(problem, way, wanted, rate):
    """Searches of both libraries, in turns.

    Parameters
    ----------
    problem : tuple
        One of those above.
    way : str
        One of the ways above.
    wanted : argparse.Namespace
    rate : float
        Operations a second of SciPy's products on all cores, each by itself.

    Returns
    -------
    dict
    """
    name, make_data, epochs, quick_epochs = problem
    data = make_data()
    epochs = quick_epochs if wanted.quick else epochs
    rounds = [
        {
            library: measured(module, data, epochs, way)
            for library, module in _LIBRARIES.items()
        }
        for _ in range(wanted.rounds)
    ]
    found = {
        library: median_search([searches[library] for searches in rounds])
        for library in _LIBRARIES
    }
    ours, theirs = found["skmlp"], found["sklearn"]
    results = [found[library].pop("results") for library in found]
    scores = [each["mean_test_score"] for each in results]
    return {
        "problem": name,
        "way": way,
        "epochs": epochs,
        "searches": found,
        "ratio": theirs["seconds"] / ours["seconds"],
        "ratio_at_most": theirs["seconds"] * rate / operations(data, results[0]),
        "best_params": results[0]["params"][scores[0].argmax()],
        "same_best": bool(scores[0].argmax() == scores[1].argmax()),
        "largest_difference_of_scores": float(np.abs(scores[0] - scores[1]).max()),
    }


def line(entry):
    """One line of the table, in seconds."""
    name = f"{entry['problem']}, {entry['epochs']} epochs"
    columns = [f"{name:<23}{entry['way']:<12}"]
    for found in entry["searches"].values():
        columns.append(f"{found['seconds']:>9.2f}")
        known = found["processor_seconds"] is not None
        columns.append(
            f"{found['processor_seconds']:>8.2f}{found['cores']:>7.2f}"
            if known
            else f"{'-':>8}{'-':>7}"
        )
    columns.append(reporting.against(entry["ratio"], _GOAL))
    columns.append(f"{entry['ratio_at_most']:>8.2f}x")
    columns.append(f"   scores differ by {entry['largest_difference_of_scores']:.0e}")
    if not entry["same_best"]:
        columns.append("  BEST PARAMETERS DIFFER")
    return "".join(columns)


def run(wanted):
    """Measure everything, printing as it goes.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": vars(wanted), "goal": _GOAL}
    print(
        f"{_CANDIDATES} candidates x {_FOLDS} folds on {joblib.cpu_count()} cores; "
        f"seconds of clock (median of {wanted.rounds}) and processors\n"
    )
    columns = "".join(f"{name:>9}{'work':>8}{'cores':>7}" for name in _LIBRARIES)
    print(f"{'':<35}{columns}{'ratio':>8}{'goal':>8}{'at most':>17}")
    skmlp.precompile()
    rate = machine.Gemm("float64", threads=1).best_rate * joblib.cpu_count()
    report["results"] = []
    for problem in _PROBLEMS:
        for way in _WAYS:
            report["results"].append(measure(problem, way, wanted, rate))
            print(line(report["results"][-1]), flush=True)
    return report


def main():
    reporting.main(
        __doc__,
        run,
        quick="a quarter of the epochs",
        rounds={"type": int, "default": 1, "help": "default 1"},
    )


if __name__ == "__main__":
    main()
