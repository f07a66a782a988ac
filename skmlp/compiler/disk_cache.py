"""Compiled kernels on disk, so that a second process does not compile again.

Numba's own cache keeps running old code when another file of the package changes,
confuses two compilations of one function, fails at import on read-only systems, can
be poisoned through shared folders and loads truncated files. This one has no index:
a kernel is one file whose name is the hash of everything that it depends on (the
package's sources, the versions, the flags, the signature, the processor), written
atomically, with a checksum, in a folder that only its owner can write. A kernel that
cannot be read or written, for whatever reason, is compiled in memory instead; the
reason is logged at level DEBUG to the logger "skmlp". Only where the reason is a
version of Numba that serializes machine code otherwise, a warning is given, once.

The folder is the user's cache folder; the environment variable ``SKMLP_CACHE_DIR``
moves it, and an empty value turns the cache off.
"""

import functools
import hashlib
import logging
import os
import pickle
import stat
import sys
import tempfile
import time
from pathlib import Path

import llvmlite
import numba
import numpy
import scipy
from llvmlite import binding
from numba.core import config

from skmlp.compiler.fallback import warn_of_fallback

_LOGGER = logging.getLogger("skmlp")
_DIGEST_SIZE = 32
# Every change of the package or of a version leaves the files of the old one behind.
_MAX_AGE = 60 * 24 * 3600


def _user_cache_folder():
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")


def _is_private(folder):
    """Whether nobody but the owner, who is this user, can write in a real folder."""
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        return False
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


@functools.cache
def cache_folder():
    """The folder of the cache, or None if there is none that can be trusted.

    Returns
    -------
    pathlib.Path or None
    """
    setting = os.environ.get("SKMLP_CACHE_DIR")
    if setting == "":
        return None
    try:
        folder = Path(setting) if setting else _user_cache_folder() / "skmlp"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(folder):
            _LOGGER.debug("kernel cache off: %s is not private to this user", folder)
            return None
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError) as error:
        _LOGGER.debug("kernel cache off: %r", error)
        return None


@functools.cache
def _environment():
    """Everything but the function and its signature that machine code depends on."""
    sources = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        sources.update(str(path.relative_to(package)).encode())
        sources.update(path.read_bytes())
    versions = [module.__version__ for module in (numba, llvmlite, numpy, scipy)]
    options = (config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT)
    return repr((versions, sys.version, sources.hexdigest(), options))


class KernelCache:
    """The cache of one dispatcher, with the methods that Numba calls.

    Subclasses serialize a kernel (`_packed`) and deserialize it (`_unpacked`).

    Parameters
    ----------
    key : str
        Name of the kernel; unlike a function's name it tells two functions made by
        one factory apart.
    name : str
        Prefix of the names of its files, before a hash of all that they depend on.
    """

    def __init__(self, key, name):
        self._key, self._name = key, name

    def _packed(self, compiled):
        """The bytes of a compiled kernel, or None if it cannot be serialized."""
        raise NotImplementedError

    def _unpacked(self, payload, target_context):
        """The compiled kernel of such bytes."""
        raise NotImplementedError

    def _processor(self, codegen):
        """What machine code of a code generator runs on, as a tuple."""
        return codegen.magic_tuple()

    def enable(self):
        """Do nothing: the folder alone decides."""

    def disable(self):
        """Do nothing: the folder alone decides."""

    def flush(self):
        """Do nothing: there is no index."""

    @property
    def cache_path(self):
        """The folder, as Numba's statistics show it."""
        return str(cache_folder())

    def _path(self, signature, codegen):
        parts = (self._key, str(signature), self._processor(codegen), _environment())
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()
        return cache_folder() / f"{self._name}-{digest[:_DIGEST_SIZE]}.bin"

    def load_overload(self, signature, target_context):
        """Read one compiled signature; None if its file is missing or damaged."""
        if cache_folder() is None:
            return None
        try:
            path = self._path(signature, target_context.codegen())
            content = path.read_bytes()
            payload = content[_DIGEST_SIZE:]
            if hashlib.sha256(payload).digest() != content[:_DIGEST_SIZE]:
                _LOGGER.debug("kernel %s: bad checksum, compiled anew", self._name)
                return None
            kernel = self._unpacked(payload, target_context)
            os.utime(path)
            return kernel
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever it is, compiling is the answer
            _LOGGER.debug("kernel %s not loaded: %r", self._name, error)
            return None

    def save_overload(self, signature, compiled):
        """Write one compiled signature; a failure is logged, never raised."""
        if cache_folder() is None:
            return
        try:
            payload = self._packed(compiled)
            if payload is not None:
                path = self._path(signature, compiled.codegen)
                _write_atomically(path, hashlib.sha256(payload).digest() + payload)
                self._drop_unused()
        except Exception as error:  # the kernel runs without its copy on disk
            _LOGGER.debug("kernel %s not saved: %r", self._name, error)

    def _drop_unused(self):
        """Remove files of this kernel that no process has read for long."""
        for path in cache_folder().glob(f"{self._name}-*"):
            if time.time() - path.stat().st_mtime > _MAX_AGE:
                path.unlink(missing_ok=True)


