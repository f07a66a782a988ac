"""A pytest plugin that adds rows to each table of rules before tests are collected.

The rows are tested, documented and allowed by being in the tables: `test_plugin_rules`
starts pytest with this plugin and checks that. An activation, a loss and a solver are
those of CONTRIBUTING.md, whose code is executed.
"""

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from skmlp.rules import activations, losses, optimizers, schedules
from skmlp.rules.initializers import INITIALIZERS, Initializer

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


class Walk(NamedTuple):
    """A section of CONTRIBUTING.md that adds a row.

    Attributes
    ----------
    section : str
        Its title.
    module : module
        The one file that it changes.
    test : str
        The test module that gets the independent definition.
    """

    section: str
    module: ModuleType
    test: str

    def codes(self):
        """Its code: functions, row, and definition."""
        page = CONTRIBUTING.read_text(encoding="utf-8")
        part = page.partition(f"## {self.section}\n")[2].partition("\n## ")[0]
        codes = re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL)
        functions, row, definition = (inspect.cleandoc("\n" + code) for code in codes)
        return functions, row, definition

    def row(self):
        """The row that it adds, made in a copy of the file's namespace."""
        functions, row, _ = self.codes()
        # A module of this name, so that the functions can be pickled.
        copy = ModuleType(f"walk_of_{self.test}")
        vars(copy).update(vars(self.module), __name__=copy.__name__)
        sys.modules[copy.__name__] = copy
        exec(functions, vars(copy))
        return eval(row, vars(copy))

    def definition(self):
        """The name in the tests and the definition there."""
        tests = vars(sys.modules[self.test])
        ((name, definition),) = eval("{" + self.codes()[2] + "}", tests).items()
        return name, definition


ACTIVATION_WALK = Walk("Adding an activation", activations, "test_rules")
LOSS_WALK = Walk("Adding a loss with two parameters", losses, "test_losses")
SOLVER_WALK = Walk("Adding a solver", optimizers, "test_optimizers")


def doubled(y, z):
    r = z - y
    return r * r


def doubled_slope(y, z):
    return type(z)(2) * (z - y)


def two_sided(y, z, p, q):
    """Squared error times p above the prediction and q below, by scalars."""
    r = z - y
    return p * r * r if r < type(z)(0) else q * r * r


def two_sided_slope(y, z, p, q):
    T = type(z)
    r = z - y
    return T(2) * p * r if r < T(0) else T(2) * q * r


def halved(at, settings):
    return np.where(at.epochs > 0, 0.5, 1.0)


def constant(generator, fan_in, fan_out, shape):
    return generator.uniform(-0.5, 0.5, shape)


ACTIVATION = ACTIVATION_WALK.row()
STUDENT_T = LOSS_WALK.row()
QHM = SOLVER_WALK.row()
LOSS = losses.LossRow("doubled", "identity", doubled, doubled_slope, about="added")
TWO_SIDED = losses.LossRow(
    *("two_sided", "identity", two_sided, two_sided_slope),
    parameters=(losses.DELTA, losses.POWER),
    about="added with two numbers",
)
OPTIMIZER = optimizers.OPTIMIZERS["rmsprop"]._replace(name="twin", about="added")
SCHEDULE = schedules.Schedule("halved", "added", factor=halved)
INITIALIZER = Initializer("within_half", constant, "added")


def add(tables=None):
    """Add all rows; `tables` is how an entry is set, to be undone."""
    set_item = dict.__setitem__ if tables is None else tables.setitem
    set_item(activations.ACTIVATIONS, ACTIVATION.name, ACTIVATION)
    set_item(losses.REGRESSION_LOSSES, (LOSS.name, LOSS.output), LOSS)
    set_item(losses.REGRESSION_LOSSES, (STUDENT_T.name, STUDENT_T.output), STUDENT_T)
    set_item(losses.REGRESSION_LOSSES, (TWO_SIDED.name, TWO_SIDED.output), TWO_SIDED)
    set_item(optimizers.OPTIMIZERS, OPTIMIZER.name, OPTIMIZER)
    set_item(optimizers.OPTIMIZERS, QHM.name, QHM)
    set_item(schedules.SCHEDULES, SCHEDULE.name, SCHEDULE)
    set_item(INITIALIZERS, INITIALIZER.name, INITIALIZER)


def pytest_configure(config):
    add()


def pytest_collection_finish(session):
    """Give the tests the definitions that every new row needs."""
    tests = sys.modules
    for walk, table in (
        (ACTIVATION_WALK, "EXPECTED_ACTIVATIONS"),
        (LOSS_WALK, "EXPECTED"),
        (SOLVER_WALK, "EXPECTED"),
    ):
        name, definition = walk.definition()
        getattr(tests[walk.test], table)[name] = definition
    expected = tests["test_losses"].EXPECTED
    expected["doubled-identity"] = lambda y, z: np.sum((y - z) ** 2, axis=1)
    expected["two_sided-identity"] = lambda y, z: np.sum(
        np.where(z < y, 1.0, 1.5) * (y - z) ** 2, axis=1
    )
    expected = tests["test_optimizers"].EXPECTED
    expected[OPTIMIZER.name] = expected["rmsprop"]
    expected, rate = tests["test_schedules"].CLOSED_FORMS, tests["test_schedules"].RATE
    expected[SCHEDULE.name] = lambda k, n: rate * np.where(k > 0, 0.5, 1.0)
