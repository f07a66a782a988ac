"""What a pickle of an estimator refers to, and that a training goes on from it.

Modules of skmlp may move: a pickle that names one could not be loaded any more. So it
names the public module alone.
"""

import copy
import io
import pickle
import pickletools

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from skmlp import Activation, Loss, MLPClassifier, MLPRegressor, diagnose
from skmlp.training.history import History

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
NUMBERS = X @ RNG.normal(size=4)
CLASSES = np.arange(60) % 3
SEVERAL = (X[:, :3] > 0).astype(int)
COMMON = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}


def half(z):
    return z / 2


def one_half(a):
    return 0.5 + 0 * a


def squared(y, z):
    return (y - z) ** 2 / 2


def difference(y, z):
    return z - y


CASES = {
    "multiclass": (MLPClassifier, CLASSES, {}),
    "names": (MLPClassifier, np.array(["a", "b", "c"])[CLASSES], {}),
    "multilabel": (MLPClassifier, SEVERAL, {"normalization": "batch"}),
    "regression": (MLPRegressor, NUMBERS, {"dtype": "float32", "dropout": 0.2}),
    "quantiles": (MLPRegressor, NUMBERS, {"loss": "quantile", "quantile": [0.2, 0.7]}),
    "distribution": (MLPRegressor, NUMBERS, {"loss": "gaussian_nll"}),
    "custom": (
        MLPRegressor,
        NUMBERS,
        {
            "loss": Loss(
                name="squared", output="identity", value=squared, slope=difference
            ),
            "activation": Activation("half", half, one_half),
        },
    ),
    "schedule": (MLPRegressor, NUMBERS, {"learning_rate": "plateau"}),
}
CLASS_LABELS = {
    "multiclass": [0, 1, 2],
    "names": ["a", "b", "c"],
    "multilabel": [0, 1, 2],
}


def referred(data):
    """Modules and names that a pickle refers to, read from its opcodes."""
    found, memo, strings, top = set(), {}, [], None
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = top
        elif "PUT" in opcode.name:
            memo[argument] = top
        elif opcode.name == "GLOBAL":
            found.add(tuple(argument.split(" ")))
            top = None
        elif opcode.name == "STACK_GLOBAL":
            found.add(tuple(strings[-2:]))
            top = None
        elif "UNICODE" in opcode.name or "GET" in opcode.name:
            top = memo[argument] if "GET" in opcode.name else argument
            strings.append(top)
        else:
            top = None
    return found


def of_skmlp(data):
    return {names for names in referred(data) if names[0].partition(".")[0] == "skmlp"}


def model(case, **settings):
    """An estimator of a case and its y."""
    cls, y, own = CASES[case]
    return cls(**{**COMMON, **own, **settings}), y


def partially_fitted(case):
    """After a call of `partial_fit` with validation data."""
    estimator, y = model(case, early_stopping=True, scoring="loss")
    classes = {"classes": CLASS_LABELS[case]} if case in CLASS_LABELS else {}
    return estimator.partial_fit(X, y, X_val=X[:20], y_val=y[:20], **classes), y


def results(estimator):
    """All that a training leaves behind."""
    arrays = [*estimator.coefs_, *estimator.intercepts_, estimator._optimizer.slots]
    arrays.append(estimator.predict(X))
    return (
        [array.tobytes() for array in arrays],
        [estimator.loss_curve_, estimator.history_["learning_rate"]],
        [estimator.validation_scores_, estimator.best_validation_score_],
        [estimator.t_, estimator.no_improvement_count_, estimator._optimizer.t],
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning")
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("case", CASES)
def test_pickles_refer_to_the_public_module_alone(case, protocol):
    estimator, y = model(case)
    public = {("skmlp", type(estimator).__name__)}
    if case == "custom":
        public |= {("skmlp", "Loss"), ("skmlp", "Activation")}
    for fitted in (estimator, clone(estimator).fit(X, y), partially_fitted(case)[0]):
        assert of_skmlp(pickle.dumps(fitted, protocol=protocol)) == public


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_pickle_of_lbfgs_after_minibatches():
    estimator, y = partially_fitted("multiclass")
    estimator.set_params(solver="lbfgs", warm_start=True, max_iter=100)
    data = pickle.dumps(estimator.fit(X, y))
    assert of_skmlp(data) == {("skmlp", "MLPClassifier")}
    twin = pickle.loads(data).set_params(solver="adam", early_stopping=False)
    estimator.set_params(solver="adam", early_stopping=False)
    assert results(twin.partial_fit(X, y)) == results(estimator.partial_fit(X, y))


def by_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


COPIES = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "joblib": by_joblib,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("case", CASES)
def test_partial_fit_goes_on_bit_for_bit(case, way):
    estimator, y = partially_fitted(case)
    twin = COPIES[way](estimator)
    assert results(twin) == results(estimator)
    for _ in range(2):
        twin.partial_fit(X, y, X_val=X[:20], y_val=y[:20])
        estimator.partial_fit(X, y, X_val=X[:20], y_val=y[:20])
    assert results(twin) == results(estimator)


def test_the_state_is_an_object_again():
    estimator, _ = partially_fitted("multiclass")
    twin = pickle.loads(pickle.dumps(estimator))
    for name in ("_history", "_optimizer", "_labels"):
        assert type(getattr(twin, name)) is type(getattr(estimator, name))
    assert type(twin._history.validation) is type(estimator._history.validation)
    assert twin._optimizer._config == estimator._optimizer._config
    # One list, as before.
    assert twin.loss_curve_ is twin._history.loss_curve


def test_a_pickle_changes_nothing():
    estimator, _ = partially_fitted("multiclass")
    before = dict(vars(estimator))
    pickle.dumps(estimator)
    assert all(vars(estimator)[name] is value for name, value in before.items())


def test_a_report_can_be_pickled():
    estimator, y = partially_fitted("multiclass")
    data = pickle.dumps(diagnose(estimator, X, y))
    assert of_skmlp(data) == {("skmlp", "LayerTable"), ("skmlp", "LayerReport")}
    assert str(pickle.loads(data)) == str(diagnose(estimator, X, y))


def test_the_opcodes_are_read():
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps([History(), History()], protocol=protocol)
        assert ("skmlp.training.history", "History") in of_skmlp(data)
