"""The per-operation program, against the reference and the persistent kernel.

It is meant for steps that are too large for the simulator; here it trains small
networks.
"""

import itertools
import sys
import types

import numpy as np
import pytest
from gpu_fixtures import (
    BLOCKS,
    SOFTMAX,
    SQUARED,
    WIDE,
    WIDE_BATCH,
    assert_equals_reference,
    assert_near,
    assert_same_bits,
    on_device,
    parameters_for,
    problem_of,
    train,
)
from host_cublas import HostLibrary
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from rule_runners import LOSSES, name_of

from skmlp.backends import reference
from skmlp.backends.cuda import plan, session, workspace
from skmlp.backends.cuda.kernels import ops
from skmlp.backends.cuda.programs import matmul
from skmlp.backends.cuda.programs.per_op import PerOp
from skmlp.backends.cuda.runtime import cublas, graph
from skmlp.rules.optimizers import OPTIMIZERS

TILE = 8
SIZES = [1, TILE - 1, TILE, TILE + 1]
TWO_WARPS = (8, 2, 8)


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    """Every training is per operation; a list of the rows of each of its batches."""
    rows, step = [], PerOp._step

    def counting(self, n):
        rows.append(n)
        return step(self, n)

    monkeypatch.setattr(plan, "PER_OP_FLOP", 0)
    monkeypatch.setattr(PerOp, "_step", counting)
    return rows


def assert_per_op_equals_reference(steps, problem, **settings):
    assert_equals_reference(problem, **settings)
    assert steps


@pytest.mark.parametrize("row", LOSSES, ids=name_of)
def test_losses(row, steps):
    is_sparse = LOSSES.index(row) % 3 == 1
    problem = problem_of(row, weighted=True, is_sparse=is_sparse)
    assert_per_op_equals_reference(steps, problem)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("depth", range(4))
def test_depths(depth, dtype, steps):
    names = ("softmax", "relu", "gelu")[:depth]
    problem = problem_of(SOFTMAX, names)
    assert_per_op_equals_reference(steps, problem, dtype=dtype)


@pytest.mark.parametrize("solver", OPTIMIZERS)
@pytest.mark.parametrize("limit", [np.inf, 0.5])
def test_optimizers(solver, limit, steps):
    problem = problem_of(activations=("relu", "gelu"), max_grad_norm=limit)
    assert_per_op_equals_reference(steps, problem, solver=solver)


@pytest.mark.parametrize("n_features", SIZES)
@pytest.mark.parametrize("batch_size", SIZES)
def test_sizes_around_a_tile(batch_size, n_features, steps):
    # 19 rows: the last batch has another size each time, or one row.
    problem = problem_of(n_rows=19, n_features=n_features)
    assert_per_op_equals_reference(steps, problem, batch_size=batch_size)
    remainder = 19 % batch_size
    assert steps.count(remainder) == (2 if remainder else 0)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("units", [(1, 9), (7, 8), (9, 1)])
def test_units_around_a_tile(units, normalization, steps):
    problem = problem_of(
        SQUARED, ("tanh", "relu"), units=units, normalization=normalization
    )
    assert_per_op_equals_reference(steps, problem)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("limit", [np.inf, 0.5])
def test_without_intercepts(limit, is_sparse, normalization, steps):
    problem = problem_of(
        intercepts=False,
        is_sparse=is_sparse,
        normalization=normalization,
        max_grad_norm=limit,
    )
    assert_per_op_equals_reference(steps, problem)


