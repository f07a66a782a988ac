"""Profiles of one fit: which functions the time of each library goes into.

Python's own profiler slows Python down by about a third, so that the fractions of
Python are somewhat too large. "Python" is the time in functions written in it,
including array arithmetic by operators; the rest is compiled functions.
"""

import argparse
import cProfile
import pstats
from pathlib import Path

import joblib
import machine
import peers
from workloads import GRID, data

_WORKLOADS = (GRID[0], GRID[14])
_SHOWN = 5


def profile(fit):
    """Seconds without callees and calls, by function: (file, line, name)."""
    fit()
    profiler = cProfile.Profile()
    profiler.runcall(fit)
    stats = pstats.Stats(profiler).stats
    return {function: (row[2], row[0]) for function, row in stats.items()}


def is_compiled(function):
    """Whether a function is compiled: built in, or one of skmlp's kernels.

    The profiler does not see operators: products by ``@`` in scikit-learn count as the
    helper that calls them.
    """
    file, _, name = function
    is_kernel = Path(file).parent.name == "kernels"
    return file == "~" or is_kernel or name == "safe_sparse_dot"


def report(name, times, epochs):
    """Print a library's fraction of Python and its most expensive functions."""
    total = sum(seconds for seconds, _ in times.values())
    python = sum(s for function, (s, _) in times.items() if not is_compiled(function))
    print(
        f"\n  {name}: {1e3 * total / epochs:.2f} ms an epoch, {python / total:.0%} of"
    )
    print("  it in functions written in Python")
    heaviest = sorted(times.items(), key=lambda item: -item[1][0])[:_SHOWN]
    for (_, _, name), (seconds, calls) in heaviest:
        print(f"    {seconds / total:5.0%} {calls / epochs:8.1f} calls  {name[:60]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=joblib.cpu_count())
    threads = parser.parse_args().threads
    print(machine.in_words(machine.describe()))
    for workload in _WORKLOADS:
        print(f"\n{workload.name}, float32")
        for peer in (peers.ScikitLearn, peers.Skmlp):
            X, y = data(workload, "float32")
            contestant = peer(workload, X, y, threads)
            times = profile(lambda c=contestant, n=workload.epochs: c.fit(n))
            report(contestant.name, times, workload.epochs)


if __name__ == "__main__":
    main()
