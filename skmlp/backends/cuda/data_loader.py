"""The rows to train on: all of X on the device, or a part at a time.

X goes to the device once, if there is room for it. Otherwise its rows come by the
part, into memory that stays where it is, so that the programs that train see no
difference but in the rows' numbers. Gathering rows in random order takes much longer
than sending them. So there is room for two parts on the device, and while it works on
one, threads gather the rows of the next into pinned memory, some at a time, which go
to the other place as soon as they are there.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import cuda
from scipy import sparse

from skmlp.backends.cuda.kernels.structs import TrainingData
from skmlp.backends.cuda.runtime.graph import new_stream
from skmlp.backends.cuda.runtime.jit import SIMULATED
from skmlp.backends.cuda.runtime.memory import (
    allocate,
    available,
    current_in_thread,
    is_there,
    mebibytes,
    upload,
)
from skmlp.backends.threads import available_threads

# Share of the free memory that X may take, the rest being for what a fit works with.
SHARE = 0.7
# Of X at a time, where it does not fit, and at most what share of the free memory, in
# which there is room for two such parts.
PART_BYTES, PART_SHARE = 1 << 28, 0.125
# Of X that a thread gathers at a time.
_PIECE_BYTES = 1 << 22


class Resident:
    """All of the data on the device.

    Parameters
    ----------
    data : Data

    Attributes
    ----------
    most_rows : int
        Rows that can be brought at once.
    """

    most_rows = sys.maxsize

    def __init__(self, data):
        self.data = data

    def hold(self, n_rows):
        """See that so many rows can be brought at once; whether `data` is another."""
        return False

    def bring(self, rows, following):
        """Have rows on the device; returns their numbers there.

        Parameters
        ----------
        rows : ndarray of int64
            At most `most_rows`.
        following : ndarray of int64 or None
            What will be asked for next.
        """
        return rows

    def close(self):
        """Nothing but memory, which goes with the object."""


class Streamed:
    """Dense data of which the device has two parts at a time.

    Parameters
    ----------
    columns : list of ndarray of two dimensions
        X, the targets, and the weights of rows if there are any.
    n_jobs : int or None
        Threads that gather, as of an estimator.

    Attributes
    ----------
    data : Data
        Where the rows of both parts are.
    most_rows : int
        Of a part.
    """

    def __init__(self, columns, n_jobs):
        self._columns = columns
        self._context = cuda.current_context()
        self._stream = new_stream()
        self._gatherers = ThreadPoolExecutor(available_threads(n_jobs))
        self._thread = ThreadPoolExecutor(1)
        self._coming: tuple = (None, None)
        self._turn = 0
        row_bytes = sum(part.shape[1] * part.itemsize for part in columns)
        self._piece_rows = max(1, _PIECE_BYTES // row_bytes)
        part_bytes = int(min(PART_BYTES, PART_SHARE * available()))
        self._make_room(min(len(columns[0]), max(1, part_bytes // row_bytes)))

    def _make_room(self, most_rows):
        self.most_rows = most_rows
        self._pinned = [
            cuda.pinned_array((most_rows, part.shape[1]), dtype=part.dtype)
            for part in self._columns
        ]
        found = [allocate(2 * part.size, part.dtype) for part in self._pinned]
        self._found = found
        x, targets, weights = (*found, upload(np.zeros(0, dtype=found[0].dtype)))[:3]
        nothing = upload(np.zeros(0, dtype=np.int64))
        self.data = TrainingData(x, nothing, nothing, targets, weights, nothing)

    def hold(self, n_rows):
        """See that so many rows can be brought at once; whether `data` is another."""
        if n_rows <= self.most_rows:
            return False
        # What there was goes first, so that there is room.
        del self.data, self._pinned, self._found
        self._make_room(n_rows)
        return True

    def bring(self, rows, following):
        """Have rows on the device (see `Resident.bring`)."""
        turn = self._turn
        coming, work = self._coming
        if work is not None:
            work.result()
        if coming is not rows:
            self._send(rows, turn)
        self._turn, self._coming = 1 - turn, (None, None)
        if following is not None:
            work = self._thread.submit(self._send_beside, following, 1 - turn)
            self._coming = (following, work)
        first = turn * self.most_rows
        return np.arange(first, first + len(rows))

    def _send_beside(self, rows, turn):
        """What `_send` does, in a thread that has no current context."""
        if SIMULATED:
            self._send(rows, turn)
            return
        with current_in_thread(self._context):
            self._send(rows, turn)

    def _send(self, rows, turn):
        """Have rows in one of the two places, when it returns."""
        starts = range(0, len(rows), self._piece_rows)
        pieces = [rows[start : start + self._piece_rows] for start in starts]
        gathered = self._gatherers.map(self._gather, starts, pieces)
        for start, piece, _ in zip(starts, pieces, gathered, strict=True):
            self._send_piece(turn, start, start + len(piece))
        self._stream.synchronize()

    def _gather(self, start, rows):
        """Copy rows from where they lie to pinned memory, from some row on."""
        for part, pinned in zip(self._columns, self._pinned, strict=True):
            place = pinned[start : start + len(rows)]
            np.take(part, rows, axis=0, out=place, mode="clip")

    def _send_piece(self, turn, start, end):
        for pinned, found in zip(self._pinned, self._found, strict=True):
            columns = pinned.shape[1]
            first = (turn * self.most_rows + start) * columns
            values = pinned[start:end].reshape(-1)
            target = found[first : first + values.size]
            target.copy_to_device(values, stream=self._stream)

    def close(self):
        """End the threads."""
        self._thread.shutdown()
        self._gatherers.shutdown(cancel_futures=True)


def fits(x):
    """Whether X may stay on the device as a whole; sparse X always has to."""
    return sparse.issparse(x) or is_there(x) or _has_room(x.nbytes)


def missing_memory(x):
    """Why a sparse X, all of which has to stay, cannot, as part of a sentence.

    None where it can.
    """
    # Places there are of 8 bytes each, of whatever type they are here.
    n_bytes = x.data.nbytes + 8 * (x.indices.size + x.indptr.size)
    if _has_room(n_bytes):
        return None
    return f"sparse X takes {mebibytes(n_bytes)} there, for which there is no room"


def _has_room(n_bytes):
    # Whatever the fits before have left there.
    return n_bytes <= SHARE * available()
