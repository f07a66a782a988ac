"""Arrow's tables and record batches as arrays; pyarrow itself is not imported.

Arrow stores columns, a network reads rows: X is written once, straight into the array
that is trained on. Columns of numbers without nulls are read where they are.
"""

import importlib

import numpy as np

# Rows that are transposed at a time: of fifty columns they fit into a cache.
_BLOCK = 2048


def is_arrow(data):
    """Whether data are a table, a record batch or an array of pyarrow."""
    return type(data).__module__.partition(".")[0] == "pyarrow"


def features_from_arrow(X):
    """A table or record batch as rows of numbers; all else as it is.

    Parameters
    ----------
    X : object

    Returns
    -------
    object
        A DataFrame on an array, where pandas is installed, so that the
        names of the columns are known; else an array.

    Raises
    ------
    ValueError
        For a column that is not one of numbers.
    """
    if not is_arrow(X):
        return X
    names = X.schema.names
    columns = [
        _numbers(column, name) for column, name in zip(X.columns, names, strict=True)
    ]
    # As of a DataFrame: float32 stays float32, all else becomes float64.
    is_single = columns and np.result_type(*columns) == np.float32
    dtype = np.float32 if is_single else np.float64
    rows = np.empty((X.num_rows, len(columns)), dtype)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        for c, column in enumerate(columns):
            rows[block, c] = column[block]
    return _named(rows, names)


def target_from_arrow(y):
    """A target or weights of pyarrow as an array; a single column as a vector."""
    if not is_arrow(y):
        return y
    if not hasattr(y, "schema"):
        return np.asarray(y)
    columns = [target_from_arrow(column) for column in y.columns]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


def _numbers(column, name):
    values = target_from_arrow(column)
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"column {name!r} of X has the Arrow type {column.type}, but a network "
            "needs numbers: encode or drop it."
        )
    return values


def _named(rows, names):
    """A DataFrame on some rows, which are not copied."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return rows
    return pandas.DataFrame(rows, columns=names, copy=False)
