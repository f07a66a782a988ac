"""Piecewise-linear encoding of numbers (Gorishniy, Rubachev and Babenko, NeurIPS 2022).

A number becomes one value per bin between quantiles of its column: 1 for bins below the
number, 0 for bins above it, and its relative position within the bin that it lies in.
"""

import numpy as np


class PiecewiseLinearEncoder:
    """Columns of numbers to the positions in their quantile bins.

    Parameters
    ----------
    n_bins : int
        Bins of a column, fewer where quantiles coincide.

    Attributes
    ----------
    edges : list of ndarray
        Borders of the bins of each column, increasing.
    """

    def __init__(self, n_bins):
        self.n_bins = n_bins

    def fit(self, values):
        """Learn the bins of each column of `values`, of which NaN are missing.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_columns)
        """
        levels = np.linspace(0, 1, self.n_bins + 1)
        self.edges = [_edges(column, levels) for column in values.T]
        return self

    @property
    def columns(self):
        """Indices of the columns that have bins; others have too few values."""
        return [i for i, edges in enumerate(self.edges) if len(edges) > 2]

    def transform(self, values, filling):
        """The encoded columns, float32, side by side.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_columns)
        filling : ndarray of shape (n_columns,)
            In place of missing values.
        """
        widths = [len(self.edges[i]) - 1 for i in self.columns]
        out = np.zeros((len(values), sum(widths)), dtype=np.float32)
        begin = 0
        for i, width in zip(self.columns, widths, strict=True):
            column = np.where(np.isnan(values[:, i]), filling[i], values[:, i])
            _encode(column, self.edges[i], out[:, begin : begin + width])
            begin += width
        return out


def _edges(column, levels):
    present = column[~np.isnan(column)]
    if len(present) == 0:
        return np.empty(0)
    return np.unique(np.quantile(present, levels))


def _encode(column, edges, out):
    """Positions of a column's numbers in its bins, to `out`, which is zero."""
    column = np.clip(column, edges[0], edges[-1])
    bins = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
    position = (column - edges[bins]) / (edges[bins + 1] - edges[bins])
    out[np.arange(out.shape[1]) < bins[:, np.newaxis]] = 1
    out[np.arange(len(out)), bins] = position
