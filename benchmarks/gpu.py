"""Checks a GPU's results, then times a training step beside PyTorch and scikit-learn.

Run ``python benchmarks/gpu.py --data FOLDER`` on a machine with an NVIDIA GPU, with
PyTorch if it is to be compared with; ``README.md`` beside this file says how to read
what it prints. The choices that decide whether the figures are honest:

- Nothing is timed before the checks of `gpu_checks` hold.
- A step is the difference of a long fit and a fit of one epoch, divided by the steps
  between them, the difference being half a second or more. Every fit ends with its
  results on the host, so that no work is left on the device when the clock stops.
- The peers take turns, and ratios are ratios of medians over the rounds.
- PyTorch has its data on the device beforehand, its loss stays there, and what it
  captures or compiles is no part of its time.
- scikit-learn runs on all CPU cores.
- All of it ends within ``--budget`` seconds, more or less: what is slow is timed less
  often, and what fails is left out by name.

Memory errors are found by ``compute-sanitizer --tool memcheck python benchmarks/gpu.py
--checks --small --processes 1``, races by ``--tool racecheck``.
"""

import functools
import statistics
import sys
import time
import traceback
from typing import NamedTuple

import accuracy
import gpu_checks
import gpu_peers
import gpu_steps
import joblib
import numpy as np
import peers
import reporting
import timing
import workloads

from skmlp.backends.cuda import device as gpu

_SECONDS, _QUICK_SECONDS = 0.5, 0.02
_EPOCHS, _QUICK_EPOCHS = 20, 2
# Test accuracies that are this near each other are those of equal networks.
_SAME = 0.01


class Row(NamedTuple):
    """A row of the table of goals.

    Attributes
    ----------
    workload : workloads.Workload
    dtype : {'float32', 'tf32'}
        On the GPU; scikit-learn has float32.
    goals : tuple of float
        Against PyTorch eager, the better of its graphs and `torch.compile`, and
        scikit-learn: times as fast, at least.
    """

    workload: workloads.Workload
    dtype: str
    goals: tuple


_RIVALS = ("torch eager", "torch captured", "sklearn")


def _workload(*shape, batch, batches):
    features, *hidden, outputs = shape
    task = "binary" if outputs == 1 else "multiclass"
    rows = batch * batches
    return workloads.Workload(
        task, features, tuple(hidden), outputs, "relu", batch, rows, 0
    )


_WIDE = _workload(784, 1024, 1024, 10, batch=4096, batches=10)
_TABLE = (
    Row(_workload(784, 256, 10, batch=200, batches=100), "float32", (15, 2, 100)),
    Row(_workload(54, 512, 512, 7, batch=1024, batches=50), "float32", (4, 1.2, 100)),
    Row(_WIDE, "float32", (1.0, 0.95, 100)),
    Row(_WIDE, "tf32", (1.3, 1.0, 100)),
    Row(_workload(20, 100, 1, batch=200, batches=100), "float32", (20, 3, 20)),
)
# Whole fits: of whom beside skmlp on the GPU, and how long one is to be timed once.
_FIT_PEERS = ("torch eager", "skmlp cpu", "sklearn")
_LONG_SECONDS = 4.0
# Against PyTorch eager and scikit-learn.
_FIT_GOALS = {"torch eager": 10, "sklearn": 30}


# Peers that are the same whatever the GPU's precision is.
_ON_THE_CPU = ("skmlp cpu", "sklearn")


def makers(row, data, wanted):
    """Functions that make the peers of a row, by name; skmlp first.

    PyTorch is told the precision when a peer is made, and keeps it till the next row.
    """
    workload = row.workload
    dtype = row.dtype if wanted.device != "cpu" else "float32"
    kinds = [gpu_peers.SkmlpOn]
    if not wanted.without_torch:
        kinds += gpu_peers.torch_peers(wanted.device)
    made = {
        kind.name: functools.partial(kind, workload, data, wanted.device, dtype)
        for kind in kinds
    }
    if wanted.device != "cpu" and dtype == "float32":
        for program in ("spanwise", "stepwise"):
            made[program] = functools.partial(
                gpu_peers.SkmlpProgram, workload, data, program
            )
    made["skmlp cpu"] = functools.partial(
        gpu_peers.SkmlpOn, workload, data, "cpu", "float32"
    )
    made["sklearn"] = functools.partial(
        peers.ScikitLearn, workload, *data, joblib.cpu_count()
    )
    return made


