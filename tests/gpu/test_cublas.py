"""Calls of cuBLAS, checked by a stand-in on the host."""

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from host_cublas import GEMM, INT, NAMES, POINTER, SIGNATURES, HostLibrary
from numba import cuda
from numpy.testing import assert_allclose, assert_array_equal

from skmlp.backends.cuda.kernels.tile import Tile
from skmlp.backends.cuda.programs import matmul
from skmlp.backends.cuda.programs.matmul import Matrix, TileProducts
from skmlp.backends.cuda.runtime import cublas, graph
from skmlp.backends.cuda.runtime.memory import upload


class OnHost:
    """A host vector with the CUDA array interface."""

    def __init__(self, values):
        self.values = values
        self.__cuda_array_interface__ = values.__array_interface__


@pytest.fixture(autouse=True)
def _workspace(monkeypatch):
    """The stand-in's workspace is on the host."""
    if cuda.is_available() and not hasattr(cuda.to_device(np.zeros(1)), "_ary"):
        return
    monkeypatch.setattr(
        cublas, "allocate", lambda size, dtype: OnHost(np.zeros(size, dtype))
    )


def products_on_host(library=None, dtype=np.float64, stream=0, tf32=False):
    return cublas.Products(library or HostLibrary(), dtype, stream, tf32)


# Rows, columns and inner dimension, and which factors are stored transposed: of a
# layer, of the deltas below it, of its gradient, of the sums of its deltas.
USES = {
    "outputs": ((5, 7, 3), False, False),
    "deltas": ((5, 3, 7), False, True),
    "gradient": ((3, 7, 5), True, False),
    "sums": ((1, 7, 5), False, False),
    "one unit": ((5, 1, 3), False, False),
    "one feature": ((1, 7, 5), True, False),
    "both": ((4, 6, 9), True, True),
    "single": ((1, 1, 1), False, True),
}


def matrices(sizes, is_transposed, dtype):
    """Two factors and a result inside longer vectors, and the factors as matrices."""
    rows, columns, inner = sizes
    rng = np.random.default_rng(0)
    factors, expected = [], []
    for shape, flip in zip(
        [(rows, inner), (inner, columns)], is_transposed, strict=True
    ):
        stored = shape[::-1] if flip else shape
        start = len(factors) + 2
        vector = rng.normal(size=start + stored[0] * stored[1] + 3).astype(dtype)
        whole = vector[start : start + stored[0] * stored[1]].reshape(stored)
        expected.append(whole.T if flip else whole)
        factors.append(Matrix(vector, start, stored[1], flip))
    result = Matrix(np.full(rows * columns + 5, -1.0, dtype), 4, columns)
    return factors, result, expected


def check_result(vector, sizes, expected):
    size = sizes[0] * sizes[1]
    got = vector[4 : 4 + size].reshape(sizes[:2])
    rtol = 1e-5 if vector.dtype == np.float32 else 1e-12
    assert_allclose(got, expected[0] @ expected[1], rtol=rtol, atol=rtol)
    assert_array_equal(vector[:4], -1)
    assert_array_equal(vector[4 + size :], -1)


