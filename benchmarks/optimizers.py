"""Time of an epoch by each optimizer, beside adam's.

An optimizer is a loop over the parameters with a few more or less operations in it; the
claim is that none costs noticeably more than adam. What counts most is how many vectors
pass through the memory, so a network that is small for the cache, a usual one, and one
of many weights and small batches stand here, all with the optimizers in turns.
"""

import itertools

import reporting
import timing
import workloads

from skmlp import MLPClassifier, MLPRegressor
from skmlp.rules.optimizers import OPTIMIZERS

_LIMIT = 1.15
# The last is the optimizer's worst case: half a million weights a step of 64 rows.
_NETWORKS = (
    workloads.GRID[0],
    workloads.GRID[8],
    workloads.GRID[11],
    workloads.Workload("multiclass", 784, (512, 256), 10, "relu", 64, 4_096, 3),
)


class Fitter:
    """One optimizer on one workload, as `timing` wants its contestants."""

    def __init__(self, solver, workload, data, n_jobs):
        kind = MLPRegressor if workload.task == "regression" else MLPClassifier
        self._model = kind(
            hidden_layer_sizes=workload.hidden,
            activation=workload.activation,
            solver=solver,
            batch_size=workload.batch_size,
            # Small, so that none diverges: what is timed does not depend on it.
            learning_rate_init=1e-4,
            # With an end, so that there is no warning of too few epochs.
            learning_rate="cosine",
            random_state=0,
            n_jobs=n_jobs,
        )
        self._data = data

    def fit(self, epochs):
        """Train for so many epochs; returns the last loss."""
        return self._model.set_params(max_iter=epochs).fit(*self._data).loss_


def measure(workload, dtype, wanted):
    """Milliseconds an epoch by optimizer.

    Returns
    -------
    dict of float
    """
    data = workloads.data(workload, dtype)
    fitters = {
        name: Fitter(name, workload, data, wanted.threads) for name in OPTIMIZERS
    }
    times = timing.results_in_turns(fitters, workload.epochs, wanted.rounds)
    return {name: 1e3 * found["epoch"] for name, found in times.items()}


def run(wanted):
    """Measure all, printing as they come.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": vars(wanted), "limit": _LIMIT}
    print("\nmilliseconds an epoch, and times adam's\n")
    report["results"] = []
    for workload, dtype in itertools.product(wanted.networks, wanted.dtype):
        times = measure(workload, dtype, wanted)
        report["results"].append(
            {"workload": workload.name, "dtype": dtype, "milliseconds": times}
        )
        print(f"{workload.name}, {dtype}")
        for name, found in times.items():
            ratio = found / times["adam"]
            verdict = "met" if ratio <= _LIMIT else "MISSED"
            print(f"  {name:<10}{found:>10.2f}{ratio:>7.2f}x  {verdict}", flush=True)
    return report


def main():
    parser = reporting.parser(__doc__, quick="float32 and a usual network alone")
    parser.add_argument("--rounds", type=int, help="default 7")
    parser.add_argument("--threads", type=int, default=1, help="default 1")
    wanted = parser.parse_args()
    wanted.rounds = wanted.rounds or (3 if wanted.quick else 7)
    wanted.dtype = ("float32",) if wanted.quick else ("float32", "float64")
    wanted.networks = _NETWORKS[:1] if wanted.quick else _NETWORKS
    reporting.save(run(wanted), wanted.json)


if __name__ == "__main__":
    main()
