"""Where the kernel cache is looked for: the environment's folders, or the user's.

``SKMLP_CACHE_DIR`` names one folder, or several, separated as in ``PATH``: for example
one that an image brings along, read-only, and a private one that is written.
"""

import os
import sys
from pathlib import Path

from skmlp.compiler.kernel_folder import UntrustedError


def paths():
    """The folders that the environment asks for, in their order.

    Returns
    -------
    list of pathlib.Path
        Empty if the cache is turned off.

    Raises
    ------
    UntrustedError
        If a path is relative.
    RuntimeError
        If there is no home folder.
    """
    setting = os.environ.get("SKMLP_CACHE_DIR")
    if setting is None:
        return [user_path()]
    found = [Path(part).expanduser() for part in setting.split(os.pathsep) if part]
    for path in found:
        if not path.is_absolute():
            raise UntrustedError(f"the path {str(path)!r} is not absolute")
    return found


def user_path():
    """The folder where this user's kernels are kept unless something else is asked for.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    UntrustedError
        If the home folder is a relative path.
    RuntimeError
        If there is no home folder.
    """
    path = _user_cache() / "skmlp"
    if not path.is_absolute():
        raise UntrustedError(f"the path {str(path)!r} is not absolute")
    return path


def _user_cache():
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    setting = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # Its specification: a relative path is invalid and to be ignored.
    return setting if setting.is_absolute() else home / ".cache"
