"""CUDA graphs and streams: a training step captured once and launched as a whole.

Launching one kernel from Python takes longer than many kernels run. Captured as a CUDA
graph, all operations of a step are launched by one call.

Graph capture is invalidated if another thread uses the legacy default stream while a
stream is captured that synchronizes with it, or if it synchronizes the device. Such a
thread need not be ours: CuPy and PyTorch work on the same device. Capture therefore
runs on non-blocking streams (call `sync_default_stream` before using one, as copies
from and to the host are on the default stream), and our device-wide synchronization
takes `CAPTURE_LOCK`.
"""

import weakref

from numba import cuda

from skmlp.backends.cuda.runtime import internals
from skmlp.backends.cuda.runtime.simulator import SIMULATED, SimulatedGraph
from skmlp.forks import ForkSafeLock

# Held during a capture, and by every call of ours that synchronizes the device.
CAPTURE_LOCK = ForkSafeLock()


def new_stream():
    """A non-blocking stream: it does not synchronize with the default stream."""
    if SIMULATED:
        return cuda.stream()
    from cuda.bindings import driver

    flag = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
    handle = _call(driver, "cuStreamCreate", flag.value)
    stream = cuda.external_stream(int(handle))
    queue = internals.deallocation_queues(cuda.current_context())[0]
    weakref.finalize(stream, queue.add_item, driver.cuStreamDestroy, handle)
    return stream


def sync_default_stream():
    """Wait for the default stream, on which copies from and to the host run."""
    if not SIMULATED:
        cuda.default_stream().synchronize()


def _call(driver, name, *arguments):
    """Call a driver function, check its status, and return its result, if any."""
    status, *values = getattr(driver, name)(*arguments)
    if status != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"CUDA: {name} returned {status.name}.")
    return values[0] if values else None


def capture(stream, operations):
    """Capture the operations that a function launches on a stream, without running.

    All kernels must have been launched before: a capture can neither load code nor
    allocate memory.

    Parameters
    ----------
    stream : stream of numba.cuda
    operations : callable
        Without arguments. Called once; in the simulator, at every launch.

    Returns
    -------
    Graph or SimulatedGraph
        With methods ``launch()`` and ``close()``.

    Raises
    ------
    RuntimeError
        With the driver's name of the error.
    """
    return SimulatedGraph(operations) if SIMULATED else Graph(stream, operations)


class Graph:
    """An executable CUDA graph (see `capture`)."""

    def __init__(self, stream, operations):
        from cuda.bindings import driver

        self._driver = driver
        self._stream = driver.CUstream(int(stream))
        self._executable = None
        graph = self._capture(operations)
        try:
            self._executable = self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)

    def _call(self, name, *arguments):
        return _call(self._driver, name, *arguments)

    def _capture(self, operations):
        """The graph of some operations; a capture that fails is ended as well."""
        modes = self._driver.CUstreamCaptureMode
        mode = modes.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        # Freeing memory meanwhile would invalidate the capture.
        with CAPTURE_LOCK, cuda.defer_cleanup():
            self._call("cuStreamBeginCapture", self._stream, mode)
            try:
                operations()
            except BaseException:
                self._abort_capture()
                raise
            return self._call("cuStreamEndCapture", self._stream)

    def _abort_capture(self):
        """End a capture and destroy what it has captured."""
        success = self._driver.CUresult.CUDA_SUCCESS
        status, graph = self._driver.cuStreamEndCapture(self._stream)
        if status == success:
            self._call("cuGraphDestroy", graph)

    def launch(self):
        """Launch the graph, after all earlier work of the stream."""
        self._call("cuGraphLaunch", self._executable, self._stream)

    def close(self):
        """Destroy the graph; if the device is running it, it finishes first."""
        if self._executable is not None:
            executable, self._executable = self._executable, None
            # The status is ignored: an error here would hide the one that ends a fit.
            self._driver.cuGraphExecDestroy(executable)
