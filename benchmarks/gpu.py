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
  often, what fails is left out by name, and so is what need not be once time is over.
- Each work has a process of its own (see `gpu_parts`), which compares the loss of its
  own shape with the CPU's before it times a step.

Memory errors are found by ``compute-sanitizer --tool memcheck python benchmarks/gpu.py
--checks --small --processes 1``, races by ``--tool racecheck``.
"""

import functools
import itertools
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import accuracy
import gpu_checks
import gpu_parts
import gpu_peers
import gpu_steps
import joblib
import numpy as np
import peers
import reporting
import timing
import workloads

from skmlp.backends.cuda.runtime import device as gpu

_SECONDS, _QUICK_SECONDS = 0.5, 0.02
_EPOCHS, _QUICK_EPOCHS = 20, 2
# Test accuracies that are this near each other are those of equal networks.
_SAME = 0.01
_RESULTS = Path(__file__).with_name("RESULTS.md")
_ENDED_BY_SIGTERM = 128 + signal.SIGTERM


# skmlp's for a GPU, between which its planner chooses.
_PROGRAMS = ("spanwise", "stepwise")


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


# Shares of a row's time within which its peers may begin. A goal without a rival is no
# goal, and rows that are done early leave their time to others.
_LATE = 2
# Peers that are the same whatever the GPU's precision is.
_ON_THE_CPU = ("skmlp cpu", "sklearn")
# skmlp, and the peer whose losses its own have to be.
_NEEDED = ("skmlp", "skmlp cpu")
# By when they are made: what breaks takes the GPU from all that come after it, and what
# comes last may find no time. No goal speaks of skmlp's programs.
_ORDER = (
    *("skmlp cpu", "skmlp", "torch eager", "sklearn"),
    *("torch graph", "torch compiled", *_PROGRAMS),
)


def makers(row, data, wanted):
    """Functions that make the peers of a row, by name, in their order.

    PyTorch is told the precision when a peer is made, and keeps it.
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
        for program in _PROGRAMS:
            made[program] = functools.partial(
                gpu_peers.SkmlpProgram, workload, data, program
            )
    made["skmlp cpu"] = functools.partial(
        gpu_peers.SkmlpOn, workload, data, "cpu", "float32"
    )
    made["sklearn"] = functools.partial(
        peers.ScikitLearn, workload, *data, joblib.cpu_count()
    )
    return {name: made[name] for name in _ORDER if name in made}


class Agreement:
    """Whether skmlp's loss after an epoch of a row is the CPU's.

    The checks have small networks, whose kernels are not those of every row.

    Parameters
    ----------
    dtype : {'float32', 'tf32'}
    before : dict of dict
        `Stepper.result` of peers on the CPU that are known from an earlier row.
    anyway : bool
        Go on if it is not.

    Attributes
    ----------
    checks : list of dict
    """

    def __init__(self, dtype, before, anyway):
        self._limit = gpu_checks.CURVES[dtype]
        self._expected = before.get("skmlp cpu", {}).get("loss")
        self._anyway = anyway
        self.checks = []

    def ask(self, name, loss):
        """Compare one peer's loss, if it trains skmlp's network.

        Raises
        ------
        ArithmeticError
            If it is another.
        """
        if name == "skmlp cpu":
            self._expected = loss
        if name not in ("skmlp", *_PROGRAMS):
            return
        found = gpu_checks.apart(loss, self._expected)
        finding = gpu_checks.Finding(f"loss of an epoch: {name}", found, self._limit)
        print(finding.line(), flush=True)
        self.checks.append({**finding._asdict(), "holds": finding.holds})
        if not (finding.holds or self._anyway):
            raise ArithmeticError(
                f"its loss after an epoch is {loss:g}, the CPU's {self._expected:g}"
            )


def measure(row, wanted, rates, seconds, before):
    """Times of all peers on one row of the table, a part of `gpu_parts`.

    Parameters
    ----------
    row : Row
    wanted : argparse.Namespace
    rates : dict or None
    seconds : float
        After which no further round begins.
    before : dict of dict
        `Stepper.result` of peers on the CPU that are known from an earlier row.

    Yields
    ------
    dict
        What there is after each peer's first times, and after each round.
    """
    clock, late = gpu_steps.Clock(seconds), gpu_steps.Clock(_LATE * seconds)
    if wanted.quick:
        workload = row.workload
        row = row._replace(workload=workload._replace(rows=3 * workload.batch_size))
    print(f"\n{row.workload.name}, {row.dtype}: losses beside the CPU's", flush=True)
    data = workloads.data(row.workload, "float32")
    made = makers(row, data, wanted)
    agreement = Agreement(row.dtype, before, wanted.anyway)

    def start(name, share):
        steps = row.workload.rows // row.workload.batch_size
        stepper = gpu_steps.Stepper(made[name](), steps, wanted.seconds, share)
        agreement.ask(name, stepper.loss)
        return stepper

    field = gpu_steps.Field(_NEEDED)
    chosen = {n: functools.partial(start, n) for n in made if n not in before}
    rounds = field.enter(chosen, late), field.play(wanted.rounds - 1, clock)
    for found in itertools.chain(*rounds):
        if "skmlp" in found:
            rest = {"missing": field.missing, "checks": agreement.checks}
            yield summarize(row, found | before, rates) | rest


