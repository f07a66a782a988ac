"""Which rows train a member and which select its epoch."""

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from skmlp.estimators.holdout import stratified_split


def hold_out(n_rows, fraction, generator, *, classes=None, groups=None):
    """Random training and validation rows.

    Parameters
    ----------
    n_rows : int
    fraction : float
        Of the rows, or of the groups, to validate on.
    generator : numpy.random.RandomState
    classes : ndarray of shape (n_rows,) or None
        Codes to stratify by. Rows of a class too rare to be split are trained on.
    groups : ndarray of shape (n_rows,) or None
        Rows of a group stay together.

    Returns
    -------
    train, validation : ndarray of int
        Both sorted; of each class there is a training row.
    """
    rows = np.arange(n_rows)
    if groups is not None:
        splitter = GroupShuffleSplit(1, test_size=fraction, random_state=generator)
        train, validation = next(splitter.split(rows, groups=groups))
        return _with_all_classes(train, validation, classes, groups)
    split = None
    if classes is not None:
        split = stratified_split(rows, classes, fraction, generator)
    if split is None:
        split = train_test_split(rows, test_size=fraction, random_state=generator)
    train, validation = split
    return _with_all_classes(train, validation, classes, rows)


def last_rows(n_rows, fraction, classes=None):
    """The first rows to train on and the last ones to validate on."""
    n_validation = int(np.ceil(fraction * n_rows))
    rows = np.arange(n_rows)
    train, validation = rows[:-n_validation], rows[-n_validation:]
    if classes is None:
        return train, validation
    # A class that only the last rows have cannot be scored by a network without it.
    known = np.isin(classes[validation], classes[train])
    return np.sort(np.append(train, validation[~known])), validation[known]


def folds(n_rows, n_folds, generator, *, classes=None, groups=None):
    """Cross-validation: pairs (train, validation) whose validation rows are all rows.

    Parameters
    ----------
    n_rows, n_folds : int
    generator : numpy.random.RandomState
    classes, groups : ndarray of shape (n_rows,) or None
        As for `hold_out`.

    Returns
    -------
    list of (train, validation)
    """
    rows = np.arange(n_rows)
    if groups is not None:
        _, groups = np.unique(groups, return_inverse=True)
        n_folds = min(n_folds, groups.max() + 1)
        fold = (generator.permutation(groups.max() + 1) % n_folds)[groups]
        return [
            _with_all_classes(rows[fold != k], rows[fold == k], classes, groups)
            for k in range(n_folds)
        ]
    shuffled = generator.permutation(n_rows)
    if classes is not None:
        # Neighbors in this order are of one class and go to different folds.
        shuffled = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(n_rows, dtype=np.int64)
    fold[shuffled] = rows % n_folds
    return [
        _with_all_classes(rows[fold != k], rows[fold == k], classes, rows)
        for k in range(n_folds)
    ]


def _with_all_classes(train, validation, classes, groups):
    """Move the rows whose class the training rows lack, with their groups, to them."""
    if classes is not None:
        lacking = ~np.isin(classes[validation], classes[train])
        moved = np.isin(groups[validation], groups[validation][lacking])
        train = np.append(train, validation[moved])
        validation = validation[~moved]
    return np.sort(train), np.sort(validation)
