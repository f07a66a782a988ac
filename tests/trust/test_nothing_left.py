"""Nothing is left behind: no thread, no file descriptor, no memory.

Python raises exceptions of signal handlers at any point of the main thread, also while
a pool starts or ends its threads.
"""

import sys

import pytest
from subprocesses import run_apart

pytestmark = [
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="counts threads in /proc"
    )
]


def interrupted(times, kind):
    """Threads and descriptors before and after exceptions at random moments."""
    import os
    import random
    import signal
    import time
    import warnings
    from itertools import islice

    import numpy as np

    import skmlp
    from skmlp.backends.cpu import plan
    from skmlp.backends.cpu.threads.pool import ThreadPool

    warnings.simplefilter("ignore")
    plan.threads_for = lambda work, n_jobs: 3
    x = np.random.default_rng(0).standard_normal((300, 10))
    y = (x[:, 0] > 0).astype(int)

    class StopError(Exception):
        pass

    exception = {"Ctrl-C": KeyboardInterrupt, "other": StopError}[kind]

    def stop(number, frame):
        raise exception

    def fit():
        model = skmlp.MLPClassifier((8,), max_iter=3, random_state=0)
        return model.fit(x, y).predict(x).tobytes() + model.coefs_[0].tobytes()

    def pool():
        with ThreadPool(4) as threads:
            threads.run(lambda worker: None)
            threads.run(lambda worker: None, 2)

    def left():
        # A thread that has ended may be listed for some microseconds.
        time.sleep(0.3)
        return [len(os.listdir(f"/proc/self/{kind}")) for kind in ("task", "fd")]

    def seconds(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    expected = fit()
    calls = [(call, min(seconds(call) for _ in range(5))) for call in (fit, pool)]
    signal.signal(signal.SIGALRM, stop)
    before = left()
    draw = random.Random(0)
    hits = 0
    for call, usual in islice(calls * times, times):
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, 1.2 * usual))
            call()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except exception:
            hits += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {"before": before, "after": left(), "hits": hits, "same": fit() == expected}


@pytest.mark.parametrize(
    "times", [300, pytest.param(4000, marks=pytest.mark.slow)], ids=str
)
@pytest.mark.parametrize("kind", ["Ctrl-C", "other"])
def test_interrupts_leave_nothing(kind, times):
    found = run_apart(interrupted, times, kind, timeout=400)
    assert found["hits"] > times / 4
    # A thread that an exception met before its first line ends a moment later.
    assert found["after"] == found["before"]
    assert found["same"]


def out_of_memory(times):
    """Threads after fits that run out of memory, whose exceptions are kept."""
    import os
    import resource
    import time
    import warnings

    import numpy as np

    import skmlp
    from skmlp.backends.cpu import plan

    warnings.simplefilter("ignore")
    plan.threads_for = lambda work, n_jobs: 3
    x = np.random.default_rng(0).standard_normal((2000, 400))
    y = (x[:, 0] > 0).astype(int)

    def model(units):
        return skmlp.MLPClassifier(
            (units,), max_iter=2, random_state=0, batch_size=2000
        )

    expected = model(10).fit(x, y).coefs_[0].tobytes()

    def n_threads():
        time.sleep(0.2)
        return len(os.listdir("/proc/self/task"))

    before, errors = n_threads(), []
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    infinity = resource.RLIM_INFINITY
    for i in range(times):
        resource.setrlimit(resource.RLIMIT_AS, (used + (i << 21), infinity))
        try:
            model(1500).fit(x, y)
        except MemoryError as error:
            errors.append(error)
        resource.setrlimit(resource.RLIMIT_AS, (infinity, infinity))
    after = n_threads()
    same = model(10).fit(x, y).coefs_[0].tobytes() == expected
    return {"before": before, "after": after, "errors": len(errors), "same": same}


def test_fits_out_of_memory_leave_no_threads():
    found = run_apart(out_of_memory, 40)
    assert found["after"] == found["before"]
    assert found["errors"] > 0
    assert found["same"]
