"""What y says of itself before it becomes an array: names of columns, order of labels.

Validation turns DataFrames and categoricals into plain arrays, which know neither.
"""

from typing import NamedTuple

import numpy as np


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
    if hasattr(type(y), "columns") and hasattr(type(y), "dtypes"):
        columns, dtypes = list(y.columns), list(y.dtypes)
        if len(columns) == 1:
            dtype = dtypes[0]
        elif all(isinstance(name, str) for name in columns):
            names = np.array(columns, dtype=object)
    is_ordered = getattr(dtype, "ordered", False)
    categories = getattr(dtype, "categories", None) if is_ordered else None
    order = None if categories is None else np.asarray(categories)
    return TargetInfo(names, order)


def named(names, column):
    """How a message calls a column of y."""
    return f"column {column}" if names is None else f"the column {names[column]!r}"
