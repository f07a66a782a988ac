"""Matrix products on blocks of flat vectors, by the BLAS that SciPy brings.

`numba_xxgemm` is the symbol behind Numba's own `np.dot`. Called directly it takes
leading dimensions and beta, so that blocks need no copies. BLAS runs on one thread
inside a team: the team is the parallelism.
"""

import os
import threading
from collections.abc import Callable

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - loads the library before it is limited
from numba import types
from threadpoolctl import ThreadpoolController

from skmlp.backends.cpu.memory import address
from skmlp.jit import inline

_gemm = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        types.char,  # 's' or 'd'
        types.char,  # transposed first factor, 'N' or 'T'
        types.char,  # transposed second factor
        types.intp,
        types.intp,
        types.intp,
        types.voidptr,  # alpha
        types.voidptr,
        types.intp,
        types.voidptr,
        types.intp,
        types.voidptr,  # beta
        types.voidptr,
        types.intp,
    ),
)
_N, _T = ord("N"), ord("T")
_SINGLE, _DOUBLE = ord("s"), ord("d")


def scalars(dtype):
    """The array of zero and one that the products read their alpha and beta from."""
    return np.array([0, 1], dtype=dtype)


@inline
def _kind(array):
    return _SINGLE if array.itemsize == 4 else _DOUBLE


@inline
def product(a, b, out, sizes, beta, units):
    """Out = a b + beta out, row-major; each of a, b, out is (flat vector, offset).

    sizes is (rows of out, columns of out, inner dimension); beta is 0 or 1.
    """
    m, n, k = sizes
    _gemm(
        _kind(units), _N, _N, n, m, k,
        address(units, 1), address(b[0], b[1]), n, address(a[0], a[1]), k,
        address(units, beta), address(out[0], out[1]), n,
    )  # fmt: skip


@inline
def product_by_transposed(a, b, out, sizes, units):
    """Out = a b.T, row-major, with the arguments of `product`."""
    m, n, k = sizes
    _gemm(
        _kind(units), _T, _N, n, m, k,
        address(units, 1), address(b[0], b[1]), k, address(a[0], a[1]), k,
        address(units, 0), address(out[0], out[1]), n,
    )  # fmt: skip


@inline
def product_of_transposed(a, b, out, sizes, beta, units):
    """Out = a.T b + beta out for some columns of a; a is (vector, offset, width).

    sizes is (columns of a that are taken, columns of b, rows of both).
    """
    m, n, k = sizes
    _gemm(
        _kind(units), _N, _T, n, m, k,
        address(units, 1), address(b[0], b[1]), n, address(a[0], a[1]), a[2],
        address(units, beta), address(out[0], out[1]), n,
    )  # fmt: skip


class _SingleThreadedBlas:
    """Limits BLAS to one thread while at least one fit or prediction runs.

    Overlapping limits of threadpoolctl's leave the process at one thread for good,
    hence one limit for the whole process with a count of its users.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        self._controller: ThreadpoolController | None = None
        self._restore: Callable[[], None] | None = None

    def __enter__(self):
        with self._lock:
            if self._users == 0:
                # Looking for the libraries takes milliseconds, hence only once.
                if self._controller is None:
                    self._controller = ThreadpoolController()
                limiter = self._controller.limit(limits=1, user_api="blas")
                self._restore = limiter.restore_original_limits
            self._users += 1

    def __exit__(self, *exception):
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._restore is not None:
                self._restore()

    def forget(self):
        """Start afresh in a forked child, whose other threads are gone."""
        if self._users and self._restore is not None:
            self._restore()
        self._lock = threading.Lock()
        self._users = 0


single_threaded_blas = _SingleThreadedBlas()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=single_threaded_blas.forget)
