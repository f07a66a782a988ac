"""Same numbers as scikit-learn, of whichever release is installed.

scikit-learn itself is the oracle: both packages are given the same data, parameters
and seed, and every number that a fit leaves behind is compared. Where scikit-learn
is known to be wrong (`test_differences.py`) the combination is left out, with one
exception: the squared error of several outputs, whose gradient belongs to another
loss than the one scikit-learn reports. There the oracle is scikit-learn with its loss
mended, so that stopping rules and line searches can be compared too.

Few epochs and modest learning rates: rounding must not have the time to grow.
"""

import itertools
import random
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn import neural_network
from sklearn.neural_network._base import LOSS_FUNCTIONS
from sklearn.utils.fixes import parse_version

import skmlp

# scikit-learn 1.7 looks for nan among predicted labels, which fails for strings.
NO_STRINGS_TO_STOP_BY = parse_version(sklearn.__version__) < parse_version("1.8")

CLF, REG = "MLPClassifier", "MLPRegressor"
N_SAMPLES = 64
N_FEATURES = 6
# Random configurations for each task and solver: 450 in all.
CASES = 25
TASKS = [
    "binary",
    "multiclass",
    "multilabel",
    "regression",
    "multi-output regression",
    "poisson",
]
SOLVERS = ["adam", "sgd", "lbfgs"]
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
CONTAINERS = {
    "dense": np.asarray,
    "csr matrix": sparse.csr_matrix,
    "csr array": sparse.csr_array,
    "csc matrix": sparse.csc_matrix,
    "csc array": sparse.csc_array,
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]


class Task(NamedTuple):
    """Data, the estimator's name, and the parameters that the task itself needs."""

    X: np.ndarray
    y: np.ndarray
    estimator: str
    parameters: dict


def make_task(name, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N_SAMPLES, N_FEATURES))
    # Zeros, for the sake of the sparse containers.
    X[rng.random(X.shape) < 0.3] = 0.0
    signal = X @ rng.normal(size=(N_FEATURES, 3))
    signal += 0.5 * rng.normal(size=signal.shape)
    if name == "binary":
        return Task(X, np.array(["no", "yes"])[(signal[:, 0] > 0) * 1], CLF, {})
    if name == "multiclass":
        return Task(X, signal.argmax(axis=1) * 10, CLF, {})
    if name == "multilabel":
        return Task(X, (signal > 0.5).astype(int), CLF, {})
    if name == "regression":
        return Task(X, signal[:, 0], REG, {})
    if name == "multi-output regression":
        return Task(X, signal, REG, {})
    y = rng.poisson(np.exp(0.3 * signal[:, 0])).astype(float)
    return Task(X, y, REG, {"loss": "poisson"})


def summed_squared_loss(y_true, y_pred, sample_weight=None):
    """Half the squared error summed over outputs: what scikit-learn differentiates."""
    losses = 0.5 * ((y_true - y_pred) ** 2).sum(axis=1)
    return np.average(losses, weights=sample_weight)


class Oracle:
    """scikit-learn's losses while a test runs: mended, and watched.

    Attributes
    ----------
    saturated : bool
        Whether a probability came so close to 0 or 1 that scikit-learn's loss, which
        is computed from probabilities clipped to [eps, 1 - eps], is no longer exact.
        That feeds back on L-BFGS, whose line search tries points far out.
    """

    def __init__(self):
        self.saturated = False
        self._originals = dict(LOSS_FUNCTIONS)

    def _watched(self, name):
        def loss(y_true, y_prob, sample_weight=None):
            if min(y_prob.min(), 1.0 - y_prob.max()) < 1e-6:
                self.saturated = True
            return self._originals[name](y_true, y_prob, sample_weight)

        return loss

    def in_place(self):
        """Context manager."""
        return mock.patch.dict(
            LOSS_FUNCTIONS,
            squared_error=summed_squared_loss,
            log_loss=self._watched("log_loss"),
            binary_log_loss=self._watched("binary_log_loss"),
        )


