"""Reliability: threads, forks, workers, interruptions and the kernel cache.

Each test stands for a way in which estimators on Numba have been seen to fail: killing
the process, hanging, blocking other threads, leaking, or computing wrong results. Code
that could crash pytest runs in a subprocess: a function of this module whose source is
passed to a fresh interpreter and whose return value comes back.
"""

import errno
import hashlib
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl
from estimator_bits import bits
from sklearn.base import clone
from sklearn.datasets import make_classification
from subprocesses import run_apart

import skmlp
from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, cpu, threads
from skmlp.backends.cpu import plan
from skmlp.compiler import jit, kernel_folder
from skmlp.exceptions import KernelCacheWarning
from skmlp.network import Network, layout
from skmlp.rules.loss_choice import classification_loss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PACKAGE = Path(skmlp.__file__).parent
X, Y = make_classification(
    n_samples=400, n_features=20, n_informative=9, n_classes=3, random_state=0
)
SOLVERS = ("adam", "lbfgs")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
needs_folder_modes = pytest.mark.skipif(
    not hasattr(os, "getuid"), reason="folders have no Unix permissions here"
)


def model(solver="adam", **settings):
    settings = {"hidden_layer_sizes": (30, 10), "max_iter": 8, **settings}
    return MLPClassifier(solver=solver, random_state=0, **settings)


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def pool_size(request, monkeypatch):
    """Threads of every pool in this process, for any machine and problem."""
    monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, *least: request.param)
    return request.param


def in_threads(n_threads, work):
    """Results of ``work(i)`` from threads that start at the same moment."""
    results = [None] * n_threads
    start = threading.Barrier(n_threads)

    def run(i):
        start.wait()
        try:
            results[i] = work(i)
        except BaseException as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    return results


# --- threads ---


@pytest.mark.parametrize("solver", SOLVERS)
def test_fits_in_eight_threads(pool_size, solver):
    settings = [{"alpha": 10.0**-i} for i in range(8)]
    serial = [bits(model(solver, **each).fit(X, Y)) for each in settings]
    assert len(set(serial)) == 8
    found = in_threads(8, lambda i: bits(model(solver, **settings[i]).fit(X, Y)))
    assert found == serial


@pytest.mark.slow
def test_predictions_in_four_threads(pool_size):
    """Scratch buffers shared by predictions would mix up their results."""
    estimator = model().fit(X, Y)
    parts = [X[i::7] for i in range(7)]
    serial = [estimator.predict_proba(part).tobytes() for part in parts]

    def work(i):
        return sum(
            estimator.predict_proba(parts[(i + k) % 7]).tobytes() != serial[(i + k) % 7]
            for k in range(300)
        )

    assert in_threads(4, work) == [0, 0, 0, 0]


