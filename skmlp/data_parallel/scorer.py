"""The validation score over all ranks' held-out rows, computed by rank 0."""

import numpy as np

from skmlp.data_parallel.facts import stacked
from skmlp.estimators.data import Sample
from skmlp.estimators.validation import ValidationScorer


class CollectiveScorer:
    """Callable that returns loss and score of all ranks' held-out data.

    Every epoch each rank computes the outputs of its own rows, rank 0 gathers them,
    scores them as a training on one machine does, and tells the others.

    Parameters
    ----------
    estimator : BaseMLP
    fit : skmlp.estimators.fit_values.FitValues
    session : skmlp.data_parallel.session.DataParallelSession
    held_out : Sample
        Of this rank.
    collective : skmlp.training.collective.Collective
    """

    def __init__(self, estimator, fit, session, held_out, collective):
        self._session = session
        self._own = held_out
        self._collective = collective
        self._gathered = _Gathered(session)
        parts = collective.gather("validation data", _parts(estimator, held_out))
        self._scorer = None
        if parts is not None:
            x, y, targets, weights = map(stacked, zip(*parts, strict=True))
            everything = Sample(
                x=x, y=y, targets=targets, sample_weight=weights, row_ids=None
            )
            arguments = fit.network, fit.target, self._gathered, everything
            self._scorer = ValidationScorer(estimator, *arguments)

    def __call__(self):
        """Loss and score with the current parameters."""
        raw = self._session.outputs(self._own.x, self._own.row_ids)
        parts = self._collective.gather("validation outputs", raw)
        measured = None
        if self._scorer is not None:
            self._gathered.raw = np.concatenate(parts)
            measured = self._scorer()
        return self._collective.broadcast("validation score", measured)


class _Gathered:
    """What a scorer asks of a session, with the outputs of all ranks."""

    def __init__(self, session):
        self._session = session
        self.raw = np.zeros(0)

    @property
    def params(self):
        return self._session.params

    def outputs(self, x, row_ids):
        """The outputs that have been gathered."""
        return self.raw


def _parts(estimator, held_out):
    """X, y, targets and weights of the held-out rows; X only for a user's scorer."""
    rows = slice(None) if held_out.row_ids is None else held_out.row_ids
    needs_x = estimator.scoring not in (None, "loss")
    return tuple(
        None if array is None else array[rows]
        for array in (
            held_out.x if needs_x else None,
            held_out.y,
            held_out.targets,
            held_out.sample_weight,
        )
    )
