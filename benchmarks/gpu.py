"""A training step on an NVIDIA GPU beside PyTorch, and a whole fit.

Run ``python benchmarks/gpu.py --data FOLDER``, with PyTorch installed if it is to be
compared with; ``README.md`` beside this file says how to read the output. The choices
that decide whether the figures are honest:

- First ``tests/gpu`` must pass on the device (``--skip-tests`` leaves it out). Then the
  loss after one epoch of each work must be the CPU's, or the work is not timed: the
  tests train small networks, and some kernels are only for large ones.
- The time of a step is that of a long fit less that of a fit of one epoch, divided by
  the steps between them; the difference is half a second or more. Every fit ends with
  its results on the host, so that no work is left on the device when the clock stops.
- The peers take turns, and ratios are ratios of medians over the rounds.
- PyTorch has its data on the device beforehand, its loss stays there, and the capture
  of its graph is not timed.
"""

import functools
import math
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import accuracy
import gpu_peers
import joblib
import numpy as np
import peers
import scenario
import timing
import workloads

from skmlp.backends.cuda.runtime import device as gpu_device

_ROOT = Path(__file__).parents[1]
# Smallest difference of a long fit and a fit of one epoch, in seconds.
_SECONDS, _QUICK_SECONDS = 0.5, 0.02
_MOST_EPOCHS = 100_000
# Largest relative difference of the losses of CPU and GPU after one epoch.
_SAME_LOSS = {"highest": 1e-2, "tf32": 5e-2}
# Largest difference of test accuracies that rounding explains.
_SAME_ACCURACY = 0.01
_MATMUL_SIZE, _MATMUL_REPEATS = 8192, 10


class Work(NamedTuple):
    """One network to train, and the precision of its matrix products."""

    workload: workloads.Workload
    precision: str = "highest"

    @property
    def name(self):
        """Of the table's line."""
        return f"{self.workload.name}, {self.precision}"


def workload(*sizes, batch, batches):
    """A classifier's workload of whole batches.

    Parameters
    ----------
    *sizes : int
        Features, units of each hidden layer, outputs.
    batch, batches : int

    Returns
    -------
    workloads.Workload
    """
    features, *hidden, outputs = sizes
    return workloads.Workload(
        task="binary" if outputs == 1 else "multiclass",
        features=features,
        hidden=tuple(hidden),
        outputs=outputs,
        activation="relu",
        batch_size=batch,
        rows=batch * batches,
        epochs=0,
    )


_WIDE = workload(784, 1024, 1024, 10, batch=4096, batches=10)
WORKS = (
    Work(workload(784, 256, 10, batch=200, batches=100)),
    Work(workload(54, 512, 512, 7, batch=1024, batches=50)),
    Work(_WIDE),
    Work(_WIDE, "tf32"),
    Work(workload(20, 100, 1, batch=200, batches=100)),
)


class StepTimer:
    """Times a training step of one peer.

    Parameters
    ----------
    peer : object
        With ``fit(epochs)``, which returns a loss.
    steps : int
        Of an epoch.
    seconds : float
        That the long fit takes longer than the short one, at least.

    Attributes
    ----------
    first_fit : float
        Seconds that the first fit took over the second.
    loss : float
        After one epoch.
    """

    def __init__(self, peer, steps, seconds):
        self._peer = peer
        self._steps = steps
        self._times = []
        start = time.perf_counter()
        self.loss = float(peer.fit(1))
        first = time.perf_counter() - start
        short = self._timed(1)
        self.first_fit = max(0.0, first - short)
        self._epochs = self._choose_epochs(seconds, short)

    def _timed(self, epochs):
        start = time.perf_counter()
        self._peer.fit(epochs)
        return time.perf_counter() - start

    def _choose_epochs(self, seconds, short):
        """Epochs of a long fit."""
        epochs = 2
        while True:
            difference = self._timed(epochs) - short
            if difference >= seconds or epochs >= _MOST_EPOCHS:
                return epochs
            factor = min(10.0, 1.3 * seconds / max(difference, 1e-9))
            epochs = min(_MOST_EPOCHS, 2 + math.ceil((epochs - 1) * factor))

    def play(self):
        """Time one short and one long fit."""
        timing.settle()
        short, long = self._timed(1), self._timed(self._epochs)
        self._times.append((long - short) / (self._epochs - 1) / self._steps)

    def result(self):
        """Microseconds of a step: the rounds' median, and each round's."""
        times = [1e6 * seconds for seconds in self._times]
        return {
            "step_us": statistics.median(times),
            "by_round": times,
            "epochs": self._epochs,
            "first_fit_over_steady": self.first_fit,
            "loss": self.loss,
        }