def test_concurrent_fits_and_predictions(pool_size):
    estimator = model().fit(X, Y)
    expected_fit = bits(estimator)
    expected = estimator.predict_proba(X).tobytes()

    def work(i):
        if i % 2:
            return bits(model().fit(X, Y)) == expected_fit
        return all(estimator.predict_proba(X).tobytes() == expected for _ in range(20))

    assert in_threads(8, work) == [True] * 8


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_fit_lets_other_threads_run(solver):
    """A kernel that held the interpreter's lock would block them until it returned."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((4000, 100))
    y = x[:, 0] > 0
    estimator = model(solver, hidden_layer_sizes=(300, 300), tol=0, max_iter=1)
    start = time.perf_counter()
    estimator.fit(x, y)  # compiles
    start = time.perf_counter()
    estimator.fit(x, y)
    seconds = time.perf_counter() - start
    estimator.max_iter = max(1, int(1.5 / seconds))
    ticks, over = [], threading.Event()

    def tick():
        while not over.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    heart = threading.Thread(target=tick)
    heart.start()
    start = time.perf_counter()
    estimator.fit(x, y)
    stop = time.perf_counter()
    over.set()
    heart.join()
    during = np.array([tick for tick in ticks if start < tick < stop])
    # The pool shares the cores with the ticking thread, which may thus wait for a few
    # time slices, but not for a kernel.
    assert np.median(np.diff(during)) < 0.02
    assert np.max(np.diff(during)) < 0.5


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="threads are counted in /proc"
)
def test_threads_end_with_the_call(monkeypatch):
    monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, *least: 4)
    model().fit(X, Y)
    tasks = Path("/proc/self/task")
    before = {task.name for task in tasks.iterdir()}
    for _ in range(5):
        for solver in SOLVERS:
            model(solver).fit(X, Y).predict(X)
        with pytest.raises(ValueError, match="non-finite"):
            diverging().fit(X, X[:, 0])

    def left():
        return {task.name for task in tasks.iterdir()} - before

    # An ended thread is listed until the system has freed it.
    end = time.monotonic() + 60
    while left() and time.monotonic() < end:
        time.sleep(0.01)
    assert not left()


def diverging():
    return MLPRegressor(
        solver="sgd",
        hidden_layer_sizes=(200,),
        learning_rate_init=1e30,
        momentum=0,
        random_state=0,
    )


def in_a_thread(work):
    return in_threads(1, lambda i: work())[0]


# Two hidden layers: with the small one, SciPy's L-BFGS vectors stay below the 10,000
# elements from which BLAS splits dot products among threads.
SMALL, LARGE = (60,), (100,)


def blas_threads(number):
    return threadpoolctl.threadpool_limits(number, user_api="blas")


@pytest.mark.parametrize(
    ("solver", "hidden"), [("adam", SMALL), ("adam", LARGE), ("lbfgs", SMALL)]
)
def test_same_bits_for_every_limit_of_blas_threads(solver, hidden):
    """A BLAS with two threads adds in another order, and limits may not reach it."""
    estimator = model(solver, hidden_layer_sizes=hidden)
    x = np.hstack([X] * 5)
    found = set()
    for number in (1, 2, 3):
        with blas_threads(number):
            found.add(bits(clone(estimator).fit(x, Y)))
            found.add(in_a_thread(lambda: bits(clone(estimator).fit(x, Y))))
    assert len(found) == 1


@pytest.mark.parametrize("number", [1, 2])
def test_same_bits_in_a_thread(number):
    """Under one limit, also where BLAS splits SciPy's vectors among its threads."""
    estimator = model("lbfgs", hidden_layer_sizes=LARGE)
    x = np.hstack([X] * 5)
    with blas_threads(number):
        fitted = clone(estimator).fit(x, Y)
        assert sum(coef.size for coef in fitted.coefs_) > 10_000
        expected = bits(fitted)
        assert in_a_thread(lambda: bits(clone(estimator).fit(x, Y))) == expected


def test_loss_and_gradient_have_the_same_bits_for_every_limit_of_blas_threads():
    """Loss and gradient for L-BFGS, from a network large enough for BLAS threads."""
    x = np.ascontiguousarray(np.hstack([X] * 5))
    row = classification_loss("log_loss", "auto", multiclass=True)
    network = Network((x.shape[1], *LARGE, 3), ("relu",), row, row.output)
    problem = Problem(network, x, Y[:, None].astype(float), None, np.arange(len(x)), 1)
    start = np.random.default_rng(0).normal(size=layout(network).size)
    found = set()
    for number in (1, 2, 3):
        with blas_threads(number), cpu.open_session(problem, start, None) as session:
            loss, gradient = session.loss_and_gradient(start)
            found.add((loss, gradient.tobytes()))
    assert len(found) == 1


def blas_limits():
    """BLAS threads before and after fits that overlap in several threads."""
    import threading
    import warnings

    import numpy as np
    import threadpoolctl

    import skmlp

    def blas():
        info = threadpoolctl.threadpool_info()
        return [each["num_threads"] for each in info if each["user_api"] == "blas"]

    x = np.random.default_rng(0).standard_normal((300, 20))
    y = x[:, 0]

    def fit(epochs):
        skmlp.MLPRegressor(max_iter=epochs, random_state=0).fit(x, y).predict(x)

    def diverge():
        estimator = skmlp.MLPRegressor(solver="sgd", learning_rate_init=1e30)
        try:
            estimator.fit(x, y)
        except ValueError:
            return
        raise AssertionError("did not diverge")

    warnings.simplefilter("ignore")
    before = blas()
    after = []
    for where in ("main", "threads", "main again"):
        if where == "threads":
            # The first fit to start ends first: others have to restore the limits.
            threads = [
                threading.Thread(target=fit, args=(5 + 20 * i,)) for i in (0, 1, 2)
            ]
            threads.append(threading.Thread(target=diverge))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            fit(3)
            diverge()
        after.append(blas())
    return {"before": before, "after": after}


