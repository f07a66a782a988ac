"""Columns of a table, whatever holds it: pandas, polars, Arrow, NumPy or SciPy.

A column says what it holds and converts itself: to numbers with NaN for missing values,
to datetimes with NaT, or to codes of levels with -1. No library of frames is imported
unless the user's table belongs to it.
"""

import datetime
import sys
from decimal import Decimal
from numbers import Real

import numpy as np

# What a column holds. Durations are numbers of seconds, booleans are zeros and ones.
NUMBER, CATEGORY, DATE, SPARSE = "number", "category", "date", "sparse"

_NUMBER_KINDS = "biuf"
_DATES = "datetime64[us]"
# Rows whose levels are found faster without pandas.
_FEW_ROWS = 20


def is_missing(value):
    """Whether a Python object stands for a missing value: None, NaN, NaT, NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating, Decimal)) and value != value


class ArrayColumn:
    """A column of a NumPy array.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
    """

    def __init__(self, values):
        self.values = values

    @property
    def holds(self):
        """NUMBER, CATEGORY or DATE."""
        kind = self.values.dtype.kind
        if kind in _NUMBER_KINDS or kind == "m":
            return NUMBER
        if kind == "M":
            return DATE
        return _of_objects(self.values) if kind == "O" else CATEGORY

    def numbers(self):
        """The values as float64, NaN where missing.

        Raises
        ------
        ValueError, TypeError
            If a value is no number.
        """
        if self.values.dtype.kind == "m":
            seconds = self.values / np.timedelta64(1, "s")
            return np.asarray(seconds, dtype=np.float64)
        if self.values.dtype.kind != "O":
            return self.values.astype(np.float64)
        return np.array([_as_number(value) for value in self.values], dtype=np.float64)

    def dates(self):
        """The values as datetime64[us], NaT where missing."""
        if self.values.dtype.kind == "M":
            return self.values.astype(_DATES)
        return np.array([_as_date(value) for value in self.values], dtype=_DATES)

    def levels(self):
        """Codes of shape (n_rows,), -1 where missing, and a list of the levels."""
        return _factorize(self.values.tolist())


class PandasColumn:
    """A column of a pandas DataFrame.

    Parameters
    ----------
    series : pandas.Series
    """

    def __init__(self, series):
        self.series = series

    @property
    def holds(self):
        """What the column holds, as `ArrayColumn.holds`."""
        dtype = self.series.dtype
        if dtype.name == "category":
            return CATEGORY
        if dtype.name.startswith("Sparse") and dtype.fill_value == 0:
            return SPARSE
        kind = getattr(dtype, "kind", "O")
        if kind in _NUMBER_KINDS or kind == "m":
            return NUMBER
        if kind == "M" or dtype.name.startswith("period"):
            return DATE
        is_text = dtype.name.startswith(("string", "str"))
        return CATEGORY if is_text else _of_objects(self.series.to_numpy(dtype=object))

    def numbers(self):
        """The values as float64, as `ArrayColumn.numbers`."""
        series = self.series
        kind = getattr(series.dtype, "kind", "O")
        if kind == "m":
            return series.dt.total_seconds().to_numpy(dtype=np.float64, na_value=np.nan)
        if kind in _NUMBER_KINDS and isinstance(series.dtype, np.dtype):
            return series.to_numpy().astype(np.float64)
        if kind in _NUMBER_KINDS:
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
        return ArrayColumn(series.to_numpy(dtype=object)).numbers()

    def dates(self):
        """The values as datetime64[us], as `ArrayColumn.dates`."""
        series = self.series
        if series.dtype.name.startswith("period"):
            series = series.dt.to_timestamp()
        if getattr(series.dtype, "kind", "O") != "M":
            return ArrayColumn(series.to_numpy(dtype=object)).dates()
        if series.dt.tz is not None:
            series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        return series.to_numpy(dtype=_DATES)

    def levels(self):
        """Codes and levels, as `ArrayColumn.levels`."""
        if self.series.dtype.name == "category":
            codes = self.series.cat.codes.to_numpy().astype(np.int64)
            return codes, self.series.cat.categories.tolist()
        if len(self.series) <= _FEW_ROWS:
            return _factorize(self.series.tolist())
        codes, levels = self.series.factorize()
        return codes.astype(np.int64), levels.tolist()

    def nonzeros(self):
        """Rows and values, in float64, of the elements that are stored."""
        array = self.series.array
        return array.sp_index.indices, np.asarray(array.sp_values, dtype=np.float64)


class PolarsColumn:
    """A column of a polars DataFrame.

    Parameters
    ----------
    series : polars.Series
    """

    def __init__(self, series):
        self.series = series

    @property
    def holds(self):
        """What the column holds, as `ArrayColumn.holds`."""
        import polars

        dtype = self.series.dtype
        if dtype.is_numeric() or dtype in (polars.Boolean, polars.Duration):
            return NUMBER
        if dtype in (polars.Date, polars.Datetime):
            return DATE
        return (
            _of_objects(self.series.to_list()) if dtype == polars.Object else CATEGORY
        )

    def numbers(self):
        """The values as float64, as `ArrayColumn.numbers`."""
        import polars

        if self.series.dtype == polars.Duration:
            series = self.series.dt.total_microseconds().cast(polars.Float64)
            return series.to_numpy() / 1e6
        if self.series.dtype == polars.Object:
            return _object_column(self.series).numbers()
        if self.series.dtype in (polars.String, polars.Categorical, polars.Enum):
            return _object_column(self.series).numbers()
        return self.series.cast(polars.Float64).to_numpy().astype(np.float64)

    def dates(self):
        """The values as datetime64[us], as `ArrayColumn.dates`."""
        import polars

        if self.series.dtype not in (polars.Date, polars.Datetime):
            return _object_column(self.series).dates()
        series = self.series
        if getattr(series.dtype, "time_zone", None) is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        # As numbers, since old releases crash on missing dates in `to_numpy`.
        times = series.cast(polars.Datetime("us")).dt.timestamp("us")
        numbers = times.cast(polars.Float64).to_numpy()
        dates = np.full(len(numbers), np.datetime64("NaT"), dtype=_DATES)
        present = ~np.isnan(numbers)
        dates[present] = numbers[present].astype(np.int64).astype(_DATES)
        return dates

    def levels(self):
        """Codes and levels, as `ArrayColumn.levels`."""
        return _factorize(self.series.to_list())


class ArrowColumn:
    """A column of a pyarrow Table.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    """

    def __init__(self, column):
        self.column = column

    @property
    def holds(self):
        """What the column holds, as `ArrayColumn.holds`."""
        from pyarrow import types

        arrow_type = self.column.type
        if types.is_date(arrow_type) or types.is_timestamp(arrow_type):
            return DATE
        tests = (
            types.is_integer,
            types.is_floating,
            types.is_boolean,
            types.is_decimal,
            types.is_duration,
        )
        return NUMBER if any(test(arrow_type) for test in tests) else CATEGORY

    def numbers(self):
        """The values as float64, as `ArrayColumn.numbers`."""
        return _object_or_plain(self.column).numbers()

    def dates(self):
        """The values as datetime64[us], as `ArrayColumn.dates`."""
        import pyarrow

        column = self.column
        if self.holds == DATE:
            column = column.cast(pyarrow.timestamp("us"), safe=False)
            return column.to_numpy().astype(_DATES)
        return _object_or_plain(column).dates()

    def levels(self):
        """Codes and levels, as `ArrayColumn.levels`."""
        from pyarrow import types

        column = self.column
        if not types.is_dictionary(column.type):
            column = column.dictionary_encode()
        column = column.combine_chunks()
        codes = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return codes.astype(np.int64), column.dictionary.to_pylist()


def _object_column(series):
    return ArrayColumn(np.array(series.to_list(), dtype=object))


def _object_or_plain(column):
    """An Arrow column as a NumPy column: of floats if it can be, else of objects."""
    from pyarrow import types

    if types.is_integer(column.type) or types.is_floating(column.type):
        return ArrayColumn(column.to_numpy().astype(np.float64))
    return ArrayColumn(np.array(column.to_pylist(), dtype=object))


def _factorize(values):
    """Codes in order of appearance, -1 where missing, and the levels."""
    table: dict = {}
    codes = np.empty(len(values), dtype=np.int64)
    for row, value in enumerate(values):
        codes[row] = -1 if is_missing(value) else table.setdefault(value, len(table))
    return codes, list(table)


def _of_objects(values):
    """What Python objects hold, by those that are not missing."""
    present = [value for value in values if not is_missing(value)]
    if not present or all(isinstance(value, (Real, Decimal)) for value in present):
        return NUMBER
    if all(isinstance(value, (datetime.date, np.datetime64)) for value in present):
        return DATE
    if all(isinstance(value, datetime.timedelta) for value in present):
        return NUMBER
    return CATEGORY


def _as_number(value):
    if is_missing(value):
        return np.nan
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return float(value)


def _as_date(value):
    if is_missing(value):
        return np.datetime64("NaT", "us")
    if isinstance(value, str):
        value = datetime.datetime.fromisoformat(value)
    if getattr(value, "tzinfo", None) is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def columns_of(X):
    """The columns of a two-dimensional table, and their names.

    Parameters
    ----------
    X : DataFrame, pyarrow.Table or ndarray of shape (n_rows, n_columns)

    Returns
    -------
    columns : list
    names : list or None
        As the user wrote them; None for an array.
    """
    if _belongs(X, "pandas", "DataFrame"):
        return [PandasColumn(series) for _, series in X.items()], names_of(X)
    if _belongs(X, "polars", "DataFrame"):
        return [PolarsColumn(series) for series in X.get_columns()], names_of(X)
    if _belongs(X, "pyarrow", "Table"):
        return [ArrowColumn(column) for column in X.columns], names_of(X)
    return [ArrayColumn(X[:, i]) for i in range(X.shape[1])], None


def names_of(X):
    """Names of a frame's columns, as the user wrote them."""
    return list(X.column_names if _belongs(X, "pyarrow", "Table") else X.columns)


def is_frame(X):
    """Whether X is a table with named columns."""
    return (
        _belongs(X, "pandas", "DataFrame")
        or _belongs(X, "polars", "DataFrame")
        or _belongs(X, "pyarrow", "Table")
    )


def _belongs(X, library, name):
    module = sys.modules.get(library)
    return module is not None and isinstance(X, getattr(module, name))
