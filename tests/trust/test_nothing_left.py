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
    plan.threads_for = lambda work, n_jobs, *least: 3
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
    plan.threads_for = lambda work, n_jobs, *least: 3
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


def rules_made_anew(times, kind):
    """Megabytes a rule, descriptors, threads and functions left by custom rules.

    `kind` is "same" for functions of the same content, "other" for another number in
    each, "broken" for functions that Numba cannot compile.
    """
    import functools
    import gc
    import os
    import resource
    import warnings

    import numpy as np

    import skmlp
    from skmlp.rules import own_functions

    warnings.simplefilter("ignore")
    own_functions._MAX_KEPT = 4
    x = np.random.default_rng(0).standard_normal((20, 3))

    def fit(number):
        factor = 1.0 if kind == "same" else 1.0 + number

        def value(z):
            T = type(z)
            return z * T(factor) / (T(1) + abs(z))

        def slope(a):
            T = type(a)
            root = T(1) - abs(a) / T(factor)
            return T(factor) * root * root

        def loss(y, a):
            return abs(y - a) * type(y)(factor)

        def loss_slope(y, a):
            return np.sign(a - y) * type(y)(factor)

        def broken(z):
            return z * factor if z < 1e300 else open(str(z))

        def constant(a):
            return type(a)(factor)

        rule = skmlp.Activation("soft", value, slope)
        if kind == "broken":
            rule = skmlp.Activation("broken", broken, constant)
        criterion = skmlp.Loss("far", "identity", loss, loss_slope)
        settings = {"max_iter": 1, "random_state": 0, "hidden_layer_sizes": (4,)}
        try:
            model = skmlp.MLPRegressor(loss=criterion, activation=rule, **settings)
            return model.fit(x, x[:, 0]).predict(x).tobytes()
        except ValueError as error:
            return f"{error}"

    def used():
        gc.collect()
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        counts = [len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")]
        return pages * resource.getpagesize() / 2**20, counts

    first = fit(0)
    for number in range(1, 5):
        fit(number)
    before, counts = used()
    for number in range(5, 5 + times):
        fit(number)
    after, counts_after = used()
    # Rows of the last rules, whose number is bounded.
    for each in gc.get_objects():
        if (
            type(each) is functools._lru_cache_wrapper
            and each.cache_info().maxsize == 64
        ):
            each.cache_clear()
    gc.collect()
    return {
        "megabytes": (after - before) / times,
        "counts": [counts, counts_after],
        "functions": len(own_functions._ALIVE),
        "same": fit(0) == first,
        "says": first if isinstance(first, str) else "",
    }


@pytest.mark.parametrize(
    ("kind", "times", "most"),
    [
        ("same", 40, 0.2),
        ("other", 3, 20),
        ("broken", 5, 10),
        pytest.param("same", 1000, 0.02, marks=pytest.mark.slow),
        # LLVM's passes and the code, for which Numba has no way back.
        pytest.param("other", 60, 6, marks=pytest.mark.slow),
        pytest.param("broken", 100, 3, marks=pytest.mark.slow),
    ],
)
def test_rules_made_anew(kind, times, most):
    found = run_apart(rules_made_anew, times, kind, timeout=900)
    assert found["megabytes"] < most
    assert found["counts"][1] == found["counts"][0]
    # With the last ones that failed.
    assert found["functions"] <= (40 if kind == "broken" else 8)
    assert found["same"]
    assert ("cannot compile" in found["says"]) == (kind == "broken")
