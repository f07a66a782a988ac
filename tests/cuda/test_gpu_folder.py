"""Runs the tests of the folder `gpu` and reports them, one process for each file.

A process of the simulator uses one core, so there is one process for every core; on a
GPU they run one after the other, since some tests measure its free memory.

Whether kernels run on a GPU or in the simulator is fixed for a process before Numba is
imported, and the other tests need a Numba without the simulator. The quick tier of the
tests (``-m "not slow"``) runs the quick tier of the folder.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import pytest
from gpu_driver import driver

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "gpu").rglob("test_*.py"))
MINUTES = 30


def run_pytest(path, report, markers=""):
    command = [sys.executable, "-m", "pytest", "-q", str(path), f"--junitxml={report}"]
    command += ["-m", markers]
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
    """Name, outcome and message of every test of a report."""
    for case in ElementTree.parse(report).iter("testcase"):
        outcome, message = "passed", ""
        for child in case:
            if child.tag in ("skipped", "failure", "error"):
                outcome, message = child.tag, child.get("message", "")
        yield case.get("name"), outcome, message


def report_of(folder, path):
    return folder / f"{path.stem}.xml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def runs(request, folder):
    """The finished process of each selected file, as a future."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked_for = [call.params.get("path") for call in calls if call is not None]
    selected = [path for path in FILES if path in asked_for]
    markers = request.config.option.markexpr
    # The largest first, so that the cores finish together.
    selected.sort(key=lambda path: -path.stat().st_size)
    at_once = (os.cpu_count() or 1) if driver() is None else 1
    with ThreadPoolExecutor(at_once) as pool:
        yield {
            path: pool.submit(run_pytest, path, report_of(folder, path), markers)
            for path in selected
        }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_in_its_own_process(path, runs, folder, subtests):
    done = runs[path].result()
    assert done.returncode in (0, 1), done.stdout + done.stderr
    outcomes = list(outcomes_of(report_of(folder, path)))
    assert any(outcome != "skipped" for _, outcome, _ in outcomes)
    for name, outcome, message in outcomes:
        if outcome == "passed":
            continue
        with subtests.test(name):
            if outcome == "skipped":
                pytest.skip(message)
            pytest.fail(message)
    assert done.returncode == 0, done.stdout


def test_there_are_files():
    assert FILES


THREE_TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
def test_skipped(): pytest.skip("no NVIDIA GPU")
"""


def test_failures_are_reported(tmp_path):
    path = tmp_path / "test_three.py"
    path.write_text(THREE_TESTS)
    assert run_pytest(path, tmp_path / "report.xml").returncode == 1
    good, bad, skipped = outcomes_of(tmp_path / "report.xml")
    assert good == ("test_good", "passed", "")
    assert bad[:2] == ("test_bad", "failure")
    assert "assert 1 == 2" in bad[2]
    assert skipped == ("test_skipped", "skipped", "no NVIDIA GPU")
