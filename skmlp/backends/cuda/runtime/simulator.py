"""Whether Numba's CUDA simulator runs the kernels, and what replaces the hardware then.

With ``NUMBA_ENABLE_CUDASIM=1`` kernels run as plain Python on the host, which needs no
GPU. `SIMULATED` is the one switch. What differs from a GPU:

- no CUDA graphs: `SimulatedGraph` repeats the operations (`graph.capture`)
- no cuBLAS: the package's own GEMM kernel multiplies (`programs.matmul`)
- no contexts: nothing is pushed or freed, the cache belongs to the process (`memory`,
  `device_cache`, `data_loader`)
- rules and kernels are not compiled (`jit`)
- 3 multiprocessors and small tiles, as every CUDA thread is slow (`binding`, `plan`)
"""

import os


def is_enabled():
    """Whether kernels run in the simulator, by the environment at this moment."""
    return os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


# Numba decides once, when it is imported.
SIMULATED = is_enabled()


class SimulatedGraph:
    """Stands in for a CUDA graph: runs the operations at every launch.

    Parameters
    ----------
    operations : callable
        Without arguments.
    """

    def __init__(self, operations):
        self.launch = operations

    def close(self):
        """Release nothing."""
