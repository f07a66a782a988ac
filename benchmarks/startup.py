"""What the first use of skmlp in a process costs: the import and the first fit.

Every figure is the median over several new processes. The fit is timed inside the
process; the time of a second fit of the same kind, the steady state, is subtracted. The
first fit imports Numba, so that import counts here.

An empty cache is a new folder for every repetition. The warm cache is the folder that
one of those repetitions left behind.
"""

import os
import statistics
import subprocess
import sys
import tempfile

import scenario

GOALS = {"import": 0.1, "empty": 5.0, "warm": 0.5}
CASES = (
    ("MLPClassifier", "float64"),
    ("MLPClassifier", "float32"),
    ("MLPRegressor", "float64"),
)

# Both imports in one process: the difference of two processes would have the noise of
# two imports of whole seconds, and the figure is a tenth of a second.
_IMPORT = """
import time
import sklearn.neural_network
start = time.perf_counter()
import skmlp
print(time.perf_counter() - start)
"""

_FIT = """
import time, warnings
import numpy as np
import skmlp

warnings.simplefilter("ignore")  # two epochs converge nowhere
X = np.random.default_rng(0).standard_normal((200, 10)).astype("{dtype}")
y = (X[:, 0] > 0).astype(X.dtype)

def seconds():
    start = time.perf_counter()
    skmlp.{estimator}(max_iter=2, random_state=0).fit(X, y)
    return time.perf_counter() - start

first = seconds()
print(first - seconds())
"""


def printed_by(program, **environment):
    """The number that a program prints in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout)


def import_times(repetitions):
    """Seconds of importing skmlp once scikit-learn's networks are imported."""
    printed_by(_IMPORT)  # the first one compiles bytecode and fills file caches
    return [printed_by(_IMPORT) for _ in range(repetitions)]


def first_fit_times(program, repetitions):
    """Seconds of the first fit with empty caches, and with a warm one."""
    empty, warm = [], []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            empty.append(printed_by(program, SKMLP_CACHE_DIR=folder))
            warm.append(printed_by(program, SKMLP_CACHE_DIR=folder))
    return empty, warm


def line(entry):
    """One line of the table."""
    goal, times = GOALS[entry["cache"]], entry["seconds"]
    median = statistics.median(times)
    verdict = "met" if median <= goal else "MISSED"
    spread = f"{min(times):.2f} to {max(times):.2f}"
    return f"{entry['what']:<48}{median:>8.2f} s{spread:>16}{goal:>8.1f} s  {verdict}"


def setup(options):
    """Print the heading."""
    print(f"{options.repetitions} repetitions\n")
    print(f"{'':<48}{'median':>10}{'range':>16}{'goal':>10}")


def measure(_, options):
    """Yield the times of the import, and of first fits by cache and case."""
    repetitions = options.repetitions
    yield {
        "what": "import, over sklearn.neural_network",
        "cache": "import",
        "seconds": import_times(2 * repetitions + 1),
    }
    for estimator, dtype in CASES:
        program = _FIT.format(estimator=estimator, dtype=dtype)
        by_cache = zip(
            ("empty", "warm"), first_fit_times(program, repetitions), strict=True
        )
        for cache, times in by_cache:
            what = f"first fit, {cache} cache, {estimator}, {dtype}"
            yield {"what": what, "cache": cache, "seconds": times}


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="2 repetitions",
    setup=setup,
    measure=measure,
    line=line,
    options={"repetitions": {"type": int, "full": 5, "brief": 2}},
    goal=GOALS,
)


if __name__ == "__main__":
    SCENARIO.main()
