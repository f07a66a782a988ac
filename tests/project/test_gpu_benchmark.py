"""What keeps the figures of `benchmarks/gpu.py` when something breaks, without a GPU.

Machines with a GPU are lent for minutes, so that there is no second try.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import benchmark_parts
import pytest

import skmlp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("no benchmarks here", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import gpu  # noqa: E402
import gpu_parts  # noqa: E402
import gpu_steps  # noqa: E402
import reporting  # noqa: E402

PATIENCE = 60


class Peer:
    """Trains for a hundredth of a second an epoch; fails as soon as it is to."""

    def __init__(self, loss=0.5, is_to_fail=lambda: False):
        self._loss = loss
        self._is_to_fail = is_to_fail

    def fit(self, epochs):
        if self._is_to_fail():
            raise RuntimeError("a sticky error")
        time.sleep(0.01 * epochs)
        return self._loss

    def accuracy(self, X, y):
        if self._loss < 0:
            raise RuntimeError("no predictions")
        return self._loss


@pytest.fixture
def wanted(tmp_path):
    return argparse.Namespace(
        **{"json": str(tmp_path / "found.json"), "results": str(tmp_path / "R.md")},
        **{"device": "cpu", "filter": "", "patience": PATIENCE, "data": None},
        **{"quick": True, "rounds": 2, "seconds": 0.01, "anyway": False},
    )


@pytest.fixture
def peers(monkeypatch):
    """Makers of a row's peers, put in place of the real ones."""
    made = {"skmlp cpu": Peer, "skmlp": Peer, "torch eager": Peer, "sklearn": Peer}
    monkeypatch.setattr(gpu, "makers", lambda *_: made)
    monkeypatch.setattr(gpu_steps.timing, "settle", lambda: None)
    return made


def entries(wanted, seconds=60.0, before=None):
    """What a row yields, the last being what is reported."""
    return list(gpu.measure(gpu._TABLE[-1], wanted, None, seconds, before or {}))


@pytest.mark.parametrize(
    ("part", "found", "trouble"),
    [
        (benchmark_parts.ends_well, "last", None),
        (benchmark_parts.fails, "before", "ValueError('an illegal address')"),
        (benchmark_parts.dies, "before", "its process ended with exit code 7"),
        (benchmark_parts.finds_nothing, None, "ValueError('no such peer')"),
    ],
)
def test_what_a_part_has_told_is_kept(part, found, trouble):
    assert gpu_parts.run(part, (), PATIENCE) == (found, trouble)


@pytest.mark.slow
def test_a_part_that_hangs_is_ended():
    outcome = gpu_parts.run(benchmark_parts.hangs, (), 15)
    assert outcome == ("before", "nothing was heard of it for 15 s")


def test_what_a_part_prints_is_among_the_results():
    with reporting.printed() as text:
        gpu_parts.run(benchmark_parts.ends_well, (), PATIENCE)
    assert "printed elsewhere\n" in text.getvalue()


def test_rows_go_on_after_one_that_dies_and_are_saved(wanted, monkeypatch):
    monkeypatch.setattr(gpu, "measure", benchmark_parts.measure)
    monkeypatch.setattr(gpu, "whole_fit", benchmark_parts.whole_fit)
    monkeypatch.setattr(gpu, "lines_of_fit", lambda entry: ["fitted"])
    with reporting.printed() as text:
        record = gpu.Record(wanted, text)
        gpu.timed(wanted, record, gpu_steps.Clock(60))
    died, broken, wide, wide_again, small = record.report["results"]
    assert died == {"error": "its process ended with exit code 7"}
    assert broken["error"] == "ValueError('a capture failed')"
    assert broken["times"]["skmlp"]["step_us"] == 2.0
    assert "error" not in wide | wide_again | small
    assert (wide["known"], wide_again["known"]) == ([], ["sklearn"])
    assert record.report["whole_fit"]["saved"]["results"] == record.report["results"]
    assert "NOT MEASURED" in record.report["whole_fit"]["section"]


def test_a_row_is_told_after_each_peer_and_each_round(wanted, peers):
    told = entries(wanted)
    assert [len(entry["times"]) for entry in told] == [2, 3, 4, 4]
    assert len(told[-1]["times"]["skmlp"]["by_round"]) == 2
    assert told[-1]["checks"][0]["holds"]


def test_a_peer_that_breaks_is_left_out(wanted, peers):
    peers["torch eager"] = lambda: Peer(is_to_fail=lambda: True)
    last = entries(wanted)[-1]
    assert "a sticky error" in last["missing"]["torch eager"]
    assert set(last["ratios"]) == {"sklearn"}


