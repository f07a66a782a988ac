"""The values of one call of `fit`, `partial_fit` or `resume` while it runs.

They are local to the call: a call that fails leaves no trace in the estimator.
"""

from typing import Any, NamedTuple

import numpy as np

from skmlp.estimators.data import Sample
from skmlp.estimators.devices import Target
from skmlp.estimators.fitted import FitResult
from skmlp.estimators.resuming import Resumption, resumption_state
from skmlp.network import Network
from skmlp.training.history import History


class FitValues(NamedTuple):
    """What a call has validated and set up, to train with.

    Attributes
    ----------
    incremental : bool
        Whether it is a call of `partial_fit`.
    resumes : bool
        Whether it goes on from the fitted network.
    sample : Sample
        The training data.
    held_out : Sample or None
        The user's validation data.
    generator : numpy.random.RandomState
    network : Network
    target : skmlp.estimators.devices.Target
    params : ndarray
        The initial parameters.
    resumable : History
        Of earlier calls that this one resumes.
    resumption : Resumption or None
        In a call of `resume`.
    generator_state : tuple or None
        The generator's state before the split; None in `partial_fit`.
    callbacks : skmlp.estimators.callbacks.FitCallbacks or None
    feed : skmlp.estimators.chunk_feed.ChunkFeed or None
        In a call of `fit_batches`, whose `sample` is a part of the training data.
    """

    incremental: bool
    resumes: bool
    sample: Sample
    held_out: Sample | None
    generator: np.random.RandomState
    network: Network
    target: Target
    params: np.ndarray
    resumable: History
    resumption: Resumption | None
    generator_state: tuple | None
    callbacks: Any
    feed: Any = None


def fit_result(fit, outcome, history, optimizer):
    """What a training leaves behind.

    Parameters
    ----------
    fit : FitValues
    outcome : skmlp.training.history.Outcome
    history : skmlp.training.history.History
    optimizer : skmlp.training.optimizer_state.OptimizerState or None

    Returns
    -------
    skmlp.estimators.fitted.FitResult
    """
    params = outcome.params.astype(fit.params.dtype, copy=False)
    return FitResult(
        device=fit.target.device,
        network=fit.network,
        outcome=outcome._replace(params=params),
        history=history,
        resumable=fit.resumable,
        optimizer=optimizer,
        generator=fit.generator,
        resumption=resumption_state(fit, outcome),
    )
