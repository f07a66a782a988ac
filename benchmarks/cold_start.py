"""The first prediction of a new process, step by step, beside scikit-learn's MLP.

What a service pays at each start: imports, the model's pickle, and, in skmlp, kernels
that `skmlp.precompile` has left in a folder. Figures are medians over new processes
that take turns, in milliseconds of wall time and of CPU time. One thread does all of
it, so that the latter is what it takes on a machine that does nothing else. The sum of
skmlp's steps up to the first prediction less that of scikit-learn's is what it costs to
serve with skmlp.
"""

import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import scenario
from sklearn import neural_network

import skmlp

GOAL = 0.5
_ROWS, _FEATURES = 500, 20
# One step a line, each with the code that it times.
_STEPS = {
    "scikit-learn": {
        "import sklearn.neural_network": "import sklearn.neural_network",
        "unpickle": "model = pickle.loads(content)",
        "first predict_proba": "model.predict_proba(x)",
        "second": "model.predict_proba(x)",
    },
    "skmlp": {
        "import sklearn.neural_network": "import sklearn.neural_network",
        "import skmlp": "import skmlp",
        "unpickle": "model = pickle.loads(content)",
        "import Numba": "import numba",
        "import the kernels' modules": "import skmlp.backends.cpu",
        "load kernels, first predict_proba": "model.predict_proba(x)",
        "second": "model.predict_proba(x)",
    },
}
_PROGRAM = """
import json, pickle, sys, time
import numpy as np

content = open({path!r}, "rb").read()
x = np.zeros((1, {features}))
names = {{}}
found = []
for name, code in json.loads({steps!r}).items():
    code = compile(code, name, "exec")
    names |= {{"content": content, "x": x, "pickle": pickle}}
    wall, cpu = time.perf_counter(), time.process_time()
    exec(code, names)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found.append((name, wall, cpu))
print(json.dumps(found))
"""


def steps_of(library, path, folder):
    """Names, seconds of wall time and of CPU time, in a new process."""
    steps = json.dumps(_STEPS[library])
    program = _PROGRAM.format(path=str(path), features=_FEATURES, steps=steps)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program],
        env={**os.environ, "SKMLP_CACHE_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def models(folder):
    """Pickles of the same network by both libraries, and kernels to serve one."""
    x = np.random.default_rng(0).standard_normal((_ROWS, _FEATURES))
    paths = {}
    for library, module in (("scikit-learn", neural_network), ("skmlp", skmlp)):
        model = module.MLPClassifier(max_iter=5, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # five epochs converge nowhere
            model.fit(x, x[:, 0] > 0)
        paths[library] = folder / f"{library}.pkl"
        paths[library].write_bytes(pickle.dumps(model))
    skmlp.precompile(estimator=model, cache_dir=folder / "kernels")
    return paths


def line(entry):
    """One step, or the conclusion."""
    if "over" in entry:
        wall, cpu = entry["over"]
        verdict = "met" if cpu <= GOAL else "MISSED"
        return (
            f"\nfirst prediction of skmlp, over scikit-learn's: {wall:.2f} s, CPU time "
            f"{cpu:.2f} s; goal {GOAL} s of CPU time: {verdict}"
        )
    wall, cpu = entry["seconds"]
    what = f"{entry['library']:<14}{entry['step']:<36}"
    return f"{what}{1e3 * wall:>9.1f}{1e3 * cpu:>9.1f}"


def setup(options):
    """Print the heading."""
    print(f"{options.repetitions} repetitions; milliseconds\n")
    print(f"{'':<50}{'wall':>9}{'CPU':>9}")


def measure(_, options):
    """Yield the steps of both libraries, and the difference of their sums."""
    found = {library: [] for library in _STEPS}
    with tempfile.TemporaryDirectory() as folder:
        paths = models(Path(folder))
        for repetition in range(options.repetitions + 1):
            for library, path in paths.items():
                steps = steps_of(library, path, Path(folder) / "kernels")
                if repetition:  # the first one fills the system's caches of files
                    found[library].append(steps)
    first = {}
    for library, runs in found.items():
        total = np.zeros(2)
        for same_step in zip(*runs, strict=True):
            name = same_step[0][0]
            seconds = [statistics.median(each[i] for each in same_step) for i in (1, 2)]
            yield {"library": library, "step": name, "seconds": seconds}
            if name != "second":
                total += seconds
        first[library] = total
    over = first["skmlp"] - first["scikit-learn"]
    yield {"over": over.tolist()}


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 repetitions",
    setup=setup,
    measure=measure,
    line=line,
    options={"repetitions": {"type": int, "full": 11, "brief": 3}},
    goal=GOAL,
)


if __name__ == "__main__":
    SCENARIO.main()
