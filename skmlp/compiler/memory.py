"""Memory for compilations: where LLVM gets none, it ends the process.

So no compilation begins in a process whose address space is limited and almost used up.
Nobody can tell how much the machine will have a second later.
"""

import sys

# What compiling the largest kernel takes, and the arena of a new thread's `malloc`.
_ROOM = 192 << 20


def check_room():
    """Raise a MemoryError where a limit leaves a compilation too little memory."""
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # elsewhere than on Linux nobody says
        return
    if limit - used < _ROOM:
        raise MemoryError(
            f"The limit of {limit >> 20} MB of address space (RLIMIT_AS, ulimit -v) "
            f"leaves {max(0, limit - used) >> 20} MB, and compiling a kernel takes up "
            f"to {_ROOM >> 20} MB. Raise the limit, or compile before it is set: "
            "skmlp.precompile() saves kernels on disk."
        )