@pytest.mark.slow
def test_blas_limits_stay():
    """Overlapping limits of threadpoolctl would permanently leave one thread."""
    found = run_apart(blas_limits, OPENBLAS_NUM_THREADS="3")
    assert found["after"] == [found["before"]] * 3


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc"
)
def test_failing_fits_do_not_leak(monkeypatch):
    monkeypatch.setattr(plan, "threads_for", lambda work, n_jobs, *least: 2)
    y = X[:, 0]

    def fail(times):
        for _ in range(times):
            with pytest.raises(ValueError, match="non-finite"):
                diverging().fit(X, y)

    fail(30)
    before = resident_bytes()
    fail(200)
    # The workspace of one fit takes more than a megabyte.
    assert resident_bytes() - before < 20e6


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("n_jobs", [None, 1, 2, 64, -1])
def test_numba_num_threads_is_respected(monkeypatch, n_jobs):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert threads.available_threads(n_jobs) == 1


# --- processes ---


def interrupted(solver, settings):
    """Ctrl-C one second into a fit that would take minutes."""
    import os
    import signal
    import threading
    import time
    import warnings

    import numpy as np

    import skmlp

    # A process that a shell starts in the background ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x = np.random.default_rng(0).standard_normal((20000, 50))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    estimator = skmlp.MLPClassifier(
        (200, 200), solver=solver, random_state=0, max_iter=1, **settings
    )
    estimator.fit(x[:2000], y[:2000]).predict(x[:10])
    estimator.set_params(max_iter=100_000, max_fun=100_000, tol=0)
    estimator.set_params(n_iter_no_change=100_000)
    pressed = []

    def press():
        pressed.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    def n_threads():
        time.sleep(0.2)
        tasks = "/proc/self/task"
        return len(os.listdir(tasks)) if os.path.exists(tasks) else 0

    threads = n_threads()
    timer = threading.Timer(1.0, press)
    timer.start()
    raised = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(x, y)
        except KeyboardInterrupt:
            raised = True
    seconds = time.perf_counter() - pressed[0]
    timer.join()
    left = n_threads() - threads
    finite = bool(np.isfinite(estimator.predict_proba(x)).all())
    estimator.set_params(max_iter=2).fit(x[:2000], y[:2000])
    return {
        "seconds": seconds,
        "raised": raised,
        "messages": [str(warning.message) for warning in caught],
        "finite": finite,
        "threads left": left,
        "trains again": estimator.n_iter_ == 2,
    }


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to oneself")
@pytest.mark.parametrize(
    ("solver", "settings"),
    [
        ("adam", {}),
        ("adam", {"n_jobs": 1, "dtype": "float32"}),
        ("sgd", {"early_stopping": True}),
        ("lbfgs", {}),
    ],
    ids=str,
)
def test_interruption(solver, settings):
    found = run_apart(interrupted, solver, settings)
    assert found["seconds"] < 1.0
    assert found["finite"]
    assert found["threads left"] == 0
    assert found["trains again"]
    # As in scikit-learn, L-BFGS has no network to return and raises the exception.
    assert found["raised"] == (solver == "lbfgs")
    warned = any("Training interrupted by user." in m for m in found["messages"])
    assert warned == (solver != "lbfgs")


def forked():
    """Fits before a fork, in the child, and beside it, with pools of two threads."""
    import os
    import signal
    import threading
    import time

    import numpy as np
    import threadpoolctl

    import skmlp
    from skmlp.backends.cpu import plan

    plan.threads_for = lambda work, n_jobs, *least: 2
    x = np.random.default_rng(0).standard_normal((600, 20))
    y = (x[:, 0] > 0).astype(int)

    def blas():
        info = threadpoolctl.threadpool_info()
        return [each["num_threads"] for each in info if each["user_api"] == "blas"]

    def result():
        estimator = skmlp.MLPClassifier((20,), max_iter=5, random_state=0).fit(x, y)
        return estimator.coefs_[0].tobytes() + estimator.predict_proba(x).tobytes()

    def child_agrees():
        child = os.fork()
        if child == 0:
            agrees = result() == expected and blas() == limits
            os._exit(0 if agrees else 1)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hangs"

    limits = blas()
    expected = result()
    codes = [child_agrees()]
    over = threading.Event()

    def keep_fitting():
        while not over.is_set():
            result()

    beside = [threading.Thread(target=keep_fitting) for _ in range(2)]
    for thread in beside:
        thread.start()
    codes += [child_agrees() for _ in range(10)]
    over.set()
    for thread in beside:
        thread.join()
    return {"codes": codes, "parent": result() == expected, "limits": blas() == limits}


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize("layer", ["default", "omp", "workqueue"])
def test_fork(layer):
    """GNU OpenMP kills children that fit after their parent did; locks hang them."""
    found = run_apart(forked, NUMBA_THREADING_LAYER=layer)
    assert found == {"codes": [0] * 11, "parent": True, "limits": True}


