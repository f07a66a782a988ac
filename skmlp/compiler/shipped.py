"""What a folder of kernels says of itself: the processors and versions it is for.

`skmlp.precompile` leaves a small file in the folder that it fills for other processes
or machines. By it they find out which processor those kernels were compiled for, before
they compile any themselves (`target`), and can say why they do without. Such a file is
no code, and what it says is only a hint: a kernel's own name tells for certain what it
was compiled from, by which versions and for which processor.
"""

import functools
import hashlib
import json
import logging
import os
import platform
import sys
from pathlib import Path
from typing import NamedTuple

import llvmlite
import numba
import numpy
import scipy
from numba.core import config

from skmlp.compiler import cache_paths, imported_code, kernel_folder

_LOGGER = logging.getLogger("skmlp")
_PREFIX = "kernels-for-"


@functools.cache
def environment():
    """Everything but the function and its signature that machine code depends on.

    Returns
    -------
    str

    Raises
    ------
    UnknownCodeError
    """
    versions = [module.__version__ for module in (numba, llvmlite, numpy, scipy)]
    options = (config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT)
    python = (sys.version, sys.flags.optimize)
    return repr((versions, python, imported_code.digest(), options))


def _digest():
    return hashlib.sha256(environment().encode()).hexdigest()


def versions():
    """Versions of what kernels are compiled from and by, to be read by people.

    Returns
    -------
    dict of str to str
    """
    package = sys.modules[__name__.partition(".")[0]]
    modules = (package, numba, llvmlite, numpy, scipy)
    found = {module.__name__: module.__version__ for module in modules}
    return {"python": platform.python_version(), **found}


class Manifest(NamedTuple):
    """What one of these files says.

    Attributes
    ----------
    folder : pathlib.Path
    cpu : str
        'native' or the name of a baseline.
    processor : str
        Of 'native': a name of the processor.
    processor_key : str
        Of 'native': what the kernels' names contain.
    versions : dict of str to str
    is_current : bool
        Whether it is for the code and the versions of this process.
    """

    folder: Path
    cpu: str
    processor: str
    processor_key: str
    versions: dict
    is_current: bool


def write(folder, cpu, processor, processor_key):
    """Leave a manifest in a folder, for the code and the versions of this process.

    Parameters
    ----------
    folder : pathlib.Path
        From `kernel_folder.prepare`.
    cpu, processor, processor_key : str
        See `Manifest`.

    Raises
    ------
    OSError, UnknownCodeError
    """
    content = {
        "cpu": cpu,
        "processor": processor,
        "processor_key": processor_key,
        "versions": versions(),
        "environment": _digest(),
    }
    text = json.dumps(content, indent=1, sort_keys=True)
    which = hashlib.sha256(f"{processor_key} {_digest()}".encode()).hexdigest()
    name = f"{_PREFIX}{cpu}-{which[:32]}.json"
    kernel_folder.write(folder, name, text.encode())


def manifests():
    """The manifests in the folders that the environment names.

    The user's own folder has none: its kernels are for the machine that compiles them.
    A folder that cannot be trusted counts as none; who reads kernels from it says so.

    Returns
    -------
    found : list of Manifest
    refused : dict of pathlib.Path to OSError
        Why a manifest in a folder is not read.
    """
    found: list = []
    refused: dict = {}
    if os.environ.get("SKMLP_CACHE_DIR"):
        try:
            digest, paths = _digest(), cache_paths.paths()
        except (OSError, RuntimeError) as error:
            _LOGGER.debug("manifests of kernels not read: %r", error)
        else:
            for path in paths:
                found += _of_folder(path, digest, refused)
    return found, refused


def _of_folder(path, digest, refused):
    try:
        folder = path.parent.resolve() / path.name
        names = [name for name in kernel_folder.names(folder) if _is_manifest(name)]
    except OSError as error:
        _LOGGER.debug("manifests of kernels not read: %r", error)
        return
    for name in names:
        try:
            content = json.loads(kernel_folder.read(folder, name))
            yield Manifest(
                folder,
                cpu=str(content["cpu"]),
                processor=str(content["processor"]),
                processor_key=str(content["processor_key"]),
                versions={
                    str(key): str(value) for key, value in content["versions"].items()
                },
                is_current=content["environment"] == digest,
            )
        except OSError as error:
            refused[folder] = error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOGGER.debug("%s in %s is damaged: %r", name, folder, error)


def _is_manifest(name):
    return name.startswith(_PREFIX) and name.endswith(".json")
