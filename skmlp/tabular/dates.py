"""Dates as numbers: the parts that repeat, and the time that has elapsed."""

import numpy as np

PARTS = ("year", "month", "day", "day_of_week", "hour", "elapsed")
_DAYS_TO_MONDAY = 3  # 1970-01-01 was a Thursday.


def date_parts(dates):
    """Numbers that stand for dates.

    Parameters
    ----------
    dates : ndarray of shape (n_rows,), datetime64[us]

    Returns
    -------
    ndarray of shape (n_rows, 6), float64
        Year, month (1 to 12), day of the month (1 to 31), day of the week (0 is
        Monday), hour (with its fraction) and days since 1970-01-01, with NaN for NaT.
    """
    days = dates.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    elapsed = (dates - np.datetime64(0, "us")) / np.timedelta64(1, "D")
    parts = [
        _numbers(dates.astype("datetime64[Y]").astype(np.int64) + 1970),
        _numbers(months.astype(np.int64) % 12 + 1),
        (days - months) / np.timedelta64(1, "D") + 1,
        _numbers((days.astype(np.int64) + _DAYS_TO_MONDAY) % 7),
        (dates - days) / np.timedelta64(1, "h"),
        elapsed,
    ]
    table = np.stack(parts, axis=1)
    table[np.isnat(dates)] = np.nan
    return table


def _numbers(values):
    return values.astype(np.float64)
