"""Rows drawn by class or by weight have the gradient of the weighted loss.

One row of 476 is positive. The reference backend gives the gradient of every row, so
that expectations over draws are sums, exact but for rounding.
"""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, reference
from skmlp.estimators.row_sampling import drawn
from skmlp.exceptions import IneffectiveParameterWarning
from skmlp.network import Network, init_params
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.losses import BINARY_LOSSES, MULTICLASS_LOSSES
from skmlp.training.sampling import Drawn, Shuffled

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(0)
N_ROWS, N_POSITIVES = 952, 2
X = RNG.normal(size=(N_ROWS, 3))
Y = np.zeros(N_ROWS)
Y[RNG.choice(N_ROWS, N_POSITIVES, replace=False)] = 1
BY_CLASS = np.where(Y == 1, N_ROWS / (2 * N_POSITIVES), N_ROWS / (2 * (N_ROWS - 2)))
BY_ROW = RNG.uniform(0.2, 3.0, N_ROWS)


def problem_of(weights=None, *, targets=Y, loss=BINARY_LOSSES["log_loss", "logistic"]):
    columns = 1 if not loss.labels else 3
    network = Network((3, 4, columns), ("tanh",), loss, loss.output)
    targets = np.asarray(targets, dtype=float).reshape(-1, 1)
    return Problem(network, X, targets, weights, np.arange(N_ROWS), 0.0)


def params_of(problem):
    initializer = INITIALIZERS["sklearn_uniform"]
    generator = np.random.RandomState(1)
    return init_params(problem.network, [initializer] * 2, generator, np.float64)


def full_gradient(problem):
    return reference.Session(problem, params_of(problem)).loss_and_gradient(
        params_of(problem)
    )


def row_gradients(problem):
    """Gradient of each row as a minibatch of one, as the training computes it."""
    params = params_of(problem)
    session = reference.Session(problem, params)
    scale = 1.0 / problem.mean_sample_weight
    batches = (session._batch(params, np.array([i]), scale) for i in range(N_ROWS))
    losses, gradients, _ = zip(*batches, strict=True)
    return np.array(losses), np.array(gradients)


# The weights of the rows, how rows are drawn, and the weights of the same gradient.
CASES = {
    "weights": (BY_CLASS, "weights", BY_CLASS),
    "classes": (None, "balanced", BY_CLASS),
    "classes and weights": (BY_ROW, "balanced", BY_ROW * BY_CLASS),
    "both weights": (BY_ROW * BY_CLASS, "weights", BY_ROW * BY_CLASS),
}


