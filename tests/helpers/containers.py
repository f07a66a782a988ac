"""Runs a function of a test module as a container would: another root, another user.

The root folder is a file system in memory, in a mount namespace of its own, on which
only the folders that Python needs are mounted. All of it is read-only, but for what a
test asks for. Nothing of it is left when the process ends.
"""

import inspect
import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

_NOBODY = 65534
_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/dev")
# In the new namespace: the folders, read-only or not, then the program.
_SCRIPT = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$ROOT"
while read -r options source target; do
    mkdir -p "$ROOT$target"
    mount --rbind "$source" "$ROOT$target"
    if [ "$options" = ro ]; then
        mount -o remount,ro,bind "$ROOT$target"
    fi
done < "$MOUNTS"
mkdir -p "$ROOT/tmp"
mount -o remount,ro "$ROOT"
exec chroot --userspec="$USER_ID:$USER_ID" "$ROOT" "$@"
"""


def can_run():
    """Whether this process may mount, as root on Linux may outside of containers."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    if not all(map(shutil.which, ("unshare", "chroot", "mount"))):
        return False
    probe = "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt"
    done = subprocess.run(["unshare", "-m", "sh", "-c", probe], capture_output=True)
    return done.returncode == 0


def _of_python():
    """The folders that the interpreter and its packages are in."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()}
    places = {str(Path(place).resolve()) for place in places} | {sys.prefix}
    return [
        place
        for place in sorted(places)
        if not any(Path(place).is_relative_to(system) for system in _SYSTEM)
    ]


def run_in_container(
    function, *arguments, folder, package, mounts=(), user=_NOBODY, **environment
):
    """The result of a function, and what its process wrote on standard error.

    Parameters
    ----------
    function : callable
        Its source is run by itself; its arguments and its result go through JSON.
    folder : pathlib.Path
        Where the new root is mounted, for this process alone.
    package : pathlib.Path
        The folder that contains the package skmlp.
    mounts : list of tuple (options, source, target)
        Further folders; options are 'ro' or 'rw'.
    user : int
    **environment
        Beside PATH and PYTHONPATH, the only variables.
    """
    root = folder / "root"
    root.mkdir(exist_ok=True)
    system = [("ro", place, place) for place in _SYSTEM if Path(place).is_dir()]
    python = [("ro", place, place) for place in _of_python()]
    lines = [*system, *python, ("ro", package, "/srv/packages"), *mounts]
    listed = folder / "mounts"
    listed.write_text("".join(f"{a} {b} {c}\n" for a, b, c in lines))
    call = f"{function.__name__}(*json.loads({json.dumps(arguments)!r}))"
    source = f"{inspect.getsource(function)}\nimport json\nprint(json.dumps({call}))"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", sys.executable, "-c", source],
        env={
            "PATH": os.environ["PATH"],
            "ROOT": str(root),
            "MOUNTS": str(listed),
            "USER_ID": str(user),
            "PYTHONPATH": "/srv/packages",
            **environment,
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1]), done.stderr
