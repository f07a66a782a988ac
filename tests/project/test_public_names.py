"""The public names: where they stand, and that nothing else shows."""

import inspect
import pickle
import pydoc

import pytest

import skmlp
from skmlp import exceptions

OBJECTS = [name for name in skmlp.__all__ if name not in ("__version__", "exceptions")]


def test_the_module_shows_its_public_names_only():
    assert dir(skmlp) == sorted(skmlp.__all__)
    for name in skmlp.__all__:
        assert name.startswith("__") or f"`{name}`" in skmlp.__doc__.replace(
            "skmlp.", ""
        )


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_stand_in_the_public_module(name):
    public = getattr(skmlp, name)
    assert public.__module__ == "skmlp"
    assert public.__qualname__ == name
    assert pickle.loads(pickle.dumps(public)) is public
    assert inspect.getdoc(public)
    assert inspect.signature(public)


def test_warnings_stand_in_their_module():
    names = [name for name, _ in inspect.getmembers(exceptions, inspect.isclass)]
    assert names
    for name in names:
        assert getattr(exceptions, name).__module__ == "skmlp.exceptions"


def test_help_names_them():
    text = pydoc.render_doc(skmlp, renderer=pydoc.plaintext)
    for name in OBJECTS:
        assert name in text
    for hidden in ("class BaseMLP", "class History", "get_backend"):
        assert hidden not in text


def test_the_page_of_a_notebook_has_the_estimators():
    assert "MLPClassifier" in skmlp.MLPClassifier()._repr_html_()
