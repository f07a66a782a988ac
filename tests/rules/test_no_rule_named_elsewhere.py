"""Rules are named in their tables and nowhere else in the package.

A special case by name would make the next row touch a second file. What is special
about a row is a field of the row.
"""

import ast
from pathlib import Path

import skmlp
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.losses import (
    BINARY_LOSSES,
    COLUMN_LOSSES,
    MULTICLASS_LOSSES,
    REGRESSION_LOSSES,
)
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES

PACKAGE = Path(skmlp.__file__).parent
TABLES = [ACTIVATIONS, OUTPUT_ONLY, INITIALIZERS, OPTIMIZERS, SCHEDULES]
LOSSES = [REGRESSION_LOSSES, BINARY_LOSSES, MULTICLASS_LOSSES, COLUMN_LOSSES]
NAMES = {row.name for table in [*TABLES, *LOSSES] for row in table.values()}
# Strings that are equal to a rule's name, by file, and why they may be.
ALLOWED = {
    # Names of kernels: each backend writes softmax once, as a loop.
    ("backends/cuda/kernels/ops.py", "softmax"),
    ("backends/cuda/programs/per_op.py", "softmax"),
    # A function of NumPy.
    ("backends/cuda/runtime/numpy_functions.py", "arctan"),
    # Scikit-learn's second loss of regression is compiled ahead with the default one.
    ("_precompile.py", "poisson"),
    # Presets are choices among the rules.
    ("tabular/presets.py", "adam"),
    ("tabular/presets.py", "flat_cosine"),
    ("tabular/presets.py", "mish"),
    ("tabular/presets.py", "one_cycle"),
    ("tabular/presets.py", "relu"),
    ("tabular/presets.py", "selu"),
}


def defaults(tree):
    """Constants that are default arguments: public signatures are spelled out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            for default in (*arguments.defaults, *arguments.kw_defaults):
                if default is not None:
                    yield from ast.walk(default)


def named_in(path):
    """Names of rules that are string constants of a file, docstrings excepted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {id(node) for node in defaults(tree)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in NAMES
        and id(node) not in skipped
    }


def test_no_rule_is_named_outside_its_table():
    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in PACKAGE.rglob("*.py")
        if PACKAGE / "rules" not in path.parents
        for name in named_in(path)
    }
    assert found == ALLOWED
