"""A buffer in which the rows of chunks are pooled, to be shuffled and trained on.

A shuffle buffer as of ``tf.data``: each row that is trained on is drawn from all rows
in the buffer, and a new one takes its place. Here three quarters of the buffer are
drawn at a time, so that kernels get many minibatches in one call. The next rows are
read in the background, into a second buffer, while those of the first are trained on.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmlp.training.background import Background

# Fraction of a buffer that is drawn at a time. A row waits on average for as many rows
# as the buffer has, whatever the fraction; what is not drawn is copied once more.
_DRAWN = 0.75


class Rows(NamedTuple):
    """Rows to train on, all of positive weight.

    Attributes
    ----------
    x : ndarray of shape (n_rows, n_features) or scipy.sparse CSR
    targets : ndarray of shape (n_rows, n_columns)
    sample_weight : ndarray of shape (n_rows,) or None
    """

    x: Any
    targets: np.ndarray
    sample_weight: np.ndarray | None

    def part(self, ids):
        """Some of the rows, by a slice or by indices."""
        weights = None if self.sample_weight is None else self.sample_weight[ids]
        return Rows(self.x[ids], self.targets[ids], weights)


class Fill(NamedTuple):
    """What a buffer holds.

    Attributes
    ----------
    rows : Rows
    is_last : bool
        Whether the epoch has no further rows.
    """

    rows: Rows
    is_last: bool


class _DenseRows:
    """Memory for some rows, written from the first on."""

    def __init__(self, capacity, like):
        def memory(values):
            if values is None:
                return None
            return np.empty((capacity, *values.shape[1:]), values.dtype)

        self._memory = Rows(*map(memory, like))
        self._n_rows = 0

    def clear(self):
        self._n_rows = 0

    def keep(self, rows, ids):
        """Copy some rows of another buffer."""
        self._n_rows = len(ids)
        for mine, theirs in zip(self._memory, rows, strict=True):
            if mine is not None:
                np.take(theirs, ids, axis=0, out=mine[: len(ids)], mode="clip")

    def add(self, rows):
        start = self._n_rows
        self._n_rows += rows.x.shape[0]
        for mine, theirs in zip(self._memory, rows, strict=True):
            if mine is not None:
                mine[start : self._n_rows] = theirs

    def rows(self):
        return self._memory.part(slice(self._n_rows))


class _SparseRows:
    """Sparse rows, gathered and put together at the end."""

    def __init__(self):
        self._parts: list[Rows] = []

    def clear(self):
        self._parts = []

    def keep(self, rows, ids):
        self._parts = [rows.part(ids)]

    def add(self, rows):
        self._parts.append(rows)

    def rows(self):
        x, targets, weights = zip(*self._parts, strict=True)
        self._parts = []
        return Rows(
            _with_indices_of(sparse.vstack(x, format="csr"), x[0]),
            np.concatenate(targets),
            None if weights[0] is None else np.concatenate(weights),
        )


def _with_indices_of(x, like):
    """A CSR array whose indices have the type of another one's."""
    x = sparse.csr_array(x)
    x.indices = x.indices.astype(like.indices.dtype, copy=False)
    x.indptr = x.indptr.astype(like.indptr.dtype, copy=False)
    return x


class ShuffleBuffer:
    """Fills two buffers in turn with the rows of chunks.

    Parameters
    ----------
    read_epoch : callable
        ``read_epoch()`` returns an iterator of the `Rows` of an epoch, chunk by chunk.
    capacity : int
        Rows of a buffer.
    """

    def __init__(self, read_epoch, capacity):
        self._read_epoch = read_epoch
        self._capacity = capacity
        self._chunks: Any = None
        # Of the chunk read last, what did not go into the last fill.
        self._pending: Any = None
        self._buffers: list = []

    def fill(self, rows=None, ids=()):
        """Fill the other buffer, with some rows of this one first.

        Parameters
        ----------
        rows : Rows, optional
            Of the last fill. Without them an epoch begins.
        ids : ndarray of int64
            Indices of those to keep.

        Returns
        -------
        Fill
        """
        if rows is None:
            self._chunks = iter(self._read_epoch())
            self._read()
        buffer = self._next_buffer()
        buffer.clear()
        n_rows = len(ids)
        if n_rows:
            buffer.keep(rows, ids)
        while self._pending is not None and n_rows < self._capacity:
            n_new = min(self._pending.x.shape[0], self._capacity - n_rows)
            buffer.add(self._pending.part(slice(n_new)))
            n_rows += n_new
            self._pending = self._pending.part(slice(n_new, None))
            if self._pending.x.shape[0] == 0:
                self._read()
        return Fill(buffer.rows(), self._pending is None)

    def _read(self):
        self._pending = next(self._chunks, None)

    def _next_buffer(self):
        """The one that is not in use, made at first use."""
        if len(self._buffers) < 2:
            is_sparse = sparse.issparse(self._pending.x)
            new: Any = (
                _SparseRows()
                if is_sparse
                else _DenseRows(self._capacity, self._pending)
            )
            self._buffers.insert(0, new)
        else:
            self._buffers.reverse()
        return self._buffers[0]

    def close(self):
        """End the iteration over the chunks, which may hold files open."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


class ShuffledFills:
    """The fills of all epochs, one after the other, with orders to train in.

    Parameters
    ----------
    buffer : ShuffleBuffer
    n_epochs : int
        After which nothing more is read.

    Attributes
    ----------
    generator : numpy.random.RandomState or None
        Shuffles; None keeps the order. To be set before the first `next`.
    """

    def __init__(self, buffer, n_epochs):
        self.generator = None
        self._buffer = buffer
        self._epochs_left = n_epochs
        self._background = Background()
        self._background.begin(buffer.fill)
        self._fill: Any = None
        self._is_head = False
        self._order = np.arange(0)

    def head(self):
        """Rows of the first fill; `next` returns them once more."""
        if self._fill is None:
            self._fill = self._background.result()
            self._is_head = True
        return self._fill.rows

    @property
    def rows(self):
        """The rows of the current fill."""
        return self._fill.rows

    def next(self, batch_size):
        """The next rows, and the indices of those to train on, in their order.

        These are whole minibatches until the epoch's last rows.
        """
        # Imported here because it imports Numba, which loading a model must not.
        from skmlp.training.shuffling import shuffle

        if not self._is_head:
            self._fill = self._background.result()
        self._is_head = False
        rows, is_last = self._fill
        n_rows = rows.x.shape[0]
        # As in `skmlp.training.sampling.Shuffled` it goes on from that of the last
        # time, so that a single fill an epoch has the orders of a training in memory.
        if len(self._order) != n_rows:
            self._order = np.arange(n_rows)
        n_drawn = n_rows
        if self.generator is not None:
            shuffle(self.generator, self._order)
            n_drawn = max(batch_size, int(_DRAWN * n_rows))
        n_trained = n_rows if is_last else n_drawn // batch_size * batch_size
        self._epochs_left -= is_last
        if not is_last:
            self._background.begin(self._buffer.fill, rows, self._order[n_trained:])
        elif self._epochs_left:
            self._background.begin(self._buffer.fill)
        return rows, self._order[:n_trained]

    def close(self):
        """End the thread that reads."""
        self._background.begin(self._buffer.close)
        self._background.close()
