"""A step recorded once, and launched as a whole from then on.

Launching one kernel takes longer from Python than many of them run. A stream's
operations, recorded as a CUDA graph, go to the device at one call. The simulator has
neither streams nor graphs; there, operations are run each time.

Other threads of the process go on meanwhile, with fits of their own on the same device.
Two things of theirs would spoil a recording, and fail themselves. One is work on the
default stream, as every copy from and to the host is, while a stream is recorded that
waits for it; so these streams do not, and whoever uses one calls `settle` before. The
other is to wait for the whole device; what does that holds the lock `UNDISTURBED`.
"""

import threading
import weakref

from numba import cuda

from skmlp.backends.cuda.runtime.jit import SIMULATED

# Held while a step is recorded, and by all that waits for the whole device.
UNDISTURBED = threading.Lock()


def new_stream():
    """A stream that does not wait for the default stream, nor does that for it."""
    if SIMULATED:
        return cuda.stream()
    from cuda.bindings import driver

    flag = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
    handle = _call(driver, "cuStreamCreate", flag.value)
    stream = cuda.external_stream(int(handle))
    waiting = cuda.current_context().deallocations
    weakref.finalize(stream, waiting.add_item, driver.cuStreamDestroy, handle)
    return stream


def settle():
    """Wait for all that was done on the default stream."""
    if not SIMULATED:
        cuda.default_stream().synchronize()


def _call(driver, name, *arguments):
    """Call the driver; what it returns beside its status."""
    status, *values = getattr(driver, name)(*arguments)
    if status != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"CUDA: {name} returned {status.name}.")
    return values[0] if values else None


def record(stream, operations):
    """Record what a function does on a stream; nothing of it is done.

    All kernels must have been launched before: loading code is no operation of a
    stream, and neither is allocating memory.

    Parameters
    ----------
    stream : stream of numba.cuda
    operations : callable
        Without arguments; called at once, in the simulator at every launch.

    Returns
    -------
    Graph or Repeated
        With methods ``launch()`` and ``close()``.

    Raises
    ------
    RuntimeError
        With the driver's own name of what went wrong.
    """
    return Repeated(operations) if SIMULATED else Graph(stream, operations)


class Repeated:
    """Operations that are run each time, where nothing can be recorded."""

    def __init__(self, operations):
        self.launch = operations

    def close(self):
        """Nothing to give back."""


class Graph:
    """Recorded operations (see `record`)."""

    def __init__(self, stream, operations):
        from cuda.bindings import driver

        self._driver = driver
        self._stream = driver.CUstream(int(stream))
        self._executable = None
        graph = self._recorded(operations)
        try:
            self._executable = self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)

    def _call(self, name, *arguments):
        return _call(self._driver, name, *arguments)

    def _recorded(self, operations):
        """The graph of some operations; a recording that fails is ended, too."""
        modes = self._driver.CUstreamCaptureMode
        mode = modes.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        # Freeing what was forgotten meanwhile would spoil the recording.
        with UNDISTURBED, cuda.defer_cleanup():
            self._call("cuStreamBeginCapture", self._stream, mode)
            try:
                operations()
            except BaseException:
                self._abandon()
                raise
            return self._call("cuStreamEndCapture", self._stream)

    def _abandon(self):
        """End a recording of which nothing is wanted."""
        success = self._driver.CUresult.CUDA_SUCCESS
        status, graph = self._driver.cuStreamEndCapture(self._stream)
        if status == success:
            self._call("cuGraphDestroy", graph)

    def launch(self):
        """Do what was recorded, after all that the stream has to do before."""
        self._call("cuGraphLaunch", self._executable, self._stream)

    def close(self):
        """Give the recording back; the device finishes it if it is at work."""
        if self._executable is not None:
            executable, self._executable = self._executable, None
            # Unasked whether it could: an error would hide the one that ends a fit.
            self._driver.cuGraphExecDestroy(executable)
