"""Limits to threads: the smallest counts, at once, and what cannot be read is none.

Each row of the table in docs/reliability.md has its test here.
"""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import threadpoolctl
from subprocesses import PACKAGE, run_apart

from skmlp.backends import limits
from skmlp.backends.threads import available_threads

pytestmark = pytest.mark.filterwarnings("ignore")

VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
EIGHT = set(range(8))
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no affinity here"
)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch, tmp_path):
    """Eight cores and no other limits."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: EIGHT, raising=False)
    monkeypatch.setattr(limits, "_MEMBERSHIP", str(tmp_path / "membership"))
    monkeypatch.setattr(limits, "_GROUPS", str(tmp_path / "groups"))
    libraries = {"openmp": 8, "blas": 8}
    monkeypatch.setattr(
        limits,
        "_function",
        lambda module, names: lambda: libraries["blas" if names[1:] else "openmp"],
    )
    monkeypatch.setattr(limits, "_OPENMP_BY_ITSELF", 8)
    monkeypatch.setattr(limits, "_BLAS_BY_ITSELF", 8)
    return libraries


def test_without_limits_all_cores_count():
    assert available_threads(None) == 8
    assert [available_threads(n) for n in (1, 3, 8, 99, -1, -3, -99)] == [
        1, 3, 8, 8, 8, 6, 1
    ]  # fmt: skip


@pytest.mark.parametrize("variable", VARIABLES)
def test_variables(monkeypatch, variable):
    for text, expected in [("3", 3), ("1", 1), (" 2 ", 2), ("99", 8)]:
        monkeypatch.setenv(variable, text)
        assert available_threads(None) == expected
        assert available_threads(64) == expected
        assert available_threads(-1) == expected
    for text in ("", "0", "-1", "many", "2.5"):
        monkeypatch.setenv(variable, text)
        assert available_threads(None) == 8
    monkeypatch.delenv(variable)
    assert available_threads(None) == 8


def test_the_first_number_of_a_list_counts(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4,3,2")
    assert available_threads(None) == 4


def test_the_smallest_counts(monkeypatch, eight_cores):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "4")
    assert available_threads(None) == 4
    eight_cores["blas"] = 3
    assert available_threads(None) == 3
    eight_cores["openmp"] = 2
    assert available_threads(None) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7})
    assert available_threads(None) == 1


def test_a_library_at_its_own_number_says_nothing(monkeypatch, eight_cores):
    """It counted the cores when it was loaded, which may have been fewer."""
    monkeypatch.setattr(limits, "_OPENMP_BY_ITSELF", 2)
    monkeypatch.setattr(limits, "_BLAS_BY_ITSELF", 2)
    eight_cores.update(openmp=2, blas=2)
    assert available_threads(None) == 8
    eight_cores["blas"] = 64
    assert available_threads(None) == 8
    eight_cores["openmp"] = 1
    assert available_threads(None) == 1


def in_a_task_of_dask(monkeypatch, n_threads):
    """Looks like the thread of a worker of Dask with some threads; none for no task."""

    def get_worker():
        if n_threads is None:
            raise ValueError("No worker found")
        return SimpleNamespace(state=SimpleNamespace(nthreads=n_threads))

    module = SimpleNamespace(get_worker=get_worker)
    monkeypatch.setitem(sys.modules, "distributed.worker", module)


def test_a_task_of_dask_has_one_thread(monkeypatch):
    """Or as many as its ``n_jobs`` says, of those that the worker has."""
    in_a_task_of_dask(monkeypatch, 4)
    numbers = (None, 1, 3, 99, -1, -2)
    assert [available_threads(n) for n in numbers] == [1, 1, 3, 4, 4, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Dask does
    assert [available_threads(n) for n in numbers] == [1, 1, 3, 4, 4, 3]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert [available_threads(n) for n in numbers] == [1, 1, 2, 2, 2, 1]
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert [available_threads(n) for n in numbers] == [1, 1, 1, 1, 1, 1]


def test_a_thread_without_a_task_of_dask(monkeypatch):
    in_a_task_of_dask(monkeypatch, None)
    assert available_threads(None) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert available_threads(-1) == 1


QUOTAS = {
    "version 2": ("0::/\n", {"cpu.max": "300000 100000\n"}, 3),
    "version 2, a part of a CPU": ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
    "version 2, less than one CPU": ("0::/\n", {"cpu.max": "5000 100000"}, 1),
    "version 2, none": ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
    "version 2, of a service": (
        "0::/system.slice/model.service\n",
        {
            "system.slice/cpu.max": "max 100000",
            "system.slice/model.service/cpu.max": "200000 100000",
        },
        2,
    ),
    "version 2, of all services": (
        "0::/system.slice/model.service\n",
        {
            "system.slice/cpu.max": "300000 100000",
            "system.slice/model.service/cpu.max": "max 100000",
        },
        3,
    ),
    "version 2, the path of the host": (
        "0::/docker/0123abcd\n",
        {"cpu.max": "400000 100000"},
        4,
    ),
    "version 1": (
        "5:cpuset:/\n4:cpu,cpuacct:/\n0::/\n",
        {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        2,
    ),
    "version 1, none": (
        "1:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
        8,
    ),
    "version 1, of a job": (
        "1:cpu:/jobs/17\n",
        {"cpu/jobs/17/cpu.cfs_quota_us": "50", "cpu/jobs/17/cpu.cfs_period_us": "10"},
        5,
    ),
    "no file of membership": (None, {"cpu.max": "300000 100000\n"}, 3),
    "damaged": ("0::/\n", {"cpu.max": "?\n", "cpu/cpu.cfs_quota_us": "17"}, 8),
    "no period": ("0::/\n", {"cpu.max": "300000 0\n"}, 8),
    "nothing at all": (None, {}, 8),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_quotas_of_control_groups(tmp_path, case):
    membership, files, expected = QUOTAS[case]
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert available_threads(None) == expected
    assert available_threads(2) == min(2, expected)


def measured(what):
    """Threads that limits allow, and CPU time over wall time of a fit within them."""
    import contextlib
    import os
    import time

    import numpy as np
    import threadpoolctl

    import skmlp
    from skmlp.backends.threads import available_threads

    x = np.random.default_rng(0).normal(size=(3000, 100))
    y = x[:, 0]

    def fit(epochs):
        model = skmlp.MLPRegressor(
            hidden_layer_sizes=(200, 200), max_iter=epochs, tol=0, random_state=0
        )
        wall, cpu = time.perf_counter(), time.process_time()
        model.fit(x, y)
        return (time.process_time() - cpu) / (time.perf_counter() - wall)

    @contextlib.contextmanager
    def variable(name):
        os.environ[name] = "1"
        yield
        del os.environ[name]

    @contextlib.contextmanager
    def affinity():
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        yield
        os.sched_setaffinity(0, allowed)

    fit(1)
    free = available_threads(None)
    limit = {
        "threadpoolctl": lambda: threadpoolctl.threadpool_limits(1),
        "threadpoolctl, BLAS": lambda: threadpoolctl.threadpool_limits(1, "blas"),
        "threadpoolctl, OpenMP": lambda: threadpoolctl.threadpool_limits(1, "openmp"),
        "affinity": affinity,
    }.get(what, lambda: variable(what))
    with limit():
        limited, ratio = available_threads(None), fit(12)
    return [free, limited, available_threads(None), ratio]


@pytest.mark.parametrize(
    "what",
    [
        "threadpoolctl",
        pytest.param("threadpoolctl, BLAS", marks=pytest.mark.slow),
        pytest.param("threadpoolctl, OpenMP", marks=pytest.mark.slow),
        pytest.param("affinity", marks=[pytest.mark.slow, needs_affinity]),
        *(pytest.param(each, marks=pytest.mark.slow) for each in VARIABLES),
    ],
)
def test_a_limit_counts_from_the_next_call_on(what):
    """And is over with its context; CPU time over wall time is at most 1.1."""
    apis = {each["user_api"] for each in threadpoolctl.threadpool_info()}
    if what.endswith("BLAS") and limits._OPENBLAS and "blas" not in apis:
        pytest.skip("no BLAS here that threadpoolctl knows")
    free, limited, freed, ratio = run_apart(measured, what)
    assert limited == 1
    assert freed == free
    assert ratio <= 1.1


@pytest.mark.slow
@pytest.mark.parametrize("variable", [*VARIABLES, "taskset"])
def test_a_limit_from_the_start(variable):
    """Of a process that never knew another."""
    if variable == "taskset":
        if not hasattr(os, "sched_setaffinity"):
            pytest.skip("no affinity here")
        found = run_apart(started_on_one_core, helpers=[measured])
    else:
        found = run_apart(measured, "LOKY_MAX_CPU_COUNT", **{variable: "1"})
    assert found[:2] == [1, 1]
    assert found[3] <= 1.1


def started_on_one_core():
    """A fit of a process that found one core, before any library was loaded."""
    import os

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return measured("LOKY_MAX_CPU_COUNT")


INNER = """
import joblib, sys, warnings
warnings.simplefilter("ignore")

