"""Compiling ahead: for container images, servers and timings.

Kernels compile at their first use, some seconds a precision, and are then read from
the cache on disk. `warmup` uses each of them once on a few rows.
"""

import inspect
from itertools import product

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_params

from skmlp.estimators import MLPClassifier, MLPRegressor
from skmlp.estimators.parameters import COMMON, SOLVERS
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import BINARY_LOSSES, REGRESSION_LOSSES

_DTYPES = ("float32", "float64")
_OF_CLASSES = dict.fromkeys(row.name for row in BINARY_LOSSES.values())
_OF_NUMBERS = dict.fromkeys(row.name for row in REGRESSION_LOSSES.values())
# Scikit-learn's.
_USUAL_OF_CLASSES = [inspect.signature(MLPClassifier).parameters["loss"].default]
_USUAL_OF_NUMBERS = [
    inspect.signature(MLPRegressor).parameters["loss"].default,
    "poisson",
]
# A list for the parameter of a loss that allows one.
_LEVELS = [0.25, 0.75]

_X = np.linspace(-1.0, 1.0, 12).reshape(6, 2)
_NUMBERS = np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])
_CLASSES = (np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 2, 0, 1, 2]))


@validate_params(
    {
        "dtype": [StrOptions(set(_DTYPES)), None],
        "solver": [StrOptions(SOLVERS), None],
        "activation": [str, list, tuple],
        "loss": [str, list, tuple, None],
        "normalization": COMMON["normalization"],
    },
    prefer_skip_nested_validation=True,
)
def warmup(
    *, dtype=None, solver=None, activation="relu", loss=None, normalization=None
):
    """Compile the kernels for dense data, or read them from the cache on disk.

    Afterwards a first fit with any of these choices, and a first prediction, take no
    longer than later ones. By default they are what scikit-learn has, with the default
    activation.

    The rest compiles at its first use: sparse data and limits of norms take some
    seconds, dropout, noise or another output activation some tenths of one. An image
    that is to have these, too, should fit the estimator itself on a few rows.

    Parameters
    ----------
    dtype : {'float32', 'float64'}, default=None
        Precision to compile for; None for both.
    solver : str, default=None
        Solver of the estimators to compile for; None for all.
    activation : str or list of str, default='relu'
        Activations of hidden layers; 'all' for every one.
    loss : str or list of str, default=None
        Losses, each with its own output activation; those that both estimators have are
        compiled for both. 'all' for every one; None for scikit-learn's: 'log_loss' of
        the classifier, 'squared_error' and 'poisson' of the regressor.
    normalization : {'batch', 'layer'}, default=None
        Of the hidden layers. Of all solvers 'lbfgs' is left out with 'batch', which it
        does not support.

    Raises
    ------
    ValueError
        For any other value.

    Examples
    --------
    >>> import skmlp
    >>> skmlp.warmup(dtype="float32", solver="adam")
    >>> skmlp.warmup(dtype="float32", solver="sgd", activation=["gelu"], loss="huber")
    """
    activations = _names("activation", activation, ACTIVATIONS)
    examples = [*_examples(loss)]
    dtypes = _DTYPES if dtype is None else (dtype,)
    solvers = [solver]
    if solver is None:
        leaves_out = "lbfgs" if normalization == "batch" else None
        solvers = [name for name in SOLVERS if name != leaves_out]
    for kind, name in product(dtypes, solvers):
        for estimator, y in examples:
            estimator.set_params(
                hidden_layer_sizes=(2,) * len(activations),
                activation=activations,
                solver=name,
                normalization=normalization,
                # As many epochs as end the training without a warning.
                tol=1e9,
                n_iter_no_change=1,
                dtype=kind,
                n_jobs=1,
                random_state=0,
            )
            estimator.fit(_X, y, X_val=_X, y_val=y).predict(_X)
            if hasattr(estimator, "predict_proba"):
                estimator.predict_proba(_X)


def _names(parameter, given, table):
    """The names that a parameter stands for, from its table."""
    if isinstance(given, str) and given == "all":
        return [*table]
    names = [given] if isinstance(given, str) else [*given]
    if not names or not all(name in table for name in names):
        raise ValueError(
            f"{parameter} must be 'all', or one or several of {sorted(table)}, got "
            f"{given!r}."
        )
    return names


def _examples(loss):
    """Estimators, and targets to fit them to, that use a loss in all its forms."""
    if loss is None:
        classifiers, regressors = _USUAL_OF_CLASSES, _USUAL_OF_NUMBERS
    else:
        names = _names("loss", loss, {**_OF_CLASSES, **_OF_NUMBERS})
        classifiers = [name for name in names if name in _OF_CLASSES]
        regressors = [name for name in names if name in _OF_NUMBERS]
    for name, y in product(classifiers, _CLASSES):
        yield MLPClassifier(loss=name), y
    for row in REGRESSION_LOSSES.values():
        if row.name in regressors:
            yield MLPRegressor(row.name), _NUMBERS
            if row.of_list is not None:
                several = {parameter.name: _LEVELS for parameter in row.parameters}
                yield MLPRegressor(row.name, **several), _NUMBERS
