"""Dropout, noise and limits of norms: what they do on average, and to the digit.

That the kernels do as the reference does is the business of `test_combinations`; here
both are held against what the literature says of them.
"""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from rule_runners import row_of
from scipy import sparse, special, stats

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, Regularization, cpu, reference
from skmlp.network import Network, layout, norm_state, views
from skmlp.rules.randomness import is_kept, key_of, normal_of, threshold_of, word_of
from skmlp.segments import step_table

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
both_backends = pytest.mark.parametrize(
    "backend", [reference, cpu], ids=["reference", "cpu"]
)
SQUARED = row_of("squared_error-identity")
N_ROWS, N_FEATURES, N_UNITS = 40, 6, 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, N_FEATURES))
Y = RNG.normal(size=(N_ROWS, 1))
N_NUMBERS = 100_000
NUMBERS = np.arange(N_NUMBERS, dtype=np.uint32)


def masks(rate, seed=0, step=0, layer=1):
    with np.errstate(over="ignore"):
        return is_kept(key_of(seed, step, layer), NUMBERS, threshold_of(rate))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.8, 0.99])
def test_masks_keep_their_share(rate):
    kept = [masks(rate, *key).mean() for key in product((0, 7), (0, 1, 999), (1, 2))]
    deviation = np.sqrt(rate * (1 - rate) / N_NUMBERS)
    assert np.max(np.abs(np.array(kept) - (1 - rate))) < 4 * deviation + 2**-16
    assert np.std(kept) > 0


def test_masks_know_nothing_of_each_other():
    """Neither the next element's, nor another seed's, step's or layer's."""
    some = masks(0.5)
    others = [masks(0.5, seed=1), masks(0.5, step=1), masks(0.5, layer=2)]
    others += [np.roll(some, shift) for shift in (1, 2, 30, 64, 100, 128)]
    for other in others:
        assert abs(np.corrcoef(some, other)[0, 1]) < 4 / np.sqrt(N_NUMBERS)


