"""Everything at once: what is right by itself must be right together.

The other tests vary one choice and keep the rest. Here every choice of the catalog is
drawn at random, all of them in every case: activations, loss and output,
regularization, optimizer, schedule, normalization, weights, storage, sizes. A case is
trained for a few steps by the definition and by the kernels, and must lead to the same
numbers, whatever the number of threads and however X is stored.

Rows of tables are dealt from shuffled decks, so that each of them occurs as often as
any other; that they occur is asserted.
"""

import contextlib
import copy
import functools
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from random_cases import NORMALIZATIONS, WIDTHS, Dealer, draw_settings
from rule_runners import (
    LOSSES,
    outputs_of,
    parameters_of,
    smoothed_parameters,
    targets_of,
)
from scipy import sparse

from skmlp import MLPRegressor
from skmlp.backends import Problem, Regularization, Share, cpu, reference
from skmlp.backends.cpu import plan
from skmlp.network import Network, init_params, norm_state
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

pytestmark = pytest.mark.slow

N_CASES, N_SINGLE = 160, 24
N_EPOCHS = 2
DOUBLE, SINGLE = 1e-9, 2e-3


class Case(NamedTuple):
    """One training: a problem, where it starts, and how it is cut into steps."""

    problem: Problem
    start: np.ndarray
    settings: MLPRegressor
    batch_size: int
    lowers: bool

    def optimizer(self, dtype):
        return OptimizerState(
            make_optimizer_config(self.settings), self.start.size, dtype
        )

    def stored(self, make):
        """The same case with X in another form."""
        problem = self.problem
        return self._replace(problem=problem._replace(x=make(problem.x)))

    def of(self, dtype):
        """The same case in some precision."""
        problem = self.problem
        weights = problem.sample_weight
        problem = problem._replace(
            x=problem.x.astype(dtype),
            targets=problem.targets.astype(dtype),
            sample_weight=None if weights is None else weights.astype(dtype),
        )
        return self._replace(problem=problem, start=self.start.astype(dtype))


def draw_network(dealer, *, clear, widths):
    """A network; a clear one has no gradients that are zero but for rounding.

    Such are those of biases that the next layer's normalization over the batch takes
    away again, and of biases with as many rows above as below their targets.
    """
    row = dealer.deal("loss", LOSSES)
    columns = targets_of(row, 1, dealer.rng).shape[1]
    depth = dealer.deal("depth", [0, 1, 1, 2, 2, 3])
    hidden = [dealer.deal("width", widths) for _ in range(depth)]
    parameters = parameters_of(row)
    if row.smoothing:
        parameters = smoothed_parameters(row, dealer.deal("smoothing", [0.0, 0.1, 0.4]))
    kinds = [None, "layer"] if clear else NORMALIZATIONS
    return Network(
        (int(dealer.rng.integers(1, 9)), *hidden, outputs_of(row, columns)),
        tuple(dealer.deal("activation", [*ACTIVATIONS]) for _ in hidden),
        row,
        row.output,
        parameters,
        not clear and dealer.deal("intercepts", [True, True, False]),
        dealer.deal(f"normalization, {clear}", kinds) if depth else None,
    )


def draw_regularization(dealer, network, *, is_sparse):
    n_hidden = len(network.activations)
    drops = n_hidden > 0 and dealer.deal("dropout", [True, False])
    rates = tuple(dealer.one_of(0.0, 0.2, 0.5) for _ in range(n_hidden))
    infinity = float("inf")
    return Regularization(
        dropout=rates if drops and any(rates) else (),
        # Noise would make sparse X dense.
        input_noise=0.0 if is_sparse else dealer.deal("noise", [0.0, 0.3]),
        max_norm=dealer.deal("max_norm", [infinity, infinity, 0.7, 1.5]),
        max_grad_norm=dealer.deal("max_grad_norm", [infinity, infinity, 0.05, 1.0]),
        seed=int(dealer.rng.integers(2**31)),
    )


def draw_problem(dealer, network, alpha, *, is_sparse):
    rng = dealer.rng
    n_rows = int(rng.integers(20, 50))
    shape = (n_rows, network.sizes[0])
    x = rng.normal(size=shape) * (rng.random(shape) < 0.7)
    weighted = dealer.deal("weighted", [True, False])
    # Some rows are held out, and the others in no order.
    rows = rng.permutation(n_rows)[: n_rows - int(rng.integers(3))]
    return Problem(
        network,
        sparse.csr_array(x) if is_sparse else x,
        targets_of(network.loss, n_rows, rng),
        rng.uniform(0.2, 3, n_rows) if weighted else None,
        rows,
        alpha,
        draw_regularization(dealer, network, is_sparse=is_sparse),
    )


