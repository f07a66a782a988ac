"""Fits in several threads of one process: what they share, and why they take a lock.

The simulator's kernels switch between CUDA threads by greenlets of the host thread that
launches them, so two host threads may be inside kernels at the same time.
"""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
from gpu_fixtures import on_device, parameters_for, problem_of
from numba import cuda

from skmlp.backends.cuda import backend
from skmlp.backends.cuda.runtime import device_cache

needs_simulator = pytest.mark.needs_simulator


@pytest.fixture
def small_device(monkeypatch):
    """``small_device(total)``: a device whose free bytes are those not allocated.

    Returns the bytes that are allocated at each time.
    """
    allocated, total_bytes, device_array = [0], [0], cuda.device_array

    def memory_info(context):
        gc.collect()  # of launches in the simulator, which are reference cycles
        return total_bytes[0] - allocated[-1], total_bytes[0]

    def release(n_bytes):
        allocated.append(allocated[-1] - n_bytes)

    def counting(size, dtype):
        array = device_array(size, dtype=dtype)
        allocated.append(allocated[-1] + array.nbytes)
        owner = array._ary
        while owner.base is not None:
            owner = owner.base
        weakref.finalize(owner, release, array.nbytes)
        return array

    def small_device(total):
        device_cache.current().evict()
        total_bytes[0] = total
        context = type(cuda.current_context())
        monkeypatch.setattr(cuda, "device_array", counting)
        monkeypatch.setattr(context, "get_memory_info", memory_info)
        return allocated

    return small_device


def fit(problem):
    vector = parameters_for(problem.network)
    with on_device().open_session(problem, vector) as session:
        return session.loss_and_gradient(vector)[0]


@needs_simulator
def test_sessions_that_fit_one_after_the_other_do_not_fit_at_once(
    monkeypatch, small_device
):
    """Why there is a lock: a session plans with memory that another one takes."""
    problem = problem_of(n_rows=50, is_sparse=True)
    allocated = small_device(1 << 30)
    fit(problem)
    small_device(int(1.5 * max(allocated)))
    with ThreadPoolExecutor(2) as pool:
        losses = [*pool.map(fit, [problem, problem])]
    assert losses[0] == losses[1]
    monkeypatch.setattr(backend, "_DEVICE_LOCK", nullcontext())
    vector = parameters_for(problem.network)
    with on_device().open_session(problem, vector) as session:
        session.loss_and_gradient(vector)
        with ThreadPoolExecutor(1) as pool, pytest.raises(MemoryError):
            pool.submit(fit, problem).result()


def test_a_session_waits_for_the_one_of_another_thread():
    problem, events = problem_of(), []
    vector = parameters_for(problem.network)
    entered = threading.Event()

    def second():
        entered.set()
        with on_device().open_session(problem, vector):
            events.append("second")

    with ThreadPoolExecutor(1) as pool:
        with on_device().open_session(problem, vector):
            waiting = pool.submit(second)
            entered.wait(60)
            assert not threading.Event().wait(0.05)
            events.append("first")
        waiting.result(60)
    assert events == ["first", "second"]


def test_a_session_may_predict_in_its_own_thread():
    problem = problem_of()
    vector = parameters_for(problem.network)
    with on_device().open_session(problem, vector):
        raw, _ = on_device().outputs(problem.network, vector, problem.x, "identity")
    assert np.isfinite(raw).all()
