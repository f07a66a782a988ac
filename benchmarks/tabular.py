"""Errors and times on real tables, beside boosted trees and other tabular networks.

Every method gets the same training rows of every set, at most ``--rows`` of them, and
predicts the same test rows. A line of JSON is kept for each fit, so that hours of fits
can be made in pieces: what the file of results has is not fitted again. The summary is
made of the whole file.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import machine
import numpy as np
import real_data
import tabular_methods
import tabular_sets
import tabular_summary
import timing
from sklearn.metrics import roc_auc_score
from tabular_methods import version as version_of
from threadpoolctl import threadpool_limits

_RESULTS = "benchmarks/results/tabular.jsonl"
# Probabilities are clipped below, for all methods; a class that the training rows lack
# has probability zero.
_LEAST_PROBABILITY = 1e-12
_MAX_ERROR_TEXT = 300
# What makes a fit another one.
_KEY = ("set", "rows", "seed", "method", "version", "threads")


def parse(arguments=None):
    """The options of a command line.

    Returns
    -------
    argparse.Namespace
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", metavar="FOLDER", help="folder with the sets and their load.py")
    add("--rows", type=int, nargs="+", default=[2_500], help="limits of training rows")
    add("--seeds", type=int, default=1, help="number of seeds, from 0")
    add("--sets", type=_words, help="names, with commas between them")
    add("--methods", type=_words, help="names, with commas between them")
    add("--ablation", choices=("fast", "default"), help="one ingredient off at a time")
    add("--max-time", type=float, help="limit the methods that know one, in seconds")
    add("--results", type=Path, default=Path(_RESULTS), help="file of JSON lines")
    add("--summary-only", action="store_true", help="fit nothing")
    add("--minutes", type=float, default=np.inf, help="begin no fit after this time")
    add("--reference", default="catboost", help="method that errors are divided by")
    add("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.data is None and not options.summary_only:
        parser.error("--data is needed, except for --summary-only")
    if options.ablation:
        options.reference = options.ablation
    if options.max_time:
        options.reference = f"catboost/{options.max_time:g}s"
    unknown = set(options.methods or ()) - set(_methods(options))
    if unknown:
        parser.error(f"unknown methods: {', '.join(sorted(unknown))}")
    return options


def _words(text):
    return text.split(",")


def _methods(options):
    """The methods by name, those that the options choose among."""
    if options.ablation:
        return tabular_methods.ablations(options.ablation)
    if options.max_time:
        return tabular_methods.limited(options.max_time)
    return tabular_methods.METHODS


def chosen_methods(options):
    """Methods to fit, without those whose library is not installed.

    Returns
    -------
    dict of Method
    """
    chosen = {}
    for name, method in _methods(options).items():
        if options.methods and name not in options.methods:
            continue
        if version_of(method.package) is None:
            print(f"{name}: left out, {method.package} is not installed")
        else:
            chosen[name] = method
    return chosen


def chosen_sets(loader, options):
    """Names of the sets to fit, with the half that each belongs to.

    Returns
    -------
    dict of str
    """
    tables, left_out = tabular_sets.set_names(loader)
    print(f"{len(tables)} sets; left out, not one target a row: {', '.join(left_out)}")
    print(
        f"at most {tabular_sets.MAX_IMAGE_ROWS:,} training rows, being images: "
        + ", ".join(tabular_sets.IMAGES)
    )
    names = options.sets or tables
    unknown = set(names) - set(tables)
    if unknown:
        raise SystemExit(f"no such sets: {', '.join(sorted(unknown))}")
    halves = tabular_sets.halves(tables)
    return {name: halves[name] for name in names}


def cells(halves, options):
    """Yield what tables there are, all sets of one limit and seed before the next.

    Yields
    ------
    limit, seed : int
    name : str
    """
    for limit in sorted(options.rows):
        for seed in range(options.seeds):
            for name in halves:
                is_image = name in tabular_sets.IMAGES
                if not (is_image and limit > tabular_sets.MAX_IMAGE_ROWS):
                    yield limit, seed, name


class Results:
    """The file of results, to which a line is appended for each fit.

    A set that has no more rows than a smaller limit allows is the same again under a
    larger one, and its figures count for both.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._keys, self._available = set(), {}
        for record in tabular_summary.read(path):
            self._remember(record)

    def _remember(self, record):
        self._keys.add(tuple(record[name] for name in _KEY))
        self._available[record["set"], record["seed"]] = record["available"]

    def lacking(self, methods, name, limit, seed, threads):
        """Names of the methods that have not been fitted to a table yet.

        Parameters
        ----------
        methods : dict of Method
        name : str
            Of the set.
        limit, seed, threads : int

        Returns
        -------
        list of str
        """
        rows = min(limit, self._available.get((name, seed), limit))
        keys = {
            method: (name, rows, seed, method, version_of(entry.package), threads)
            for method, entry in methods.items()
        }
        return [method for method, key in keys.items() if key not in self._keys]

    def append(self, record):
        """Keep one record."""
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._remember(record)


def classification_scores(classes, probabilities, y, kind):
    """Error, log-loss and 1 - AUC of probabilities.

    Parameters
    ----------
    classes : ndarray
        Labels of the columns.
    probabilities : ndarray of shape (n_rows, n_classes)
    y : ndarray
        Labels of the test rows.
    kind : {'binary', 'multiclass'}

    Returns
    -------
    dict of float
    """
    if not np.all(np.isfinite(probabilities)):
        raise ValueError("probabilities that are not finite")
    present = np.unique(y)
    of_class = {label: probabilities[:, i] for i, label in enumerate(classes)}
    nothing = np.zeros(len(y))
    columns = np.column_stack([of_class.get(label, nothing) for label in present])
    of_truth = columns[np.arange(len(y)), np.searchsorted(present, y)]
    scored = present[-1:] if kind == "binary" else present
    areas = [
        roc_auc_score(y == label, of_class.get(label, nothing))
        for label in scored
        if len(present) > 1
    ]
    return {
        "error": float(np.mean(classes[np.argmax(probabilities, axis=1)] != y)),
        "log_loss": float(-np.log(np.clip(of_truth, _LEAST_PROBABILITY, 1)).mean()),
        "auc_loss": 1 - float(np.mean(areas)) if areas else None,
    }


def regression_scores(predicted, y):
    """Root mean squared error over the standard deviation of the test targets.

    Returns
    -------
    dict of float
    """
    if not np.all(np.isfinite(predicted)):
        raise ValueError("predictions that are not finite")
    mean_squared = np.mean((predicted.ravel() - y) ** 2)
    return {"error": float(np.sqrt(mean_squared) / y.std())}


def timed(call):
    """The result of a call, its seconds on all threads together and by the clock."""
    timing.settle()
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def figures(estimator, table):
    """Times and test scores of one fit.

    Returns
    -------
    dict of float
    """
    _, cpu, wall = timed(lambda: estimator.fit(table.X, table.y))
    is_regression = table.kind == "regression"
    predict = estimator.predict if is_regression else estimator.predict_proba
    predicted, predict_cpu, predict_wall = timed(lambda: predict(table.X_test))
    predicted = np.asarray(predicted, dtype=np.float64)
    if is_regression:
        scores = regression_scores(predicted, table.y_test)
    else:
        classes = np.asarray(estimator.classes_)
        scores = classification_scores(classes, predicted, table.y_test, table.kind)
    return {
        **scores,
        **{"fit_cpu": cpu, "fit_wall": wall},
        **{"predict_cpu": predict_cpu, "predict_wall": predict_wall},
    }


def measure(method, seed, table, threads):
    """Figures of a method on a table, or the text of its error.

    Returns
    -------
    dict
    """
    categories = list(table.X.select_dtypes("category"))
    with warnings.catch_warnings(), threadpool_limits(limits=threads):
        # Defaults that do not converge are what is measured.
        warnings.simplefilter("ignore")
        tabular_methods.warm_up(method.make, table.kind, threads)
        try:
            job = tabular_methods.Job(table.kind, categories, seed, threads)
            return figures(method.make(job), table)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return {"failure": " ".join(text.split())[:_MAX_ERROR_TEXT]}


def records(methods, loader, halves, options, about):
    """Make the fits that the file of results lacks and yield their records.

    Parameters
    ----------
    methods : dict of Method
    loader : module
        From `real_data.loader`.
    halves : dict of str
        For each set the half that it belongs to.
    options : argparse.Namespace
    about : dict
        What every record says of the run.

    Yields
    ------
    dict
    """
    results, threads = Results(options.results), options.threads
    for limit, seed, name in cells(halves, options):
        if not results.lacking(methods, name, limit, seed, threads):
            continue
        table = tabular_sets.load_table(loader, name, halves[name], limit, seed)
        if table.kind != "regression" and len(np.unique(table.y)) < 2:
            print(f"{name}: left out, one class in {limit:,} rows of seed {seed}")
            continue
        for method in results.lacking(methods, name, table.rows, seed, threads):
            record = {
                **{"set": name, "kind": table.kind, "half": table.half},
                **{"rows": table.rows, "available": table.available, "seed": seed},
                **{"columns": table.X.shape[1], "test_rows": len(table.y_test)},
                **{"method": method, "threads": threads},
                "version": version_of(methods[method].package),
                **about,
                **measure(methods[method], seed, table, threads),
            }
            results.append(record)
            yield record


def run(options, about):
    """Make fits and print a line of each, until there are none or the time is over."""
    end = time.monotonic() + 60 * options.minutes
    loader = real_data.loader(options.data)
    methods, halves = chosen_methods(options), chosen_sets(loader, options)
    for record in records(methods, loader, halves, options, about):
        print(line(record), flush=True)
        if time.monotonic() > end:
            print(f"stopped after {options.minutes:g} minutes")
            break
    print()


def line(record):
    """One fit as a line of text."""
    name = f"{record['set']}, {record['rows']:,} rows, seed {record['seed']}"
    if "failure" in record:
        return f"{name:<40}{record['method']:<24}{record['failure']}"
    return (
        f"{name:<40}{record['method']:<24}error {record['error']:.4f}, fit "
        f"{record['fit_cpu']:.2f} CPU s, {record['fit_wall']:.2f} s"
    )


def main():
    """Describe the machine, make the fits, print the summary."""
    options = parse()
    description = machine.describe()
    for method in tabular_methods.METHODS.values():
        version = version_of(method.package)
        if version is not None:
            package, number = version.split()
            description["versions"][package] = number
    print(machine.in_words(description))
    print(f"threads of every method: {options.threads}\n")
    if not options.summary_only:
        about = {name: description[name] for name in ("processor", "quiet")}
        run(options, about | {"skmlp": version_of("skmlp")})
    shown = options.methods or list(_methods(options))
    summary = tabular_summary.Summary(
        tabular_summary.read(options.results), shown, options.sets, options.reference
    )
    print(summary.text(sorted(options.rows)))


if __name__ == "__main__":
    main()
