"""The scaffold of the benchmarks, and what `benchmarks/gpu.py` does without a GPU."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import skmlp
from skmlp import quick_benchmark

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("no benchmarks here", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import gpu  # noqa: E402
import machine  # noqa: E402
import scenario  # noqa: E402
import speed_bars  # noqa: E402
import workloads  # noqa: E402

# The scripts have the skmlp that the tests have, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(skmlp.__file__).parent.parent)}


def make_scenario(**parts):
    functions = {
        "setup": lambda options: 10,
        "measure": lambda state, options: iter(["a line", {"value": state}]),
        "line": lambda entry: f"value {entry['value']}",
        "options": {"rounds": scenario.rounds(7, 3)},
    }
    return scenario.Scenario(doc="A title.", quick="less", **{**functions, **parts})


@pytest.fixture(autouse=True)
def _fixed_machine(monkeypatch):
    monkeypatch.setattr(quick_benchmark, "_WATCHED_SECONDS", 0.05)


def test_entries_are_printed_and_reported(capsys, monkeypatch, tmp_path):
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["x.py", "--json", str(file)])
    make_scenario(goal=2).main()
    assert capsys.readouterr().out.endswith("a line\nvalue 10\n")
    report = json.loads(file.read_text())
    assert report["results"] == [{"value": 10}]
    assert report["goal"] == 2
    assert report["options"]["rounds"] == 7


@pytest.mark.parametrize(
    ("arguments", "rounds"),
    [([], 7), (["--quick"], 3), (["--quick", "--rounds", "5"], 5)],
)
def test_quick_changes_what_is_not_given(arguments, rounds):
    assert make_scenario().parse(arguments).rounds == rounds


@pytest.mark.parametrize(
    ("idle", "words"),
    [(0, "NOT QUIET (2.0 of 2 cores busy"), (100, "quiet (0.0 of 2 cores busy")],
)
def test_the_heading_says_whether_the_machine_is_quiet(idle, words, monkeypatch):
    ticks = iter([(0, 0), (100, idle)])
    monkeypatch.setattr(quick_benchmark, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(machine.joblib, "cpu_count", lambda: 2)
    assert words in machine.in_words(machine.describe())


def test_the_heading_says_what_the_vectors_are():
    assert re.search(r"with(out)? AVX-512", machine.in_words(machine.describe()))


class Peer:
    """Trains for a hundredth of a second an epoch."""

    def fit(self, epochs):
        time.sleep(0.01 * epochs)
        return 0.5


def test_a_step_is_a_difference_of_fits(monkeypatch):
    monkeypatch.setattr(gpu.timing, "settle", lambda: None)
    timer = gpu.StepTimer(Peer(), steps=10, seconds=0.05)
    for _ in range(3):
        timer.play()
    result = timer.result()
    assert result["loss"] == 0.5
    assert result["epochs"] >= 5
    assert len(result["by_round"]) == 3
    assert 900 < result["step_us"] < 5000


@pytest.mark.parametrize("loss", [0.52, 0.48, float("nan")])
def test_another_loss_than_the_cpus_is_an_error(loss):
    assert gpu.loss_error(loss, 0.5, "highest") is not None
    assert gpu.loss_error(0.5, 0.5, "highest") is None


def test_a_work_that_learns_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(gpu, "step_on_cpu", lambda *_: {"loss": 0.6, "step_us": 1.0})
    monkeypatch.setattr(gpu.gpu_peers, "SkmlpOn", lambda *_: Peer())
    monkeypatch.setattr(gpu.gpu_peers, "torch_peers", lambda device: [])
    options = gpu.SCENARIO.parse(["--device", "cpu", "--quick"])
    entry = gpu.measure_steps(gpu.WORKS[-1], options)
    assert "times" not in entry
    assert "LOSSES DIFFER" in gpu.line(entry)


def run(script, *options):
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, *options],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_gpu_benchmark_can_be_tried_out_on_the_cpu():
    printed = run("gpu.py", "--device", "cpu", "--quick", "--filter", "^20x100")
    assert "A TRIAL ON THE CPU" in printed
    assert "LOSSES DIFFER" not in printed
    assert re.search(r"skmlp on the CPU +[\d.]+ us a step", printed)
    assert "_FIXED_SECONDS = " in printed


@pytest.mark.slow
def test_workers_of_dask_can_be_tried_out(tmp_path):
    pytest.importorskip("distributed")
    file, image = tmp_path / "cluster.json", tmp_path / "cluster.png"
    less = ("--rows", "20000", "--epochs", "2", "--sums", "5")
    printed = run("distributed.py", "--quick", *less, "--json", file)
    parts = [entry["part"] for entry in json.loads(file.read_text())["results"]]
    one, two = (["epoch"] * n + ["memory"] for n in (3, 4))
    assert parts == ["step", *["sum"] * 3, *one, *two]
    # So short a difference of fits may be negative.
    assert re.search(r"2 +every step +[-\d. ]+  goal 1.3: ", printed)
    assert "A message costs " in run("cluster_plot.py", file, "--image", image)


def report_of(quiet):
    entry = workloads.GRID[0]._asdict() | {"epoch_ratio": {"sklearn": 4.0, "jax": 20.5}}
    other = workloads.GRID[1]._asdict() | {"epoch_ratio": {"sklearn": 9.0, "jax": 0.5}}
    results = [{**each, "dtype": "float32"} for each in (entry, other)]
    described = {"cores": 2, "processor": "a processor", "vector_extension": "AVX2"}
    return {"machine": {**described, "quiet": quiet}, "results": results}


def test_speed_bars_of_a_quiet_machine(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    file, image = tmp_path / "cpu.json", tmp_path / "speed.png"
    file.write_text(json.dumps(report_of(quiet=True)))
    monkeypatch.setattr(sys, "argv", ["x.py", str(file), "--image", str(image)])
    speed_bars.main()
    text = capsys.readouterr().out.replace("\N{MULTIPLICATION SIGN}", "x")
    lines = text.splitlines()
    assert lines[0] == "| network | scikit-learn, float32 | JAX, float32 |"
    assert lines[2].endswith("| 4.0x | 20x |")
    assert lines[-1] == "| **geometric mean** | **6.0x** | **3.2x** |"
    assert image.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("quiet", [False, None])
def test_no_speed_bars_of_a_busy_machine(quiet, tmp_path, monkeypatch):
    file = tmp_path / "cpu.json"
    file.write_text(json.dumps(report_of(quiet)))
    monkeypatch.setattr(sys, "argv", ["x.py", str(file), "--image", str(file)])
    with pytest.raises(SystemExit, match="not quiet"):
        speed_bars.main()
