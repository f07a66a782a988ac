"""A row that is added to a table is allowed, documented and tested by being there."""

import inspect
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import plugin_rules
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import _MODULES
from skmlp.estimators import docs
from skmlp.rules import loss_choice, loss_row, losses, optimizers
from skmlp.rules.parameters import declared

# One set of parameters serves several losses.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skmlp.exceptions.IneffectiveParameterWarning"
)
TESTS = Path(__file__).parents[1]
X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] - X[:, 1] ** 2
ADDED = {
    "activation": plugin_rules.ACTIVATION.name,
    "loss": plugin_rules.LOSS.name,
    "solver": plugin_rules.OPTIMIZER.name,
    "learning_rate": plugin_rules.SCHEDULE.name,
    "weight_init": plugin_rules.INITIALIZER.name,
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_added_at_run_time_is_an_allowed_value(monkeypatch, backend, dtype):
    monkeypatch.setitem(_MODULES, "cpu", f"skmlp.backends.{backend}")
    # A rate at which roundings do not decide where it ends.
    settings = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02}
    model = MLPRegressor(random_state=0, dtype=dtype, **settings)
    before = model.get_params()
    for name, value in ADDED.items():
        with pytest.raises(InvalidParameterError, match=rf"The '{name}' parameter of"):
            model.set_params(**{name: value}).fit(X, Y)
        model.set_params(**{name: getattr(MLPRegressor(), name)})
    plugin_rules.add(monkeypatch)
    model = MLPRegressor(**before).set_params(**ADDED).fit(X, Y)
    assert model.score(X, Y) > 0.9
    assert model.history_["learning_rate"][-1] == 0.01
    for name in ADDED:
        with pytest.raises(InvalidParameterError, match=rf"among .*'{ADDED[name]}'"):
            model.set_params(**{name: "unknown"}).fit(X, Y)
        model.set_params(**ADDED)


NAME, (FREEDOM, FLOOR) = "student_t", plugin_rules.STUDENT_T.parameters


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_loss_brings_its_parameters_and_its_spread(monkeypatch):
    assert FREEDOM.name not in inspect.signature(MLPRegressor).parameters
    with pytest.raises(TypeError, match="unexpected keyword argument 'scale_floor'"):
        MLPRegressor(scale_floor=0.1)
    plugin_rules.add(monkeypatch)
    signature = inspect.signature(MLPRegressor).parameters
    assert signature[FREEDOM.name].default == FREEDOM.default
    assert FREEDOM.name not in inspect.signature(MLPClassifier).parameters
    settings = {"solver": "lbfgs", "max_iter": 300, "random_state": 0, "alpha": 0.0}
    model = MLPRegressor(NAME, (), scale_floor=0.1, **settings)
    assert model.get_params()["scale_floor"] == 0.1
    assert model.get_params()[FREEDOM.name] == FREEDOM.default
    assert "scale_floor=0.1" in repr(model)
    with pytest.raises(InvalidParameterError, match=r"'degrees_of_freedom'.*\(2"):
        model.set_params(degrees_of_freedom=2).fit(X, Y)
    model = clone(model.set_params(degrees_of_freedom=4.0))
    noise = stats.t(4).rvs((20_000, 1), random_state=0)
    y = np.hstack([1 + 0.5 * noise, 2 * noise[::-1]])
    mean, std = model.fit(np.zeros((len(y), 1)), y).predict([[0.0]], return_std=True)
    np.testing.assert_allclose(mean, [[1, 0]], atol=0.05)
    np.testing.assert_allclose(std, np.sqrt(2) * np.array([[0.5, 2]]), rtol=0.05)
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict([[0.0]], return_std=True)[1], std)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", [NAME, "two_sided"])
@pytest.mark.parametrize("solver", ["lbfgs", "qhm"])
def test_losses_with_two_parameters_train_as_by_definition(monkeypatch, loss, solver):
    plugin_rules.add(monkeypatch)
    settings = {"max_iter": 20, "random_state": 0, "delta": 0.3, "power": 1.7}
    model = MLPRegressor(loss, (5,), solver=solver, scale_floor=0.1, **settings)
    found = model.fit(X, Y)
    monkeypatch.setitem(_MODULES, "cpu", "skmlp.backends.reference")
    expected = clone(model).fit(X, Y)
    for mine, theirs in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-9)
    other = clone(model).set_params(delta=3.0, scale_floor=1.0).fit(X, Y)
    assert not np.allclose(other.coefs_[0], found.coefs_[0])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_loss_of_two_classes_is_one_of_several_too(monkeypatch):
    twin = losses.BINARY_LOSSES["log_loss", "logistic"]._replace(name="twin")
    monkeypatch.setitem(losses.BINARY_LOSSES, ("twin", "logistic"), twin)
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    settings = {"solver": "lbfgs", "max_iter": 30, "random_state": 0}
    one, other = (
        MLPClassifier((5,), loss=loss, out_activation="logistic", **settings)
        for loss in ("log_loss", "twin")
    )
    one.fit(X, y)
    other.fit(X, y)
    assert other.out_activation_ == "logistic"
    np.testing.assert_array_equal(other.predict_proba(X), one.predict_proba(X))


