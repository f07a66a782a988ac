"""What threads share inside numba-cuda: reasons for the lock of the CUDA backend.

The other reason, free memory, is shown by `tests/gpu/test_concurrency.py`. If one of
these tests fails with a newer numba-cuda, the comment at the lock is to be shortened.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

driver_module = pytest.importorskip("numba.cuda.cudadrv.driver")
devices = pytest.importorskip("numba.cuda.cudadrv.devices")


@pytest.fixture
def slow_device(monkeypatch):
    """A device that two threads construct at the same time."""
    barrier = threading.Barrier(2, timeout=10)

    class Device:
        get_primary_context = None

        def __init__(self, device_id):
            barrier.wait()

    driver = devices.driver
    monkeypatch.setattr(driver_module, "Device", Device)
    monkeypatch.setattr(driver, "devices", type(driver.devices)())
    monkeypatch.setattr(driver, "get_device_count", lambda: 1)


def test_two_threads_cannot_list_the_devices_at_once(slow_device):
    device_list = devices._DeviceList()
    with ThreadPoolExecutor(2) as pool:
        lists = [pool.submit(lambda: device_list.lst) for _ in range(2)]
    errors = [one.exception() for one in lists]
    assert errors.count(None) == 1
    assert any(isinstance(error, AssertionError) for error in errors)


def test_a_thread_that_defers_frees_defers_those_of_all():
    """As a graph capture does: another fit finds the device full meanwhile."""
    queue, freed = driver_module._PendingDeallocs(capacity=1000), []
    driver_module._logger = driver_module.make_logger()

    def free(handle):
        freed.append(handle)

    queue.add_item(free, "memory", 1)
    with ThreadPoolExecutor(1) as pool:
        with queue.disable():
            pool.submit(queue.clear).result()
            assert freed == []
        pool.submit(queue.clear).result()
    assert freed == ["memory"]
