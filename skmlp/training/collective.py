"""What processes that train one network together ask of what connects them.

The terms are those of MPI: each process has a rank, and all call the same operations in
the same order (MPI Forum, 1994, "MPI: a message-passing interface standard").
"""

from typing import Any, Protocol

import numpy as np


class Aborted(RuntimeError):  # noqa: N818 - not an error of this rank
    """Another rank has failed; its own error says why."""


class Collective(Protocol):
    """One rank of a group.

    Every operation has a tag. A rank that finds another one at a different tag raises
    RuntimeError, and names both.

    Attributes
    ----------
    rank : int
    n_ranks : int
    """

    rank: int
    n_ranks: int

    def all_reduce(self, tag: str, vector: np.ndarray) -> np.ndarray:
        """Sum of the ranks' vectors, added in the order of the ranks.

        A new array of the vector's dtype, with the same bits in every rank.
        """

    def broadcast(self, tag: str, value: Any) -> Any:
        """The value of rank 0; those of others are ignored."""

    def gather(self, tag: str, value: Any) -> list[Any] | None:
        """In rank 0 the values by rank; None in the others."""


def all_gather(collective, tag, value):
    """The values by rank, in every rank.

    Parameters
    ----------
    collective : Collective
    tag : str
    value : object

    Returns
    -------
    list
    """
    return collective.broadcast(tag, collective.gather(tag, value))