def summarize(row, times, rates):
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


def whole_fit(wanted, allowed):
    """Whole fits of one hidden layer of 128 units, a part of `gpu_parts`.

    Parameters
    ----------
    wanted : argparse.Namespace
    allowed : float
        Seconds that it may take.

    Yields
    ------
    dict
        Seconds and test accuracies, after each peer.
    """
    clock = gpu_steps.Clock(allowed)
    (X, y), test = accuracy.images(wanted.data)
    rows = len(X) // 200 * 200
    data = X[:rows], y[:rows].astype(np.int64)
    workload = workloads.Workload(
        "multiclass", X.shape[1], (128,), 10, "relu", 200, rows, 0
    )
    epochs = _QUICK_EPOCHS if wanted.quick else _EPOCHS
    made = makers(Row(workload, "float32", (0, 0, 0)), data, wanted)
    names = [name for name in ("skmlp", *_FIT_PEERS) if name in made]

    def result(name, share):
        fit = WholeFit(made[name](), epochs)
        own = gpu_steps.Clock(share)
        return fit.seconds(min(3, wanted.rounds), own), fit.accuracy(*test)

    field, results = gpu_steps.Field(("skmlp",)), {}
    for name, share in field.in_time(names, clock):
        found = field.tried(name, functools.partial(result, name, share))
        if found is not None:
            results[name] = found
            rest = {"epochs": epochs, "missing": field.missing}
            yield summarize_fits(results, wanted.data) | rest


