"""Compiled kernels on disk, so that a second process does not compile again.

Numba's own cache keeps running old code when another file of the package changes,
confuses two compilations of one function, fails at import on read-only systems, can
be poisoned through shared folders and loads truncated files. This one has no index:
a kernel is one file whose name is the hash of everything that it depends on (the
package's code as it was imported, see `imported_code`, the versions, the flags, the
signature, the processor), written atomically, with a checksum, in a folder that only
its owner can write, see `kernel_folder`.

A kernel that cannot be read is compiled, one that cannot be written stays in memory;
the reason is logged to the logger "skmlp". Where that concerns every kernel, a warning
says so once a process: there is no folder that can be trusted, the disk is full, the
package has changed since it was imported, or this version of Numba serializes machine
code otherwise.

The folder is the user's cache folder; the environment variable ``SKMLP_CACHE_DIR``
moves it, and an empty value turns the cache off. A folder that this user can read but
not write, as in a container image, is read; what is not in it is compiled and kept in
the next folder of that variable, or in the user's. The processor is the `target` of the
process.
"""

import errno
import functools
import hashlib
import itertools
import logging
import os
import pickle
import time

from skmlp.compiler import (
    cache_paths,
    imported_code,
    kernel_folder,
    progress,
    shipped,
    target,
)
from skmlp.compiler.fallback import warn_of_fallback, warn_once
from skmlp.compiler.target_context import of_target
from skmlp.exceptions import KernelCacheWarning

_LOGGER = logging.getLogger("skmlp")
_DIGEST_SIZE = 32
# Seconds; a fit reads some dozens of kernels in a row.
_CHECK_AGE = 0.1
# A process cleans the folder with the first kernel that it writes, and with some later
# ones: it looks at hundreds of files.
_CLEAN_EVERY = 50
_N_WRITTEN = itertools.count()
# How the names begin that LLVM knows only once Numba's registries are loaded: those of
# its runtime, which counts references, of its hashes, and of its parallel loops.
_OF_REGISTRIES = (b"NRT_", b"_numba_hashsecret", b"numba_parallel_for")


# How the system says that this user may not write.
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@functools.cache
def cache_folder():
    """The folder of the cache, or None if there is none that can be trusted.

    Returns
    -------
    pathlib.Path or None
        The first of those that the environment names.
    """
    failure = None
    try:
        paths = cache_paths.paths()
    except (OSError, RuntimeError) as error:
        failure, paths = error, []
    for path in paths:
        try:
            folder = kernel_folder.prepare(path)
        except OSError as error:
            failure = failure or error
        else:
            _LOGGER.info("folder of the kernel cache: %s", folder)
            break
    else:
        folder = None
    if failure is not None:
        remedy = (
            "Set the environment variable SKMLP_CACHE_DIR to the absolute path of a "
            "folder that only you can write, or of one that skmlp.precompile(cache_dir="
            "...) has filled; or to an empty value to turn the cache off without this "
            "warning"
        )
        _warn(failure, remedy)
    elif folder is None:
        _LOGGER.info("folder of the kernel cache: none, it is turned off")
    return folder


@functools.lru_cache(maxsize=4)
def _beside(folder, setting):
    """Folders that are used beside the first one, which is a parameter, in order.

    The other parameter is the environment's setting. Where this user can write none of
    the folders that it names, the user's own folder is the last one.
    """
    del setting  # read below; here it tells calls apart
    found: list = []
    for path in cache_paths.paths():
        if path.parent.resolve() / path.name == folder:
            found = [folder]
        elif found:
            try:
                found.append(kernel_folder.prepare(path))
            except OSError as error:
                _LOGGER.info("%s is not used: %s", path, error)
    if not found:
        return ()
    if not any(os.access(each, os.W_OK) for each in found):
        try:
            found.append(kernel_folder.prepare(cache_paths.user_path()))
        except (OSError, RuntimeError) as error:
            _LOGGER.info("the user's folder of kernels is not used: %s", error)
    return tuple(dict.fromkeys(found[1:]))


def _others(folder):
    return _beside(folder, os.environ.get("SKMLP_CACHE_DIR"))


def _write(folder, name, content):
    """Write a kernel to the first folder that this user can write, and return that."""
    try:
        kernel_folder.write(folder, name, content)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        for other in _others(folder):
            try:
                kernel_folder.write(other, name, content)
            except OSError as failure:
                _LOGGER.info("%s cannot be written: %s", other, failure)
            else:
                return other
        raise
    return folder


def _usable_folder(max_age):
    """The folder, or None if there is none or if the code's identity is unknown.

    The parameter is that of `imported_code.check`.
    """
    folder = cache_folder()
    if folder is None:
        return None
    try:
        imported_code.check(max_age)
    except imported_code.UnknownCodeError as error:
        _warn(error, "Restart Python if skmlp was updated")
        return None
    return folder


