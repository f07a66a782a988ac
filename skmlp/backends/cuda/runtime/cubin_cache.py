"""Compiled kernels on disk: `skmlp.compiler.disk_cache` for the GPU.

Compiling a kernel takes seconds, reading one milliseconds. A file holds numba-cuda's
kernel object, its machine code for the device and what it was made from, so that a
second type of GPU in the machine can compile from it, too. A kernel is loaded into the
device as soon as it is read; if that fails for any reason, it is compiled as if there
were no file.
"""

import functools
import pickle
import sys
import types
import zlib
from importlib import metadata

import numpy as np

from skmlp.backends.cuda.runtime import internals
from skmlp.compiler.disk_cache import KernelCache


def key_of(name, *made_for):
    """The key of a kernel: its name and all that it is compiled for.

    Parameters
    ----------
    name : str
    *made_for : object
        Named tuples, tuples, functions, dtypes, numbers and strings.

    Returns
    -------
    str or None
        None if a function is not from this package: its callees are unknown.
    """
    try:
        return f"{name} for {_describe(made_for)}"
    except LookupError:
        return None


def _describe(value):
    if isinstance(value, types.FunctionType):
        return _qualified_name(value)
    if isinstance(value, tuple):
        parts = ", ".join(_describe(part) for part in value)
        return f"{type(value).__name__}({parts})"
    if isinstance(value, (str, int, float, np.dtype, types.NoneType)):
        return repr(value)
    # Objects of other types may have equal text and differ.
    raise LookupError(value)


def _qualified_name(function):
    """Module and name of a function of this package, which identify its source."""
    module, name = str(function.__module__), function.__qualname__
    registered = getattr(sys.modules.get(module), name, None)
    if not module.startswith("skmlp.") or registered is not function:
        raise LookupError(name)
    return f"{module}.{name}"


@functools.cache
def _compiler_version():
    """Version of numba-cuda: only the one that wrote a kernel can read it.

    Without metadata it raises, and `KernelCache` neither reads nor writes the kernel.
    """
    return metadata.version("numba-cuda")


class CubinCache(KernelCache):
    """The disk cache of one GPU kernel.

    Parameters
    ----------
    key : str
        From `key_of`.
    name : str
    """

    _is_long = True

    def _file_name(self, signature, codegen):
        return super()._file_name((_compiler_version(), signature), codegen)

    def _packed(self, compiled):
        return zlib.compress(internals.serialize_kernel(compiled), 1)

    def _unpacked(self, payload, target_context):
        states = pickle.loads(zlib.decompress(payload))
        kernel = internals.deserialize_kernel(states)
        kernel.bind()
        return kernel
