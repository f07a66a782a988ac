"""Training on rows that come in chunks: the session and the orders of such epochs.

The loop over the epochs is that of a training in memory. It counts minibatches of an
epoch; which rows these are, the fills of a shuffle buffer decide.
"""

import numpy as np

from skmlp.training.sampling import Orders


class ChunkedOrders(Orders):
    """Stands for the orders of epochs that no one knows ahead, and has their length.

    Parameters
    ----------
    n_rows : int
        Of an epoch.
    """

    def __init__(self, n_rows):
        super().__init__(np.broadcast_to(np.int64(0), (n_rows,)), None)

    def _next_epoch(self):
        return self._row_ids


class ChunkedSession:
    """A session that trains on one fill of a shuffle buffer after the other.

    Of `skmlp.backends.Session` it has what `skmlp.training.minibatch.train` calls where
    epochs are trained one by one, and what scores a network.

    Parameters
    ----------
    open_session : callable
        ``open_session(problem, params)`` of a backend.
    problem : skmlp.backends.Problem
        That of the first fill; the others have its weights' mean.
    params : ndarray
    fills : skmlp.training.shuffle_buffer.ShuffledFills

    Attributes
    ----------
    gradient_norms : list of float or None
    """

    def __init__(self, open_session, problem, params, fills):
        self._open_session = open_session
        self._problem = problem
        self._fills = fills
        self._n_steps = problem.regularization.first_step
        # The epoch's minibatches that the current fill has, and their order.
        self._bounds = 0, 0
        self._order = np.arange(0)
        self.gradient_norms: list[float] | None = []
        self._open(problem, params)

    def _open(self, problem, params):
        self._context = self._open_session(problem, params)
        self._session = self._context.__enter__()

    @property
    def params(self):
        """The current parameters."""
        return self._session.params

    def train(self, optimizer, order, batch_size, batch_bounds, rates, total):
        """Train on some minibatches of an epoch; `order` is not read."""
        first, last = batch_bounds
        done = first
        while done < last:
            if done == 0 or done == self._bounds[1]:
                self._next_fill(optimizer, batch_size, done)
            begin, end = self._bounds
            until = min(last, end)
            total = self._session.train(
                optimizer,
                self._order,
                batch_size,
                (done - begin, until - begin),
                rates[done - first : until - first],
                total,
            )
            if done == 0:
                self.gradient_norms = self._session.gradient_norms
            self._n_steps += until - done
            done = until
        return total

    def _next_fill(self, optimizer, batch_size, first):
        rows, self._order = self._fills.next(batch_size)
        self._bounds = first, first - (-len(self._order) // batch_size)
        problem = self._problem._replace(
            **rows._asdict(), row_ids=np.arange(rows.x.shape[0])
        )
        # Where a backend can, its threads stay, and what it has learned of them.
        if hasattr(self._session, "replace_rows"):
            self._session.replace_rows(problem)
        else:
            self._reopen(problem, optimizer)

    def _reopen(self, problem, optimizer):
        """Go on with another session."""
        steps = problem.regularization._replace(first_step=self._n_steps)
        self._session.sync(optimizer)
        params = self._session.params
        self.close()
        self._open(problem._replace(regularization=steps), params)

    def sync(self, optimizer):
        """Copy the optimizer's vectors to its `slots`."""
        self._session.sync(optimizer)

    def hidden_outputs(self):
        """Outputs of the hidden layers for rows of the last minibatch."""
        return self._session.hidden_outputs()

    def outputs(self, x, row_ids):
        """Raw outputs of the current parameters for some rows of an X."""
        return self._session.outputs(x, row_ids)

    def close(self):
        """Close the session of the current fill."""
        self._context.__exit__(None, None, None)
