"""Matrix products beside OpenBLAS: why skmlp has a GEMM kernel of its own.

Single-threaded, on the shapes of training: forward (rows × features × units) and the
gradient of the weights (features × units over the rows). SciPy's BLAS is called with
arrays in the memory order that it wants, so that nothing is copied.
"""

import argparse
import statistics
import time

import machine
import numpy as np
from numba import njit
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

from skmlp.backends.cpu.gemm import matmul, simd

SHAPES = [
    (32, 20, 32),
    (200, 20, 100),
    (200, 100, 10),
    (200, 54, 100),
    (200, 784, 100),
    (256, 256, 256),
    (256, 784, 512),
    (1024, 512, 512),
]
REPEATS = 7
# The calls run inside one compiled loop: entering it from Python takes as long as a
# small product.
WORK = 4e7


@njit
def forward(multiply, a, b, out, sizes, calls):
    for _ in range(calls):
        matmul.product(multiply, (a, 0), (b, 0), (out, 0, 0), (out, 0), sizes)


@njit
def gradient(multiply, a, b, out, sizes, calls):
    rows = sizes[0]
    for _ in range(calls):
        matmul.product_of_transposed(multiply, (a, 0, rows), (b, 0), (out, 0), sizes, 0)


def median_seconds(call, calls):
    call(1)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call(calls)
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def of_skmlp(product, a, b, sizes):
    """Seconds of one product by skmlp."""
    packing = np.empty(matmul.packing_size(max(sizes), a.dtype), a.dtype)
    multiply = matmul.multiplier(a.dtype, packing)
    out = np.empty(sizes[0] * sizes[1], a.dtype)
    calls = max(3, int(WORK / np.prod(sizes)))
    arguments = (multiply, a.ravel(), b.ravel(), out, sizes)
    return median_seconds(lambda n: product(*arguments, n), calls)


def of_blas(a, b, transposed):
    """Seconds of one product by SciPy's BLAS, in column-major order."""
    gemm = blas.sgemm if a.dtype == np.float32 else blas.dgemm
    out = np.empty((a.shape[1] if transposed else a.shape[0], b.shape[1]), a.dtype)
    calls = max(3, int(WORK / (out.size * b.shape[0])))

    def run(n):
        for _ in range(n):
            gemm(1.0, b.T, a.T, trans_b=transposed, beta=0.0, c=out.T, overwrite_c=True)

    return median_seconds(run, calls)


def row(shape, dtype):
    """Rates in GFLOP/s: forward and gradient, by skmlp and by BLAS."""
    n, features, units = shape
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, features)).astype(dtype)
    w = rng.normal(size=(features, units)).astype(dtype)
    d = rng.normal(size=(n, units)).astype(dtype)
    seconds = (
        of_skmlp(forward, x, w, (n, units, features)),
        of_blas(x, w, transposed=False),
        of_skmlp(gradient, x, d, (features, units, n)),
        of_blas(x, d, transposed=True),
    )
    return [2e-9 * n * features * units / s for s in seconds]


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    print(machine.in_words(machine.describe()))
    print(f"one thread, GFLOP/s; skmlp's vectors have {8 * simd.VECTOR_BYTES} bits")
    for dtype in (np.float32, np.float64):
        print(f"\n{np.dtype(dtype).name}")
        columns = ("rows x features x units", "forward", "BLAS", "gradient", "BLAS")
        print("{:>24} {:>9} {:>9} {:>9} {:>9}".format(*columns))
        with threadpool_limits(1, user_api="blas"):
            for shape in SHAPES:
                name = " x ".join(map(str, shape))
                rates = "".join(f" {rate:9.0f}" for rate in row(shape, dtype))
                print(f"{name:>24}{rates}")


if __name__ == "__main__":
    main()
