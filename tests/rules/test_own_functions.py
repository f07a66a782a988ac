"""Functions of the user's own: compiled once by content, anew for other content."""

import gc
import json
import math
import os
import pickle
import subprocess
import sys
import textwrap
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
from numba import cloudpickle, njit
from numba.core import event

import skmlp
from skmlp import Activation, Loss, MLPRegressor
from skmlp.rules import own_functions
from skmlp.rules.own_functions import canonical

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0]
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}

NAMESPACE = """
import numpy as np
from numba import cloudpickle, njit
CONSTANT, TABLE = 2.0, np.array([1.0, 2.0])

@njit
def doubled(z):
    return CONSTANT * z

def plain(z):
    return CONSTANT * z

def by_constant(z):
    return CONSTANT * z

def by_table(z):
    return TABLE[1] * z

def by_dispatcher(z):
    return doubled(z)

def by_function(z):
    return plain(z)

def by_comprehension(z):
    return sum([CONSTANT * z for _ in range(2)])

def by_itself(z):
    return by_itself(z - 1) if z > 0 else CONSTANT

def by_default(z, factor=CONSTANT):
    return factor * z
"""


def namespace(**changes):
    """The functions as a notebook defines them: without a file, and anew each time."""
    names = {"__name__": "__main__"}
    exec(NAMESPACE, names)
    names.update(changes)
    return names


KINDS = (
    "by_constant",
    "by_table",
    "by_dispatcher",
    "by_function",
    "by_comprehension",
    "by_itself",
    "by_default",
)


def unpickled(value):
    return pickle.loads(cloudpickle.dumps(value))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_is_one_function(kind):
    function = namespace()[kind]
    one = canonical(function)
    assert canonical(namespace()[kind]) is one
    assert canonical(unpickled(function)) is one
    assert canonical(one) is one


def scaled(factor):
    return lambda z: factor * z


class Opaque:
    pass


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1.0, 2.0),
        (1.0, 1),
        (1, True),
        (0.0, -0.0),
        (np.float32(1), np.float64(1)),
        (np.arange(3.0), np.arange(4.0)),
        (np.arange(3.0), np.array([0.0, 1.0, 3.0])),
        (np.zeros((2, 2)), np.zeros((2, 2), order="F")),
        ((1.0, 2.0), (1.0, 3.0)),
        ([1.0, {"a": 1}], [1.0, {"a": 2}]),
        (scaled(1.0), scaled(2.0)),
        (njit(scaled(1.0)), njit(scaled(2.0))),
        (njit(scaled(1.0)), njit(scaled(1.0), fastmath=True)),
        (math, np),
        (Opaque(), Opaque()),
    ],
)
def test_another_closure_is_another_function(one, other):
    assert canonical(scaled(one)) is canonical(scaled(one))
    assert canonical(scaled(one)) is not canonical(scaled(other))


def test_other_code_is_another_function():
    functions = [
        lambda z: z + 1.0,
        lambda z: z + 2.0,
        lambda z: z - 1.0,
        lambda z, y=1.0: z + 1.0,
        lambda z, y=2.0: z + 1.0,
        lambda z, *, y=1.0: z + 1.0,
        lambda z: np.sin(z),
        lambda z: np.cos(z),
        lambda z: sum([z + 1.0 for _ in range(1)]),
        lambda z: sum([z + 2.0 for _ in range(1)]),
    ]
    assert len({canonical(function) for function in functions}) == len(functions)


@pytest.mark.parametrize("kind", ["by_constant", "by_dispatcher", "by_function"])
def test_a_global_that_changes_makes_another_function(kind):
    names = namespace()
    one = canonical(names[kind])
    # Compiled code cannot call plain functions.
    run = (lambda f: f) if kind == "by_function" else njit
    assert run(one)(1.0) == 2.0
    names["CONSTANT"] = 3.0
    other = canonical(names[kind])
    assert other is not one
    assert run(other)(1.0) == 3.0
    assert one(1.0) == 2.0
    names["CONSTANT"] = 2.0
    assert canonical(names[kind]) is one


def test_an_array_that_changes_makes_another_function():
    names = namespace()
    one = canonical(names["by_table"])
    names["TABLE"][1] = 5.0
    assert canonical(names["by_table"])(1.0) == 5.0
    assert one(1.0) == 2.0


def test_attributes_of_modules_of_ones_own_count():
    module = types.ModuleType("my_constants")
    module.factor = 2.0
    exec("def f(z):\n    return constants.factor * z", names := {"constants": module})
    one = canonical(names["f"])
    assert canonical(names["f"]) is one
    module.factor = 3.0
    assert canonical(names["f"]) is not one


def test_no_function_and_functions_of_the_package_stay():
    from skmlp.rules.activations import relu

    for value in (None, np.sin, 3, relu):
        assert canonical(value) is value


