"""The table of schedules: closed forms, PyTorch's schedulers, warmup, and when to stop.

What is compared is the rate of every step, as the optimizer works it out for the
backends; scikit-learn's own schedules are compared with scikit-learn in test_parity.
"""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

# One set of parameters serves all schedules, in trainings of a few epochs.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skmlp.exceptions.IneffectiveParameterWarning"
)

RATE, EPOCHS, BATCHES = 0.1, 12, 10
STEPS = np.arange(EPOCHS * BATCHES)
OLD = [name for name, row in SCHEDULES.items() if row.old]
BY_STEP = ["cosine", "one_cycle", "exponential", "step"]
ENDING = [name for name, row in SCHEDULES.items() if row.ends]
X = np.random.default_rng(0).normal(size=(60, 4))
Y = X[:, 0] * X[:, 1] + X[:, 2]


def settings_of(name, **others):
    usual = {"solver": "sgd", "learning_rate_init": RATE, "max_iter": EPOCHS}
    return MLPRegressor(learning_rate=name).set_params(**{**usual, **others})


def rates_of(settings, n_batches=BATCHES, cuts=(0.0, 1.0)):
    """Learning rate of every step, worked out in some calls an epoch."""
    optimizer = OptimizerState(make_optimizer_config(settings), 1, float)
    edges = [round(cut * n_batches) for cut in cuts]
    parts = []
    for epoch in range(settings.max_iter):
        for span in pairwise(edges):
            rates = optimizer.next_rates(span, n_batches)
            parts.append(rates.table[:, 1])
            assert rates.learning_rates == [parts[-1][-1]]
        optimizer.end_epoch((epoch + 1) * 100)
    return np.concatenate(parts)


def half_wave(first, last, share):
    return last + (first - last) * (1 + np.cos(np.pi * share)) / 2


def one_cycle(steps, n):
    top = 0.3 * n - 1
    rise = half_wave(RATE / 25, RATE, steps / top)
    fall = half_wave(RATE, RATE / 25e4, (steps - top) / (n - 1 - top))
    return np.where(steps <= top, rise, fall)


CLOSED_FORMS = {
    "constant": lambda k, n: np.full(len(k), RATE),
    "invscaling": lambda k, n: (
        RATE / np.sqrt(np.where(k // BATCHES > 0, 100 * (k // BATCHES) + 1, 1))
    ),
    "adaptive": lambda k, n: np.full(len(k), RATE),
    "cosine": lambda k, n: half_wave(RATE, 0, k / n),
    "one_cycle": one_cycle,
    "coslog": lambda k, n: (
        RATE * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * (k + 0.5) / n))) / 2
    ),
    "flat_cosine": lambda k, n: np.where(
        k < n / 2, RATE, half_wave(RATE, 0, (k - n / 2) / (n / 2))
    ),
    "exponential": lambda k, n: RATE * 0.1 ** (k / BATCHES / 10),
    "step": lambda k, n: RATE * 0.1 ** np.floor(k / BATCHES / 10),
    "plateau": lambda k, n: np.full(len(k), RATE),
}


@pytest.mark.parametrize("cuts", [(0, 1), (0, 0.1, 0.5, 1)])
@pytest.mark.parametrize("name", SCHEDULES)
def test_closed_forms(name, cuts):
    expected = CLOSED_FORMS[name](STEPS, len(STEPS))
    assert_allclose(rates_of(settings_of(name), cuts=cuts), expected, rtol=1e-12)


@pytest.mark.parametrize(("factor", "epochs"), [(0.5, 3), (0.3, 1)])
def test_factor_and_epochs_of_decay(factor, epochs):
    decay = {"decay_factor": factor, "decay_epochs": epochs}
    passed = STEPS / BATCHES / epochs
    found = rates_of(settings_of("exponential", **decay))
    assert_allclose(found, RATE * factor**passed, rtol=1e-12)
    found = rates_of(settings_of("step", **decay))
    assert_allclose(found, RATE * factor ** np.floor(passed), rtol=1e-12)


def torch_schedulers(torch, settings):
    schedulers = torch.optim.lr_scheduler
    factor, steps = settings.decay_factor, settings.decay_epochs * BATCHES
    return {
        "cosine": lambda o: schedulers.CosineAnnealingLR(o, len(STEPS)),
        "one_cycle": lambda o: schedulers.OneCycleLR(
            o, RATE, total_steps=len(STEPS), cycle_momentum=False
        ),
        "exponential": lambda o: schedulers.ExponentialLR(o, factor ** (1 / steps)),
        "step": lambda o: schedulers.StepLR(o, steps, factor),
    }