def measure(row, wanted, rates, clock, known):
    """Times of all peers on one row of the table.

    Parameters
    ----------
    row : Row
    wanted : argparse.Namespace
    rates : dict or None
    clock : gpu_steps.Clock
    known : dict
        Times of the peers on the CPU by workload, which are added to.

    Returns
    -------
    dict
    """
    workload = row.workload
    if wanted.quick:
        workload = workload._replace(rows=3 * workload.batch_size)
    row = row._replace(workload=workload)
    data = workloads.data(workload, "float32")
    steps = workload.rows // workload.batch_size
    before = known.setdefault(workload.name, {})
    chosen = {n: m for n, m in makers(row, data, wanted).items() if n not in before}
    field = gpu_steps.Field("skmlp")
    field.enter(chosen, steps, wanted.seconds, clock)
    times = field.play(wanted.rounds) | before
    before.update({name: times[name] for name in _ON_THE_CPU if name in times})
    return summarise(row, times, rates) | {"missing": field.missing}


def summarise(row, times, rates):
    """One row's entry in the JSON file."""
    step = {name: found["step_us"] for name, found in times.items()}
    captured = [step[n] for n in ("torch graph", "torch compiled") if n in step]
    rivals = {name: step[name] for name in ("torch eager", "sklearn") if name in step}
    if captured:
        rivals["torch captured"] = min(captured)
    found = {
        "name": row.workload.name,
        "dtype": row.dtype,
        "times": times,
        "operations": row.workload.flops * row.workload.batch_size / row.workload.rows,
        "ratios": {name: rivals[name] / step["skmlp"] for name in rivals},
        "goals": dict(zip(_RIVALS, row.goals, strict=True)),
    }
    operations_rate = "cublas_tf32_tflops" if row.dtype == "tf32" else "fp32_tflops"
    if rates and operations_rate in rates:
        from gpu_rates import floor_us

        found["floor_us"] = floor_us(row.workload, rates, operations_rate)
        found["share_of_roofline"] = found["floor_us"] / step["skmlp"]
    return found


def lines(entry):
    """Yield the lines of one row of the table."""
    ours = entry["times"]["skmlp"]
    yield f"\n{entry['name']}, {entry['dtype']}"
    for name, found in entry["times"].items():
        spread = f"{min(found['by_round']):.1f} to {max(found['by_round']):.1f}"
        yield f"  {name:<16}{found['step_us']:>12.1f} us a step ({spread})"
    yield f"  first fit of skmlp: {ours['first_fit_over_steady']:.2f} s more"
    if "floor_us" in entry:
        yield (
            f"  {entry['operations'] / ours['step_us'] / 1e6:.2f} TFLOP/s; by roofline "
            f"{entry['floor_us']:.1f} us at least: {entry['share_of_roofline']:.0%}"
        )
    for name, ratio in entry["ratios"].items():
        goal = reporting.against(ratio, entry["goals"][name])
        yield f"  against {name:<16}{goal}"


class WholeFit:
    """One library's fits on the images, and what the last one has learnt.

    A fit that takes long is its own warm-up, and timed once.
    """

    def __init__(self, peer, epochs):
        self._peer = peer
        self._epochs = epochs
        self._estimator = None

    def _fit(self):
        """Train; a new network, or the same from its first weights."""
        start = time.perf_counter()
        if hasattr(self._peer, "train"):
            self._estimator = self._peer.train(self._epochs)
        else:
            self._peer.fit(self._epochs)
        return time.perf_counter() - start

    def seconds(self, rounds, clock):
        """Median time of some fits, of those that there is time for."""
        first = self._fit()
        times = [first] if first > _LONG_SECONDS else []
        while not times or (len(times) < rounds and clock.left() > first):
            timing.settle()
            times.append(self._fit())
        return statistics.median(times)

    def accuracy(self, X, y):
        """Share of the test rows whose label the last network predicts."""
        if self._estimator is None:
            return self._peer.accuracy(X, y)
        return float(self._estimator.score(X, y))


