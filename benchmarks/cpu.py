"""Time of an epoch and of a whole fit on the CPU, beside its peers.

They are scikit-learn and, where they are installed, PyTorch, eager and compiled, and
JAX, which compiles a whole epoch.

Run ``python benchmarks/cpu.py``; ``README.md`` beside this file says how to read the
output. The choices that decide whether the figures are honest:

- The time of an epoch is that of a long fit less that of a fit of one epoch, divided by
  the epochs between them. Validation of the input, initialization and thread start-up
  cancel; the whole fit, which includes them, is reported as well.
- The peers take turns (A B C A B C ...), so that a slow minute of the machine hits all
  of them. Ratios are ratios of medians over the rounds.
- Every turn begins after a rest, in which the threads of the peer before stop
  spinning. With ``--without-rests`` there is none, as in a script or a notebook that
  calls one library after the other. With ``--busy N`` all of it runs beside N processes
  that keep a core busy each.
- A matrix product is timed in every round, too. The best rate so far stands for what
  the machine can do; the column ``of gemm`` is skmlp's rate over it.
- Every peer's first fit is reported separately. skmlp starts with an empty kernel
  cache, so that its first fits compile.
"""

import math
import os
import statistics
import sys
import tempfile

import machine
import peers
import scenario
import timing
import workloads
from surroundings import BUSY, neighbors

# Largest relative difference of losses after the same epochs from the same random
# numbers. Beyond it, skmlp and scikit-learn have not done the same work.
_SAME_LOSS = {"float32": 1e-2, "float64": 1e-6}


def measure_workload(workload, gemm, dtype, options, classes):
    """Times of some peers on one workload.

    Returns
    -------
    dict
    """
    X, y = workloads.data(workload, dtype)
    rest = (lambda: None) if options.without_rests else timing.settle
    contestants = {peer.name: peer(workload, X, y, options.threads) for peer in classes}

    def before_round():
        rest()
        gemm.measure()

    times = timing.results_in_turns(
        contestants, workload.epochs, options.rounds, before_round, rest
    )
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
    """One workload's line of the table, in milliseconds an epoch; or a conclusion."""
    if "first_fits" in entry:
        return in_words(entry)
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
    summary = {"dtype": entries[0]["dtype"], "ratios": {}}
    for name in entries[0]["epoch_ratio"]:
        worst = min(entries, key=lambda entry, name=name: entry["epoch_ratio"][name])
        summary["ratios"][name] = {
            "epoch": statistics.geometric_mean(e["epoch_ratio"][name] for e in entries),
            "fit": statistics.geometric_mean(e["fit_ratio"][name] for e in entries),
            "worst_epoch": worst["epoch_ratio"][name],
            "worst_workload": worst["name"],
            "worst_at_most": worst["epoch_ratio_at_most"][name],
        }
    summary["gemm_gflops"] = entries[-1]["gemm_gflops"]
    summary["first_fits"] = {
        name: sum(entry["times"][name]["first_fit_over_steady"] for entry in entries)
        for name in entries[0]["times"]
    }
    return summary


def in_words(summary):
    lines = []
    for name, ratio in summary["ratios"].items():
        lines.append(
            f"against {name}: epoch {ratio['epoch']:.2f}x, fit {ratio['fit']:.2f}x "
            f"(geometric means); worst epoch {ratio['worst_epoch']:.2f}x "
            f"on {ratio['worst_workload']}, where the products alone, at SciPy's rate, "
            f"would be {ratio['worst_at_most']:.2f}x"
        )
    first = ", ".join(f"{name} {s:.2f} s" for name, s in summary["first_fits"].items())
    lines.append(f"matrix products: {summary['gemm_gflops']:.0f} GFLOP/s")
    lines.append(f"all first fits over the steady state: {first}")
    return "\n".join(lines)


def setup(options):
    """The workloads and the peers that were asked for."""
    grid = workloads.QUICK if options.quick else workloads.GRID
    grid = tuple(workload for workload in grid if options.filter in workload.name)
    if not grid:
        sys.exit(f"no workload's name contains {options.filter!r}")
    classes = peers.installed()
    if options.peers is not None:
        named = {"skmlp", "sklearn", *options.peers}
        classes = [peer for peer in classes if peer.name in named]
    rests = "without rests" if options.without_rests else "after rests"
    print(
        f"threads: {options.threads}, rounds: {options.rounds}, turns {rests}, beside "
        f"{options.busy} busy processes; milliseconds an epoch"
    )
    return grid, classes


def measure(state, options):
    """Yield the entries of all workloads in each precision, then a conclusion."""
    grid, classes = state
    for dtype in options.dtype:
        yield f"\n{dtype}\n{header([peer.name for peer in classes[1:]])}"
        gemm = machine.Gemm(dtype, options.threads)
        entries = []
        for workload in grid:
            with neighbors(*[BUSY] * options.busy):
                entry = measure_workload(workload, gemm, dtype, options, classes)
            entries.append(entry)
            yield entry
        yield conclusion(entries)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 workloads",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "threads": scenario.threads(),
        "dtype": scenario.dtypes(),
        "rounds": scenario.rounds(7, 3),
        "filter": {"default": "", "help": "only names that contain this"},
        "peers": {
            "nargs": "*",
            "metavar": "NAME",
            "help": "beside sklearn: torch, compiled, jax; all that are installed",
        },
        "busy": {"type": int, "default": 0, "help": "processes beside it"},
        "without-rests": {"action": "store_true", "help": "between turns"},
    },
)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache_folder:
        os.environ["SKMLP_CACHE_DIR"] = cache_folder
        SCENARIO.main()
