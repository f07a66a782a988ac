"""The examples in the docstrings of the displays print what they say."""

import doctest

import pytest

import skmlp
from skmlp import display


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", display.__all__)
def test_example(name):
    public = getattr(skmlp, name)
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(public, name, module=skmlp)
    assert example.examples
    printed = []
    result = doctest.DocTestRunner().run(example, out=printed.append)
    assert result.failed == 0, "".join(printed)