def _warn(error, remedy):
    """Warn that kernels are not cached, once a process."""
    message = (
        f"skmlp does without its cache of compiled kernels: {error}. Every process "
        f"compiles them again, which takes seconds; the results are the same. {remedy}."
    )
    warn_once("the kernel cache", message, KernelCacheWarning)


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

    # Whether it compiles for seconds without a word from the compiler.
    _is_long = False

    def __init__(self, key, name):
        self._key, self._name = key, name
        self._missed = time.perf_counter()
        # Why a file of that name was not read.
        self._refusal = None

    def _packed(self, compiled):
        """The bytes of a compiled kernel, or None if it cannot be serialized."""
        raise NotImplementedError

    def _unpacked(self, payload, target_context):
        """The compiled kernel of such bytes."""
        raise NotImplementedError

    def _processor(self, codegen) -> tuple:
        """What machine code of a code generator runs on."""
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

    def _file_name(self, signature, codegen):
        parts = (
            self._key,
            str(signature),
            self._processor(codegen),
            shipped.environment(),
        )
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()
        return f"{self._name}-{digest[:_DIGEST_SIZE]}.bin"

    def load_overload(self, signature, target_context):
        """Read one compiled signature; None if its file is missing or damaged."""
        folder = _usable_folder(_CHECK_AGE)
        if folder is not None:
            kernel = self._first_loaded(folder, signature, target_context)
            if kernel is not None:
                return kernel
        progress.begin(folder, is_long=self._is_long)
        self._missed = time.perf_counter()
        return None

    def _first_loaded(self, folder, signature, target_context):
        """The kernel from the first folder that has it; None if none does."""
        kernel = self._loaded(folder, signature, target_context)
        if kernel is None:
            for other in _others(folder):
                kernel = self._loaded(other, signature, target_context)
                if kernel is not None:
                    break
        return kernel

    def _loaded(self, folder, signature, target_context):
        try:
            name = self._file_name(signature, target_context.codegen())
            content = kernel_folder.read(folder, name)
            payload = content[_DIGEST_SIZE:]
            if hashlib.sha256(payload).digest() == content[:_DIGEST_SIZE]:
                return self._unpacked(payload, target_context)
            _LOGGER.debug("kernel %s: bad checksum, compiled anew", self._name)
        except FileNotFoundError:
            pass
        except kernel_folder.UntrustedError as error:
            self._refusal = error
            _LOGGER.warning("kernel %s not loaded: %s", self._name, error)
        except PermissionError as error:
            self._refusal = error
            _LOGGER.info("kernel %s not loaded: %s", self._name, error)
        except Exception as error:  # whatever it is, compiling is the answer
            _LOGGER.debug("kernel %s not loaded: %r", self._name, error)
        return None

    def save_overload(self, signature, compiled):
        """Write one compiled signature; a failure is no error, see the module."""
        seconds = time.perf_counter() - self._missed
        folder, kept = _usable_folder(0.0), "in memory only"
        try:
            payload = None if folder is None else self._packed(compiled)
            if payload is not None:
                name = self._file_name(signature, compiled.codegen)
                content = hashlib.sha256(payload).digest() + payload
                written_to = _write(folder, name, content)
                kept = f"kept as {written_to / name}"
                if next(_N_WRITTEN) % _CLEAN_EVERY == 0:
                    kernel_folder.clean(written_to)
        except OSError as error:
            missing = f"{self._name} is not among them"
            if self._refusal is not None:
                missing = f"not {self._name} ({self._refusal})"
            remedy = (
                f"Kernels in it are read, but {missing}: let "
                "skmlp.precompile(cache_dir=...) compile what this program uses, or "
                "name a second folder in SKMLP_CACHE_DIR, after a "
                f"{os.pathsep!r}, that only you can write"
            )
            _warn(f"{folder} cannot be written ({error})", remedy)
        except Exception as error:  # the kernel runs without its copy on disk
            _LOGGER.debug("kernel %s not saved: %r", self._name, error)
        progress.log(self._key, seconds, kept)


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
        # Numba's registries, which take a tenth of a second to load, are for compiling.
        # Machine code needs them only for functions that they bring along.
        if any(name in payload for name in _OF_REGISTRIES):
            target_context.refresh()
        return self._implementation.rebuild(target_context, pickle.loads(payload))

    def load_overload(self, signature, target_context):
        """Read one compiled signature, for the target of this process."""
        context = of_target(target_context)
        return super().load_overload(signature, context)

    def _processor(self, codegen) -> tuple:
        # Numba may have compiled for this processor instead of the target; it has the
        # target's width of vectors all the same.
        width = target.current().vector_bytes
        try:
            return (*super()._processor(codegen), width)
        except Exception as error:
            cost = "the disk cache asks LLVM instead, which costs nothing"
            warn_of_fallback("Numba's description of the processor", error, cost)
        return (*target.native_processor(), width)


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
