"""Products of matrices by NVIDIA's cuBLAS, through its C interface.

A handful of functions of one library, which ctypes calls as the header cublas_api.h
declares them: not worth a dependency. Matrices lie there by columns and here by rows;
the transpose of a product is the product of the transposes in the opposite order, so
the factors change places and nothing is moved.
"""

import ctypes

import numpy as np

from skmlp.backends.cuda.runtime.graph import UNDISTURBED
from skmlp.backends.cuda.runtime.memory import allocate

# Bytes that products may use beside their factors: what NVIDIA advises for its large
# devices. Given beforehand, because a recorded step may not ask for memory.
_WORKSPACE_BYTES = 1 << 25

_SUCCESS, _ALLOC_FAILED = 0, 3
_AS_IT_LIES, _TRANSPOSED = 0, 1
_DEFAULT_MATH, _TF32_MATH = 0, 3

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_GEMM = [_POINTER, _INT, _INT, _INT, _INT, _INT, _POINTER]
_GEMM += [_POINTER, _INT, _POINTER, _INT, _POINTER, _POINTER, _INT]
_ARGUMENTS = {
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
    """Path of the library, None if it is not installed."""
    from cuda import pathfinder

    try:
        return pathfinder.load_nvidia_dynamic_lib("cublas").abs_path
    except pathfinder.DynamicLibNotFoundError:
        return None


def is_installed():
    """Whether there is a cuBLAS."""
    return _find() is not None


def load():
    """The library.

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


def _address(array, start=0):
    """Address of an element of a device's vector."""
    interface = array.__cuda_array_interface__
    itemsize = np.dtype(interface["typestr"]).itemsize
    return int(interface["data"][0] + start * itemsize)


class Products:
    """Products on one stream (see `products`).

    Parameters
    ----------
    library : ctypes.CDLL
    dtype : numpy dtype
        float32 or float64.
    stream : int
        Handle of the stream.
    tf32 : bool
        Whether factors are rounded to TensorFloat-32; results stay float32.

    Raises
    ------
    MemoryError, RuntimeError
        With cuBLAS's own name of what went wrong, as from `multiply`.
    """

    def __init__(self, library, dtype, stream, tf32):
        self._library = library
        for name, arguments in _ARGUMENTS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, _INT
        library.cublasGetStatusName.argtypes = [_INT]
        library.cublasGetStatusName.restype = ctypes.c_char_p
        dtype = np.dtype(dtype)
        number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype.name]
        self._one, self._zero = number(1), number(0)
        self._gemm = _GEMM_OF[dtype.name]
        self._workspace = allocate(_WORKSPACE_BYTES // dtype.itemsize, dtype)
        self._handle = ctypes.c_void_p()
        with UNDISTURBED:
            self._call("cublasCreate_v2", ctypes.byref(self._handle))
        try:
            self._set_up(stream, tf32)
        except BaseException:
            self.close()
            raise

    def _set_up(self, stream, tf32):
        # In this order: another stream means another workspace.
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
            said = self._library.cublasGetStatusName(status).decode()
            error = MemoryError if status == _ALLOC_FAILED else RuntimeError
            raise error(f"cuBLAS: {name} returned {said}.")

    def multiply(self, sizes, a, b, out):
        """Write the product of two matrices into a third.

        Parameters
        ----------
        sizes : tuple of 3 int
            Rows and columns of the product, and the inner dimension.
        a, b, out : products.Matrix
        """
        # The C interface takes Python's integers only, not NumPy's.
        rows, columns, inner = map(int, sizes)
        first, second = (_TRANSPOSED if m.transposed else _AS_IT_LIES for m in (b, a))
        self._call(
            *(self._gemm, self._handle, first, second, columns, rows, inner),
            *(ctypes.byref(self._one), _address(b.array, b.start), int(b.columns)),
            *(_address(a.array, a.start), int(a.columns)),
            ctypes.byref(self._zero),
            *(_address(out.array, out.start), int(out.columns)),
        )

    def close(self):
        """Give back what the library holds for us."""
        if self._handle:
            handle, self._handle = self._handle, ctypes.c_void_p()
            # It waits for the device. Whether it could is not asked: an error here
            # would hide the one that ends a fit.
            with UNDISTURBED:
                self._library.cublasDestroy_v2(handle)