class CpuKernelCache(KernelCache):
    """The cache of a dispatcher for the processor.

    Parameters
    ----------
    dispatcher : numba dispatcher
    key : str
    """

    def __init__(self, dispatcher, key):
        super().__init__(key, key.rsplit(".", 1)[-1])
        from numba.core.caching import CompileResultCacheImpl

        code = dispatcher.py_func.__code__
        # Only the parts of Numba's implementation that (de)serialize are used; its
        # constructor would look for a folder beside the source.
        self._implementation = CompileResultCacheImpl.__new__(CompileResultCacheImpl)
        self._implementation._locator = _Locator(code.co_filename)
        self._implementation._lineno = code.co_firstlineno

    def _packed(self, compiled):
        try:
            from numba.core.serialize import dumps

            if not self._implementation.check_cachable(compiled):
                return None
            return dumps(self._implementation.reduce(compiled))
        except Exception as error:
            _warn_of_no_cache(error)
            raise

    def _unpacked(self, payload, target_context):
        target_context.refresh()
        return self._implementation.rebuild(target_context, pickle.loads(payload))

    def _processor(self, codegen):
        try:
            return super()._processor(codegen)
        except Exception as error:
            cost = "the disk cache asks LLVM instead, which costs nothing"
            warn_of_fallback("Numba's description of the processor", error, cost)
        return (
            binding.get_process_triple(),
            config.CPU_NAME or binding.get_host_cpu_name(),
            config.CPU_FEATURES or binding.get_host_cpu_features().flatten(),
        )


class _Locator:
    """Names the source file in Numba's own messages."""

    def __init__(self, path):
        self._py_file = path


def cache_on_disk(dispatcher, key):
    """Let a dispatcher keep its machine code on disk.

    Parameters
    ----------
    dispatcher : numba dispatcher
    key : str
        As for `KernelCache`.
    """
    try:
        _check_interface(dispatcher)
        dispatcher._cache = CpuKernelCache(dispatcher, key)
    except Exception as error:
        _warn_of_no_cache(error)


def _check_interface(dispatcher):
    """Raise where Numba's dispatchers would not use a `KernelCache`."""
    from numba.core.caching import CompileResultCacheImpl, NullCache

    if not isinstance(dispatcher._cache, NullCache):
        raise TypeError(f"unexpected cache of a dispatcher: {dispatcher._cache!r}")
    # What Numba calls is abstract in the base class of its caches.
    methods = {
        name
        for cls in NullCache.__mro__
        for name in getattr(cls, "__abstractmethods__", ())
    }
    missing = [name for name in methods if not hasattr(KernelCache, name)]
    missing += [
        name
        for name in ("check_cachable", "reduce", "rebuild")
        if not hasattr(CompileResultCacheImpl, name)
    ]
    if missing:
        raise AttributeError(f"missing methods: {sorted(missing)}")


def _warn_of_no_cache(error):
    cost = "every process compiles its kernels again"
    warn_of_fallback("the kernel cache on disk", error, cost)


def _write_atomically(path, content):
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
