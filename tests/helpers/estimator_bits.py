"""The weights of a fitted estimator as one value that compares bit by bit."""

import numpy as np


def bits(estimator):
    """All coefficients and intercepts of a fitted estimator, as bytes."""
    arrays = [*estimator.coefs_, *estimator.intercepts_]
    return b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)
