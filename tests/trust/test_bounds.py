"""Kernels within bounds: all of them, with guard pages around every array.

Arrays are buffers, parameters, data and everything else that NumPy allocates (see
`guard_pages`). Sizes go from one to one more than a tile of the matrix product.
`python tests/trust/test_bounds.py fits after float32 1000` runs as many random fits,
and prints the number of each before it runs.
"""

import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

TESTS = Path(__file__).parents[1]
# The kernels' own tests have functions that call them; one draws fits.
sys.path += [str(TESTS / name) for name in ("helpers", "estimators", "cpu")]

from guard_pages import Guards, guard_every_element  # noqa: E402
from random_cases import Dealer  # noqa: E402
from sized_fits import draw_sized, run, tile  # noqa: E402
from subprocesses import PACKAGE  # noqa: E402
from test_matmul import (  # noqa: E402
    multiplier,
    run_product,
    run_product_of_transposed,
    run_transpose,
)
from test_vector_ops import copy, sums  # noqa: E402

from skmlp import MLPClassifier  # noqa: E402
from skmlp.backends.cpu import plan, session, workspace  # noqa: E402
from skmlp.backends.cpu.gemm import matmul  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="calls Linux's mmap")

SIDES, DTYPES = ("after", "before"), ("float32", "float64")


def normals(size, dtype):
    return np.random.default_rng(size).normal(size=size).astype(dtype)


