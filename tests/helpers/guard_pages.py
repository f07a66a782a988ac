"""NumPy's arrays between guard pages, where any access outside of one is a fault.

The kernels address memory by pointers, which no check of indices sees. The memory
management unit sees every instruction of every thread. With `Guards` each new array has
pages of its own, and ends just before a page that nobody may touch, or begins just
after one. Fresh memory is nan, whose traces in a result show what was never written.
Memory that was freed stays forbidden for a while.

NumPy calls the functions here instead of `malloc` and `free` (its NEP 49). A fault
ends the process: run it apart.
"""

import collections
import ctypes
import mmap

import numpy as np

_PAGE = mmap.PAGESIZE
# Of NumPy's table of C functions, which keeps its order for ever.
_SET_HANDLER = 304
_NAME_BYTES, _VERSION = 127, 1
# Blocks that stay forbidden after they were freed; Linux allows 65,530 mappings.
_N_FREED = 500
_FREED: collections.deque = collections.deque()
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = _POINTER
_libc.mmap.argtypes = [_POINTER, _SIZE, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [_POINTER, _SIZE, ctypes.c_int]
_libc.munmap.argtypes = [_POINTER, _SIZE]

_Malloc = ctypes.CFUNCTYPE(_POINTER, _POINTER, _SIZE)
_Calloc = ctypes.CFUNCTYPE(_POINTER, _POINTER, _SIZE, _SIZE)
_Realloc = ctypes.CFUNCTYPE(_POINTER, _POINTER, _POINTER, _SIZE)
_Free = ctypes.CFUNCTYPE(None, _POINTER, _POINTER, _SIZE)


class _Handler(ctypes.Structure):
    """`PyDataMem_Handler` of NumPy's C interface."""

    _fields_ = [
        ("name", ctypes.c_char * _NAME_BYTES),
        ("version", ctypes.c_uint8),
        ("context", _POINTER),
        ("malloc", _Malloc),
        ("calloc", _Calloc),
        ("realloc", _Realloc),
        ("free", _Free),
    ]


def _set_handler(capsule):
    """Make a handler that of the current context; returns the one before."""
    from numpy._core import _multiarray_umath

    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = _POINTER
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = get_pointer(_multiarray_umath._ARRAY_API, None)
    address = ctypes.cast(table, ctypes.POINTER(_POINTER))[_SET_HANDLER]
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)(capsule)


class Guards:
    """A context in which new arrays of this thread lie between guard pages.

    Parameters
    ----------
    side : {'after', 'before'}
        Where an array touches a guard page. 'after' finds what a kernel reads or
        writes beyond the last element, 'before' what it does before the first.
    """

    def __init__(self, side):
        self._side = side
        # Base and length of the pages, and bytes in use, by address.
        self._blocks = {}
        self._handler = _Handler(
            name=b"guards",
            version=_VERSION,
            malloc=_Malloc(lambda context, size: self._take(size, 0xFF)),
            calloc=_Calloc(lambda context, n, each: self._take(n * each, 0)),
            realloc=_Realloc(self._realloc),
            free=_Free(lambda context, address, size: self._give_back(address)),
        )
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [_POINTER, ctypes.c_char_p, _POINTER]
        self._capsule = new(ctypes.addressof(self._handler), b"mem_handler", None)

    def __enter__(self):
        self._before = _set_handler(self._capsule)
        _KEPT.append(self)
        return self

    def __exit__(self, *exception):
        _set_handler(self._before)

    def holds(self, array):
        """Whether an array touches a guard page."""
        start, end = array.ctypes.data, array.ctypes.data + array.nbytes
        touches = start if self._side == "before" else end
        return touches % _PAGE == 0 and any(
            base < start and end < base + length
            for base, length, _ in self._blocks.values()
        )

    def _take(self, size, byte):
        inner = -(-max(size, 1) // _PAGE) * _PAGE
        length = inner + 2 * _PAGE
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        base = _libc.mmap(None, length, 0, private, -1, 0)
        if base == _POINTER(-1).value:
            return None
        first = base + _PAGE
        if _libc.mprotect(first, inner, mmap.PROT_READ | mmap.PROT_WRITE) != 0:
            return None
        address = first if self._side == "before" else first + inner - size
        if byte:
            ctypes.memset(address, byte, size)
        self._blocks[address] = (base, length, size)
        return address

    def _realloc(self, context, address, size):
        new = self._take(size, 0xFF)
        if new is not None and address is not None:
            ctypes.memmove(new, address, min(size, self._blocks[address][2]))
            self._give_back(address)
        return new

    def _give_back(self, address):
        if address is None:
            return
        base, length, _ = self._blocks.pop(address)
        _libc.mprotect(base, length, 0)
        _FREED.append((base, length))
        if len(_FREED) > _N_FREED:
            _libc.munmap(*_FREED.popleft())


# Arrays outlive the contexts they were made in, and call these when they are freed.
_KEPT: list = []


def guard_every_element(workspace, session, plan):
    """Let buffers of the CPU backend end where their last element ends.

    They are aligned to cache lines and rounded up to whole ones, with padding between
    the parts of threads: memory that a kernel could touch without a fault.
    """

    def exact(size, dtype):
        return np.empty(size, dtype)

    for module in (workspace, session):
        module.aligned = exact
        module.whole_lines = lambda size, dtype: size
    plan.PADDING_BYTES = 0
