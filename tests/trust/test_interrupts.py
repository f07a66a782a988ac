"""Ctrl-C, other signals and limits of the system: an exception or the right result."""

import sys

import pytest
from subprocesses import run_apart

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="sends signals and sets limits"
)


def cold(delay):
    """Ctrl-C some seconds into a fit that compiles everything."""
    import logging
    import os
    import signal
    import threading
    import time
    import warnings

    import numpy as np

    import skmlp

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    compiled = []

    class Handler(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("compiled"):
                compiled.append(time.perf_counter())

    logging.getLogger("skmlp").addHandler(Handler())
    logging.getLogger("skmlp").setLevel(logging.INFO)
    x = np.random.default_rng(0).standard_normal((300, 20))
    y = (x[:, 0] > 0).astype(int)
    model = skmlp.MLPClassifier((30,), random_state=0, max_iter=3)
    pressed = []

    def press():
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(delay, press)
    timer.start()
    raised = False
    try:
        model.fit(x, y)
        timer.join()  # where the fit has ended before
    except KeyboardInterrupt:
        raised = True
    n_later = sum(moment > pressed[0] for moment in compiled) if pressed else None
    timer.join()
    # The thread that compiled has given its outcome, and ends.
    end = time.perf_counter() + 5
    while threading.active_count() > 1 and time.perf_counter() < end:
        time.sleep(0.01)
    n_threads = threading.active_count()
    epochs = model.fit(x, y).n_iter_
    return {"raised": raised, "later": n_later, "threads": n_threads, "epochs": epochs}


@pytest.mark.parametrize(
    "delay",
    [0.05, *(pytest.param(d, marks=pytest.mark.slow) for d in (0.3, 0.8, 2, 4, 6, 9))],
)
def test_ctrl_c_in_a_cold_fit(delay):
    """Numba stays usable, and nothing but what was being compiled is compiled."""
    if delay < 0.1:  # while Numba is imported
        found = run_apart(cold, delay)
        assert found["raised"]
    else:
        found = run_apart(cold, delay, timeout=400, SKMLP_CACHE_DIR="")
    assert found["epochs"] == 3
    assert found["threads"] == 1
    assert found["later"] in (0, 1, None)


def at_random_moments(times, solver):
    """Seconds from Ctrl-C to the end of warm fits that would take minutes."""
    import os
    import random
    import signal
    import threading
    import time
    import warnings

    import numpy as np

    import skmlp

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x = np.random.default_rng(0).standard_normal((5000, 50))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    limits = {"max_iter": 10**6, "max_fun": 10**6, "n_iter_no_change": 10**6, "tol": 0}
    model = skmlp.MLPClassifier((100, 50), solver=solver, random_state=0, max_iter=1)
    model.fit(x, y)
    model.set_params(**limits)
    draw = random.Random(0)
    seconds = []
    for _ in range(times):
        pressed = []

        def press(pressed=pressed):
            pressed.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(draw.uniform(0.0, 0.5), press)
        try:
            # The moment may come before this returns.
            timer.start()
            model.fit(x, y)
            # The moment may be just before the fit has begun.
            timer.join()
        except KeyboardInterrupt:
            pass
        seconds.append(time.perf_counter() - pressed[0])
        timer.join()
    return sorted(seconds)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    "times", [10, pytest.param(200, marks=pytest.mark.slow)], ids=str
)
def test_ctrl_c_in_warm_fits(solver, times):
    seconds = run_apart(at_random_moments, times, solver, timeout=500)
    assert seconds[len(seconds) // 2] < 0.3
    # The machine may be busy with other things once.
    assert seconds[-1 - len(seconds) // 20] < 0.3


def stopped_and_moved():
    """Bits of fits while the process is stopped, moved and continued."""
    import os
    import subprocess
    import sys
    import threading
    import warnings

    import numpy as np

    import skmlp
    from skmlp.backends.cpu import plan

    warnings.simplefilter("ignore")
    plan.threads_for = lambda work, n_jobs, *least: 2
    x = np.random.default_rng(0).standard_normal((3000, 50))
    y = (x[:, 0] > 0).astype(int)

    def result():
        model = skmlp.MLPClassifier((100,), random_state=0, max_iter=40, tol=0)
        return model.fit(x, y).coefs_[0].tobytes()

    expected = result()
    # Another process: a stopped one cannot continue itself.
    source = f"""
import os, signal, time
for _ in range(15):
    os.kill({os.getpid()}, signal.SIGSTOP)
    time.sleep(0.03)
    os.kill({os.getpid()}, signal.SIGCONT)
    time.sleep(0.03)
"""
    other = subprocess.Popen([sys.executable, "-c", source])
    cores = sorted(os.sched_getaffinity(0))
    over = threading.Event()

    def move():
        i = 0
        while not over.wait(0.02):
            for task in os.listdir("/proc/self/task"):
                try:
                    os.sched_setaffinity(int(task), {cores[i % len(cores)]})
                except ProcessLookupError:
                    continue
            i += 1

    mover = threading.Thread(target=move)
    mover.start()
    same = [result() == expected for _ in range(4)]
    over.set()
    mover.join()
    other.wait()
    return same


def test_stopped_continued_and_moved_fits_have_the_same_bits():
    assert run_apart(stopped_and_moved) == [True] * 4


def terminated():
    """How a process ends that SIGTERM meets in a fit, with a handler and without."""
    import os
    import signal
    import subprocess
    import sys
    import time

    source = """
import signal, sys, warnings
import numpy as np, skmlp
from skmlp.backends.cpu import plan
warnings.simplefilter("ignore")
plan.threads_for = lambda work, n_jobs, *least: 2
if HAS_HANDLER:
    signal.signal(signal.SIGTERM, lambda *arguments: sys.exit(7))
x = np.random.default_rng(0).standard_normal((3000, 50))
y = (x[:, 0] > 0).astype(int)
skmlp.MLPClassifier((100,), max_iter=1).fit(x, y)
print("ready", flush=True)
skmlp.MLPClassifier((100,), max_iter=10**6, tol=0, n_iter_no_change=10**6).fit(x, y)
"""
    codes, seconds = [], []
    for has_handler in (False, True):
        done = subprocess.Popen(
            [sys.executable, "-c", source.replace("HAS_HANDLER", str(has_handler))],
            stdout=subprocess.PIPE,
            env=os.environ,
        )
        done.stdout.readline()
        time.sleep(0.3)
        start = time.perf_counter()
        done.send_signal(signal.SIGTERM)
        codes.append(done.wait(30))
        seconds.append(time.perf_counter() - start)
        done.stdout.close()
    return codes, seconds


def test_terminated_fits_end():
    codes, seconds = run_apart(terminated)
    assert codes == [-15, 7]
    assert max(seconds) < 5
