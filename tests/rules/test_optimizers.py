"""The table of optimizers, row by row, against what was published and PyTorch.

Each row has its independent definition below; a row that PyTorch has, too, is trained
beside it on a small network. That the compiled loops equal the rules is the business of
test_backends.
"""

import re
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.utils._param_validation import InvalidParameterError

import skmlp
from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import _MODULES, Problem, cpu
from skmlp.network import Network, init_params, views
from skmlp.rules import optimizers
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.loss_choice import regression_loss
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

SKLEARN = INITIALIZERS["sklearn_uniform"]
SQUARED_ERROR = regression_loss("squared_error")
RATE, STEPS = 0.01, 20
START = np.array([1.0, -0.5, 0.0, 2.0, -3.0])
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, len(START)))


def settings_of(name, **others):
    others = {"learning_rate_init": RATE, "beta_2": 0.99, "alpha": 0.0, **others}
    return MLPRegressor(solver=name, **others)


def expected_sgd(g, s):
    velocity, momentum = 0.0, s.momentum
    for t in range(STEPS):
        velocity = momentum * velocity + g[t]
        ahead = g[t] + momentum * velocity
        yield RATE * (ahead if s.nesterovs_momentum else velocity)


def expected_adam(g, s, *, keep_largest=False):
    m = v = largest = 0.0
    for t in range(STEPS):
        m = s.beta_1 * m + (1 - s.beta_1) * g[t]
        v = s.beta_2 * v + (1 - s.beta_2) * g[t] ** 2
        largest = np.maximum(largest, v) if keep_largest else v
        rate = RATE * np.sqrt(1 - s.beta_2 ** (t + 1)) / (1 - s.beta_1 ** (t + 1))
        yield rate * m / (np.sqrt(largest) + s.epsilon)


def expected_nadam(g, s):
    def momentum(t):
        return s.beta_1 * (1 - 0.5 * 0.96 ** (t / 250))

    m = v = 0.0
    product = 1.0
    for t in range(1, STEPS + 1):
        product *= momentum(t)
        m = s.beta_1 * m + (1 - s.beta_1) * g[t - 1]
        v = s.beta_2 * v + (1 - s.beta_2) * g[t - 1] ** 2
        ahead = momentum(t + 1) * m / (1 - product * momentum(t + 1))
        ahead += (1 - momentum(t)) * g[t - 1] / (1 - product)
        yield RATE * ahead / (np.sqrt(v / (1 - s.beta_2**t)) + s.epsilon)


def expected_rmsprop(g, s):
    v = 0.0
    for t in range(STEPS):
        v = s.rho * v + (1 - s.rho) * g[t] ** 2
        yield RATE * g[t] / (np.sqrt(v) + s.epsilon)


def expected_adagrad(g, s):
    for t in range(STEPS):
        yield RATE * g[t] / (np.sqrt(np.sum(g[: t + 1] ** 2, axis=0)) + s.epsilon)


def expected_adadelta(g, s):
    v = moved = 0.0
    for t in range(STEPS):
        v = s.rho * v + (1 - s.rho) * g[t] ** 2
        move = np.sqrt(moved + s.epsilon) / np.sqrt(v + s.epsilon) * g[t]
        moved = s.rho * moved + (1 - s.rho) * move**2
        yield RATE * move


def expected_lion(g, s):
    m = 0.0
    for t in range(STEPS):
        yield RATE * np.sign(s.beta_1 * m + (1 - s.beta_1) * g[t])
        m = s.beta_2 * m + (1 - s.beta_2) * g[t]


EXPECTED = {
    "sgd": expected_sgd,
    "adam": expected_adam,
    "amsgrad": lambda g, s: expected_adam(g, s, keep_largest=True),
    "nadam": expected_nadam,
    "rmsprop": expected_rmsprop,
    "adagrad": expected_adagrad,
    "adadelta": expected_adadelta,
    "lion": expected_lion,
}