def test_a_loss_added_at_run_time_has_probabilities_or_not(monkeypatch):
    for old, new in (("log_loss", "likely"), ("hinge", "margin")):
        (row,) = (row for row in losses.BINARY_LOSSES.values() if row.name == old)
        key = (new, row.output)
        monkeypatch.setitem(losses.BINARY_LOSSES, key, row._replace(name=new))
    assert hasattr(MLPClassifier(loss="likely"), "predict_proba")
    assert not hasattr(MLPClassifier(loss="margin"), "predict_proba")


def test_a_row_added_at_run_time_is_in_the_documentation(monkeypatch):
    template = (
        "Title.\n\n    {parameters}\n    {own_parameters}\n    {regressor_loss}\n"
    )

    def text():
        documented = docs.with_shared_docs(
            type("Documented", (MLPRegressor,), {"__doc__": template})
        )
        return re.sub(r"\s+", " ", documented.__doc__)

    before = text()
    plugin_rules.add(monkeypatch)
    docs._rows.cache_clear()
    after = text()
    docs._rows.cache_clear()
    for row in (
        plugin_rules.ACTIVATION,
        plugin_rules.LOSS,
        plugin_rules.STUDENT_T,
        plugin_rules.OPTIMIZER,
        plugin_rules.QHM,
        plugin_rules.SCHEDULE,
        plugin_rules.INITIALIZER,
    ):
        entry = f"- {row.name!r}: {row.about}"
        assert entry not in before
        assert entry in after
    for parameter in (
        *plugin_rules.STUDENT_T.parameters,
        plugin_rules.QHM.parameters[-1],
    ):
        entry = (
            f"{parameter.name} : float, default={parameter.default} {parameter.about}"
        )
        assert entry not in before
        assert entry in after


# Where each kind of row is tested, and the least number of its tests there.
TESTED = {
    plugin_rules.ACTIVATION.name: {"test_rules": 12, "test_backends": 3},
    plugin_rules.LOSS.name: {"test_losses": 10, "test_loss_statistics": 1},
    plugin_rules.STUDENT_T.name: {"test_losses": 8},
    plugin_rules.OPTIMIZER.name: {"test_optimizers": 5, "test_backends": 5},
    plugin_rules.QHM.name: {"test_optimizers": 5, "test_backends": 5},
    plugin_rules.SCHEDULE.name: {"test_schedules": 10},
}


@pytest.mark.slow
def test_a_row_added_at_run_time_is_in_the_parametrized_tests():
    files = sorted({name for counts in TESTED.values() for name in counts})
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "0"),
            *("-p", "plugin_rules", "-rA", "-q"),
            # The documentation was made when skmlp was imported, before the plugin.
            *("-k", f"({' or '.join(TESTED)}) and not documented"),
            *("-p", "no:cacheprovider"),
            *(next(TESTS.rglob(f"{name}.py")) for name in files),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
            "SKMLP_TEST_CACHE_DIR": os.environ["SKMLP_CACHE_DIR"],
        },
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.findall(
        r"^PASSED .*?(\w+)\.py::\w+\[(.*)\]$", done.stdout, re.MULTILINE
    )
    for row, counts in TESTED.items():
        for name, least in counts.items():
            found = [case for file, case in passed if file == name and row in case]
            assert len(found) >= least, (row, name, len(found))


def test_rows_share_the_parameters_of_a_name():
    other = FREEDOM._replace(default=3.0)
    twin = plugin_rules.STUDENT_T._replace(name="twin", parameters=(other, FLOOR))
    with pytest.raises(ValueError, match=r"'twin' declares .* 'degrees_of_freedom'"):
        declared([plugin_rules.STUDENT_T, twin])


def test_rows_keep_to_the_limits_of_compiled_rules():
    scalar = [row for row in loss_choice.all_losses() if row.value is not None]
    assert max(len(row.parameters) for row in scalar) <= loss_row.MAX_PARAMETERS
    for row in optimizers.OPTIMIZERS.values():
        assert 1 <= row.slots <= optimizers.MAX_SLOTS
        assert len(row.hyper(MLPRegressor())) <= optimizers.MAX_HYPERPARAMETERS
