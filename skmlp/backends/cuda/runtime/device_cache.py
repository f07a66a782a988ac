"""X of earlier fits, kept on the device for a later fit of the same X.

A fit takes what it uses, and puts it back if it ends well. So nobody uses what is here:
it can be given back at any time, and nothing is ever here of a fit that failed.

It belongs to a context of CUDA and goes with it. In the simulator, which has none, it
is the process's.
"""

import functools
import math

from numba import cuda

from skmlp.backends.cuda.runtime.jit import SIMULATED

# Arrays that are kept at most. Those of a search over some folds, and their validation
# data, are fewer; without a limit, small ones that never come again would pile up.
MOST = 32

_NAME = "skmlp"
_OF_SIMULATOR: dict = {}


class Kept:
    """What is kept of one device, in the order of its last use."""

    def __init__(self):
        self._entries = {}

    @property
    def n_bytes(self):
        """Bytes of the device that could be given back."""
        return sum(n_bytes(data) for data in self._entries.values())

    def take(self, key):
        """The data of a key, kept no longer; None if there are none."""
        return self._entries.pop(key, None)

    def put(self, key, data):
        """Keep data until they are taken, given back, or the longest unused of many.

        Parameters
        ----------
        key : tuple
            What the content is known by.
        data : tuple of device arrays
        """
        self._entries.pop(key, None)
        self._entries[key] = data
        if len(self._entries) > MOST:
            self._drop_oldest()

    def give_back(self, n_bytes=math.inf):
        """Let go of so much, what is longest unused first; whether there was anything.

        Numba frees it later, as all memory (see `memory`).
        """
        had_any = bool(self._entries)
        while self._entries and n_bytes > 0:
            n_bytes -= self._drop_oldest()
        return had_any

    def _drop_oldest(self):
        return n_bytes(self._entries.pop(next(iter(self._entries))))


def n_bytes(data):
    """Bytes of some arrays of the device."""
    return sum(array.nbytes for array in data)


def of_device():
    """What is kept of the current device.

    Returns
    -------
    Kept
    """
    context = cuda.current_context()
    extras = _OF_SIMULATOR if SIMULATED else context.extras
    if _NAME not in extras:
        kept = extras[_NAME] = Kept()
        # Which frees all memory of the context, whoever uses it.
        context.reset = functools.partial(_reset, kept, context.reset)
    return extras[_NAME]


def _reset(kept, reset):
    kept.give_back()
    reset()
