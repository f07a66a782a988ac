"""The CUDA backend: Numba kernels on one NVIDIA GPU.

Map of the folder. Each line uses the lines below it only:

- `backend`: the backend's functions, with the device locked and its context current
- `session`: one fit; `prediction`: outputs and losses without one
- `programs`: the two training programs, persistent kernel and CUDA graph, and the
  matrix products of the second
- `data_loader`: X on the device, resident or streamed in parts
- `plan`: tile shapes, numbers of blocks, and which program trains
- `workspace`, `binding`: device memory of a fit; a network as kernel arguments
- `kernels`: code that runs on the GPU
- `runtime`: driver, memory, streams, graphs, compiler, cuBLAS

Importing this package imports nothing of CUDA, so that `runtime.device` can tell a
user what is missing on a machine without it.
"""

import importlib

from skmlp.backends.cuda.runtime.device import require


def on_device(device_id):
    """The backend on a GPU: an object with the functions of `skmlp.backends`.

    Parameters
    ----------
    device_id : int
        The device as CUDA counts.

    Raises
    ------
    ImportError, RuntimeError
        If that GPU cannot be used (see `device.require`).
    """
    require(device_id)
    return importlib.import_module("skmlp.backends.cuda.backend").Backend(device_id)
