"""A library with the functions of cuBLAS that are used, which works on the host.

It takes its arguments as the header cublas_api.h declares them and does what NVIDIA's
documentation says of them: matrices lie by columns.
"""

import ctypes

import numpy as np

INT, POINTER = ctypes.c_int, ctypes.c_void_p
SIGNATURES = {
    "cublasCreate_v2": [POINTER],
    "cublasDestroy_v2": [POINTER],
    "cublasSetStream_v2": [POINTER, POINTER],
    "cublasSetWorkspace_v2": [POINTER, POINTER, ctypes.c_size_t],
    "cublasSetMathMode": [POINTER, INT],
}
GEMM = [POINTER, INT, INT, INT, INT, INT, POINTER, POINTER, INT, POINTER, INT]
GEMM += [POINTER, POINTER, INT]
NAMES = {3: b"CUBLAS_STATUS_ALLOC_FAILED", 13: b"CUBLAS_STATUS_EXECUTION_FAILED"}
HANDLE = 0x1234


def by_columns(address, rows, columns, leading, kind):
    """A matrix in memory, as cuBLAS sees it."""
    assert leading >= rows, "a column is longer than the way to the next"
    number = np.ctypeslib.as_ctypes_type(kind)
    size = leading * (columns - 1) + rows
    flat = np.ctypeslib.as_array((number * size).from_address(address))
    steps = (kind().itemsize, leading * kind().itemsize)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), steps)


class HostLibrary:
    """The functions of cuBLAS that are used; `calls` has the names of all calls."""

    def __init__(self, statuses=None):
        self.calls = []
        self.told = {}
        self._statuses = statuses or {}
        for name, arguments in SIGNATURES.items():
            self._declare(name, arguments, getattr(self, "_" + name))
        for name, kind in (("Sgemm", np.float32), ("Dgemm", np.float64)):
            function = self._gemm_of(kind)
            self._declare(f"cublas{name}_v2", GEMM, function)
        names = {status: ctypes.c_char_p(name) for status, name in NAMES.items()}
        name_of = ctypes.CFUNCTYPE(POINTER, INT)
        self.cublasGetStatusName = name_of(
            lambda status: ctypes.cast(names[status], POINTER).value
        )

    def _declare(self, name, arguments, function):
        def call(*given):
            self.calls.append(name)
            if name in self._statuses:
                return self._statuses[name]
            self.told[name] = given
            function(*given)
            return 0

        setattr(self, name, ctypes.CFUNCTYPE(INT, *arguments)(call))

    def _cublasCreate_v2(self, handle):
        ctypes.c_void_p.from_address(handle).value = HANDLE

    def _cublasDestroy_v2(self, handle):
        assert handle == HANDLE

    def _cublasSetStream_v2(self, handle, stream):
        assert handle == HANDLE

    def _cublasSetWorkspace_v2(self, handle, workspace, size):
        assert handle == HANDLE

    def _cublasSetMathMode(self, handle, mode):
        assert handle == HANDLE

    def _gemm_of(self, kind):
        number = np.ctypeslib.as_ctypes_type(kind)

        def gemm(handle, on_a, on_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
            assert handle == HANDLE
            shapes = [(m, k), (k, n)]
            factors = []
            for of, shape, address, ld in zip(
                *((on_a, on_b), shapes, (a, b), (lda, ldb)), strict=True
            ):
                assert of in (0, 1)
                lies = shape[::-1] if of == 1 else shape
                matrix = by_columns(address, *lies, ld, kind)
                factors.append(matrix.T if of == 1 else matrix)
            out = by_columns(c, m, n, ldc, kind)
            scale = number.from_address(alpha).value
            assert number.from_address(beta).value == 0
            out[:] = scale * (factors[0] @ factors[1])

        return gemm
