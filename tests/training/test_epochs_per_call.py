"""Several epochs at once: nothing but the time may tell them from one at a time."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from rule_runners import row_of
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, Regularization, cpu, reference
from skmlp.backends.cpu import plan
from skmlp.network import Network, init_params
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.schedules import SCHEDULES
from skmlp.training import minibatch
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

pytestmark = [
    # Trainings of a few epochs, with one set of parameters for all solvers.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

RNG = np.random.default_rng(0)
N_ROWS, BATCH, EPOCHS = 47, 10, 3
X = RNG.normal(size=(N_ROWS, 5))
Y = X[:, 0] * X[:, 1] + 0.1 * RNG.normal(size=N_ROWS)
KINDS = {
    "plain": (None, Regularization()),
    "dropout": (None, Regularization(dropout=(0.3,), input_noise=0.1, seed=3)),
    "limited": (None, Regularization(max_grad_norm=0.5, max_norm=1.0)),
    "batch norm": ("batch", Regularization()),
    "batch norm, limited": ("batch", Regularization(max_grad_norm=0.5)),
}


def make_problem(kind):
    normalization, regularization = KINDS[kind]
    row = row_of("squared_error-identity")
    network = Network((5, 12, 1), ("tanh",), row, row.output)
    network = network._replace(normalization=normalization)
    rows = np.arange(N_ROWS)
    return Problem(network, X, Y[:, None], None, rows, 0.01, regularization)


def optimizer_of(size, **settings):
    settings = {"solver": "adam", "learning_rate_init": 0.01, **settings}
    return OptimizerState(make_optimizer_config(MLPRegressor(**settings)), size, float)


def orders():
    return np.array([RNG.permutation(N_ROWS) for _ in range(EPOCHS)])


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("backend", [reference, cpu], ids=["reference", "cpu"])
@pytest.mark.parametrize("kind", KINDS)
def test_epochs_at_once_are_those_one_by_one(monkeypatch, kind, backend, n_threads):
    monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, *least: n_threads)
    problem, given = make_problem(kind), orders()
    initializers = [INITIALIZERS["sklearn_uniform"]] * len(problem.network.shapes)
    start = init_params(problem.network, initializers, np.random.RandomState(0), float)
    n_batches = -(-N_ROWS // BATCH)
    found = []
    for at_once in (True, False):
        optimizer = optimizer_of(len(start))
        rates = optimizer.next_rates((0, EPOCHS * n_batches), n_batches).table
        with backend.open_session(problem, start, None) as session:
            if at_once:
                losses = session.train_epochs(optimizer, given, BATCH, rates)
            else:
                span = (0, n_batches)
                losses = [
                    session.train(optimizer, order, BATCH, span, part, 0.0)
                    for order, part in zip(given, np.split(rates, EPOCHS), strict=True)
                ]
            found.append((losses, session.params.tobytes()))
    assert found[0] == found[1]
    assert len(found[0][0]) == EPOCHS


@pytest.fixture
def train(monkeypatch):
    """Fit with a time for each call of the backend, and count the epochs of each."""
    calls = []
    train_epochs = cpu.session.Session.train_epochs

    def counted(self, optimizer, given, batch_size, rates):
        calls.append(len(given))
        return train_epochs(self, optimizer, given, batch_size, rates)

    def fit(estimator, seconds):
        calls.clear()
        monkeypatch.setattr(minibatch, "_CALL_SECONDS", seconds)
        return estimator.fit(X, Y), list(calls)

    monkeypatch.setattr(cpu.session.Session, "train_epochs", counted)
    return fit


def assert_same_training(one, other):
    for name in ("n_iter_", "t_", "loss_curve_", "best_loss_"):
        assert getattr(one, name) == getattr(other, name)
    assert one.history_["learning_rate"] == other.history_["learning_rate"]
    for mine, its in zip(one.coefs_, other.coefs_, strict=True):
        assert_array_equal(mine, its)
    assert (np.diff(one.history_["seconds"], prepend=0.0) > 0).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_fits_of_epochs_at_once(train, schedule, shuffle):
    settings = {
        "hidden_layer_sizes": (8,),
        "solver": "sgd",
        "learning_rate": schedule,
        "shuffle": shuffle,
        "max_iter": 40,
        "warmup_epochs": 2.5,
        "tol": 1e-3,
        "n_iter_no_change": 4,
        "random_state": 0,
    }
    settings["batch_size"] = BATCH
    many, calls = train(MLPRegressor(**settings), 100.0)
    single, none = train(MLPRegressor(**settings), 0.0)
    assert none == []
    assert bool(calls) == (schedule != "invscaling")
    assert_same_training(many, single)


def test_an_end_that_may_come_is_not_passed(train):
    """The epoch with which the loss has not improved for long enough is the last."""
    settings = {"tol": 10.0, "n_iter_no_change": 5, "random_state": 0, "max_iter": 50}
    many, calls = train(MLPRegressor(hidden_layer_sizes=(4,), **settings), 100.0)
    single, _ = train(MLPRegressor(hidden_layer_sizes=(4,), **settings), 0.0)
    assert many.n_iter_ == 7
    assert max(calls) > 1
    assert_same_training(many, single)


def test_epochs_that_are_judged_by_a_score_go_one_by_one(train):
    with pytest.warns(ConvergenceWarning):
        fitted, calls = train(
            MLPRegressor(
                hidden_layer_sizes=(4,), early_stopping=True, max_iter=4, random_state=0
            ),
            100.0,
        )
    assert calls == []
    assert len(fitted.validation_scores_) == 4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_row_numbers_are_not_kept_beyond_some(train, monkeypatch):
    monkeypatch.setattr(minibatch, "_MAX_ROW_IDS", 3 * N_ROWS + 1)
    _, calls = train(
        MLPRegressor(hidden_layer_sizes=(4,), max_iter=20, random_state=0), 100.0
    )
    assert max(calls) == 3


def test_the_report_names_every_epoch(train, capsys):
    with pytest.warns(ConvergenceWarning):
        fitted, calls = train(
            MLPRegressor(
                hidden_layer_sizes=(4,), max_iter=9, verbose=True, random_state=0
            ),
            100.0,
        )
    assert sum(calls) > 1
    lines = capsys.readouterr().out.splitlines()
    numbers = [f"{loss:.8f}" for loss in fitted.loss_curve_]
    assert lines == [
        f"Iteration {i}, loss = {number}" for i, number in enumerate(numbers, start=1)
    ]


def test_a_training_that_diverges_is_noticed(train):
    estimator = MLPRegressor(
        hidden_layer_sizes=(8,),
        solver="sgd",
        learning_rate_init=1e30,
        max_iter=50,
        random_state=0,
    )
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        train(estimator, 100.0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_of_several_epochs(schedule):
    settings = {
        "solver": "sgd",
        "learning_rate": schedule,
        "max_iter": EPOCHS,
        "warmup_epochs": 0.7,
        "weight_decay": 0.1,
    }
    at_once, by_epoch = (optimizer_of(1, **settings) for _ in range(2))
    assert at_once.knows_next_epochs == (schedule != "invscaling")
    if not at_once.knows_next_epochs:
        return
    n_batches = 7
    several = at_once.next_rates((0, EPOCHS * n_batches), n_batches)
    parts, last = [], []
    for epoch in range(EPOCHS):
        rates = by_epoch.next_rates((0, n_batches), n_batches)
        parts.append(rates.table)
        last += rates.learning_rates
        by_epoch.end_epoch((epoch + 1) * 100)
    assert_array_equal(several.table, np.concatenate(parts))
    assert several.learning_rates == last
    assert at_once.t == by_epoch.t


@pytest.mark.parametrize("solver", ["adam", "nadam"])
def test_corrections_of_bias_after_very_many_steps(solver):
    """Powers that are cut off, where nothing is left of them, change no digit."""
    optimizer = optimizer_of(1, solver=solver)
    # Across where 0.9 ** t and 0.999 ** t are cut off, and where they underflow.
    for t in (0, 990, 7_000, 99_990, 800_000):
        optimizer.t = t
        got = optimizer.next_rates((0, 30), 30).table[:, 1:]
        steps = [t + i for i in range(1, 31)]
        second = np.array([1.0 - 0.999**k for k in steps])
        if solver == "adam":
            first = np.array([1.0 - 0.9**k for k in steps])
            assert_allclose(got[:, 0], 0.01 * np.sqrt(second) / first, rtol=1e-14)
        else:
            assert_allclose(got[:, 2], 1.0 / np.sqrt(second), rtol=1e-14)


def test_a_call_of_partial_fit_is_one_epoch(monkeypatch):
    def never(self, optimizer, given, batch_size, rates):
        raise AssertionError(f"{len(given)} epochs at once")

    monkeypatch.setattr(cpu.session.Session, "train_epochs", never)
    estimator = MLPClassifier((4,), random_state=0)
    for _ in range(3):
        estimator.partial_fit(X, Y > 0, classes=[False, True])
    assert estimator.n_iter_ == 1
    assert len(estimator.loss_curve_) == 3
