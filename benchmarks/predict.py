"""Time of predictions on the CPU, of one row and of a million, beside scikit-learn.

A service that answers requests predicts one row at a time, and there everything but
arithmetic counts: validation, the call of a kernel, the start of threads that do not
pay. Scoring a table is the other end: a million rows of 50 features through 100 units,
which scikit-learn computes in one piece, with a hidden layer of a million rows.

The figure for one row is the median of many calls, taken in short series in turns; that
for a million rows is the median of some rounds. Both estimators are fitted for one
epoch on a few rows, since the time does not depend on what they have learned. Both must
predict the same.

`at most` is the ratio that skmlp would reach if it did nothing but the matrix products,
at the rate of SciPy's BLAS.
"""

import statistics
import time
from functools import partial

import joblib
import machine
import numpy as np
import peers
import scenario
import timing
import workloads

_GOALS = {"one row": 1.0, "many rows": 3.0}
_FEATURES, _UNITS = 50, 100
_TASKS = {"binary": 1, "multiclass": 10, "regression": 1}
# Calls of one estimator before the other's turn.
_SERIES = 50
_SAME = {"float32": 1e-4, "float64": 1e-9}


def estimators(task, dtype):
    """An estimator of each library, fitted to the same rows.

    Returns
    -------
    dict
    """
    shape = (_FEATURES, (_UNITS,), _TASKS[task])
    workload = workloads.Workload(task, *shape, "relu", 200, 1_000, 1)
    data = workloads.data(workload, dtype)
    both = peers.with_sklearn(workload, data, joblib.cpu_count())
    return {name: peer.train(1) for name, peer in both.items()}


def methods(task):
    return ("predict",) if task == "regression" else ("predict", "predict_proba")


def seconds_of_one_row(calls, n_calls):
    """Median seconds of a call, over short series of calls in turns."""
    times = {name: [] for name in calls}
    for _ in range(max(1, n_calls // _SERIES)):
        for name, call in calls.items():
            timing.settle()
            call()  # after a rest the processor is slow for a moment
            for _ in range(_SERIES):
                start = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(series) for name, series in times.items()}


def same(calls, dtype):
    """Whether all give the same numbers, or labels for nearly all rows."""
    ours, theirs = (call() for call in calls.values())
    if ours.dtype.kind == "i":
        return bool(np.mean(ours == theirs) > 0.999)
    return bool(np.allclose(ours, theirs, rtol=_SAME[dtype], atol=_SAME[dtype]))


def make_entry(what, task, dtype, method, seconds, agree):
    """One line's figures, fit for JSON."""
    ratio = seconds["sklearn"] / seconds["skmlp"]
    return {
        "what": what,
        "task": task,
        "dtype": dtype,
        "method": method,
        "seconds": seconds,
        "ratio": ratio,
        "goal": _GOALS[what],
        "same_predictions": agree,
    }


def with_limit(entry_so_far, n_rows, rate):
    """An entry of many rows with the ratio that matrix products alone would have."""
    operations = 2 * n_rows * _UNITS * (_FEATURES + _TASKS[entry_so_far["task"]])
    at_most = entry_so_far["seconds"]["sklearn"] * rate / operations
    return entry_so_far | {"ratio_at_most": at_most}


def line(entry):
    """One line of the table, in microseconds or milliseconds."""
    unit, factor = ("us", 1e6) if entry["what"] == "one row" else ("ms", 1e3)
    ours, theirs = (factor * entry["seconds"][name] for name in ("skmlp", "sklearn"))
    name = f"{entry['what']}, {entry['task']}, {entry['method']}"
    return (
        f"{name:<42}{entry['dtype']:<9}{ours:>9.1f} {unit}{theirs:>9.1f} {unit}"
        f"{scenario.against(entry['ratio'], entry['goal']):<25}"
        + (f"{entry['ratio_at_most']:>6.2f}x" if "ratio_at_most" in entry else "")
        + ("" if entry["same_predictions"] else "  PREDICTIONS DIFFER")
    )


def compare(task, dtype, options):
    """Yield the entries of one task and precision."""
    generator = np.random.default_rng(1)
    many = generator.standard_normal((options.rows, _FEATURES), dtype=dtype)
    fitted = estimators(task, dtype)
    rate = machine.Gemm(dtype, joblib.cpu_count()).best_rate
    for what, X in (("one row", many[:1].copy()), ("many rows", many)):
        for method in methods(task):
            calls = {
                name: partial(getattr(estimator, method), X)
                for name, estimator in fitted.items()
            }
            agree = same(calls, dtype)
            if what == "one row":
                seconds = seconds_of_one_row(calls, options.calls)
                yield make_entry(what, task, dtype, method, seconds, agree)
            else:
                seconds = timing.medians_in_turns(calls, options.rounds)
                entry = make_entry(what, task, dtype, method, seconds, agree)
                yield with_limit(entry, options.rows, rate)


def setup(options):
    """Print the heading."""
    print(
        f"one row: median of {options.calls} calls; many rows: {options.rows:,} x "
        f"{_FEATURES} through {_UNITS} units, median of {options.rounds}\n"
    )
    print(f"{'':<51}{'skmlp':>12}{'sklearn':>12}{'ratio':>8}{'goal':>8}{'at most':>16}")


def measure(_, options):
    """Yield the comparisons of all tasks in both precisions."""
    for task in _TASKS:
        for dtype in scenario.BOTH_DTYPES:
            yield from compare(task, dtype, options)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="100,000 rows, fewer calls and rounds",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "rows": {"type": int, "full": 1_000_000, "brief": 100_000},
        "calls": {"type": int, "help": "of one row", "full": 2_000, "brief": 500},
        "rounds": scenario.rounds(5, 3),
    },
    goal=_GOALS,
)


if __name__ == "__main__":
    SCENARIO.main()
