"""Factors of the learning rate: by layer, and of the biases.

The reference is compared with plain NumPy, and the kernels with the reference.
"""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from rule_runners import row_of
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, cpu, reference
from skmlp.backends.cpu import plan
from skmlp.exceptions import IneffectiveParameterWarning
from skmlp.network import Network, layout
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import Segment, segment_at, segments_of, split_table
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = X[:, 0] * X[:, 1] + X[:, 2]
NETWORK = Network((4, 6, 5, 1), ("tanh", "relu"), row_of("squared_error-identity"), "")
FACTORS = (0.5, 2.0, 0.25)
USUAL = {
    "hidden_layer_sizes": (6, 5),
    "max_iter": 5,
    "batch_size": 13,
    "random_state": 0,
    "weight_decay": 0.1,
    "learning_rate_init": 0.01,
}


@pytest.fixture(autouse=True)
def no_limits():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def flat(model):
    return np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])


def regressor(**settings):
    return MLPRegressor(**{**USUAL, **settings})


def test_segments_of_a_network():
    offsets = layout(NETWORK)
    assert segments_of(NETWORK) == (
        Segment(0, 59, 1.0, 1.0),
        Segment(59, offsets.n_trained, 1.0, 0.0),
    )
    found = segments_of(NETWORK, (0.5, 0.5, 2), 0.1)
    assert found == (
        Segment(0, 54, 0.5, 1.0),
        Segment(54, 59, 2.0, 1.0),
        Segment(59, offsets.n_trained, 0.1, 0.0),
    )
    assert [segment_at(found, i) for i in (0, 53, 54, 58, 59)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_the_table_has_the_coefficients_of_each_rate(solver):
    """To the bit those of an optimizer with that rate, but for the weight decay."""

    def table(rate, segments=()):
        settings = MLPRegressor(
            solver=solver, learning_rate_init=rate, weight_decay=0.3
        )
        config = make_optimizer_config(settings, segments)
        return split_table(OptimizerState(config, 1, float).next_rates((0, 9), 9).table)

    found, plain = table(0.25, segments_of(NETWORK, FACTORS, 0.0)), table(0.25)
    assert_array_equal(found.decays[:, :3], np.tile(plain.decays[:, :1], 3))
    assert_array_equal(found.decays[:, 3], 0)
    for i, factor in enumerate((*FACTORS, 0.0)):
        expected = table(0.25 * factor).coefficients[:, 0] if factor else 0.0
        if factor:
            assert_array_equal(found.coefficients[:, i], expected)


def train(backend, solver, segments, dtype=np.float64, *, n_jobs=1, **others):
    network = NETWORK._replace(**others)
    problem = Problem(
        *(network, X.astype(dtype), Y.astype(dtype).reshape(-1, 1), None),
        row_ids=np.arange(60),
        alpha=0.3,
        given_segments=segments,
    )
    size = layout(network).size
    vector = (np.random.default_rng(1).normal(size=size) * 0.5).astype(dtype)
    vector[layout(network).n_trained :] = 1
    optimizer = make_optimizer(solver, size, dtype, segments)
    losses, order = [], np.random.default_rng(2).permutation(60)
    with backend.open_session(problem, vector, n_jobs) as session:
        for span in ((0, 2), (2, 5)):
            rates = optimizer.next_rates(span, 5).table
            losses.append(session.train(optimizer, order, 13, span, rates, 0.0))
        return np.array(losses), np.array(session.params), optimizer.slots


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-3), (np.float64, 1e-9)])
@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_kernels_equal_the_reference(monkeypatch, solver, dtype, rtol, in_blocks):
    monkeypatch.setattr(plan, "reduces_in_blocks", lambda *shape: in_blocks)
    monkeypatch.setattr(plan, "_MIN_RANGE", 8)
    segments = segments_of(NETWORK, FACTORS, 0.1)
    expected = train(reference, solver, segments)
    got = train(cpu, solver, segments, dtype)
    for mine, theirs in zip(got, expected, strict=True):
        atol = rtol * np.abs(theirs).max()
        assert_allclose(mine, theirs, rtol=rtol, atol=atol)
    without = train(reference, solver, ())
    assert np.abs(expected[1] - without[1]).max() > 1e-5
    for mine, theirs in zip(
        train(cpu, solver, segments, dtype, n_jobs=2), got, strict=True
    ):
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize("intercepts", [False, True])
@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_scales_have_the_factor_of_the_biases(normalization, intercepts):
    settings = {"normalization": normalization, "intercepts": intercepts}
    network = NETWORK._replace(**settings)
    segments = segments_of(network, FACTORS, 0.0)
    expected = train(reference, "adam", segments, **settings)
    for mine, theirs in zip(
        train(cpu, "adam", segments, **settings), expected, strict=True
    ):
        assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    offsets = layout(network)
    start = np.random.default_rng(1).normal(size=offsets.size) * 0.5
    fixed = slice(offsets.bias_offsets[0], offsets.n_trained)
    assert_array_equal(expected[1][fixed], start[fixed])


@pytest.mark.parametrize("extras", [{"max_grad_norm": 0.5}, {"max_norm": 0.4}])
def test_clipped_training_has_the_factors(extras):
    biases = regressor(bias_learning_rate_factor=0, **extras).fit(X, Y).intercepts_
    start = regressor(max_iter=1, learning_rate_init=1e-300).fit(X, Y).intercepts_
    for mine, theirs in zip(biases, start, strict=True):
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_factors_of_one_change_no_bit(solver):
    usual = regressor(solver=solver).fit(X, Y)
    ones = regressor(
        solver=solver, learning_rate_factors=[1, 1, 1], bias_learning_rate_factor=1
    )
    assert_array_equal(flat(ones.fit(X, Y)), flat(usual))


