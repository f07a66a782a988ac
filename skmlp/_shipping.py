"""Kernels for another folder or another processor, made by a process of its own.

A process compiles for one target, and writes a kernel only where it compiles it, so
that this one, whose kernels are compiled, is not the one to fill a folder.
"""

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

from skmlp.compiler import kernel_folder
from skmlp.exceptions import CompilerFallbackWarning, KernelCacheWarning

_CHILD = """\
import pickle, sys
path, arguments = pickle.load(sys.stdin.buffer)
sys.path[:] = path
from skmlp import _precompile, _shipping
_shipping.fill(_precompile.compile_all, pickle.loads(arguments))
"""
_OPEN = 0o755
# By which Numba is told to compile for another processor.
_NUMBA_SETTINGS = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")


def check_cpu(cpu):
    """Raise if kernels for a processor cannot be made here.

    Parameters
    ----------
    cpu : str

    Raises
    ------
    ValueError
    """
    from skmlp.compiler import target

    if cpu == target.NATIVE:
        return
    if cpu not in target.baselines():
        allowed = sorted((target.NATIVE, *target.baselines()))
        raise ValueError(f"cpu must be one of {allowed}, got {cpu!r}.")
    missing = target.missing_features(cpu)
    if missing:
        raise ValueError(
            f"cpu={cpu!r}: kernels are tried where they are compiled, and this "
            f"processor has no {', '.join(missing)}."
        )


def made_folder(path):
    """The folder of a path, made with those above it if it does not exist.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If the environment could not name it.
    OSError
        If it cannot be made, or if others can write it.
    """
    path = Path(path).expanduser().absolute()
    if os.pathsep in str(path):
        raise ValueError(
            f"cache_dir must not contain {os.pathsep!r}, which separates folders in "
            f"SKMLP_CACHE_DIR; got {str(path)!r}."
        )
    # Others shall come as far, whatever the umask, and not write.
    for place in (*reversed(path.parents), path):
        if not place.exists():
            place.mkdir(mode=_OPEN)
            place.chmod(_OPEN)
    return kernel_folder.prepare(path)


def compile_apart(arguments, folder, cpu):
    """Fill a folder in a new process.

    Parameters
    ----------
    arguments : dict
        Of `skmlp._precompile.compile_all`.
    folder : pathlib.Path
        From `made_folder`.
    cpu : str

    Raises
    ------
    RuntimeError
        If that process fails, with the end of what it says.
    """
    environment = {**os.environ, "SKMLP_CPU": cpu, "SKMLP_CACHE_DIR": str(folder)}
    if cpu != "native":
        for name in _NUMBA_SETTINGS:
            environment.pop(name, None)
    # Two times, for the first to be read before the package can be imported.
    sent = pickle.dumps((sys.path, pickle.dumps(arguments)))
    # Kernels of ``python -O`` are others.
    optimize = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    done = subprocess.run(
        [sys.executable, *optimize, "-c", _CHILD],
        input=sent,
        env=environment,
        stderr=subprocess.PIPE,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(
            f"the process that compiles for cpu={cpu!r} into {folder} failed with "
            f"exit code {done.returncode}: {said[-1] if said else 'no message'}"
        )
    kernel_folder.share(folder)


def fill(compile_all, arguments):
    """What the new process does: compile, and note what for.

    Parameters
    ----------
    compile_all : callable
    arguments : dict
    """
    from skmlp.compiler import disk_cache, target

    # A kernel that is not kept would be missed by all who use the folder.
    warnings.simplefilter("error", KernelCacheWarning)
    if os.environ["SKMLP_CPU"] != target.NATIVE:
        # Fallbacks compile for this processor.
        warnings.simplefilter("error", CompilerFallbackWarning)
    if os.environ["SKMLP_CPU"] != target.current().name:
        raise RuntimeError("Numba's own settings name another processor")
    compile_all(**arguments)
    target.leave_manifest(disk_cache.cache_folder())
