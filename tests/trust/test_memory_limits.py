"""A limit of the address space while kernels are compiled: an exception, no abort.

LLVM ends the process where it gets no memory, so no compilation begins near the limit.
Fits of kernels that are compiled: `test_nothing_left.py`.
"""

import signal
import sys

import pytest
from subprocesses import run_apart

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the limit is Linux's"
)


def first_fit(megabytes, checks=True, again=False):
    """What a first fit raises that may take some more megabytes, or None."""
    import resource
    import warnings

    import numpy as np

    import skmlp
    import skmlp.backends.cpu.session
    from skmlp.compiler import memory

    warnings.simplefilter("ignore")
    if not checks:
        memory.check_room = lambda: None
    x = np.random.default_rng(0).standard_normal((30, 5))
    model = skmlp.MLPRegressor(max_iter=1, random_state=0)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    infinity = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), infinity))
    found = None
    try:
        model.fit(x, x[:, 0])
    except (MemoryError, RuntimeError) as error:
        found = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_AS, (infinity, infinity))
    if again:
        model.fit(x, x[:, 0])
    return found


@pytest.mark.parametrize(
    "megabytes",
    [
        0,
        100,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 10, 30, 60, 150, 230)),
    ],
)
def test_a_limit_is_an_exception(megabytes):
    found = run_apart(first_fit, megabytes, timeout=300, SKMLP_CACHE_DIR="")
    # For the thread that compiles there may be no stack.
    assert "RLIMIT_AS" in found or "can't start new thread" in found


@pytest.mark.slow
@pytest.mark.parametrize(("megabytes", "fits"), [(30, False), (600, True)])
def test_a_fit_after_a_limit(megabytes, fits):
    arguments = (megabytes, True, True)
    found = run_apart(first_fit, *arguments, timeout=600, SKMLP_CACHE_DIR="")
    assert (found is None) == fits


@pytest.mark.slow
def test_without_the_check_llvm_ends_the_process():
    """By an abort, which says why, and in no other way."""
    with pytest.raises(AssertionError, match=f"^{-signal.SIGABRT}\n") as failure:
        run_apart(first_fit, 60, False, timeout=300, SKMLP_CACHE_DIR="")
    said = str(failure.value)
    assert "bad_alloc" in said or "out of memory" in said
