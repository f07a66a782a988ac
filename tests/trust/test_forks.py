"""Children that are forked at a bad moment: while another thread of the parent works.

The child fits, draws random numbers and collects garbage as if nothing had happened.
Only what Numba's own locks forbid, compiling in a child that was forked during a
compilation, is an error, and an immediate one. `python tests/trust/test_forks.py` forks
80 times in each case.
"""

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from subprocesses import run_apart

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
pytestmark = pytest.mark.filterwarnings("ignore")

N_FORKS = 8


def outcome_of_child(work, seconds=20):
    """Exit code of a forked child that does some work; 'hangs' after some seconds."""
    import faulthandler
    import os
    import signal
    import sys
    import time
    import traceback

    child = os.fork()
    if child == 0:
        code = 1
        faulthandler.dump_traceback_later(0.9 * seconds)
        try:
            code = work()
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def forked_beside(what, n_forks):
    """Outcomes of children that fit, draw and collect, forked beside a busy thread."""
    import gc
    import random
    import threading
    import time

    import numpy as np

    import skmlp
    from skmlp.backends.cpu import plan

    plan.threads_for = lambda work, n_jobs, *least: 2
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5))
    many = rng.normal(size=(200_000, 1))

    def fit():
        model = skmlp.MLPRegressor(hidden_layer_sizes=(9,), max_iter=3, random_state=0)
        return model.fit(x, x[:, 0]).predict(x).tobytes()

    def fit_large():
        model = skmlp.MLPRegressor(hidden_layer_sizes=(150, 150), max_iter=30, tol=0)
        model.fit(x, x[:, 0])

    def shuffle():
        # The order of rows comes from NumPy's own generator.
        skmlp.MLPRegressor(
            hidden_layer_sizes=(), batch_size=50_000, max_iter=20, tol=0
        ).fit(many, many[:, 0])

    def warn_verbosely():
        model = skmlp.MLPRegressor(hidden_layer_sizes=(9,), max_iter=1, verbose=True)
        model.fit(x, x[:, 0])

    def use_own_rule():
        shift = random.random()
        rule = skmlp.Activation("own", lambda z: z + shift, lambda a: a * 0 + 1)
        skmlp.MLPRegressor(hidden_layer_sizes=(9,), activation=rule, max_iter=1).fit(
            x, x[:, 0]
        )

    def work():
        same = fit() == expected
        np.random.rand()  # noqa: NPY002
        skmlp.MLPRegressor(hidden_layer_sizes=(9,), max_iter=1).fit(
            x, x[:, 0]
        )  # draws from it, too
        collects = gc.isenabled()
        gc.collect()
        return 0 if same and collects else 2

    task = {
        "fits": fit_large,
        "shuffles": shuffle,
        "compiles": use_own_rule,
        "speaks": warn_verbosely,
    }[what]
    expected = fit()
    skmlp.MLPRegressor(hidden_layer_sizes=(9,), max_iter=1).fit(x, x[:, 0])
    task()
    over, began = threading.Event(), threading.Event()

    def keep_working():
        while not over.is_set():
            began.set()
            task()

    thread = threading.Thread(target=keep_working)
    thread.start()
    began.wait()
    outcomes = []
    for _ in range(n_forks):
        time.sleep(random.random() * 0.02)
        outcomes.append(outcome_of_child(work))
    over.set()
    thread.join()
    return [outcomes, fit() == expected]


CASES, QUICK = ["fits", "shuffles", "compiles", "speaks"], ["shuffles", "compiles"]


@needs_fork
@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=[] if what in QUICK else pytest.mark.slow)
        for what in CASES
    ],
)
def test_forks_beside_a_thread_that(what):
    check_forks(what, N_FORKS)


def check_forks(what, n_forks):
    found = run_apart(
        forked_beside, what, n_forks, helpers=[outcome_of_child], timeout=600
    )
    assert found == [[0] * n_forks, True], found


def scikit_learn_beside(n_forks):
    """The same of scikit-learn's MLP, for docs/reliability.md."""
    import threading

    import numpy as np
    from sklearn.neural_network import MLPRegressor

    x = np.random.default_rng(0).normal(size=(20_000, 2))

    def fit():
        MLPRegressor(hidden_layer_sizes=(3,), max_iter=2).fit(x, x[:, 0])
        return 0

    over = threading.Event()

    def keep_fitting():
        while not over.is_set():
            fit()

    thread = threading.Thread(target=keep_fitting)
    thread.start()
    outcomes = [outcome_of_child(fit) for _ in range(n_forks)]
    over.set()
    thread.join()
    return outcomes


@pytest.mark.slow
@needs_fork
def test_scikit_learn_beside_a_thread_that_fits():
    found = run_apart(scikit_learn_beside, N_FORKS, helpers=[outcome_of_child])
    assert found == [0] * N_FORKS


