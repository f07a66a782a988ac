"""`resume` goes on with a fit as if it had not ended: all is equal to the bit."""

import os
import pickle
import signal
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.training import minibatch

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Trainings of a few epochs, with one set of parameters for all solvers.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]
RNG = np.random.RandomState(0)
X = RNG.normal(size=(90, 5))
Y = (X[:, 0] + X[:, 1] ** 2 + RNG.normal(size=90) > 1).astype(int)
X_VAL, Y_VAL = X[60:], Y[60:]
SMALL = {
    "hidden_layer_sizes": (6,),
    "max_iter": 12,
    "random_state": 0,
    "batch_size": 16,
}
CASES = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05,
                 "n_iter_no_change": 2},
    "plateau": {"learning_rate": "plateau", "plateau_patience": 2, "tol": 0.05},
    "warmup": {"warmup_epochs": 8, "learning_rate": "step", "decay_epochs": 3},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 20},
    "by the loss": {"early_stopping": True, "scoring": "loss"},
    "no shuffle": {"shuffle": False},
    "drawn by class": {"sampling": "balanced", "early_stopping": True},
    "drawn by weight": {"sampling": "weights", "class_weight": {1: 5.0}},
    "dropout": {"dropout": 0.3, "input_noise": 0.1},
    "batch norm": {"normalization": "batch", "early_stopping": True},
    "float32": {"dtype": "float32"},
    "any seed": {"random_state": None},
}  # fmt: skip


def model(**settings):
    return MLPClassifier(**{**SMALL, **settings})


def state(estimator):
    """All that a fit leaves behind but for seconds and parameters."""
    found = dict(vars(estimator))
    found["history_"] = {k: v for k, v in found["history_"].items() if k != "seconds"}
    found["_history"] = dict(vars(found["_history"]))
    found["_history"].pop("seconds")
    found["_optimizer"] = vars(found["_optimizer"])
    found["max_iter"] = found["max_time"] = found["scoring"] = found["_labels"] = None
    return flat(found)