def run_rule(settings, gradients, n_calls=1):
    """Parameters after each step, the rule applied as the reference applies it."""
    row = OPTIMIZERS[settings.solver]
    state = OptimizerState(make_optimizer_config(settings), len(START), float)
    n_steps = len(gradients)
    cuts = np.linspace(0, n_steps, n_calls + 1).astype(int)
    steps = np.concatenate(
        [state.next_rates(span, n_steps).table for span in pairwise(cuts)]
    )
    p, slots, path = START, state.slots, []
    apply = np.vectorize(
        lambda p, g, c, *slots: row.update(p, g, *slots, c, state.hyper),
        otypes=[float] * (1 + row.slots),
        signature=f"(),(),(n){',()' * row.slots}->(){',()' * row.slots}",
    )
    for g, c in zip(gradients, steps[:, 1:], strict=True):
        p, *slots = apply(p, g, c, *slots)
        path.append(p)
    return np.array(path)


@pytest.mark.parametrize("others", [{}, {"nesterovs_momentum": False}, {"beta_1": 0.0}])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rules_are_the_published_algorithms(name, others):
    settings = settings_of(name, **others)
    moves = list(EXPECTED[name](GRADIENTS, settings))
    expected = START - np.cumsum(moves, axis=0)
    assert_allclose(run_rule(settings, GRADIENTS), expected, rtol=1e-12, atol=1e-14)
    # However the steps are cut into calls of a backend.
    again = run_rule(settings, GRADIENTS, n_calls=3)
    assert_allclose(again, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_that_is_no_number_does_not_go_unnoticed(name):
    gradients = np.where(np.arange(5) == 2, np.nan, GRADIENTS[:3])
    path = run_rule(settings_of(name), gradients)
    assert np.isnan(path[-1][2])
    assert np.isfinite(np.delete(path[-1], 2)).all()


def test_the_largest_moment_does_not_hide_one_that_is_no_number():
    _, _, v, largest = optimizers.amsgrad(
        1.0, 1.0, 0.0, np.nan, 9.0, (0.1,), (0.1, 0.01, 1e-8)
    )
    assert np.isnan(v)
    assert np.isnan(largest)


@pytest.mark.parametrize("beta_1", [0.0, 0.3, 0.9, 0.999])
def test_products_of_momenta_far_into_a_training(beta_1):
    t = np.arange(1.0, 60_001)
    momenta = beta_1 * (1 - 0.5 * 0.96 ** (0.004 * t))
    expected = 1 - np.cumprod(momenta)
    for part in (slice(0, 3), slice(300, 500), slice(59_000, None)):
        found = 1 - optimizers._momentum_products(t[part], beta_1)
        assert_allclose(found, expected[part], rtol=1e-14)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("row", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_rows_are_whole_and_documented(row, kind):
    assert OPTIMIZERS[row.name] is row
    assert row.update.__doc__
    text = re.sub(r"\s+", " ", kind.__doc__)
    assert f"- {row.name!r}: {row.about};" in text


N_ROWS = 40
NETWORK = Network((4, 6, 2), ("tanh",), SQUARED_ERROR, "identity")


def small_problem():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N_ROWS, 4))
    targets = np.stack([x[:, 0] * x[:, 1], np.sin(x[:, 2])], axis=1)
    return Problem(NETWORK, x, targets, None, np.arange(N_ROWS), 0.0)


def start_parameters():
    return init_params(NETWORK, [SKLEARN] * 2, np.random.RandomState(0), float)


def train_here(settings):
    """Parameters after each of some steps on all rows, by the kernels."""
    problem, parameters, path = small_problem(), start_parameters(), []
    state = OptimizerState(
        make_optimizer_config(settings), parameters.size, parameters.dtype
    )
    with cpu.open_session(problem, parameters, 1) as session:
        for step in range(STEPS):
            rates = state.next_rates((step, step + 1), STEPS).table
            session.train(state, problem.row_ids, N_ROWS, (0, 1), rates, 0.0)
            path.append(session.params.copy())
    return np.array(path)


