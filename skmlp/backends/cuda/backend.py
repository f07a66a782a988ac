"""Training on an NVIDIA GPU: one launch for many minibatches, or many for a large one.

See `spanwise` and `stepwise`, the two programs that a session has.
"""

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from numba import cuda

from skmlp.backends.cuda import data_loader, prediction, session
from skmlp.backends.cuda.runtime.memory import (
    free_in_context,
    freed_at_end,
    memory_errors,
)

# One thread at a time: a program takes the whole device anyway, Numba's list of devices
# fails where two threads make it at once, and fits side by side have come out wrong in
# trials of the compiled kernels without a GPU, for a reason not yet found.
_TURNS = threading.RLock()


class Backend:
    """The backend of one device (see `skmlp.backends`).

    Parameters
    ----------
    number : int
    """

    def __init__(self, number):
        self._number = number

    @contextmanager
    def _on_device(self):
        with _TURNS, memory_errors(), cuda.gpus[self._number]:
            free_in_context()
            with freed_at_end():
                yield

    def missing_memory(self, x):
        """Why a sparse X has no room on the device (see `sources.missing_memory`)."""
        with self._on_device():
            return data_loader.missing_memory(x)

    @contextmanager
    def open_session(self, problem, parameters, n_jobs=None):
        """A session; `n_jobs` are the host's threads, which look at X and gather it."""
        with (
            self._on_device(),
            session.open_session(problem, parameters, n_jobs) as one,
        ):
            yield one

    def outputs(self, network, parameters, x, activation, n_jobs=None):
        """Predictions of a network, and whether the sum of X is finite."""
        with self._on_device():
            return prediction.outputs(network, parameters, x, activation)

    def evaluate(self, network, raw, targets, weights):
        """Mean loss of raw outputs, and the predictions that they stand for."""
        with self._on_device():
            return prediction.evaluate(network, raw, targets, weights)


if TYPE_CHECKING:
    from skmlp import backends

    # mypy checks functions and arity here, tests/training/test_contract.py the names.
    _BACKEND: type[backends.DeviceBackend] = Backend
    _SESSION: type[backends.Session] = session.Session
