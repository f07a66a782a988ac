"""A table of every kind of column, and members that train in no time."""

import numpy as np
import pandas as pd
import pytest

FAST = {"max_iter": 12, "hidden_layer_sizes": (16, 16)}


def mixed_table(n_rows=240, seed=0):
    """Numbers, levels, strings, booleans, dates and durations, some missing."""
    r = np.random.default_rng(seed)
    dates = pd.Timestamp("2021-03-01") + pd.to_timedelta(
        r.integers(0, 5000, n_rows), "h"
    )
    frame = pd.DataFrame(
        {
            "age": r.normal(40, 10, n_rows),
            "rooms": r.integers(0, 6, n_rows),
            "color": r.choice(["red", "green", "blue"], n_rows),
            "grade": pd.Categorical(r.choice(["low", "high"], n_rows)),
            "owner": r.random(n_rows) > 0.5,
            "built": dates,
            "took": pd.to_timedelta(r.integers(0, 90, n_rows), "min"),
            "same": 1.0,
        }
    )
    frame.loc[r.random(n_rows) < 0.1, "age"] = np.nan
    frame.loc[r.random(n_rows) < 0.1, "color"] = None
    return frame


def plain_columns(frame):
    """The columns of `mixed_table` as lists of Python objects, None where missing."""
    columns = {
        name: [None if pd.isna(value) else value for value in column.tolist()]
        for name, column in frame.items()
    }
    columns["built"] = [value.to_pydatetime() for value in columns["built"]]
    columns["took"] = [value.to_pytimedelta() for value in columns["took"]]
    return columns


def target_of(frame):
    """A target that numbers, levels and dates decide."""
    signal = (
        (frame["age"].fillna(40) - 40) / 10
        + 2.0 * (frame["color"] == "red")
        + (frame["built"].dt.month - 6) / 6
    )
    return signal.to_numpy()


@pytest.fixture(scope="session")
def table():
    """A mixed table, a numeric target and labels of it."""
    frame = mixed_table()
    y = target_of(frame)
    return frame, 1000 + 100 * y, np.where(y > np.median(y), "yes", "no")
