"""The per-operation kernels as NVIDIA's compiler sees them, without a GPU.

In single precision none may work in double, spill registers or keep a stack. As in
`test_compile`, the compiler is that of the extra ``cu13``.
"""

import numpy as np
import pytest
from cuda_compiler import (
    CAPABILITIES,
    double_precision,
    ptx,
    resources,
)
from kernel_types import INTEGER, INTEGERS, context_type, struct, training_signature
from numba import types

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.kernels import ops
from skmlp.backends.cuda.kernels.gemm import Operand
from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.programs import matmul
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import MULTICLASS_LOSSES

SINGLE = np.dtype(np.float32)
CONTEXT, UPDATE, RANGE_SIZES, FLOATS = training_signature(SINGLE)
WORKSPACE = CONTEXT.types[CONTEXT.fields.index("ws")]
EMBEDDED_CONTEXT = context_type(SINGLE, embeds=True)
FIELDS = dict.fromkeys(Operand._fields, INTEGER) | {
    "array": FLOATS,
    "row_ids": INTEGERS,
}
OPERAND = struct(Operand, **FIELDS)
TILE = plan.choose_tile(plan.split_threshold_for(132))

PLAIN = Spec(
    dtype=SINGLE,
    tile=TILE,
    activations=(ACTIVATIONS["relu"],),
    softmax=False,
    loss=MULTICLASS_LOSSES["log_loss", "softmax"],
    optimizer="adam",
    copies_x=True,
)
ALL = PLAIN._replace(
    activations=tuple(row for row in ACTIVATIONS.values() if row.value is not None),
    softmax=True,
    optimizer="amsgrad",
    normalization="batch",
    has_dropout=True,
    has_noise=True,
    clips_gradient=True,
    clips_weights=True,
)
SPARSE = ALL._replace(normalization=None, sparse=True, copies_x=False)
EMBEDS = PLAIN._replace(embeds=True)
LAYER = ALL._replace(normalization="layer", clips_gradient=False)
CASES = [
    *((PLAIN, name) for name in ("copy_rows", "finish", "loss", "back_through")),
    *((PLAIN, name) for name in ("weights", "biases")),
    *(
        (ALL, name)
        for name in ops.OPERATIONS
        if "sparse" not in name and name != "embedding"
    ),
    *((EMBEDS, name) for name in ("copy_rows", "embedding")),
    *((LAYER, name) for name in ("norm", "norm_back", "norm_biases", "weights")),
    *((SPARSE, name) for name in ("sparse_forward", "finish", "sparse_weights")),
    (SPARSE._replace(clips_gradient=False), "sparse_weights"),
]
NAMES = {id(PLAIN): "plain", id(ALL): "all", id(LAYER): "layer", id(EMBEDS): "embeds"}


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
    context = EMBEDDED_CONTEXT if spec.embeds else CONTEXT
    signature = (context, UPDATE, INTEGERS, INTEGER, INTEGER)
    assert_good(made, signature, capability)


def test_every_operation_is_compiled():
    assert {name for _, name in CASES} == set(ops.OPERATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_products(capability):
    kernel = matmul.multiplying(TILE, SINGLE)
    sizes = types.UniTuple(INTEGER, 3)
    assert_good(kernel, (OPERAND, OPERAND, FLOATS, INTEGER, sizes), capability)


@pytest.mark.slow
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_end_of_a_batch_range(capability):
    totaling = ops.totaling(PLAIN)
    assert_good(totaling, (WORKSPACE, RANGE_SIZES, FLOATS), capability)
    assert_good(ops.advancing(), (INTEGERS,), capability)