def threads():
    from skmlp.backends.threads import available_threads
    return available_threads(None)

if __name__ == "__main__":
    with joblib.parallel_config("loky", inner_max_num_threads=int(sys.argv[1])):
        print(joblib.Parallel(2)(joblib.delayed(threads)() for _ in range(4)))
"""


@pytest.mark.slow
def test_inner_threads_of_joblib(tmp_path, monkeypatch):
    import subprocess

    monkeypatch.undo()  # the cores of this machine
    script = tmp_path / "inner.py"
    script.write_text(INNER)
    for number in (1, 2):
        done = subprocess.run(
            [sys.executable, str(script), str(number)],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        expected = min(number, len(os.sched_getaffinity(0)))
        assert done.stdout.split() == str([expected] * 4).split(), done.stderr


def without(what):
    """Fits and predictions of pools where files cannot be opened: their bits agree."""
    import builtins
    import os
    import resource

    import numpy as np

    import skmlp
    from skmlp.backends import limits
    from skmlp.backends.cpu import plan
    from skmlp.backends.threads import available_threads

    x = np.random.default_rng(0).normal(size=(500, 20))
    y = (x[:, 0] > 0).astype(int)

    def fit():
        available_threads(None)
        model = skmlp.MLPClassifier((40,), max_iter=3, random_state=0).fit(x, y)
        return model.coefs_[0].tobytes() + model.predict_proba(x).tobytes()

    plan.threads_for = lambda work, n_jobs, *least: 2
    expected = fit()
    if what == "descriptors":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
    else:
        # As in a chroot: neither /proc nor /sys is mounted.
        opened = builtins.open

        def missing(path, *arguments, **options):
            if str(path).startswith(("/proc", "/sys")):
                raise FileNotFoundError(2, "No such file or directory", str(path))
            return opened(path, *arguments, **options)

        builtins.open = missing
        import io

        io.open = missing
        assert limits._read("/proc/self/cgroup") == ""
    return sum(fit() == expected for _ in range(300))


@pytest.mark.parametrize("what", ["descriptors", "/proc and /sys"])
def test_fits_without(what):
    pytest.importorskip("resource")
    assert run_apart(without, what) == 300


def test_the_table_names_every_limit():
    """And each row a test of this file."""
    page = (PACKAGE.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    table = page.partition("## Limits to threads")[2].partition("\n## ")[0]
    for variable in (
        *VARIABLES,
        "threadpoolctl",
        "inner_max_num_threads",
        "cpu.max",
        "Dask",
    ):
        assert variable in table
    named = set(re.findall(r"`(test_\w+)`", table))
    source = Path(__file__).read_text(encoding="utf-8")
    assert named
    assert all(f"def {name}(" in source for name in named)
