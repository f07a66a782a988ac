"""One check, made by every solver: that what it has found are still numbers."""

import numpy as np


def check_finite(parameters):
    """Raise when the parameters are not all finite.

    Parameters
    ----------
    parameters : ndarray
        Or the vectors that an optimizer keeps.

    Raises
    ------
    ValueError
        In scikit-learn's words.
    """
    # The sum is a single fast pass; that it is finite implies the rest, save for
    # sums of opposite infinities, which are nan.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(parameters.sum()):
            return
    if not np.isfinite(parameters).all():
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may"
            " contain large values and need to be preprocessed."
        )
