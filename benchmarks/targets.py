"""Several labels, several columns of classes, classes in an order: errors and seconds.

Multilabel and several columns: one network with an output a label, or a softmax a
column, beside scikit-learn's network, a chain of networks (`ClassifierChain`: each gets
the labels before its own as features) and a network a column (`MultiOutputClassifier`).
Where columns share what is to be learned, the joint network should be no worse, and the
others take as many fits as there are columns.

Classes in an order: `loss='ordinal'` beside plain classes and a rounded regression, by
the mean absolute error and the quadratic kappa. Of a classifier's probabilities both
the most probable class and the median class are scored; the mean over the seeds, each
with a separate split, and the standard error of the difference from the first line.

All networks have the same epochs, random state and units, but for one that has as many
units in all as a network a column. With ``--data`` the sets are emotions, yeast, bibtex
and tmc2007_500 (labels), adult, of which three categories are to be told from the
columns of numbers and the income, and wine_quality (ordered); without, they are
generated or come with scikit-learn.
"""

import time
import warnings

import numpy as np
import real_data
import scenario
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import cohen_kappa_score, f1_score, mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

import skmlp

_UNITS = (100,)
_LABELS = ("emotions", "yeast", "bibtex", "tmc2007_500")
# Categories of adult that are the target.
_COLUMNS = ("workclass", "marital-status", "occupation")
_MAX_ROWS = 10_000
_MOST_UNITS = 2_000


class WideNetwork:
    """One network with as many units in all as a network a column has."""

    def __init__(self, epochs):
        self._epochs = epochs

    def fit(self, X, y):
        """Train for all columns of y."""
        units = min(_UNITS[0] * y.shape[1], _MOST_UNITS)
        options = {**settings(self._epochs), "hidden_layer_sizes": (units,)}
        self._network = skmlp.MLPClassifier(**options).fit(X, y)

    def predict(self, X):
        """Labels, or classes, of each column."""
        return self._network.predict(X)


def settings(epochs):
    """What all networks are told."""
    return {"hidden_layer_sizes": _UNITS, "max_iter": epochs, "random_state": 0}


def scaled(X, X_test):
    """Features of a like size in single precision; sparse ones stay sparse."""
    is_sparse = sparse.issparse(X)
    scaler = (MaxAbsScaler() if is_sparse else StandardScaler()).fit(X)
    return tuple(scaler.transform(part).astype(np.float32) for part in (X, X_test))


def label_sets(folder):
    """Yield name, features and label matrices of each multilabel set."""
    if folder is None:
        X, y = make_multilabel_classification(
            2_000, 40, n_classes=8, random_state=0, allow_unlabeled=False
        )
        X, X_test, y, y_test = train_test_split(X, y, random_state=0)
        yield ("generated", *scaled(X, X_test), y, y_test)
        return
    loader = real_data.loader(folder)
    for name in _LABELS:
        bunch = loader.load(name, sparse=True)
        X, X_test = scaled(bunch.X_train, bunch.X_test)
        yield name, X, X_test, bunch.y_train.astype(int), bunch.y_test.astype(int)


def column_sets(folder):
    """Yield name, features and tables of classes of each set of several columns."""
    if folder is None:
        X, y = make_multilabel_classification(
            2_000, 40, n_classes=6, random_state=1, allow_unlabeled=False
        )
        # Three columns of four classes, of two labels each.
        y = y[:, :3] + 2 * y[:, 3:]
        X, X_test, y, y_test = train_test_split(X, y, random_state=0)
        yield ("generated", *scaled(X, X_test), y, y_test)
        return
    bunch = real_data.loader(folder).load("adult")
    parts = []
    for X, income in ((bunch.X_train, bunch.y_train), (bunch.X_test, bunch.y_test)):
        columns = [bunch.feature_names.index(name) for name in _COLUMNS]
        known = np.flatnonzero(np.all(X[:, columns] >= 0, axis=1))[:_MAX_ROWS]
        numbers = [c for c in range(X.shape[1]) if c not in bunch.categorical]
        X_part = np.column_stack([X[known][:, numbers], income[known]])
        parts.append((X_part, X[known][:, columns].astype(int)))
    (X, y), (X_test, y_test) = parts
    yield ("adult", *scaled(X, X_test), y, y_test)


def label_methods(epochs):
    """Estimators of label matrices by name."""
    network = skmlp.MLPClassifier(**settings(epochs))
    return {
        "skmlp": network,
        "skmlp, units a column": WideNetwork(epochs),
        "sklearn": neural_network.MLPClassifier(**settings(epochs)),
        "a network a column": MultiOutputClassifier(network),
        "chain of networks": ClassifierChain(network, random_state=0),
    }


def column_methods(epochs):
    """Estimators of tables of classes by name."""
    network = skmlp.MLPClassifier(**settings(epochs))
    theirs = neural_network.MLPClassifier(**settings(epochs))
    return {
        "skmlp": network,
        "skmlp, units a column": WideNetwork(epochs),
        "a network a column": MultiOutputClassifier(network),
        "sklearn, a network a column": MultiOutputClassifier(theirs),
        "random forest": RandomForestClassifier(random_state=0, n_jobs=-1),
    }


