"""What the error of parameters that are not finite says of its cause."""

import contextlib

import numpy as np

from skmlp.estimators.data import canonical_x
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.estimators.poor_fit_causes import Fit, data_causes
from skmlp.training.stopping import NOT_FINITE

_MAX_ROWS = 5000


@contextlib.contextmanager
def explained_divergence(estimator, network, sample):
    """Add the likely cause to the error that a training has diverged.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network
    sample : Sample
        The training data.
    """
    try:
        yield
    except ValueError as error:
        if error.args != (NOT_FINITE,):
            raise
        row_ids = sample.row_ids[:_MAX_ROWS]
        x = canonical_x(sample.x[row_ids], sample.x.dtype)
        fit = Fit(estimator, network, None, x, sample.targets[row_ids], None)
        with np.errstate(all="ignore"):
            causes = data_causes(fit)
        if not causes and estimator.solver in STOCHASTIC_SOLVERS:
            rate = estimator.learning_rate_init
            causes = [f"Lower learning_rate_init={rate:g}, or set max_grad_norm."]
        error.args = (" ".join([NOT_FINITE, *causes]),)
        raise
