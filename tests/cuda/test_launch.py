"""Launch configurations hide numba-cuda's advice, here of a fake kernel that warns."""

import warnings

import pytest

from skmlp.backends.cuda.runtime.launch import configured

ADVICE = "Grid size 4 will likely result in GPU under-utilization due to low occupancy."


class WarningKernel:
    def __init__(self, message):
        self._message = message

    def __getitem__(self, configuration):
        warnings.warn(self._message, UserWarning, stacklevel=2)
        return configuration


def test_the_advice_on_the_number_of_blocks_is_hidden():
    assert configured(WarningKernel(ADVICE), 4, 256) == (4, 256, 0, 0)


def test_other_warnings_are_shown():
    with pytest.warns(UserWarning, match="something else"):
        configured(WarningKernel("something else"), 4, 256)
    with pytest.warns(UserWarning, match="Grid size"):
        WarningKernel(ADVICE)[4, 256]


def test_warning_filters_change_once_a_grid(monkeypatch):
    kernel, changes = WarningKernel(ADVICE), []

    class Noting(warnings.catch_warnings):
        def __enter__(self):
            changes.append(self)
            return super().__enter__()

    monkeypatch.setattr(warnings, "catch_warnings", Noting)
    for blocks in (4, 8, 4, 8):
        assert configured(kernel, blocks, 256) == (blocks, 256, 0, 0)
    assert len(changes) == 2
