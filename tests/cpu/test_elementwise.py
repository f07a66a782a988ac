"""Elementwise loops in single precision compile without conversions from double.

A literal 0 or 1 beside a float32 promotes both to float64. Nothing else shows it: the
result is the same, but the loop takes three times as long.
"""

import numpy as np
import pytest
from rule_runners import LOSSES, name_of

from skmlp.backends import Regularization
from skmlp.backends.cpu.kernels import elementwise, losses, regularization
from skmlp.compiler import jit
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY
from skmlp.rules.optimizers import OPTIMIZERS

SINGLE = np.dtype(np.float32)
ALL_REGULARIZATION = Regularization(
    dropout=(0.5,), input_noise=0.1, max_norm=1.0, max_grad_norm=1.0
)


@pytest.fixture
def compiled(monkeypatch):
    """Dispatchers of the loops that a test compiles, without the disk cache."""
    dispatchers = []

    def address_of(function, key, signature):
        dispatcher, address = jit.loop(function, signature, None)
        dispatchers.append(dispatcher)
        return address

    for module in (elementwise, losses, regularization):
        monkeypatch.setattr(module, "address_of", address_of)
    return dispatchers


def roundings(dispatcher):
    """Number of instructions that round from double precision to single."""
    return sum(text.count("fptrunc") for text in dispatcher.inspect_llvm().values())


@pytest.mark.sampled
@pytest.mark.parametrize("row", [*ACTIVATIONS.values(), *OUTPUT_ONLY.values()])
def test_activations_in_float32_have_no_float64(compiled, row):
    for in_place in (False, True):
        elementwise.activation.__wrapped__(row, SINGLE, in_place=in_place)
    elementwise.slope.__wrapped__(row, SINGLE)
    elementwise.single_output_slope.__wrapped__(row, SINGLE)
    assert [roundings(loop) for loop in compiled] == [0] * len(compiled)
    assert len(compiled) == (3 if row.slope is None else 4)


@pytest.mark.sampled
@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_losses_in_float32_have_no_float64_but_the_sum(compiled, row):
    losses.loss.__wrapped__(row, SINGLE)
    assert [roundings(loop) for loop in compiled] == [0]


@pytest.mark.parametrize("row", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_in_float32_have_no_float64(compiled, row):
    elementwise.update.__wrapped__(row, SINGLE)
    assert [roundings(loop) for loop in compiled] == [0]


def test_regularization_in_float32_has_no_float64(compiled):
    regularization.regularization_desc(ALL_REGULARIZATION, SINGLE)
    names = {loop.py_func.__name__ for loop in compiled}
    assert names == {
        "_dropout",
        "_dropout_to",
        "_add_noise",
        "_add_l2",
        "_apply_max_norm",
    }
    assert {
        loop.py_func.__name__: roundings(loop) for loop in compiled
    } == dict.fromkeys(names, 0)


def test_a_rounding_would_be_found(compiled):
    loop_types = elementwise.LoopTypes(SINGLE)

    def doubled(z, out):
        for j in range(z.shape[1]):
            z[0, j] *= 3 if z[0, j] > 0 else z[0, j] * 0
        return 0

    elementwise.address_of(doubled, None, loop_types.activation())
    assert roundings(compiled[0]) > 0