def draw_start(dealer, network):
    """First parameters; scales and running statistics off one and zero."""
    initializers = [INITIALIZERS["sklearn_uniform"]] * len(network.shapes)
    seed = np.random.RandomState(dealer.rng.integers(2**31))
    start = init_params(network, initializers, seed, float)
    for part in norm_state(network, start).parts:
        part += dealer.rng.uniform(0, 0.5, part.shape)
    return start


def without_constant_layers(network):
    """The network without softmax over one unit, whose output is always 1.

    Its gradient is rounding alone, which solvers that divide by its size magnify.
    """
    activations = tuple(
        "tanh" if name == "softmax" and units == 1 else name
        for name, units in zip(network.activations, network.sizes[1:-1], strict=True)
    )
    return network._replace(activations=activations)


def draw_case(dealer):
    """A case in double precision."""
    settings = draw_settings(dealer)
    # A sign tells 1e-17 from 0: lion must not be asked which of them it is.
    clear = settings.solver == "lion"
    alpha = 0.3 if clear else dealer.deal("alpha", [0.0, 0.3])
    network = draw_network(dealer, clear=clear, widths=WIDTHS)
    network = without_constant_layers(network)
    is_sparse = dealer.deal("sparse", [True, False])
    return Case(
        draw_problem(dealer, network, alpha, is_sparse=is_sparse),
        draw_start(dealer, network),
        settings,
        int(dealer.rng.integers(1, 25)),
        dealer.flip(),
    )


def draw_single_case(dealer):
    """A case for single precision, where rounding is not magnified by thousands.

    As it is by quotients with a small epsilon, and where two units, or the two rows of
    a batch, are normalized to -1 and 1. Sparse X in single precision would compile all
    kernels once more, and has tests of its own.
    """
    settings = draw_settings(dealer).set_params(epsilon=1e-3)
    clear = settings.solver == "lion"
    network = draw_network(dealer, clear=clear, widths=WIDTHS[2:])
    return Case(
        draw_problem(dealer, network, 0.3, is_sparse=False),
        draw_start(dealer, network),
        settings,
        int(dealer.rng.integers(5, 25)),
        dealer.flip(),
    )


