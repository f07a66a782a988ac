"""Matrix products (GEMM) against NumPy, over ragged shapes.

Such kernels go wrong at sizes of one, and at one less and one more than a register
tile, a vector and a pass of the inner dimension.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from skmlp.backends.cpu.gemm import matmul, simd

LANES = simd.VECTOR_BYTES // 8
ROWS = [1, 3, matmul._MR - 1, matmul._MR, matmul._MR + 5]
COLUMNS = sorted({1, LANES - 1, LANES, LANES + 1, 3 * LANES, 3 * LANES + 1, 100})
INNER = [1, 2, matmul._KC, matmul._KC + 1]
DTYPES = [np.float32, np.float64]


@njit
def run_product(gemm, a, b, c_row, out, shape):
    matmul.product(gemm, (a, 0), (b, 0), c_row, (out, 3), shape)


@njit
def run_product_of_transposed(gemm, a, stride, b, out, shape, beta):
    matmul.product_of_transposed(gemm, (a, 1, stride), (b, 0), (out, 3), shape, beta)


@njit
def run_transpose(source, target, shape):
    matmul.transpose(source, 0, target, 1, shape)


def multiplier(dtype, size=None):
    """The product with a packing buffer, by default for both factors."""
    if size is None:
        size = matmul.packing_size(10**6, np.dtype(dtype))
    return matmul.multiplier(np.dtype(dtype), np.full(size, np.nan, dtype))


def guarded(size, dtype):
    """Memory for a result between three elements on each side that must not change."""
    return np.full(size + 6, 7.0, dtype=dtype)


def check(out, expected, dtype):
    size = expected.size
    assert_array_equal(out[:3], 7.0)
    assert_array_equal(out[3 + size :], 7.0)
    tolerance = 200 * np.finfo(dtype).eps
    result = out[3 : 3 + size].reshape(expected.shape)
    assert_allclose(result, expected, rtol=tolerance, atol=tolerance * 20)


@pytest.mark.parametrize("beta", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("rows", ROWS)
def test_products(rows, inner, dtype, beta):
    rng = np.random.default_rng(0)
    gemm = multiplier(dtype)
    for columns in COLUMNS:
        a = rng.normal(size=(rows, inner)).astype(dtype)
        b = rng.normal(size=(inner, columns)).astype(dtype)
        shape = (rows, columns, inner)
        c_row = rng.normal(size=columns + 1).astype(dtype)
        out = guarded(rows * columns, dtype)
        run_product(gemm, a.ravel(), b.ravel(), (c_row, 1, beta), out, shape)
        check(out, a.astype(float) @ b + beta * c_row[1:], dtype)
        # Columns 1 to rows + 1 of a matrix that has two more.
        wide = rng.normal(size=(inner, rows + 2)).astype(dtype)
        out = guarded(rows * columns, dtype)
        run_product_of_transposed(
            gemm, wide.ravel(), rows + 2, b.ravel(), out, shape, beta
        )
        check(out, wide[:, 1 : rows + 1].T.astype(float) @ b + 7.0 * beta, dtype)


@pytest.mark.parametrize("beta", [0, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_with_packing(dtype, beta):
    """Row strides from which factors are packed, and more than one packed block."""
    lanes = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    columns = matmul._PACK_B_STRIDE // np.dtype(dtype).itemsize + lanes + 1
    assert columns >= matmul._PACK_A_PANELS * matmul._NR_VECTORS * lanes
    rows = matmul._PACKED_A_BYTES // np.dtype(dtype).itemsize + matmul._MR + 1
    inner = matmul._KC + 1
    stride = max(rows + 2, matmul._PACK_A_STRIDE // np.dtype(dtype).itemsize)
    rng = np.random.default_rng(0)
    gemm = multiplier(dtype)
    wide = rng.normal(size=(inner, stride)).astype(dtype)
    a = wide[:, 1 : rows + 1].T
    b = rng.normal(size=(inner, columns)).astype(dtype)
    expected = a.astype(float) @ b + 7.0 * beta
    c_row = np.full(columns, 7.0, dtype)
    shape = (rows, columns, inner)
    out, of_transposed = (guarded(rows * columns, dtype) for _ in range(2))
    run_product(gemm, a.ravel(), b.ravel(), (c_row, 0, beta), out, shape)
    check(out, expected, dtype)
    run_product_of_transposed(
        gemm, wide.ravel(), stride, b.ravel(), of_transposed, shape, beta
    )
    assert_array_equal(of_transposed, out)
    # With room for B alone, or for nothing, the same bits.
    for size in (matmul.packing_size(10**6, np.dtype(dtype), 10**6), 1):
        less = multiplier(dtype, size)
        again = guarded(rows * columns, dtype)
        arguments = (wide.ravel(), stride, b.ravel(), again, shape, beta)
        run_product_of_transposed(less, *arguments)
        assert_array_equal(again, out)


@pytest.mark.parametrize("columns", [50, 530])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row_has_the_same_bits(dtype, columns):
    rng = np.random.default_rng(0)
    rows = matmul._PACK_B_ROWS + 13
    a = rng.normal(size=(rows, 300)).astype(dtype)
    b = rng.normal(size=(300, columns)).astype(dtype)
    gemm = multiplier(dtype)
    c_row = (rng.normal(size=columns).astype(dtype), 0, 1)
    whole = guarded(rows * columns, dtype)
    run_product(gemm, a.ravel(), b.ravel(), c_row, whole, (rows, columns, 300))
    whole = whole[3:-3].reshape(rows, columns)
    for i in range(rows):
        out = guarded(columns, dtype)
        run_product(gemm, a[i].copy(), b.ravel(), c_row, out, (1, columns, 300))
        assert_array_equal(out[3:-3], whole[i])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 17), (16, 16), (33, 40), (9, 8)])
def test_transpose(shape, dtype):
    source = np.random.default_rng(0).normal(size=shape).astype(dtype)
    rows, columns = shape
    stride = rows + 3
    target = np.zeros(stride * columns, dtype)
    run_transpose(source.ravel(), target, (rows, columns, stride))
    assert_array_equal(target.reshape(columns, stride)[:, 1 : rows + 1], source.T)
    assert np.count_nonzero(target) == source.size


PROCESSORS = {
    "AVX2": ("haswell", "+avx,+avx2,+fma,+bmi,+bmi2,+sse4.2,+popcnt", 32),
    "SSE2": ("x86-64", "+sse2", 16),
}
SCRIPT = """
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier as Expected
from skmlp import MLPClassifier
from skmlp.backends.cpu.gemm import simd
import sys, warnings

assert simd.VECTOR_BYTES == int(sys.argv[1]), simd.VECTOR_BYTES
warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
settings = {"hidden_layer_sizes": (71, 33), "max_iter": 2, "random_state": 0}
fitted = MLPClassifier(**settings).fit(X / 16, y)
expected = Expected(**settings).fit(X / 16, y)
for mine, theirs in zip(fitted.coefs_, expected.coefs_):
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-9)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not (sys.platform == "linux" and simd.VECTOR_BYTES >= 32),
    reason="compiles for older x86 processors; this one must have AVX",
)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_other_instruction_sets(processor):
    """The micro-kernels for narrower registers, which this processor runs as well."""
    name, features, vector_bytes = PROCESSORS[processor]
    environment = os.environ | {
        "NUMBA_CPU_NAME": name,
        "NUMBA_CPU_FEATURES": features,
    }
    command = [sys.executable, "-c", SCRIPT, str(vector_bytes)]
    subprocess.run(command, env=environment, check=True, timeout=300)