def forked_beside_a_compilation(what):
    """What a child says that needs the compiler, and after how many seconds."""
    import gc
    import os
    import threading
    import time

    import numpy as np

    import skmlp
    from skmlp.backends.cpu import plan
    from skmlp.compiler import jit

    plan.threads_for = lambda work, n_jobs, *least: 1
    x = np.random.default_rng(0).normal(size=(50, 3))
    model = skmlp.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0)
    expected = model.fit(x, x[:, 0]).predict(x).tobytes()

    from numba.core.compiler_lock import global_compiler_lock

    def compile_slowly():
        with global_compiler_lock:
            held.set()
            over.wait()

    def compile_here():
        jit.kernel(lambda v: v + 3)(1)

    def fit_another():
        rule = skmlp.Activation("own", lambda z: z, lambda a: 1.0 + 0 * a)
        skmlp.MLPRegressor(hidden_layer_sizes=(4,), activation=rule, max_iter=1).fit(
            x, x[:, 0]
        )

    def compile_by_numba():
        import numba

        numba.njit(lambda v: v + 4)(1)

    held, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=compile_slowly)
    thread.start()
    held.wait()
    reading, writing = os.pipe()
    needs_compiler = {
        "a kernel": compile_here,
        "a rule of one's own": fit_another,
        "Numba's": compile_by_numba,
    }[what]

    def work():
        start = time.perf_counter()
        try:
            needs_compiler()
            message = "no error"
        except RuntimeError as error:
            message = str(error)
        seconds = time.perf_counter() - start
        gc.collect()
        same = model.fit(x, x[:, 0]).predict(x).tobytes() == expected
        os.write(writing, f"{seconds}|{same}|{message}".encode())
        return 0

    code = outcome_of_child(work)
    os.close(writing)
    over.set()
    thread.join()
    compile_here()  # the parent goes on
    return [code, *os.read(reading, 10_000).decode().split("|")]


@needs_fork
@pytest.mark.parametrize(
    "what",
    [
        pytest.param("a kernel", marks=pytest.mark.slow),
        "a rule of one's own",
        pytest.param("Numba's", marks=pytest.mark.slow),
    ],
)
def test_a_child_that_cannot_compile_says_so(what):
    found = run_apart(forked_beside_a_compilation, what, helpers=[outcome_of_child])
    code, seconds, same, message = found
    assert code == 0
    assert float(seconds) < 1
    assert same == "True"
    for words in ("while another thread", "skmlp.precompile()", "'forkserver'"):
        assert words in message


def forked_beside_an_import():
    """What a child says that was forked while a thread imported the backend."""
    import os
    import sys
    import threading
    import time

    import numpy as np

    import skmlp

    x = np.random.default_rng(0).normal(size=(50, 3))

    def fit():
        skmlp.MLPRegressor(hidden_layer_sizes=(4,), max_iter=2).fit(x, x[:, 0])

    thread = threading.Thread(target=fit)
    thread.start()
    while "numba" not in sys.modules:
        time.sleep(0.001)
    reading, writing = os.pipe()

    def work():
        start = time.perf_counter()
        message = "no error"
        try:
            fit()
        except RuntimeError as error:
            message = str(error)
        os.write(writing, f"{time.perf_counter() - start}|{message}".encode())
        return 0

    code = outcome_of_child(work)
    os.close(writing)
    thread.join()
    fit()
    return [code, *os.read(reading, 10_000).decode().split("|")]


@needs_fork
def test_a_child_forked_during_the_import_says_so():
    code, seconds, message = run_apart(
        forked_beside_an_import, helpers=[outcome_of_child]
    )
    assert code == 0
    assert float(seconds) < 1
    assert "forked while another thread of its parent imported" in message
    assert "skmlp.precompile()" in message


def bits_of_fit(solver):
    """Bits of a fit, for workers of any kind."""
    import numpy as np

    import skmlp

    x = np.random.default_rng(0).normal(size=(300, 20))
    model = skmlp.MLPClassifier((30,), solver=solver, max_iter=5, random_state=0)
    model.fit(x, (x[:, 0] > 0).astype(int))
    return model.coefs_[0].tobytes().hex() + model.predict_proba(x).tobytes().hex()


def prefork_server(n_workers):
    """gunicorn's way: the master precompiles, forks workers, and they serve threads."""
    from concurrent.futures import ThreadPoolExecutor

    import skmlp

    skmlp.precompile()
    expected = bits_of_fit("adam")

    def serve():
        with ThreadPoolExecutor(4) as pool:
            served = list(pool.map(bits_of_fit, ["adam"] * 8))
        return 0 if set(served) == {expected} else 3

    return [outcome_of_child(serve, 60) for _ in range(n_workers)]


@pytest.mark.slow
@needs_fork
def test_a_preforking_server():
    found = run_apart(
        prefork_server, 4, helpers=[outcome_of_child, bits_of_fit], timeout=300
    )
    assert found == [0] * 4


WORKERS = """
import concurrent.futures, multiprocessing, sys, warnings
warnings.simplefilter("ignore")
{function}

if __name__ == "__main__":
    expected = [bits_of_fit(solver) for solver in ("adam", "lbfgs")] * 2
    kind = sys.argv[1]
    if kind == "loky":
        import joblib
        found = joblib.Parallel(2)(
            joblib.delayed(bits_of_fit)(solver) for solver in ("adam", "lbfgs") * 2
        )
    elif kind == "dask":
        import dask.distributed
        cluster = dask.distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=":0"
        )
        with cluster, dask.distributed.Client(cluster) as client:
            found = client.gather(
                client.map(bits_of_fit, ("adam", "lbfgs") * 2, pure=False)
            )
    else:
        context = multiprocessing.get_context(kind)
        with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
            found = list(pool.map(bits_of_fit, ("adam", "lbfgs") * 2))
    print(found == expected)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver", "loky", "dask"])
def test_workers_after_a_fit_of_the_parent(kind, tmp_path):
    import inspect
    import multiprocessing
    import subprocess

    if kind == "dask":
        pytest.importorskip("dask.distributed")
    elif kind != "loky" and kind not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no start method {kind!r} here")
    script = tmp_path / "workers.py"
    script.write_text(WORKERS.format(function=inspect.getsource(bits_of_fit)))
    root = Path(sys.modules["skmlp"].__file__).parents[1]
    done = subprocess.run(
        [sys.executable, str(script), kind],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["True"], done.stderr


if __name__ == "__main__":
    for case in CASES:
        check_forks(case, 80)
        print(f"a thread {case}: 80 of 80 children", flush=True)
