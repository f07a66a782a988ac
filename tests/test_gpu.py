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
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60 * MINUTES,
    )


def outcome_of(case):
    """What became of a test ('passed', 'skipped', 'failure', 'error'), and why."""
    for child in case:
        if child.tag in ("skipped", "failure", "error"):
            return child.tag, child.get("message", "")
    return "passed", ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_in_its_own_process(path, tmp_path, subtests):
    report = tmp_path / "report.xml"
    done = run_pytest(path, report)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert cases
    for case in cases:
        outcome, why = outcome_of(case)
        if outcome == "passed":
            continue
        with subtests.test(case.get("name")):
            if outcome == "skipped":
                pytest.skip(why)
            pytest.fail(why)
    assert done.returncode == 0, done.stdout


def test_there_are_files():
    assert FILES
