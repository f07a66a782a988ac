"""Runs the tests of the folder `gpu` in separate processes, and reports them.

A process of the simulator uses one core, so as many run at once as there are cores,
with some files each, since a process takes seconds to start. On a GPU every file has a
process, one after the other, since some tests measure the free memory.

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


def run_pytest(paths, report, markers=""):
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q"]
    command += ["-m", markers, *map(str, paths)]
    command.append(f"--junitxml={report}")
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


def outcomes_of(report, path):
    """Name, outcome and message of every test of a file in a report."""
    for case in ElementTree.parse(report).iter("testcase"):
        if path.stem not in case.get("classname").split("."):
            continue
        outcome, why = "passed", ""
        for child in case:
            if child.tag in ("skipped", "failure", "error"):
                outcome, why = child.tag, child.get("message", "")
        yield case.get("name"), outcome, why


def grouped(paths, n_groups):
    """Groups of files of about the same size, the largest files first."""
    groups = [[] for _ in range(min(n_groups, len(paths)))]
    for path in sorted(paths, key=lambda path: -path.stat().st_size):
        min(groups, key=lambda g: sum(p.stat().st_size for p in g)).append(path)
    return groups


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def runs(request, folder):
    """The finished process of each selected file as a future, and its report."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    asked_for = [call.params.get("path") for call in calls if call is not None]
    selected = [path for path in FILES if path in asked_for]
    markers = request.config.option.markexpr
    has_gpu = driver() is not None
    at_once = 1 if has_gpu else os.cpu_count() or 1
    # Two groups for every core, so that the cores finish at about the same time.
    groups = grouped(selected, len(selected) if has_gpu else 2 * at_once)
    runs = {}
    with ThreadPoolExecutor(at_once) as pool:
        for i, group in enumerate(groups):
            report = folder / f"{i}.xml"
            done = pool.submit(run_pytest, group, report, markers)
            runs |= dict.fromkeys(group, (done, report))
        yield runs


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_in_another_process(path, runs, subtests):
    future, report = runs[path]
    done = future.result()
    assert done.returncode in (0, 1), done.stdout + done.stderr
    outcomes = list(outcomes_of(report, path))
    assert any(outcome != "skipped" for _, outcome, _ in outcomes)
    for name, outcome, why in outcomes:
        if outcome == "passed":
            continue
        with subtests.test(name):
            if outcome == "skipped":
                pytest.skip(why)
            pytest.fail(why)


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
    other = tmp_path / "test_other.py"
    other.write_text("def test_fine(): pass")
    assert run_pytest([path, other], tmp_path / "report.xml").returncode == 1
    good, bad, skipped = outcomes_of(tmp_path / "report.xml", path)
    assert good == ("test_good", "passed", "")
    assert bad[:2] == ("test_bad", "failure")
    assert "assert 1 == 2" in bad[2]
    assert skipped == ("test_skipped", "skipped", "no NVIDIA GPU")
