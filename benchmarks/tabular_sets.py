"""Real data sets as raw tables, with a limit on the training rows.

Every set of a folder (see `real_data`) becomes a pandas frame: numbers as float64,
categories as `category` with the names of their levels, NaN where they are missing.
"""

import re
import zlib
from typing import NamedTuple

import numpy as np
import pandas as pd

MAX_TEST_ROWS = 10_000
# Tasks without a table of features and one target.
LEFT_OUT_TASKS = ("multilabel", "text")
# Images stand for wide tables of numbers, up to a size that methods can afford.
IMAGES = ("fashion_mnist", "mnist")
MAX_IMAGE_ROWS = 2_500
# Sets whose repeated rows would be in both parts.
_REPEATING = ("kddcup99",)
HALVES = ("choose", "confirm")


class Table(NamedTuple):
    """Training and test rows of one set.

    Attributes
    ----------
    name, kind, half : str
        Kind is 'binary', 'multiclass' or 'regression'; the half is one of `HALVES`.
    available, rows : int
        Training rows before and after the limit.
    X, X_test : DataFrame
    y, y_test : ndarray
    """

    name: str
    kind: str
    half: str
    available: int
    rows: int
    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray


def set_names(loader):
    """Names of the sets that are tables, and of those that are left out.

    Parameters
    ----------
    loader : module
        From `real_data.loader`.

    Returns
    -------
    tables, left_out : list of str
        In alphabetical order.
    """
    tables, left_out = [], []
    for name in sorted(loader.names()):
        is_left_out = loader.info(name)["task"] in LEFT_OUT_TASKS
        (left_out if is_left_out else tables).append(name)
    return tables, left_out


def halves(names):
    """For each set the half that it belongs to: every other one in the alphabet.

    Returns
    -------
    dict of str
    """
    return {name: HALVES[i % 2] for i, name in enumerate(sorted(names))}


def load_table(loader, name, half, n_rows, seed):
    """One set as a raw table.

    The seed determines the split, where the source has none (of published folds, it is
    the number), and the rows that remain under the limits.

    Parameters
    ----------
    loader : module
        From `real_data.loader`.
    name, half : str
    n_rows : int
        Largest number of training rows.
    seed : int

    Returns
    -------
    Table
    """
    bunch = _split(loader, name, seed)
    y, train, test = bunch.y, bunch.train, bunch.test
    if name in _REPEATING:
        rows = np.flatnonzero(~pd.DataFrame(bunch.X).assign(target=y).duplicated())
        train, test = (rows[part] for part in loader.seeded_split(y[rows], seed=seed))
    kind = bunch.task if bunch.task in ("binary", "multiclass") else "regression"
    if kind == "regression":
        y = y.astype(np.float64)
    # A separate seed for each set; hash() differs between processes.
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    available = len(train)
    # The order of a file is no order of training: it may be sorted by class.
    train = generator.permutation(train)[:n_rows]
    test = generator.permutation(test)[:MAX_TEST_ROWS]
    if kind != "regression":
        train = _without_single_rows(train, y)
    return Table(
        *(name, kind, half, available, min(n_rows, available)),
        *(_frame(bunch, train), y[train]),
        *(_frame(bunch, test), y[test]),
    )


def _split(loader, name, seed):
    """The set, split into training and test part."""
    n_folds = loader.info(name).get("folds")
    if n_folds is None:
        return loader.load(name, seed=seed)
    return loader.load(name, fold=seed % n_folds)


def _without_single_rows(rows, y):
    """Leave out classes of one training row: some peers stratify and fail."""
    classes, counts = np.unique(y[rows], return_counts=True)
    return rows[np.isin(y[rows], classes[counts > 1])]


def _frame(bunch, rows):
    """Some rows as a frame; the exposure of counts is a column."""
    categorical = set(bunch.categorical.tolist())
    columns = {}
    for i, name in enumerate(bunch.feature_names):
        # LightGBM refuses punctuation in names; the number makes them distinct.
        label = f"{re.sub(r'[^0-9A-Za-z]', '_', name)}_{i}"
        values = bunch.X[rows, i]
        if i in categorical:
            levels = [str(level) for level in bunch.categories[name]]
            columns[label] = pd.Categorical.from_codes(values.astype(int), levels)
        else:
            columns[label] = values.astype(np.float64)
    if "exposure" in bunch:
        columns["exposure"] = bunch.exposure[rows].astype(np.float64)
    return pd.DataFrame(columns)
