"""The kernels of the CUDA backend as NVIDIA's compiler sees them, without a GPU.

Whether they compile at all, for the types that a launch gives them; that a kernel of
single precision has no instruction in double precision; that nothing is spilled from
registers, and that tiles are read from shared memory by wide loads. See
`tests/cuda/test_compile.py` for the compiler, which has to be installed.
"""

import numpy as np
import pytest
from cuda_compiler import (
    CAPABILITIES,
    double_precision,
    instructions,
    ptx,
    resources,
)
from kernel_types import evaluating_signature, predicting_signature, training_signature
from rule_runners import LOSSES, name_of, row_of

from skmlp import Activation
from skmlp.backends.cuda import plan
from skmlp.backends.cuda.kernels import predict, train
from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.kernels.tile import Tile
from skmlp.backends.cuda.runtime import numpy_functions
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY
from skmlp.rules.loss_row import LossRow
from skmlp.rules.optimizers import OPTIMIZERS

SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
SCALAR_RULES = tuple(row for row in ACTIVATIONS.values() if row.value is not None)
TILE = plan.choose_tile(plan.split_threshold_for(132))
BASE = Spec(
    dtype=SINGLE,
    tile=TILE,
    activations=(ACTIVATIONS["relu"],),
    softmax=False,
    loss=row_of("log_loss-softmax-labels"),
    optimizer="adam",
)
# Registers that a thread can have, and those of a multiprocessor.
MOST_REGISTERS, ALL_REGISTERS = 255, 65536
STATIC_SHARED_BYTES = 48 * 1024


pytestmark = pytest.mark.usefixtures("nvvm")


def compiled(make, spec, capability=(9, 0)):
    """PTX of a kernel, by the function that makes it."""
    if make in (train.training, train.differentiating):
        signature = training_signature(spec.dtype, spec.embeds)
        return ptx(make(spec).py_func, signature, capability)
    signature = predicting_signature(spec.dtype, spec.embeds)
    if make is predict.evaluating:
        signature = evaluating_signature(spec.dtype)
    row = ACTIVATIONS["softmax"]
    return ptx(make(spec, row).py_func, signature, capability)


def assert_sound(text, spec, capability=(9, 0), *, has_double=False):
    """What holds for every kernel."""
    if spec.dtype == SINGLE:
        assert bool(double_precision(text)) == has_double
    used = resources(text, capability)
    assert 16 <= used.registers <= MOST_REGISTERS
    assert used.registers * spec.tile.threads <= ALL_REGISTERS
    assert used.shared_bytes <= STATIC_SHARED_BYTES
    # Spilled values are needed before and after a tile, not within the loop over
    # strips, as the disassembly shows.
    assert used.spilled_bytes <= 128
    # CUDA's sine uses some words of stack.
    assert used.stack_bytes <= used.spilled_bytes + 32
    return used


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_training_in_single_precision(capability):
    text = compiled(train.training, BASE, capability)
    used = assert_sound(text, BASE, capability)
    assert used.stack_bytes == used.spilled_bytes == 0
    counts = instructions(text)
    # Forward, back, and the gradient: a row of a strip of either factor, and a thread's
    # rows of sums. What is loaded alone are sums over groups and over columns.
    assert counts["ld.shared.v4.f32"] >= 3 * 2
    assert counts["st.shared.v4.f32"] >= 3 * TILE.thread_tile
    assert counts["fma.rn.f32"] >= 3 * TILE.thread_tile**2


def test_training_in_double_precision():
    spec = BASE._replace(dtype=DOUBLE)
    text = compiled(train.training, spec)
    assert_sound(text, spec)
    assert instructions(text)["ld.shared.v2.f64"] >= 3 * TILE.thread_tile