def test_first_times_are_kept_if_skmlp_breaks_later(wanted, peers):
    last_peers, told = [], []
    peers["skmlp"] = lambda: Peer(is_to_fail=lambda: last_peers)
    peers["sklearn"] = lambda: last_peers.append(Peer()) or last_peers[0]
    with pytest.raises(RuntimeError, match="sticky"):
        told.extend(gpu.measure(gpu._TABLE[-1], wanted, None, 60.0, {}))
    assert "sklearn" in told[-1]["ratios"]


@pytest.mark.parametrize("loss", [0.51, float("nan")])
def test_what_learns_something_else_is_not_timed(loss, wanted, peers):
    peers["skmlp"] = lambda: Peer(loss)
    with pytest.raises(ArithmeticError, match="its loss after an epoch"):
        entries(wanted)
    wanted.anyway = True
    assert not entries(wanted)[-1]["checks"][0]["holds"]


def test_a_loss_that_is_known_is_compared_with(wanted, peers):
    before = {"skmlp cpu": entries(wanted)[-1]["times"]["skmlp cpu"]}
    before["skmlp cpu"]["loss"] = 0.6
    with pytest.raises(ArithmeticError, match=r"the CPU's 0\.6"):
        entries(wanted, before=before)


def test_once_time_is_over_only_what_is_needed_is_timed(wanted, peers):
    last = entries(wanted, seconds=0.0)[-1]
    assert set(last["times"]) == {"skmlp", "skmlp cpu"}
    assert last["missing"] == dict.fromkeys(
        ("torch eager", "sklearn"), "no time was left"
    )
    assert len(last["times"]["skmlp"]["by_round"]) == 1


def test_whole_fits_do_without_a_peer_that_cannot_predict(wanted, peers):
    peers["torch eager"] = lambda: Peer(-1.0)
    last = list(gpu.whole_fit(wanted, 60.0))[-1]
    assert set(last["seconds"]) == {"skmlp", "skmlp cpu", "sklearn"}
    assert "no predictions" in last["missing"]["torch eager"]


@pytest.mark.parametrize("pairs", [{}, {"loss: x": {"cpu": [1.0], "gpu": [1.0]}}])
def test_curves_that_cannot_be_drawn_end_nothing(pairs, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    gpu.drawn(pairs, tmp_path / "curves.png")
    assert "NOT DRAWN" in capsys.readouterr().out


def test_no_curves_are_no_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    gpu.drawn({}, tmp_path / "curves.png")
    assert "no check has come to a curve" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "results"),
    [
        ([], str(BENCHMARKS / "RESULTS.md")),
        (["--results", "other.md"], "other.md"),
        *((trial, None) for trial in (["--quick"], ["--checks"], ["--filter", "784"])),
        (["--device", "cpu"], None),
    ],
)
def test_a_whole_run_is_put_into_the_results(options, results, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
    assert gpu.arguments().results == results


def test_a_section_takes_the_place_of_its_last_alone(tmp_path):
    file = tmp_path / "RESULTS.md"
    for script, text in (("cpu.py", "a"), ("gpu.py", "old"), ("x.py", "b")):
        reporting.put_section(file, script, text)
    reporting.put_section(file, "gpu.py", "new")
    found = file.read_text()
    assert [f"\n{text}\n" in found for text in ("a", "old", "new", "b")] == [
        *(True, False, True, True)
    ]
    assert list(tmp_path.iterdir()) == [file]


def test_a_driver_that_is_not_there_has_no_release():
    pytest.importorskip("numba_cuda")
    import gpu_rates

    assert gpu_rates.release_of_driver("no-such-library.so") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_a_run_that_is_told_to_end_leaves_what_it_found(tmp_path):
    results, found = tmp_path / "RESULTS.md", tmp_path / "found.json"
    script = [sys.executable, "-u", BENCHMARKS / "gpu.py", "--device", "cpu", "--small"]
    files = ["--results", results, "--json", found, "--processes", "1"]
    # The script has the skmlp that the tests have, installed or not.
    environment = {**os.environ, "PYTHONPATH": str(Path(skmlp.__file__).parent.parent)}
    with subprocess.Popen(
        [*script, *files], env=environment, stdout=subprocess.PIPE, text=True
    ) as run:
        heading = next(line for line in run.stdout if line.startswith("check "))
        run.send_signal(signal.SIGTERM)
        rest = io.StringIO(run.communicate(timeout=120)[0])
    assert run.returncode == 128 + signal.SIGTERM, rest.getvalue()
    assert heading in results.read_text()
    assert "machine" in json.loads(found.read_text())
