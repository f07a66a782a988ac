"""Time of predictions on the CPU: of one row, of a thousand and of a million.

A service that answers requests predicts one row at a time, and there everything but
arithmetic counts: validation, the call of a kernel, the start of threads that do not
pay. Scoring a table is the other end: a million rows of 50 features through 100 units,
which scikit-learn computes in one piece, with a hidden layer of a million rows.

The peers are scikit-learn and, where it is installed together with skl2onnx, ONNX
Runtime, which runs the graph of scikit-learn's estimator: an engine that validates
nothing.

The figures for one row and a thousand are medians of many calls, taken in short series
in turns; that for a million rows is the median of some rounds. The estimators are
fitted for one epoch on a few rows, since the time does not depend on what they have
learned. All must predict the same.

`at most` is the ratio to scikit-learn that skmlp would reach if it did nothing but the
matrix products, at the rate of SciPy's BLAS.
"""

import importlib.util
import statistics
import time
from functools import partial

import joblib
import machine
import numpy as np
import onnx_peer
import peers
import scenario
import timing
import workloads
from threadpoolctl import threadpool_limits

_GOALS = {"one row": 1.0, "1,000 rows": 1.0, "many rows": 3.0}
_SOME_ROWS = 1_000
_FEATURES, _UNITS = 50, 100
_TASKS = {"binary": 1, "multiclass": 10, "regression": 1}
# Calls of one estimator before the other's turn.
_SERIES = 50
_SAME = {"float32": 1e-4, "float64": 1e-9}


def estimators(task, dtype, threads):
    """An estimator of each library, fitted to the same rows.

    Returns
    -------
    dict
    """
    shape = (_FEATURES, (_UNITS,), _TASKS[task])
    workload = workloads.Workload(task, *shape, "relu", 200, 1_000, 1)
    data = workloads.data(workload, dtype)
    both = peers.with_sklearn(workload, data, threads)
    fitted = {name: peer.train(1) for name, peer in both.items()}
    if all(map(importlib.util.find_spec, ("onnxruntime", "skl2onnx"))):
        fitted["onnx"] = onnx_peer.OnnxRuntime(fitted["sklearn"], data[0], threads)
    return fitted


def methods(task):
    return ("predict",) if task == "regression" else ("predict", "predict_proba")


def seconds_in_series(calls, n_calls):
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
    ours, *others = (call() for call in calls.values())
    if ours.dtype.kind == "i":
        return all(np.mean(ours == theirs) > 0.999 for theirs in others)
    tolerance = _SAME[dtype]
    return all(
        np.allclose(ours, theirs, rtol=tolerance, atol=tolerance) for theirs in others
    )


def make_entry(case, method, seconds, agree):
    """One line's figures, fit for JSON."""
    what, task, dtype, threads = case
    ours = seconds["skmlp"]
    return {
        "what": what,
        "task": task,
        "dtype": dtype,
        "threads": threads,
        "method": method,
        "seconds": seconds,
        "ratio": seconds["sklearn"] / ours,
        "onnx_ratio": seconds["onnx"] / ours if "onnx" in seconds else None,
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
    unit, factor = ("ms", 1e3) if entry["what"] == "many rows" else ("us", 1e6)
    times = "".join(f"{factor * s:>9.1f} {unit}" for s in entry["seconds"].values())
    name = f"{entry['what']}, {entry['task']}, {entry['method']}"
    onnx = "" if entry["onnx_ratio"] is None else f"{entry['onnx_ratio']:>7.2f}x"
    return (
        f"{name:<42}{entry['dtype']:<8}{entry['threads']:>2}{times}{onnx}"
        f"{scenario.against(entry['ratio'], entry['goal']):<25}"
        + (f"{entry['ratio_at_most']:>6.2f}x" if "ratio_at_most" in entry else "")
        + ("" if entry["same_predictions"] else "  PREDICTIONS DIFFER")
    )


def compare(task, dtype, threads, options):
    """Yield the entries of one task, precision and number of threads."""
    generator = np.random.default_rng(1)
    many = generator.standard_normal((options.rows, _FEATURES), dtype=dtype)
    fitted = estimators(task, dtype, threads)
    rate = machine.Gemm(dtype, threads).best_rate
    sizes = {"one row": 1, "1,000 rows": _SOME_ROWS, "many rows": options.rows}
    for what, n_rows in sizes.items():
        case, X = (what, task, dtype, threads), many[:n_rows].copy()
        for method in methods(task):
            calls = {
                name: partial(getattr(estimator, method), X)
                for name, estimator in fitted.items()
            }
            with threadpool_limits(threads):
                agree = same(calls, dtype)
                if what == "many rows":
                    seconds = timing.medians_in_turns(calls, options.rounds)
                else:
                    seconds = seconds_in_series(calls, options.calls)
            entry = make_entry(case, method, seconds, agree)
            yield with_limit(entry, n_rows, rate) if what == "many rows" else entry


def setup(options):
    """Print the heading."""
    print(
        f"one row, {_SOME_ROWS:,} rows: median of {options.calls} calls; many rows: "
        f"{options.rows:,} x {_FEATURES} through {_UNITS} units, median of "
        f"{options.rounds}. The column before `ratio` is ONNX Runtime's, if installed\n"
    )
    names = "".join(f"{name:>12}" for name in ("skmlp", "sklearn", "onnx"))
    ratios = f"{'of onnx':>8}{'ratio':>8}{'goal':>8}{'at most':>16}"
    print(f"{'':<42}{'dtype':<8}{'t':>2}{names}{ratios}")


def measure(_, options):
    """Yield the comparisons of all tasks in both precisions."""
    for threads in options.threads:
        for task in _TASKS:
            for dtype in scenario.BOTH_DTYPES:
                yield from compare(task, dtype, threads, options)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="100,000 rows, fewer calls and rounds",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "rows": {"type": int, "full": 1_000_000, "brief": 100_000},
        "calls": {"type": int, "help": "of few rows", "full": 2_000, "brief": 500},
        "threads": {
            "type": int,
            "nargs": "+",
            "full": sorted({1, joblib.cpu_count()}),
            "brief": [1],
        },
        "rounds": scenario.rounds(5, 3),
    },
    goal=_GOALS,
)


if __name__ == "__main__":
    SCENARIO.main()
