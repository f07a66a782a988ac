"""The epochs of a fit on the client: printed, and told to the user's function."""

from types import SimpleNamespace
from typing import NamedTuple

from skmlp.training.listener import EpochRecord
from skmlp.training.report import reporter_of
from skmlp.training.stopping import Clock


class Epoch(NamedTuple):
    """An epoch that has ended on the cluster.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float
        Of training, over all workers.
    validation_loss, validation_score : float or None
        None without validation data and without early stopping.
    seconds : float
        Of training, also before a worker was lost.
    n_samples : int or None
        Rows that all workers together have trained on in this epoch; None for L-BFGS.

    Examples
    --------
    >>> from skmlp.dask import Epoch
    >>> def stop(epoch):
    ...     return epoch.loss < 0.1
    >>> stop(Epoch(3, 0.05, None, None, 1.5, 1000))  # as fit(on_epoch=stop) calls it
    True
    """

    epoch: int
    loss: float
    validation_loss: float | None
    validation_score: float | None
    seconds: float
    n_samples: int | None


class Progress:
    """Tells of epochs.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Its parameters say what is printed.
    on_epoch : callable or None
        The user's.
    """

    def __init__(self, estimator, on_epoch):
        self._on_epoch = on_epoch
        self._reporter = reporter_of(estimator.verbose, Clock(estimator.max_time))
        self._max_epochs = estimator.max_iter
        self._last: Epoch | None = None

    @property
    def epoch(self):
        """The number of the last epoch."""
        return 0 if self._last is None else self._last.epoch

    @property
    def seconds(self):
        """Of training, until then."""
        return 0.0 if self._last is None else self._last.seconds

    def tell(self, message):
        """Tell of an epoch; returns whether the user's function asks for a stop."""
        epoch = Epoch(*message)
        self._last = epoch
        if self._reporter is not None:
            self._reporter.epoch(self._record(epoch))
        return self._on_epoch is not None and bool(self._on_epoch(epoch))

    def finish(self):
        """The training has ended."""
        if self._reporter is not None:
            self._reporter.finish()

    def _record(self, epoch):
        """What the reporters of the local fit read."""
        validation = None
        if epoch.validation_loss is not None:
            validation = SimpleNamespace(
                losses=[epoch.validation_loss], scores=[epoch.validation_score]
            )
        history = SimpleNamespace(
            n_epochs=epoch.epoch,
            loss_curve=[epoch.loss],
            seconds=[epoch.seconds],
            validation=validation,
            gradient_norms=[],
            learning_rates=[],
        )
        return EpochRecord(
            epoch.epoch,
            self._max_epochs,
            epoch.n_samples,
            history,  # type: ignore[arg-type]
            snapshot=_no_snapshot,
        )


def _no_snapshot():
    raise NotImplementedError("The network is on the workers.")