def run_tests():
    """Run ``tests/gpu`` on the device.

    Returns
    -------
    dict
    """
    command = [sys.executable, "-m", "pytest", "-q", "tests/gpu"]
    done = subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout)
    return {
        "tests": done.stdout.strip().splitlines()[-1],
        "passed": not done.returncode,
    }


def matmul_tflops(precision):
    """Rate of large products by cuBLAS, as PyTorch calls it; None without PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    factor = torch.randn(_MATMUL_SIZE, _MATMUL_SIZE, device="cuda")
    for repeats in (1, _MATMUL_REPEATS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            factor @ factor
        torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) / repeats
    return 2.0 * _MATMUL_SIZE**3 / seconds / 1e12


@functools.cache
def step_on_cpu(workload, seconds):
    """`StepTimer.result` of skmlp on the CPU, in one round."""
    data = workloads.data(workload, "float32")
    peer = gpu_peers.SkmlpOn(workload, data, "cpu")
    timer = StepTimer(peer, workload.rows // workload.batch_size, seconds)
    timer.play()
    return timer.result()


def measure_steps(work, options):
    """Times of a training step by all peers.

    Returns
    -------
    dict
        With the key 'error' in place of times if skmlp's loss is not the CPU's.
    """
    load, precision = work
    if options.quick:
        load = load._replace(rows=3 * load.batch_size)
    if options.device == "cpu":
        precision = "highest"
    seconds = _QUICK_SECONDS if options.quick else _SECONDS
    on_cpu = step_on_cpu(load, seconds)
    entry = {"name": work.name, "loss_on_cpu": on_cpu["loss"]}
    data, timers = workloads.data(load, "float32"), {}
    for peer in (gpu_peers.SkmlpOn, *gpu_peers.torch_peers(options.device)):
        made = peer(load, data, options.device, precision)
        timer = StepTimer(made, load.rows // load.batch_size, seconds)
        if peer is gpu_peers.SkmlpOn:
            error = loss_error(timer.loss, on_cpu["loss"], precision)
            if error and not options.anyway:
                return entry | {"error": error}
        timers[peer.name] = timer
    for _ in range(options.rounds):
        for timer in timers.values():
            timer.play()
    times = {name: timer.result() for name, timer in timers.items()}
    ours = times["skmlp"]["step_us"]
    operations = load.flops * load.batch_size / load.rows
    return entry | {
        "times": times | {"skmlp on the CPU": on_cpu},
        "error": error,
        "operations": operations,
        "tflops": operations / ours / 1e6,
        "ratios": {name: times[name]["step_us"] / ours for name in times},
    }


def loss_error(loss, expected, precision):
    """Why a loss is not the CPU's, in words; None if it is."""
    difference = abs(loss - expected) / abs(expected)
    # nan is above every limit.
    if difference <= _SAME_LOSS[precision]:
        return None
    return f"the loss after an epoch is {loss:g}, the CPU's {expected:g}"