def whole_fit(wanted, clock):
    """Seconds and test accuracies of whole fits of one hidden layer of 128 units.

    Returns
    -------
    dict
    """
    (X, y), test = accuracy.images(wanted.data)
    rows = len(X) // 200 * 200
    data = X[:rows], y[:rows].astype(np.int64)
    workload = workloads.Workload(
        "multiclass", X.shape[1], (128,), 10, "relu", 200, rows, 0
    )
    epochs = _QUICK_EPOCHS if wanted.quick else _EPOCHS
    all_of_them = makers(Row(workload, "float32", (0, 0, 0)), data, wanted)
    names = [name for name in ("skmlp", *_FIT_PEERS) if name in all_of_them]
    field = gpu_steps.Field("skmlp")
    seconds, found = {}, {}
    for number, name in enumerate(names):
        own = gpu_steps.Clock(clock.left() / (len(names) - number))
        fit = field.tried(name, lambda n=name: WholeFit(all_of_them[n](), epochs))
        took = fit and field.tried(
            name, lambda f=fit, c=own: f.seconds(min(3, wanted.rounds), c)
        )
        if took:
            seconds[name], found[name] = took, fit.accuracy(*test)
    rivals = [name for name in _FIT_GOALS if name in seconds]
    return {
        "images": "Fashion-MNIST" if wanted.data else "digits",
        "epochs": epochs,
        "seconds": seconds,
        "accuracy": found,
        "ratios": {name: seconds[name] / seconds["skmlp"] for name in rivals},
        "goals": _FIT_GOALS,
        "same_accuracy": found["skmlp"] >= max(found.values()) - _SAME,
        "missing": field.missing,
    }


def lines_of_fit(entry):
    """Yield the lines about whole fits."""
    yield f"\n{entry['images']}, 128 units, a whole fit of {entry['epochs']} epochs"
    for name, seconds in entry["seconds"].items():
        reached = entry["accuracy"][name]
        yield f"  {name:<16}{seconds:>10.3f} s, test accuracy {reached:.4f}"
    for name, ratio in entry["ratios"].items():
        yield f"  against {name:<16}{reporting.against(ratio, entry['goals'][name])}"
    if not entry["same_accuracy"]:
        yield "  ACCURACIES DIFFER"


def constants(entries):
    """What `skmlp.backends.cuda.device` should hold, by these measurements.

    The fixed time is that of the step with the fewest operations, the CPU's rate the
    highest that skmlp has reached on it.
    """
    smallest = min(entries, key=lambda entry: entry["operations"])
    rates = [
        e["operations"] / e["times"]["skmlp cpu"]["step_us"]
        for e in entries
        if "skmlp cpu" in e["times"]
    ]
    found = {"_FIXED_SECONDS": smallest["times"]["skmlp"]["step_us"] / 1e6}
    return found | ({"_CPU_RATE": max(rates) * 1e6} if rates else {})


def goals(report):
    """Yield a line for each goal: met, missed, or not measured and why."""
    names = [f"{row.workload.name}, {row.dtype}" for row in _TABLE]
    entries = [*report["results"], report["whole_fit"]]
    for name, entry in zip([*names, "a whole fit"], entries, strict=True):
        for rival, goal in entry.get("goals", {"all": 0}).items():
            ratio = entry.get("ratios", {}).get(rival)
            said = "not measured" if ratio is None else reporting.against(ratio, goal)
            yield f"  {name:<46}{rival:<16}{said}"


class Attempts:
    """The parts of a run, each of which may fail without the others.

    Parameters
    ----------
    report : dict
        That each part adds to.
    file : str or None
        Where the report is saved after each part: a lent machine may be taken away.
    """

    def __init__(self, report, file):
        self._report = report
        self._file = file

    def make(self, name, call, in_words):
        """What a part has found, printed in words; how it failed, if it has."""
        try:
            found = call()
            print(*in_words(found), sep="\n", flush=True)
        except Exception as error:
            found = {"error": f"{error!r:.500}"}
            print(f"\n{name} is NOT MEASURED: {error!r:.500}", flush=True)
            traceback.print_exc()
        return found

    def save(self):
        """Write what there is."""
        reporting.save(self._report, self._file)


