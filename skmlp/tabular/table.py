"""A user's table as blocks of one kind: numbers, levels and sparse columns.

The first table decides what each column holds. Later tables are read the same way, and
a column that does not fit is an error that names it.
"""

import collections
import warnings
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from skmlp.call_site import user_stacklevel
from skmlp.estimators.data_advice import listed
from skmlp.tabular.columns import (
    CATEGORY,
    DATE,
    NUMBER,
    SPARSE,
    columns_of,
    is_frame,
    names_of,
)
from skmlp.tabular.dates import PARTS, date_parts

_MAX_NAMED = 5
_PLURALS = {NUMBER: "numbers", CATEGORY: "categories", DATE: "dates", SPARSE: "numbers"}


class Schema(NamedTuple):
    """What the columns of a table hold.

    Attributes
    ----------
    holds : list of str
        NUMBER, CATEGORY, DATE or SPARSE for each column.
    names : list of str
        Of the columns; 'x0', 'x1', ... for an array.
    """

    holds: list
    names: list

    def indices(self, what):
        """Indices of the columns that hold something."""
        return [i for i, held in enumerate(self.holds) if held == what]


class Blocks(NamedTuple):
    """A table in blocks.

    Attributes
    ----------
    numbers : ndarray of shape (n_rows, n_numbers), float64
        Columns of numbers, then the parts of dates; NaN where missing.
    levels : list of (codes, levels)
        One for each column of categories.
    sparse : csr_matrix of shape (n_rows, n_sparse) or None
    """

    numbers: np.ndarray
    levels: list
    sparse: Any


def as_table(X, estimator):
    """X checked to be a table of rows and columns: a frame, an array or a CSR matrix.

    Raises
    ------
    ValueError
        If X has not two dimensions, no row or no column, or two columns of one name.
    """
    if is_frame(X):
        if X.shape[0] == 0 or X.shape[1] == 0:
            what = "sample" if X.shape[0] == 0 else "feature"
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={tuple(X.shape)}) while a "
                f"minimum of 1 is required by {type(estimator).__name__}."
            )
        _check_distinct(names_of(X))
        return X
    if sparse.issparse(X):
        return check_array(
            X, accept_sparse="csr", dtype=np.float64, estimator=estimator
        )
    return check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator)


def _check_distinct(names):
    counts = collections.Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"X has more than one column named {listed(twice, _MAX_NAMED)}. Rename or "
            "drop them."
        )


def read_schema(X, categorical_features):
    """What the columns of a table hold.

    Parameters
    ----------
    X : from `as_table`
    categorical_features : 'from_dtype', None, or array-like of names, indices or bool

    Returns
    -------
    Schema
    """
    if sparse.issparse(X):
        names = [f"x{i}" for i in range(X.shape[1])]
        return Schema([SPARSE] * X.shape[1], names)
    columns, names = columns_of(X)
    chosen = _chosen(categorical_features, names, len(columns))
    holds = [
        CATEGORY if i in chosen else column.holds for i, column in enumerate(columns)
    ]
    if names is None:
        names = [f"x{i}" for i in range(len(columns))]
    return Schema(holds, [str(name) for name in names])


def _chosen(categorical_features, names, n_columns):
    """Indices of the columns that the user declares to be categories."""
    if categorical_features is None or isinstance(categorical_features, str):
        return set()
    wanted = list(categorical_features)
    if wanted and all(isinstance(entry, (bool, np.bool_)) for entry in wanted):
        if len(wanted) != n_columns:
            raise ValueError(
                f"categorical_features set as a boolean mask should have shape "
                f"({n_columns},), got: ({len(wanted)},)"
            )
        return set(np.flatnonzero(wanted).tolist())
    return {_index(entry, names, n_columns) for entry in wanted}


def _index(entry, names, n_columns):
    if names is not None and entry in names:
        return names.index(entry)
    if isinstance(entry, (int, np.integer)) and -n_columns <= entry < n_columns:
        return int(entry) % n_columns
    raise ValueError(
        f"categorical_features contains {entry!r}, which is neither the name nor the "
        f"index of one of the {n_columns} columns of X."
    )


def read_blocks(X, schema):
    """The blocks of a table whose columns are those of a schema.

    Infinite numbers are read as missing, with a warning.

    Raises
    ------
    ValueError
        If a column does not hold what it held in the first table.
    """
    if sparse.issparse(X):
        return Blocks(np.empty((X.shape[0], 0)), [], sparse.csr_matrix(X))
    columns, _ = columns_of(X)
    rows = X.shape[0]
    numbers = schema.indices(NUMBER)
    dates = schema.indices(DATE)
    block = np.empty((rows, len(numbers) + len(PARTS) * len(dates)))
    for j, i in enumerate(numbers):
        block[:, j] = _read(columns[i].numbers, schema, i)
    _drop_infinite(block[:, : len(numbers)], [schema.names[i] for i in numbers])
    for j, i in enumerate(dates):
        begin = len(numbers) + j * len(PARTS)
        parts = date_parts(_read(columns[i].dates, schema, i))
        block[:, begin : begin + len(PARTS)] = parts
    levels = [_read(columns[i].levels, schema, i) for i in schema.indices(CATEGORY)]
    return Blocks(block, levels, _sparse_block(columns, schema, rows))


def number_names(schema):
    """Names of the columns of `Blocks.numbers`."""
    names = [schema.names[i] for i in schema.indices(NUMBER)]
    for i in schema.indices(DATE):
        names += [f"{schema.names[i]}_{part}" for part in PARTS]
    return names


def has_indicator(schema):
    """Which columns of `Blocks.numbers` tell of missing values: one part of a date."""
    one_part = [part == PARTS[-1] for part in PARTS]
    n_numbers, n_dates = len(schema.indices(NUMBER)), len(schema.indices(DATE))
    return np.array([True] * n_numbers + one_part * n_dates, dtype=bool)


def sources(schema):
    """Indices of the columns of X that those of `Blocks.numbers` come from."""
    dates = np.repeat(schema.indices(DATE), len(PARTS)).tolist()
    return schema.indices(NUMBER) + dates


def _read(convert, schema, i):
    try:
        return convert()
    except (TypeError, ValueError, AttributeError) as error:
        plural = _PLURALS[schema.holds[i]]
        raise ValueError(
            f"Column {schema.names[i]!r} of X is a column of {plural} and cannot be "
            f"read as such: {error}"
        ) from error


def _drop_infinite(block, names):
    """Make infinite numbers missing, in place."""
    infinite = np.isinf(block)
    columns = np.flatnonzero(infinite.any(axis=0))
    if len(columns):
        block[infinite] = np.nan
        warnings.warn(
            "X has infinite values in column "
            f"{listed([names[i] for i in columns], _MAX_NAMED)}. They are treated as "
            "missing.",
            UserWarning,
            stacklevel=user_stacklevel(),
        )


def _sparse_block(columns, schema, rows):
    indices = schema.indices(SPARSE)
    if not indices:
        return None
    parts = [_nonzeros(columns[i], rows) for i in indices]
    row_ids = np.concatenate([part[0] for part in parts])
    values = np.concatenate([part[1] for part in parts])
    column_ids = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    shape = (rows, len(indices))
    return sparse.csr_matrix((values, (row_ids, column_ids)), shape=shape)


def _nonzeros(column, rows):
    """Rows and values of a sparse column; of a dense one at predict, too."""
    if hasattr(column, "nonzeros") and column.holds == SPARSE:
        return column.nonzeros()
    values = column.numbers()
    stored = np.flatnonzero(values)
    return stored, values[stored]