def twins(task, **parameters):
    """The two estimators, scikit-learn's first."""
    parameters = {**task.parameters, **parameters}
    return (
        getattr(neural_network, task.estimator)(**parameters),
        getattr(skmlp, task.estimator)(**parameters),
    )


# What skmlp's warnings of ``max_iter`` and ``batch_size`` add to scikit-learn's.
ADVICE = re.compile(
    r" To go on as if it had not ended, call resume\(.*\)\.$"
    r"|: batch_size=\d+ becomes \d+, the number of rows to train on\.$"
)


def call(estimator, method, *args, **kwargs):
    """Call a method; returns the warnings it gave, as (category, message).

    Without those that only skmlp has, and without its advice.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(estimator, method)(*args, **kwargs)
    return [
        (warning.category, ADVICE.sub("", str(warning.message)))
        for warning in caught
        if warning.category.__module__ != "skmlp.exceptions"
    ]


def call_both(pair, method, *args, **kwargs):
    """Call a method of both, which must warn of the same; returns the oracle."""
    theirs, ours = pair
    oracle = Oracle()
    with oracle.in_place():
        expected = call(theirs, method, *args, **kwargs)
    assert call(ours, method, *args, **kwargs) == expected
    return oracle


def predictions(estimator, X):
    """Predictions as numbers, and labels where there are any."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(X), estimator.predict(X)
    return estimator.predict(X), None


@pytest.fixture(scope="session")
def assert_same_fit(assert_same):
    """Compare all that a fit has left behind, and predictions on X."""

    def compare(pair, X, rtol=1e-6):
        theirs, ours = pair
        for name in ("coefs_", "intercepts_"):
            expected = getattr(theirs, name)
            for mine, other in zip(getattr(ours, name), expected, strict=True):
                assert_same(mine, other, rtol)
        assert_same(ours.loss_, theirs.loss_, rtol)
        expected, labels = predictions(theirs, X)
        mine, own_labels = predictions(ours, X)
        assert_same(mine, expected, rtol)
        if labels is not None:
            np.testing.assert_array_equal(own_labels, labels)
        for name in ("t_", "n_layers_", "n_outputs_", "out_activation_"):
            assert getattr(ours, name) == getattr(theirs, name)
        if theirs.solver != "lbfgs":
            compare_course(theirs, ours, rtol)

    def compare_course(theirs, ours, rtol):
        assert ours.n_iter_ == theirs.n_iter_
        for name in (
            "loss_curve_",
            "validation_scores_",
            "best_loss_",
            "best_validation_score_",
        ):
            expected = getattr(theirs, name)
            if expected is None:
                assert getattr(ours, name) is None
            else:
                assert_same(getattr(ours, name), expected, rtol)

    return compare


@pytest.mark.sampled
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", TASKS)
def test_same_numbers(name, solver, activation, assert_same_fit):
    task = make_task(name)
    pair = twins(
        task,
        hidden_layer_sizes=(9, 5),
        activation=activation,
        solver=solver,
        batch_size=20,
        learning_rate_init=0.01,
        # A strong penalty keeps the line search of L-BFGS, which divides small
        # differences by each other, from magnifying the rounding.
        alpha=1.0 if solver == "lbfgs" else 1e-4,
        max_iter=10,
        random_state=3,
    )
    call_both(pair, "fit", task.X, task.y)
    assert_same_fit(pair, task.X, rtol=1e-4 if solver == "lbfgs" else 1e-6)