def fit_in_worker(solver):
    """Bits of a fit, how many threads it may use, and how many cores it used."""
    import time

    import numpy as np

    import skmlp
    from skmlp.backends import threads

    x = np.random.default_rng(0).standard_normal((1500, 100))
    y = (x[:, 0] > 0).astype(int)
    # For L-BFGS, vectors that BLAS does not split among threads: the same bits.
    hidden = (400,) if solver == "adam" else (90,)
    estimator = skmlp.MLPClassifier(hidden, solver=solver, max_iter=10, random_state=0)
    estimator.fit(x, y)
    wall, cpu = time.perf_counter(), time.process_time()
    estimator.fit(x, y)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kept = (estimator.coefs_[0].tobytes(), estimator.predict_proba(x).tobytes())
    return kept, threads.available_threads(None), cpu / wall


def in_workers(backend):
    """The same fits in this process and in two joblib workers."""
    import joblib

    solvers = ("adam", "lbfgs")
    expected = [fit_in_worker(solver)[0] for solver in solvers]
    found = joblib.Parallel(n_jobs=2, backend=backend)(
        joblib.delayed(fit_in_worker)(solver) for solver in solvers
    )
    return {
        "same": [result[0] for result in found] == expected,
        "threads": [result[1] for result in found],
        "cpu per wall of adam": found[0][2],
    }


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_workers_of_joblib(backend):
    if backend == "multiprocessing" and not hasattr(os, "fork"):
        pytest.skip("needs fork")
    found = run_apart(
        in_workers, backend, helpers=[fit_in_worker], LOKY_MAX_CPU_COUNT="2"
    )
    assert found["same"]
    assert found["threads"] == [1, 1]
    # Workers of the threading backend have one process clock. (L-BFGS is not checked:
    # its vectors go through a BLAS that only loky limits to the allotted cores.)
    if backend != "threading":
        assert found["cpu per wall of adam"] < 1.3


def imported():
    """Heavy modules that are imported without any training."""
    import pickle
    import sys

    import sklearn.base

    import skmlp

    estimator = skmlp.MLPClassifier(alpha=0.1)
    sklearn.base.clone(estimator)
    pickle.loads(pickle.dumps(estimator))
    repr(estimator)
    return [name for name in ("numba", "llvmlite") if name in sys.modules]


def test_import_without_numba():
    assert run_apart(imported) == []


def loaded(path):
    """Heavy modules that are imported with a fitted model."""
    import sys
    from pathlib import Path
    from pickle import loads

    estimator = loads(Path(path).read_bytes())
    return [hasattr(estimator, "coefs_"), "numba" in sys.modules]


def test_loading_a_model_without_numba(tmp_path):
    import pickle

    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(model().fit(X, Y)))
    assert run_apart(loaded, str(path)) == [True, False]


# --- the kernel cache ---


def probed():
    """A fit of each solver: a hash of its results, and the functions compiled."""
    import hashlib

    import numba.core.event
    import numpy as np

    import skmlp
    from skmlp.compiler import disk_cache

    x = np.random.default_rng(0).standard_normal((50, 4))
    y = np.arange(50) % 3
    result = hashlib.sha256()
    with numba.core.event.install_recorder("numba:compile") as recorder:
        for solver in ("adam", "lbfgs"):
            estimator = skmlp.MLPClassifier(
                (6,), solver=solver, max_iter=5, random_state=0
            ).fit(x, y)
            result.update(estimator.coefs_[0].tobytes())
            result.update(estimator.predict_proba(x).tobytes())
    folder = disk_cache.cache_folder()
    return {
        "result": result.hexdigest(),
        "compiled": len(recorder.buffer),
        "folder": None if folder is None else str(folder),
    }


