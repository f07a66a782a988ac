"""Compiled kernels on disk, by the rules of `skmlp.compiler.disk_cache`.

To compile a kernel takes seconds, to read one milliseconds. What is kept is Numba's own
kernel, its machine code for the device and what it was made from, so that a second kind
of GPU in the machine can have it, too. A kernel that was read is loaded into the device
at once: if that fails, for whatever reason, it is compiled as if there were no file.
"""

import functools
import pickle
import sys
import types
import zlib
from importlib import metadata

import numpy as np

from skmlp.compiler.disk_cache import KernelCache


def key_of(name, *made_for):
    """The name of a kernel by all that it is made for.

    Parameters
    ----------
    name : str
    *made_for : object
        Named tuples, tuples, functions, dtypes, numbers and strings.

    Returns
    -------
    str or None
        None if a function is not of this package: nobody knows what it calls.
    """
    try:
        return f"{name} for {_described(made_for)}"
    except LookupError:
        return None


def _described(value):
    if isinstance(value, types.FunctionType):
        return _name_of(value)
    if isinstance(value, tuple):
        parts = ", ".join(_described(part) for part in value)
        return f"{type(value).__name__}({parts})"
    if isinstance(value, (str, int, float, np.dtype, types.NoneType)):
        return repr(value)
    # Others may be written alike and not be alike.
    raise LookupError(value)


def _name_of(function):
    """The name by which a function of this package is found, of its own source."""
    module, name = str(function.__module__), function.__qualname__
    found = getattr(sys.modules.get(module), name, None)
    if not module.startswith("skmlp.") or found is not function:
        raise LookupError(name)
    return f"{module}.{name}"


@functools.cache
def _compiler():
    """Version of what made the code, and knows how to read it."""
    return metadata.version("numba-cuda")


class DeviceCache(KernelCache):
    """The cache of a kernel for devices.

    Parameters
    ----------
    key : str
        From `key_of`.
    name : str
    """

    def _path(self, signature, codegen):
        return super()._path((_compiler(), signature), codegen)

    def _packed(self, compiled):
        from numba.cuda import serialize

        return zlib.compress(serialize.dumps(compiled._reduce_states()), 1)

    def _unpacked(self, payload, target_context):
        from numba.cuda.dispatcher import _Kernel

        kernel = _Kernel._rebuild(**pickle.loads(zlib.decompress(payload)))
        kernel.bind()
        return kernel
