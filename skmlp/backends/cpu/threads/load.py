"""The load of the machine, as the system counts it."""

import math
import os
from pathlib import Path


def free_cores():
    """Cores that no other running thread occupies, that of this thread included.

    The number is infinite if the system does not say: a sandbox may lack the file, and
    a process a free file descriptor. It is below one where threads wait for a core.
    """
    try:
        n_running = int(Path("/proc/loadavg").read_text().split()[3].split("/")[0])
    except (OSError, ValueError, IndexError):
        return math.inf
    return (os.cpu_count() or 1) - (n_running - 1)