def listing(folder):
    """Names and inodes of the files; a replaced file has a new inode."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def all_sound(folder):
    """Whether every file of a cache is a checksum and a matching kernel."""
    contents = [path.read_bytes() for path in folder.iterdir()]
    return bool(contents) and all(
        hashlib.sha256(content[32:]).digest() == content[:32] for content in contents
    )


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A cache that a first process has filled, and the results of that process."""
    folder = tmp_path_factory.mktemp("cache") / "kernels"
    found = run_apart(probed, SKMLP_CACHE_DIR=str(folder))
    assert found["compiled"] > 0
    return folder, found


@pytest.fixture
def copy_of_warm(warm, tmp_path):
    """A private copy of that cache."""
    folder = tmp_path / "kernels"
    shutil.copytree(warm[0], folder)
    folder.chmod(0o700)
    return folder, warm[1]


@pytest.mark.slow
def test_a_second_process_compiles_nothing(copy_of_warm):
    folder, first = copy_of_warm
    before = listing(folder)
    second = run_apart(probed, SKMLP_CACHE_DIR=str(folder))
    assert second == {**first, "compiled": 0, "folder": str(folder)}
    assert listing(folder) == before
    assert all_sound(folder)


@pytest.mark.slow
@needs_folder_modes
def test_files_are_private(warm):
    modes = [path.stat().st_mode & 0o777 for path in [warm[0], *warm[0].iterdir()]]
    assert modes[0] == 0o700
    assert set(modes[1:]) == {0o600}


def flip(content, i):
    """One byte changed, at an offset that differs from file to file."""
    offset = (i * 7919) % len(content)
    return content[:offset] + bytes([content[offset] ^ 0x10]) + content[offset + 1 :]


def spoil(content, i):
    """Damage that differs from file to file."""
    no_kernel = b"\x80\x04N."  # a pickle of None
    return (
        b"",
        content[: len(content) // 2],
        content[:32],
        b"no kernel " * 20,
        hashlib.sha256(no_kernel).digest() + no_kernel,
    )[i % 5]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip, spoil])
def test_damaged_files_are_compiled_anew(copy_of_warm, damage):
    folder, first = copy_of_warm
    for i, path in enumerate(sorted(folder.iterdir())):
        path.write_bytes(damage(path.read_bytes(), i))
    found = run_apart(probed, SKMLP_CACHE_DIR=str(folder))
    assert found["result"] == first["result"]
    assert found["compiled"] == first["compiled"]
    assert all_sound(folder)
    healed = run_apart(probed, SKMLP_CACHE_DIR=str(folder))
    assert (healed["result"], healed["compiled"]) == (first["result"], 0)


@pytest.mark.slow
def test_changed_sources_are_compiled_anew(copy_of_warm, tmp_path):
    folder, first = copy_of_warm
    shutil.copytree(PACKAGE, tmp_path / "skmlp")

    def probe():
        return run_apart(probed, folder=tmp_path, SKMLP_CACHE_DIR=str(folder))

    same = probe()
    assert (same["result"], same["compiled"]) == (first["result"], 0)

    rules = tmp_path / "skmlp" / "rules" / "activations.py"
    source = rules.read_text(encoding="utf-8")
    changed = source.replace("T(0) if z < T(0) else z", "T(0) if z < T(1) else z")
    assert changed != source
    before = set(listing(folder))
    rules.write_text(changed, encoding="utf-8")
    other = probe()
    assert other["result"] != first["result"]
    assert other["compiled"] == first["compiled"]
    assert set(listing(folder)) > before

    rules.write_text(source, encoding="utf-8")
    back = probe()
    assert (back["result"], back["compiled"]) == (first["result"], 0)


def written(start):
    """Write one kernel repeatedly, starting at the same moment as other processes."""
    import time

    from skmlp.compiler import jit

    def plus_one(x):
        return x + 1

    jit.kernel(lambda x: x)(1)
    time.sleep(max(0, start - time.time()))
    hits = 0
    for _ in range(20):
        kernel = jit.kernel(plus_one)
        kernel._cache.load_overload = lambda *arguments: None
        assert kernel(41) == 42
        kernel = jit.kernel(plus_one)
        assert kernel(41) == 42
        hits += sum(kernel.stats.cache_hits.values())
    return hits


