"""The kernels of the stepwise program as the compiler sees them, without a GPU.

In single precision none may work in double, spill registers or keep a stack. As in
`test_cuda_compile`, the compiler is that of the extra ``cu13``.
"""

import numpy as np
import pytest
from cuda_compiler import (
    CAPABILITIES,
    double_precision,
    ptx,
    resources,
)
from numba import from_dtype, types

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.kernels import ops, structs
from skmlp.backends.cuda.kernels.gemm import Factor
from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.programs import matmul
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import MULTICLASS_LOSSES

SINGLE = np.dtype(np.float32)
REAL, NUMBER = from_dtype(SINGLE), types.int64
REALS, NUMBERS = REAL[::1], NUMBER[::1]


def named(kind, *members):
    return types.NamedTuple(members, kind)


DATA = named(structs.Data, REALS, NUMBERS, NUMBERS, REALS, REALS, NUMBERS)
ROOM = named(structs.Room, NUMBERS, *[REALS] * 10, NUMBER, NUMBER)
STATE = named(
    structs.State,
    named(structs.Net, *[NUMBERS] * 8, REALS),
    DATA,
    ROOM,
    named(structs.Extras, NUMBER, NUMBERS, REALS, REAL, REAL, REAL),
    REALS,
    named(structs.Step, REALS, REALS, REALS, REAL, REAL),
    NUMBER,
    NUMBERS,
)
FACTOR = named(Factor, REALS, *[NUMBER] * 4, NUMBERS, NUMBER, NUMBER)
TILE = plan.choose_tile(plan.few_for(132))

PLAIN = Spec(
    SINGLE,
    TILE,
    (ACTIVATIONS["relu"],),
    softmax=False,
    loss=MULTICLASS_LOSSES["log_loss", "softmax"],
    optimizer="adam",
    loaded=True,
)
ALL = PLAIN._replace(
    activations=tuple(row for row in ACTIVATIONS.values() if row.value is not None),
    softmax=True,
    optimizer="amsgrad",
    normalization="batch",
    drops=True,
    noisy=True,
    limits_gradient=True,
    limits_weights=True,
)
SPARSE = ALL._replace(normalization=None, sparse=True, loaded=False)
LAYER = ALL._replace(normalization="layer", limits_gradient=False)
CASES = [
    *((PLAIN, name) for name in ("load", "finish", "loss", "back_through")),
    *((PLAIN, name) for name in ("weights", "biases")),
    *((ALL, name) for name in ops.OPERATIONS if "sparse" not in name),
    *((LAYER, name) for name in ("norm", "norm_back", "norm_biases", "weights")),
    *((SPARSE, name) for name in ("sparse_forward", "finish", "sparse_weights")),
    (SPARSE._replace(limits_gradient=False), "sparse_weights"),
]
NAMES = {id(PLAIN): "plain", id(ALL): "all", id(LAYER): "layer"}


pytestmark = pytest.mark.usefixtures("nvvm")


def assert_good(kernel, signature, capability):
    text = ptx(kernel.py_func, signature, capability)
    assert double_precision(text) == []
    used = resources(text, capability)
    assert used.spilled_bytes == used.stack_bytes == 0
    assert used.registers <= 255


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(
    ("spec", "name"),
    CASES,
    ids=[f"{name}-{NAMES.get(id(spec), 'sparse')}" for spec, name in CASES],
)
def test_operations(spec, name, capability):
    made = ops.operation(spec, name)
    assert_good(made, (STATE, NUMBER, NUMBER), capability)


def test_every_operation_is_compiled():
    assert {name for _, name in CASES} == set(ops.OPERATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_products(capability):
    kernel = matmul.multiplying(TILE, SINGLE)
    sizes = types.UniTuple(NUMBER, 3)
    assert_good(kernel, (FACTOR, FACTOR, REALS, NUMBER, sizes), capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_end_of_a_span(capability):
    sizes = types.UniTuple(NUMBER, 5)
    totaling = ops.totaling(PLAIN)
    assert_good(totaling, (ROOM, sizes, REALS), capability)
    assert_good(ops.advancing(), (NUMBERS,), capability)
