"""Time of an epoch and of a whole fit on the CPU, beside scikit-learn and PyTorch.

Run ``python benchmarks/cpu.py``; ``README.md`` beside this file says how to read what
it prints. The choices that decide whether the figures are honest:

- An epoch is the difference of a long fit and a fit of one epoch, divided by the
  epochs between them. Validation of the input, initialization and the start of threads
  cancel; the whole fit, which has them, is reported as well.
- The peers take turns (A B C A B C ...), so that a slow minute of the machine hits all
  of them. Ratios are ratios of medians over the rounds.
- A matrix product is timed in every round, too; the best so far is the machine's rate,
  of which the share is taken.
- Every peer's first fit is its own figure and goes into no other. skmlp starts with an
  empty cache of kernels, so that its first fits compile.
"""

import math
import os
import statistics
import sys
import tempfile
from typing import NamedTuple

import joblib
import machine
import peers
import reporting
import timing
import workloads

# Losses after the same epochs from the same random numbers: more apart than this, and
# skmlp and scikit-learn have not done the same work.
_SAME_LOSS = {"float32": 1e-2, "float64": 1e-6}

_ALL_PEERS = ("skmlp", "sklearn", "torch")


class Options(NamedTuple):
    """What the command line asks for."""

    threads: int
    dtypes: tuple
    rounds: int
    grid: tuple
    peers: tuple


def measure(workload, gemm, dtype, options, classes):
    """Times of some peers on one workload.

    Returns
    -------
    dict
    """
    X, y = workloads.data(workload, dtype)
    contestants = {
        peer.name: timing.Contestant(
            peer(workload, X, y, options.threads), workload.epochs
        )
        for peer in classes
    }
    for _ in range(options.rounds):
        timing.settle()
        gemm.measure()
        for contestant in contestants.values():
            contestant.play()
    times = {name: contestant.result() for name, contestant in contestants.items()}
    return summarize(workload, dtype, times, gemm.best_rate)


def summarize(workload, dtype, times, gemm_rate):
    """One workload's entry in the JSON file."""
    ours = times["skmlp"]
    rate = workload.flops / ours["epoch"]
    others = [name for name in times if name != "skmlp"]
    return {
        "name": workload.name,
        "dtype": dtype,
        **workload._asdict(),
        "times": times,
        "epoch_ratio": {name: times[name]["epoch"] / ours["epoch"] for name in others},
        "epoch_ratio_at_most": {
            name: times[name]["epoch"] * gemm_rate / workload.flops for name in others
        },
        "fit_ratio": {name: times[name]["fit"] / ours["fit"] for name in others},
        "gflops": rate / 1e9,
        "gemm_gflops": gemm_rate / 1e9,
        "share_of_gemm": rate / gemm_rate,
        "same_loss_as_sklearn": math.isclose(
            ours["loss"], times["sklearn"]["loss"], rel_tol=_SAME_LOSS[dtype]
        ),
    }


def header(others):
    columns = [f"{'workload':<39}{'skmlp':>9}"]
    columns += [f"{name:>9}{'ratio':>7}{'fit':>7}" for name in others]
    return "".join(columns) + f"{'GFLOP/s':>9}{'of gemm':>9}{'first fit':>11}"


def line(entry):
    """One workload's line of the table; times in milliseconds an epoch."""
    ours = entry["times"]["skmlp"]
    columns = [f"{entry['name']:<39}{1e3 * ours['epoch']:>9.2f}"]
    for name, ratio in entry["epoch_ratio"].items():
        milliseconds = 1e3 * entry["times"][name]["epoch"]
        fit = entry["fit_ratio"][name]
        columns.append(f"{milliseconds:>9.2f}{ratio:>6.1f}x{fit:>6.1f}x")
    columns.append(f"{entry['gflops']:>9.1f}{entry['share_of_gemm']:>9.0%}")
    columns.append(f"{ours['first_fit_over_steady']:>9.2f} s")
    if not entry["same_loss_as_sklearn"]:
        columns.append("  LOSSES DIFFER")
    return "".join(columns)


