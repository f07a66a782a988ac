"""GEMM by NVIDIA's cuBLAS, through its C interface.

ctypes calls the few functions that are needed as the header cublas_api.h declares them;
that is not worth a dependency. cuBLAS stores matrices by columns, this package by rows.
The transpose of a product is the product of the transposes in the opposite order, so
the factors are swapped and no data move.
"""

import ctypes

import numpy as np

from skmlp.backends.cuda.runtime.graph import CAPTURE_LOCK
from skmlp.backends.cuda.runtime.memory import allocate

# Workspace that NVIDIA recommends for its large devices. Allocated in advance, because
# a graph capture cannot allocate memory.
_WORKSPACE_BYTES = 1 << 25

_SUCCESS, _ALLOC_FAILED = 0, 3
_NOT_TRANSPOSED, _TRANSPOSED = 0, 1
_DEFAULT_MATH, _TF32_MATH = 0, 3

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_GEMM = [_POINTER, _INT, _INT, _INT, _INT, _INT, _POINTER]
_GEMM += [_POINTER, _INT, _POINTER, _INT, _POINTER, _POINTER, _INT]
_ARGUMENT_TYPES = {
    "cublasCreate_v2": [_POINTER],
    "cublasDestroy_v2": [_POINTER],
    "cublasSetStream_v2": [_POINTER, _POINTER],
    "cublasSetWorkspace_v2": [_POINTER, _POINTER, ctypes.c_size_t],
    "cublasSetMathMode": [_POINTER, _INT],
    "cublasSgemm_v2": _GEMM,
    "cublasDgemm_v2": _GEMM,
}
_GEMM_OF = {"float32": "cublasSgemm_v2", "float64": "cublasDgemm_v2"}


def _find():
    """Path of the library; None if it is not installed."""
    from cuda import pathfinder

    try:
        return pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
    except pathfinder.DynamicLibNotFoundError:
        return None


def is_installed():
    """Whether cuBLAS is installed."""
    return _find() is not None


def load():
    """Load the library.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    path = _find()
    if path is None:
        raise ImportError(
            "dtype='tf32' multiplies by NVIDIA's cuBLAS, which is not installed: "
            "pip install nvidia-cublas (CUDA 13) or nvidia-cublas-cu12 (CUDA 12). "
            "The extras skmlp[cu13] and skmlp[cu12] bring it."
        )
    return ctypes.CDLL(path)


def _address(array, offset=0):
    """Address of an element of a device vector."""
    interface = array.__cuda_array_interface__
    itemsize = np.dtype(interface["typestr"]).itemsize
    return int(interface["data"][0] + offset * itemsize)


class Products:
    """Matrix products on one stream (see `programs.matmul`).

    Parameters
    ----------
    library : ctypes.CDLL
    dtype : numpy dtype
        float32 or float64.
    stream : int
        Handle of the stream.
    tf32 : bool
        Whether factors are rounded to TensorFloat-32; sums and results are float32.

    Raises
    ------
    MemoryError, RuntimeError
        With cuBLAS's name of the error; so does `multiply`.
    """

    def __init__(self, library, dtype, stream, tf32):
        self._library = library
        for name, argument_types in _ARGUMENT_TYPES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = argument_types, _INT
        library.cublasGetStatusName.argtypes = [_INT]
        library.cublasGetStatusName.restype = ctypes.c_char_p
        dtype = np.dtype(dtype)
        scalar = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype.name]
        self._one, self._zero = scalar(1), scalar(0)
        self._gemm = _GEMM_OF[dtype.name]
        self._workspace = allocate(_WORKSPACE_BYTES // dtype.itemsize, dtype)
        self._handle = ctypes.c_void_p()
        with CAPTURE_LOCK:
            self._call("cublasCreate_v2", ctypes.byref(self._handle))
        try:
            self._set_up(stream, tf32)
        except BaseException:
            self.close()
            raise

    def _set_up(self, stream, tf32):
        # In this order: setting the stream resets the workspace.
        self._call("cublasSetStream_v2", self._handle, stream)
        self._call(
            *("cublasSetWorkspace_v2", self._handle),
            *(_address(self._workspace), _WORKSPACE_BYTES),
        )
        mode = _TF32_MATH if tf32 else _DEFAULT_MATH
        self._call("cublasSetMathMode", self._handle, mode)

    def _call(self, name, *arguments):
        status = getattr(self._library, name)(*arguments)
        if status != _SUCCESS:
            status_name = self._library.cublasGetStatusName(status).decode()
            error = MemoryError if status == _ALLOC_FAILED else RuntimeError
            raise error(f"cuBLAS: {name} returned {status_name}.")

    def multiply(self, sizes, a, b, out):
        """Compute ``out = a @ b``.

        Parameters
        ----------
        sizes : tuple of 3 int
            Rows and columns of the product, and the inner dimension.
        a, b, out : matmul.Matrix
        """
        # ctypes takes Python's integers only, not NumPy's.
        rows, columns, inner = map(int, sizes)
        op_b, op_a = (_TRANSPOSED if m.transposed else _NOT_TRANSPOSED for m in (b, a))
        self._call(
            *(self._gemm, self._handle, op_b, op_a, columns, rows, inner),
            *(ctypes.byref(self._one), _address(b.array, b.start), int(b.columns)),
            *(_address(a.array, a.start), int(a.columns)),
            ctypes.byref(self._zero),
            *(_address(out.array, out.start), int(out.columns)),
        )

    def close(self):
        """Destroy the handle."""
        if self._handle:
            handle, self._handle = self._handle, ctypes.c_void_p()
            # This synchronizes the device. The status is ignored: an error here would
            # hide the one that ends a fit.
            with CAPTURE_LOCK:
                self._library.cublasDestroy_v2(handle)
