"""What must not get worse silently: calibration, streams, one row, searches, checks.

Five parts, each beside scikit-learn in the same run:

- calibration: test log-loss of `CalibratedClassifierCV` around both networks, which it
  reaches by `decision_function` here and by `predict_proba` there;
- partial_fit: the first and the last 100 of many calls with one row, and the pickle;
- one row: a prediction of a model whose weights fill 100 MB, as fitted, unpickled,
  deep-copied and memory-mapped, and of a small model from a DataFrame;
- search: a parallel search with a loss that is defined in this script, which workers
  therefore get by value;
- check: the fraction of a fit that the check behind `PoorFitWarning` takes.
"""

import copy
import pickle
import statistics
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import predict
import scenario
import scipy.sparse
import timing
from sklearn import neural_network
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, ShuffleSplit, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmlp
from skmlp.estimators import base

_LIBRARIES = {"skmlp": skmlp, "sklearn": neural_network}
_PARTS = ("calibration", "partial_fit", "one_row", "search", "check")
_SERIES = 100
_FEATURES, _UNITS = 2**17, 100
# Rows, features, units, and whether y has to do with X: where it has not, the check
# must predict the rows.
_FITS = {
    "20 x 2, 2 units": (20, 2, (2,), True),
    "20 x 2": (20, 2, (100,), True),
    "100 x 5": (100, 5, (100,), True),
    "100 x 5, unrelated y": (100, 5, (100,), False),
    "1,000 x 20": (1_000, 20, (100,), True),
    "1,000 x 20, unrelated y": (1_000, 20, (100,), False),
    "20,000 x 50": (20_000, 50, (100,), True),
}


def beside(figures, digits=4):
    """Figures of both libraries and their ratio, sklearn's over skmlp's."""
    ours, theirs = figures["skmlp"], figures["sklearn"]
    return f"{ours:>12.{digits}f}{theirs:>12.{digits}f}{theirs / ours:>9.2f}x"


def calibrated_loss(library, method, data, seed):
    """Test log-loss of a calibrated network."""
    X_train, X_test, y_train, y_test = train_test_split(
        *data, test_size=0.5, stratify=data[1], random_state=seed
    )
    network = library.MLPClassifier((30,), max_iter=60, random_state=seed)
    model = make_pipeline(StandardScaler(), network)
    model = CalibratedClassifierCV(model, method=method, cv=3).fit(X_train, y_train)
    return log_loss(y_test, model.predict_proba(X_test))


def mean_and_error(values):
    """Mean, and its standard error, as a text."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.4f} +- {error:.4f}"


def calibration(options):
    """Yield log-losses by data and method, over some seeds."""
    yield f"\ncalibration: test log-loss over {options.seeds} seeds, mean and its error"
    yield f"{'':<26}{'skmlp':>20}{'sklearn':>20}{'skmlp - sklearn':>22}{'worse in':>10}"
    for name, load in (("digits", load_digits), ("wine", load_wine)):
        data = load(return_X_y=True)
        for method in ("sigmoid", "isotonic"):
            losses = {
                library_name: [
                    calibrated_loss(library, method, data, seed)
                    for seed in range(options.seeds)
                ]
                for library_name, library in _LIBRARIES.items()
            }
            yield {"part": "calibration", "what": f"{name}, {method}", "losses": losses}


def calibration_line(entry):
    """Mean log-losses and their paired difference."""
    ours, theirs = (np.array(losses) for losses in entry["losses"].values())
    worse = f"{np.sum(ours > theirs)} of {len(ours)}"
    return (
        f"{entry['what']:<26}{mean_and_error(ours):>20}{mean_and_error(theirs):>20}"
        f"{mean_and_error(ours - theirs):>22}{worse:>10}"
    )


def stream(estimator, n_calls, held_out):
    """Microseconds of the first and last calls, and the pickle's bytes after each."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_calls, 20))
    y = (X[:, 0] > 0).astype(int)
    arguments = {}
    if held_out:
        arguments = {"X_val": rng.normal(size=(100, 20)), "y_val": np.arange(100) % 2}
    timing.settle()
    seconds, sizes = [], []
    for row in range(n_calls):
        start = time.perf_counter()
        # The labels are named in each call, as a stream does that may begin anew.
        estimator.partial_fit(
            X[row : row + 1], y[row : row + 1], classes=[0, 1], **arguments
        )
        seconds.append(time.perf_counter() - start)
        if row + 1 in (_SERIES, n_calls):
            sizes.append(len(pickle.dumps(estimator)))
    parts = seconds[:_SERIES], seconds[-_SERIES:]
    return [1e6 * statistics.median(part) for part in parts], sizes