def timed(estimator, X, y, X_test):
    """The predictions of an estimator, and the seconds of its fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        start = time.perf_counter()
        estimator.fit(X, y)
        seconds = time.perf_counter() - start
    return np.asarray(estimator.predict(X_test)), seconds


def compared(kind, sets, methods, scores, most_fits):
    """Yield an entry for each method on each set."""
    for name, X, X_test, y, y_test in sets:
        yield f"\n{kind} {name}: {X.shape[0]:,} x {X.shape[1]:,}, {y.shape[1]} columns"
        for method, estimator in methods.items():
            if y.shape[1] > most_fits and "network" in method:
                yield f"  {method:<30}left out: {y.shape[1]} fits"
                continue
            # Kernels are compiled, or loaded, before the clock runs.
            timed(estimator, X[:50], y[:50], X_test[:50])
            predicted, seconds = timed(estimator, X, y, X_test)
            entry = {"kind": kind, "set": name, "method": method, "seconds": seconds}
            yield {**entry, **scores(y_test, predicted)}


def label_scores(y, predicted):
    """F1 over all labels alike, and the mean of that of each."""
    return {
        "micro_f1": f1_score(y, predicted, average="micro", zero_division=0),
        "macro_f1": f1_score(y, predicted, average="macro", zero_division=0),
    }


def column_scores(y, predicted):
    """Micro F1, which is the accuracy, and macro F1, each the mean over the columns."""
    averages = {"micro_f1": "micro", "macro_f1": "macro"}
    return {
        name: np.mean(
            [
                f1_score(truth, guess, average=average, zero_division=0)
                for truth, guess in zip(y.T, predicted.T, strict=True)
            ]
        )
        for name, average in averages.items()
    }


def ordered(folder, seed):
    """Features and classes in an order, from 0."""
    if folder is None:
        X, y = load_diabetes(return_X_y=True)
        y = np.digitize(y, np.quantile(y, [0.2, 0.4, 0.6, 0.8]))
        X, X_test, y, y_test = train_test_split(X, y, random_state=seed)
    else:
        bunch = real_data.loader(folder).load("wine_quality", seed=seed)
        X, X_test = bunch.X_train, bunch.X_test
        y, y_test = bunch.y_train.astype(int), bunch.y_test.astype(int)
    return (*scaled(X, X_test), y, y_test)


def ordered_predictions(epochs, X, y, X_test):
    """Predictions and seconds of each way to predict a class in an order."""
    ways = {}
    for name, loss in (("ordinal", "ordinal"), ("plain classes", "log_loss")):
        model = skmlp.MLPClassifier(loss=loss, **settings(epochs))
        most_probable, seconds = timed(model, X, y, X_test)
        p = model.predict_proba(X_test)
        median = model.classes_[(p.cumsum(axis=1) < 0.5).sum(axis=1)]
        ways[f"{name}, median class"] = median, seconds
        ways[f"{name}, most probable"] = most_probable, seconds
    model = skmlp.MLPRegressor(scale_target=True, **settings(epochs))
    numbers, seconds = timed(model, X, y.astype(np.float32), X_test)
    rounded = np.clip(np.rint(numbers), y.min(), y.max()).astype(int)
    ways["regression, rounded"] = rounded, seconds
    model = neural_network.MLPClassifier(**settings(epochs))
    ways["sklearn, plain classes"] = timed(model, X, y, X_test)
    return ways


def compared_in_order(options):
    """Yield an entry for each way, the mean over the seeds."""
    found: dict = {}
    for seed in range(options.seeds):
        X, X_test, y, y_test = ordered(options.data, seed)
        if seed == 0:
            yield f"\nordered: {X.shape[0]:,} x {X.shape[1]}, {y.max() + 1} classes"
            ordered_predictions(1, X, y, X_test)
        for way, (guess, seconds) in ordered_predictions(
            options.epochs, X, y, X_test
        ).items():
            kappa = cohen_kappa_score(y_test, guess, weights="quadratic")
            scores = mean_absolute_error(y_test, guess), kappa, np.mean(guess == y_test)
            found.setdefault(way, []).append((*scores, seconds))
    first = np.array(next(iter(found.values())))
    for way, values in found.items():
        mean = np.mean(values, axis=0)
        error = np.std(values - first, axis=0) / np.sqrt(max(1, options.seeds - 1))
        names = ("absolute_error", "kappa", "accuracy", "seconds")
        entry = dict(zip(names, map(float, mean), strict=True))
        entry["errors"] = dict(zip(names, map(float, error), strict=True))
        yield {"kind": "ordered", "method": way, **entry}


def line(entry):
    """One line of the table."""
    head = f"  {entry['method']:<30}"
    if entry["kind"] != "ordered":
        return (
            f"{head}micro F1 {entry['micro_f1']:.3f}   macro F1 "
            f"{entry['macro_f1']:.3f}{entry['seconds']:>9.2f} s"
        )
    errors = entry["errors"]
    return (
        f"{head}absolute error {entry['absolute_error']:.3f} "
        f"± {errors['absolute_error']:.3f}   kappa {entry['kappa']:.3f} "
        f"± {errors['kappa']:.3f}   accuracy {entry['accuracy']:.3f}"
        f"{entry['seconds']:>9.2f} s"
    )


def setup(options):
    """Print the heading."""
    print(
        f"{_UNITS[0]} units, Adam, {options.epochs} epochs, float32; seconds of a fit"
    )


def measure(state, options):
    """Yield the entries of all three comparisons."""
    yield from compared(
        "labels",
        label_sets(options.data),
        label_methods(options.epochs),
        label_scores,
        options.fits,
    )
    yield from compared(
        "columns",
        column_sets(options.data),
        column_methods(options.epochs),
        column_scores,
        options.fits,
    )
    yield from compared_in_order(options)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 epochs, 2 seeds",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": scenario.folder("the sets named above"),
        "epochs": {"type": int, "full": 50, "brief": 3},
        "seeds": {"type": int, "full": 10, "brief": 2},
        "fits": {
            "type": int,
            "full": 200,
            "brief": 30,
            "help": "most columns that get a network each",
        },
    },
)


if __name__ == "__main__":
    SCENARIO.main()