@pytest.mark.slow
def test_four_processes_write_one_kernel(tmp_path):
    folder = tmp_path / "kernels"
    start = time.time() + 8
    found = in_threads(
        4, lambda i: run_apart(written, start, SKMLP_CACHE_DIR=str(folder))
    )
    assert found == [20] * 4
    assert len(listing(folder)) == 2
    assert all_sound(folder)


@pytest.mark.slow
@needs_folder_modes
def test_a_fit_needs_no_cache(warm, tmp_path):
    folder = tmp_path / "public"
    folder.mkdir()
    folder.chmod(0o777)
    found = run_apart(probed, SKMLP_CACHE_DIR=str(folder))
    assert found == {**warm[1], "folder": None}
    assert listing(folder) == {}


@pytest.fixture
def assert_refused(cache_at):
    """A function that asserts that a folder is refused, with one warning."""

    def refused(folder, reason):
        with pytest.warns(KernelCacheWarning, match=reason) as caught:
            assert cache_at(folder) is None
        assert not compile_a_kernel()
        assert not compile_a_kernel()
        assert len(caught) == 1
        assert "SKMLP_CACHE_DIR" in str(caught[0].message)

    return refused


def compile_a_kernel():
    """Compile and run a small kernel; returns whether it came from the cache."""

    def plus_one(x):
        return x + 1

    kernel = jit.kernel(plus_one)
    assert kernel(41) == 42
    return sum(kernel.stats.cache_hits.values()) > 0


def test_a_kernel_is_written_and_read(cache_at, tmp_path):
    folder = tmp_path / "new" / "kernels"
    assert cache_at(folder) == folder
    assert not compile_a_kernel()
    assert compile_a_kernel()
    assert len(listing(folder)) == 1


def test_an_empty_value_turns_the_cache_off(cache_at):
    assert cache_at("") is None
    assert not compile_a_kernel()
    assert not compile_a_kernel()


@needs_folder_modes
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
def test_folders_that_others_can_write_are_refused(assert_refused, tmp_path, mode):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    assert_refused(folder, "other users can write")
    assert listing(folder) == {}


@needs_folder_modes
def test_links_to_folders_are_refused(assert_refused, tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert_refused(tmp_path / "link", "link")
    assert listing(tmp_path / "real") == {}


@needs_folder_modes
@pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_folders(cache_at, assert_refused, tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    assert_refused(folder / "within", "Permission denied")
    assert cache_at(folder) == folder
    with pytest.warns(KernelCacheWarning, match="cannot be written"):
        assert not compile_a_kernel()
    assert listing(folder) == {}


@needs_folder_modes
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give away"
)
def test_folders_of_others_are_refused(assert_refused, tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    assert_refused(folder, "belongs to another user")
    assert listing(folder) == {}


def test_a_file_in_the_place_of_the_folder(assert_refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert_refused(tmp_path / "file", "file")
    assert_refused(tmp_path / "file" / "within", "within|Not a directory")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("step", ["create", "replace", "write"])
def test_a_full_disk(cache_at, tmp_path, monkeypatch, step):
    folder = cache_at(tmp_path / "kernels")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    class FullFile:
        def __init__(self, handle, mode):
            os.close(handle)

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        write = full

    place, name, put = {
        "create": (kernel_folder.secrets, "token_hex", full),
        "replace": (kernel_folder.os, "replace", full),
        "write": (kernel_folder.os, "fdopen", FullFile),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, put)
        with pytest.warns(KernelCacheWarning, match="No space left on device"):
            assert not compile_a_kernel()
        assert not compile_a_kernel()
    assert listing(folder) == {}
    assert not compile_a_kernel()
    assert compile_a_kernel()


def test_a_folder_that_vanishes(cache_at, tmp_path):
    folder = cache_at(tmp_path / "kernels")
    shutil.rmtree(folder)
    with pytest.warns(KernelCacheWarning, match="No such file"):
        assert not compile_a_kernel()
    assert not compile_a_kernel()


def test_clones_in_threads_share_nothing():
    """One estimator object fitted in many threads would be misuse; clones are not."""
    original = model().fit(X, Y)
    found = in_threads(4, lambda i: bits(clone(original).fit(X, Y)))
    assert found == [bits(original)] * 4
