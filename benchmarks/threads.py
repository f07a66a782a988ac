"""One thread against all, on a quiet machine and on one that is not idle.

More threads make a step faster only if it is long enough and if each of them has a
core. skmlp tunes their number by the load of the machine and the time of a step. This
benchmark shows whether it chooses well: an epoch with all threads must not take more
than 5 % longer than with one, from the smallest network to the largest: alone; beside
one or two processes that keep a core busy each; beside another fit of skmlp with all
threads; right after a matrix product, when OpenBLAS's workers spin for a tenth of a
second; and in a control group of 1.5 CPUs, where one can be made. And the number of
threads must not show in the numbers: the weights of all layers have the same bits.

One thread and all take turns in every round. A machine that is not quiet has more
neighbors, and its figures mean nothing.
"""

import contextlib
import sys
from functools import partial

import numpy as np
import peers
import scenario
import timing
import workloads
from surroundings import BUSY, can_limit, limited_to, neighbors

# One thread's time over that of all: above 1, more threads are faster.
_GOAL = 0.95
_WORKLOADS = tuple(workloads.GRID[i] for i in (1, 2, 0, 5, 8, 11, 13, 14))
_BITS_EPOCHS = 2
_FIT = """
import warnings
import numpy as np
from skmlp import MLPRegressor
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((20_000, 40))
while True:
    MLPRegressor(hidden_layer_sizes=(100,), max_iter=99, tol=0).fit(X, X[:, 0])
"""
_CPUS = 1.5
_MATRIX = np.ones((600, 600))


def multiply():
    """Let the threads of earlier work rest, then wake those of BLAS."""
    timing.settle()
    _MATRIX @ _MATRIX


# What runs beside the fits, and what comes before each turn.
_SURROUNDINGS = {
    "alone": (contextlib.nullcontext, timing.settle),
    "1 busy": (partial(neighbors, BUSY), timing.settle),
    "2 busy": (partial(neighbors, BUSY, BUSY), timing.settle),
    "1 fit": (partial(neighbors, _FIT), timing.settle),
    "BLAS": (contextlib.nullcontext, multiply),
}
if can_limit():
    _SURROUNDINGS["1.5 CPUs"] = partial(limited_to, _CPUS), timing.settle


def same_bits(both):
    """Whether two peers come to the same weights, bit by bit."""
    one, all_threads = (peer.train(_BITS_EPOCHS) for peer in both.values())
    pairs = zip(
        one.coefs_ + one.intercepts_,
        all_threads.coefs_ + all_threads.intercepts_,
        strict=True,
    )
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


def compare(workload, dtype, options):
    """Times of one workload in all surroundings.

    Returns
    -------
    dict
    """
    data = workloads.data(workload, dtype)
    n_threads = {"one": 1, "all": options.threads}
    both = {name: peers.Skmlp(workload, *data, n) for name, n in n_threads.items()}
    entry = {"name": workload.name, "dtype": dtype, "same_bits": same_bits(both)}
    for name, (surrounding, rest) in _SURROUNDINGS.items():
        with surrounding():
            times = timing.results_in_turns(
                both, workload.epochs, options.rounds, rest=rest
            )
        gain = times["one"]["epoch"] / times["all"]["epoch"]
        entry[name] = {"times": times, "gain": gain}
    return entry


def line(entry):
    """One line of the table; times in milliseconds an epoch."""
    columns = [f"{entry['name']:<39}"]
    for name in _SURROUNDINGS:
        one, every = (1e3 * t["epoch"] for t in entry[name]["times"].values())
        columns.append(f"{one:>9.2f}{every:>9.2f}{entry[name]['gain']:>6.2f}x")
    worst = min(entry[name]["gain"] for name in _SURROUNDINGS)
    columns.append(f"  {'met' if worst >= _GOAL else 'MISSED':<7}")
    columns.append("same bits" if entry["same_bits"] else "BITS DIFFER")
    return "".join(columns)


def setup(options):
    """Print the heading; the workloads."""
    if options.threads < 2:
        sys.exit("one thread cannot be compared with itself")
    print(
        f"one thread and {options.threads}, milliseconds an epoch of skmlp, alone and "
        "beside others; gain: one "
        f"thread's time over that of all, goal at least {_GOAL}; "
        f"rounds: {options.rounds}"
    )
    return _WORKLOADS[::3] if options.quick else _WORKLOADS


def measure(grid, options):
    """Yield the comparisons of all workloads in each precision."""
    for dtype in options.dtype:
        headings = (
            f"{name + ': one':>9}{'all':>9}{'gain':>7}" for name in _SURROUNDINGS
        )
        yield f"\n{dtype:<39}" + "".join(headings)
        for workload in grid:
            yield compare(workload, dtype, options)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 workloads, float32",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "threads": scenario.threads(),
        "dtype": scenario.dtypes(brief=("float32",)),
        "rounds": scenario.rounds(7, 3),
    },
    goal=_GOAL,
)


if __name__ == "__main__":
    SCENARIO.main()