def flat(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.random.RandomState):
        return flat(value.get_state())
    if isinstance(value, dict):
        return {name: flat(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [flat(part) for part in value]
    if hasattr(value, "__dict__"):
        return flat(vars(value))
    return repr(value)


def assert_equal(one, other):
    one, other = state(one), state(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        if name not in ("_optimizer", "_random_state"):
            assert value == other[name], name
    for name in ("t", "epoch", "learning_rate", "slots"):
        assert one["_optimizer"][name] == other["_optimizer"][name], name


def seeded(settings):
    """Without a seed, the global generator is set instead."""
    np.random.seed(3)  # noqa: NPY002
    return model(**settings)


@pytest.mark.parametrize("case", CASES)
def test_resume_equals_one_fit(case):
    settings = CASES[case]
    whole = seeded(settings).fit(X, Y)
    for first in (1, 5):
        parts = seeded({**settings, "max_iter": first}).fit(X, Y)
        parts.resume(X, Y, max_iter=7)
        parts = pickle.loads(pickle.dumps(parts))
        assert_equal(parts.resume(X, Y, max_iter=12), whole)
        assert parts.n_iter_ == whole.n_iter_ == len(whole.loss_curve_)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_resume_with_validation_data(early_stopping):
    data = {"X_val": X_VAL, "y_val": Y_VAL}
    settings = {"early_stopping": early_stopping}
    whole = model(**settings).fit(X, Y, **data)
    parts = model(**settings, max_iter=4).fit(X, Y, **data)
    assert_equal(parts.resume(X, Y, max_iter=12, **data), whole)


def test_resume_of_a_regressor_with_weights():
    weights = RNG.uniform(size=90) * (np.arange(90) % 3 > 0)
    whole = MLPRegressor(**SMALL).fit(X, X[:, 0], weights)
    parts = MLPRegressor(**{**SMALL, "max_iter": 3}).fit(X, X[:, 0], weights)
    assert_equal(parts.resume(X, X[:, 0], weights, max_iter=12), whole)


def test_resume_after_a_warm_start():
    parts, whole = (model(max_iter=4, warm_start=True).fit(X, Y) for _ in range(2))
    whole.set_params(max_iter=9).fit(X, Y)
    assert_equal(parts.fit(X, Y).resume(X, Y, max_iter=9), whole)
    assert len(parts.loss_curve_) == 13


@pytest.mark.parametrize("case", ["adam", "dropout", "early stopping", "plateau"])
@pytest.mark.parametrize("batches", [1, 3, 9, 14])
def test_resume_after_a_limit_within_an_epoch(monkeypatch, case, batches):
    whole = model(**CASES[case], max_time=1e9).fit(X, Y)
    left = [batches]

    class Clock(minibatch.Clock):
        @property
        def left(self):
            left[0] -= 1
            return float(left[0] >= 0)

    monkeypatch.setattr(minibatch, "Clock", Clock)
    monkeypatch.setattr(minibatch._Calls, "_adapt", lambda *_: None)
    with pytest.warns(ConvergenceWarning, match=r"time .* call resume\(X, y\)\.$"):
        parts = model(**CASES[case], max_time=1e9).fit(X, Y)
    assert len(parts.loss_curve_) < 12
    left[0] = batches + 5
    parts = pickle.loads(pickle.dumps(parts)).resume(X, Y)
    left[0] = 10**9
    assert_equal(parts.resume(X, Y), whole)


@pytest.fixture
def default_sigint():
    """Python's handler: a process that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_sigint")
def test_resume_after_ctrl_c():
    calls = []

    def scoring(estimator, X, y):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return -len(calls) % 5

    data = {"X_val": X_VAL, "y_val": Y_VAL}
    with pytest.warns(UserWarning, match=r"by user\. To go on .* call resume\(X, y\)"):
        parts = model(scoring=scoring).fit(X, Y, **data)
    assert parts.n_iter_ == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    whole = model(scoring=scoring)
    parts.resume(X, Y, **data)
    calls.clear()
    calls += [1] * 10
    whole.fit(X, Y, **data)
    assert flat(parts.coefs_) == flat(whole.coefs_)
    assert parts.loss_curve_ == whole.loss_curve_


@pytest.mark.usefixtures("default_sigint")
def test_the_second_ctrl_c_interrupts_at_once():
    def scoring(estimator, X, y):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError

    data = {"X_val": X_VAL, "y_val": Y_VAL}
    with pytest.warns(UserWarning, match=r"^Training interrupted by user\.$"):
        estimator = model(scoring=scoring).fit(X, Y, **data)
    with pytest.raises(ValueError, match="broken off in the middle of a step"):
        estimator.resume(X, Y, **data)


def test_the_warning_of_max_iter_says_how_to_go_on():
    message = r"reached and .* converged yet\. To go on .* resume\(X, y, max_iter=24\)"
    with pytest.warns(ConvergenceWarning, match=message):
        model().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().partial_fit(X, Y, classes=[0, 1])


def test_nothing_is_left():
    whole = model(max_iter=500, tol=0.1, n_iter_no_change=2).fit(X, Y)
    before = state(whole)
    with pytest.warns(UserWarning, match="stopped by itself") as caught:
        whole.resume(X, Y)
    assert caught[0].filename == __file__
    parts = model().fit(X, Y)
    with pytest.warns(UserWarning, match="Pass a larger max_iter"):
        parts.resume(X, Y)
    with pytest.warns(UserWarning, match="stopped by itself"):
        model(learning_rate="cosine").fit(X, Y).resume(X, Y)
    assert state(whole) == before


def test_what_resume_refuses():
    with pytest.raises(ValueError, match="not fitted"):
        model().resume(X, Y)
    parts = model(max_iter=3).fit(X, Y)
    before = state(parts)
    with pytest.raises(ValueError, match="had 90 rows of positive weight, got 60"):
        parts.resume(X[:60], Y[:60], max_iter=9)
    with pytest.raises(ValueError, match="max_iter must be"):
        parts.resume(X, Y, max_iter=0)
    with pytest.raises(ValueError, match="needs the validation data"):
        parts.set_params(early_stopping=True).resume(X, Y, max_iter=9)
    parts.set_params(early_stopping=False)
    assert state(parts) == before
    parts.partial_fit(X, Y)
    with pytest.raises(ValueError, match="last call was partial_fit"):
        parts.resume(X, Y, max_iter=9)
    assert not hasattr(model(solver="lbfgs"), "resume")


def test_schedules_with_an_end_keep_it(monkeypatch):
    whole = model(learning_rate="cosine", max_time=1e9).fit(X, Y)
    left = [20]
    monkeypatch.setattr(
        minibatch.Clock, "left", property(lambda _: left.append(0) or 25.0 - len(left))
    )
    monkeypatch.setattr(minibatch._Calls, "_adapt", lambda *_: None)
    with pytest.warns(ConvergenceWarning, match="time"):
        parts = model(learning_rate="cosine", max_time=1e9).fit(X, Y)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="ends with epoch 12"):
        parts.resume(X, Y, max_iter=20)
    assert_equal(parts.resume(X, Y), whole)


# --- chunks ---


def test_chunks_may_lack_classes_with_warm_start():
    y = np.arange(90) % 3
    settings = {**SMALL, "batch_size": "auto"}
    parts = MLPClassifier(**settings, warm_start=True).fit(X, y)
    twin = MLPClassifier(**settings).fit(X, y)
    for estimator in (parts, twin):
        estimator.partial_fit(X[:1], y[:1])
    assert flat(parts.coefs_) == flat(twin.coefs_)
    with pytest.raises(ValueError, match="warm_start can only be used"):
        parts.fit(X[y > 0], y[y > 0])
    with pytest.raises(ValueError, match="classes not in"):
        parts.partial_fit(X[:1], [7])


def test_partial_fit_goes_on_with_the_optimizer_one_epoch_a_call():
    """Without shuffling it is the same; a fit shuffles what the last epoch has left."""
    whole = model(shuffle=False).fit(X, Y)
    parts = model(shuffle=False, max_iter=5).fit(X, Y)
    for _ in range(7):
        parts.partial_fit(X, Y)
    assert flat(parts.coefs_) == flat(whole.coefs_)
