"""What all tests share: a separate kernel cache, and the comparison of numbers.

pytest imports this file before skmlp reads the cache folder, which it does once, before
it compiles its first kernel. Workers of pytest-xdist inherit the folder of the process
that started them, so that a kernel is compiled once for all of them.
"""

import os
import tempfile

import numpy as np
import pytest

_DEVELOPERS_FOLDER = os.environ.get("SKMLP_TEST_CACHE_DIR")
_temporary = None

if _DEVELOPERS_FOLDER:
    os.makedirs(_DEVELOPERS_FOLDER, mode=0o700, exist_ok=True)
    os.environ["SKMLP_CACHE_DIR"] = _DEVELOPERS_FOLDER
elif "PYTEST_XDIST_WORKER" not in os.environ:
    # mkdtemp creates folders of mode 0o700, the only ones that skmlp trusts.
    _temporary = tempfile.TemporaryDirectory(
        prefix="skmlp-tests-", ignore_cleanup_errors=True
    )
    os.environ["SKMLP_CACHE_DIR"] = _temporary.name


# Cases of a test marked `sampled` that the quick tier runs.
_SAMPLES = 12
# Files that are tested in this process.
_FEW_FILES = 2


def pytest_xdist_auto_num_workers(config):
    """A worker for each core; none for few files: workers take seconds to start."""
    files = [arg.partition("::")[0].endswith(".py") for arg in config.args]
    return 0 if all(files) and len(files) <= _FEW_FILES else os.cpu_count()


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by markers
def pytest_collection_modifyitems(items):
    groups = {}
    for item in items:
        if item.get_closest_marker("sampled"):
            groups.setdefault((item.path, item.originalname), []).append(item)
    for group in groups.values():
        n_samples = min(_SAMPLES, len(group))
        chosen = {i * len(group) // n_samples for i in range(n_samples)}
        for i, item in enumerate(group):
            if i not in chosen:
                item.add_marker(pytest.mark.slow)


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
    from rule_runners import RUNNERS  # after the cache folder is set

    return RUNNERS[request.param]


@pytest.fixture(scope="session")
def assert_same():
    """``assert_same(actual, expected, rtol)``: equality up to rounding.

    On top of `rtol`, a thousandth of it times the array's largest element is allowed,
    for elements that are almost zero because large ones have canceled.
    """
    return _assert_same


@pytest.fixture
def cache_at(monkeypatch):
    """A function that moves this process's kernel cache."""
    from skmlp.compiler import disk_cache, fallback  # after the folder is set

    def move(folder):
        monkeypatch.setenv("SKMLP_CACHE_DIR", str(folder))
        monkeypatch.setattr(fallback, "_WARNED", {})
        disk_cache.cache_folder.cache_clear()
        return disk_cache.cache_folder()

    yield move
    monkeypatch.undo()
    disk_cache.cache_folder.cache_clear()
