"""The device that the tests of this folder run on: the GPU, or else the simulator.

An environment variable switches the simulator on for the whole process, before Numba
is imported. So these tests run in separate processes, which
`tests/cuda/test_gpu_folder.py` starts; ``python -m pytest tests/gpu`` does the same by
hand. With ``NUMBA_ENABLE_CUDASIM=1`` they run in the simulator even beside a GPU.

The simulator takes seconds where a GPU takes microseconds. The quick tier (``-m "not
slow"``) therefore runs two cases of each test, or one order of threads of every case.
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


ORDERS = ("backward", "forward", 0, 1) if SIMULATED else ("device",)


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by markers
def pytest_collection_modifyitems(items):
    cases = {}
    for item in items:
        if "any_order" not in item.fixturenames:
            cases.setdefault((item.path, item.originalname), []).append(item)
    for between in (group[1:-1] for group in cases.values()):
        for item in between:
            item.add_marker(pytest.mark.slow)
    for item in items:
        if SIMULATED and item.get_closest_marker("needs_gpu"):
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))
        if not SIMULATED and item.get_closest_marker("needs_simulator"):
            item.add_marker(pytest.mark.skip(reason="a test of the simulator"))


@pytest.fixture(
    params=[ORDERS[0], *(pytest.param(o, marks=pytest.mark.slow) for o in ORDERS[1:])]
)
def any_order(request):
    """Runs a test in several orders of threads; a race is an error in each of them.

    A GPU chooses the order itself, once.
    """
    if not SIMULATED:
        yield
        return
    from cuda_simulator import in_order, races_watched

    with in_order(request.param), races_watched():
        yield