IN_PYTORCH = "sgd", "adam", "amsgrad", "nadam", "rmsprop", "adagrad", "adadelta"


def torch_optimizers(torch, s):
    """Makers of PyTorch's optimizers, of parameter groups, by the name of the row."""
    betas, eps = (s.beta_1, s.beta_2), s.epsilon
    rest = {"lr": RATE, "eps": eps}
    return {
        "sgd": lambda p: torch.optim.SGD(
            p, lr=RATE, momentum=s.momentum, nesterov=s.nesterovs_momentum
        ),
        "adam": lambda p: torch.optim.AdamW(p, betas=betas, **rest),
        "amsgrad": lambda p: torch.optim.AdamW(p, betas=betas, amsgrad=True, **rest),
        "nadam": lambda p: torch.optim.NAdam(
            p, betas=betas, decoupled_weight_decay=True, **rest
        ),
        "rmsprop": lambda p: torch.optim.RMSprop(p, alpha=s.rho, **rest),
        "adagrad": lambda p: torch.optim.Adagrad(p, **rest),
        "adadelta": lambda p: torch.optim.Adadelta(p, rho=s.rho, **rest),
    }


def train_in_torch(torch, settings, decay):
    """The same by PyTorch; where it has no decoupled decay, that is done by hand."""
    problem = small_problem()
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.targets)
    vector = start_parameters()
    tensors = [
        [torch.from_numpy(part).requires_grad_() for part in kind]
        for kind in views(NETWORK, vector)
    ]
    weights, biases = tensors
    groups = [{"params": weights}, {"params": biases}]
    has_decay = settings.solver in ("adam", "amsgrad", "nadam")
    for group, strength in zip(groups, (decay, 0.0), strict=True):
        group["weight_decay"] = strength if has_decay else 0.0
    optimizer = torch_optimizers(torch, settings)[settings.solver](groups)
    path = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        z = torch.tanh(x @ weights[0] + biases[0]) @ weights[1] + biases[1]
        (0.5 * ((z - y) ** 2).sum() / N_ROWS).backward()
        if not has_decay:
            with torch.no_grad():
                for weight in weights:
                    weight -= RATE * decay * weight
        optimizer.step()
        path.append(vector.copy())
    return np.array(path)


