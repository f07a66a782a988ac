"""What a user who waits for the compiler is told."""

import io
import logging
import sys
import threading

import pytest

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
    assert threading.active_count() == before
    assert text.count("\n") == 1
    assert text.startswith("skmlp compiles kernels")
    assert str(tmp_path) in text


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_none_elsewhere(monkeypatch, stream):
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    assert told(monkeypatch, stream) == ""


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
