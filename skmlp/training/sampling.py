"""Which rows an epoch trains on, and in which order.

All rows once, shuffled, or as many rows drawn with replacement. Both consume the
numbers of one generator epoch by epoch, so a training that goes on skips the epochs
that an earlier call has trained.
"""

from abc import ABC, abstractmethod

import numpy as np

# Rows by which to go on from the guide table for all draws, before a binary search.
_STEPS = 3


class Orders(ABC):
    """The rows of each epoch, `n_rows` of them."""

    def __init__(self, row_ids, generator):
        self._row_ids = row_ids
        self._generator = generator
        self.n_rows = len(row_ids)

    def next(self, n_epochs):
        """Orders of the next epochs, (n_epochs, n_rows); valid until the next call."""
        if n_epochs == 1:  # not copied: it may have millions of rows
            return self._next_epoch()[np.newaxis]
        orders = np.empty((n_epochs, self.n_rows), dtype=self._row_ids.dtype)
        for order in orders:
            order[:] = self._next_epoch()
        return orders

    def mark(self):
        """Where the orders are, for `go_back`."""
        generator = self._generator
        return None if generator is None else generator.get_state()

    def go_back(self, mark):
        """Draw the orders since a `mark` again.

        Parameters
        ----------
        mark : object
        """
        if self._generator is not None:
            self._generator.set_state(mark)

    def skip(self, n_epochs):
        """Draw the orders of epochs that an earlier call has trained."""
        for _ in range(n_epochs):
            self._next_epoch()

    @abstractmethod
    def _next_epoch(self):
        """Order of the next epoch; its memory may be that of the last one."""


class Shuffled(Orders):
    """All rows once an epoch.

    The shuffle is in place and cumulative, so the orders and the random numbers are
    those of scikit-learn, which permutes the last epoch's order.

    Parameters
    ----------
    row_ids : ndarray of int64
    generator : numpy.random.RandomState or None
        None keeps the order.
    """

    def __init__(self, row_ids, generator):
        super().__init__(row_ids.copy(), generator)

    def mark(self):
        """The generator's state, and the order of the last epoch."""
        return super().mark(), self._row_ids.copy()

    def go_back(self, mark):
        """Go on from the generator's state and the order of a `mark`."""
        state, row_ids = mark
        super().go_back(state)
        self._row_ids[:] = row_ids

    def _next_epoch(self):
        # Imported here because it imports Numba, which loading a model must not.
        from skmlp.training.shuffling import shuffle

        if self._generator is not None:
            shuffle(self._generator, self._row_ids)
        return self._row_ids


class Drawn(Orders):
    """Rows drawn independently, with replacement, by the inverse of their CDF.

    A guide table of equal steps of the CDF (Chen and Asau, 1974) says where to begin to
    look. On average over the draws the place is less than a row further, whatever the
    shares; binary search, for which few are left, would take longer than the training.

    Parameters
    ----------
    row_ids : ndarray of int64
    generator : numpy.random.RandomState
    shares : ndarray of shape (n_rows,)
        Positive numbers to which the rows' probabilities are proportional.
    """

    def __init__(self, row_ids, generator, shares):
        super().__init__(row_ids, generator)
        self._cumulative = np.cumsum(shares, dtype=np.float64)
        # A power of two, by which products are exact.
        self._n_guides = 1 << int(self.n_rows - 1).bit_length()
        starts = np.arange(self._n_guides) / self._n_guides * self._cumulative[-1]
        self._guides = np.searchsorted(self._cumulative, starts, side="right")

    def _next_epoch(self):
        uniform = self._generator.random_sample(self.n_rows)
        return self._row_ids[self._places(uniform)]

    def _places(self, uniform):
        """The first places at which the CDF is greater than numbers in [0, 1)."""
        cumulative = self._cumulative
        # A number next to one would be rounded to the sum itself.
        drawn = np.minimum(uniform * cumulative[-1], np.nextafter(cumulative[-1], 0))
        places = self._guides[(uniform * self._n_guides).astype(np.intp)]
        for _ in range(_STEPS):
            places += cumulative[places] <= drawn
        left = np.flatnonzero(cumulative[places] <= drawn)
        places[left] = np.searchsorted(cumulative, drawn[left], side="right")
        return places