OTHERS = {
    "all activations": {"activations": SCALAR_RULES},
    "softmax, dropout": {"softmax": True, "has_dropout": True},
    "batch norm": {"normalization": "batch", "softmax": True},
    "layer norm, clipping": {"normalization": "layer", "clips_gradient": True},
    "sparse": {"sparse": True},
    "sparse, clipping": {
        "sparse": True,
        "clips_gradient": True,
        "clips_weights": True,
        "has_dropout": True,
    },
    "max_norm": {"clips_weights": True, "intercepts": False},
    "batch norm, clipping, dropout": {
        "normalization": "batch",
        "clips_gradient": True,
        "has_dropout": True,
        "activations": (ACTIVATIONS["gelu"], ACTIVATIONS["tanh"]),
    },
}


def other_specs():
    """Specs that between them have each optimizer, each tile and all that differs."""
    for i, solver in enumerate(OPTIMIZERS):
        name = list(OTHERS)[i % len(OTHERS)]
        spec = BASE._replace(optimizer=solver, **OTHERS[name])
        capability = CAPABILITIES[i % len(CAPABILITIES)]
        yield pytest.param(spec, capability, id=f"{solver}, {name}")


def test_the_specs_cover_all_that_differs():
    assert len(OPTIMIZERS) >= len(OTHERS)


@pytest.mark.parametrize(("spec", "capability"), list(other_specs()))
def test_training(spec, capability):
    assert_sound(compiled(train.training, spec, capability), spec, capability)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_noise_is_drawn_in_the_precision_of_the_training(dtype):
    spec = BASE._replace(has_noise=True, copies_x=True, dtype=dtype)
    assert_sound(compiled(train.training, spec), spec)


EMBEDS = {"embeds": True, "copies_x": True}


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("settings", [{}, {"dtype": DOUBLE}, {"optimizer": None}])
def test_training_of_embeddings(settings, capability):
    spec = BASE._replace(**EMBEDS, **settings)
    make = train.differentiating if spec.optimizer is None else train.training
    assert_sound(compiled(make, spec, capability), spec, capability)


@pytest.mark.parametrize("settings", [{}, {"sparse": True, "normalization": "layer"}])
def test_gradients_over_all_rows(settings):
    spec = BASE._replace(optimizer=None, **settings)
    assert_sound(compiled(train.differentiating, spec), spec)


OF_LAYERS = [{}, {"sparse": True, "normalization": "layer", "softmax": True}, EMBEDS]
FORWARD = BASE._replace(optimizer=None, activations=SCALAR_RULES, forward_only=True)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("settings", OF_LAYERS)
def test_predictions(settings, capability):
    spec = FORWARD._replace(**settings)
    text = compiled(predict.predicting, spec, capability)
    assert_sound(text, spec, capability)
    assert instructions(text)["ld.shared.v4.f32"] >= 2


def fused_tiles(itemsize):
    """The tiles of the fused prediction kernel, and the widest layer that each fits."""
    widest = {}
    for units in range(1, 1000):
        tile = plan.choose_fused_tile((784, units, 10), itemsize)
        if tile is not None:
            widest[tile] = units
    return widest


def assert_fused_sound(spec, tile, capability=(9, 0)):
    spec = spec._replace(tile=tile)
    text = compiled(predict.predicting_fused, spec, capability)
    used = assert_sound(text, spec, capability)
    assert used.spilled_bytes == 0
    # No other block is waited for.
    assert "cudaCG" not in text
    units = fused_tiles(spec.dtype.itemsize)[tile] + 10
    dynamic = units * tile.width * spec.dtype.itemsize
    assert used.shared_bytes + dynamic <= STATIC_SHARED_BYTES
    return instructions(text)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("settings", OF_LAYERS)
@pytest.mark.parametrize("tile", fused_tiles(4))
def test_fused_predictions(tile, settings, capability):
    counts = assert_fused_sound(FORWARD._replace(**settings), tile, capability)
    width = {4: "v4", 2: "v2"}[tile.thread_tile]
    assert counts[f"ld.shared.{width}.f32"] >= 2


@pytest.mark.parametrize("tile", fused_tiles(8))
def test_fused_predictions_in_double_precision(tile):
    spec = FORWARD._replace(dtype=DOUBLE, activations=(ACTIVATIONS["relu"],))
    assert assert_fused_sound(spec, tile)["ld.shared.v2.f64"] >= 2


