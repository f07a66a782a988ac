"""What a user who waits for the compiler is told."""

import io
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import skmlp
from skmlp.compiler import disk_cache, jit, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "_WAIT", progress._Wait())
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: tmp_path)


def compile_kernels(n):
    """Compile kernels, each of two functions."""
    for i in range(n):
        add = jit.inline(lambda x, i=i: x + i)
        assert jit.kernel(lambda x, add=add: add(x))(1) == 1 + i


def told(monkeypatch, stream, n_kernels=2):
    monkeypatch.setattr(sys, "stderr", stream)
    compile_kernels(n_kernels)
    return stream.getvalue() if stream else ""


def test_one_line_in_a_terminal(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "_PATIENCE", 0.01)
    before = threading.active_count()
    text = told(monkeypatch, Terminal())
    # A timer that is canceled needs a moment to end.
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    # Those of earlier tests may have ended meanwhile.
    assert threading.active_count() <= before
    assert text.count("\n") == 1
    assert text.startswith("skmlp compiles kernels")
    assert str(tmp_path) in text


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_none_elsewhere(monkeypatch, stream):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    assert told(monkeypatch, stream) == ""


class Estimator:
    def __init__(self, verbose):
        self.verbose = verbose

    @progress.told_if_verbose
    def fit(self, monkeypatch, stream):
        return told(monkeypatch, stream)


@pytest.mark.parametrize("verbose", [0, False, 1, True, 2])
def test_verbose_tells_elsewhere(monkeypatch, tmp_path, verbose):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    text = Estimator(verbose).fit(monkeypatch, io.StringIO())
    assert text.count("\n") == (1 if verbose else 0)
    assert told(monkeypatch, io.StringIO()) == ""


def test_verbose_without_standard_error(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    assert Estimator(True).fit(monkeypatch, None) == ""


FIT = """
import logging, sys
import numpy as np
from skmlp import MLPRegressor
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
X = np.arange(12.0).reshape(6, 2)
MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, verbose={verbose}).fit(X, X[:, 0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("verbose", [False, True])
def test_a_first_fit_whose_standard_error_is_a_pipe(tmp_path, verbose):
    """As in a notebook, or with ``2> log``."""
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIT.format(verbose=verbose)],
        env={**os.environ, "SKMLP_CACHE_DIR": str(tmp_path)},
        cwd=Path(skmlp.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr.count("skmlp compiles kernels") == int(verbose), done.stderr
    assert done.stdout.count("compiled ") >= 3


def test_none_in_a_short_wait(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 1e9)
    assert told(monkeypatch, Terminal()) == ""


def test_one_line_for_every_wait(monkeypatch):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    stream = Terminal()
    for _ in range(3):
        told(monkeypatch, stream)
        progress._WAIT.end -= 2 * progress._BREAK
    assert stream.getvalue().count("\n") == 3


def test_kernels_are_logged(caplog, tmp_path):
    caplog.set_level(logging.INFO, logger="skmlp")
    compile_kernels(1)
    (record,) = caplog.records
    text = record.getMessage()
    assert "compile_kernels" in text
    assert " s, kept as " in text
    assert str(tmp_path) in text


def test_kernels_that_are_not_kept_are_logged(caplog, monkeypatch):
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: None)
    caplog.set_level(logging.INFO, logger="skmlp")
    compile_kernels(1)
    (record,) = caplog.records
    assert "in memory only" in record.getMessage()
