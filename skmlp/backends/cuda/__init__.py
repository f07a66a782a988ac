"""The CUDA backend: kernels on one NVIDIA GPU, by the number of the GPU.

Importing this package imports nothing of CUDA: `device` must be able to say what is
missing on a machine that has none of it.
"""

import importlib

from skmlp.backends.cuda.runtime.device import require


def on_device(number):
    """The backend on a GPU: an object with the functions of the seam.

    Parameters
    ----------
    number : int
        As CUDA counts.

    Raises
    ------
    ImportError, RuntimeError
        If that GPU cannot be used (see `device.require`).
    """
    require(number)
    return importlib.import_module("skmlp.backends.cuda.backend").Backend(number)
