"""Robust scaling with a smooth clip, and indicators of missing values.

The median goes to zero and the interquartile range to one. Then
``z / sqrt(1 + (z / 3)^2)`` keeps heavy tails within (-3, 3). Both are the preprocessing
of RealMLP (Holzmüller, Grinsztajn and Steinwart, "Better by default", NeurIPS 2024).
"""

import numpy as np

_CLIP = 3.0
# Rows that are scaled at a time: the temporary arrays stay in the cache.
_CHUNK = 4096


class RobustScaler:
    """Columns of numbers to float32 of about unit spread.

    Attributes
    ----------
    center : ndarray of shape (n_columns,)
        Medians of the values that are not missing.
    scale : ndarray of shape (n_columns,)
        Interquartile ranges; half the range where these are zero; zero for a constant.
    """

    def fit(self, values):
        """Learn the statistics of each column of `values`, of which NaN are missing.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_columns)
        """
        statistics = [_statistics(column) for column in values.T]
        self.center, self.scale = np.array(statistics).reshape(-1, 2).T
        return self

    def transform(self, values):
        """Scaled values as float32; missing ones are zero, which is the median."""
        out = np.empty(values.shape, dtype=np.float32)
        inverse = np.divide(
            1.0, self.scale, out=np.zeros_like(self.scale), where=self.scale > 0
        )
        for begin in range(0, len(values), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            with np.errstate(over="ignore"):
                scaled = (values[part] - self.center) * inverse
            scaled = np.clip(np.nan_to_num(scaled, nan=0.0), -1e150, 1e150)
            out[part] = scaled / np.sqrt(1.0 + (scaled / _CLIP) ** 2)
        return out


def _statistics(column):
    """Median and scale of a column."""
    present = column[~np.isnan(column)]
    if len(present) == 0:
        return 0.0, 0.0
    low, middle, high = np.quantile(present, [0.25, 0.5, 0.75])
    smallest, largest = present.min(), present.max()
    # Halves, since the difference of two huge numbers overflows.
    scale = 2 * (high / 2 - low / 2)
    if not scale > 0:
        scale = largest / 2 - smallest / 2
    # A spread of rounding errors is none.
    size = max(abs(smallest), abs(largest))
    if not scale > 8 * np.finfo(np.float64).eps * size:
        scale = 0.0
    return middle, min(scale, np.finfo(np.float64).max)


def missing_indicators(values, columns):
    """One and zero for the missing and the other values of some columns.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
    columns : ndarray of int

    Returns
    -------
    ndarray of shape (n_rows, len(columns)), float64
    """
    return np.isnan(values[:, columns]).astype(np.float64)