def normal_numbers(dtype):
    with np.errstate(over="ignore"):
        words = word_of(key_of(1, 0, 0), NUMBERS)
        return words, np.array([normal_of(word, dtype(1)) for word in words])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_of_the_normal_distribution(dtype):
    words, noise = normal_numbers(dtype)
    assert noise.dtype == dtype
    share = (words.astype(np.int64) % 2**31 + 0.5) / 2**31
    sign = np.where(words >= 2**31, -1, 1)
    assert_allclose(noise, sign * special.ndtri(share / 2), rtol=1e-5, atol=1e-6)
    assert stats.kstest(noise, "norm").pvalue > 0.01
    assert abs(noise.mean()) < 4 / np.sqrt(N_NUMBERS)
    assert_allclose(noise.std(), 1, atol=4 / np.sqrt(2 * N_NUMBERS))
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 4 / np.sqrt(N_NUMBERS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("word", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_noise_is_finite_for_every_word(word, dtype):
    found = normal_of(np.uint32(word), dtype(0.5))
    assert type(found) is dtype
    assert abs(found) < 3.5


def linear_problem(n_hidden, **regularization):
    """A linear network, of whose losses the mean over all masks is known."""
    network = Network(
        (N_FEATURES, *[N_UNITS] * n_hidden, 1),
        *(("identity",) * n_hidden, SQUARED, "identity"),
    )
    extras = Regularization(seed=5, **regularization)
    problem = Problem(network, X, Y, None, np.arange(N_ROWS), 0.0, extras)
    vector = np.random.default_rng(1).normal(size=layout(network).size) * 0.5
    return problem, vector


def losses_of_steps(backend, problem, vector, n_steps):
    """Losses of some steps of size zero: only masks and noise differ."""
    slots = np.zeros((1, vector.size))
    optimizer = SimpleNamespace(name="sgd", slots=slots, hyper=(0.0, 1.0, 0.0))
    rates = step_table(2 * [(0.0,)])
    with backend.open_session(problem, vector, 1) as session:
        found = [
            session.train(*(optimizer, problem.row_ids, N_ROWS, (0, 1)), rates, 0.0)
            for _ in range(n_steps)
        ]
        assert_array_equal(session.params, vector)
    return np.array(found) / N_ROWS


def assert_mean(losses, expected):
    error = np.std(losses) / np.sqrt(len(losses))
    assert error > 0
    assert abs(np.mean(losses) - expected) < 4 * error
    assert error < 0.02 * expected


@both_backends
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_is_a_ridge_penalty_on_average(backend, rate):
    """Of a linear model, by the squares of what is dropped (Wager et al., 2013)."""
    problem, vector = linear_problem(1, dropout=(rate,))
    (first, last), (bias, last_bias) = views(problem.network, vector)
    hidden = X @ first + bias
    error = hidden @ last + last_bias - Y
    penalty = rate / (1 - rate) * (hidden**2 @ last**2)
    expected = 0.5 * np.mean(error**2 + penalty)
    assert_mean(losses_of_steps(backend, problem, vector, 800), expected)


@both_backends
def test_each_layer_has_its_own_rate(backend):
    problem, vector = linear_problem(2, dropout=(0.0, 0.4))
    coefs, intercepts = views(problem.network, vector)
    hidden = (X @ coefs[0] + intercepts[0]) @ coefs[1] + intercepts[1]
    error = hidden @ coefs[2] + intercepts[2] - Y
    expected = 0.5 * np.mean(error**2 + 0.4 / 0.6 * (hidden**2 @ coefs[2] ** 2))
    assert_mean(losses_of_steps(backend, problem, vector, 800), expected)


@both_backends
def test_noise_is_a_ridge_penalty_on_average(backend):
    """Bishop (1995), "Training with noise is equivalent to Tikhonov regularization"."""
    problem, vector = linear_problem(0, input_noise=0.7)
    (coef,), (bias,) = views(problem.network, vector)
    error = X @ coef + bias - Y
    expected = 0.5 * (np.mean(error**2) + 0.7**2 * np.sum(coef**2))
    n_steps = 100 if backend is reference else 1000  # it draws number by number
    assert_mean(losses_of_steps(backend, problem, vector, n_steps), expected)


def first_step(backend, problem, vector):
    """Loss of the first step, and the gradient that it takes."""
    slots = np.zeros((1, vector.size))
    optimizer = SimpleNamespace(name="sgd", slots=slots, hyper=(0.0, 1.0, 0.0))
    with backend.open_session(problem, vector, 1) as session:
        rates = step_table(2 * [(0.0, 1.0)])
        loss = session.train(optimizer, problem.row_ids, N_ROWS, (0, 1), rates, 0.0)
        return loss / N_ROWS, vector - session.params


@both_backends
@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
@pytest.mark.parametrize("names", [("tanh", "silu"), ("softmax", "identity")])
def test_the_way_back_has_the_masks_and_the_noise_of_the_way_forward(
    backend, names, normalization
):
    network = Network(
        (N_FEATURES, 5, 4, 1),
        *(names, SQUARED, "identity"),
        normalization=normalization,
    )
    extras = Regularization(dropout=(0.4, 0.3), input_noise=0.3, seed=3)
    problem = Problem(network, X, Y, None, np.arange(N_ROWS), 0.1, extras)
    vector = np.random.default_rng(1).normal(size=layout(network).size)
    for part in norm_state(network, vector).parts:
        part[:] = 1.5
    _, gradient = first_step(backend, problem, vector)
    for i in range(layout(network).n_trained):
        step = np.zeros_like(vector)
        step[i] = 1e-6
        above, _ = first_step(backend, problem, vector + step)
        below, _ = first_step(backend, problem, vector - step)
        assert_allclose(gradient[i], (above - below) / 2e-6, rtol=1e-4, atol=1e-7)


ESTIMATORS = [
    (MLPRegressor, X[:, 0] * X[:, 1]),
    (MLPClassifier, np.digitize(X[:, 0], [-0.5, 0.5])),
]
every_estimator = pytest.mark.parametrize(("kind", "y"), ESTIMATORS)
SMALL = {"hidden_layer_sizes": (8, 5), "random_state": 0, "max_iter": 5}


def weights_of(model):
    parts = [*model.coefs_, *model.intercepts_]
    return np.concatenate([part.ravel() for part in parts])


@every_estimator
def test_predictions_drop_nothing(kind, y):
    model = kind(activation="tanh", dropout=0.5, input_noise=0.5, **SMALL).fit(X, y)
    hidden = X
    for coef, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.tanh(hidden @ coef + bias)
    expected = hidden @ model.coefs_[-1] + model.intercepts_[-1]
    if expected.shape[1] > 1 and kind is MLPClassifier:
        expected = special.softmax(expected, axis=1)
        found = model.predict_proba(X)
    elif kind is MLPClassifier:
        found = model.decision_function(X)
    else:
        found = model.predict(X)
    assert_allclose(found.reshape(expected.shape), expected, rtol=1e-10)


@every_estimator
@pytest.mark.parametrize("settings", [{"dropout": 0.5}, {"input_noise": 0.5}])
def test_masks_and_noise_follow_from_the_random_state(kind, y, settings):
    one, same, without = (
        weights_of(kind(**SMALL, **others).fit(X, y))
        for others in (settings, settings, {})
    )
    assert_array_equal(one, same)
    assert not np.array_equal(one, without)


def test_rates_of_zero_draw_nothing():
    y = X[:, 0]
    plain = weights_of(MLPRegressor(**SMALL).fit(X, y))
    rates = {"dropout": [0.0, 0.0], "input_noise": 0.0}
    assert_array_equal(weights_of(MLPRegressor(**SMALL, **rates).fit(X, y)), plain)


@every_estimator
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_unit_has_weights_beyond_the_largest_norm(kind, y, dtype):
    settings = {**SMALL, "learning_rate_init": 0.1, "max_iter": 30, "dtype": dtype}
    free = kind(**settings).fit(X, y)
    limited = kind(max_norm=1.5, **settings).fit(X, y)
    sizes = [np.linalg.norm(coef, axis=0) for coef in limited.coefs_]
    assert max(map(np.max, sizes)) == pytest.approx(1.5, rel=1e-5)
    # Others are smaller and stay so: a norm is a limit, and no target.
    assert min(map(np.min, sizes)) < 1.4
    assert max(np.linalg.norm(coef, axis=0).max() for coef in free.coefs_) > 1.6
    assert max(np.linalg.norm(bias) for bias in limited.intercepts_) > 0


@every_estimator
def test_the_gradients_norm_is_cut_and_not_its_direction(kind, y):
    settings = {**SMALL, "solver": "sgd", "momentum": 0.0, "max_iter": 1}
    start, free, cut, loose = (
        weights_of(kind(**settings, **others).fit(X, y))
        for others in (
            {"learning_rate_init": 1e-300},
            {"learning_rate_init": 0.5},
            {"learning_rate_init": 0.5, "max_grad_norm": 1e-3},
            {"learning_rate_init": 0.5, "max_grad_norm": 1e3},
        )
    )
    assert np.linalg.norm(free - start) > 0.5e-2
    assert np.linalg.norm(cut - start) == pytest.approx(0.5e-3, rel=1e-6)
    ratio = np.linalg.norm(cut - start) / np.linalg.norm(free - start)
    assert_allclose(cut - start, ratio * (free - start), rtol=1e-5, atol=1e-12)
    assert_allclose(loose, free, rtol=1e-12)


@every_estimator
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", "lion"])
def test_without_intercepts_there_are_none(kind, y, solver):
    model = kind(fit_intercept=False, solver=solver, **SMALL).fit(X, y)
    assert not any(np.any(bias) for bias in model.intercepts_)
    at_zero = model._outputs(np.zeros((1, N_FEATURES)), "identity")
    assert_array_equal(at_zero, np.zeros_like(at_zero))


OF_STEPS = {
    "dropout": 0.5,
    "input_noise": 0.1,
    "max_norm": 1.0,
    "max_grad_norm": 1.0,
    "weight_decay": 0.1,
    "normalization": "batch",
}


@every_estimator
@pytest.mark.parametrize("name", OF_STEPS)
def test_lbfgs_refuses_what_is_done_in_steps(kind, y, name):
    model = kind(solver="lbfgs", **SMALL).fit(X, y)
    before = weights_of(model)
    with pytest.raises(ValueError, match=rf"{name}.* needs a stochastic solver"):
        model.set_params(**{name: OF_STEPS[name]}).fit(X, y)
    assert_array_equal(weights_of(model), before)


def test_noise_on_sparse_data_is_refused():
    model = MLPRegressor(input_noise=0.1, **SMALL)
    with pytest.raises(ValueError, match=r"input_noise=0\.1 needs dense X"):
        model.fit(sparse.csr_array(X), X[:, 0])