REGULARIZATIONS = {
    "dropout": {"dropout": (0.3, 0.6)},
    "noise": {"input_noise": 0.2},
    "max_norm": {"max_norm": 0.7},
    "max_grad_norm": {"max_grad_norm": 0.3},
    "all": {
        "dropout": (0.3, 0.2),
        "input_noise": 0.1,
        "max_norm": 0.7,
        "max_grad_norm": 0.3,
    },
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("what", REGULARIZATIONS)
def test_regularization(what, normalization, dtype, steps):
    problem = problem_of(
        *(SOFTMAX, ("softmax", "gelu")),
        normalization=normalization,
        weighted=True,
        seed=12345,
        **REGULARIZATIONS[what],
    )
    assert_per_op_equals_reference(steps, problem, dtype=dtype)


@pytest.mark.parametrize("name", ["dropout", "max_norm", "max_grad_norm"])
def test_regularization_of_sparse_rows(name, steps):
    problem = problem_of(
        SQUARED, ("softmax", "silu"), is_sparse=True, seed=7, **REGULARIZATIONS[name]
    )
    assert_per_op_equals_reference(steps, problem)


# Together they cover every phase of a training.
PROBLEMS = {
    "batch norm": (
        *(SOFTMAX, ("relu", "softmax")),
        {"normalization": "batch", "dropout": (0.3, 0.2), "weighted": True},
    ),
    "layer norm, noise, limits": (
        *(SQUARED, ("gelu", "tanh")),
        {
            "normalization": "layer",
            "input_noise": 0.1,
            "max_norm": 0.8,
            "max_grad_norm": 0.4,
        },
    ),
    "sparse": (SOFTMAX, ("softmax",), {"is_sparse": True}),
    "no hidden layer": (SQUARED, (), {"weighted": True}),
    "embedding": (SOFTMAX, ("tanh", "relu"), {"bins": 4}),
}
every_problem = pytest.mark.parametrize("what", PROBLEMS)


def named(what):
    row, activations, settings = PROBLEMS[what]
    return problem_of(row, activations, n_rows=14, n_features=9, **settings)


@pytest.mark.usefixtures("any_order")
@every_problem
def test_no_races_in_any_order(what, steps):
    assert_per_op_equals_reference(steps, named(what), batch_size=6)


@pytest.mark.needs_simulator
@every_problem
def test_blocks_of_several_warps(monkeypatch, what, steps):
    monkeypatch.setattr(plan, "_SIMULATED", TWO_WARPS)
    assert_per_op_equals_reference(steps, named(what))


@pytest.mark.slow
@pytest.mark.needs_simulator
def test_more_partial_sums_than_lanes(monkeypatch, steps):
    monkeypatch.setattr(plan, "_SIMULATED", TWO_WARPS)
    monkeypatch.setattr(ops, "_WEIGHTS_PER_THREAD", 1)
    ops.operation.cache_clear()
    problem = problem_of(n_features=40, units=(30,), max_grad_norm=0.4)
    assert_per_op_equals_reference(steps, problem)
    ops.operation.cache_clear()


@pytest.mark.needs_simulator
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_problem
def test_calls_of_cublas(monkeypatch, what, dtype, steps):
    """Everything but NVIDIA's own code, on the simulator's memory."""
    library = HostLibrary()

    def address(array, start=0):
        return array.__array_interface__["data"][0] + int(start) * array.dtype.itemsize

    def choose(spec, row_ids, stream, tf32):
        return cublas.Products(library, spec.dtype, 0, tf32)

    monkeypatch.setattr(cublas, "_address", address)
    monkeypatch.setattr(matmul, "choose", choose)
    assert_per_op_equals_reference(steps, named(what), dtype=dtype)
    gemm = "cublasSgemm_v2" if dtype == np.float32 else "cublasDgemm_v2"
    assert library.calls.count(gemm) >= 2 * len(steps)
    assert library.calls[-1] == "cublasDestroy_v2"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_problem
def test_equals_the_persistent_program_up_to_rounding(monkeypatch, what, dtype, steps):
    per_op = train(on_device(), named(what), dtype=dtype)
    n_steps = len(steps)
    monkeypatch.setattr(plan, "PER_OP_FLOP", np.inf)
    persistent = train(on_device(), named(what), dtype=dtype)
    assert len(steps) == n_steps > 0
    assert_near(per_op, persistent, 1e-9 if dtype == np.float64 else 1e-3)


@every_problem
def test_bits_do_not_depend_on_the_number_of_blocks(monkeypatch, what):
    row, activations, settings = PROBLEMS[what]
    problem = problem_of(row, activations, **WIDE, **settings)
    results = []
    for n_blocks in BLOCKS:
        monkeypatch.setattr(plan, "blocks_for", lambda n, _, k=n_blocks: min(n, k))
        results.append(train(on_device(), problem, batch_size=WIDE_BATCH))
    assert_near(results[0], train(reference, problem, batch_size=WIDE_BATCH), 1e-9)
    for other in results[1:]:
        assert_same_bits(other, results[0])


@every_problem
def test_batch_ranges_may_be_cut_anywhere(monkeypatch, what):
    whole = train(on_device(), named(what))
    assert_same_bits(train(on_device(), named(what), cuts=(1, 3)), whole)
    monkeypatch.setattr(workspace, "_MAX_BATCHES", 2)
    assert_same_bits(train(on_device(), named(what)), whole)


@pytest.mark.parametrize("n_rows", [12, 14])
def test_one_graph_per_batch_size_for_all_batches_but_the_first(
    monkeypatch, n_rows, steps
):
    recorded = []

    class Recorded:
        def __init__(self, stream, operations):
            self.operations, self.launches, self.closed = operations, 0, False
            recorded.append(self)

        def launch(self):
            self.launches += 1
            self.operations()

        def close(self):
            self.closed = True

    monkeypatch.setattr(graph, "capture", Recorded)
    train(on_device(), problem_of(n_rows=n_rows), batch_size=4)
    assert all(one.closed for one in recorded)
    # Two epochs of three batches of 4 rows, and one of the 2 that are left.
    assert [one.launches for one in recorded] == ([5, 1] if n_rows == 14 else [5])
    assert steps.count(4) == 2 * 3
    assert steps.count(2) == (2 if n_rows == 14 else 0)


@pytest.mark.parametrize(("calls", "batch"), [(0, 0), (1, 1), (3, 2)])
def test_an_interrupted_batch_leaves_no_trace(monkeypatch, calls, batch):
    """The first batch of each size runs eagerly: batches 0 and 2 here."""
    made, advancing = [], ops.advancing

    def interrupted():
        if len(made) == calls:
            raise KeyboardInterrupt
        made.append(batch)
        return advancing()

    problem = problem_of(n_rows=10)
    vector = parameters_for(problem.network)
    whole = make_optimizer("adam", vector.size)
    with on_device().open_session(problem, vector) as opened:
        rates = whole.next_rates((0, 3), 3).table
        if batch > 0:
            opened.train(whole, problem.row_ids, 4, (0, batch), rates[:batch], 0.0)
        expected = opened.params
    optimizer = make_optimizer("adam", vector.size)
    rates = optimizer.next_rates((0, 3), 3).table
    monkeypatch.setattr(graph, "capture", WholeOrNothing)
    monkeypatch.setattr(ops, "advancing", interrupted)
    with on_device().open_session(problem, vector) as opened:
        with pytest.raises(KeyboardInterrupt):
            opened.train(optimizer, problem.row_ids, 4, (0, 3), rates, 0.0)
        assert_array_equal(opened.params, expected)
    assert_array_equal(optimizer.slots, whole.slots)


class WholeOrNothing(graph.SimulatedGraph):
    """A stand-in for a graph: it can be interrupted only before its launch.

    So each launch of a batch asks for the advancing kernel twice.
    """

    def __init__(self, stream, step):
        super().__init__(lambda: (ops.advancing(), step()))


def test_another_optimizer_is_captured_anew(steps):
    problem, results = problem_of(), []
    for backend in (reference, on_device()):
        vector = parameters_for(problem.network)
        optimizers = [make_optimizer("adam", vector.size) for _ in range(2)]
        with backend.open_session(problem, vector) as opened:
            for optimizer in (*optimizers, *optimizers):
                rates = optimizer.next_rates((0, 3), 3).table
                opened.train(optimizer, problem.row_ids, 4, (0, 3), rates, 0.0)
            parameters = np.array(opened.params)
        results.append((parameters, *(one.slots for one in optimizers)))
    assert steps
    for expected, got in zip(*results, strict=True):
        assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fails", [False, True])
def test_programs_are_closed(monkeypatch, fails):
    closed, close = [], PerOp.close
    monkeypatch.setattr(PerOp, "close", lambda self: (closed.append(self), close(self)))
    problem = problem_of()
    vector = parameters_for(problem.network)
    optimizer = make_optimizer("adam", vector.size)

    def fit():
        with on_device().open_session(problem, vector) as opened:
            rates = optimizer.next_rates((0, 3), 3).table
            opened.train(optimizer, problem.row_ids, 4, (0, 3), rates, 0.0)
            if fails:
                raise InterruptedError

    if fails:
        with pytest.raises(InterruptedError):
            fit()
    else:
        fit()
    assert len(closed) == 1
    assert optimizer.slots.any() != fails


def work(*sizes, batch_size=4096, is_sparse=False):
    return plan.Work(batch_size, list(itertools.pairwise(sizes)), is_sparse)


def test_operations_of_a_step():
    # Forward and gradient of both layers, and the deltas between them.
    assert work(3, 5, 2, batch_size=7).flop == 2 * 7 * (2 * 3 * 5 + 3 * 5 * 2)


def test_choice_of_the_program(monkeypatch):
    monkeypatch.undo()
    assert plan.choose_program(work(784, 1024, 1024, 10), False) == "per_op"
    small = work(784, 256, 10, batch_size=200)
    assert plan.choose_program(small, False) == "persistent"
    assert plan.choose_program(small, True) == "per_op"


def test_tf32_reaches_the_products(monkeypatch):
    monkeypatch.undo()
    seen, init = [], session.PerOp.__init__

    def noting(self, fit, work, spec, tf32):
        seen.append(tf32)
        init(self, fit, work, spec, tf32)

    monkeypatch.setattr(PerOp, "__init__", noting)
    problem = problem_of()
    train(on_device(), problem._replace(matmul_precision="tf32"), dtype=np.float32)
    train(on_device(), problem, dtype=np.float32)
    assert seen == [True]


class Driver(types.ModuleType):
    """The driver's graph functions; `calls` records every call."""

    class CUresult:
        CUDA_SUCCESS = types.SimpleNamespace(name="CUDA_SUCCESS")
        BAD = types.SimpleNamespace(name="CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")

    class CUstreamCaptureMode:
        CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = "mode"

    RESULTS = {"cuStreamEndCapture": ("graph",), "cuGraphInstantiate": ("exec",)}

    def __init__(self, fails=""):
        super().__init__("driver")
        self.calls = []
        for name in (
            *("cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate"),
            *("cuGraphLaunch", "cuGraphDestroy", "cuGraphExecDestroy"),
        ):
            setattr(self, name, self._function(name, name == fails))

    def _function(self, name, fails):
        values = self.RESULTS.get(name, ())

        def call(*arguments):
            self.calls.append((name, *arguments))
            if fails:
                return (self.CUresult.BAD, *(None for _ in values))
            return (self.CUresult.CUDA_SUCCESS, *values)

        return call

    @staticmethod
    def CUstream(handle):
        return f"stream {handle}"


@pytest.fixture
def driver(monkeypatch):
    """``driver(fails)``: a driver in the place of the real one."""

    def driver(fails=""):
        made = Driver(fails)
        bindings = types.ModuleType("cuda.bindings")
        bindings.driver = made
        package = types.ModuleType("cuda")
        package.bindings = bindings
        for module in (package, bindings):
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(sys.modules, "cuda.bindings.driver", made)
        return made

    return driver


BEGIN = ("cuStreamBeginCapture", "stream 7", "mode")
END = ("cuStreamEndCapture", "stream 7")
INSTANTIATE = ("cuGraphInstantiate", "graph", 0)
DESTROY = ("cuGraphDestroy", "graph")


def test_a_graph_is_captured_launched_and_destroyed(driver):
    made = driver()
    one = graph.Graph(7, lambda: made.calls.append("operations"))
    assert made.calls == [BEGIN, "operations", END, INSTANTIATE, DESTROY]
    one.launch()
    assert made.calls[-1] == ("cuGraphLaunch", "exec", "stream 7")
    one.close()
    one.close()
    assert made.calls[5:] == [made.calls[5], ("cuGraphExecDestroy", "exec")]


def test_failing_operations_end_the_capture(driver):
    made = driver()

    def fail():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        graph.Graph(7, fail)
    assert made.calls == [BEGIN, END, DESTROY]


@pytest.mark.parametrize(
    ("fails", "calls"),
    [
        ("cuStreamBeginCapture", [BEGIN]),
        ("cuStreamEndCapture", [BEGIN, END]),
        ("cuGraphInstantiate", [BEGIN, END, INSTANTIATE, DESTROY]),
    ],
)
def test_a_driver_that_fails_is_named(driver, fails, calls):
    made = driver(fails)
    message = f"{fails} returned CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
    with pytest.raises(RuntimeError, match=message):
        graph.Graph(7, lambda: None)
    assert made.calls == calls


def test_destroying_a_graph_hides_no_other_error(driver):
    driver("cuGraphExecDestroy")
    graph.Graph(7, lambda: None).close()


@pytest.mark.needs_gpu
@every_problem
def test_a_captured_step_equals_the_eager_one(monkeypatch, what):
    recorded = train(on_device(), named(what), batch_size=2)
    monkeypatch.setattr(
        graph, "capture", lambda stream, operations: graph.SimulatedGraph(operations)
    )
    assert_same_bits(train(on_device(), named(what), batch_size=2), recorded)


@pytest.mark.needs_gpu
def test_tf32_is_near():
    problem = problem_of(n_rows=256, n_features=32, units=(64,))
    expected = train(reference, problem, batch_size=64, solver="sgd")
    tf32 = problem._replace(matmul_precision="tf32")
    result = train(on_device(), tf32, batch_size=64, solver="sgd", dtype=np.float32)
    assert_near(result, expected, 0.02)
