"""The docstrings of public names: numpydoc's rules, and examples that run.

Public are the names of `skmlp`, `skmlp.exceptions`, `skmlp.onnx` and `skmlp.dask`, and
the methods and properties that their classes define themselves. Those that
scikit-learn's base classes bring along are scikit-learn's to document.
"""

import ast
import doctest
import inspect
import re
import sys
import warnings
from pathlib import Path

import pytest

import skmlp
import skmlp.dask
import skmlp.onnx
from skmlp import exceptions

DOCS = Path(__file__).parents[2] / "docs"
OBJECTS = {
    **{
        f"skmlp.{name}": getattr(skmlp, name)
        for name in skmlp.__all__
        if name not in ("__version__", "exceptions")
    },
    **{
        f"skmlp.exceptions.{name}": warning
        for name, warning in inspect.getmembers(exceptions, inspect.isclass)
    },
    "skmlp.onnx.to_onnx": skmlp.onnx.to_onnx,
    **{f"skmlp.dask.{name}": getattr(skmlp.dask, name) for name in skmlp.dask.__all__},
}
_REQUEST = re.compile(r"set_\w+_request")


def own_members(cls):
    """The names of the methods and properties that skmlp defines for a class."""
    for name in dir(cls):
        if name.startswith("_") or _REQUEST.fullmatch(name):
            continue
        static = inspect.getattr_static(cls, name)
        is_property = isinstance(static, property)
        member = static.fget if is_property else getattr(cls, name, None)
        module = getattr(member, "__module__", None) or ""
        if module.split(".")[0] == "skmlp" and (is_property or callable(member)):
            yield name


MEMBERS = [
    f"{name}.{member}"
    for name, item in OBJECTS.items()
    if inspect.isclass(item)
    for member in own_members(item)
]
# Codes of numpydoc.validate that do not count, and why.
IGNORED = {
    "GL01": "the summary begins behind the quotes; later releases allow it",
    "ES01": "one sentence may say all",
    "SA01": "methods of one page stand side by side",
    "RT02": "'self : object' is scikit-learn's habit",
    "SS05": "takes plurals, as 'Probabilities', for verbs of the third person",
    "PR03": "docstrings keep related parameters together; the order is the signature's",
}
# A member may do without an example of its own: that of its class shows it.
IGNORED_OF_MEMBERS = {**IGNORED, "EX01": "the example of the class shows most members"}
# `diagnose` and `fit` make these; their fields stand in the section of the attributes.
MADE_BY_A_FUNCTION = {"skmlp.LayerReport", "skmlp.LayerTable", "skmlp.dask.Epoch"}


@pytest.mark.parametrize("name", [*OBJECTS, *MEMBERS])
def test_numpydoc_accepts_it(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    ignored = set(IGNORED if name in OBJECTS else IGNORED_OF_MEMBERS)
    if name in MADE_BY_A_FUNCTION:
        ignored.add("PR01")
    errors = [error for error in validate(name)["errors"] if error[0] not in ignored]
    assert not errors


def test_validation_finds_what_is_missing():
    validate = pytest.importorskip("numpydoc.validate").validate
    codes = {code for code, _ in validate("ast.NodeVisitor.visit")["errors"]}
    assert {"PR01", "RT01"} <= codes


def example_of(name):
    """The doctest of a docstring, or None where it has no example."""
    head, _, member = name.rpartition(".")
    item = OBJECTS.get(name)
    if item is None:
        item = inspect.getattr_static(OBJECTS[head], member)
    text = inspect.getdoc(getattr(item, "fget", item)) or ""
    return doctest.DocTestParser().get_doctest(text, {}, name, None, None)


def failures_of(test):
    """How many examples fail; what went wrong is printed."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    with warnings.catch_warnings():
        runner.run(test, out=sys.stderr.write)
    return runner.failures


@pytest.mark.parametrize("name", OBJECTS)
def test_every_public_name_has_an_example(name):
    assert example_of(name).examples


@pytest.mark.parametrize(
    "name", [name for name in (*OBJECTS, *MEMBERS) if example_of(name).examples]
)
def test_the_example_runs(name):
    # `Loss`, `Activation` and the tabular presets compile what they use.
    assert not failures_of(example_of(name))


def test_an_example_that_is_wrong_fails():
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3", {}, "wrong", None, None)
    assert failures_of(test) == 1


def test_the_reference_lists_every_public_name():
    text = (DOCS / "api.rst").read_text()
    module, listed = None, set()
    for line in text.splitlines():
        if found := re.fullmatch(r"\.\. currentmodule:: ([\w.]+)", line):
            module = found[1]
        elif found := re.fullmatch(r"   (\w+)", line):
            listed.add(f"{module}.{found[1]}")
    assert listed == set(OBJECTS)


def parameter_groups():
    """The tables of the site's extension, which need no Sphinx."""
    path = DOCS / "site_extensions" / "parameter_groups.py"
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.Assign)
        and statement.targets[0].id in ("GROUPS", "MOST_SET", "MANY")
    }


def test_every_parameter_of_the_large_estimators_has_one_group():
    tables = parameter_groups()
    grouped = [name for names in tables["GROUPS"].values() for name in names.split()]
    signatures = [
        inspect.signature(item).parameters
        for item in OBJECTS.values()
        if inspect.isclass(item) and not issubclass(item, Warning)
    ]
    large = [names for names in signatures if len(names) >= tables["MANY"]]
    assert len(large) >= 3
    assert sorted(grouped) == sorted({name for names in large for name in names})
    assert len(tables["MOST_SET"]) == 6
    assert all(set(tables["MOST_SET"]) <= set(names) for names in large)
