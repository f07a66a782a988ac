"""The gradient's norm in the history: of which minibatch, and that it is right."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_epochs_per_call import BATCH, EPOCHS, KINDS, N_ROWS, make_problem, orders

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import cpu, reference
from skmlp.backends.cpu import plan
from skmlp.estimators import devices
from skmlp.network import init_params
from skmlp.rules.initializers import INITIALIZERS
from skmlp.training import minibatch
from skmlp.training.history import History
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
WEIGHTS = RNG.uniform(0.5, 2.0, size=len(X))


def trained(backend, kind, given, *, at_once, dtype=np.float64):
    """The norms of some epochs, in one call or in several for each epoch."""
    problem = make_problem(kind)
    arrays = (problem.x.astype(dtype), problem.targets.astype(dtype))
    problem = problem._replace(x=arrays[0], targets=arrays[1])
    initializers = [INITIALIZERS["sklearn_uniform"]] * len(problem.network.shapes)
    start = init_params(problem.network, initializers, np.random.RandomState(0), dtype)
    settings = MLPRegressor(learning_rate_init=0.01)
    optimizer = OptimizerState(make_optimizer_config(settings), len(start), dtype)
    n_batches, norms = -(-N_ROWS // BATCH), []
    with backend.open_session(problem, start, None) as session:
        if at_once:
            rates = optimizer.next_rates((0, EPOCHS * n_batches), n_batches).table
            session.train_epochs(optimizer, given, BATCH, rates)
            return session.gradient_norms
        for order in given:
            for span in ((0, 2), (2, n_batches)):
                rates = optimizer.next_rates(span, n_batches).table
                session.train(optimizer, order, BATCH, span, rates, 0.0)
            norms += session.gradient_norms
    return norms


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_norms_of_the_kernels(monkeypatch, kind, n_threads):
    """Those of the reference, however epochs are cut and on however many threads."""
    monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, *least: n_threads)
    given = orders()
    expected = trained(reference, kind, given, at_once=True)
    assert expected == trained(reference, kind, given, at_once=False)
    assert len(expected) == EPOCHS
    found = trained(cpu, kind, given, at_once=True)
    assert_allclose(found, expected, rtol=1e-9)
    assert found == trained(cpu, kind, given, at_once=False)
    single = trained(cpu, kind, given, at_once=True, dtype=np.float32)
    assert_allclose(single, expected, rtol=2e-3)


def norm_at(params, rows, monkeypatch, **settings):
    """Norm of the reference's gradient over some rows, of a fit's problem."""
    problems = []

    def record(problem, start, n_jobs):
        problems.append(problem)
        return reference.open_session(problem, start, n_jobs)

    target = devices.training_target

    def by_reference(*arguments):
        found = target(*arguments)
        backend = type("Recording", (), {**vars(reference), "open_session": record})
        return found._replace(backend=backend)

    monkeypatch.setattr("skmlp.estimators.devices.training_target", by_reference)
    weights = settings.pop("sample_weight", None)
    MLPClassifier(**settings, solver="lbfgs", max_iter=1).fit(X[rows], Y[rows], weights)
    monkeypatch.undo()
    problem = problems[0]
    with reference.open_session(problem, params, None) as session:
        return np.linalg.norm(session.loss_and_gradient(params)[1])


def vector(estimator):
    parts = [*estimator.coefs_, *estimator.intercepts_]
    return np.concatenate([part.ravel() for part in parts])


@pytest.mark.parametrize("limit", [None, 0.01])
def test_the_first_minibatch_of_each_epoch_before_its_step(monkeypatch, limit):
    settings = {"hidden_layer_sizes": (5,), "random_state": 0, "alpha": 0.5}
    stochastic = {**settings, "batch_size": 25, "shuffle": False}
    stochastic["max_grad_norm"] = limit
    fit = MLPClassifier(**stochastic, max_iter=4).fit(X, Y)
    for n_epochs in (1, 2, 3):
        # Where the fourth minibatch of the whole training begins, and so on.
        before = MLPClassifier(**stochastic, max_iter=n_epochs).fit(X, Y)
        expected = norm_at(vector(before), slice(0, 25), monkeypatch, **settings)
        assert_allclose(fit.history_["gradient_norm"][n_epochs], expected, rtol=1e-9)


def test_the_iterates_of_lbfgs(monkeypatch):
    settings = {"hidden_layer_sizes": (5,), "random_state": 0, "alpha": 0.5}
    whole = MLPClassifier(**settings, solver="lbfgs", max_iter=6).fit(X, Y, WEIGHTS)
    for n in range(1, 7):
        fit = MLPClassifier(**settings, solver="lbfgs", max_iter=n).fit(X, Y, WEIGHTS)
        expected = norm_at(
            vector(fit), slice(None), monkeypatch, sample_weight=WEIGHTS, **settings
        )
        assert len(fit.history_["gradient_norm"]) == n
        assert_allclose(fit.history_["gradient_norm"][-1], expected, rtol=1e-9)
    assert whole.history_["gradient_norm"] == fit.history_["gradient_norm"]


def test_an_epoch_that_was_cut_has_its_norm_once(monkeypatch):
    """On a clock that a minibatch advances by a second."""
    settings = {"hidden_layer_sizes": (5,), "random_state": 0, "batch_size": 10}
    expected = MLPClassifier(**settings, max_iter=4).fit(X, Y)
    now, train = [0.0], cpu.session.Session.train

    def slow(self, optimizer, order, batch_size, span, rates, total):
        now[0] += float(span[1] - span[0])
        return train(self, optimizer, order, batch_size, span, rates, total)

    monkeypatch.setattr(cpu.session.Session, "train", slow)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(minibatch._Calls, "_adapt", lambda *_: None)
    cut = MLPClassifier(**settings, max_iter=4, max_time=8.5).fit(X, Y)
    assert cut._history.unfinished is not None
    assert len(cut.history_["gradient_norm"]) == len(cut.loss_curve_) == 2
    cut.set_params(max_time=None).resume(X, Y)
    assert cut.history_["gradient_norm"] == expected.history_["gradient_norm"]


def test_epochs_without_a_norm():
    """As those of a GPU, or of a release that recorded none."""
    settings = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 3}
    estimator = MLPClassifier(**settings, warm_start=True).fit(X, Y)
    state = estimator._history.to_state()
    del state["gradient_norms"]
    old = pickle.loads(pickle.dumps(estimator))
    old._history = History.from_state(state)
    assert "gradient_norm" not in old._history.columns()
    column = old.fit(X, Y).history_["gradient_norm"]
    assert len(column) == len(old.loss_curve_) == 6
    assert np.isnan(column).tolist() == [True] * 3 + [False] * 3
    history = History()
    for norm in (None, None, 2.0, None):
        history.record(1.0, None, 0.0)
        history.record_gradient(norm)
        assert ("gradient_norm" in history.columns()) == (norm is not None) or (
            len(history.loss_curve) == 4
        )
    assert_array_equal(history.gradient_norms, [np.nan, np.nan, 2.0, np.nan])