@pytest.mark.parametrize("integer", [int, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("use", USES)
def test_arguments(use, dtype, integer):
    sizes, *is_transposed = USES[use]
    sizes = tuple(map(integer, sizes))
    factors, result, expected = matrices(sizes, is_transposed, dtype)
    a, b, out = (
        Matrix(OnHost(m.array), integer(m.start), integer(m.columns), m.transposed)
        for m in (*factors, result)
    )
    library = HostLibrary()
    products_on_host(library, dtype).multiply(sizes, a, b, out)
    check_result(out.array.values, sizes, expected)
    letter = "S" if dtype == np.float32 else "D"
    assert library.calls[-1] == f"cublas{letter}gemm_v2"


@pytest.mark.usefixtures("any_order")
@pytest.mark.parametrize("use", USES)
def test_products_of_the_gemm_kernel(use):
    sizes, *is_transposed = USES[use]
    factors, result, expected = matrices(sizes, is_transposed, np.float64)
    a, b, out = (m._replace(array=upload(m.array)) for m in (*factors, result))
    order, stream = upload(np.zeros(1, dtype=np.int64)), graph.new_stream()
    products = TileProducts(
        Tile(4, 2, 4, split_threshold=2), np.dtype(np.float64), order, stream
    )
    products.multiply(sizes, a, b, out)
    stream.synchronize()
    check_result(out.array.copy_to_host(), sizes, expected)


@pytest.mark.parametrize("tf32", [False, True])
def test_the_setup(tf32):
    library = HostLibrary()
    made = products_on_host(library, np.float32, 77, tf32)
    assert library.calls == [
        *("cublasCreate_v2", "cublasSetStream_v2"),
        *("cublasSetWorkspace_v2", "cublasSetMathMode"),
    ]
    assert library.arguments["cublasSetStream_v2"][1] == 77
    assert library.arguments["cublasSetWorkspace_v2"][2] == 32 * 2**20
    assert library.arguments["cublasSetMathMode"][1] == (3 if tf32 else 0)
    made.close()
    made.close()
    assert library.calls.count("cublasDestroy_v2") == 1


@pytest.mark.parametrize(
    ("status", "error"), [(3, MemoryError), (13, RuntimeError)], ids=["memory", "other"]
)
@pytest.mark.parametrize("call", [*SIGNATURES][2:])
def test_an_error_has_the_name_of_cublas_and_destroys_the_handle(call, status, error):
    library = HostLibrary({call: status})
    with pytest.raises(error, match=f"{call} returned {NAMES[status].decode()}"):
        products_on_host(library)
    assert library.calls[-1] == "cublasDestroy_v2"


def test_a_handle_that_cannot_be_created():
    library = HostLibrary({"cublasCreate_v2": 13})
    with pytest.raises(RuntimeError, match="cublasCreate_v2 returned CUBLAS_STATUS_EX"):
        products_on_host(library)
    assert library.calls == ["cublasCreate_v2"]


def test_an_error_of_close_is_ignored():
    products_on_host(HostLibrary({"cublasDestroy_v2": 13})).close()


def test_a_product_that_fails():
    factors, result, _ = matrices((2, 3, 4), (False, False), np.float64)
    a, b, out = (m._replace(array=OnHost(m.array)) for m in (*factors, result))
    made = products_on_host(HostLibrary({"cublasDgemm_v2": 13}))
    with pytest.raises(RuntimeError, match="cublasDgemm_v2 returned CUBLAS_STATUS_EX"):
        made.multiply((2, 3, 4), a, b, out)


def test_tf32_without_cublas_says_what_to_install(monkeypatch):
    monkeypatch.setattr(cublas, "_find", lambda: None)
    assert not cublas.is_installed()
    with pytest.raises(ImportError, match=r"pip install nvidia-cublas \(CUDA 13\)"):
        cublas.load()


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("installed", [False, True])
def test_the_choice_of_the_gemm(monkeypatch, tf32, installed):
    class Spec:
        tile, dtype = Tile(4, 2, 4, split_threshold=2), np.dtype(np.float32)

    library = HostLibrary()
    monkeypatch.setattr(matmul, "SIMULATED", False)
    monkeypatch.setattr(cublas, "_find", lambda: "a path" if installed else None)
    monkeypatch.setattr(cublas.ctypes, "CDLL", lambda path: library)
    arguments = (Spec, upload(np.zeros(1, np.int64)), 0, tf32)
    if tf32 and not installed:
        with pytest.raises(ImportError, match="nvidia-cublas-cu12"):
            matmul.choose(*arguments)
        return
    products = matmul.choose(*arguments)
    assert isinstance(products, cublas.Products if installed else TileProducts)


C_TYPES = {
    "cublasHandle_t": POINTER,
    "cublasHandle_t*": POINTER,
    "cudaStream_t": POINTER,
    "void*": POINTER,
    "const float*": POINTER,
    "float*": POINTER,
    "const double*": POINTER,
    "double*": POINTER,
    "size_t": ctypes.c_size_t,
    "int": INT,
    # Enumerations of C.
    "cublasMath_t": INT,
    "cublasOperation_t": INT,
}


@pytest.fixture
def header():
    """NVIDIA's declarations, installed with its library."""
    pathfinder = pytest.importorskip("cuda.pathfinder", reason="no nvidia-cublas")
    folder = pathfinder.find_nvidia_header_directory("cublas")
    if folder is None:
        pytest.skip("no nvidia-cublas")
    return Path(folder, "cublas_api.h").read_text()


@pytest.mark.parametrize("name", [*SIGNATURES, "cublasSgemm_v2", "cublasDgemm_v2"])
def test_declarations_are_those_of_the_header(header, name):
    match = re.search(rf"cublasStatus_t CUBLASWINAPI {name}\(([^)]*)\)", header)
    declared = [part.rsplit(maxsplit=1)[0].strip() for part in match[1].split(",")]
    assert [C_TYPES[part] for part in declared] == SIGNATURES.get(name, GEMM)
    library = HostLibrary()
    products_on_host(library)
    assert [*getattr(library, name).argtypes] == SIGNATURES.get(name, GEMM)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("CUBLAS_STATUS_SUCCESS", 0), ("CUBLAS_STATUS_ALLOC_FAILED", 3)),
        *(("CUBLAS_OP_N", 0), ("CUBLAS_OP_T", 1)),
        *(("CUBLAS_DEFAULT_MATH", 0), ("CUBLAS_TF32_TENSOR_OP_MATH", 3)),
    ],
)
def test_constants_are_those_of_the_header(header, name, value):
    assert re.search(rf"\b{name}\s*=\s*(\d+)", header)[1] == str(value)


@pytest.mark.needs_gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("use", USES)
def test_products_of_cublas(use, dtype):
    sizes, *is_transposed = USES[use]
    factors, result, expected = matrices(sizes, is_transposed, dtype)
    a, b, out = (m._replace(array=upload(m.array)) for m in (*factors, result))
    stream = graph.new_stream()
    made = cublas.Products(cublas.load(), dtype, int(stream), False)
    made.multiply(sizes, a, b, out)
    stream.synchronize()
    made.close()
    check_result(out.array.copy_to_host(), sizes, expected)


@pytest.mark.needs_gpu
def test_tf32_rounds_factors_only():
    sizes = (256, 128, 512)
    factors, result, expected = matrices(sizes, (False, False), np.float32)
    a, b, out = (m._replace(array=upload(m.array)) for m in (*factors, result))
    stream = graph.new_stream()
    made = cublas.Products(cublas.load(), np.float32, int(stream), True)
    made.multiply(sizes, a, b, out)
    stream.synchronize()
    made.close()
    got = out.array.copy_to_host()[4 : 4 + 256 * 128].reshape(256, 128)
    exact = expected[0].astype(np.float64) @ expected[1].astype(np.float64)
    bound = np.abs(expected[0]).astype(np.float64) @ np.abs(expected[1])
    assert np.max(np.abs(got - exact) / bound) < 2.0**-10
