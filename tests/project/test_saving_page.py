"""The examples of docs/saving.md print what the page says."""

import doctest
import warnings
from pathlib import Path

import pytest
from sklearn.exceptions import ConvergenceWarning

PAGE = Path(__file__).parents[2] / "docs" / "saving.md"


def test_every_example_prints_what_the_page_says():
    for name in ("onnxruntime", "skl2onnx", "skops.io"):
        pytest.importorskip(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        failed, n_tried = doctest.testfile(str(PAGE), module_relative=False)
    assert n_tried > 30
    assert failed == 0
