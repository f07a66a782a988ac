"""What the compiler makes of the loops around the rules.

A literal 0 or 1 beside a number of single precision makes both of them double. Nothing
else tells: the result is the same, the loop takes three times as long.
"""

import numpy as np
import pytest
from rule_runners import LOSSES, name_of

from skmlp.backends import Regularization
from skmlp.backends.cpu.kernels import elementwise, regularization
from skmlp.compiler import jit
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY
from skmlp.rules.optimizers import OPTIMIZERS

SINGLE = np.dtype(np.float32)
EVERYTHING = Regularization(
    dropout=(0.5,), input_noise=0.1, max_norm=1.0, max_grad_norm=1.0
)


@pytest.fixture
def compiled(monkeypatch):
    """Dispatchers of the loops that are asked for: compiled here, not from disk."""
    found = []

    def address_of(function, key, signature):
        dispatcher, address = jit.loop(function, signature, None)
        found.append(dispatcher)
        return address

    monkeypatch.setattr(elementwise, "address_of", address_of)
    monkeypatch.setattr(regularization, "address_of", address_of)
    return found


def roundings(dispatcher):
    """How often the code rounds numbers from double precision to single."""
    return sum(text.count("fptrunc") for text in dispatcher.inspect_llvm().values())


@pytest.mark.sampled
@pytest.mark.parametrize("row", [*ACTIVATIONS.values(), *OUTPUT_ONLY.values()])
def test_activations_of_single_precision_have_no_double(compiled, row):
    for keeps in (False, True):
        elementwise.activation.__wrapped__(row, SINGLE, keeps=keeps)
    elementwise.slope.__wrapped__(row, SINGLE)
    elementwise.single_slope.__wrapped__(row, SINGLE)
    assert [roundings(loop) for loop in compiled] == [0] * len(compiled)
    assert len(compiled) == (3 if row.slope is None else 4)


@pytest.mark.sampled
@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_losses_of_single_precision_have_no_double_but_the_sum(compiled, row):
    elementwise.loss.__wrapped__(row, SINGLE)
    assert [roundings(loop) for loop in compiled] == [0]


@pytest.mark.parametrize("row", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_of_single_precision_have_no_double(compiled, row):
    elementwise.update.__wrapped__(row, SINGLE)
    assert [roundings(loop) for loop in compiled] == [0]


def test_regularization_of_single_precision_has_no_double(compiled):
    regularization.extras_of(EVERYTHING, SINGLE)
    names = {loop.py_func.__name__ for loop in compiled}
    assert names == {"_drop", "_drop_to", "_noise", "_penalize", "_limit_columns"}
    assert {
        loop.py_func.__name__: roundings(loop) for loop in compiled
    } == dict.fromkeys(names, 0)


def test_a_rounding_would_be_found(compiled):
    kinds = elementwise.Kinds(SINGLE)

    def doubled(z, out):
        for j in range(z.shape[1]):
            z[0, j] *= 3 if z[0, j] > 0 else z[0, j] * 0
        return 0

    elementwise.address_of(doubled, None, kinds.activation())
    assert roundings(compiled[0]) > 0
