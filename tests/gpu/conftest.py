"""On which device the tests of this folder run: the GPU, or else the simulator.

The simulator is switched on by an environment variable before Numba is imported, for
the whole process. That is why these tests run in a process of their own, which
`tests/cuda/test_gpu_folder.py` starts; ``python -m pytest tests/gpu`` is the same by
hand. With ``NUMBA_ENABLE_CUDASIM=1`` they run in the simulator beside a GPU, too.
"""

import os

import pytest
from gpu_driver import count_gpus

if "NUMBA_ENABLE_CUDASIM" not in os.environ:
    os.environ["NUMBA_ENABLE_CUDASIM"] = "0" if count_gpus() else "1"
SIMULATED = os.environ["NUMBA_ENABLE_CUDASIM"] == "1"

if SIMULATED:
    from cuda_simulator import install

    install()


def pytest_collection_modifyitems(items):
    for item in items:
        if SIMULATED and item.get_closest_marker("needs_gpu"):
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))
        if not SIMULATED and item.get_closest_marker("needs_simulator"):
            item.add_marker(pytest.mark.skip(reason="a test of the simulator"))


@pytest.fixture(params=["forward", "backward", 0, 1] if SIMULATED else ["device"])
def any_order(request):
    """Runs a test in several orders of threads, races being errors.

    A device chooses its own order, once.
    """
    if not SIMULATED:
        yield
        return
    from cuda_simulator import in_order, races_watched

    with in_order(request.param), races_watched():
        yield
