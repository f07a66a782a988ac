"""What y says of itself before it becomes an array: names of columns, order of labels.

Validation turns DataFrames and categoricals into plain arrays, which know neither.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

# Columns that a message names.
_NAMED = 3
# Names of types of missing values, since pandas need not be installed.
MISSING = {"NoneType", "NAType", "NaTType"}


class TargetInfo(NamedTuple):
    """What a target says of its labels.

    Attributes
    ----------
    names : ndarray of str or None
        Names of its columns, where it is a DataFrame of several and all are strings.
    order : ndarray or None
        The categories of an ordered categorical, from the lowest to the highest.
    """

    names: np.ndarray | None = None
    order: np.ndarray | None = None


NO_INFO = TargetInfo()


def described(y):
    """The `TargetInfo` of a target as the user has passed it."""
    dtype = getattr(y, "dtype", None)
    names = None
    if _is_frame(y):
        columns, dtypes = list(y.columns), list(y.dtypes)
        if len(columns) == 1:
            dtype = dtypes[0]
        elif all(isinstance(name, str) for name in columns):
            names = np.array(columns, dtype=object)
    is_ordered = getattr(dtype, "ordered", False)
    categories = getattr(dtype, "categories", None) if is_ordered else None
    order = None if categories is None else np.asarray(categories)
    return TargetInfo(names, order)


def plain_table(y):
    """A DataFrame of columns of pandas' own types as an array of objects.

    scikit-learn's validation would turn all columns into numbers if one holds them.
    """
    if not _is_frame(y) or hasattr(y, "sparse") or not hasattr(y, "to_numpy"):
        return y
    if all(isinstance(dtype, np.dtype) for dtype in y.dtypes):
        return y
    return y.to_numpy(dtype=object) if hasattr(y, "isna") else y


def named(names, column):
    """How a message calls a column of y."""
    return f"column {column}" if names is None else f"the column {names[column]!r}"


def check_columns_complete(y):
    """Refuse targets of several columns with missing values, by their names.

    Parameters
    ----------
    y : object
        As the user has passed it. One column is for other checks.

    Raises
    ------
    ValueError
    """
    counts = _missing_by_column(y)
    if counts is None or not counts.any():
        return
    names = described(y).names
    columns = np.flatnonzero(counts)
    parts = [
        f"{named(names, c)} ({counts[c]} row{'s' if counts[c] > 1 else ''})"
        for c in columns[:_NAMED]
    ]
    others = len(columns) - len(parts)
    more = f" and {others} more columns" if others > 0 else ""
    raise ValueError(
        f"Input y contains NaN, in {', '.join(parts)}{more}. Drop those rows of X and "
        "y."
    )


def _missing_by_column(y):
    """Numbers of missing values in the columns; None for one column, or unknown."""
    if len(getattr(y, "shape", ())) != 2 or y.shape[1] < 2:
        return None
    if _is_frame(y):
        return y.isna().to_numpy().sum(axis=0) if hasattr(y, "isna") else None
    kind = str(getattr(getattr(y, "dtype", None), "kind", ""))
    if sparse.issparse(y) and kind == "f":
        entries = y.tocoo()
        return np.bincount(entries.col[np.isnan(entries.data)], minlength=y.shape[1])
    if not isinstance(y, np.ndarray) or kind not in "fO":
        return None
    if kind == "f":
        return np.isnan(y).sum(axis=0)
    return np.array([sum(map(is_missing, column)) for column in y.T])


def is_missing(item):
    """Whether an object is None, NaN or a missing value of pandas."""
    if type(item).__name__ in MISSING:
        return True
    return isinstance(item, float) and item != item


def _is_frame(y):
    return hasattr(type(y), "columns") and hasattr(type(y), "dtypes")
