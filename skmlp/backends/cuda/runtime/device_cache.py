"""A cache of X on the device, for a later fit of the same X.

A fit removes the entry that it uses, and puts it back if it ends well. So no entry is
in use while it is cached: it can be evicted at any time, and none is ever left by a fit
that failed.

The cache belongs to a CUDA context and is emptied with it. The simulator has no
contexts; there it belongs to the process.
"""

import math

from numba import cuda

from skmlp.backends.cuda.runtime import internals
from skmlp.backends.cuda.runtime.simulator import SIMULATED

# Entries at most. A search over some folds has fewer, validation data included. Without
# a limit, small arrays that are never used again would pile up.
MAX_ENTRIES = 32

_NAME = "skmlp"
_EXTRAS_OF_SIMULATOR: dict = {}


class DeviceCache:
    """Cached arrays of one device, least recently used first."""

    def __init__(self):
        self._entries = {}

    @property
    def n_bytes(self):
        """Bytes of the device that eviction would free."""
        return sum(n_bytes(data) for data in self._entries.values())

    def pop(self, key):
        """Remove and return the data of a key; None if they are not cached."""
        return self._entries.pop(key, None)

    def put(self, key, data):
        """Cache data; evicts the least recently used entry if there are too many.

        Parameters
        ----------
        key : tuple
            From `content_hash.cache_key`.
        data : tuple of device arrays
        """
        self._entries.pop(key, None)
        self._entries[key] = data
        if len(self._entries) > MAX_ENTRIES:
            self._evict_oldest()

    def evict(self, n_bytes=math.inf):
        """Evict entries until `n_bytes` are released; whether there were any.

        numba-cuda frees the memory later, as it does all memory (see `memory`).
        """
        had_entries = bool(self._entries)
        while self._entries and n_bytes > 0:
            n_bytes -= self._evict_oldest()
        return had_entries

    def _evict_oldest(self):
        return n_bytes(self._entries.pop(next(iter(self._entries))))


def n_bytes(data):
    """Bytes of several device arrays."""
    return sum(array.nbytes for array in data)


def current():
    """The cache of the current device.

    Returns
    -------
    DeviceCache
    """
    context = cuda.current_context()
    extras = _EXTRAS_OF_SIMULATOR
    if not SIMULATED:
        extras = internals.context_extras(context)
    if _NAME not in extras:
        cache = extras[_NAME] = DeviceCache()
        internals.before_reset(context, cache.evict)
    return extras[_NAME]