def test_the_rates_of_ntk_with_adam_by_hand():
    """A linear model with a hidden identity layer, all rows in each batch."""
    settings = {"activation": "identity", "hidden_layer_sizes": 3, "alpha": 0.0}
    settings |= {"batch_size": 60, "max_iter": 7, "shuffle": False}
    rate, decay = USUAL["learning_rate_init"], USUAL["weight_decay"]
    start = regressor(**settings | {"max_iter": 1, "learning_rate_init": 1e-300})
    start.fit(X, Y)
    params = [*start.coefs_, *start.intercepts_]
    # The first step at a rate of nearly zero has not decayed them either.
    moments = [(0.0, 0.0) for _ in params]
    factors = [1 / np.sqrt(4), 1 / np.sqrt(3), 0.1, 0.1]
    for t in range(1, 8):
        w1, w2, b1, b2 = params
        hidden = X @ w1 + b1
        delta = (hidden @ w2 + b2 - Y[:, None]) / 60
        back = delta @ w2.T
        gradients = [X.T @ back, hidden.T @ delta, back.sum(0), delta.sum(0)]
        for i, g in enumerate(gradients):
            m, v = moments[i]
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            moments[i] = m, v
            step = rate * factors[i] * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            shrunk = params[i] * (1 - rate * decay * (i < 2))
            params[i] = shrunk - step * m / (np.sqrt(v) + 1e-8)
    model = regressor(
        **settings, learning_rate_factors="ntk", bias_learning_rate_factor=0.1
    )
    model.fit(X, Y)
    expected = np.concatenate([part.ravel() for part in params])
    assert_allclose(flat(model), expected, rtol=1e-9, atol=1e-12)


def test_ntk_is_the_list_of_factors():
    listed = [1 / np.sqrt(units) for units in (4, 6, 5)]
    for factors in (listed, tuple(listed), np.array(listed)):
        model = regressor(learning_rate_factors=factors).fit(X, Y)
        expected = regressor(learning_rate_factors="ntk").fit(X, Y)
        assert_array_equal(flat(model), flat(expected))


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([1.0, 2.0], "one a layer, the output layer included, got 2: "),
        ([[1.0, 2.0, 3.0]], "one a layer, the output layer included, got "),
        ([1.0, [2.0], 3.0], "one a layer, the output layer included, got "),
        ([1.0, -2.0, 3.0], "must be positive and finite"),
        ([1.0, 0.0, 3.0], "must be positive and finite"),
        ([1.0, np.nan, 3.0], "must be positive and finite"),
        ([1.0, np.inf, 3.0], "must be positive and finite"),
        (["1", "2", "3"], "must be positive and finite"),
        ("mup", "learning_rate_factors"),
        (0.5, "learning_rate_factors"),
    ],
)
def test_refused_factors(factors, message):
    with pytest.raises(ValueError, match=message):
        regressor(learning_rate_factors=factors).fit(X, Y)


@pytest.mark.parametrize("factor", [-0.1, np.nan, "ntk", None])
def test_refused_factors_of_biases(factor):
    with pytest.raises(ValueError, match="bias_learning_rate_factor"):
        regressor(bias_learning_rate_factor=factor).fit(X, Y)


def test_what_has_no_effect_is_said():
    settings = {"solver": "lbfgs", "hidden_layer_sizes": (3,), "max_iter": 5}
    for name, value in (
        ("learning_rate_factors", "ntk"),
        ("learning_rate_factors", [1.0, 2.0]),
        ("bias_learning_rate_factor", 0.1),
    ):
        with pytest.warns(IneffectiveParameterWarning, match=name):
            MLPRegressor(**settings, **{name: value}).fit(X, Y)
    with pytest.warns(IneffectiveParameterWarning, match="without biases"):
        regressor(fit_intercept=False, bias_learning_rate_factor=0.1).fit(X, Y)


def test_partial_fits_are_the_epochs_of_a_fit():
    settings = {"learning_rate_factors": "ntk", "bias_learning_rate_factor": 0.2}
    settings |= {"shuffle": False, "n_iter_no_change": np.inf}
    expected = regressor(**settings).fit(X, Y)
    model = regressor(**settings)
    for i in range(5):
        model.partial_fit(X, Y)
        if i == 1:
            # The optimizer is that of the first call, as with other parameters.
            model = pickle.loads(pickle.dumps(model))
            model.set_params(learning_rate_factors=None)
    assert_array_equal(flat(model), flat(expected))


def test_resuming_and_warm_starts():
    settings = {"learning_rate_factors": FACTORS, "n_iter_no_change": np.inf}
    whole = regressor(**settings).fit(X, Y)
    part = pickle.loads(pickle.dumps(regressor(**settings, max_iter=2).fit(X, Y)))
    assert_array_equal(flat(part.resume(X, Y, max_iter=5)), flat(whole))
    warm = regressor(**settings, warm_start=True).fit(X, Y)
    frozen = [b.copy() for b in warm.intercepts_]
    warm.set_params(bias_learning_rate_factor=0.0).fit(X, Y)
    for mine, before in zip(warm.intercepts_, frozen, strict=True):
        assert_array_equal(mine, before)


def test_clones_and_classifiers():
    model = MLPClassifier(**USUAL, learning_rate_factors=[0.5, 1, 2])
    assert clone(model).get_params()["learning_rate_factors"] == [0.5, 1, 2]
    model.fit(X, Y > 0)
    assert np.isfinite(model.loss_)
