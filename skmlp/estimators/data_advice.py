"""Data that no network can train on: what they hold, and what turns them into numbers.

scikit-learn's validation converts strings of numbers and dates silently where the rest
of its estimator then refuses them. Here they are refused at once. Where its validation
fails, its message stays and the sentence that helps follows.
"""

import datetime
import warnings
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d

from skmlp.call_site import user_stacklevel
from skmlp.estimators.names import with_sentence
from skmlp.estimators.target_names import MISSING, check_columns_complete, is_missing

_ENCODE = (
    "Encode categories by OneHotEncoder, OrdinalEncoder or TargetEncoder, in a "
    "ColumnTransformer beside the columns of numbers"
)
_DERIVE = "derive numbers, as the year, the hour or the days since a first day"
_TEXTS = (str, bytes)
_DATES = (datetime.date, datetime.time, np.datetime64)
_DURATIONS = (datetime.timedelta, np.timedelta64)
# Columns that a message names.
_NAMED = 3


def as_column(y):
    """A target of shape (n, 1) as (n,), with the warning of scikit-learn."""
    warnings.warn(
        "A column-vector y was passed when a 1d array was expected. Please change the "
        "shape of y to (n_samples, ), for example using ravel().",
        DataConversionWarning,
        stacklevel=user_stacklevel(),
    )
    return column_or_1d(y)


def _kind(array):
    """Kind of a dtype as NumPy's letter: O for all that is not known."""
    return getattr(getattr(array, "dtype", None), "kind", "O")


def _is_frame(data):
    # Of the type: asking the frame itself would make the list of dtypes.
    return hasattr(type(data), "columns") and hasattr(type(data), "dtypes")


def listed(columns, n_named=_NAMED):
    """Names of some columns, and how many others there are.

    Parameters
    ----------
    columns : list
    n_named : int, default=3
    """
    names = ", ".join(map(repr, columns[:n_named]))
    others = len(columns) - n_named
    return f"{names} and {others} more" if others > 0 else names


def check_x(X):
    """Refuse strings and dates that validation would convert silently.

    Raises
    ------
    ValueError, TypeError
    """
    if isinstance(X, str | bytes):
        raise ValueError(f"X must be an array, got the str {X!r}.")
    if isinstance(X, dict) and not sparse.issparse(X):  # SciPy's DOK matrix is both.
        raise TypeError("X must be an array, got a dict: use pandas.DataFrame(X).")
    if _is_frame(X):
        # Mostly one dtype: most of the time goes into asking for them.
        if any(map(_is_time, set(X.dtypes))):
            columns = zip(X.columns, X.dtypes, strict=True)
            dates = [name for name, dtype in columns if _is_time(dtype)]
            raise ValueError(
                f"X has dates or durations in the columns {listed(dates)}: {_DERIVE}."
            )
        return
    kind = _kind(X)
    first = _first_row(X) if isinstance(X, list | tuple) else ()
    if kind in "mM" or any(isinstance(item, _DATES + _DURATIONS) for item in first):
        raise ValueError(f"X holds dates or durations: {_DERIVE}.")
    if kind in "US" or any(isinstance(item, _TEXTS) for item in first):
        raise ValueError(
            f"could not convert X to numbers: it holds strings{_dtype_of(X)}. "
            f"{_ENCODE}. Strings of numbers: X.astype(float)."
        )


def _is_time(dtype):
    """Whether the dtype of a column, of pandas or polars, is one of dates."""
    if hasattr(dtype, "is_temporal"):
        return dtype.is_temporal()
    return getattr(dtype, "kind", "O") in "mM"


def _dtype_of(X):
    dtype = getattr(X, "dtype", None)
    return "" if dtype is None else f" (dtype {dtype})"


def _first_row(X):
    """The elements of the first row of nested lists."""
    row = X[0] if len(X) else ()
    return row if isinstance(row, list | tuple) else ()


@contextmanager
def advising(X):
    """Let errors of scikit-learn's validation of X say what would help."""
    try:
        yield
    except (TypeError, ValueError) as error:
        sentence = _about_x(X, str(error))
        if not sentence:
            raise
        cls = TypeError if isinstance(error, TypeError) else ValueError
        raise cls(with_sentence(error, sentence)) from error


def _about_x(X, message):
    """The sentence about an X that failed with a message, or ''."""
    if "contains NaN" in message and "X" in message.split("contains")[0]:
        return _about_missing(X)
    if not any(part in message for part in ("convert", "float()", "argument must be")):
        return ""
    texts, dates = _unusable(X)
    sentences = []
    if texts:
        sentences.append(f"X has strings in {texts}. {_ENCODE}.")
    if dates:
        sentences.append(f"X has dates or durations in {dates}: {_DERIVE}.")
    return " ".join(sentences)


def _about_missing(X):
    if hasattr(X, "isna") and _is_frame(X):
        missing, names = X.isna().to_numpy(), list(X.columns)
    elif isinstance(X, np.ndarray) and X.dtype.kind == "f" and X.ndim == 2:
        missing, names = np.isnan(X), list(range(X.shape[1]))
    else:
        return ""
    having = [names[i] for i in np.flatnonzero(missing.any(axis=0))]
    return (
        f"The columns are {listed(having)}; SimpleImputer(add_indicator=True) fills "
        "them and says where."
    )