def measure_fit(options):
    """Seconds and test accuracy of a whole fit, one hidden layer of 128 units.

    From arrays on the host to a fitted model; PyTorch has its data on the device
    beforehand. Fits on the CPU are timed once.

    Returns
    -------
    dict
    """
    (X, y), test = accuracy.images(options.data)
    rows = len(X) // 200 * 200
    data = X[:rows], y[:rows].astype(np.int64)
    load = workload(X.shape[1], 128, 10, batch=200, batches=rows // 200)
    epochs = 2 if options.quick else 20
    classes = (gpu_peers.SkmlpOn, *gpu_peers.torch_peers(options.device)[:1])
    contestants = {peer.name: peer(load, data, options.device) for peer in classes}
    contestants["skmlp on the CPU"] = gpu_peers.SkmlpOn(load, data, "cpu")
    contestants["sklearn"] = peers.ScikitLearn(load, *data, joblib.cpu_count())
    seconds, reached = {}, {}
    for name, peer in contestants.items():
        on_cpu = name in ("skmlp on the CPU", "sklearn")
        fit = peer.fit if hasattr(peer, "accuracy") else peer.train
        if not on_cpu:
            fit(epochs)  # compiles
        times = []
        for _ in range(1 if on_cpu else options.rounds):
            timing.settle()
            start = time.perf_counter()
            model = fit(epochs)
            times.append(time.perf_counter() - start)
        seconds[name] = statistics.median(times)
        score = peer.accuracy if hasattr(peer, "accuracy") else model.score
        reached[name] = float(score(*test))
    return {
        "images": "Fashion-MNIST" if options.data else "digits",
        "epochs": epochs,
        "seconds": seconds,
        "accuracy": reached,
        "ratios": {name: seconds[name] / seconds["skmlp"] for name in seconds},
        "same_accuracy": reached["skmlp"] >= max(reached.values()) - _SAME_ACCURACY,
    }


def constants(entries):
    """What `skmlp.backends.cuda.runtime.device` should hold, by these measurements.

    The fixed time is that of the step with the fewest operations, the CPU's rate the
    highest that skmlp reached on it.
    """
    smallest = min(entries, key=lambda entry: entry["operations"])
    rates = [
        1e6 * entry["operations"] / entry["times"]["skmlp on the CPU"]["step_us"]
        for entry in entries
    ]
    fixed = smallest["times"]["skmlp"]["step_us"] / 1e6
    return {"_FIXED_SECONDS": fixed, "_CPU_RATE": max(rates)}


def line(entry):
    """The lines of one entry, by what it holds."""
    if "tests" in entry:
        return f"tests/gpu: {entry['tests']}"
    if "constants" in entry:
        values = [f"  {name} = {v:.1e}" for name, v in entry["constants"].items()]
        return "\n".join(["\nfor skmlp/backends/cuda/runtime/device.py:", *values])
    if "seconds" in entry:
        lines = [f"\n{entry['images']}, a whole fit of {entry['epochs']} epochs"]
        for name, seconds in entry["seconds"].items():
            lines.append(
                f"  {name:<18}{seconds:>10.3f} s{entry['ratios'][name]:>7.2f}x"
                f"  test accuracy {entry['accuracy'][name]:.4f}"
            )
        return "\n".join(lines + ["  ACCURACIES DIFFER"] * (not entry["same_accuracy"]))
    lines = [f"\n{entry['name']}"]
    if entry["error"]:
        lines.append(f"  LOSSES DIFFER: {entry['error']}")
    for name, result in entry.get("times", {}).items():
        spread = "{:.1f} to {:.1f}".format(*np.sort(result["by_round"])[[0, -1]])
        ratio = entry["ratios"].get(name)
        lines.append(
            f"  {name:<18}{result['step_us']:>10.1f} us a step ({spread})"
            + ("" if ratio is None else f"{ratio:>7.2f}x")
        )
    if "times" in entry:
        first = entry["times"]["skmlp"]["first_fit_over_steady"]
        lines.append(f"  {entry['tflops']:.2f} TFLOP/s; first fit {first:.2f} s more")
    return "\n".join(lines)


def setup(options):
    """Print the rates of cuBLAS; the works whose names contain the filter."""
    if options.device == "cpu":
        print("A TRIAL ON THE CPU: no figure says anything about a GPU.")
    for precision in ("highest", "tf32") if options.device == "cuda" else ():
        rate = matmul_tflops(precision)
        if rate:
            print(f"products by cuBLAS, {precision}: {rate:.1f} TFLOP/s")
    return [work for work in WORKS if re.search(options.filter, work.name)]


def measure(works, options):
    """Yield the outcome of the tests, the works, a whole fit, and the constants."""
    if options.device == "cuda" and not options.skip_tests:
        outcome = run_tests()
        yield outcome
        if not (outcome["passed"] or options.anyway):
            sys.exit("tests/gpu FAILED, so nothing is timed")
    entries = []
    for work in works:
        entries.append(measure_steps(work, options))
        yield entries[-1]
    yield measure_fit(options)
    timed = [entry for entry in entries if "times" in entry]
    if timed:
        yield {"constants": constants(timed)}


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 batches an epoch, one round",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": scenario.folder("the images"),
        "device": {
            "choices": ("cuda", "cpu"),
            "default": "cuda",
            "help": "'cpu' tries the script out; CUDA_VISIBLE_DEVICES chooses a GPU",
        },
        "filter": {"default": "", "help": "only names that match this expression"},
        "rounds": scenario.rounds(5, 1),
        "skip-tests": {"action": "store_true", "help": "do not run tests/gpu"},
        "anyway": {"action": "store_true", "help": "time what computes wrong numbers"},
    },
)


def main():
    options = SCENARIO.parse()
    obstacle = gpu_device.obstacle(0) if options.device == "cuda" else None
    if obstacle:
        print(f"NOT RUN: {obstacle.reason}. {obstacle.remedy}")
        return
    SCENARIO.main()


if __name__ == "__main__":
    main()
