"""The rows to train on: all of X on the device, or a part at a time.

X goes to the device once, if there is room for it. Otherwise a span is cut into pieces:
while the device works on one, the rows of the next are gathered into pinned memory,
from where they are copied beside the work. So there are two of each buffer.
"""

from typing import NamedTuple

import numpy as np
from numba import cuda
from scipy import sparse

from skmlp.backends.cuda.memory import allocate, upload
from skmlp.backends.cuda.structures import Data

# Share of the free memory that X may take, the rest being for what a fit works with.
SHARE = 0.7
# Of X at a time, where it does not fit.
PIECE_BYTES = 1 << 28


class Piece(NamedTuple):
    """Some batches of a span.

    Attributes
    ----------
    data : Data
    n_rows : int
    stream : numba stream or None
        What has to be waited for before the data are there.
    """

    data: Data
    n_rows: int
    stream: object = None


class Resident:
    """All of the data on the device.

    Parameters
    ----------
    data : Data
    """

    def __init__(self, data):
        self.data = data

    def pieces(self, rows, batch_size):
        """Pieces of whole batches.

        Parameters
        ----------
        rows : ndarray of int64
            Row numbers, one batch after the other.
        batch_size : int

        Yields
        ------
        Piece
            The next one may be asked for while the device works on one, but not before
            the one before that is done.
        """
        yield Piece(self.data._replace(order=upload(rows)), len(rows))


class _Buffer:
    """A pinned vector and its twin on the device."""

    def __init__(self, size, dtype):
        self._host = cuda.pinned_array(size, dtype=dtype)
        self._device = allocate(size, dtype)

    def fill(self, values, rows, stream):
        """Gather rows of a matrix and send them; the part of the device they take."""
        size = len(rows) * values.shape[1]
        target = self._host[:size]
        np.take(values, rows, axis=0, out=target.reshape(-1, values.shape[1]))
        part = self._device[:size]
        part.copy_to_device(target, stream=stream)
        return part


class Streamed:
    """Dense data of which the device has a part at a time.

    Parameters
    ----------
    x, targets : ndarray of two dimensions
    weights : ndarray or None
    """

    def __init__(self, x, targets, weights):
        self._columns = [x, targets]
        if weights is not None:
            self._columns.append(weights.reshape(-1, 1))
        self._stream = cuda.stream()
        self._numbers = upload(np.zeros(0, dtype=np.int64))
        self._nothing = self._numbers
        self._no_weights = upload(np.zeros(0, dtype=x.dtype))
        self._sets: list = []
        self._most = 0

    def pieces(self, rows, batch_size):
        """Pieces of whole batches (see `Resident.pieces`)."""
        step = self._rows_at_once(batch_size)
        self._make_buffers(min(step, len(rows)))
        for number, start in enumerate(range(0, len(rows), step)):
            yield self._send(number % 2, rows[start : start + step])

    def _rows_at_once(self, batch_size):
        """Rows of a piece: as many whole batches as its bytes allow, one at least."""
        row_bytes = sum(part.shape[1] * part.itemsize for part in self._columns)
        return max(1, PIECE_BYTES // (row_bytes * batch_size)) * batch_size

    def _make_buffers(self, most):
        """Two sets of buffers for so many rows, if there are none."""
        if most > self._most:
            self._most = most
            self._numbers = upload(np.arange(most))
            self._sets = [
                [_Buffer(most * part.shape[1], part.dtype) for part in self._columns]
                for _ in range(2)
            ]

    def _send(self, number, rows):
        """Begin to copy some rows to one of the two sets of buffers."""
        x, targets, *weights = (
            buffer.fill(part, rows, self._stream)
            for buffer, part in zip(self._sets[number], self._columns, strict=True)
        )
        data = Data(
            *(x, self._nothing, self._nothing, targets),
            weights[0] if weights else self._no_weights,
            self._numbers[: len(rows)],
        )
        return Piece(data, len(rows), self._stream)


def fits(x):
    """Whether X may stay on the device as a whole; sparse X always has to."""
    free, _ = cuda.current_context().get_memory_info()
    return sparse.issparse(x) or x.nbytes <= SHARE * free
