"""Scores of classifiers for a rare class, over repeated stratified folds."""

import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    log_loss,
    precision_recall_curve,
)
from sklearn.model_selection import RepeatedStratifiedKFold

_PRECISION = 0.9
COLUMNS = (
    *("average precision", "recall at precision 0.9", "balanced accuracy"),
    *("log-loss", "seconds"),
)


def scores(model, X, y):
    """Scores of a fitted classifier of two classes on held-out rows.

    Parameters
    ----------
    model : estimator
        With ``decision_function``, ``predict_proba`` or both.
    X, y : arrays
        y is 1 for the rare class, else 0.

    Returns
    -------
    list of float
        As `COLUMNS`, without the seconds; nan for the log-loss of margins.
    """
    probabilities = None
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(X)
    evidence = (
        model.decision_function(X)
        if hasattr(model, "decision_function")
        else probabilities[:, 1]
    )
    precision, recall, _ = precision_recall_curve(y, evidence)
    return [
        average_precision_score(y, evidence),
        recall[precision >= _PRECISION].max(),
        balanced_accuracy_score(y, model.predict(X)),
        np.nan if probabilities is None else log_loss(y, probabilities, labels=[0, 1]),
    ]


def fitted(method, X, y):
    """A new model of a method, and the seconds that its fit took.

    Parameters
    ----------
    method : (estimator, bool)
        Whether 'balanced' weights go to fit as ``sample_weight``.
    """
    estimator, is_weighted = method
    weights = {}
    if is_weighted:
        counts = np.bincount(y)
        weights["sample_weight"] = (len(y) / (len(counts) * counts))[y]
    model = clone(estimator)
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Defaults that do not converge, or say that they learned little, are compared.
        warnings.simplefilter("ignore")
        model.fit(X, y, **weights)
    return model, time.perf_counter() - start


def rows(X, chosen):
    """Some rows of an array, a sparse matrix or a frame."""
    return X.iloc[chosen] if hasattr(X, "iloc") else X[chosen]


def by_fold(methods, X, y, repeats):
    """Scores of each method on each held-out fold of repeated 2-fold splits.

    Parameters
    ----------
    methods : dict of (estimator, bool)
        As for `fitted`.
    X, y : arrays
    repeats : int

    Returns
    -------
    dict of ndarray of shape (2 * repeats, len(COLUMNS))
    """
    splits = RepeatedStratifiedKFold(n_splits=2, n_repeats=repeats, random_state=0)
    found = {name: [] for name in methods}
    for train, test in splits.split(X, y):
        for name, method in methods.items():
            model, seconds = fitted(method, rows(X, train), y[train])
            found[name].append([*scores(model, rows(X, test), y[test]), seconds])
    return {name: np.array(figures) for name, figures in found.items()}


def table(found):
    """Means over the folds as lines of Markdown, with the rank in average precision.

    Parameters
    ----------
    found : dict of ndarray
        From `by_fold`; folds of several tasks may follow each other.

    Yields
    ------
    str
    """
    yield f"| method | {' | '.join(COLUMNS)} | mean rank |"
    yield "| --- |" + " --- |" * (len(COLUMNS) + 1)
    precisions = np.array([figures[:, 0] for figures in found.values()])
    # Equal scores share the mean of their ranks.
    above = (precisions[:, np.newaxis] < precisions).sum(axis=1)
    equal = (precisions[:, np.newaxis] == precisions).sum(axis=1)
    ranks = (above + (equal + 1) / 2).mean(axis=1)
    for (name, figures), rank in zip(found.items(), ranks, strict=True):
        means = [f"{value:.4f}" for value in figures[:, :-1].mean(axis=0)]
        error = figures[:, 0].std(ddof=1) / np.sqrt(len(figures))
        means[0] += f" ± {error:.4f}"
        cells = [*means, f"{figures[:, -1].mean():.2f}", f"{rank:.2f}"]
        yield f"| {name} | {' | '.join(cells)} |"


def compared(found, name, other):
    """A sentence about the difference of two methods, paired by folds."""
    gains = found[name][:, 0] - found[other][:, 0]
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return (
        f"{name} less {other}: {gains.mean():+.4f} ± {error:.4f} of average precision, "
        f"better in {np.mean(gains > 0):.0%} of the folds"
    )
