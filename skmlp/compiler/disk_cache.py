"""Compiled kernels on disk, so that a second process does not compile again.

Numba's own cache keeps running old code when another file of the package changes,
confuses two compilations of one function, fails at import on read-only systems, can
be poisoned through shared folders and loads truncated files. This one has no index:
a kernel is one file whose name is the hash of everything that it depends on (the
package's sources, the versions, the flags, the signature, the processor), written
atomically, with a checksum, in a folder that only its owner can write. Whatever goes
wrong here, the kernel is compiled in memory instead; what went wrong is logged at
level DEBUG to the logger "skmlp".

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
from numba.core import config
from numba.core.caching import CompileResultCacheImpl
from numba.core.serialize import dumps

_LOGGER = logging.getLogger("skmlp")
_DIGEST_SIZE = 32
# Every change of the package or of a version leaves the files of the old one behind.
_SECONDS_KEPT = 60 * 24 * 3600


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
    """The folder of the cache, or None when there is none to be trusted.

    Returns
    -------
    pathlib.Path or None
    """
    wish = os.environ.get("SKMLP_CACHE_DIR")
    if wish == "":
        return None
    try:
        folder = Path(wish) if wish else _user_cache_folder() / "skmlp"
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

    What is written of a kernel, and how it becomes a kernel again, is for subclasses to
    say: `_packed` and `_unpacked`.

    Parameters
    ----------
    key : str
        Name of the kernel; unlike a function's name it tells two functions made by
        one factory apart.
    name : str
        What its files are called, before a hash of all that they depend on.
    """

    def __init__(self, key, name):
        self._key, self._name = key, name

    def _packed(self, compiled):
        """Bytes for a compiled kernel, or None if it cannot be kept."""
        raise NotImplementedError

    def _unpacked(self, payload, target_context):
        """The compiled kernel of such bytes."""
        raise NotImplementedError

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
        parts = (self._key, str(signature), codegen.magic_tuple(), _environment())
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()
        return cache_folder() / f"{self._name}-{digest[:_DIGEST_SIZE]}.bin"

    def load_overload(self, signature, target_context):
        """Read one compiled signature; None when it is not there or not sound."""
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
            if time.time() - path.stat().st_mtime > _SECONDS_KEPT:
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
        code = dispatcher.py_func.__code__
        # Only the parts of Numba's implementation that (de)serialize are used; its
        # constructor would look for a folder beside the source.
        self._implementation = CompileResultCacheImpl.__new__(CompileResultCacheImpl)
        self._implementation._locator = _Locator(code.co_filename)
        self._implementation._lineno = code.co_firstlineno

    def _packed(self, compiled):
        if not self._implementation.check_cachable(compiled):
            return None
        return dumps(self._implementation.reduce(compiled))

    def _unpacked(self, payload, target_context):
        target_context.refresh()
        return self._implementation.rebuild(target_context, pickle.loads(payload))


class _Locator:
    """Names the source file in Numba's own messages."""

    def __init__(self, path):
        self._py_file = path


def _write_atomically(path, content):
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
