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

Memory errors are found by ``compute-sanitizer --tool memcheck python benchmarks/gpu.py
--checks --small``, races by ``--tool racecheck``.
"""

import statistics
import sys
import time
from typing import NamedTuple

import accuracy
import gpu_checks
import gpu_peers
import joblib
import numpy as np
import peers
import reporting
import timing
import workloads

from skmlp.backends.cuda import device as gpu

_SECONDS, _QUICK_SECONDS = 0.5, 0.02
_MOST_EPOCHS = 100_000
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
# Against PyTorch eager and scikit-learn.
_FIT_GOALS = {"torch eager": 10, "sklearn": 30}


class Stepper:
    """One peer on one workload, and the times of its steps.

    Parameters
    ----------
    peer : object
        With ``fit(epochs)``.
    steps : int
        Of an epoch.
    seconds : float
        That the long fit shall take longer than the short one.
    """

    def __init__(self, peer, steps, seconds):
        self._peer = peer
        self._steps = steps
        self._times = []
        first = self._timed(1)
        self.first_fit = max(0.0, first - self._timed(1))
        self._epochs = self._enough(seconds)

    def _timed(self, epochs):
        start = time.perf_counter()
        self._peer.fit(epochs)
        return time.perf_counter() - start

    def _enough(self, seconds):
        """Epochs of a long fit."""
        short, epochs = self._timed(1), 2
        while True:
            gained = self._timed(epochs) - short
            if gained >= seconds or epochs >= _MOST_EPOCHS:
                return epochs
            factor = min(10.0, 1.3 * seconds / max(gained, 1e-9))
            epochs = min(_MOST_EPOCHS, 1 + int(np.ceil((epochs - 1) * factor)) + 1)

    def play(self):
        """Time one short and one long fit."""
        timing.settle()
        short, long = self._timed(1), self._timed(self._epochs)
        self._times.append((long - short) / (self._epochs - 1) / self._steps)

    def result(self):
        """Microseconds of a step, the rounds' median first."""
        times = [1e6 * seconds for seconds in self._times]
        return {
            "step_us": statistics.median(times),
            "by_round": times,
            "epochs": self._epochs,
            "first_fit_over_steady": self.first_fit,
        }


def made_peers(row, data, wanted):
    """The peers of a row, by name; skmlp first.

    PyTorch is told the precision when a peer is made, and keeps it till the next row.
    """
    workload = row.workload
    dtype = row.dtype if wanted.device != "cpu" else "float32"
    kinds = [gpu_peers.SkmlpOn]
    if not wanted.without_torch:
        kinds += gpu_peers.torch_peers(wanted.device)
    made = {}
    for kind in kinds:
        try:
            made[kind.name] = kind(workload, data, wanted.device, dtype)
        except Exception as error:  # of torch.compile, which needs a compiler of C
            if kind is gpu_peers.SkmlpOn:
                raise
            print(f"\n{kind.name} is NOT MEASURED: {error!r:.500}", flush=True)
    if wanted.device != "cpu" and dtype == "float32":
        for program in ("spanwise", "stepwise"):
            made[program] = gpu_peers.SkmlpProgram(workload, data, program)
    made["skmlp cpu"] = gpu_peers.SkmlpOn(workload, data, "cpu", "float32")
    cores = joblib.cpu_count()
    return made | {"sklearn": peers.ScikitLearn(workload, *data, cores)}


def measure(row, wanted, rates):
    """Times of all peers on one row of the table.

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
    steppers = {
        name: Stepper(peer, steps, wanted.seconds)
        for name, peer in made_peers(row, data, wanted).items()
    }
    for _ in range(wanted.rounds):
        for stepper in steppers.values():
            stepper.play()
    times = {name: stepper.result() for name, stepper in steppers.items()}
    return summarise(row, times, rates)


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
    """One library's fits on the images, and what the last one has learnt."""

    def __init__(self, peer, epochs):
        self._peer = peer
        self._epochs = epochs
        self._estimator = None

    def fit(self):
        """Train; a new network, or the same from its first weights."""
        if hasattr(self._peer, "train"):
            self._estimator = self._peer.train(self._epochs)
        else:
            self._peer.fit(self._epochs)

    def accuracy(self, X, y):
        """Share of the test rows whose label the last network predicts."""
        if self._estimator is None:
            return self._peer.accuracy(X, y)
        return float(self._estimator.score(X, y))


def whole_fit(wanted):
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
    made = made_peers(Row(workload, "float32", (0, 0, 0)), data, wanted)
    fits = {name: WholeFit(peer, epochs) for name, peer in made.items()}
    calls = {name: fit.fit for name, fit in fits.items()}
    seconds = timing.medians_in_turns(calls, min(3, wanted.rounds))
    found = {name: fit.accuracy(*test) for name, fit in fits.items()}
    rivals = [name for name in _FIT_GOALS if name in seconds]
    return {
        "images": "Fashion-MNIST" if wanted.data else "digits",
        "epochs": epochs,
        "seconds": seconds,
        "accuracy": found,
        "ratios": {name: seconds[name] / seconds["skmlp"] for name in rivals},
        "goals": _FIT_GOALS,
        "same_accuracy": found["skmlp"] >= max(found.values()) - _SAME,
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
    rates = [e["operations"] / e["times"]["skmlp cpu"]["step_us"] for e in entries]
    return {
        "_FIXED_SECONDS": smallest["times"]["skmlp"]["step_us"] / 1e6,
        "_CPU_RATE": max(rates) * 1e6,
    }


def checked(wanted, report):
    """Run the checks; ends the program if one fails."""
    size = gpu_checks.SMALL if wanted.small else gpu_checks.LARGE
    report["checks"], pairs = gpu_checks.run(size, wanted.device)
    report["curves"] = pairs
    print("\nlosses by epoch")
    gpu_checks.print_curves(pairs)
    if wanted.plot:
        gpu_checks.plot(pairs, wanted.plot)
    failed = [check["name"] for check in report["checks"] if not check["holds"]]
    if failed:
        reporting.save(report, wanted.json)
        sys.exit(f"{len(failed)} checks FAILED, so nothing is timed: {failed}")


def run(wanted):
    """Checks first, then all figures, printed as they come.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": vars(wanted)}
    if wanted.device == "cpu":
        print("A TRIAL ON THE CPU: no figure says anything about a GPU.")
    checked(wanted, report)
    if wanted.checks:
        return report
    rates = None
    if wanted.device != "cpu":
        import gpu_rates

        rates = report["rates"] = gpu_rates.measure()
        print(f"\n{gpu_rates.in_words(rates)}")
    report["results"] = []
    for row in _TABLE:
        if wanted.filter in row.workload.name:
            report["results"].append(measure(row, wanted, rates))
            print(*lines(report["results"][-1]), sep="\n", flush=True)
            reporting.save(report, wanted.json)  # a lent machine may be taken away
    report["whole_fit"] = whole_fit(wanted)
    print(*lines_of_fit(report["whole_fit"]), sep="\n", flush=True)
    if report["results"]:
        report["constants"] = constants(report["results"])
        print("\nfor skmlp/backends/cuda/device.py:")
        for name, value in report["constants"].items():
            print(f"  {name} = {value:.1e}")
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
    parser.add_argument("--filter", default="", help="only names that contain this")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--plot", metavar="FILE", help="draw the curves of the losses")
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
    reporting.save(run(wanted), wanted.json)


if __name__ == "__main__":
    main()
