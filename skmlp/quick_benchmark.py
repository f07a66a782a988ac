"""Fits and predictions beside scikit-learn's, on this machine, in two minutes.

A small relative of ``benchmarks/cpu.py`` of the source tree, which installations do
not have. Both libraries get the same data, seeds and settings and take turns, so that a
slow minute of the machine hits both; a figure is the median over the rounds. The
kernels are compiled or loaded before the first turn.
"""

import os
import statistics
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

from skmlp import estimators, system_info
from skmlp.backends import threads

# BLAS's threads spin for a while after their last work.
_SETTLE_SECONDS = 0.2
# A library whose fit takes less is timed over several fits.
_MIN_SECONDS = 0.05
_MAX_REPEATS = 20
_WATCHED_SECONDS = 1.0
# Columns of the line "cpu" in /proc/stat: idle, iowait.
_IDLE_COLUMNS = slice(3, 5)
# Above this share of the cores kept busy by others, times mean little.
_BUSY = 0.1


class Case(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of X.
    n_classes : int
        0 for a regression.
    hidden : tuple of int
    batch_size : int
    epochs : int
    dtype : str
    """

    shape: tuple
    n_classes: int
    hidden: tuple
    batch_size: int
    epochs: int
    dtype: str

    def __str__(self):
        kind = f"{self.n_classes} classes" if self.n_classes else "a number"
        n_rows, n_columns = self.shape
        layers = " x ".join(map(str, (n_columns, *self.hidden)))
        return f"{n_rows:,} rows, {layers}, {kind}, {self.dtype}"


_QUICK = (
    Case((1800, 64), 10, (100,), 200, 20, "float64"),
    Case((20_000, 20), 2, (100,), 200, 5, "float64"),
    Case((5_000, 10), 0, (50, 50), 200, 10, "float64"),
    Case((5_000, 100), 3, (256, 128), 256, 5, "float32"),
)
_FULL = (
    *_QUICK,
    Case((20_000, 40), 5, (32,), 64, 5, "float32"),
    Case((10_000, 784), 10, (256,), 256, 2, "float32"),
    Case((50_000, 12), 0, (64, 64), 512, 5, "float32"),
)
_ROUNDS = {True: 5, False: 9}
_LIMIT_SECONDS = {True: 100.0, False: 330.0}


def run(*, quick):
    """Print the table.

    Parameters
    ----------
    quick : bool
        Two minutes at most; otherwise six, with more cases and rounds.

    Returns
    -------
    list of tuple (what, ours, theirs)
        Median milliseconds.
    """
    busy = busy_cores()
    print(heading(busy))
    print(f"{'':<58}{'skmlp':>11}{'sklearn':>11}{'ratio':>9}")
    end = time.perf_counter() + _LIMIT_SECONDS[quick]
    rows = []
    cases = _QUICK if quick else _FULL
    for done, case in enumerate(cases):
        # The rest of the time is shared by the cases that are left.
        share = (end - time.perf_counter()) / (len(cases) - done)
        if share <= 0:
            print(f"no time was left for {len(cases) - done} cases")
            break
        for row in _measured(case, _ROUNDS[quick], time.perf_counter() + share):
            rows.append(row)
            what, ours, theirs = row
            print(
                f"{what:<58}{ours:>8.2f} ms{theirs:>8.2f} ms{theirs / ours:>8.1f}x",
                flush=True,
            )
    ratios = [theirs / ours for what, ours, theirs in rows if what.startswith("fit")]
    if ratios:
        mean = statistics.geometric_mean(ratios)
        print(f"fits, geometric mean: {mean:.1f} times as fast as scikit-learn")
        if _is_busy(busy):
            print(
                "But the machine was busy: BLAS, which scikit-learn uses, suffers from "
                "that more than skmlp."
            )
    return rows


def heading(busy):
    """The lines above the table: what it was measured on.

    Parameters
    ----------
    busy : float or None
        From `busy_cores`.

    Returns
    -------
    str
    """
    versions = " ".join(
        f"{name} {system_info.version(name)}"
        for name in ("scikit-learn", "numpy", "scipy", "numba")
    )
    n_threads = threads.available_threads(None)
    if busy is None:
        load = "load unknown: make sure that nothing else runs"
    elif _is_busy(busy):
        load = f"NOT QUIET, {busy} cores busy with other things: trust no figure"
    else:
        load = "quiet"
    processor = system_info.processor_name()
    return f"{processor}, {n_threads} threads, {load}\n{versions}\n"


def _is_busy(busy):
    return busy is not None and busy > _BUSY * (os.cpu_count() or 1)


def busy_cores():
    """How many cores other processes keep busy, while this one sleeps for a second.

    Includes the time that the host gives to other virtual machines (steal). The load
    average would count this machine's last benchmark, too: it decays over a minute.

    Returns
    -------
    float or None
        None where the system does not tell (no ``/proc/stat``).
    """
    try:
        total, idle = _ticks()
        time.sleep(_WATCHED_SECONDS)
        total_after, idle_after = _ticks()
    except OSError:
        return None
    if total_after == total:
        return None
    busy = 1 - (idle_after - idle) / (total_after - total)
    return round(busy * (os.cpu_count() or 1), 2)


def _ticks():
    """Clock ticks of all cores since boot, and those of them that were idle."""
    line = Path("/proc/stat").read_text().splitlines()[0]
    ticks = [int(word) for word in line.split()[1:9]]
    return sum(ticks), sum(ticks[_IDLE_COLUMNS])


def _measured(case, n_rounds, end):
    """Rows of the table: a fit, a prediction of all rows, and one of a single row."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal(case.shape).astype(case.dtype)
    signal = x @ generator.standard_normal(case.shape[1]).astype(case.dtype)
    if case.n_classes:
        edges = np.quantile(signal, np.linspace(0, 1, case.n_classes + 1)[1:-1])
        y, name = np.searchsorted(edges, signal), "MLPClassifier"
    else:
        y, name = signal, "MLPRegressor"
    fitted = {}

    def fit(module):
        # tol=0 with endless patience: exactly max_iter epochs.
        estimator = getattr(module, name)(
            hidden_layer_sizes=case.hidden,
            batch_size=case.batch_size,
            max_iter=case.epochs,
            tol=0.0,
            n_iter_no_change=np.inf,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted[module] = estimator.fit(x, y)

    calls = {
        "fit": fit,
        "  predict all rows": lambda module: fitted[module].predict(x),
        "  predict one row": lambda module: fitted[module].predict(x[:1]),
    }
    for what, call in calls.items():
        name_of_row = f"{what}: {case}" if what == "fit" else what
        yield name_of_row, *_medians(call, n_rounds, end)


def _medians(call, n_rounds, end):
    """Median milliseconds of skmlp and scikit-learn, by turns; at least one round."""
    modules = estimators, neural_network
    repeats = []
    for module in modules:
        call(module)  # compiles or loads
        seconds = _seconds(call, module, 1)
        repeats.append(max(1, min(_MAX_REPEATS, round(_MIN_SECONDS / seconds))))
    turns: list = []
    while len(turns) < n_rounds and (not turns or time.perf_counter() < end):
        turns.append(
            [
                _seconds(call, module, n)
                for module, n in zip(modules, repeats, strict=True)
            ]
        )
    return [1e3 * statistics.median(times) for times in zip(*turns, strict=True)]


def _seconds(call, module, repeats):
    time.sleep(_SETTLE_SECONDS)
    start = time.perf_counter()
    for _ in range(repeats):
        call(module)
    return (time.perf_counter() - start) / repeats
