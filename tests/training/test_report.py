"""What ``verbose`` prints, on clocks that the tests set."""

import re

import numpy as np
import pytest

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import cpu
from skmlp.training import lbfgs, minibatch, report, stopping

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4))
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture
def clock(monkeypatch):
    """Time passes in the backend alone: so much for each epoch and evaluation."""
    now, seconds = [0.0], [0.25]
    session = cpu.session.Session
    train, differentiate = session.train, session.loss_and_gradient

    def timed_train(self, optimizer, order, batch_size, span, rates, total):
        now[0] += seconds[0]
        return train(self, optimizer, order, batch_size, span, rates, total)

    def timed_loss(self, params):
        now[0] += seconds[0]
        return differentiate(self, params)

    def never(self, optimizer, orders, batch_size, rates):
        raise AssertionError("Epochs take more than a tenth of a second.")

    monkeypatch.setattr(session, "train", timed_train)
    monkeypatch.setattr(session, "train_epochs", never)
    monkeypatch.setattr(session, "loss_and_gradient", timed_loss)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    # Epochs one at a time, each in one call.
    monkeypatch.setattr(minibatch._Calls, "_adapt", lambda self, batches, start: None)
    monkeypatch.setattr(minibatch._Calls, "_next_size", lambda self, n_left: n_left)
    return seconds


def model(cls=MLPClassifier, **parameters):
    settings = {"max_iter": 9, "random_state": 0, "verbose": 2, "tol": 0.0}
    return cls(**{"hidden_layer_sizes": (5,), **settings, **parameters})


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_line_a_second_and_the_last_one(clock, capsys):
    estimator = model().fit(X, Y)
    curves = zip(
        estimator.loss_curve_, estimator.history_["gradient_norm"], strict=True
    )
    losses = [f"loss = {loss:.6g}, gradient norm = {norm:.3g}" for loss, norm in curves]
    rest = "learning rate = 0.001, 400 rows/s, at most"
    # A hundred rows in a quarter of a second.
    assert lines(capsys) == [
        f"Epoch 1/9, {losses[0]}, {rest} 2 s left",
        f"Epoch 5/9, {losses[4]}, {rest} 1 s left",
        f"Epoch 9/9, {losses[8]}, {rest} 0 s left",
    ]


def test_every_epoch_of_a_second_with_all_there_is(clock, capsys):
    clock[0] = 90.0
    settings = {"max_iter": 3, "learning_rate": "exponential", "decay_epochs": 1}
    estimator = model(**settings).fit(X[20:], Y[20:], X_val=X[:20], y_val=Y[:20])
    history = estimator.history_
    left = ["3 min", "2 min", "0 s"]
    assert len(set(history["learning_rate"])) == 3
    assert lines(capsys) == [
        f"Epoch {i + 1}/3, loss = {history['loss'][i]:.6g}, "
        f"validation loss = {history['validation_loss'][i]:.6g}, "
        f"validation score = {history['validation_score'][i]:.6g}, "
        f"gradient norm = {history['gradient_norm'][i]:.3g}, "
        f"learning rate = {history['learning_rate'][i]:.3g}, 1 rows/s, "
        f"at most {left[i]} left"
        for i in range(3)
    ]


def test_the_time_left_is_that_of_the_limit(clock, capsys):
    clock[0] = 2.0
    model(max_iter=10_000, max_time=5.0).fit(X, Y)
    assert [line.rpartition(", ")[2] for line in lines(capsys)] == [
        "at most 3 s left",
        "at most 1 s left",
        "at most 0 s left",
    ]
    model(max_iter=10_000).fit(X[:60], Y[:60])
    assert lines(capsys)[0].endswith("30 rows/s, at most 5 h 33 min left")


def test_sentences_stand_behind_the_line_of_their_epoch(clock, capsys):
    settings = {"learning_rate": "plateau", "plateau_patience": 2, "tol": 100.0}
    estimator = model(max_iter=4, **settings, n_iter_no_change=99).fit(X, Y)
    found = lines(capsys)
    assert [line[:10] for line in found] == [
        "Epoch 1/4,",
        "Epoch 3/4,",
        "Training l",
        "Epoch 4/4,",
    ]
    assert found[2].endswith("Setting learning rate to 0.000100")
    assert estimator.history_["learning_rate"] == [1e-3, 1e-3, 1e-3, 1e-4]


def test_iterations_of_lbfgs(clock, capsys):
    clock[0] = 1.0
    estimator = model(solver="lbfgs", max_iter=3).fit(X, Y)
    found = lines(capsys)
    norms = estimator.history_["gradient_norm"]
    assert [line.partition(", at most")[0] for line in found] == [
        f"Iteration {i + 1}/3, loss = {loss:.6g}, gradient norm = {norms[i]:.3g}"
        for i, loss in enumerate(estimator.history_["loss"])
    ]
    assert found[-1].endswith("at most 0 s left")
    model(solver="lbfgs", max_iter=3, verbose=True).fit(X, Y)
    # As scikit-learn's, they are printed by SciPy, which no longer does.
    assert not any(line.startswith("Iteration") for line in lines(capsys))


def test_calls_of_partial_fit(clock, capsys):
    estimator = model(MLPRegressor)
    for _ in range(3):
        estimator.partial_fit(X[:40], X[:40, 0])
    norms = estimator.history_["gradient_norm"]
    assert lines(capsys) == [
        f"Epoch {i + 1}, loss = {loss:.6g}, gradient norm = {norms[i]:.3g}, "
        "learning rate = 0.001, 160 rows/s"
        for i, loss in enumerate(estimator.loss_curve_)
    ]


def test_a_resumed_training_counts_on(clock, capsys):
    estimator = model(max_iter=2, verbose=False).fit(X, Y)
    clock[0] = 1.0
    estimator.set_params(verbose=2).resume(X, Y, max_iter=4)
    assert [line.partition(",")[0] for line in lines(capsys)] == [
        "Epoch 3/4",
        "Epoch 4/4",
    ]


def test_the_last_line_of_a_training_that_diverges(clock, capsys):
    settings = {"solver": "sgd", "learning_rate_init": 1e3, "max_iter": 500}
    estimator = model(MLPRegressor, **settings, max_grad_norm=None)
    with pytest.raises(ValueError, match="non-finite"):
        estimator.fit(X, 1e6 * X[:, 0])
    assert len(lines(capsys)) >= 1


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_printing_changes_nothing(solver, capsys):
    """Neither numbers nor how many epochs a call trains."""
    found = []
    for value in (False, 2):
        estimator = model(solver=solver, max_iter=30, verbose=value).fit(X, Y)
        found.append([coef.tobytes() for coef in estimator.coefs_])
    assert found[0] == found[1]
    name = "Epoch" if solver == "adam" else "Iteration"
    first, *_, last = lines(capsys)
    assert re.match(rf"{name} 1/30, loss = ", first)
    assert re.match(rf"{name} {estimator.n_iter_}/30, loss = ", last)


def test_reporters_by_value():
    watch = stopping.Clock(None)
    assert report.reporter_of(False, watch) is None
    assert report.reporter_of(0, watch) is None
    for value in (True, 1, 3, 10):
        assert isinstance(report.reporter_of(value, watch), report.ScikitLearnLines)
    assert isinstance(report.reporter_of(2, watch), report.OneLine)
    # Nobody is told of epochs where nothing is printed and nobody listens.
    assert lbfgs._Callback(None, None, _CONFIG, None, None)._reporter is None


_CONFIG = lbfgs.LBFGSConfig(1, 1, 0.0, 1, None, True)
