"""Runs the tests of the folder `gpu` and reports them, a file in a process of its own.

Whether kernels run on a GPU or in the simulator is settled for a whole process before
Numba is imported, and the other tests need a Numba without the simulator.
"""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "tests" / "gpu").rglob("test_*.py"))
MINUTES = 30


def run_pytest(path, report):
    command = [sys.executable, "-m", "pytest", "-q", str(path), f"--junitxml={report}"]
    variables = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "SKMLP_TEST_CACHE_DIR": os.environ["SKMLP_CACHE_DIR"],
    }
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
    )


def outcomes_of(report):
    """Name of every test of a report, what became of it, and why."""
    for case in ElementTree.parse(report).iter("testcase"):
        outcome, why = "passed", ""
        for child in case:
            if child.tag in ("skipped", "failure", "error"):
                outcome, why = child.tag, child.get("message", "")
        yield case.get("name"), outcome, why


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_in_its_own_process(path, tmp_path, subtests):
    done = run_pytest(path, tmp_path / "report.xml")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    outcomes = list(outcomes_of(tmp_path / "report.xml"))
    assert any(outcome != "skipped" for _, outcome, _ in outcomes)
    for name, outcome, why in outcomes:
        if outcome == "passed":
            continue
        with subtests.test(name):
            if outcome == "skipped":
                pytest.skip(why)
            pytest.fail(why)
    assert done.returncode == 0, done.stdout


def test_there_are_files():
    assert FILES


THREE_TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
def test_skipped(): pytest.skip("no NVIDIA GPU")
"""


def test_failures_are_seen(tmp_path):
    path = tmp_path / "test_three.py"
    path.write_text(THREE_TESTS)
    assert run_pytest(path, tmp_path / "report.xml").returncode == 1
    good, bad, skipped = outcomes_of(tmp_path / "report.xml")
    assert good == ("test_good", "passed", "")
    assert bad[:2] == ("test_bad", "failure")
    assert "assert 1 == 2" in bad[2]
    assert skipped == ("test_skipped", "skipped", "no NVIDIA GPU")
