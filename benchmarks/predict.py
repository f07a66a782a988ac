"""Time of predictions on the CPU, of one row and of a million, beside scikit-learn.

A service that answers requests predicts one row at a time, and there everything but
arithmetic counts: validation, the call of a kernel, the start of threads that are not
worth it. Scoring a table is the other end: a million rows of 50 features through 100
units, which scikit-learn computes in one piece, with a hidden layer of a million rows.

One row is the median of many calls, taken in small series in turns. A million rows is
the median of some rounds. Both estimators are fitted for one epoch on a few rows; what
they have learnt does not matter here. Both must predict the same.

`at most` is what the ratio would be for skmlp's products of matrices alone, at the rate
of SciPy's BLAS.
"""

import statistics
import time
from functools import partial

import joblib
import machine
import numpy as np
import peers
import reporting
import timing
import workloads

_GOALS = {"one row": 1.0, "many rows": 3.0}
_FEATURES, _UNITS = 50, 100
_TASKS = {"binary": 1, "multiclass": 10, "regression": 1}
# Calls of one estimator in a series; the other one's turn is next.
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
    threads = joblib.cpu_count()
    return {
        peer.name: peer(workload, *data, threads).train(1)
        for peer in (peers.Skmlp, peers.ScikitLearn)
    }


def methods(task):
    return ("predict",) if task == "regression" else ("predict", "predict_proba")


def seconds_of_one_row(calls, n_calls):
    """Median seconds of a call, over many that are taken in series in turns."""
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


def entry(what, task, dtype, method, seconds, agree):
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


def with_limit(found, n_rows, rate):
    """An entry of many rows with the ratio that their products alone would have."""
    operations = 2 * n_rows * _UNITS * (_FEATURES + _TASKS[found["task"]])
    return found | {"ratio_at_most": found["seconds"]["sklearn"] * rate / operations}


def line(found):
    """One line of the table, in microseconds or milliseconds."""
    unit, factor = ("us", 1e6) if found["what"] == "one row" else ("ms", 1e3)
    ours, theirs = (factor * found["seconds"][name] for name in ("skmlp", "sklearn"))
    name = f"{found['what']}, {found['task']}, {found['method']}"
    return (
        f"{name:<42}{found['dtype']:<9}{ours:>9.1f} {unit}{theirs:>9.1f} {unit}"
        f"{reporting.against(found['ratio'], found['goal']):<25}"
        + (f"{found['ratio_at_most']:>6.2f}x" if "ratio_at_most" in found else "")
        + ("" if found["same_predictions"] else "  PREDICTIONS DIFFER")
    )


def measure(task, dtype, wanted):
    """Yield the entries of one task and precision."""
    generator = np.random.default_rng(1)
    many = generator.standard_normal((wanted.rows, _FEATURES), dtype=dtype)
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
                seconds = seconds_of_one_row(calls, wanted.calls)
                yield entry(what, task, dtype, method, seconds, agree)
            else:
                seconds = timing.medians_in_turns(calls, wanted.rounds)
                found = entry(what, task, dtype, method, seconds, agree)
                yield with_limit(found, wanted.rows, rate)


def run(wanted):
    """Measure everything, printing as it goes.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": vars(wanted), "results": []}
    print(
        f"one row: median of {wanted.calls} calls; many rows: {wanted.rows:,} x "
        f"{_FEATURES} through {_UNITS} units, median of {wanted.rounds}\n"
    )
    print(f"{'':<51}{'skmlp':>12}{'sklearn':>12}{'ratio':>8}{'goal':>8}{'at most':>16}")
    for task in _TASKS:
        for dtype in ("float32", "float64"):
            for found in measure(task, dtype, wanted):
                report["results"].append(found)
                print(line(found), flush=True)
    return report


def main():
    reporting.main(
        __doc__,
        run,
        quick="100,000 rows, fewer calls and rounds",
        rows={
            "type": int,
            "help": "default 1,000,000",
            "full": 1_000_000,
            "brief": 100_000,
        },
        calls={
            "type": int,
            "help": "of one row; default 2,000",
            "full": 2_000,
            "brief": 500,
        },
        rounds={
            "type": int,
            "help": "of many rows; default 5",
            "full": 5,
            "brief": 3,
        },
    )


if __name__ == "__main__":
    main()
