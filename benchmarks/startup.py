"""What the first use of skmlp in a process costs: the import and the first fit.

Every figure is taken in new processes, several of them, and is the median. The fit is
timed inside the process; a second fit of the same kind is the steady state, which is
taken off. Numba itself is imported by the first fit, so its import counts here.

An empty cache is a new folder for every repetition. The warm cache is the folder that
one of those repetitions left behind.
"""

import os
import statistics
import subprocess
import sys
import tempfile

import reporting

GOALS = {"import": 0.1, "empty": 5.0, "warm": 0.5}
KINDS = (
    ("MLPClassifier", "float64"),
    ("MLPClassifier", "float32"),
    ("MLPRegressor", "float64"),
)

# In one process: the difference of two takes the noise of both imports, whole seconds
# each, for the tenth of a second that is asked about.
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


def line(what, cache, times):
    """One line of the table."""
    goal = GOALS[cache]
    median = statistics.median(times)
    verdict = "met" if median <= goal else "MISSED"
    spread = f"{min(times):.2f} to {max(times):.2f}"
    return f"{what:<48}{median:>8.2f} s{spread:>16}{goal:>8.1f} s  {verdict}"


def run(wanted):
    """Measure everything, printing as it goes.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    repetitions = wanted.repetitions
    report = reporting.start()
    print(f"{repetitions} repetitions\n")
    print(f"{'':<48}{'median':>10}{'range':>16}{'goal':>10}")
    times = {"import": import_times(2 * repetitions + 1)}
    print(line("import, over sklearn.neural_network", "import", times["import"]))
    for estimator, dtype in KINDS:
        program = _FIT.format(estimator=estimator, dtype=dtype)
        empty, warm = first_fit_times(program, repetitions)
        name = f"{estimator}, {dtype}"
        times[name] = {"empty": empty, "warm": warm}
        print(line(f"first fit, empty cache, {name}", "empty", empty))
        print(line(f"first fit, warm cache, {name}", "warm", warm), flush=True)
    return {**report, "goals": GOALS, "seconds": times}


def main():
    reporting.main(
        __doc__,
        run,
        quick="2 repetitions",
        repetitions={
            "type": int,
            "help": "default 5, with --quick 2",
            "full": 5,
            "brief": 2,
        },
    )


if __name__ == "__main__":
    main()
