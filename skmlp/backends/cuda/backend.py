"""The CUDA backend on one GPU: sessions and predictions with its context made current.

Everything that touches the device runs inside `Backend._on_device`, which holds the
lock of the process, makes the context current in the calling thread, translates the
driver's out-of-memory errors and frees the device memory at the end.
"""

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from numba import cuda

from skmlp.backends.cuda import data_loader, prediction, session
from skmlp.backends.cuda.runtime.memory import (
    free_in_context,
    freed_at_end,
    memory_errors,
)
from skmlp.forks import ForkSafeLock

# One session or prediction at a time in a process, because threads would share, none of
# it thread-safe:
# - Free memory. A session plans by what is free (X resident or streamed, batches of a
#   launch) and allocates later. Two sessions that fit one after the other would plan
#   with the same bytes, and one would fail (tests/gpu/test_concurrency.py).
# - The cache of X on the device (`device_cache`).
# - numba-cuda's queue of deallocations, which a graph capture suspends for all threads,
#   and its list of devices: of two threads that build it at once, one fails
#   (tests/cuda/test_shared_state.py).
# Concurrency would gain little: a persistent kernel occupies the whole device.
# Results are not the reason. In trials without the lock (in the simulator, and with
# numba-cuda's host code on a stand-in driver) concurrent fits had the bits of
# sequential ones, or failed: "dictionary changed size during iteration". One early
# trial of compiled kernels had other bits, on an emulated driver that was not kept;
# nothing reproduces them. Not yet tried on a GPU.
_DEVICE_LOCK = ForkSafeLock()


class Backend:
    """The backend of one device (see `skmlp.backends`).

    Parameters
    ----------
    device_id : int
        The device as CUDA counts.
    """

    def __init__(self, device_id):
        self._device_id = device_id

    @contextmanager
    def _on_device(self):
        with _DEVICE_LOCK, memory_errors(), cuda.gpus[self._device_id]:
            free_in_context()
            with freed_at_end():
                yield

    def missing_memory(self, x):
        """Why a sparse X does not fit (see `data_loader.missing_memory`)."""
        with self._on_device():
            return data_loader.missing_memory(x)

    @contextmanager
    def open_session(self, problem, params, n_jobs=None):
        """Open a session; `n_jobs` host threads hash X and gather its rows."""
        with (
            self._on_device(),
            session.open_session(problem, params, n_jobs) as opened,
        ):
            yield opened

    def outputs(self, network, params, x, activation, n_jobs=None):
        """Predictions of a network, and whether the sum of X is finite."""
        with self._on_device():
            return prediction.outputs(network, params, x, activation)

    def predictor(self, network, params):
        """A function that predicts with some parameters."""
        return partial(self.outputs, network, params)

    def evaluate(self, network, raw, targets, weights):
        """Mean loss of raw outputs, and the predictions after the output activation."""
        with self._on_device():
            return prediction.evaluate(network, raw, targets, weights)

    def row_losses(self, network, raw, targets):
        """Loss of each row of raw outputs."""
        with self._on_device():
            return prediction.row_losses(network, raw, targets)


if TYPE_CHECKING:
    from skmlp import backends

    # mypy checks functions and arity here, tests/training/test_contract.py the names.
    _BACKEND: type[backends.DeviceBackend] = Backend
    _SESSION: type[backends.Session] = session.Session