def summarize_fits(results, folder):
    """The entry of whole fits in the JSON file, of seconds and accuracies by name."""
    seconds, found = (
        {name: pair[which] for name, pair in results.items()} for which in (0, 1)
    )
    rivals = [name for name in _FIT_GOALS if name in seconds]
    return {
        "images": "Fashion-MNIST" if folder else "digits",
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
    """What `skmlp.backends.cuda.runtime.device` should hold, by these measurements.

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


class Record:
    """What a run has found and printed so far, and the files that it is kept in.

    They are written after every figure: a lent machine may be taken away.

    Parameters
    ----------
    wanted : argparse.Namespace
        Its `json` and `results` name the files, if there are any.
    text : io.StringIO
        All that has been printed.

    Attributes
    ----------
    report : dict
        Fit for JSON.
    """

    def __init__(self, wanted, text):
        self._wanted = wanted
        self._text = text
        self.report = {}

    def save(self):
        """Write what there is."""
        reporting.save(self.report, self._wanted.json)
        if self._wanted.results:
            text = self._text.getvalue()
            reporting.put_section(self._wanted.results, "gpu.py", text)


def attempt(title, in_words, patience, part, *arguments):
    """What a part of `gpu_parts` has found, printed in words; what ended it, if it was.

    Parameters
    ----------
    title : str
    in_words : callable
        Lines about what was found.
    patience : float
        As for `gpu_parts.run`.
    part, *arguments
        What is run.

    Returns
    -------
    dict
    """
    found, trouble = gpu_parts.run(part, arguments, patience)
    if found is not None:
        print(*in_words(found), sep="\n", flush=True)
    if trouble is None:
        return found
    what = "NOT MEASURED" if found is None else "BROKEN OFF, and not all of it measured"
    print(f"\n{title} is {what}: {trouble}", flush=True)
    return (found or {}) | {"error": trouble}


def drawn(pairs, file):
    """Draw the curves; no figure is lost if that cannot be done."""
    try:
        gpu_checks.plot(pairs, file)
    except Exception as error:
        print(f"the curves are NOT DRAWN: {error!r:.500}", flush=True)


def checked(wanted, record):
    """Run the checks; ends the program if one fails, unless told to go on."""
    report = record.report
    size = gpu_checks.SMALL if wanted.small else gpu_checks.LARGE
    report["checks"], pairs = gpu_checks.run(size, wanted.device, wanted.processes)
    report["curves"] = pairs
    print("\nlosses by epoch")
    gpu_checks.print_curves(pairs)
    record.save()
    if wanted.plot:
        drawn(pairs, wanted.plot)
    failed = [check["name"] for check in report["checks"] if not check["holds"]]
    if failed and not (wanted.anyway and not wanted.checks):
        sys.exit(f"{len(failed)} checks FAILED, so nothing is timed: {failed}")
    if failed:
        print(
            f"{len(failed)} checks FAILED: NO FIGURE BELOW IS TO BE TRUSTED: {failed}"
        )


def rates_of_device():
    """Rates of the device, a part of `gpu_parts`."""
    import gpu_rates

    yield gpu_rates.measure()


def lines_of_rates(rates):
    """Yield the lines about the device."""
    import gpu_rates

    yield "\n" + gpu_rates.in_words(rates)


def timed(wanted, record, clock):
    """All figures, printed as they come, within the time that is left."""
    report, patience, rates = record.report, wanted.patience, None
    if wanted.device != "cpu":
        rates = attempt("the device", lines_of_rates, patience, rates_of_device)
        report["rates"] = rates
        record.save()
    report["results"], known = [], {}
    for number, row in enumerate(_TABLE):
        if wanted.filter not in row.workload.name:
            report["results"].append({})
            continue
        # The whole fits have as much as two rows.
        seconds = clock.left() / (len(_TABLE) - number + 2)
        before = known.setdefault(row.workload.name, {})
        title = f"{row.workload.name}, {row.dtype}"
        found = attempt(
            *(title, lines, patience),
            *(measure, row, wanted, rates, seconds, before),
        )
        times = found.get("times", {})
        before.update({name: times[name] for name in _ON_THE_CPU if name in times})
        report["results"].append(found)
        record.save()
    report["whole_fit"] = attempt(
        "a whole fit", lines_of_fit, patience, whole_fit, wanted, clock.left()
    )
    record.save()


def run(wanted, record):
    """Checks first, then all figures, and last what has become of the goals.

    Parameters
    ----------
    wanted : argparse.Namespace
    record : Record
        That all is added to.
    """
    clock, report = gpu_steps.Clock(wanted.budget), record.report
    report.update(reporting.start(), options=vars(wanted))
    if wanted.device == "cpu":
        print("A TRIAL ON THE CPU: no figure says anything about a GPU.")
    checked(wanted, record)
    if wanted.checks:
        return
    timed(wanted, record, clock)
    entries = [entry for entry in report["results"] if "times" in entry]
    if entries:
        report["constants"] = constants(entries)
        print("\nfor skmlp/backends/cuda/runtime/device.py:")
        for name, value in report["constants"].items():
            print(f"  {name} = {value:.1e}")
    print("\ngoals: times as fast, found and wanted")
    print(*goals(report), sep="\n")
    print(f"{clock.gone():.0f} s in all", flush=True)


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
        help="after which nothing begins that need not (default: 500)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        metavar="SECONDS",
        default=120,
        help="without a word of a part after which it is ended (default: 120)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=min(8, joblib.cpu_count()),
        help="that share the checks, most of which is compilation",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the curves of the losses")
    parser.add_argument(
        "--results",
        metavar="FILE",
        help="to put what is printed there; RESULTS.md for a whole run, else none",
    )
    parser.add_argument(
        "--without-torch", action="store_true", help="also when it is installed"
    )
    wanted = parser.parse_args()
    wanted.rounds = wanted.rounds or (1 if wanted.quick else 5)
    wanted.seconds = _QUICK_SECONDS if wanted.quick else _SECONDS
    if wanted.results is None and _is_whole(wanted):
        wanted.results = str(_RESULTS)
    return wanted


def _is_whole(wanted):
    """Whether a run is none of the trials that are no news to readers of figures."""
    is_short = wanted.quick or wanted.checks or wanted.small or wanted.filter
    return wanted.device != "cpu" and not is_short


def main():
    wanted = arguments()
    if wanted.device != "cpu":
        missing = gpu.obstacle(0)
        if missing is not None:
            print(f"NOT RUN: {missing.reason}. {missing.remedy}")
            return
    # Who ends a run by force sends this first, and what was measured is worth keeping.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED_BY_SIGTERM))
    with reporting.printed() as text:
        record = Record(wanted, text)
        try:
            run(wanted, record)
        finally:
            record.save()


if __name__ == "__main__":
    main()
