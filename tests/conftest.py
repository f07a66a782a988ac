"""What all tests share: a kernel cache of their own, and how two networks are compared.

The cache's folder is set here, when pytest imports this file, since skmlp reads it
once, before it compiles its first kernel. Workers of pytest-xdist inherit the folder
of the process that started them, so that a kernel is compiled once for all of them.
"""

import os
import tempfile

import numpy as np
import pytest

_OF_DEVELOPER = os.environ.get("SKMLP_TEST_CACHE_DIR")
_temporary = None

if _OF_DEVELOPER:
    os.makedirs(_OF_DEVELOPER, mode=0o700, exist_ok=True)
    os.environ["SKMLP_CACHE_DIR"] = _OF_DEVELOPER
elif "PYTEST_XDIST_WORKER" not in os.environ:
    # mkdtemp makes folders of mode 0o700, and skmlp trusts no other.
    _temporary = tempfile.TemporaryDirectory(
        prefix="skmlp-tests-", ignore_cleanup_errors=True
    )
    os.environ["SKMLP_CACHE_DIR"] = _temporary.name


def pytest_unconfigure(config):
    if _temporary is not None:
        _temporary.cleanup()


def _assert_same(actual, expected, rtol):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    largest = np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-3 * rtol * largest)


@pytest.fixture(params=["python", "compiled"])
def runner(request):
    """Turns a scalar rule into a function of arrays."""
    from rule_runners import RUNNERS  # after the folder of the cache is set

    return RUNNERS[request.param]


@pytest.fixture(scope="session")
def assert_same():
    """``assert_same(actual, expected, rtol)``: the one notion of equal numbers.

    Beside `rtol`, a thousandth of it times the array's largest element is allowed,
    for elements that are almost zero because large ones have canceled.
    """
    return _assert_same