@pytest.mark.parametrize("container", ["dense", "csr matrix"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("estimator", [CLF, REG])
def test_same_numbers_of_threads_and_blocks(
    estimator, solver, container, assert_same_fit
):
    # Large enough for several threads, and for blocks with remainders.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2003, 67)) * (rng.random((2003, 67)) < 0.3)
    y = X[:, :5] @ rng.normal(size=5) + rng.normal(size=2003)
    if estimator == CLF:
        y = np.digitize(y, [-1.0, 1.0])
    task = Task(CONTAINERS[container](X), y, estimator, {})
    pair = twins(
        task,
        hidden_layer_sizes=(133, 71),
        activation="tanh",
        solver=solver,
        batch_size=501,
        max_iter=3,
        random_state=0,
    )
    call_both(pair, "fit", task.X, task.y)
    assert_same_fit(pair, task.X, rtol=1e-4 if solver == "lbfgs" else 1e-6)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", TASKS)
def test_same_epoch_to_stop_at(name, solver, assert_same_fit):
    task = make_task(name)
    pair = twins(
        task,
        hidden_layer_sizes=(8,),
        activation="tanh",
        solver=solver,
        learning_rate_init=0.02,
        tol=0.02,
        n_iter_no_change=2,
        max_iter=300,
        random_state=0,
    )
    call_both(pair, "fit", task.X, task.y)
    assert pair[0].n_iter_ < 300
    assert_same_fit(pair, task.X)


def test_same_learning_rates_of_the_adaptive_schedule(assert_same_fit):
    task = make_task("binary")
    pair = twins(
        task,
        hidden_layer_sizes=(8,),
        activation="tanh",
        solver="sgd",
        learning_rate="adaptive",
        learning_rate_init=0.1,
        tol=0.01,
        n_iter_no_change=1,
        max_iter=200,
        random_state=0,
    )
    call_both(pair, "fit", task.X, task.y)
    assert pair[0]._optimizer.learning_rate <= 1e-6
    assert pair[1]._optimizer.learning_rate == pair[0]._optimizer.learning_rate
    assert_same_fit(pair, task.X)


def test_unmended_losses_of_several_outputs_give_the_same_network(assert_same):
    task = make_task("multi-output regression")
    pair = twins(task, max_iter=8, tol=0.0, random_state=0)
    for estimator in pair:
        estimator.fit(task.X, task.y)
    for theirs, mine in zip(pair[0].coefs_, pair[1].coefs_, strict=True):
        assert_same(mine, theirs, 1e-6)


class Configuration(NamedTuple):
    """One random draw of everything that a fit depends on."""

    parameters: dict
    container: str
    weights: str
    seed: int


def draw_stochastic(rng, name):
    batch_size = rng.choice(["auto", 1, 2, 7, 32, 50, N_SAMPLES, 10 * N_SAMPLES])
    rate = rng.choice([1e-3, 5e-3, 0.01])
    if name == "poisson" or batch_size in (1, 2):
        # Exponentials, and the many steps of tiny batches, diverge at those rates.
        rate *= 0.1
    # With a tolerance of one hundredth and no patience many of the runs stop, or
    # lower their learning rate, within the few epochs that they have.
    tol, patience = rng.choice([(1e-4, 10), (0.01, 1), (0.1, 1)])
    return {
        "batch_size": batch_size,
        "learning_rate": rng.choice(["constant", "invscaling", "adaptive"]),
        "learning_rate_init": rate,
        "power_t": rng.choice([0.5, 0.25]),
        "momentum": rng.choice([0.0, 0.5, 0.9]),
        "nesterovs_momentum": rng.choice([True, False]),
        "beta_1": rng.choice([0.9, 0.5]),
        "beta_2": rng.choice([0.999, 0.9]),
        "shuffle": rng.choice([True, False]),
        # scikit-learn does not stratify the split of more than two classes.
        "early_stopping": name != "multiclass" and rng.choice([True, False]),
        "validation_fraction": rng.choice([0.1, 0.3]),
        "tol": tol,
        "n_iter_no_change": patience,
        "max_iter": rng.randint(1, 6),
    }


def draw_configuration(rng, name, solver):
    parameters = {
        "solver": solver,
        "activation": rng.choice(ACTIVATIONS),
        "hidden_layer_sizes": [rng.randint(1, 12) for _ in range(rng.randint(0, 3))],
        "alpha": rng.choice([0.0, 1e-4, 0.1]),
    }
    if solver == "lbfgs":
        parameters["max_iter"] = rng.randint(1, 10)
        full_batch = True
    else:
        parameters.update(draw_stochastic(rng, name))
        full_batch = parameters["batch_size"] in ("auto", N_SAMPLES, 10 * N_SAMPLES)
    # scikit-learn's minibatches are biased by weights, unless they are all the same.
    weights = ["none", "uniform", "random"] if full_batch else ["none", "uniform"]
    return Configuration(
        parameters,
        rng.choice(sorted(CONTAINERS)),
        rng.choice(weights),
        rng.randrange(1000),
    )


def make_weights(kind, seed):
    if kind == "none":
        return None
    if kind == "uniform":
        return np.full(N_SAMPLES, 2.5)
    return np.random.default_rng(seed).uniform(0.1, 3.0, N_SAMPLES)


def check_configuration(configuration, name, assert_same_fit):
    """Compare two fits; returns False where scikit-learn's own loss was not exact."""
    parameters, container, weights, seed = configuration
    task = make_task(name, seed)
    X = CONTAINERS[container](task.X)
    pair = twins(task, **parameters)
    generators = [np.random.RandomState(seed) for _ in pair]
    for estimator, generator in zip(pair, generators, strict=True):
        estimator.set_params(random_state=generator)
    y = task.y
    stops = parameters.get("early_stopping", False)
    if stops and y.dtype.kind == "U" and NO_STRINGS_TO_STOP_BY:
        y = (y == "yes").astype(int)
    oracle = call_both(pair, "fit", X, y, sample_weight=make_weights(weights, seed))
    is_lbfgs = parameters["solver"] == "lbfgs"
    if is_lbfgs and oracle.saturated:
        return False
    assert_same_fit(pair, X, rtol=1e-4 if is_lbfgs else 1e-6)
    theirs, ours = (generator.randint(1 << 30) for generator in generators)
    assert ours == theirs, "not the same number of random numbers drawn"
    return True


@pytest.mark.sampled
@pytest.mark.parametrize("case", range(CASES))
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", TASKS)
def test_same_numbers_whatever_the_parameters(name, solver, case, assert_same_fit):
    # Drawn uniformly: tools that look for small counterexamples prefer simple
    # configurations, and half of what they draw is the same but for the seed.
    rng = random.Random(f"{name}, {solver}, {case}")
    for _ in range(10):
        configuration = draw_configuration(rng, name, solver)
        if check_configuration(configuration, name, assert_same_fit):
            return
    pytest.fail("scikit-learn's loss was not exact in any of ten draws")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", TASKS)
def test_single_precision(name, solver, activation, assert_same_fit):
    task = make_task(name)
    X = task.X.astype(np.float32)
    y = task.y.astype(np.float32) if task.estimator == REG else task.y
    pair = twins(
        task,
        hidden_layer_sizes=(9, 5),
        activation=activation,
        solver=solver,
        batch_size=20,
        max_iter=3,
        random_state=3,
    )
    call_both(pair, "fit", X, y)
    assert pair[1].coefs_[0].dtype == np.float32
    assert predictions(pair[1], X)[0].dtype == np.float32
    assert_same_fit(pair, X, rtol=1e-3)


def first_call(task):
    """Arguments that only the first `partial_fit` of a classifier takes."""
    return {"classes": np.unique(task.y)} if task.estimator == CLF else {}


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", TASKS)
def test_first_partial_fit(name, solver, assert_same_fit):
    task = make_task(name)
    pair = twins(
        task, hidden_layer_sizes=(8,), solver=solver, batch_size=20, random_state=1
    )
    extra = first_call(task)
    if name == "multilabel":
        extra = {"classes": np.arange(task.y.shape[1])}
    call_both(pair, "partial_fit", task.X, task.y, **extra)
    assert pair[1].n_iter_ == 1
    assert_same_fit(pair, task.X)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_partial_fits_that_share_a_generator(
    name, solver, learning_rate, assert_same_fit
):
    task = make_task(name)
    pair = twins(
        task,
        hidden_layer_sizes=(8,),
        solver=solver,
        learning_rate=learning_rate,
        learning_rate_init=0.01,
        batch_size=7,
        tol=0.05,
        n_iter_no_change=1,
    )
    for estimator in pair:
        estimator.set_params(random_state=np.random.RandomState(4))
    extra = first_call(task)
    for first in range(0, N_SAMPLES, 16):
        chunk = slice(first, first + 16)
        call_both(pair, "partial_fit", task.X[chunk], task.y[chunk], **extra)
        extra = {}
    assert len(pair[1].loss_curve_) == 4
    assert pair[1].t_ == N_SAMPLES
    assert_same_fit(pair, task.X)


# Run apart, so that an access out of bounds could not take the other tests along.
CHANGING_PRECISION = """
import numpy as np
from sklearn import neural_network
import skmlp
from skmlp.exceptions import ValidationWarning

X = np.random.default_rng(0).normal(size=(60, 5))
for first, second in [("float32", "float64"), ("float64", "float32")]:
    for solver in ["adam", "sgd"]:
        theirs, ours = (
            package.MLPRegressor(solver=solver, random_state=0, shuffle=False)
            for package in (neural_network, skmlp)
        )
        for dtype in (first, second, first):
            theirs.partial_fit(X.astype(dtype), X[:, 0])
            ours.partial_fit(X.astype(dtype), X[:, 0])
        assert ours.coefs_[0].dtype == theirs.coefs_[0].dtype == first
        np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-3)
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-3)
"""


def test_partial_fits_of_changing_precision():
    run = subprocess.run(
        [sys.executable, "-c", CHANGING_PRECISION],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("package", [neural_network, skmlp])
def test_classes_that_do_not_fit_are_refused(package):
    task = make_task("multilabel")
    with pytest.raises(ValueError, match="classes"):
        package.MLPClassifier().partial_fit(task.X, task.y, classes=[0, 1])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("name", TASKS)
def test_warm_start(name, solver, assert_same_fit):
    task = make_task(name)
    pair = twins(
        task,
        hidden_layer_sizes=(8,),
        solver=solver,
        batch_size=20,
        max_iter=3,
        warm_start=True,
        random_state=1,
    )
    call_both(pair, "fit", task.X, task.y)
    pair[0].set_params(max_iter=5)
    pair[1].set_params(max_iter=5)
    call_both(pair, "fit", task.X, task.y)
    assert pair[1].n_iter_ == 5
    assert len(pair[1].loss_curve_) == 8
    assert pair[1].t_ == 8 * N_SAMPLES
    assert_same_fit(pair, task.X)


@pytest.mark.parametrize(
    ("before", "solver"),
    # scikit-learn's L-BFGS makes float64 of float32.
    [
        *itertools.product([np.float32, np.float64], ["adam", "sgd"]),
        (np.float64, "lbfgs"),
    ],
)
def test_warm_start_keeps_the_precision(before, solver, assert_same_fit):
    task = make_task("regression")
    pair = twins(task, solver=solver, max_iter=3, warm_start=True, random_state=1)
    after = np.float64 if before == np.float32 else np.float32
    for dtype in (before, after):
        call_both(pair, "fit", task.X.astype(dtype), task.y)
    assert pair[1].coefs_[0].dtype == pair[0].coefs_[0].dtype == before
    assert_same_fit(pair, task.X, rtol=1e-3)


def test_warm_start_with_lbfgs(assert_same_fit):
    task = make_task("multiclass")
    pair = twins(task, solver="lbfgs", max_iter=4, warm_start=True, random_state=1)
    call_both(pair, "fit", task.X, task.y)
    call_both(pair, "fit", task.X, task.y)
    assert_same_fit(pair, task.X, rtol=1e-4)