def test_widths_that_fit_the_fused_kernel():
    """In single precision up to 128 units in all layers, in double one such layer."""
    single, double = (fused_tiles(itemsize) for itemsize in (4, 8))
    assert [*single] == [*map(Tile._make, [(16, 4, 32, 0), (16, 2, 16, 0)])]
    assert TILE._replace(split_threshold=0) in single
    assert plan.choose_fused_tile((784, 128, 128, 10), 4) is not None
    assert double[[*double][-1]] >= 128
    assert plan.choose_fused_tile((784, 512, 10), 4) is None


@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_losses(row):
    spec = BASE._replace(optimizer=None, loss=row)
    assert_sound(compiled(predict.evaluating, spec), spec)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *OUTPUT_ONLY])
def test_activations_of_outputs(name):
    row = ACTIVATIONS.get(name) or OUTPUT_ONLY[name]
    made = predict.evaluating(BASE._replace(optimizer=None), row)
    text = ptx(made.py_func, evaluating_signature(SINGLE))
    assert double_precision(text) == []


# As users write them: with NumPy's functions and Python's floats.
OWN = Activation(
    *("shifted sine", lambda z: np.sin(z) + 0.1 * z, lambda z: np.cos(z) + 0.1),
    slope_of="input",
)
COSH = LossRow(
    *("cosh", "identity"),
    lambda y, z: np.cosh(z - y) - 1,
    lambda y, z: np.sinh(z - y),
)


def test_custom_rules():
    spec = BASE._replace(activations=(OWN,), loss=COSH)
    text = compiled(train.training, spec)
    # Python's floats are double precision.
    assert_sound(text, spec, has_double=True)


OF_TWO = ("arctan2", "heaviside", "hypot", "logaddexp", "maximum", "minimum", "power")


def calls_of_numpy():
    """A rule for each function of NumPy's, as a user would write it."""
    others = {"clip": "np.clip(z, -1, 1)", "where": "np.where(z > 0, z, 0)"}
    for name in (*numpy_functions.BUILT_IN, *numpy_functions.DEVICE_FUNCTIONS):
        if not isinstance(getattr(np, name), np.ufunc) and name not in others:
            continue
        arguments = "z, 0.5" if name in OF_TWO else "z"
        call = others.get(name, f"np.{name}({arguments})")
        yield name, eval(f"lambda z: {call} + z", {"np": np})


NUMPY_RULES = [Activation(name, rule, rule) for name, rule in calls_of_numpy()]


def test_there_are_rules_that_call_numpy():
    assert len(NUMPY_RULES) >= 35


@pytest.mark.parametrize("first", range(0, len(NUMPY_RULES), 10))
def test_functions_of_numpy_in_custom_rules(first):
    rules = tuple(NUMPY_RULES[first : first + 10])
    spec = BASE._replace(optimizer=None, activations=rules)
    text = compiled(predict.predicting, spec)
    assert resources(text).registers > 0


def test_functions_of_numpy_that_a_device_does_not_have_are_named():
    row = Activation("bad", lambda z: np.sinc(z), lambda z: np.sinc(z))
    made = predict.evaluating(BASE._replace(optimizer=None), row)
    with pytest.raises(AttributeError, match=r"A rule on a GPU cannot call np\.sinc"):
        ptx(made.py_func, evaluating_signature(SINGLE))


VALUES = [-np.inf, -2.5, -1.0, -0.25, 0.0, 0.25, 1.0, 2.5, np.inf, np.nan]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", numpy_functions.DEVICE_FUNCTIONS)
def test_functions_of_numpy_are_as_in_numpy(name, dtype):
    values = [dtype(value) for value in VALUES]
    rest = {"clip": (dtype(-1), dtype(1))}.get(name, ())
    pairs = [(value, *rest) for value in values]
    if name in OF_TWO:
        pairs = [(x, y) for x in values for y in values]
    if name == "where":
        pairs = [(x > 0, x, -x) for x in values]
    with np.errstate(all="ignore"):
        for pair in pairs:
            found = numpy_functions.DEVICE_FUNCTIONS[name](*pair)
            np.testing.assert_allclose(found, getattr(np, name)(*pair), rtol=1e-6)
