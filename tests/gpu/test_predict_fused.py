"""The fused prediction kernel: right outputs, and the bits of the other kernel.

Each prediction is made by every tile of the fused kernel and by the kernel that works
layer by layer, by changing the limit of shared memory in `plan`.
"""

import numpy as np
import pytest
from gpu_fixtures import BLOCKS, cast, on_device, parameters_for, problem_of
from numpy.testing import assert_allclose, assert_array_equal

from skmlp.backends import reference
from skmlp.backends.cuda import plan, prediction
from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
TOLERANCES = {np.float32: 1e-5, np.float64: 1e-10}
TWO_WARPS = ((8, 2, 8), (8, 1, 8))


def bytes_of(tile, sizes, itemsize):
    """Shared memory of a block, computed independently of `plan`."""
    widest = max(sizes[1::2]) + max([0, *sizes[2::2]])
    return itemsize * (tile.smem_size + tile.width * widest)


def limits_of(network, dtype):
    """Limits of shared memory by which each tile is chosen in turn, and then none."""
    sizes, itemsize = network.sizes, np.dtype(dtype).itemsize
    limits = []
    with pytest.MonkeyPatch.context() as patch:
        while tile := plan.choose_fused_tile(sizes, itemsize):
            limits.append(bytes_of(tile, sizes, itemsize))
            patch.setattr(plan, "_SHARED_BYTES", limits[-1] - 1)
    assert limits
    return [*limits, limits[-1] - 1]


@pytest.fixture
def chosen(monkeypatch):
    """The chosen launches."""
    choose_launch, launches = prediction.choose_launch, []

    def noting(*arguments):
        launches.append(choose_launch(*arguments))
        return launches[-1]

    monkeypatch.setattr(prediction, "choose_launch", noting)
    return launches


def predicted(problem, activation, dtype):
    vector = parameters_for(problem.network).astype(dtype)
    x = cast(problem, dtype).x
    return on_device().outputs(problem.network, vector, x, activation)[0]


def assert_all_the_same(problem, activation="identity", dtype=np.float64):
    vector = parameters_for(problem.network)
    expected, _ = reference.outputs(problem.network, vector, problem.x, activation)
    results = []
    for limit in limits_of(problem.network, dtype):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "_SHARED_BYTES", limit)
            results.append(predicted(problem, activation, dtype))
    rtol = TOLERANCES[dtype]
    assert_allclose(results[0], expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    for other in results[1:]:
        assert_array_equal(other, results[0])
    return results[0]


@both_dtypes
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *OUTPUT_ONLY])
def test_activations_of_outputs(activation, dtype):
    assert_all_the_same(problem_of(activations=("relu", "silu")), activation, dtype)


@both_dtypes
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_hidden_layers(activation, dtype):
    assert_all_the_same(problem_of(activations=(activation, "tanh")), "softmax", dtype)


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["gelu", "softmax"])
def test_normalizations_and_sparse_rows(activation, normalization, is_sparse):
    problem = problem_of(
        activations=(activation, "relu"),
        normalization=normalization,
        is_sparse=is_sparse,
    )
    assert_all_the_same(problem, "softmax", np.float32)


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 7, 8, 9, 17])
@pytest.mark.parametrize("n_features", [1, 7, 8, 9])
def test_sizes_around_a_tile(n_rows, n_features):
    assert_all_the_same(problem_of(n_rows=n_rows, n_features=n_features))


@pytest.mark.parametrize("units", [(1, 9), (8, 1), (9, 7), (4, 8)])
def test_units_around_a_tile(units):
    assert_all_the_same(problem_of(activations=("tanh", "relu"), units=units))


@both_dtypes
@pytest.mark.parametrize("depth", range(5))
def test_depths(depth, dtype):
    """Layers of all widths alternate between the two buffers."""
    units = (9, 3, 12, 5)[:depth]
    names = ("softmax", "relu", "gelu", "tanh")[:depth]
    assert_all_the_same(problem_of(activations=names, units=units), dtype=dtype)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_numbers_of_blocks(monkeypatch, blocks):
    problem = problem_of(activations=("relu", "softmax"), units=(4, 9), n_rows=65)
    usual = assert_all_the_same(problem, "softmax")
    monkeypatch.setattr(plan, "blocks_for", lambda *_: blocks)
    assert_array_equal(predicted(problem, "softmax", np.float64), usual)


@pytest.mark.needs_simulator
@pytest.mark.usefixtures("any_order")
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("output", "normalization"), [("softmax", None), ("identity", "layer")]
)
def test_no_races(monkeypatch, output, is_sparse, normalization):
    """One block of several warps has all rows: each tile waits for the one before."""
    monkeypatch.setattr(plan, "blocks_for", lambda *_: 1)
    monkeypatch.setattr(plan, "_SIMULATED", TWO_WARPS[0])
    monkeypatch.setattr(plan, "_FUSED_SIMULATED", TWO_WARPS)
    problem = problem_of(
        activations=("softmax", "relu"),
        n_rows=19,
        is_sparse=is_sparse,
        normalization=normalization,
    )
    assert_all_the_same(problem, output)


def test_widths_choose_the_kernel(monkeypatch, chosen):
    problem = problem_of(activations=("relu", "tanh"))
    whole, narrow, none = limits_of(problem.network, np.float32)
    for limit in (whole, whole - 1, narrow, none):
        monkeypatch.setattr(plan, "_SHARED_BYTES", limit)
        predicted(problem, "softmax", np.float32)
    tiles = [one.spec.tile for one in chosen]
    assert tiles[0] == tiles[3] == plan.choose_tile(plan.NEVER_SPLIT)
    assert tiles[1] == tiles[2] != tiles[0]
    for one, limit in zip(chosen, (whole, narrow, narrow), strict=False):
        assert 4 * one.spec.tile.smem_size + one.shared_bytes == limit
        assert one.ws.outputs.size == 0
    assert chosen[3].shared_bytes == 0
    units = sum(problem.network.sizes[1:])
    assert chosen[3].ws.outputs.size >= units * len(problem.row_ids)


def test_a_session_predicts_fused(chosen):
    problem = problem_of(activations=("relu",), normalization="batch")
    vector, rows = parameters_for(problem.network), np.array([3, 1, 3])
    results = []
    for backend in (reference, on_device()):
        with backend.open_session(problem, vector) as opened:
            results.append(opened.outputs(problem.x, rows))
    assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-12)
    assert chosen[0].shared_bytes > 0