def shapes_of_products(dtype):
    """Shapes of up to a tile and one more, then those whose factors are packed."""
    most_rows, most_columns = tile(dtype)
    itemsize = np.dtype(dtype).itemsize
    yield from (
        (m, n, k)
        for m in range(1, most_rows + 2)
        for n in range(1, most_columns + 2)
        for k in range(1, most_rows + 2)
    )
    # A single column is a sum along vectors.
    yield from ((m, 1, k) for m in (1, 4, 5) for k in range(1, 2 * most_columns))
    for n in (matmul._PACK_B_STRIDE // itemsize, matmul._PACK_A_PANELS * most_columns):
        for m in (matmul._PACK_B_ROWS, matmul._PACK_A_STRIDE // itemsize):
            yield from ((m + d, n + d, matmul._KC + 1) for d in (-1, 0, 1))


def products(dtype, step):
    """Products and transposes of every step-th shape; the same bits with packing."""
    for m, n, k in [*shapes_of_products(dtype)][::-step]:
        a, b, c_row = (normals(size, dtype) for size in (m * k, k * n, n))
        # Their first column is not used.
        wide = np.concatenate([a[:1], a])
        found = []
        # With room to pack both factors, B, or nothing.
        for size in (None, matmul.packing_size(10**6, np.dtype(dtype), 10**6), 0):
            gemm = multiplier(dtype, size)
            for beta in (0, 1):
                out, of_transposed = np.ones((2, m * n + 3), dtype)
                run_product(gemm, a, b, (c_row, 0, beta), out, (m, n, k))
                shape = (m, n, k)
                run_product_of_transposed(gemm, wide, m, b, of_transposed, shape, beta)
                found.append((out.tobytes(), of_transposed.tobytes()))
        assert found[:2] == found[2:4] == found[4:]
        source, target = normals(m * n, dtype), np.zeros(m * n + 1, dtype)
        run_transpose(source, target, (m, n, m))
        assert np.array_equal(target[1:].reshape(n, m).T, source.reshape(m, n))


def vectors(dtype, step):
    """Copies of rows and sums of columns."""
    most_rows, most_columns = tile(dtype)
    for columns in range(1, 3 * most_columns + 2, step):
        source, target = normals(columns, dtype), np.empty(columns, dtype)
        copy(source, target, 0, columns)
        assert np.array_equal(source, target)
        for rows in range(1, most_rows + 2):
            matrix = normals(rows * columns, dtype).reshape(rows, columns)
            sums(matrix, target)
            assert np.allclose(target, matrix.sum(axis=0), atol=1e-4)


def fits(side, dtype, count):
    """Random fits; the bits are those in ordinary memory."""
    guard_every_element(workspace, session, plan)
    guarded, ordinary = Dealer(count), Dealer(count)
    n_failed = 0
    for number in range(count):
        print(number, file=sys.stderr, flush=True)
        expected = run(draw_sized(ordinary, dtype))
        with Guards(side) as guards:
            fit = draw_sized(guarded, dtype)
            assert guards.holds(np.empty(3))
            assert run(fit) == expected, number
        n_failed += isinstance(expected, str)
    return n_failed


def suite(side, dtype, step, count):
    """Products, vectors and fits; returns how many fits refused their data."""
    with Guards(side):
        products(dtype, step)
        vectors(dtype, step)
    return fits(side, dtype, count)


def died_by(call):
    """The signal that ends a child process in which a function is called, or 0."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        call()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def a_fit():
    x, y = np.random.default_rng(0).normal(size=(20, 5)), np.arange(20) % 3
    MLPClassifier((6, 4), max_iter=1, batch_size=10, random_state=0).fit(x, y)


def with_a_short_buffer(number):
    """A fit whose aligned buffer of a number lacks its last element."""
    numbers = iter(range(100))
    workspace.aligned = lambda size, dtype: np.empty(
        size - (next(numbers) == number), dtype
    )
    a_fit()


def plants():
    """The signals by which what is out of bounds on purpose ends a process."""
    warnings.simplefilter("ignore")
    guard_every_element(workspace, session, plan)
    n, gemm = 10, multiplier("float64")

    def product(a, b, out, n_inner):
        run_product(gemm, a, b, (b, 0, 0), out, (n, n, n_inner))

    def calls():
        row, other, short = np.ones(n), np.ones(n), np.ones(n - 1)
        square, out = np.ones((n, n)), np.ones(n * n + 3)
        yield "a copy", lambda: copy(row, other, 0, n)
        yield "a copy too long", lambda: copy(row, other, 0, n + 1)
        yield "a copy that begins before", lambda: copy(row, other, -1, n)
        yield "sums", lambda: sums(square, row)
        yield "sums of too many columns", lambda: sums(square, short)
        yield "a product", lambda: product(square.ravel(), square.ravel(), out, n)
        yield "a product too deep", lambda: product(row, square.ravel(), out, n + 1)
        yield "a fit", a_fit
        # Parameters and the gradients of row blocks come first.
        yield "outputs too short", lambda: with_a_short_buffer(2)
        yield "deltas too short", lambda: with_a_short_buffer(3)

    for name, call in calls():
        if "too" not in name and "before" not in name:
            call()  # compiles
    found = {}
    for side in SIDES:
        with Guards(side):
            found[side] = {name: died_by(call) for name, call in calls()}
    return found


def in_a_process(*arguments, timeout=600, **environment):
    """What a part of the suite returns, with its exit status and what it printed."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def result_of(*arguments, **options):
    done = in_a_process(*arguments, **options)
    # What it printed last is the case that ended it, and the stack.
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


slow = pytest.mark.slow
# Every how many shapes of products, and how many fits.
SAMPLE, ALL = (97, 12), (1, 150)


@pytest.mark.parametrize(
    ("dtype", "part"),
    [("float64", SAMPLE), *(pytest.param(d, ALL, marks=slow) for d in DTYPES)],
)
@pytest.mark.parametrize("side", SIDES)
def test_kernels_within_bounds(side, dtype, part):
    step, count = part
    failed = result_of("suite", side, dtype, step, count)
    assert failed <= count // 10


def test_what_is_out_of_bounds_is_found():
    found = result_of("plants")
    segv = int(signal.SIGSEGV)
    for side, too_far in (("after", "too"), ("before", "before")):
        for name, number in found[side].items():
            assert number == (segv if too_far in name else 0), (side, name)


# One element too many, in the source: lanes of a partial vector, elements of a sparse
# row, rows of a minibatch's targets.
MUTANTS = {
    "lanes": (
        "backends/cpu/gemm/simd.py",
        'icmp_signed("<", indices',
        'icmp_signed("<=", indices',
    ),
    "a sparse row": (
        "backends/cpu/kernels/input_layer.py",
        "range(x.indptr[row], x.indptr[row + 1])",
        "range(x.indptr[row], x.indptr[row + 1] + 1)",
    ),
}


@slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(tmp_path, name):
    file, old, new = MUTANTS[name]
    shutil.copytree(PACKAGE, tmp_path / "skmlp")
    text = (tmp_path / "skmlp" / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    changed = text.replace(old, new)
    (tmp_path / "skmlp" / file).write_text(changed, encoding="utf-8")
    environment = {"PYTHONPATH": str(tmp_path), "SKMLP_CACHE_DIR": ""}
    done = in_a_process("fits", "after", "float64", 30, **environment)
    assert done.returncode == -signal.SIGSEGV, done.stderr[-3000:]


def main():
    faulthandler.enable()
    name, *arguments = sys.argv[1:]
    parts = {"suite": suite, "fits": fits, "plants": plants}
    arguments = [int(a) if a.isdigit() else a for a in arguments]
    print(json.dumps(parts[name](*arguments)))


if __name__ == "__main__":
    main()
