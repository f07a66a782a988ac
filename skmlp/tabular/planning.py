"""Which networks to train on which rows."""

import numpy as np

from skmlp.forks import DRAWING
from skmlp.tabular.members import Job
from skmlp.tabular.splits import folds, hold_out, last_rows

# Fewer rows than these are validated by folds: a held-out fifth would be too few rows
# to select by, and missing to train on.
_MIN_ROWS_TO_HOLD_OUT = 1000


def row_pairs(settings, n_rows, generator, *, strata=None, groups=None):
    """Pairs of training and validation rows.

    Parameters
    ----------
    settings : BaseTabularMLP
        Has ``validation`` and ``validation_fraction``.
    n_rows : int
    generator : numpy.random.RandomState
    strata, groups : ndarray of shape (n_rows,) or None

    Returns
    -------
    list of (ndarray, ndarray)
        A single pair, or one for each fold of a small table.

    Raises
    ------
    ValueError
        If a part would be empty, or there is a single group.
    """
    fraction = settings.validation_fraction
    if groups is not None and len(np.unique(groups)) < 2:
        raise ValueError("groups has a single group: none can be held out.")
    if settings.validation == "last":
        pairs = [last_rows(n_rows, fraction, strata)]
    elif n_rows < _MIN_ROWS_TO_HOLD_OUT:
        n_folds = min(max(2, round(1 / fraction)), max(2, n_rows // 2))
        pairs = folds(n_rows, n_folds, generator, classes=strata, groups=groups)
        pairs = [pair for pair in pairs if len(pair[0]) and len(pair[1]) > 1]
    else:
        split = {"classes": strata, "groups": groups}
        pairs = [hold_out(n_rows, fraction, generator, **split)]
    if not pairs or any(len(train) < 1 or len(rest) < 2 for train, rest in pairs):
        raise ValueError(
            f"n_samples={n_rows} and validation_fraction={fraction} leave no row to "
            "train on or less than two to validate on. Pass X_val and y_val, or more "
            "rows."
        )
    return pairs


def make_jobs(recipes, pairs, make_member, generator, *, crossed):
    """The networks of an ensemble.

    Parameters
    ----------
    recipes : list of dict
        Parameters of the plain estimators.
    pairs : list of (train, validation)
    make_member : callable
        An estimator from a dict of parameters.
    generator : numpy.random.RandomState
    crossed : bool
        Whether each recipe is trained on every pair; else on one of them, in turn.

    Returns
    -------
    list of Job
    """
    if crossed:
        tasks = [(i, pair) for i in range(len(recipes)) for pair in pairs]
    else:
        tasks = [(i, pairs[i % len(pairs)]) for i in range(len(recipes))]
    with DRAWING:
        seeds = generator.randint(np.iinfo(np.int32).max, size=len(tasks))
    return [
        Job(
            recipe=i,
            estimator=make_member(
                {"random_state": int(seed), "n_jobs": 1, **recipes[i]}
            ),
            train=train,
            validation=validation,
        )
        for (i, (train, validation)), seed in zip(tasks, seeds, strict=True)
    ]
