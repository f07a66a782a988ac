"""The rows to train on: all of X on the device, or a part at a time.

X goes to the device once, if there is room for it. Otherwise its rows come by the
part, into memory that stays where it is, so that the programs that train see no
difference but in the rows' numbers. While the device works on a part, a thread gathers
the rows of the next into pinned memory: with rows in random order that is what takes
longest.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import cuda
from scipy import sparse

from skmlp.backends.cuda.memory import (
    allocate,
    available,
    is_there,
    mebibytes,
    upload,
)
from skmlp.backends.cuda.structures import Data

# Share of the free memory that X may take, the rest being for what a fit works with.
SHARE = 0.7
# Of X at a time, where it does not fit, and at most what share of the free memory.
PART_BYTES, PART_SHARE = 1 << 28, 0.25


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
    """Dense data of which the device has a part at a time.

    Parameters
    ----------
    x, targets : ndarray of two dimensions
    weights : ndarray or None

    Attributes
    ----------
    data : Data
        Where the rows of a part are.
    most_rows : int
    """

    def __init__(self, x, targets, weights):
        columns = [x, targets]
        if weights is not None:
            columns.append(weights.reshape(-1, 1))
        self._columns = columns
        self._thread = ThreadPoolExecutor(1)
        self._coming = None
        self._turn = 0
        row_bytes = sum(part.shape[1] * part.itemsize for part in columns)
        part_bytes = int(min(PART_BYTES, PART_SHARE * available()))
        self._make_room(min(len(x), max(1, part_bytes // row_bytes)))

    def _make_room(self, most_rows):
        self.most_rows = most_rows
        self._pinned = [self._pair(part) for part in self._columns]
        found = [allocate(pair[0].size, pair[0].dtype) for pair in self._pinned]
        self._found = found
        x, targets, weights = (*found, upload(np.zeros(0, dtype=found[0].dtype)))[:3]
        nothing = upload(np.zeros(0, dtype=np.int64))
        self.data = Data(x, nothing, nothing, targets, weights, nothing)

    def hold(self, n_rows):
        """See that so many rows can be brought at once; whether `data` is another."""
        if n_rows <= self.most_rows:
            return False
        self._make_room(n_rows)
        return True

    def _pair(self, part):
        """Two pinned matrices for rows of one."""
        shape = (self.most_rows, part.shape[1])
        return [cuda.pinned_array(shape, dtype=part.dtype) for _ in range(2)]

    def bring(self, rows, following):
        """Have rows on the device (see `Resident.bring`)."""
        turn = self._turn
        if self._coming is None or self._coming[0] is not rows:
            self._gather(rows, turn)
        else:
            self._coming[1].result()
        self._turn, self._coming = 1 - turn, None
        if following is not None:
            work = self._thread.submit(self._gather, following, 1 - turn)
            self._coming = (following, work)
        for pair, target in zip(self._pinned, self._found, strict=False):
            values = pair[turn][: len(rows)].reshape(-1)
            target[: values.size].copy_to_device(values)
        return np.arange(len(rows))

    def _gather(self, rows, turn):
        """Copy rows from where they lie to one of the two sets of pinned memory."""
        for part, pair in zip(self._columns, self._pinned, strict=True):
            np.take(part, rows, axis=0, out=pair[turn][: len(rows)], mode="clip")

    def close(self):
        """End the thread."""
        self._thread.shutdown()


def fits(x):
    """Whether X may stay on the device as a whole; sparse X always has to."""
    return sparse.issparse(x) or is_there(x) or _has_room(x.nbytes)


def missing_room(x):
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
