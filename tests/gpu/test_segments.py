"""Factors of the learning rate by segment, in both programs, against the reference."""

import pytest
from gpu_fixtures import (
    SOFTMAX,
    SQUARED,
    assert_equals_reference,
    assert_same_bits,
    on_device,
    problem_of,
    train,
)

from skmlp.backends.cuda import plan
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.segments import segments_of

CASES = {
    "dense": (SOFTMAX, {}),
    "sparse": (SOFTMAX, {"is_sparse": True}),
    "clipped": (SQUARED, {"max_grad_norm": 0.4, "max_norm": 0.8}),
    "batch norm": (SOFTMAX, {"normalization": "batch"}),
    "layer norm, clipped": (SQUARED, {"normalization": "layer", "max_grad_norm": 0.4}),
    "without intercepts": (SOFTMAX, {"intercepts": False, "max_grad_norm": 0.4}),
}


@pytest.fixture(params=["persistent", "per_op"], autouse=True)
def program(request, monkeypatch):
    """Every test is run with both programs."""
    flop = 0 if request.param == "per_op" else float("inf")
    monkeypatch.setattr(plan, "PER_OP_FLOP", flop)


def with_factors(problem, factors=(0.5, 2.0, 0.3), biases=0.1):
    segments = segments_of(problem.network, factors, biases)
    return problem._replace(given_segments=segments)


@pytest.mark.parametrize("what", CASES)
def test_factors_of_layers(what):
    row, settings = CASES[what]
    problem = with_factors(problem_of(row, ("tanh", "silu"), **settings))
    assert_equals_reference(problem)


@pytest.mark.parametrize("solver", OPTIMIZERS)
def test_optimizers(solver):
    problem = with_factors(problem_of(SOFTMAX, ("tanh",)), (0.5, 2.0))
    assert_equals_reference(problem, solver=solver, cuts=(1,))


def test_factors_of_one_change_no_bit():
    problem = problem_of(SQUARED, ("tanh", "silu"))
    ones = train(on_device(), with_factors(problem, (1.0, 1.0, 1.0), 1.0))
    assert_same_bits(ones, train(on_device(), problem))


@pytest.mark.parametrize("normalization", [None, "batch"])
def test_dropout_by_step(normalization):
    problem = problem_of(
        *(SOFTMAX, ("tanh", "silu")),
        normalization=normalization,
        dropout=(0.5, 0.3),
        seed=5,
        has_dropout_schedule=True,
    )
    assert_equals_reference(problem, cuts=(1,))
