"""What a training tells at the end of each epoch, and to whom.

The training knows neither scikit-learn's callbacks nor how a line is printed: it calls
a `Listener`, which the estimators, or a client that gathers the epochs of other
processes, put in.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from skmlp.training.history import History, Outcome
from skmlp.training.optimizer_state import OptimizerState


class Snapshot(NamedTuple):
    """A training as if it had ended; what follows does not change it.

    Attributes
    ----------
    outcome : skmlp.training.history.Outcome
    history : skmlp.training.history.History
    optimizer : skmlp.training.optimizer_state.OptimizerState or None
        None for L-BFGS, whose state SciPy keeps.
    """

    outcome: Outcome
    history: History
    optimizer: OptimizerState | None


class EpochRecord(NamedTuple):
    """An epoch, or an iteration of L-BFGS, that has ended.

    Attributes
    ----------
    epoch : int
        Counted from 1, over this fit and the one that it resumes.
    max_epochs : int or None
        How many there may be; None in `partial_fit`, whose caller decides.
    n_rows : int or None
        Rows that were trained on; None for L-BFGS, which may read them several times.
    history : skmlp.training.history.History
        Of the training, with this epoch as its last.
    snapshot : callable
        ``snapshot()`` returns the `Snapshot` at this moment; to be called before the
        training goes on.
    """

    epoch: int
    max_epochs: int | None
    n_rows: int | None
    history: History
    snapshot: Callable[[], Snapshot]


class Listener(Protocol):
    """Who wants to know of epochs.

    Attributes
    ----------
    takes_snapshots : bool
        Whether it may ask for one, so that it must be told of an epoch before the next
        one is trained. Others are told of some epochs at a time, one after the other;
        where they stop the training, the epochs after that are undone.
    """

    takes_snapshots: bool

    def begin(self) -> None:
        """An epoch begins."""

    def end(self, record: EpochRecord) -> bool:
        """It has ended. Returns whether the training shall stop, all being well."""
