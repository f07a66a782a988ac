"""The warning of a fallback: once a part, at the user's line, with Numba's version."""

import logging
import warnings

import numba
import pytest

from skmlp.compiler import fallback
from skmlp.exceptions import CompilerFallbackWarning


@pytest.fixture(autouse=True)
def _nothing_warned(monkeypatch):
    monkeypatch.setattr(fallback, "_WARNED", {})


def test_it_warns_once_a_part_and_names_the_version(caplog):
    caplog.set_level(logging.DEBUG, logger="skmlp")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for part in ("one part", "another part", "one part"):
            fallback.warn_of_fallback(part, AttributeError("no such name"))
    assert {warning.category for warning in caught} == {CompilerFallbackWarning}
    assert len(caught) == len(caplog.records) == 2
    assert "without one part" in str(caught[0].message)
    assert "without another part" in str(caught[1].message)
    for text in (numba.__version__, "first fits take longer", "no such name"):
        assert text in str(caught[0].message)


def test_it_warns_at_the_users_line():
    source = "def fit(warn): warn('a part', 'why')"
    namespace = {"__name__": "skmlp.estimators.base"}
    exec(compile(source, "base.py", "exec"), namespace)
    with pytest.warns(CompilerFallbackWarning) as caught:
        namespace["fit"](fallback.warn_of_fallback)
    assert caught[0].filename == __file__


def test_it_can_be_silenced():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CompilerFallbackWarning)
        fallback.warn_of_fallback("a part", "why")
