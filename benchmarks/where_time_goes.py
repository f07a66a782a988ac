"""Profiles of one fit: which functions the time of each library goes into.

By Python's own profiler, which slows Python down by about a third, so that the shares
of Python are somewhat too large. "Python" is what is spent in functions written in it,
with the array arithmetic that they do by operators; the rest is compiled functions.
"""

import argparse
import cProfile
import pstats

import joblib
import machine
import peers
from workloads import GRID, data

_WORKLOADS = (GRID[0], GRID[14])
_SHOWN = 5


def profile(fit):
    """Seconds of own time by function: (file, line, name) to (seconds, calls)."""
    fit()
    profiler = cProfile.Profile()
    profiler.runcall(fit)
    stats = pstats.Stats(profiler).stats
    return {place: (row[2], row[0]) for place, row in stats.items()}


def is_compiled(place):
    """Whether a function is compiled: built in, or one of skmlp's kernels.

    The profiler does not see operators: products by ``@`` in scikit-learn count as the
    helper that makes them.
    """
    file, _, name = place
    return file == "~" or file.endswith("kernels.py") or name == "safe_sparse_dot"


def report(name, times, epochs):
    """Print a library's share of Python and its most expensive functions."""
    total = sum(seconds for seconds, _ in times.values())
    python = sum(s for place, (s, _) in times.items() if not is_compiled(place))
    print(
        f"\n  {name}: {1e3 * total / epochs:.2f} ms an epoch, {python / total:.0%} of"
    )
    print("  it in functions written in Python")
    heaviest = sorted(times.items(), key=lambda item: -item[1][0])[:_SHOWN]
    for (_, _, function), (seconds, calls) in heaviest:
        print(
            f"    {seconds / total:5.0%} {calls / epochs:8.1f} calls  {function[:60]}"
        )


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