def partial_fit(options):
    """Yield the figures of a stream with and without validation data."""
    yield f"\npartial_fit of one row, {options.calls:,} calls; medians of {_SERIES}"
    yield f"{'':<26}{'first':>12}{'last':>12}{'pickle after 100':>20}{'after all':>14}"
    parameters = {"hidden_layer_sizes": (50,), "batch_size": 1, "random_state": 0}
    for name, library, held_out in (
        ("skmlp", skmlp, False),
        ("skmlp with X_val", skmlp, True),
        ("sklearn", neural_network, False),
    ):
        estimator = library.MLPClassifier(**parameters)
        microseconds, sizes = stream(estimator, options.calls, held_out)
        entry = {"part": "partial_fit", "what": name}
        yield entry | {"microseconds": microseconds, "pickle_bytes": sizes}


def partial_fit_line(entry):
    """Microseconds and bytes at the beginning and at the end."""
    times = "".join(f"{time:>9.0f} us" for time in entry["microseconds"])
    before, after = entry["pickle_bytes"]
    return f"{entry['what']:<26}{times}{before:>18,} B{after:>12,} B"


def loaded_copies(model, folder):
    """The model as users get it back, by name."""
    file = Path(folder) / "model.joblib"
    joblib.dump(model, file)
    return {
        "fitted": model,
        "unpickled": pickle.loads(pickle.dumps(model)),
        "deep-copied": copy.deepcopy(model),
        "memory-mapped": joblib.load(file, mmap_mode="r"),
    }


def one_row_calls(folder):
    """Calls of both libraries, by what is predicted from what."""
    X = scipy.sparse.random(200, _FEATURES, density=2e-4, format="csr", random_state=0)
    rows = {"sparse row": X[:1], "dense row": X[:1].toarray()}
    y = np.arange(200) % 2
    calls = {}
    for name, library in _LIBRARIES.items():
        model = library.MLPClassifier((_UNITS,), max_iter=1, random_state=0).fit(X, y)
        subfolder = Path(folder) / name
        subfolder.mkdir()
        for form, loaded in loaded_copies(model, subfolder).items():
            for kind, row in rows.items():
                calls.setdefault(f"2^17 features, {form}, {kind}", {})[name] = partial(
                    loaded.predict, row
                )
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 50)))
    frame = frame.add_prefix("x")
    for name, library in _LIBRARIES.items():
        for kind, X in (("array", frame.to_numpy()), ("DataFrame", frame)):
            model = library.MLPClassifier((100,), max_iter=1, random_state=0).fit(X, y)
            calls.setdefault(f"50 features, row of {kind}", {})[name] = partial(
                model.predict, X[:1]
            )
    return calls


def one_row(options):
    """Yield the seconds of one prediction."""
    yield f"\npredict of one row, median of {options.predictions} calls, milliseconds"
    yield f"{'':<48}{'skmlp':>12}{'sklearn':>12}{'ratio':>10}"
    with tempfile.TemporaryDirectory() as folder:
        for what, calls in one_row_calls(folder).items():
            seconds = predict.seconds_of_one_row(calls, options.predictions)
            yield {"part": "one_row", "what": what, "seconds": seconds}


def one_row_line(entry):
    """Milliseconds beside each other."""
    milliseconds = {name: 1e3 * value for name, value in entry["seconds"].items()}
    return f"{entry['what']:<48}{beside(milliseconds, 3)}"


def own_value(y, z):
    """The loss of this script: half the squared error."""
    return 0.5 * (z - y) * (z - y)


def own_slope(y, z):
    return z - y


