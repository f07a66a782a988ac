"""What identifies the code of this package that a process has imported.

The name of a cached kernel contains a hash of the code that it was compiled from. The
files of the package are no answer by themselves: an update may replace them between
the import and the first fit, there may be bytecode only, or Python may run bytecode
that is older than the source. So the package notes the times and sizes of its files
when it is imported, before its other modules are, and `digest` hashes the code that
Python's loader reads from them. Where a file has changed since, or where a module was
loaded in another way, nobody can tell what was imported; `check` raises and the cache
is off.

Importing this module costs half a millisecond. `skmlp.estimators` is left out: nothing
of it is ever compiled.
"""

import functools
import hashlib
import marshal
import os
import sys
import time
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from importlib.util import cache_from_source
from zipimport import zipimporter

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_NAME = os.path.basename(_PACKAGE)
_NEVER_COMPILED = {"__pycache__", "estimators"}
# The zip archive that contains the package, if it is in one.
_LOADER = globals().get("__loader__")
_ARCHIVE = _LOADER.archive if type(_LOADER) is zipimporter else ""


class UnknownCodeError(RuntimeError):
    """What was imported cannot be told from what is on disk."""


def _files(folder):
    """Paths of the files that modules with compiled code are loaded from."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name not in _NEVER_COMPILED:
                    yield from _files(entry.path)
            elif entry.name.endswith((".py", ".pyc")):
                yield entry.path


def _stamp(path):
    """Times and size of a file. Nobody can set back the time of its last change."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _stamps():
    try:
        paths = [_ARCHIVE] if _ARCHIVE else sorted(_files(_PACKAGE))
        return {path: _stamp(path) for path in paths}
    except OSError:
        return {}


_AT_IMPORT = _stamps()
# The last check that found nothing.
_LAST = {"time": -float("inf"), "n_modules": 0}


def check(max_age=0.0):
    """Raise where the imported code may differ from what is on disk.

    Parameters
    ----------
    max_age : float
        Seconds for which an earlier check will do, unless modules were imported since.
        A hundred files take a quarter of a millisecond.

    Raises
    ------
    UnknownCodeError
    """
    now, n_modules = time.monotonic(), len(sys.modules)
    if now - _LAST["time"] < max_age and n_modules == _LAST["n_modules"]:
        return
    if not _AT_IMPORT:
        raise UnknownCodeError("skmlp was loaded from no files")
    for path, stamp in _AT_IMPORT.items():
        try:
            changed = _stamp(path) != stamp
        except OSError:
            changed = True
        if changed:
            raise UnknownCodeError(f"{path} has changed since skmlp was imported")
    _check_loaders(n_modules)
    _LAST.update(time=now, n_modules=n_modules)


@functools.lru_cache(maxsize=1)
def _check_loaders(n_modules):
    """Raise where a module's code is not what its file contains.

    The number of modules is only there to look again when others have been imported.
    """
    for name, module in sys.modules.copy().items():  # other threads may import
        spec = getattr(module, "__spec__", None)
        if spec is None or not _has_compiled_code(name):
            continue
        if _ARCHIVE:
            sound = type(spec.loader) is zipimporter
            sound = sound and spec.loader.archive == _ARCHIVE
        else:
            # Subclasses may instrument the code.
            sound = type(spec.loader) in (SourceFileLoader, SourcelessFileLoader)
            sound = sound and os.path.abspath(spec.origin) in _AT_IMPORT
        if not sound:
            raise UnknownCodeError(f"the module {name} was loaded by {spec.loader!r}")


def _has_compiled_code(name):
    package, *parts = name.split(".")
    return package == _NAME and not (parts and parts[0] in _NEVER_COMPILED)


@functools.cache
def digest():
    """A hash of the code that was imported, and of what may still be imported.

    Returns
    -------
    str

    Raises
    ------
    UnknownCodeError
    """
    check()
    result = hashlib.sha256()
    for name, content in _members() if _ARCHIVE else _contents():
        result.update(f"{name} {len(content)} ".encode())
        result.update(content)
    check()
    return result.hexdigest()


def _contents():
    for path in _AT_IMPORT:
        yield os.path.relpath(path, _PACKAGE).replace(os.sep, "/"), _code_of(path)


def _members():
    """Names and contents of the package's files in a zip archive."""
    import zipfile

    folder = os.path.relpath(_PACKAGE, _ARCHIVE).replace(os.sep, "/")
    with zipfile.ZipFile(_ARCHIVE) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith(folder + "/") and name.endswith((".py", ".pyc")):
                yield name.removeprefix(folder + "/"), archive.read(name)


def _code_of(path):
    """Bytes that identify the code that Python loads from a file.

    Python's own loader decides whether its bytecode is up to date. Only where there is
    none, and none can be stored, the source stands for it: compiling takes long.
    """
    if path.endswith(".pyc"):
        return _without_path(SourcelessFileLoader(path, path).get_code(path))
    loader = SourceFileLoader(path, path)
    if _has_bytecode(path) or _can_store_bytecode():
        return _without_path(loader.get_code(path))
    return loader.get_data(path)


def _has_bytecode(path):
    try:
        return os.path.exists(cache_from_source(path))
    except NotImplementedError:
        return False


@functools.cache
def _can_store_bytecode():
    return not sys.dont_write_bytecode and os.access(_PACKAGE, os.W_OK)


def _without_path(code):
    """Code as bytes that depend on neither the package's path nor the process."""
    try:
        content = marshal.dumps(code, 0)  # without references, whose use is undefined
    except ValueError:  # Python 3.14 has constants that need a later format
        return marshal.dumps(code)
    path = code.co_filename.encode("utf-8", "surrogatepass")
    return content.replace(b"u" + len(path).to_bytes(4, "little") + path, b"")
