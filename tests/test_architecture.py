"""The house has floors: imports run downward only.

A test on the syntax trees, because the rule is what keeps a new backend or a new
activation to one place, and a single convenient import upward would undo it.
"""

import ast
from pathlib import Path

import pytest

import skmlp

PACKAGE = Path(skmlp.__file__).parent

# From the top floor to the bottom. A module may import from the floors below its own
# and from its own subpackage.
FLOORS = [
    ["skmlp.__init__"],
    ["skmlp.warming", "skmlp.diagnosis"],
    ["skmlp.estimators"],
    ["skmlp.training"],
    ["skmlp.backends"],
    ["skmlp.initialisation"],
    ["skmlp.network"],
    ["skmlp.rules", "skmlp.shuffling"],
    ["skmlp.compiler.jit"],
    ["skmlp.compiler.deferred_linking"],
    [
        "skmlp.compiler",
        "skmlp.exceptions",
    ],
]
COMPILED = (
    "skmlp.backends.cpu",
    "skmlp.backends.cuda",
    "skmlp.compiler",
    "skmlp.shuffling",
)
COMPILERS = {"numba", "llvmlite"}


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    if parts[-1] == "__init__" and len(parts) > 2:
        parts = parts[:-1]
    return ".".join(parts)


def imported_modules(path):
    """Names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(module):
    for number, floor in enumerate(FLOORS):
        if any(module == name or module.startswith(name + ".") for name in floor):
            return number
    return None


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module):
    assert floor_of(module) is not None


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downward(module):
    own = floor_of(module)
    upward = [
        name
        for name in imported_modules(MODULES[module])
        if floor_of(name) is not None and floor_of(name) < own
    ]
    assert not upward, f"{module} imports from above: {upward}"


def test_an_upward_import_would_be_found(tmp_path):
    path = tmp_path / "upward.py"
    path.write_text("def f():\n    from skmlp.estimators.base import BaseMLP\n")
    floors = [floor_of(name) for name in imported_modules(path)]
    assert floor_of("skmlp.rules.losses") > min(f for f in floors if f is not None)


@pytest.mark.parametrize("module", MODULES)
def test_only_compiled_code_imports_the_compiler(module):
    roots = {name.partition(".")[0] for name in imported_modules(MODULES[module])}
    if not module.startswith(COMPILED):
        assert not roots & COMPILERS


@pytest.mark.parametrize("module", MODULES)
def test_every_file_says_why_it_is_and_stays_small(module):
    text = MODULES[module].read_text()
    assert ast.get_docstring(ast.parse(text))
    # The estimators' files are long by their docstrings and parameter lists.
    assert len(text.splitlines()) <= 450
