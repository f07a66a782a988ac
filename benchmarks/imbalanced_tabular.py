"""Rare classes in tables: remedies for imbalance, beside boosted trees.

Six sets with 0.03 to 22 % positives, repeated splits in halves, at most 20,000 rows of
a set, numbers standardized and categories one-hot encoded inside of each method.
"""

import numpy as np
import rare_class
import real_data
import scenario
import tabular_sets
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from tabular_methods import encoded

import skmlp

_SETS = (*("mammography", "credit_default", "cover_2v4", "smtp", "oil_spill", "w7a"),)
_MAX_ROWS = 20_000


def _network(**params):
    return encoded(skmlp.MLPClassifier(max_iter=50, random_state=0, **params))


def methods():
    """Each method by name, with whether it gets balanced weights in fit.

    Returns
    -------
    dict of (estimator, bool)
    """
    balanced = {"class_weight": "balanced"}
    trees = {"categorical_features": "from_dtype", "random_state": 0}
    return {
        "HistGradientBoosting": (HistGradientBoostingClassifier(**trees), False),
        "HistGradientBoosting, balanced": (
            HistGradientBoostingClassifier(**trees, **balanced),
            False,
        ),
        "LogisticRegression, balanced": (
            encoded(LogisticRegression(max_iter=1000, **balanced)),
            False,
        ),
        "adam": (_network(), False),
        "adam, class_weight": (_network(**balanced), False),
        "adam, sampling": (_network(sampling="balanced"), False),
        "adam, focal": (_network(loss="focal"), False),
        "adam, logit_adjustment": (_network(logit_adjustment=1.0), False),
        "lbfgs, class_weight, alpha=1": (
            _network(solver="lbfgs", alpha=1.0, **balanced),
            False,
        ),
        "TabularMLP": (skmlp.TabularMLPClassifier("fast", random_state=0), False),
        "TabularMLP, class_weight": (
            skmlp.TabularMLPClassifier("fast", random_state=0, **balanced),
            False,
        ),
    }


def rows_of(loader, name):
    """The rows of a set, train and test together, and whether one is positive."""
    table = tabular_sets.load_table(loader, name, "choose", 10**9, 0)
    X, y = table.X, (table.y == np.unique(table.y)[-1]).astype(int)
    if len(y) > _MAX_ROWS:
        X, _, y, _ = train_test_split(
            X, y, train_size=_MAX_ROWS, stratify=y, random_state=0
        )
    return X.reset_index(drop=True), y


def setup(options):
    """The loader of the sets."""
    return real_data.loader(options.data)


def measure(loader, options):
    """A table for each set, and the mean ranks over all."""
    everything = []
    for name in options.sets or _SETS:
        X, y = rows_of(loader, name)
        yield f"\n{name}: {len(y):,} rows, {y.mean():.2%} positive\n"
        found = rare_class.by_fold(methods(), X, y, options.repeats)
        yield from rare_class.table(found)
        everything.append(found)
        yield {"set": name, **{key: rows.tolist() for key, rows in found.items()}}
    joined = {
        key: np.concatenate([found[key] for found in everything])
        for key in everything[0]
    }
    yield "\nall sets\n"
    yield from rare_class.table(joined)


def line(entry):
    """Nothing: the tables have the figures."""
    return ""


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="a single split in halves",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": {**scenario.folder("the sets"), "required": True},
        "sets": {"nargs": "+", "choices": _SETS},
        "repeats": {"type": int, "full": 5, "brief": 1},
    },
)

if __name__ == "__main__":
    SCENARIO.main()
