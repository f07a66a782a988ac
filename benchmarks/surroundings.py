"""What a machine that is not idle does beside a benchmark, as context managers."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

# Keeps a core busy.
BUSY = "while True: pass"
# Until other processes have imported what they need.
_START_SECONDS = 3.0
_PERIOD = 100_000
# The controller's folder in the first version of control groups, and in the second.
_GROUPS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


@contextlib.contextmanager
def neighbors(*programs):
    """Context in which other processes run these programs."""
    processes = [subprocess.Popen([sys.executable, "-c", text]) for text in programs]
    try:
        if processes:
            time.sleep(_START_SECONDS)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _limit(group, cpus):
    quota = round(cpus * _PERIOD)
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {_PERIOD}")


@contextlib.contextmanager
def limited_to(cpus):
    """Context in which a control group limits this process, as it does a container.

    Parameters
    ----------
    cpus : float
        Cores' worth of time.

    Raises
    ------
    OSError
        Where the process may not make control groups.
    """
    root = next((each for each in _GROUPS if (each / "cgroup.procs").exists()), None)
    if root is None:
        raise OSError("There are no control groups here.")
    group = root / f"skmlp-benchmark-{os.getpid()}"
    group.mkdir()
    try:
        _limit(group, cpus)
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield
    finally:
        (root / "cgroup.procs").write_text(str(os.getpid()))
        group.rmdir()


def can_limit():
    """Whether `limited_to` works here."""
    try:
        with limited_to(1.0):
            return True
    except OSError:
        return False