def _unusable(X):
    """Where strings are in X, and where dates, each as words or ''."""
    try:
        values = np.array(X, dtype=object)
    except (TypeError, ValueError):
        return "", ""
    if values.ndim != 2:
        return "", ""
    names = X.columns if _is_frame(X) else range(values.shape[1])
    columns = list(zip(names, values.T, strict=True))
    found = []
    for types in (_TEXTS, _DATES + _DURATIONS):
        having = [
            name
            for name, column in columns
            if any(isinstance(value, types) for value in column)
        ]
        what = "the column" if len(having) == 1 else "the columns"
        found.append(f"{what} {listed(having)}" if having else "")
    return tuple(found)


def check_y(y, *, numeric):
    """Refuse targets that are not labels, or not numbers, in words that help.

    Parameters
    ----------
    y : object
        As the user has passed it.
    numeric : bool
        Whether the targets must be numbers.

    Raises
    ------
    ValueError, TypeError
    """
    if isinstance(y, str):
        raise ValueError(
            f"y must be an array, got the str {y!r}: pass the column of that name."
        )
    if sparse.issparse(y) and numeric:
        raise TypeError(
            "Sparse data was passed for y, but dense data is required: y.toarray()."
        )
    check_columns_complete(y)
    if y is None or sparse.issparse(y) or _kind(y) in "biufc":
        return
    array = _as_objects(y)
    if array is None:
        return
    given_as_list = isinstance(y, list | tuple)
    if numeric:
        _check_numbers(array, given_as_list)
    elif array.dtype.kind == "O":
        _check_labels(array, given_as_list)


def _as_objects(y):
    """Y as an array in which lists of Python objects keep their types, or None."""
    try:
        if isinstance(y, list | tuple):
            return np.array(y, dtype=object)
        return np.asarray(y)
    except (TypeError, ValueError):
        return None


def _check_missing(array):
    types = _types(array)
    if not (any(each.__name__ in MISSING for each in types) or _any_of(types, float)):
        return
    missing = np.array([is_missing(item) for item in array.ravel()])
    if missing.any():
        raise ValueError(
            f"Input y contains missing values, NaN or None: {missing.sum()} of "
            f"{len(missing)}, the first at {missing.argmax()}. Drop those rows of X "
            "and y."
        )


def _check_numbers(array, given_as_list):
    """Refuse what is no number: dates, durations and strings."""
    _check_missing(array)
    types = _types(array)
    if array.dtype.kind == "M" or _any_of(types, _DATES):
        raise ValueError(
            "could not convert y to numbers: it holds dates. Pass numbers, as the days "
            "since the first: (y - y.min()) / np.timedelta64(1, 'D')."
        )
    if array.dtype.kind == "m" or _any_of(types, _DURATIONS):
        raise ValueError(
            "could not convert y to numbers: it holds durations. Pass numbers, as "
            "seconds: y / np.timedelta64(1, 's')."
        )
    if array.dtype.kind not in "US" and not _any_of(types, _TEXTS):
        return
    # As scikit-learn, which converts the strings of an array of objects only.
    if array.dtype.kind == "O" and not given_as_list and _converts(array):
        return
    text = next(item for item in array.ravel() if isinstance(item, _TEXTS))
    raise ValueError(
        f"could not convert y to numbers: it holds strings, as {str(text)!r}. For "
        "class labels use MLPClassifier; strings of numbers: "
        "np.asarray(y).astype(float)."
    )


def _converts(array):
    """Whether all elements are numbers, or strings of numbers."""
    try:
        array.astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _check_labels(array, given_as_list):
    """Refuse missing labels, lists of them, and labels that have no common order."""
    if array.ndim != 1:
        return
    _check_missing(array)
    types = _types(array)
    if _any_of(types, (list, tuple, set, frozenset)):
        raise ValueError(
            "The rows of y are lists of labels. MultiLabelBinarizer().fit_transform(y) "
            "of sklearn.preprocessing makes a column of 0 and 1 of each label."
        )
    if _any_of(types, _DATES + _DURATIONS):
        raise ValueError(
            "y holds dates or durations as Python objects. As labels: y.astype(str)."
        )
    texts = {each for each in types if issubclass(each, str)}
    # NaN is for scikit-learn's validation; NumPy turns a list of both into strings.
    floats = (float, np.floating)
    others = {each for each in types - texts if not issubclass(each, floats)}
    if texts and others and not given_as_list:
        names = " and ".join(sorted(each.__name__ for each in texts | others))
        raise ValueError(
            f"y mixes labels of the types {names}, which cannot be sorted. Convert "
            "them: y.astype(str)."
        )


def _types(array):
    return set(map(type, array.ravel())) if array.dtype.kind == "O" else set()


def _any_of(types, classes):
    return any(issubclass(each, classes) for each in types)