def train(backend, case):
    """Losses, parameters and slots after each call of some epochs, then outputs."""
    problem, dtype = case.problem, case.start.dtype
    optimizer = case.optimizer(dtype)
    rng = np.random.default_rng(0)
    n_batches = -(-len(problem.row_ids) // case.batch_size)
    found = []
    with backend.open_session(problem, case.start, None) as session:
        for epoch in range(N_EPOCHS):
            order = rng.permutation(problem.row_ids)
            total = 0.0
            for span in pairwise(sorted({0, n_batches // 2, n_batches})):
                rates = optimizer.next_rates(span, n_batches).table
                total = session.train(
                    optimizer, order, case.batch_size, span, rates, total
                )
                found += [np.float64(total), np.array(session.params)]
            optimizer.end_epoch((epoch + 1) * len(order))
            if case.lowers:
                optimizer.react_to_plateau()
        found += list(optimizer.slots)
        found += judge(backend, problem, session)
    return found


def judge(backend, problem, session):
    """What the trained network makes of the data."""
    raw = session.outputs(problem.x, None)
    some = session.outputs(problem.x, problem.row_ids)
    loss, predictions = backend.evaluate(
        problem.network, raw, problem.targets, problem.sample_weight
    )
    found = [raw, some, np.float64(loss), predictions]
    extras = problem.regularization
    has_steps = extras.dropout or extras.input_noise > 0
    if problem.network.normalization != "batch" and not has_steps:
        found += session.loss_and_gradient(session.params)
    return found


def assert_same(got, expected, rtol):
    for mine, theirs in zip(got, expected, strict=True):
        assert np.isfinite(theirs).all()
        atol = rtol * np.abs(theirs).max(initial=0.0)
        assert_allclose(mine, theirs, rtol=rtol, atol=atol)


@pytest.fixture
def small_blocks(monkeypatch):
    """Row blocks so small that every worker of a pool has some."""
    monkeypatch.setattr(plan, "block_rows", lambda *arguments: 3)
    monkeypatch.setattr(plan, "predict_rows", lambda *arguments: 3)


def with_threads(monkeypatch, n_threads, case, backend=cpu):
    with monkeypatch.context() as patch:
        patch.setattr(plan, "threads_for", lambda work, n_jobs, *least: n_threads)
        patch.setattr(plan, "workers_of_update", lambda n_params: n_threads)
        return train(backend, case)


@functools.cache
def cases():
    """All cases in double precision, and what was dealt."""
    dealer = Dealer(0)
    return [draw_case(dealer) for _ in range(N_CASES)], dealer.dealt


@functools.cache
def single_cases():
    dealer = Dealer(1)
    return [draw_single_case(dealer) for _ in range(N_SINGLE)]


@pytest.mark.parametrize("number", range(N_CASES))
def test_all_choices_together(monkeypatch, small_blocks, number):
    case = cases()[0][number]
    one, *others = (with_threads(monkeypatch, n, case) for n in (1, 2, 3))
    assert_same(one, train(reference, case), DOUBLE)
    for other in others:
        for mine, theirs in zip(one, other, strict=True):
            assert_array_equal(mine, theirs)
    if case.problem.regularization.input_noise == 0:
        is_sparse = sparse.issparse(case.problem.x)
        case = case.stored(sparse.csr_array.toarray if is_sparse else sparse.csr_array)
        assert_same(train(cpu, case), one, DOUBLE)


class Divided:
    """A backend whose minibatches are shared by three sessions, one of them idle."""

    def __init__(self, backend):
        self._backend = backend
        self.evaluate = backend.evaluate

    @contextlib.contextmanager
    def open_session(self, problem, params, n_jobs):
        with contextlib.ExitStack() as stack:
            open_one = partial(self._backend.open_session, problem, params, n_jobs)
            yield Sharing([stack.enter_context(open_one()) for _ in range(3)])


class Sharing:
    """The sessions as one."""

    def __init__(self, sessions):
        self._sessions = sessions
        first = sessions[0]
        self.outputs, self.loss_and_gradient = first.outputs, first.loss_and_gradient

    @property
    def params(self):
        return self._sessions[0].params

    def train(self, optimizer, order, batch_size, batch_bounds, rates, total):
        copies = [optimizer, *(copy.deepcopy(optimizer) for _ in self._sessions[1:])]
        for b, step in zip(range(*batch_bounds), rates, strict=True):
            rows = order[b * batch_size : (b + 1) * batch_size]
            parts = np.split(rows, [(2 * len(rows) + 2) // 3] * 2)
            firsts = np.cumsum([0, *map(len, parts)])
            shares = [
                Share(part, len(rows), int(first), batch_size)
                for part, first in zip(parts, firsts, strict=False)
            ]
            found = [
                session.gradient(share, step)
                for session, share in zip(self._sessions, shares, strict=True)
            ]
            gradient = sum(part for _, part in found)
            penalties = [
                session.apply(one, gradient, len(rows), step)[0]
                for session, one in zip(self._sessions, copies, strict=True)
            ]
            total += len(rows) * (sum(loss for loss, _ in found) + penalties[0])
        for one, session in zip(copies, self._sessions, strict=True):
            assert_array_equal(one.slots, optimizer.slots)
            assert_array_equal(session.params, self.params)
        return total


@pytest.mark.parametrize("number", range(N_CASES))
@pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
def test_shares_of_minibatches_add_up(backend, small_blocks, number):
    """The gradients of shares lead to the steps of the whole minibatches."""
    case = cases()[0][number]
    if case.problem.network.normalization == "batch":
        pytest.skip("the statistics are those of a share")
    assert_same(train(Divided(backend), case), train(backend, case), DOUBLE)


@pytest.mark.parametrize("number", range(0, N_CASES, 8))
def test_shares_have_the_same_bits_with_all_threads(monkeypatch, small_blocks, number):
    case = cases()[0][number]
    one, *others = (with_threads(monkeypatch, n, case, Divided(cpu)) for n in (1, 2, 3))
    for other in others:
        for mine, theirs in zip(one, other, strict=True):
            assert_array_equal(mine, theirs)


@pytest.mark.parametrize("number", range(N_SINGLE))
def test_all_choices_in_single_precision(monkeypatch, small_blocks, number):
    case = single_cases()[number]
    one, *others = (
        with_threads(monkeypatch, n, case.of(np.float32)) for n in (1, 2, 3)
    )
    assert_same(one, train(reference, case), SINGLE)
    for other in others:
        for mine, theirs in zip(one, other, strict=True):
            assert_array_equal(mine, theirs)


def test_every_row_is_drawn():
    dealt = cases()[1]
    tables = {"loss": LOSSES, "activation": [*ACTIVATIONS], "optimizer": [*OPTIMIZERS]}
    tables |= {"schedule": [*SCHEDULES], "normalization, False": NORMALIZATIONS}
    for name, rows in tables.items():
        for row in rows:
            assert dealt[name].count(row) >= 3, (name, row)
    last = [len(c.problem.row_ids) % c.batch_size for c in cases()[0]]
    assert {0, 1} < set(last)
