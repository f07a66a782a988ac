"""The bounds of dependencies: the lower ones are tested, the upper ones are there.

`tests/oldest-versions.txt` is the constraints file with which `.ci/run` installs the
oldest versions, so that a lower bound that nobody tries cannot stand in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
# Those whose private interfaces are used.
BOUNDED_ABOVE = {"numba", "scikit-learn", "numba-cuda", "skl2onnx"}

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    Requirement(text)
    for text in (*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["test"])
]


def bounds(requirement):
    """The versions of a requirement, by operator."""
    return {each.operator: Version(each.version) for each in requirement.specifier}


def oldest_versions():
    text = (ROOT / "tests" / "oldest-versions.txt").read_text()
    lines = re.findall(r"^([\w-]+)==(\S+)$", text, flags=re.MULTILINE)
    return {name: Version(version) for name, version in lines}


def test_lower_bounds_are_the_versions_that_are_tested():
    assert oldest_versions() == {each.name: bounds(each)[">="] for each in REQUIREMENTS}


@pytest.mark.parametrize("name", sorted(BOUNDED_ABOVE))
def test_what_is_used_by_private_interfaces_has_an_upper_bound(name):
    (requirement,) = (each for each in REQUIREMENTS if each.name == name)
    assert bounds(requirement)["<"] > bounds(requirement)[">="]


@pytest.mark.parametrize("name", ["onnx", "dask"])
def test_the_extra_is_tested(name):
    extra = _PROJECT["optional-dependencies"][name]
    assert set(extra) <= set(_PROJECT["optional-dependencies"]["test"])


def test_ci_uses_the_oldest_versions():
    assert "--constraint tests/oldest-versions.txt" in (ROOT / ".ci/run").read_text()