@pytest.fixture
def torch():
    """PyTorch, whose scalars, such as NAdam's product of momenta, are then float64."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("name", IN_PYTORCH)
def test_steps_are_those_of_pytorch(torch, name, nesterov, decay):
    others = {"nesterovs_momentum": nesterov, "weight_decay": decay}
    if name in ("adam", "amsgrad"):
        # There the place of epsilon differs, so it must be too small to matter.
        others["epsilon"] = 1e-14
    settings = settings_of(name, **others)
    expected = train_in_torch(torch, settings, decay)
    assert_allclose(train_here(settings), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_shrinks_weights_and_no_biases(name):
    """Where nothing has a gradient, what moves is what decays."""
    X, y = np.zeros((20, 3)), np.zeros(20)
    settings = {"solver": name, "alpha": 0.0, "max_iter": 3, "weight_decay": 0.5}
    model = MLPRegressor(hidden_layer_sizes=(4,), random_state=0, **settings)
    model.set_params(learning_rate="cosine", learning_rate_init=0.1).fit(X, y)
    first = init_params(
        Network((3, 4, 1), ("relu",), SQUARED_ERROR, "identity"),
        [SKLEARN] * 2,
        np.random.RandomState(0),
        float,
    )[:12]
    rates = 0.1 * (1 + np.cos(np.pi * np.arange(3) / 3)) / 2
    expected = first.reshape(3, 4) * np.prod(1 - 0.5 * rates)
    assert_allclose(model.coefs_[0], expected, rtol=1e-12)


def moved(name, scale, n_steps):
    """Which parameters an epoch moves, in single precision, for targets of a size."""
    X, y = np.ones((8, 2)), np.full(8, scale)
    settings = {"solver": name, "batch_size": 8 // n_steps, "max_iter": 1, "alpha": 0.0}
    settings |= {"hidden_layer_sizes": (), "dtype": "float32", "random_state": 0}
    model = MLPRegressor(learning_rate_init=1e-3, **settings).fit(X, y)
    network = Network((2, 1), (), SQUARED_ERROR, "identity")
    first = init_params(network, [SKLEARN], np.random.RandomState(0), np.float32)
    return np.concatenate([model.coefs_[0].ravel(), model.intercepts_[0]]) != first


def takes_squares(name, gradient):
    """Whether a gradient whose square overflows leaves an infinity in the state."""
    row, T = OPTIMIZERS[name], np.float32
    hyper = make_optimizer_config(settings_of(name)).hyper
    c, h = (T(RATE),) * 3, tuple(map(T, hyper))
    with np.errstate(over="ignore"):
        _, *slots = row.update(T(0), T(gradient), *[T(row.start)] * row.slots, c, h)
    return not np.isfinite(slots).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("n_steps", [1, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_squares_that_overflow_do_not_stop_the_training_in_silence(name, n_steps):
    """A step that is divided by the root of infinity is zero; the weight is finite."""
    huge = 1e22
    assert huge < float(np.finfo(np.float32).max) < huge**2
    assert np.all(moved(name, 100.0, n_steps))
    if not takes_squares(name, huge):
        assert np.all(moved(name, huge, n_steps))
    else:
        with pytest.raises(ValueError, match="non-finite parameter weights"):
            moved(name, huge, n_steps)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_lbfgs_has_no_step_for_weights_to_decay_in(kind):
    model = kind(solver="lbfgs", weight_decay=0.1)
    with pytest.raises(ValueError, match="weight_decay > 0 needs a stochastic solver"):
        model.fit(np.eye(4), [0, 1, 0, 1])
    assert not hasattr(model, "coefs_")


def scaled_adagrad(p, g, total, c, h):
    total = total + g * g
    return p - c[0] * g / type(p)(np.sqrt(total)), total


ADDED = optimizers.OptimizerRule(
    "added",
    "for this test",
    1,
    scaled_adagrad,
    lambda settings: (),
    coefficients=lambda t, rates, h: (rates * 10.0,),
    start=0.1,
)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_added_later_is_a_solver(monkeypatch, backend, dtype):
    X = np.random.default_rng(0).normal(size=(30, 4))
    y = X[:, 0] - X[:, 1]
    model = MLPRegressor(solver="added", max_iter=40, random_state=0, dtype=dtype)
    model.set_params(hidden_layer_sizes=(5,), learning_rate="cosine")
    model.set_params(learning_rate_init=0.02)
    with pytest.raises(InvalidParameterError, match="solver"):
        model.fit(X, y)
    monkeypatch.setitem(OPTIMIZERS, "added", ADDED)
    monkeypatch.setitem(_MODULES, "cpu", f"skmlp.backends.{backend}")
    model.fit(X, y)
    assert model.score(X, y) > 0.8
    model.set_params(learning_rate="constant").partial_fit(X, y)
    with pytest.raises(InvalidParameterError, match=r"among .*'added'"):
        model.set_params(solver="another").fit(X, y)


def test_a_row_added_later_is_worked_out_as_it_says(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "added", ADDED)
    path = run_rule(settings_of("added"), GRADIENTS)
    roots = np.sqrt(0.1 + np.cumsum(GRADIENTS**2, axis=0))
    expected = START - np.cumsum(10 * RATE * GRADIENTS / roots, axis=0)
    assert_allclose(path, expected, rtol=1e-12)


def test_a_row_added_later_can_be_compiled_ahead(monkeypatch):
    with pytest.raises(InvalidParameterError):
        skmlp.precompile(solver="added")
    monkeypatch.setitem(OPTIMIZERS, "added", ADDED)
    skmlp.precompile(solver="added", dtype="float64")