def conclusion(entries):
    """Geometric means and worst ratios of one dtype.

    Returns
    -------
    dict
    """
    found = {"gemm_gflops": entries[-1]["gemm_gflops"]}
    for name in entries[0]["epoch_ratio"]:
        worst = min(entries, key=lambda entry, name=name: entry["epoch_ratio"][name])
        found[name] = {
            "epoch": statistics.geometric_mean(e["epoch_ratio"][name] for e in entries),
            "fit": statistics.geometric_mean(e["fit_ratio"][name] for e in entries),
            "worst_epoch": worst["epoch_ratio"][name],
            "worst_workload": worst["name"],
            "worst_at_most": worst["epoch_ratio_at_most"][name],
        }
    found["first_fits"] = {
        name: sum(entry["times"][name]["first_fit_over_steady"] for entry in entries)
        for name in entries[0]["times"]
    }
    return found


def in_words(found):
    lines = []
    for name in (key for key in found if key not in ("gemm_gflops", "first_fits")):
        ratio = found[name]
        lines.append(
            f"against {name}: epoch {ratio['epoch']:.2f}x, fit {ratio['fit']:.2f}x "
            f"(geometric means); worst epoch {ratio['worst_epoch']:.2f}x "
            f"on {ratio['worst_workload']}, where the products alone, at SciPy's rate, "
            f"would be {ratio['worst_at_most']:.2f}x"
        )
    first = ", ".join(f"{name} {s:.2f} s" for name, s in found["first_fits"].items())
    lines.append(f"matrix products: {found['gemm_gflops']:.0f} GFLOP/s")
    lines.append(f"all first fits over the steady state: {first}")
    return "\n".join(lines)


def run(options):
    """Measure the grid, printing as it goes.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start()
    classes = [peer for peer in peers.installed() if peer.name in options.peers]
    print(
        f"threads: {options.threads}, rounds: {options.rounds}; milliseconds an epoch"
    )
    report |= {"options": options._asdict(), "results": {}}
    del report["options"]["grid"]
    for dtype in options.dtypes:
        print(f"\n{dtype}\n{header([peer.name for peer in classes[1:]])}")
        gemm = machine.Gemm(dtype, options.threads)
        entries = []
        for workload in options.grid:
            entries.append(measure(workload, gemm, dtype, options, classes))
            print(line(entries[-1]), flush=True)
        found = conclusion(entries)
        report["results"][dtype] = {"workloads": entries, "summary": found}
        print(in_words(found))
    return report


def arguments():
    parser = reporting.parser(__doc__, quick="3 workloads, 3 rounds")
    parser.add_argument("--threads", type=int, default=joblib.cpu_count())
    parser.add_argument(
        "--dtype", choices=("float32", "float64", "both"), default="both"
    )
    parser.add_argument("--rounds", type=int, help="default 7, with --quick 3")
    parser.add_argument("--filter", default="", help="only names that contain this")
    parser.add_argument(
        "--without-torch", action="store_true", help="also when it is installed"
    )
    return parser.parse_args()


def main():
    wanted = arguments()
    grid = workloads.QUICK if wanted.quick else workloads.GRID
    grid = tuple(workload for workload in grid if wanted.filter in workload.name)
    if not grid:
        sys.exit(f"no workload's name contains {wanted.filter!r}")
    both = ("float32", "float64")
    dtypes = both if wanted.dtype == "both" else (wanted.dtype,)
    rounds = wanted.rounds or (3 if wanted.quick else 7)
    names = ("skmlp", "sklearn") if wanted.without_torch else _ALL_PEERS
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKMLP_CACHE_DIR"] = folder
        report = run(Options(wanted.threads, dtypes, rounds, grid, names))
    reporting.save(report, wanted.json)


if __name__ == "__main__":
    main()
