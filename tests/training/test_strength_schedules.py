"""Schedules of weight decay and dropout: by step, in every backend."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from rule_runners import row_of
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, Regularization, cpu, reference
from skmlp.exceptions import IneffectiveParameterWarning
from skmlp.network import Network, layout
from skmlp.rules.randomness import threshold_of
from skmlp.rules.schedules import SCHEDULES
from skmlp.segments import split_table
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

X = np.random.default_rng(0).normal(size=(60, 4))
Y = X[:, 0] * X[:, 1] + X[:, 2]
BOTH = {"weight_decay_schedule": "flat_cosine", "dropout_schedule": "flat_cosine"}
USUAL = {
    "hidden_layer_sizes": (9, 5),
    "max_iter": 6,
    "batch_size": 13,
    "random_state": 0,
    "learning_rate_init": 0.01,
}


@pytest.fixture(autouse=True)
def no_limits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def regressor(**settings):
    return MLPRegressor(**{**USUAL, **settings})


def flat(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


def flat_cosine(share):
    falling = (1 + np.cos(np.pi * (2 * share - 1))) / 2
    return np.where(share < 0.5, 1.0, falling)


@pytest.mark.parametrize("warmup", [0.0, 1.5])
def test_strengths_of_each_step(warmup):
    """A warmup changes the rate only: strengths are counted from the beginning."""
    settings = regressor(**BOTH, weight_decay=0.3, warmup_epochs=warmup)
    settings.set_params(learning_rate="cosine")
    optimizer = OptimizerState(make_optimizer_config(settings), 1, float)
    tables = []
    for _ in range(6):
        tables += [optimizer.next_rates(span, 5).table for span in ((0, 2), (2, 5))]
        optimizer.end_epoch(60)
    found = split_table(np.concatenate(tables))
    strengths = flat_cosine(np.arange(30) / 30)
    assert_allclose(found.dropout, strengths, rtol=1e-12)
    plain = settings.set_params(weight_decay_schedule="constant")
    optimizer = OptimizerState(make_optimizer_config(plain), 1, float)
    rates = split_table(optimizer.next_rates((0, 30), 5).table).decays[:, 0]
    assert_allclose(found.decays[:, 0], rates * strengths, rtol=1e-12)
    assert_array_equal(found.decays[:, 1], 0)


def train(backend, dtype=np.float64, *, n_jobs=1, several=False, normalization=None):
    """Losses and parameters of two epochs, in calls of some steps or all at once."""
    row = row_of("log_loss-softmax-labels")
    network = Network(
        *((4, 9, 5, 4), ("tanh", "relu"), row, row.output), normalization=normalization
    )
    problem = Problem(
        *(network, X.astype(dtype), np.arange(60).reshape(-1, 1).astype(dtype) % 4),
        sample_weight=None,
        row_ids=np.arange(60),
        alpha=0.3,
        regularization=Regularization(
            dropout=(0.5, 0.3), seed=3, first_step=7, has_dropout_schedule=True
        ),
    )
    size = layout(network).size
    vector = (np.random.default_rng(1).normal(size=size) * 0.5).astype(dtype)
    vector[layout(network).n_trained :] = 1
    optimizer = make_optimizer("adam", size, dtype, max_iter=2, **BOTH)
    order = np.random.default_rng(2).permutation(60)
    with backend.open_session(problem, vector, n_jobs) as session:
        if several:
            rates = optimizer.next_rates((0, 10), 5).table
            orders = np.stack([order, order])
            totals = session.train_epochs(optimizer, orders, 13, rates)
            return np.array(totals), np.array(session.params)
        totals = []
        for _ in range(2):
            total = 0.0
            for span in pairwise((0, 1, 3, 5)):
                rates = optimizer.next_rates(span, 5).table
                total = session.train(optimizer, order, 13, span, rates, total)
            optimizer.end_epoch(60)
            totals.append(total)
        return np.array(totals), np.array(session.params)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-3), (np.float64, 1e-9)])
@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
def test_dropout_equals_the_reference(normalization, dtype, rtol):
    settings = {"normalization": normalization}
    expected = train(reference, **settings)
    got = train(cpu, dtype, **settings)
    for mine, theirs in zip(got, expected, strict=True):
        assert_allclose(mine, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max())
    for other in ({"n_jobs": 2}, {"several": True}):
        again = train(cpu, dtype, **settings, **other)
        for mine, theirs in zip(again, got, strict=True):
            assert_array_equal(mine, theirs)


def test_thresholds_of_many_rates():
    rates = np.array([[0.0, 0.3], [0.5, np.nextafter(1, 0)]])
    found = threshold_of(rates)
    assert found.dtype == np.uint32
    expected = [0, round(0.3 * 2**32), 2**31, 2**32 - 1]
    assert_array_equal(found.ravel(), expected)
    assert [threshold_of(rate) for rate in rates.ravel().tolist()] == expected


def test_an_early_end_of_both_changes_the_second_half_only():
    strengths = {"dropout": 0.3, "weight_decay": 0.5}
    plain = regressor(**strengths, max_iter=40).fit(X, Y)
    scheduled = regressor(**strengths, **BOTH, max_iter=40).fit(X, Y)
    assert scheduled.loss_curve_[:20] == plain.loss_curve_[:20]
    assert scheduled.loss_curve_[-1] < 0.9 * plain.loss_curve_[-1]


@pytest.mark.parametrize("extras", [{"normalization": "batch"}, {"max_grad_norm": 1.0}])
def test_resuming_is_as_if_it_had_not_ended(extras):
    settings = {**BOTH, **extras, "dropout": (0.3, 0.0), "weight_decay": 0.5}
    settings |= {"n_iter_no_change": np.inf, "tol": 0.0}
    whole = regressor(**settings).fit(X, Y)
    part = regressor(**settings, max_time=1e-9).fit(X, Y)
    assert part.n_iter_ < 6
    part.set_params(max_time=None).resume(X, Y)
    assert_array_equal(flat(part), flat(whole))
    with pytest.raises(ValueError, match="ends with epoch 6"):
        regressor(**settings).fit(X, Y).resume(X, Y, max_iter=8)


@pytest.mark.parametrize("parameter", BOTH)
def test_partial_fit_refuses_what_has_an_end(parameter):
    settings = {"dropout": 0.3, "weight_decay": 0.5, parameter: "flat_cosine"}
    model = regressor(**settings)
    message = re.escape(f"does not support {parameter}='flat_cosine'")
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, Y)
    model.fit(X, Y)
    # Without it the training goes on, with its whole strength.
    model.set_params(**{parameter: "constant"}).partial_fit(X, Y)
    factors = split_table(model._optimizer.next_rates((0, 1), 1).table)
    assert factors.dropout == 1
    assert factors.decays[0, 0] == 0.5 * 0.01


@pytest.mark.parametrize("parameter", BOTH)
def test_only_schedules_for_strengths_are_allowed(parameter):
    allowed = {name for name, row in SCHEDULES.items() if row.for_strengths}
    assert allowed == {"constant", "flat_cosine"}
    for name in ("cosine", "nonsense", None):
        for method in ("fit", "partial_fit"):
            model = MLPClassifier(**{parameter: name})
            more = {} if method == "fit" else {"classes": [False, True]}
            with pytest.raises(ValueError, match=parameter):
                getattr(model, method)(X, Y > 0, **more)


def test_what_has_no_effect_is_said():
    for parameter, strength in (
        ("weight_decay_schedule", "weight_decay"),
        ("dropout_schedule", "dropout"),
    ):
        with pytest.warns(IneffectiveParameterWarning, match=f"without {strength}"):
            regressor(**{parameter: "flat_cosine"}).fit(X, Y)
