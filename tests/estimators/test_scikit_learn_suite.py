"""scikit-learn's own tests of its perceptrons, run on ours.

The test module of the installed scikit-learn is compiled with one import changed, and
its tests are put into this module's namespace, where pytest finds them with their
parametrization and marks. So a new release of scikit-learn brings its new tests along.
"""

import importlib.util
import types
from pathlib import Path

import pytest

import skmlp

# The suite's fits stop early, and it does not catch every warning of that.
pytestmark = pytest.mark.filterwarnings("default")

EXCEPTIONS = {
    "test_gradient": "calls the private _loss_grad_lbfgs and _unpack",
    # It asks for the error of a class that has a single row.
    "test_early_stopping_stratified": "such a row is trained on, see differences.md",
}
THEIR_IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
OUR_IMPORT = "from skmlp import MLPClassifier, MLPRegressor\n"


def _suite():
    package = importlib.util.find_spec("sklearn.neural_network")
    path = Path(package.origin).parent / "tests" / "test_mlp.py"
    source = path.read_text(encoding="utf-8")
    assert source.count(THEIR_IMPORT) == 1, f"{path} has another import"
    module = types.ModuleType("scikit_learn_suite")
    module.__file__ = str(path)
    source = source.replace(THEIR_IMPORT, OUR_IMPORT)
    # With the file's name tracebacks show its lines, whose numbers are unchanged.
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


SUITE = _suite()
TESTS = {name: test for name, test in vars(SUITE).items() if name.startswith("test_")}

for _name, _test in TESTS.items():
    if _name in EXCEPTIONS:
        _test = pytest.mark.skip(reason=EXCEPTIONS[_name])(_test)
    globals()[_name] = _test


@pytest.fixture
def global_random_seed():
    """The default seed of scikit-learn's conftest."""
    return 42


def test_of_this_module_the_suite_has_our_estimators():
    assert SUITE.MLPClassifier is skmlp.MLPClassifier
    assert SUITE.MLPRegressor is skmlp.MLPRegressor


def test_of_this_module_the_exceptions_still_exist():
    assert set(EXCEPTIONS) <= set(TESTS)
    assert len(TESTS) > 30