def checked(wanted, report):
    """Run the checks; ends the program if one fails, unless told to go on."""
    size = gpu_checks.SMALL if wanted.small else gpu_checks.LARGE
    report["checks"], pairs = gpu_checks.run(size, wanted.device, wanted.processes)
    report["curves"] = pairs
    print("\nlosses by epoch")
    gpu_checks.print_curves(pairs)
    if wanted.plot:
        gpu_checks.plot(pairs, wanted.plot)
    failed = [check["name"] for check in report["checks"] if not check["holds"]]
    if failed and not (wanted.anyway and not wanted.checks):
        reporting.save(report, wanted.json)
        sys.exit(f"{len(failed)} checks FAILED, so nothing is timed: {failed}")
    if failed:
        print(
            f"{len(failed)} checks FAILED: NO FIGURE BELOW IS TO BE TRUSTED: {failed}"
        )


def timed(wanted, report, clock):
    """All figures, printed as they come, within the time that is left."""
    attempts, rates = Attempts(report, wanted.json), None
    if wanted.device != "cpu":
        import gpu_rates

        rates = attempts.make(
            "rates", gpu_rates.measure, lambda found: ["", gpu_rates.in_words(found)]
        )
        report["rates"] = rates
    report["results"], known = [], {}
    for number, row in enumerate(_TABLE):
        # The whole fits have as much as two rows.
        own = gpu_steps.Clock(clock.left() / (len(_TABLE) - number + 2))
        if wanted.filter not in row.workload.name:
            report["results"].append({})
            continue
        found = attempts.make(
            row.workload.name,
            lambda r=row, c=own: measure(r, wanted, rates, c, known),
            lines,
        )
        report["results"].append(found)
        attempts.save()
    report["whole_fit"] = attempts.make(
        "a whole fit", lambda: whole_fit(wanted, clock), lines_of_fit
    )


def run(wanted):
    """Checks first, then all figures, and last what has become of the goals.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    clock = gpu_steps.Clock(wanted.budget)
    report = reporting.start() | {"options": vars(wanted)}
    if wanted.device == "cpu":
        print("A TRIAL ON THE CPU: no figure says anything about a GPU.")
    checked(wanted, report)
    if wanted.checks:
        return report
    timed(wanted, report, clock)
    entries = [entry for entry in report["results"] if "times" in entry]
    if entries:
        report["constants"] = constants(entries)
        print("\nfor skmlp/backends/cuda/device.py:")
        for name, value in report["constants"].items():
            print(f"  {name} = {value:.1e}")
    print("\ngoals: times as fast, found and wanted")
    print(*goals(report), sep="\n")
    print(f"{clock.gone():.0f} s in all", flush=True)
    return report


def arguments():
    parser = reporting.parser(__doc__, quick="little data and one round")
    parser.add_argument("--data", metavar="FOLDER", help="with load.py and the images")
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="'cpu' tries the script out; CUDA_VISIBLE_DEVICES chooses a GPU",
    )
    parser.add_argument("--checks", action="store_true", help="time nothing")
    parser.add_argument("--small", action="store_true", help="checks of tiny networks")
    parser.add_argument(
        "--anyway", action="store_true", help="time what does not pass the checks"
    )
    parser.add_argument("--filter", default="", help="only names that contain this")
    parser.add_argument("--rounds", type=int, help="at most; default 5, --quick 1")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        default=500,
        help="after which no round begins that need not (default: 500)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=min(8, joblib.cpu_count()),
        help="that share the checks, most of which is compilation",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the curves of the losses")
    parser.add_argument(
        "--results", metavar="FILE", help="RESULTS.md, to put what is printed there"
    )
    parser.add_argument(
        "--without-torch", action="store_true", help="also when it is installed"
    )
    wanted = parser.parse_args()
    wanted.rounds = wanted.rounds or (1 if wanted.quick else 5)
    wanted.seconds = _QUICK_SECONDS if wanted.quick else _SECONDS
    return wanted


def main():
    wanted = arguments()
    if wanted.device != "cpu":
        missing = gpu.obstacle(0)
        if missing is not None:
            print(f"NOT RUN: {missing.reason}. {missing.remedy}")
            return
    with reporting.printed() as text:
        try:
            reporting.save(run(wanted), wanted.json)
        finally:
            if wanted.results:
                reporting.put_section(wanted.results, "gpu.py", text.getvalue())


if __name__ == "__main__":
    main()
