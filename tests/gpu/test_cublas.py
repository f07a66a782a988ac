"""What cuBLAS is told, by a library of the same functions that works on the host."""

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from host_cublas import GEMM, INT, NAMES, POINTER, SIGNATURES, HostLibrary
from numba import cuda
from numpy.testing import assert_allclose, assert_array_equal

from skmlp.backends.cuda.kernels.gemm import Tile
from skmlp.backends.cuda.programs import matmul
from skmlp.backends.cuda.programs.matmul import Matrix, TileProducts
from skmlp.backends.cuda.runtime import cublas, graph
from skmlp.backends.cuda.runtime.memory import upload


class OnHost:
    """A vector that says where it lies, as one of a device does."""

    def __init__(self, values):
        self.values = values
        self.__cuda_array_interface__ = values.__array_interface__


@pytest.fixture(autouse=True)
def _workspace(monkeypatch):
    """Of the library on the host, too, it lies on the host."""
    if cuda.is_available() and not hasattr(cuda.to_device(np.zeros(1)), "_ary"):
        return
    monkeypatch.setattr(
        cublas, "allocate", lambda size, dtype: OnHost(np.zeros(size, dtype))
    )


def products_on_host(library=None, dtype=np.float64, stream=0, tf32=False):
    return cublas.Products(library or HostLibrary(), dtype, stream, tf32)


# Rows, columns and inner dimension, and which factors lie transposed: of a layer, of
# the deltas below it, of its gradient, of the sums of its deltas.
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
    """Two factors and a result in longer vectors, and the factors as they are meant."""
    rows, columns, inner = sizes
    rng = np.random.default_rng(0)
    found, meant = [], []
    for shape, flip in zip(
        [(rows, inner), (inner, columns)], is_transposed, strict=True
    ):
        lies = shape[::-1] if flip else shape
        start = len(found) + 2
        vector = rng.normal(size=start + lies[0] * lies[1] + 3).astype(dtype)
        whole = vector[start : start + lies[0] * lies[1]].reshape(lies)
        meant.append(whole.T if flip else whole)
        found.append(Matrix(vector, start, lies[1], flip))
    result = Matrix(np.full(rows * columns + 5, -1.0, dtype), 4, columns)
    return found, result, meant


def check_result(vector, sizes, meant):
    size = sizes[0] * sizes[1]
    got = vector[4 : 4 + size].reshape(sizes[:2])
    rtol = 1e-5 if vector.dtype == np.float32 else 1e-12
    assert_allclose(got, meant[0] @ meant[1], rtol=rtol, atol=rtol)
    assert_array_equal(vector[:4], -1)
    assert_array_equal(vector[4 + size :], -1)


