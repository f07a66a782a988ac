"""Time of an epoch by every choice of the catalog, beside the default's.

"As fast as the default" is a promise for whatever is chosen: an activation, a loss,
dropout, an optimizer is a loop over numbers that are in the cache anyway. Every row of
the tables is timed in turns with relu, adam and no regularization on the same network,
data and threads. The networks are of a size that scikit-learn's users train; on larger
ones the products of matrices hide the rest, on smaller ones the rest is all there is.

A ratio is the median over rounds of a choice's time over that of the default right
before it, so that what the machine does meanwhile meets both. There is no pause between
them: nobody else's threads have to come to rest.
"""

import statistics
import time

import numpy as np
import reporting
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
    """One choice on one workload, as `timing` wants its contestants."""

    def __init__(self, choice, workload, data, threads):
        kind = MLPRegressor if workload.task == "regression" else MLPClassifier
        self._model = kind(
            hidden_layer_sizes=workload.hidden,
            batch_size=workload.batch_size,
            # Small, so that none diverges: what is timed does not depend on it.
            learning_rate_init=1e-4,
            tol=0.0,
            # With an end, so that there is no warning of too few epochs.
            learning_rate="cosine",
            n_iter_no_change=np.inf,
            random_state=0,
            n_jobs=threads,
            **choice,
        )
        self._data = data

    def fit(self, epochs):
        """Train for so many epochs; returns the last loss."""
        return self._model.set_params(max_iter=epochs).fit(*self._data).loss_


def choices(task):
    """All that is to be timed for a task, by kind and name.

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
    """Synthetic data; positive targets, which every regression's loss can take."""
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


def measure(workload, of_kind, wanted):
    """Milliseconds an epoch of each choice, and times the default's.

    Returns
    -------
    dict of (float, float)
    """
    data = data_of(workload, wanted.dtype)
    default = Fitter(_DEFAULT, workload, data, wanted.threads)
    fitters = {
        name: Fitter(choice, workload, data, wanted.threads)
        for name, choice in of_kind.items()
    }
    for fitter in (default, *fitters.values()):
        fitter.fit(1)  # compiles
    found = {name: [] for name in fitters}
    for _ in range(wanted.rounds):
        for name, fitter in fitters.items():
            before = epoch(default, workload.epochs)
            own = epoch(fitter, workload.epochs)
            found[name].append((own, own / before))
    return {
        name: (
            1e3 * statistics.median(own for own, _ in rounds),
            statistics.median(ratio for _, ratio in rounds),
        )
        for name, rounds in found.items()
    }


def lines(kind, times):
    """Yield the lines of one table."""
    yield f"  {kind}"
    for name, (milliseconds, ratio) in times.items():
        limit = _LIMITS.get(name, _LIMITS.get(kind))
        verdict = "" if limit is None else "met" if ratio <= limit else "MISSED"
        goal = "" if limit is None else f"{limit:>7.2f}x  "
        yield f"    {name:<28}{milliseconds:>10.2f}{ratio:>7.2f}x{goal}{verdict}"


def networks(wanted):
    """The networks that were asked for."""
    if wanted.network:
        return [workload for workload in _NETWORKS if workload.name == wanted.network]
    return _NETWORKS[:1] if wanted.quick else _NETWORKS


def run(wanted):
    """Measure all, printing as they come.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": vars(wanted), "limits": _LIMITS}
    print(f"{wanted.dtype}, threads: {wanted.threads}, rounds: {wanted.rounds}")
    print("milliseconds an epoch, and times the default's")
    report["results"] = []
    for workload in networks(wanted):
        print(f"\n{workload.name}")
        for kind, of_kind in choices(workload.task).items():
            times = measure(workload, of_kind, wanted)
            report["results"].append(
                {"workload": workload.name, "kind": kind, "choices": times}
            )
            print(*lines(kind, times), sep="\n", flush=True)
    return report


def main():
    reporting.main(
        __doc__,
        run,
        quick="the first network alone",
        rounds={
            "type": int,
            "help": "default 15, with --quick 3",
            "full": 15,
            "brief": 3,
        },
        threads={"type": int, "default": 1, "help": "default 1"},
        network={
            "choices": [workload.name for workload in _NETWORKS],
            "help": "that one alone; default all",
        },
        dtype={"choices": ("float32", "float64"), "default": "float32"},
    )


if __name__ == "__main__":
    main()
