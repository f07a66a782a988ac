"""What a fit from chunks puts in the place of X: rows that come and go.

`BaseMLP` fits by the same steps whether its rows are in memory. Where it needs rows
to look at, for bins, initial weights or warnings, these are the first ones that fit
into the buffer.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
import sklearn
from sklearn.base import is_regressor

from skmlp.estimators.chunks import chunk_rows, read_chunks
from skmlp.estimators.data import Sample
from skmlp.training.chunked import ChunkedOrders, ChunkedSession
from skmlp.training.shuffle_buffer import ShuffleBuffer, ShuffledFills

# Of X in one of the two buffers.
_BUFFER_BYTES = 1 << 26
_MIN_BATCHES = 20


class ChunkFeed:
    """The rows of a fit from chunks.

    Parameters
    ----------
    estimator : BaseMLP
        After the first pass.
    make_chunks : callable
    facts : skmlp.estimators.first_pass.Facts
    buffer_rows : int or None
    n_epochs : int

    Attributes
    ----------
    n_rows : int
        Of an epoch.
    class_sums : ndarray or None
        As of `Facts`.
    """

    def __init__(self, estimator, make_chunks, facts, buffer_rows, n_epochs):
        self.n_rows = facts.n_rows
        self.class_sums = facts.class_sums
        self._estimator = estimator
        self._make_chunks = make_chunks
        self._facts = facts
        self._n_read = 0
        self._config = sklearn.get_config()
        capacity = _capacity(estimator, facts, buffer_rows)
        self._fills = ShuffledFills(ShuffleBuffer(self._epoch, capacity), n_epochs)

    def _epoch(self):
        """The rows of an epoch by chunks; runs in the background."""
        self._n_read += 1
        facts, n_rows = self._facts, 0
        for chunk in read_chunks(self._make_chunks):
            facts.shape.check(chunk)
            # The user's settings are those of a thread.
            with sklearn.config_context(**self._config):
                rows = chunk_rows(self._estimator, chunk, facts.dtype)
            n_rows += len(rows.targets)
            if len(rows.targets):
                yield rows
        if n_rows == facts.n_rows:
            return
        counts = f"has {n_rows} rows of positive weight"
        advice = "It must return the same rows at each call."
        if n_rows == 0:
            counts = "has no row"
            advice = (
                "It must return a new iterable at each call: a generator that has come "
                "to its end does not begin again."
            )
        raise ValueError(
            f"Epoch {self._n_read} of make_chunks() {counts}, but the first pass over "
            f"the chunks found {facts.n_rows}. {advice}"
        )

    def head(self):
        """The first rows, as a `Sample`."""
        return self._sample(self._fills.head())

    def current(self, problem):
        """The rows that were trained on last: as a `Sample`, and of a `Problem`."""
        rows = self._fills.rows
        sample = self._sample(rows)
        return sample, problem._replace(**rows._asdict(), row_ids=sample.row_ids)

    def _sample(self, rows):
        y = rows.targets
        if is_regressor(self._estimator):
            y = self._estimator._target_scale().unscaled(y)
        return Sample(rows.x, y, rows.targets, rows.sample_weight, _all(rows))

    def orders(self, problem, generator):
        """As `skmlp.estimators.row_sampling.rows_of_epochs`."""
        problem = problem._replace(drawn_mean_weight=self._facts.mean_weight)
        self._fills.generator = generator if self._estimator.shuffle else None
        return problem, problem, ChunkedOrders(self.n_rows)

    @contextmanager
    def open_session(self, opened, problem, params, n_jobs):
        """A session that trains on all rows, as a context manager.

        `opened` is the `open_session` of a backend.
        """
        opened = partial(opened, n_jobs=n_jobs)
        session = ChunkedSession(opened, problem, params, self._fills)
        try:
            yield session
        finally:
            session.close()

    def close(self):
        """End the thread that reads chunks."""
        self._fills.close()


def _all(rows):
    return np.arange(len(rows.targets))


def _capacity(estimator, facts, buffer_rows):
    """Rows of a buffer.

    Raises
    ------
    ValueError
        If they are not two minibatches, of which one can be drawn.
    """
    batch_size = estimator.batch_size
    batch_size = min(200 if batch_size == "auto" else batch_size, facts.n_rows)
    if buffer_rows is None:
        buffer_rows = max(_MIN_BATCHES * batch_size, _BUFFER_BYTES // facts.row_bytes)
    elif buffer_rows < min(2 * batch_size, facts.n_rows):
        raise ValueError(
            f"buffer_rows={buffer_rows} must be at least two minibatches, of "
            f"{batch_size} rows each."
        )
    return int(min(buffer_rows, facts.n_rows))
