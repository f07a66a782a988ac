"""What documentation says is what the code does: docstrings follow from the tables.

The walk through CONTRIBUTING.md is walked here, too.
"""

import ast
import inspect
import re

import numpy as np
import plugin_rules
import pytest

from skmlp import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.estimators.parameters import rule_parameters
from skmlp.rules import activations, losses
from skmlp.rules.checks import check_activation
from skmlp.rules.initializers import INITIALIZERS

ESTIMATORS = [MLPAutoencoder, MLPClassifier, MLPRegressor]
TABLES = {
    "activation": activations.ACTIVATIONS.values(),
    "weight_init": INITIALIZERS.values(),
}
LOSSES = {
    MLPClassifier: losses.BINARY_LOSSES.values(),
    MLPAutoencoder: losses.REGRESSION_LOSSES.values(),
    MLPRegressor: losses.REGRESSION_LOSSES.values(),
}


def sections(estimator):
    """Texts of the parameters by name."""
    text = inspect.getdoc(estimator)
    text = text.partition("Parameters\n----------\n")[2].partition("Attributes\n---")[0]
    parts = re.split(r"^(\w+) : ", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_declared_parameters_have_the_defaults_of_the_signature(estimator):
    parameters = inspect.signature(estimator).parameters
    declared = rule_parameters(estimator._tables)
    assert {"momentum", "decay_factor"} <= declared.keys()
    for name, parameter in declared.items():
        assert parameters[name].default == parameter.default
        assert name in estimator._parameter_constraints


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_documented_with_its_default(estimator):
    found = sections(estimator)
    parameters = inspect.signature(estimator).parameters
    assert set(parameters) == set(found)
    for name, text in found.items():
        default = text.partition("\n")[0].partition("default=")[2]
        assert ast.literal_eval(default) == parameters[name].default, name


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_row_of_a_table_is_documented(estimator):
    found = sections(estimator)
    for name, rows in {**TABLES, "loss": LOSSES[estimator]}.items():
        words = " ".join(found[name].split())
        for row in rows:
            assert row.about, row.name
            assert f"- {row.name!r}: {row.about}" in words


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_place_of_a_docstring_is_left_open(estimator):
    text = inspect.getdoc(estimator)
    assert not re.search(r"<[a-z ]+>|\{[a-z_]+\}", text)
    assert max(map(len, text.splitlines())) <= 88


def test_the_walk_of_contributing_leads_to_an_activation():
    row = plugin_rules.ACTIVATION_WALK.row()
    check_activation(row)
    assert row.init in INITIALIZERS
    for dtype in (np.float32, np.float64):
        for z in (-0.3, 0.3):
            assert isinstance(row.value(dtype(z)), dtype)
            assert isinstance(row.slope(dtype(z)), dtype)
    X = np.linspace(-1, 1, 60).reshape(-1, 1)
    model = MLPRegressor(activation=row, solver="lbfgs", max_iter=500, random_state=0)
    assert model.fit(X, X.ravel() ** 2).score(X, X.ravel() ** 2) > 0.99