@pytest.mark.parametrize("name", BY_STEP)
def test_rates_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch")
    settings = settings_of(name, decay_epochs=3, decay_factor=0.4)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = torch_schedulers(torch, settings)[name](optimizer)
    expected = []
    for _ in STEPS:
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert_allclose(rates_of(settings), expected, rtol=1e-9)


@pytest.mark.parametrize("warmup", [1.0, 2.5, 0.34])
@pytest.mark.parametrize("name", [*BY_STEP, "constant", "plateau"])
def test_warmup_is_a_line_and_the_schedule_begins_after_it(name, warmup):
    found = rates_of(settings_of(name, warmup_epochs=warmup, decay_epochs=3))
    n_warm = warmup * BATCHES
    form = CLOSED_FORMS[name]
    if name in ("exponential", "step"):
        form = lambda k, n: CLOSED_FORMS[name](k * 10 / 3, n)  # noqa: E731
    scheduled = form(np.maximum(STEPS - n_warm, 0), len(STEPS) - n_warm)
    line = np.minimum(1, (STEPS + 1) / n_warm)
    assert_allclose(found, scheduled * line, rtol=1e-9)
    assert found[0] > 0


def test_steps_of_decay_come_with_epochs_after_a_fractional_warmup():
    settings = settings_of("step", warmup_epochs=0.1, decay_epochs=1, decay_factor=0.5)
    found = rates_of(settings)
    assert_allclose(found[1:], RATE * 0.5 ** ((STEPS[1:] - 1) // BATCHES))


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warmup_beyond_the_end_is_a_line(name):
    found = rates_of(settings_of(name, warmup_epochs=2.0 * EPOCHS))
    if name == "invscaling":
        found *= RATE / CLOSED_FORMS[name](STEPS, len(STEPS))
    first = CLOSED_FORMS[name](np.zeros(1), len(STEPS))
    assert_allclose(found, first * (STEPS + 1) / (2 * len(STEPS)), rtol=1e-9)


@pytest.mark.parametrize("n_batches", [1, 2, 3])
@pytest.mark.parametrize("max_iter", [1, 2, 3, 10])
@pytest.mark.parametrize("name", SCHEDULES)
def test_short_trainings_have_rates_too(name, max_iter, n_batches):
    found = rates_of(settings_of(name, max_iter=max_iter), n_batches)
    assert np.isfinite(found).all()
    assert (found > 0).all()
    assert (found <= RATE * (1 + 1e-12)).all()


@pytest.mark.parametrize("name", OLD)
def test_adam_ignores_the_schedules_of_scikit_learn(name):
    settings = settings_of(name, solver="adam", epsilon=1e-12)
    assert make_optimizer_config(settings).schedule == "constant"
    others = set(OPTIMIZERS) - {"adam"}
    for solver in others:
        recipe = make_optimizer_config(settings_of(name, solver=solver))
        assert recipe.schedule == name


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_every_solver_with_every_schedule(solver, schedule):
    rate = {"adadelta": 1.0, "adagrad": 0.1}.get(solver, 0.01)
    model = MLPRegressor(solver=solver, learning_rate=schedule, random_state=0)
    model.set_params(
        hidden_layer_sizes=(8,),
        learning_rate_init=rate,
        warmup_epochs=1.5,
        batch_size=20,
    )
    model.set_params(max_iter=20, weight_decay=0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, Y)
    assert model.loss_ < 0.95 * model.loss_curve_[0]


def lowered_after(text):
    """Epochs after which a verbose training has said that it lowers the rate."""
    epochs, found = 0, []
    for line in text.splitlines():
        epochs += line.startswith("Iteration")
        if "Setting learning rate to" in line:
            found.append((epochs, float(line.rsplit(" ", 1)[1])))
    return found


@pytest.mark.parametrize("solver", ["sgd", "adam", "rmsprop"])
def test_plateau_is_pytorchs(solver, capsys):
    torch = pytest.importorskip("torch")
    model = settings_of("plateau", solver=solver, max_iter=60, decay_factor=0.5)
    # Without a tolerance, for PyTorch adds up improvements that are smaller, while
    # here as in scikit-learn none of them counts.
    model.set_params(plateau_patience=3, tol=0.0, n_iter_no_change=np.inf, verbose=True)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        model.set_params(batch_size=5, random_state=0).fit(X, Y)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=0.0, min_lr=1e-4 * RATE
    )
    expected = []
    for epoch, loss in enumerate(model.loss_curve_, start=1):
        before = optimizer.param_groups[0]["lr"]
        scheduler.step(loss)
        rate = optimizer.param_groups[0]["lr"]
        if rate < before:
            expected.append((epoch, pytest.approx(rate, abs=1e-6)))
    assert lowered_after(capsys.readouterr().out) == expected
    assert len(expected) > 2


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_plateau_ends_at_its_lowest_rate(early_stopping, capsys):
    model = settings_of(
        "plateau", max_iter=1000, plateau_patience=4, n_iter_no_change=7
    )
    model.set_params(tol=0.5, early_stopping=early_stopping, random_state=0)
    model.set_params(verbose=True).fit(X, Y)
    lowered = lowered_after(capsys.readouterr().out)
    # Four factors of a tenth, and then more than seven epochs.
    assert [rate for _, rate in lowered] == [0.01, 0.001, 0.0001, 0.00001]
    assert np.all(np.diff([epoch for epoch, _ in lowered]) == 4)
    assert model.n_iter_ == lowered[-1][0] + 8


@pytest.mark.parametrize("name", ENDING)
def test_schedules_with_an_end_are_not_stopped_by_the_loss(name, recwarn):
    settings = {"tol": 1e9, "n_iter_no_change": 1, "max_iter": 30, "random_state": 0}
    model = settings_of(name, **{**settings, "learning_rate_init": 0.01}).fit(X, Y)
    # Nor is it worth a warning that all epochs were taken.
    assert model.n_iter_ == 30
    assert not [w for w in recwarn if w.category is ConvergenceWarning]
    model.set_params(early_stopping=True).fit(X, Y)
    assert model.n_iter_ < 30


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("name", ENDING)
def test_schedules_with_an_end_are_refused_by_partial_fit(name, kind):
    model = kind(learning_rate=name, max_iter=3)
    y = (Y > 0).astype(int)
    extra = {"classes": [0, 1]} if kind is MLPClassifier else {}
    message = re.escape(f"partial_fit does not support learning_rate={name!r}")
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y, **extra)
    assert not hasattr(model, "coefs_")
    model.fit(X, y)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)
    # With another schedule the training goes on, with a rate that is not used up.
    before = model.coefs_[0].copy()
    model.set_params(learning_rate="constant").partial_fit(X, y)
    assert np.abs(model.coefs_[0] - before).max() > 1e-4


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name not in ENDING])
def test_partial_fits_are_the_epochs_of_a_fit(name):
    # A patience of infinity, for partial_fit does not stop.
    model = settings_of(name, learning_rate_init=0.01, max_iter=6)
    model.set_params(shuffle=False, batch_size=13, random_state=0, warmup_epochs=1.5)
    model.set_params(n_iter_no_change=np.inf, tol=0.05)
    model.set_params(decay_epochs=2, plateau_patience=2)
    with pytest.warns(ConvergenceWarning):
        expected = model.fit(X, Y).coefs_
    other = settings_of(name).set_params(**model.get_params())
    for _ in range(6):
        other.partial_fit(X, Y)
    for mine, theirs in zip(other.coefs_, expected, strict=True):
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_history_has_the_last_rate_of_each_epoch(name):
    settings = {"batch_size": 6, "warmup_epochs": 1.5, "learning_rate_init": 0.01}
    model = settings_of(name, **settings, tol=0.0, n_iter_no_change=np.inf)
    # 'plateau' and 'adaptive' see no plateau within so few epochs.
    model.set_params(max_iter=5, plateau_patience=6, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[:50], Y[:50])
    optimizer = OptimizerState(make_optimizer_config(model), 1, float)
    for epoch, rate in enumerate(model.history_["learning_rate"]):
        assert rate == optimizer.next_rates((0, 9), 9).table[-1, 1]
        optimizer.end_epoch(50 * (epoch + 1))


def test_a_fit_begins_its_schedule_anew_with_a_warm_start():
    model = settings_of("cosine", learning_rate_init=0.01, max_iter=3, random_state=0)
    model.set_params(warm_start=True).fit(X, Y)
    first = model.coefs_[0].copy()
    model.fit(X, Y)
    assert np.abs(model.coefs_[0] - first).max() > 1e-3


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("row", SCHEDULES.values(), ids=SCHEDULES)
def test_rows_are_documented(row, kind):
    assert SCHEDULES[row.name] is row
    text = re.sub(r"\s+", " ", kind.__doc__)
    assert f"- {row.name!r}: {row.about}" in text
