"""A stand-in for cuBLAS on the host, with the functions that are used.

Arguments are those that the header cublas_api.h declares, with the meaning of NVIDIA's
documentation: matrices are stored by columns.
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


def column_major(address, rows, columns, leading, dtype):
    """A view of a matrix in memory, stored by columns."""
    assert leading >= rows, "the leading dimension is less than the rows"
    scalar = np.ctypeslib.as_ctypes_type(dtype)
    size = leading * (columns - 1) + rows
    flat = np.ctypeslib.as_array((scalar * size).from_address(address))
    strides = (dtype().itemsize, leading * dtype().itemsize)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), strides)


class HostLibrary:
    """The functions of cuBLAS that are used.

    Parameters
    ----------
    statuses : dict of str to int, optional
        Functions that fail, and the status that they return.

    Attributes
    ----------
    calls : list of str
        Names of all calls.
    arguments : dict of str to tuple
        Of the last call of each function.
    """

    def __init__(self, statuses=None):
        self.calls = []
        self.arguments = {}
        self._statuses = statuses or {}
        for name, argument_types in SIGNATURES.items():
            self._declare(name, argument_types, getattr(self, "_" + name))
        for name, dtype in (("Sgemm", np.float32), ("Dgemm", np.float64)):
            function = self._gemm_of(dtype)
            self._declare(f"cublas{name}_v2", GEMM, function)
        names = {status: ctypes.c_char_p(name) for status, name in NAMES.items()}
        name_of = ctypes.CFUNCTYPE(POINTER, INT)
        self.cublasGetStatusName = name_of(
            lambda status: ctypes.cast(names[status], POINTER).value
        )

    def _declare(self, name, argument_types, function):
        def call(*arguments):
            self.calls.append(name)
            if name in self._statuses:
                return self._statuses[name]
            self.arguments[name] = arguments
            function(*arguments)
            return 0

        setattr(self, name, ctypes.CFUNCTYPE(INT, *argument_types)(call))

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

    def _gemm_of(self, dtype):
        scalar = np.ctypeslib.as_ctypes_type(dtype)

        def gemm(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
            assert handle == HANDLE
            shapes = [(m, k), (k, n)]
            factors = []
            for op, shape, address, leading in zip(
                (op_a, op_b), shapes, (a, b), (lda, ldb), strict=True
            ):
                assert op in (0, 1)
                stored = shape[::-1] if op == 1 else shape
                matrix = column_major(address, *stored, leading, dtype)
                factors.append(matrix.T if op == 1 else matrix)
            out = column_major(c, m, n, ldc, dtype)
            scale = scalar.from_address(alpha).value
            assert scalar.from_address(beta).value == 0
            out[:] = scale * (factors[0] @ factors[1])

        return gemm
