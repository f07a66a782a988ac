"""A plugin of pytest that adds a row to each table of rules before any test is known.

What is added is tested, documented and allowed by being there, and nothing else knows
of it: `test_plugin_rules` starts pytest with this plugin and looks. The activation is
the one that CONTRIBUTING.md walks through.
"""

import inspect
import re
import sys
from pathlib import Path

import numpy as np

from skmlp.rules import activations, losses, optimizers, schedules
from skmlp.rules.initializers import INITIALIZERS, Initializer

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def steps():
    """The code of the walk of CONTRIBUTING.md: functions, row, and definition."""
    page = CONTRIBUTING.read_text(encoding="utf-8")
    part = page.partition("## Adding an activation")[2].partition("\n## ")[0]
    codes = re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL)
    return [inspect.cleandoc("\n" + code) for code in codes]


def walk():
    """The row to which the walk leads."""
    functions, row, _ = steps()
    names = {"np": np, "Activation": activations.Activation, "__name__": "walk"}
    exec(functions, names)
    return eval(row, names)


def definition():
    """What the walk gives to the tests."""
    entry = eval("{" + steps()[2] + "}", vars(sys.modules["test_rules"]))
    return entry[ACTIVATION.name]


def doubled(y, z):
    r = z - y
    return r * r


def doubled_slope(y, z):
    return type(z)(2) * (z - y)


def halved(at, settings):
    return np.where(at.epochs > 0, 0.5, 1.0)


def constant(generator, fan_in, fan_out, shape):
    return generator.uniform(-0.5, 0.5, shape)


ACTIVATION = walk()
LOSS = losses.Loss("doubled", "identity", doubled, doubled_slope, about="added")
OPTIMIZER = optimizers.OPTIMIZERS["rmsprop"]._replace(name="twin", about="added")
SCHEDULE = schedules.Schedule("halved", "added", factor=halved)
INITIALIZER = Initializer("within_half", constant, "added")


def add(tables=None):
    """Add all rows; `tables` is how an entry is set, to be undone."""
    set_item = dict.__setitem__ if tables is None else tables.setitem
    set_item(activations.ACTIVATIONS, ACTIVATION.name, ACTIVATION)
    set_item(losses.REGRESSION_LOSSES, (LOSS.name, LOSS.output), LOSS)
    set_item(optimizers.OPTIMIZERS, OPTIMIZER.name, OPTIMIZER)
    set_item(schedules.SCHEDULES, SCHEDULE.name, SCHEDULE)
    set_item(INITIALIZERS, INITIALIZER.name, INITIALIZER)


def pytest_configure(config):
    add()


def pytest_collection_finish(session):
    """Give the tests the definitions that they ask of whoever adds a row."""
    tests = sys.modules
    expected = tests["test_rules"].EXPECTED_ACTIVATIONS
    expected[ACTIVATION.name] = definition()
    expected = tests["test_losses"].EXPECTED
    expected["doubled-identity"] = lambda y, z: np.sum((y - z) ** 2, axis=1)
    expected = tests["test_optimizers"].EXPECTED
    expected[OPTIMIZER.name] = expected["rmsprop"]
    expected, rate = tests["test_schedules"].CLOSED_FORMS, tests["test_schedules"].RATE
    expected[SCHEDULE.name] = lambda k, n: rate * np.where(k > 0, 0.5, 1.0)