def search(_):
    """Yield seconds of searches, the first one and another by the same workers."""
    yield "\nsearch: GridSearchCV of 12 candidates by 2 processes, 300 x 10, seconds"
    heading = ("first tasks", "other tasks", "search", "again: tasks", "search")
    yield f"{'':<34}" + "".join(f"{word:>14}" for word in heading)
    own = skmlp.Loss("own", "identity", own_value, own_slope)
    X = np.random.default_rng(0).normal(size=(300, 10))
    for what, model in (
        ("skmlp, loss='huber'", skmlp.MLPRegressor("huber")),
        ("skmlp, loss of this script", skmlp.MLPRegressor(own)),
        ("sklearn, loss='squared_error'", neural_network.MLPRegressor()),
    ):
        model.set_params(max_iter=20, random_state=0)
        grid = GridSearchCV(
            model,
            {"alpha": np.logspace(-5, 0, 12)},
            cv=ShuffleSplit(1, random_state=0),
            n_jobs=2,
        )
        entry = {"part": "search", "what": what, "tasks": [], "search": []}
        for _ in range(2):
            start = time.perf_counter()
            grid.fit(X, X[:, 0])
            entry["search"].append(time.perf_counter() - start)
            entry["tasks"].append(list(grid.cv_results_["mean_fit_time"]))
        yield entry


def search_line(entry):
    """The two first tasks, one a process, apart from the others."""
    first, again = entry["tasks"]
    figures = [max(first[:2]), statistics.median(first[2:]), entry["search"][0]]
    figures += [statistics.median(again), entry["search"][1]]
    return f"{entry['what']:<34}" + "".join(f"{value:>14.3f}" for value in figures)


def timed_check(seconds):
    """The check, which notes in a list how long it has taken."""
    original = base.warn_of_poor_fit

    def check(*arguments):
        start = time.perf_counter()
        original(*arguments)
        seconds.append(time.perf_counter() - start)

    return mock.patch.object(base, "warn_of_poor_fit", check)


def seconds_with_check(case, repeats):
    """Median seconds of fits of both libraries, and of skmlp's check within them."""
    n_rows, n_features, hidden, is_related = case
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features))
    y = X[:, 0] if is_related else rng.normal(size=n_rows)
    models = {
        name: library.MLPRegressor(hidden_layer_sizes=hidden, random_state=0)
        for name, library in _LIBRARIES.items()
    }
    seconds_of_check = []
    with timed_check(seconds_of_check):
        calls = {name: partial(model.fit, X, y) for name, model in models.items()}
        seconds = timing.medians_in_turns(calls, repeats)
    return seconds | {"check": statistics.median(seconds_of_check)}


def check(options):
    """Yield how much of a fit the check takes."""
    yield f"\nPoorFitWarning: seconds of its check, medians of {options.repeats} fits"
    heading = f"{'skmlp':>12}{'sklearn':>12}{'ratio':>10}{'check':>11}{'of a fit':>11}"
    yield " " * 26 + heading
    for what, case in _FITS.items():
        seconds = seconds_with_check(case, options.repeats)
        yield {"part": "check", "what": what, "seconds": seconds}


def check_line(entry):
    """Seconds of the fits, microseconds of the check and its fraction."""
    seconds = entry["seconds"]
    fraction = seconds["check"] / seconds["skmlp"]
    verdict = "met" if fraction < 0.01 else "MISSED"
    return (
        f"{entry['what']:<26}{beside(seconds)}{1e6 * seconds['check']:>8.0f} us"
        f"{fraction:>10.2%}  {verdict}"
    )


def setup(_):
    """Quiet the warnings of fits that are short on purpose."""
    warnings.simplefilter("ignore")


def measure(_, options):
    """Yield the entries of the parts that were asked for."""
    functions = {
        "calibration": calibration,
        "partial_fit": partial_fit,
        "one_row": one_row,
        "search": search,
        "check": check,
    }
    for part in options.parts:
        yield from functions[part](options)


def line(entry):
    """One line of the table of its part."""
    lines = {
        "calibration": calibration_line,
        "partial_fit": partial_fit_line,
        "one_row": one_row_line,
        "search": search_line,
        "check": check_line,
    }
    return lines[entry["part"]](entry)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="2 seeds, 1,000 calls of partial_fit, fewer repeats",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "parts": {"nargs": "+", "choices": _PARTS, "default": _PARTS},
        "seeds": {"type": int, "full": 6, "brief": 2},
        "calls": {
            "type": int,
            "help": "of partial_fit",
            "full": 10_000,
            "brief": 1_000,
        },
        "predictions": {"type": int, "full": 200, "brief": 50},
        "repeats": {"type": int, "help": "of a fit", "full": 9, "brief": 3},
    },
    goal={"check, fraction of a fit": 0.01},
)


if __name__ == "__main__":
    SCENARIO.main()
