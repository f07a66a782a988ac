"""Time of an epoch by every choice of the catalog, beside the default's.

"As fast as the default" is a promise for every choice: an activation, a loss, dropout,
an optimizer is a loop over numbers that are in the cache anyway. Every row of the
tables is timed in turns with relu, Adam and no regularization on the same network, data
and threads. The networks are of a size that scikit-learn's users train; in larger ones
matrix products hide the rest, in smaller ones the rest dominates.

A ratio is the median over rounds of a choice's time over that of the default right
before it, so that a slow moment of the machine hits both. There is no pause between
them: no other library's threads have to stop spinning.
"""

import statistics
import time

import numpy as np
import scenario
import workloads

from skmlp import MLPClassifier, MLPRegressor
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import BINARY_LOSSES, REGRESSION_LOSSES
from skmlp.rules.optimizers import OPTIMIZERS

_DEFAULT = {}
_NETWORKS = (
    workloads.Workload("multiclass", 64, (100,), 10, "relu", 200, 6_000, 12),
    workloads.Workload("regression", 54, (100, 50), 1, "relu", 200, 6_000, 12),
    workloads.Workload("binary", 200, (256, 128), 1, "relu", 256, 6_000, 4),
)
_REGULARIZATIONS = {
    "batch normalization": {"normalization": "batch"},
    "layer normalization": {"normalization": "layer"},
    "dropout": {"dropout": 0.5},
    "input_noise": {"input_noise": 0.1},
    "max_norm": {"max_norm": 3.0},
    "max_grad_norm": {"max_grad_norm": 1.0},
    "weight_decay": {"weight_decay": 1e-4},
    "fit_intercept=False": {"fit_intercept": False},
}
# Largest times of an epoch, relative to the default's.
_LIMITS = {
    "activation": 1.6,
    "solver": 1.15,
    "dropout": 1.15,
    "batch normalization": 1.4,
}


class Fitter:
    """Trains one choice on one workload."""

    def __init__(self, choice, workload, data, threads):
        cls = MLPRegressor if workload.task == "regression" else MLPClassifier
        self._model = cls(
            hidden_layer_sizes=workload.hidden,
            batch_size=workload.batch_size,
            # Small, so that none diverges; the time does not depend on it.
            learning_rate_init=1e-4,
            tol=0.0,
            # A schedule with an end raises no warning of too few epochs.
            learning_rate="cosine",
            n_iter_no_change=np.inf,
            random_state=0,
            n_jobs=threads,
            **choice,
        )
        self._data = data

    def fit(self, epochs):
        """Train for some epochs; returns the last loss."""
        return self._model.set_params(max_iter=epochs).fit(*self._data).loss_


def choices(task):
    """All choices for a task, by category and name.

    Returns
    -------
    dict of dict of dict
        Parameters of the estimator.
    """
    losses = REGRESSION_LOSSES if task == "regression" else BINARY_LOSSES
    regularizations = _REGULARIZATIONS
    if task != "regression":
        regularizations = regularizations | {
            "label_smoothing": {"label_smoothing": 0.1}
        }
    return {
        "activation": {name: {"activation": name} for name in ACTIVATIONS},
        "loss": {name: {"loss": name} for name, _ in losses},
        "regularization": regularizations,
        "solver": {name: {"solver": name} for name in OPTIMIZERS},
    }


def data_of(workload, dtype):
    """Synthetic data; positive targets, which every regression loss accepts."""
    X, y = workloads.data(workload, dtype)
    return X, y + 2 if workload.task == "regression" else y


def epoch(fitter, epochs):
    """Seconds an epoch: a long fit less one of a single epoch."""
    start = time.perf_counter()
    fitter.fit(1)
    between = time.perf_counter()
    fitter.fit(epochs)
    end = time.perf_counter()
    return ((end - between) - (between - start)) / (epochs - 1)


def times_of(workload, choices_of_category, options):
    """Milliseconds an epoch of each choice, and times the default's.

    Returns
    -------
    dict of (float, float)
    """
    data = data_of(workload, options.dtype)
    default = Fitter(_DEFAULT, workload, data, options.threads)
    fitters = {
        name: Fitter(choice, workload, data, options.threads)
        for name, choice in choices_of_category.items()
    }
    for fitter in (default, *fitters.values()):
        fitter.fit(1)  # compiles
    times = {name: [] for name in fitters}
    for _ in range(options.rounds):
        for name, fitter in fitters.items():
            before = epoch(default, workload.epochs)
            seconds = epoch(fitter, workload.epochs)
            times[name].append((seconds, seconds / before))
    return {
        name: (
            1e3 * statistics.median(seconds for seconds, _ in rounds),
            statistics.median(ratio for _, ratio in rounds),
        )
        for name, rounds in times.items()
    }


def line(entry):
    """One category's table."""
    lines = [f"  {entry['category']}"]
    for name, (milliseconds, ratio) in entry["choices"].items():
        limit = _LIMITS.get(name, _LIMITS.get(entry["category"]))
        verdict = "" if limit is None else "met" if ratio <= limit else "MISSED"
        goal = "" if limit is None else f"{limit:>7.2f}x  "
        lines.append(
            f"    {name:<28}{milliseconds:>10.2f}{ratio:>7.2f}x{goal}{verdict}"
        )
    return "\n".join(lines)


def networks(options):
    """The networks that were asked for."""
    if options.network:
        return [workload for workload in _NETWORKS if workload.name == options.network]
    return _NETWORKS[:1] if options.quick else _NETWORKS


def setup(options):
    """Print the heading; the networks."""
    print(f"{options.dtype}, threads: {options.threads}, rounds: {options.rounds}")
    print("milliseconds an epoch, and times the default's")
    return networks(options)


def measure(grid, options):
    """Yield the times of every category of choices on every network."""
    for workload in grid:
        yield f"\n{workload.name}"
        for category, choices_of_category in choices(workload.task).items():
            yield {
                "workload": workload.name,
                "category": category,
                "choices": times_of(workload, choices_of_category, options),
            }


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="the first network alone",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "rounds": scenario.rounds(15, 3),
        "threads": scenario.threads(1),
        "network": {
            "choices": [workload.name for workload in _NETWORKS],
            "help": "that one alone; default all",
        },
        "dtype": {"choices": scenario.BOTH_DTYPES, "default": "float32"},
    },
    goal=_LIMITS,
)


if __name__ == "__main__":
    SCENARIO.main()
