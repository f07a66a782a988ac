"""Which rows of a minibatch each rank has.

Every rank shuffles its own rows, and contributes to each minibatch in proportion to
their number. So no row ever moves between ranks.
"""

import numpy as np

from skmlp.backends import Share


class ShardedOrder:
    """The order of an epoch over all ranks' rows, of which each rank knows its own.

    Parameters
    ----------
    own : ndarray of int64
        This rank's rows, in the order of training.
    sizes : sequence of int
        Rows of each rank.
    rank : int
    """

    def __init__(self, own, sizes, rank):
        self._own = own
        self._sizes = np.array(sizes, dtype=object)  # products exceed 64 bits
        self._rank = rank
        self._n_rows = int(sum(sizes))

    def __len__(self):
        """Rows of all ranks."""
        return self._n_rows

    def n_batches(self, batch_size):
        """Minibatches of the epoch."""
        return -(-self._n_rows // batch_size)

    def share(self, b, batch_size):
        """The `Share` of this rank in minibatch `b`."""
        first, end = b * batch_size, min((b + 1) * batch_size, self._n_rows)
        begins = self._sizes * first // self._n_rows
        ends = self._sizes * end // self._n_rows
        counts = ends - begins
        return Share(
            row_ids=self._own[begins[self._rank] : ends[self._rank]],
            n_rows=int(counts.sum()),
            first_row=int(counts[: self._rank].sum()),
            capacity=int(self._sizes[self._rank] * batch_size // self._n_rows) + 1,
        )


class ShardedOrders:
    """The orders of all epochs, as `skmlp.training.sampling.Orders` has them.

    A listener that takes snapshots follows the training, so that no epoch is undone.

    Parameters
    ----------
    orders : skmlp.training.sampling.Orders
        Of this rank's rows.
    sizes : sequence of int
    rank : int

    Attributes
    ----------
    n_rows : int
        Of all ranks.
    """

    def __init__(self, orders, sizes, rank):
        self._orders = orders
        self._sizes = sizes
        self._rank = rank
        self.n_rows = int(sum(sizes))

    def next(self, n_epochs):
        """Orders of the next epochs; valid until the next call."""
        own = self._orders.next(n_epochs)
        return Epochs([ShardedOrder(one, self._sizes, self._rank) for one in own])

    def skip(self, n_epochs):
        """Draw the orders of epochs that an earlier call has trained."""
        self._orders.skip(n_epochs)


class Epochs(list):
    """The orders of some epochs, with the shape of an array of them."""

    @property
    def shape(self):
        """Epochs and rows."""
        return len(self), len(self[0])
