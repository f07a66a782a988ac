"""What the ranks of a distributed training tell each other."""

from typing import Any, Protocol

import numpy as np


class Aborted(RuntimeError):
    """Raised in a rank where another rank has failed."""


class Collective(Protocol):
    """The operations that all ranks call, in the same order."""

    rank: int
    n_ranks: int

    def all_reduce(self, tag: str, vector: np.ndarray) -> np.ndarray:
        """The sum over ranks."""

    def broadcast(self, tag: str, value: Any) -> Any:
        """The value of rank 0."""

    def gather(self, tag: str, value: Any) -> list | None:
        """On rank 0 the values by rank."""