@pytest.mark.parametrize("whole", [int, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("use", USES)
def test_arguments(use, dtype, whole):
    sizes, *is_transposed = USES[use]
    sizes = tuple(map(whole, sizes))
    factors, result, meant = matrices(sizes, is_transposed, dtype)
    a, b, out = (
        Matrix(OnHost(m.array), whole(m.start), whole(m.columns), m.transposed)
        for m in (*factors, result)
    )
    library = HostLibrary()
    products_on_host(library, dtype).multiply(sizes, a, b, out)
    check_result(out.array.values, sizes, meant)
    letter = "S" if dtype == np.float32 else "D"
    assert library.calls[-1] == f"cublas{letter}gemm_v2"


@pytest.mark.usefixtures("any_order")
@pytest.mark.parametrize("use", USES)
def test_our_own_products(use):
    sizes, *is_transposed = USES[use]
    factors, result, meant = matrices(sizes, is_transposed, np.float64)
    a, b, out = (m._replace(array=upload(m.array)) for m in (*factors, result))
    order, stream = upload(np.zeros(1, dtype=np.int64)), graph.new_stream()
    own = TileProducts(Tile(4, 2, 4, few=2), np.dtype(np.float64), order, stream)
    own.multiply(sizes, a, b, out)
    stream.synchronize()
    check_result(out.array.copy_to_host(), sizes, meant)


@pytest.mark.parametrize("tf32", [False, True])
def test_setting_up(tf32):
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
def test_a_failure_has_cublas_own_name_and_leaves_nothing_behind(call, status, error):
    library = HostLibrary({call: status})
    with pytest.raises(error, match=f"{call} returned {NAMES[status].decode()}"):
        products_on_host(library)
    assert library.calls[-1] == "cublasDestroy_v2"


def test_a_library_that_does_not_start():
    library = HostLibrary({"cublasCreate_v2": 13})
    with pytest.raises(RuntimeError, match="cublasCreate_v2 returned CUBLAS_STATUS_EX"):
        products_on_host(library)
    assert library.calls == ["cublasCreate_v2"]


def test_giving_back_hides_no_other_error():
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
def test_who_multiplies(monkeypatch, tf32, installed):
    class Spec:
        tile, dtype = Tile(4, 2, 4, few=2), np.dtype(np.float32)

    library = HostLibrary()
    monkeypatch.setattr(matmul, "SIMULATED", False)
    monkeypatch.setattr(cublas, "_find", lambda: "a path" if installed else None)
    monkeypatch.setattr(cublas.ctypes, "CDLL", lambda path: library)
    arguments = (Spec, upload(np.zeros(1, np.int64)), 0, tf32)
    if tf32 and not installed:
        with pytest.raises(ImportError, match="nvidia-cublas-cu12"):
            matmul.choose(*arguments)
        return
    found = matmul.choose(*arguments)
    assert isinstance(found, cublas.Products if installed else TileProducts)


KINDS = {
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
    """NVIDIA's own declarations, which come with its library."""
    pathfinder = pytest.importorskip("cuda.pathfinder", reason="no nvidia-cublas")
    folder = pathfinder.find_nvidia_header_directory("cublas")
    if folder is None:
        pytest.skip("no nvidia-cublas")
    return Path(folder, "cublas_api.h").read_text()


@pytest.mark.parametrize("name", [*SIGNATURES, "cublasSgemm_v2", "cublasDgemm_v2"])
def test_declarations_are_those_of_the_header(header, name):
    found = re.search(rf"cublasStatus_t CUBLASWINAPI {name}\(([^)]*)\)", header)
    declared = [part.rsplit(maxsplit=1)[0].strip() for part in found[1].split(",")]
    assert [KINDS[part] for part in declared] == SIGNATURES.get(name, GEMM)
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
def test_numbers_are_those_of_the_header(header, name, value):
    assert re.search(rf"\b{name}\s*=\s*(\d+)", header)[1] == str(value)


@pytest.mark.needs_gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("use", USES)
def test_products_of_cublas(use, dtype):
    sizes, *is_transposed = USES[use]
    factors, result, meant = matrices(sizes, is_transposed, dtype)
    a, b, out = (m._replace(array=upload(m.array)) for m in (*factors, result))
    stream = graph.new_stream()
    made = cublas.Products(cublas.load(), dtype, int(stream), False)
    made.multiply(sizes, a, b, out)
    stream.synchronize()
    made.close()
    check_result(out.array.copy_to_host(), sizes, meant)


@pytest.mark.needs_gpu
def test_tf32_rounds_factors_only():
    sizes = (256, 128, 512)
    factors, result, meant = matrices(sizes, (False, False), np.float32)
    a, b, out = (m._replace(array=upload(m.array)) for m in (*factors, result))
    stream = graph.new_stream()
    made = cublas.Products(cublas.load(), np.float32, int(stream), True)
    made.multiply(sizes, a, b, out)
    stream.synchronize()
    made.close()
    got = out.array.copy_to_host()[4 : 4 + 256 * 128].reshape(256, 128)
    exact = meant[0].astype(np.float64) @ meant[1].astype(np.float64)
    bound = np.abs(meant[0]).astype(np.float64) @ np.abs(meant[1])
    assert np.max(np.abs(got - exact) / bound) < 2.0**-10