def test_few_functions_are_kept():
    kept = [weakref.ref(canonical(scaled(float(i)))) for i in range(1000)]
    gc.collect()
    n_alive = sum(each() is not None for each in kept)
    assert n_alive <= own_functions._MAX_KEPT


def cosh_loss(factor):
    return Loss(
        "cosh",
        "identity",
        lambda y, z: factor * (np.cosh(z - y) - 1),
        lambda y, z: factor * np.sinh(z - y),
    )


def sine(factor):
    return Activation(
        "sine",
        lambda z: np.sin(factor * z),
        lambda z: factor * np.cos(factor * z),
        slope_of="input",
    )


def fitted(factor, through=lambda rule: rule):
    loss, activation = through((cosh_loss(factor), sine(factor)))
    return MLPRegressor(loss, activation=activation, **SMALL).fit(X, Y)


def n_compiled(function, *arguments):
    """Functions that are compiled in a call, and what it returns."""
    with event.install_recorder("numba:compile") as recorder:
        result = function(*arguments)
    return len(recorder.buffer), result


def test_unpickled_rules_compile_nothing():
    expected = fitted(1.5)
    expected.predict(X)
    for through in (unpickled, lambda rule: rule):
        n, model = n_compiled(fitted, 1.5, through)
        assert n == 0
        n, predictions = n_compiled(model.predict, X)
        assert n == 0
        np.testing.assert_array_equal(predictions, expected.predict(X))


def test_rules_of_another_constant_are_compiled_and_are_others():
    models = [fitted(factor) for factor in (1.25, 1.75)]
    n, third = n_compiled(fitted, 1.875)
    assert n > 0
    predictions = [model.predict(X) for model in (*models, third)]
    for i, one in enumerate(predictions):
        for other in predictions[:i]:
            assert np.max(np.abs(one - other)) > 1e-4


def test_a_fitted_model_keeps_its_rules():
    names = namespace(CONSTANT=1.0)
    exec("def slope(a):\n    return CONSTANT", names)
    linear = Activation("linear", names["by_constant"], names["slope"])
    model = MLPRegressor(activation=linear, **SMALL).fit(X, Y)
    before = model.predict(X)
    names["CONSTANT"] = 4.0
    np.testing.assert_array_equal(model.predict(X), before)
    assert np.max(np.abs(model.fit(X, Y).predict(X) - before)) > 1e-3


def test_pickles_hold_the_rules_as_they_were_passed():
    activation = Activation("double", doubled, doubled_slope)
    model = MLPRegressor(activation=[activation], **SMALL).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert again.activation[0].value is doubled
    assert again.__getstate__()["_activations"] == (activation,)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def doubled(z):
    return 2 * z


def doubled_slope(a):
    return type(a)(2)


SEARCH = """
import json, os, sys, warnings
import numpy as np
from numba.core import event
from sklearn.model_selection import GridSearchCV
from skmlp import Loss, MLPRegressor

FACTOR = 2.0

def value(y, z):
    return FACTOR * (np.cosh(z - y) - 1)

def slope(y, z):
    return FACTOR * np.sinh(z - y)

class Counting(MLPRegressor):
    def fit(self, X, y):
        with event.install_recorder("numba:compile") as recorder:
            super().fit(X, y)
        names = [
            each.data["dispatcher"].py_func.__name__
            for _, each in recorder.buffer
            if each.is_start
        ]
        with open(os.path.join(FOLDER, str(os.getpid())), "a") as file:
            file.write(json.dumps(names) + "\\n")
        return self

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(60, 3))
loss = Loss("cosh", "identity", value, slope)
model = Counting(loss, hidden_layer_sizes=(4,), max_iter=2, random_state=0)
grid = {"alpha": [1e-4, 1e-3, 1e-2]}
GridSearchCV(model, grid, cv=2, n_jobs=2, refit=False).fit(X, X[:, 0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["script", "notebook"])
def test_a_search_compiles_once_a_process(tmp_path, where):
    """A notebook's functions are of `__main__` as a script's, but of no file."""
    counts = tmp_path / "counts"
    counts.mkdir()
    source = f"FOLDER = {str(counts)!r}\n{textwrap.dedent(SEARCH)}"
    script = tmp_path / "search.py"
    script.write_text(source)
    in_notebook = [
        "-c",
        f"exec(compile(open({str(script)!r}).read(), '<cell>', 'exec'))",
    ]
    subprocess.run(
        [sys.executable, *(in_notebook if where == "notebook" else [str(script)])],
        check=True,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(skmlp.__file__).parent.parent),
            "PYTHONWARNINGS": "ignore",
        },
    )
    files = [path.read_text().splitlines() for path in counts.iterdir()]
    assert sum(map(len, files)) == 6
    for lines in files:
        names = [name for line in lines for name in json.loads(line)]
        assert names.count("value") == names.count("slope") == 1
        assert all(json.loads(line) == [] for line in lines[1:])
