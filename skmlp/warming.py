"""Compiling ahead: for container images, servers and timings.

Kernels compile at their first use, some seconds a precision, and are then read from
the cache on disk. `warmup` uses each of them once on a few rows.
"""

from itertools import product

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_params

from skmlp.estimators import MLPClassifier, MLPRegressor
from skmlp.estimators.parameters import SOLVERS

_DTYPES = ("float32", "float64")


@validate_params(
    {
        "dtype": [StrOptions(set(_DTYPES)), None],
        "solver": [StrOptions(SOLVERS), None],
    },
    prefer_skip_nested_validation=True,
)
def warmup(*, dtype=None, solver=None):
    """Compile the kernels for dense data, or read them from the cache on disk.

    Afterwards a first fit of any task with the default activation, and a first
    prediction, take no longer than later ones. Other activations and sparse data
    compile the little that they need at their first use.

    Parameters
    ----------
    dtype : {'float32', 'float64'}, default=None
        Precision to compile for; None for both.
    solver : str, default=None
        Solver of the estimators to compile for; None for all.

    Raises
    ------
    sklearn.utils._param_validation.InvalidParameterError
        For any other value.

    Examples
    --------
    >>> import skmlp
    >>> skmlp.warmup(dtype="float32", solver="adam")
    """
    x = np.arange(12.0).reshape(6, 2)
    targets = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 2, 0, 1, 2])
    dtypes = _DTYPES if dtype is None else (dtype,)
    solvers = SOLVERS if solver is None else (solver,)
    for kind, name in product(dtypes, solvers):
        settings = {
            "hidden_layer_sizes": (2,),
            "solver": name,
            # As many epochs as end the training without a warning.
            "tol": 1e9,
            "n_iter_no_change": 1,
            "dtype": kind,
            "n_jobs": 1,
        }
        for y in targets:
            fitted = MLPClassifier(**settings).fit(x, y, X_val=x, y_val=y)
            fitted.predict_proba(x)
        for loss in ("squared_error", "poisson"):
            y = targets[0]
            MLPRegressor(loss, **settings).fit(x, y, X_val=x, y_val=y).predict(x)
