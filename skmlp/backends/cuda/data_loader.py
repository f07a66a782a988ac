"""X on the device: resident as a whole, or streamed in parts (a double buffer).

X is copied to the device once, if it fits. Otherwise its rows are streamed: the device
has two buffers, and while it trains on the rows in one, threads gather the next rows
into pinned memory, some at a time, and copy them into the other. Gathering rows in
random order takes much longer than copying them. The buffers never move, so for the
training programs only the row ids differ.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import cuda
from scipy import sparse

from skmlp.backends.cuda.kernels.structs import TrainingData
from skmlp.backends.cuda.runtime.graph import new_stream
from skmlp.backends.cuda.runtime.memory import (
    allocate,
    available,
    current_in_thread,
    is_on_device,
    mebibytes,
    upload,
)
from skmlp.backends.cuda.runtime.simulator import SIMULATED
from skmlp.backends.threads import available_threads

# Fraction of the available memory that a resident X may take; the working memory of the
# fit needs the remainder.
RESIDENT_FRACTION = 0.7
# Bytes of one of the two buffers of a streamed X, and the fraction of the available
# memory that it may take.
BUFFER_BYTES, BUFFER_FRACTION = 1 << 28, 0.125
_N_BUFFERS = 2
# Bytes of X that a thread gathers at a time.
_PIECE_BYTES = 1 << 22


class Resident:
    """All of the data on the device.

    Parameters
    ----------
    data : Data

    Attributes
    ----------
    max_rows : int
        Rows that can be fetched at once.
    """

    max_rows = sys.maxsize

    def __init__(self, data):
        self.data = data

    def reserve(self, n_rows):
        """Make `n_rows` fit into a buffer; whether `data` has been replaced."""
        return False

    def fetch(self, row_ids, next_row_ids):
        """Have rows on the device; returns their row ids there.

        Parameters
        ----------
        row_ids : ndarray of int64
            At most `max_rows`.
        next_row_ids : ndarray of int64 or None
            Rows of the next call, to be prefetched.
        """
        return row_ids

    def close(self):
        """Do nothing: the memory is freed with the object."""


class Streamed:
    """Dense data of which two buffers are on the device.

    Parameters
    ----------
    columns : list of ndarray of two dimensions
        X, the targets, and the sample weights if there are any.
    n_jobs : int or None
        Threads that gather, as of an estimator.

    Attributes
    ----------
    data : Data
        The rows of both buffers.
    max_rows : int
        Rows of a buffer.
    """

    def __init__(self, columns, n_jobs):
        self._columns = columns
        self._context = cuda.current_context()
        self._stream = new_stream()
        self._gather_pool = ThreadPoolExecutor(available_threads(n_jobs))
        self._prefetch_thread = ThreadPoolExecutor(1)
        # The row ids that are prefetched, and their future.
        self._prefetched: tuple = (None, None)
        self._buffer = 0
        row_bytes = sum(part.shape[1] * part.itemsize for part in columns)
        self._piece_rows = max(1, _PIECE_BYTES // row_bytes)
        buffer_bytes = int(min(BUFFER_BYTES, BUFFER_FRACTION * available()))
        self._allocate(min(len(columns[0]), max(1, buffer_bytes // row_bytes)))

    def _allocate(self, max_rows):
        self.max_rows = max_rows
        self._pinned = [
            cuda.pinned_array((max_rows, part.shape[1]), dtype=part.dtype)
            for part in self._columns
        ]
        self._on_device = [
            allocate(_N_BUFFERS * part.size, part.dtype) for part in self._pinned
        ]
        x, targets, *weights = self._on_device
        no_indices = upload(np.zeros(0, dtype=np.int64))
        self.data = TrainingData(
            x=x,
            indices=no_indices,
            indptr=no_indices,
            targets=targets,
            sample_weight=weights[0] if weights else upload(np.zeros(0, dtype=x.dtype)),
            row_ids=no_indices,
        )

    def reserve(self, n_rows):
        """Make `n_rows` fit into a buffer; whether `data` has been replaced."""
        if n_rows <= self.max_rows:
            return False
        # The old buffers are freed first, to make room.
        del self.data, self._pinned, self._on_device
        self._allocate(n_rows)
        return True

    def fetch(self, row_ids, next_row_ids):
        """Have rows on the device, and prefetch the next (see `Resident.fetch`)."""
        buffer = self._buffer
        prefetched, future = self._prefetched
        if future is not None:
            future.result()
        if prefetched is not row_ids:
            self._send(row_ids, buffer)
        self._buffer, self._prefetched = (buffer + 1) % _N_BUFFERS, (None, None)
        if next_row_ids is not None:
            future = self._prefetch_thread.submit(
                self._send_in_thread, next_row_ids, self._buffer
            )
            self._prefetched = (next_row_ids, future)
        first = buffer * self.max_rows
        return np.arange(first, first + len(row_ids))

    def _send_in_thread(self, row_ids, buffer):
        """Call `_send` in a thread that has no current context."""
        if SIMULATED:
            self._send(row_ids, buffer)
            return
        with current_in_thread(self._context):
            self._send(row_ids, buffer)

    def _send(self, row_ids, buffer):
        """Copy rows to a buffer and wait until they are there."""
        starts = range(0, len(row_ids), self._piece_rows)
        pieces = [row_ids[start : start + self._piece_rows] for start in starts]
        gathered = self._gather_pool.map(self._gather, starts, pieces)
        for start, piece, _ in zip(starts, pieces, gathered, strict=True):
            self._send_piece(buffer, start, start + len(piece))
        self._stream.synchronize()

    def _gather(self, start, row_ids):
        """Gather rows into pinned memory, from row `start` of it on."""
        for part, pinned in zip(self._columns, self._pinned, strict=True):
            rows = pinned[start : start + len(row_ids)]
            np.take(part, row_ids, axis=0, out=rows, mode="clip")

    def _send_piece(self, buffer, start, end):
        for pinned, vector in zip(self._pinned, self._on_device, strict=True):
            columns = pinned.shape[1]
            offset = (buffer * self.max_rows + start) * columns
            values = pinned[start:end].reshape(-1)
            piece = vector[offset : offset + values.size]
            piece.copy_to_device(values, stream=self._stream)

    def close(self):
        """End the threads."""
        self._prefetch_thread.shutdown()
        self._gather_pool.shutdown(cancel_futures=True)


def fits(x):
    """Whether X can be resident; a sparse X always has to be."""
    return sparse.issparse(x) or is_on_device(x) or _fits(x.nbytes)


def missing_memory(x):
    """Why a sparse X, which cannot be streamed, does not fit, as part of a sentence.

    None if it fits.
    """
    # Indices take 8 bytes each on the device, whatever their type on the host.
    n_bytes = x.data.nbytes + 8 * (x.indices.size + x.indptr.size)
    if _fits(n_bytes):
        return None
    return f"sparse X takes {mebibytes(n_bytes)} there, more than the device has free"


def _fits(n_bytes):
    return n_bytes <= RESIDENT_FRACTION * available()