@pytest.mark.parametrize("case", CASES)
def test_the_expected_gradient_is_that_of_the_weighted_loss(case):
    weights, sampling, equal = CASES[case]
    found = drawn(problem_of(weights), sampling, Y)
    losses, gradients = row_gradients(found.problem)
    probabilities = found.shares / found.shares.sum()
    loss, gradient = full_gradient(problem_of(equal))
    assert_allclose(probabilities @ losses, loss, rtol=1e-12)
    assert_allclose(probabilities @ gradients, gradient, rtol=1e-11, atol=1e-14)
    loss, gradient = full_gradient(found.objective)
    assert_allclose(probabilities @ losses, loss, rtol=1e-12)
    assert_allclose(probabilities @ gradients, gradient, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("case", CASES)
def test_the_mean_gradient_of_many_minibatches(case):
    weights, sampling, equal = CASES[case]
    found = drawn(problem_of(weights), sampling, Y)
    _, gradients = row_gradients(found.problem)
    orders = Drawn(np.arange(N_ROWS), np.random.RandomState(2), found.shares)
    # A minibatch's gradient is the mean of its rows'.
    batches = orders.next(50).reshape(-1, 34)
    means = gradients[batches].mean(axis=1)
    errors = means.mean(axis=0) - full_gradient(problem_of(equal))[1]
    assert np.all(np.abs(errors) < 5 * means.std(axis=0) / np.sqrt(len(means)))


@pytest.mark.parametrize("weights", [BY_CLASS, BY_ROW * BY_CLASS])
def test_the_mean_gradient_of_one_shuffled_epoch(weights):
    problem = problem_of(weights)
    _, gradients = row_gradients(problem)
    order = Shuffled(np.arange(N_ROWS), np.random.RandomState(2)).next(1)
    means = gradients[order.reshape(-1, 34)].mean(axis=1)
    assert_allclose(means.mean(axis=0), full_gradient(problem)[1], rtol=1e-11)


def test_one_step_is_that_of_the_mean_of_its_rows():
    """What the two tests above take for a minibatch's gradient is what steps use."""
    problem = drawn(problem_of(BY_ROW), "balanced", Y).problem
    _, gradients = row_gradients(problem)
    session = reference.Session(problem, params_of(problem))
    rows = np.array([3, 3, 8, 1])
    scale = 1.0 / (problem.mean_sample_weight * len(rows))
    gradient = session._batch(params_of(problem), rows, scale)[1]
    assert_allclose(gradient, gradients[rows].mean(axis=0), rtol=1e-12)


def test_several_classes():
    loss = MULTICLASS_LOSSES["log_loss", "softmax"]
    y = np.array([0, 0, 1, 2] * 238)
    y[::7] = 0
    weights = (N_ROWS / (3 * np.bincount(y)))[y]
    found = drawn(problem_of(BY_ROW, targets=y, loss=loss), "balanced", y)
    _, gradients = row_gradients(found.problem)
    expected = full_gradient(problem_of(weights * BY_ROW, targets=y, loss=loss))[1]
    probabilities = found.shares / found.shares.sum()
    assert_allclose(probabilities @ gradients, expected, rtol=1e-11, atol=1e-14)


def test_the_penalty_is_that_of_the_weights():
    weighted = problem_of(10 * BY_ROW)._replace(alpha=0.3)
    found = drawn(weighted, "weights", None).problem
    rows = np.array([1, 5])
    params = params_of(weighted)
    penalties = []
    for problem in (weighted, found):
        session = reference.Session(problem, params)
        penalties.append(session._batch(params, rows, 0.0)[0])
    assert penalties[0] > 0
    assert_allclose(*penalties, rtol=1e-12)


def test_rows_are_drawn_by_their_shares():
    rows = np.array([7, 3, 9, 5])
    shares = np.array([1.0, 2.0, 4.0, 1.0])
    orders = Drawn(rows, np.random.RandomState(0), shares)
    counts = np.bincount(orders.next(20_000).ravel(), minlength=10)
    assert counts.sum() == counts[rows].sum() == 80_000
    deviations = np.sqrt(80_000 * (shares / 8) * (1 - shares / 8))
    assert np.all(np.abs(counts[rows] - 10_000 * shares) < 4 * deviations)


def test_skipped_epochs_are_those_that_were_drawn():
    shares = np.arange(1.0, 6)
    first, second = (
        Drawn(np.arange(5), np.random.RandomState(4), shares) for _ in "ab"
    )
    epochs = first.next(7).copy()
    second.skip(3)
    assert_array_equal(second.next(4), epochs[3:])


SHARES = {
    "one": np.ones(1),
    "even": np.full(1000, 0.1),
    "any": RNG.uniform(0.1, 3.0, 1025),
    "rare": np.where(np.arange(1000) % 475 == 3, 475.0, 1.0),
    "next to none": np.r_[np.full(500, 1e-12), 1.0, np.full(500, 1e-12)],
    "growing": np.geomspace(1e-9, 1e9, 777),
}


@pytest.mark.parametrize("name", SHARES)
def test_places_are_those_of_a_binary_search(name):
    shares = SHARES[name]
    orders = Drawn(np.arange(len(shares)), np.random.RandomState(0), shares)
    cumulative = np.cumsum(shares)
    ends = cumulative[:-1] / cumulative[-1]
    drawn = np.concatenate(
        [[0.0], RNG.random(5000), ends, np.nextafter(ends, 0), np.arange(64) / 64]
    )
    expected = np.searchsorted(cumulative, drawn * cumulative[-1], side="right")
    assert_array_equal(orders._places(drawn), np.minimum(expected, len(shares) - 1))


class Greatest(np.random.RandomState):
    """The largest numbers that a generator draws."""

    def random_sample(self, size):
        return np.full(size, np.nextafter(1, 0))


def test_the_last_row_is_the_last():
    shares = np.full(7, 0.1)
    assert set(Drawn(np.arange(7), Greatest(), shares).next(1).ravel()) == {6}


SMALL = {
    "hidden_layer_sizes": (5,),
    "max_iter": 4,
    "random_state": 0,
    "batch_size": 50,
    "learning_rate_init": 0.01,
}
LABELS = np.digitize(X[:, 0], [0.5, 1.5])


def vector(model):
    return np.concatenate([np.ravel(part) for part in model.coefs_ + model.intercepts_])


def test_class_weights_are_part_of_the_weights_that_rows_are_drawn_by():
    model = MLPClassifier(sampling="weights", **SMALL)
    expected = model.fit(X, LABELS, BY_ROW * np.array([1.0, 2.0, 5.0])[LABELS])
    found = MLPClassifier(sampling="weights", class_weight={1: 2, 2: 5}, **SMALL)
    assert_array_equal(vector(found.fit(X, LABELS, BY_ROW)), vector(expected))


@pytest.mark.parametrize("sampling", ["balanced", "weights"])
def test_the_scale_of_the_weights_does_not_matter_without_a_penalty(sampling):
    model = MLPClassifier(sampling=sampling, alpha=0.0, **SMALL)
    expected = vector(model.fit(X, LABELS, BY_ROW))
    assert_allclose(vector(model.fit(X, LABELS, 4 * BY_ROW)), expected, rtol=1e-12)


@pytest.mark.parametrize("sampling", ["balanced", "weights"])
def test_rows_of_zero_weight_are_never_drawn(sampling):
    weights = (np.arange(N_ROWS) % 3 > 0).astype(float)
    spoilt = X.copy()
    spoilt[weights == 0] = 1e6
    model = MLPClassifier(sampling=sampling, **SMALL)
    expected = vector(model.fit(X, LABELS, weights))
    assert_array_equal(vector(model.fit(spoilt, LABELS, weights)), expected)


@pytest.mark.parametrize("sampling", ["balanced", "weights"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_the_same_for_any_number_of_threads(sampling, dtype):
    settings = {**SMALL, "hidden_layer_sizes": (80,), "dtype": dtype}
    one, two = (
        vector(
            MLPClassifier(sampling=sampling, n_jobs=n_jobs, **settings).fit(
                X, LABELS, BY_ROW
            )
        )
        for n_jobs in (1, 2)
    )
    assert_array_equal(one, two)


def test_chunks_go_on_with_the_generator():
    model = MLPClassifier(sampling="balanced", **SMALL)
    model.partial_fit(X[:400], LABELS[:400], classes=[0, 1, 2])
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        # A chunk that lacks a class draws the others equally often.
        each.partial_fit(X[400:], np.minimum(LABELS[400:], 1))
    assert_array_equal(vector(model), vector(twin))


def test_rare_positives_are_found():
    rng = np.random.default_rng(3)
    y = (np.arange(6000) % 150 == 0).astype(int)
    x = rng.normal(size=(6000, 4)) + 1.5 * y[:, np.newaxis]
    settings = {**SMALL, "max_iter": 15}
    plain, balanced, weighted = (
        MLPClassifier(**settings, **how).fit(x, y).predict(x)[y == 1].mean()
        for how in (
            {},
            {"sampling": "balanced"},
            {"sampling": "weights", "class_weight": "balanced"},
        )
    )
    assert plain < 0.5
    assert min(balanced, weighted) > 0.8


def test_regression_draws_by_weight():
    y = X[:, 0] + 0.1 * X[:, 1]
    weights = np.where(X[:, 0] > 0, 20.0, 1.0)
    settings = {**SMALL, "max_iter": 30}
    model = MLPRegressor(sampling="weights", **settings).fit(X, y, weights)
    assert model.score(X, y, weights) > 0.9
    with pytest.raises(ValueError, match="a regression has no classes"):
        MLPRegressor(sampling="balanced", **settings).fit(X, y)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(ValueError, match="would balance the classes twice"):
        MLPClassifier(sampling="balanced", class_weight="balanced").fit(X, LABELS)
    several = np.column_stack([LABELS == 1, X[:, 1] > 0]).astype(int)
    with pytest.raises(ValueError, match="needs one class a row, but y has 2 columns"):
        MLPClassifier(sampling="balanced", **SMALL).fit(X, several)
    MLPClassifier(sampling="weights", **SMALL).fit(X, several, BY_ROW)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"solver": "lbfgs", "sampling": "balanced"}, "sampling='balanced'"),
        ({"shuffle": False, "sampling": "weights"}, "shuffle=False"),
    ],
)
def test_what_has_no_effect_is_told(settings, name):
    model = MLPClassifier(**{**SMALL, "batch_size": "auto"}).set_params(**settings)
    if model.solver == "lbfgs":
        model.set_params(learning_rate_init=0.001)
    with pytest.warns(IneffectiveParameterWarning, match=f"^{name} has no effect"):
        model.fit(X, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IneffectiveParameterWarning)
        MLPClassifier(sampling="weights", **SMALL).fit(X, LABELS)
