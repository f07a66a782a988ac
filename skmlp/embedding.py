"""The piecewise-linear embedding of numbers, as data: bins, sizes and offsets.

Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep
learning" (NeurIPS 2022). A number x between the edges b[t] and b[t + 1] of its column
is encoded as e = (1, ..., 1, (x - b[t]) / (b[t + 1] - b[t]), 0, ..., 0), with the
position at t, and embedded as e times a trained matrix of its column. The embedded
numbers follow the raw ones in the input of the first layer.

A row touches one bin of each column: with the prefix sums of the matrix's rows, which
are the embeddings of the edges, its embedding is an interpolation between two of them.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from skmlp.forks import DRAWING

# The value of the parameter `embedding`.
PIECEWISE_LINEAR = "piecewise_linear"


@dataclass(frozen=True, eq=False)
class Embedding:
    """The embedding of some columns of X.

    Attributes
    ----------
    n_features : int
        Columns of X.
    columns : tuple of int
        Those that are embedded.
    edges : tuple of ndarray
        Edges of the bins of each of them, increasing.
    dim : int
        Numbers that a column is embedded in.
    """

    n_features: int
    columns: tuple[int, ...]
    edges: tuple[np.ndarray, ...]
    dim: int

    @property
    def n_bins(self):
        """Bins of each embedded column."""
        return [len(edges) - 1 for edges in self.edges]

    @property
    def first_bins(self):
        """Index of each embedded column's first bin among those of all columns."""
        return [0, *accumulate(self.n_bins)][:-1]

    @property
    def n_embedded(self):
        """Embedded numbers of a row."""
        return self.dim * len(self.columns)

    @property
    def width(self):
        """Inputs of the first layer."""
        return self.n_features + self.n_embedded

    @property
    def n_params(self):
        """Number of trained parameters."""
        return self.dim * sum(self.n_bins)

    def edges_by_feature(self):
        """Edges of the bins of every column of X, empty where it is not embedded."""
        edges = dict(zip(self.columns, self.edges, strict=True))
        return [edges.get(i, np.empty(0)) for i in range(self.n_features)]

    def matrices(self, vector):
        """The columns' matrices as views on their part of the flat vector.

        Parameters
        ----------
        vector : ndarray of shape (n_params,)

        Returns
        -------
        list of ndarray of shape (bins, dim)
        """
        rows = vector.reshape(-1, self.dim)
        return [
            rows[first : first + n_bins]
            for first, n_bins in zip(self.first_bins, self.n_bins, strict=True)
        ]

    def knots(self, vector):
        """Embeddings of the edges, column by column, as a flat vector."""
        zero = np.zeros((1, self.dim), dtype=vector.dtype)
        parts = [
            np.concatenate([zero, np.cumsum(matrix, axis=0, dtype=vector.dtype)])
            for matrix in self.matrices(vector)
        ]
        return np.concatenate([*parts, zero[:0]]).ravel()

    def encoded(self, x):
        """The encodings e of the embedded columns.

        Parameters
        ----------
        x : ndarray of shape (n_rows, n_features)

        Returns
        -------
        list of ndarray of shape (n_rows, bins)
        """
        codes = []
        for column, edges in zip(self.columns, self.edges, strict=True):
            position = x[:, [column]] - edges[:-1].astype(x.dtype)
            codes.append(np.clip(position / np.diff(edges).astype(x.dtype), 0, 1))
        return codes

    def inputs(self, x, vector):
        """Inputs of the first layer: the rows of X, and their embeddings beside them.

        Parameters
        ----------
        x : ndarray of shape (n_rows, n_features)
        vector : ndarray of shape (n_params,)

        Returns
        -------
        ndarray of shape (n_rows, width)
        """
        pairs = zip(self.encoded(x), self.matrices(vector), strict=True)
        return np.concatenate([x, *(code @ matrix for code, matrix in pairs)], axis=1)

    def to_state(self):
        """A dict of plain values, for pickles."""
        return vars(self).copy()


def fitted_embedding(x, n_bins, dim):
    """The embedding whose bins are between quantiles of X's columns.

    Columns with fewer than three distinct quantiles are not embedded.

    Parameters
    ----------
    x : ndarray of shape (n_rows, n_features)
    n_bins : int
        Bins of a column; fewer where quantiles coincide.
    dim : int

    Returns
    -------
    Embedding
    """
    levels = np.linspace(0, 1, n_bins + 1)
    columns, edges = [], []
    for i, column in enumerate(x.T):
        # In the precision of X, where different edges may be one number.
        found = np.unique(np.quantile(column, levels).astype(x.dtype))
        if len(found) > 2:
            columns.append(i)
            edges.append(found.astype(np.float64))
    return Embedding(x.shape[1], tuple(columns), tuple(edges), dim)


def init_embedding(embedding, vector, generator):
    """Draw the initial matrices, so that embeddings have about unit variance.

    Parameters
    ----------
    embedding : Embedding
    vector : ndarray of shape (n_params,)
        Filled.
    generator : numpy.random.RandomState
    """
    for matrix in embedding.matrices(vector):
        with DRAWING:
            matrix[:] = generator.normal(0, 1 / np.sqrt(len(matrix)), matrix.shape)
