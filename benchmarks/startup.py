"""What the first use of skmlp in a process costs: the import and the first fits.

Every figure is the median over several new processes, in seconds of the clock and of
all cores together. The fit is timed inside the process; the time of a second fit of the
same kind, the steady state, is subtracted. The first fit imports Numba, so that import
counts here.

An empty cache is a new folder for every repetition. The warm cache is the folder that
one of those repetitions left behind. In `then` lines a process that began with an empty
cache goes on with fits of other kinds, one after the other.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

import scenario

# Seconds of the clock.
GOALS = {"import": 0.1, "empty": 5.0, "warm": 0.5}
# Seconds of all cores, for an empty cache.
CPU_GOALS = {"first": 4.0, "other precision": 2.0, "then": 1.5}
CASES = (
    ("MLPClassifier", "float64"),
    ("MLPClassifier", "float32"),
    ("MLPRegressor", "float64"),
)
# What follows a first fit of MLPClassifier in float64, and its goal.
NEXT = {
    "float32": ("MLPClassifier(**few).fit(X32, y)", "other precision"),
    "batch norm": ("MLPClassifier(normalization='batch', **few).fit(X, y)", "then"),
    "sparse X": ("MLPClassifier(**few).fit(scipy.sparse.csr_array(X), y)", "then"),
    "TabularMLPClassifier": ("TabularMLPClassifier('fast').fit(frame, y)", "then"),
}

# Both imports in one process: the difference of two processes would have the noise of
# two imports of whole seconds, and the figure is a tenth of a second.
_IMPORT = """
import json, time
import sklearn.neural_network
start = time.perf_counter(), time.process_time()
import skmlp
print(json.dumps([[time.perf_counter() - start[0], time.process_time() - start[1]]]))
"""

_FITS = """
import json, time, warnings
import numpy as np, pandas, scipy.sparse
from skmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier

warnings.simplefilter("ignore")  # two epochs converge nowhere
X = np.random.default_rng(0).standard_normal((200, 10))
X32 = X.astype(np.float32)
y = (X[:, 0] > 0).astype(np.float64)
frame = pandas.DataFrame(X).assign(kind=np.where(X[:, 1] > 0, "a", "b"))
frame.columns = frame.columns.astype(str)
few = {"max_iter": 2, "random_state": 0}

def seconds(fit):
    start = time.perf_counter(), time.process_time()
    eval(fit)
    return time.perf_counter() - start[0], time.process_time() - start[1]

found = []
for fit in FITS:
    first, second = seconds(fit), seconds(fit)
    found.append([a - b for a, b in zip(first, second)])
print(json.dumps(found))
"""


def printed_by(program, **environment):
    """What a program prints in a new process: pairs of wall and CPU seconds."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def program_of(*fits):
    """A program that times the first of some fits."""
    return f"FITS = {fits!r}\n{_FITS}"


def import_times(repetitions):
    """Seconds of importing skmlp once scikit-learn's networks are imported."""
    printed_by(_IMPORT)  # the first one compiles bytecode and fills file caches
    return [printed_by(_IMPORT)[0] for _ in range(repetitions)]


def first_fit_times(program, repetitions):
    """Seconds of the first fit with empty caches, and with a warm one."""
    empty, warm = [], []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            empty.append(printed_by(program, SKMLP_CACHE_DIR=folder)[0])
            warm.append(printed_by(program, SKMLP_CACHE_DIR=folder)[0])
    return empty, warm


def times_of_next(program, repetitions):
    """Seconds of each of several first fits of a process with an empty cache."""
    found = []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            found.append(printed_by(program, SKMLP_CACHE_DIR=folder))
    return list(zip(*found, strict=True))


def entry_of(what, pairs, goal=None, cpu_goal=None):
    """One figure: wall and CPU seconds of several processes, and their goals."""
    wall, cpu = zip(*pairs, strict=True)
    return {"what": what, "goal": goal, "cpu_goal": cpu_goal, "wall": wall, "cpu": cpu}


def _cell(times, goal):
    text = f"{statistics.median(times):>8.2f} s"
    if goal is None:
        return f"{text}{'':>14}"
    verdict = "met" if statistics.median(times) <= goal else "MISSED"
    return f"{text}{goal:>6.1f} {verdict:<7}"


def line(entry):
    """One line of the table."""
    wall = entry["wall"]
    spread = f"{min(wall):.2f} to {max(wall):.2f}"
    return (
        f"{entry['what']:<48}{_cell(wall, entry['goal'])}{spread:>14}"
        f"{_cell(entry['cpu'], entry['cpu_goal'])}"
    )


def setup(options):
    """Print the heading."""
    print(f"{options.repetitions} repetitions; medians beside the goal\n")
    print(f"{'':<48}{'wall':>10}{'':>14}{'range':>14}{'CPU':>10}")


def measure(_, options):
    """Yield the times of the import, and of first fits by cache and case."""
    repetitions = options.repetitions
    imports = import_times(2 * repetitions + 1)
    yield entry_of("import, over sklearn.neural_network", imports, GOALS["import"])
    for estimator, dtype in CASES:
        data = "X32" if dtype == "float32" else "X"
        program = program_of(f"{estimator}(**few).fit({data}, y)")
        empty, warm = first_fit_times(program, repetitions)
        what = f"cache, {estimator}, {dtype}"
        goal = GOALS["empty"], CPU_GOALS["first"]
        yield entry_of(f"first fit, empty {what}", empty, *goal)
        yield entry_of(f"first fit, warm {what}", warm, GOALS["warm"])
    fits = [text for text, _ in NEXT.values()]
    program = program_of("MLPClassifier(**few).fit(X, y)", *fits)
    _, *times = times_of_next(program, repetitions)
    for (name, (_, goal)), pairs in zip(NEXT.items(), times, strict=True):
        yield entry_of(f"  then, {name}", pairs, cpu_goal=CPU_GOALS[goal])


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="2 repetitions",
    setup=setup,
    measure=measure,
    line=line,
    options={"repetitions": {"type": int, "full": 5, "brief": 2}},
    goal={"wall": GOALS, "cpu": CPU_GOALS},
)


if __name__ == "__main__":
    SCENARIO.main()
