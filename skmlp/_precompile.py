"""Compilation ahead of time: for container images, servers and benchmarks.

Kernels compile at their first use, which takes some seconds per dtype, and later
processes load them from the disk cache. `precompile` uses each kernel once on a few
rows.
"""

import inspect
import os
import warnings
from itertools import product
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import StrOptions, validate_params

from skmlp import _shipping, exceptions
from skmlp._fitted_networks import fitted_networks, predict_once
from skmlp.estimators import MLPClassifier, MLPRegressor
from skmlp.estimators.parameters import COMMON, SOLVERS
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import BINARY_LOSSES, COLUMN_LOSSES, REGRESSION_LOSSES

_DTYPES = ("float32", "float64")
_CLASSIFICATION = dict.fromkeys(row.name for row in BINARY_LOSSES.values())
_REGRESSION = dict.fromkeys(row.name for row in REGRESSION_LOSSES.values())
# The losses that scikit-learn has.
_DEFAULT_CLASSIFICATION = [inspect.signature(MLPClassifier).parameters["loss"].default]
_DEFAULT_REGRESSION = [
    inspect.signature(MLPRegressor).parameters["loss"].default,
    "poisson",
]
# A list for the parameter of a loss that allows one.
_LEVELS = [0.25, 0.75]

# How well six rows are fitted does not matter. That kernels are not kept does.
_ABOUT_FITS = (
    ConvergenceWarning,
    exceptions.DeadUnitsWarning,
    exceptions.IneffectiveParameterWarning,
    exceptions.PoorFitWarning,
    exceptions.ValidationWarning,
)

_X = np.linspace(-1.0, 1.0, 12).reshape(6, 2)
# In the range of every loss.
_NUMBERS = np.array([0.5, 1.0, 0.5, 1.0, 0.5, 1.0])
_CLASSES = (np.array([0, 1, 0, 1, 0, 1]), np.array([0, 1, 2, 0, 1, 2]))
_COLUMNS = np.column_stack(_CLASSES)


@validate_params(
    {
        "dtype": [StrOptions(set(_DTYPES)), None],
        "solver": [StrOptions(SOLVERS), None],
        "activation": [str, list, tuple],
        "loss": [str, list, tuple, None],
        "normalization": COMMON["normalization"],
        "estimator": "no_validation",
        "cache_dir": [str, os.PathLike, None],
        "cpu": [str],
    },
    prefer_skip_nested_validation=True,
)
def precompile(
    *,
    dtype=None,
    solver=None,
    activation="relu",
    loss=None,
    normalization=None,
    estimator=None,
    cache_dir=None,
    cpu="native",
):
    """Compile the kernels for dense data, or load them from the disk cache.

    Afterwards a first fit with any of these settings, and a first prediction, take no
    longer than later ones. The defaults cover scikit-learn's solvers and losses, with
    the default activation. With `estimator` it is what that one's predictions need,
    for dense and for sparse data, and nothing else.

    All else compiles at its first use: fits of sparse data, gradient clipping and
    max-norm take some seconds, dropout, noise or another output activation some tenths
    of a second. To include these in an image, fit the estimator on a few rows with the
    environment variable ``SKMLP_CACHE_DIR`` set to the folder.

    Parameters
    ----------
    dtype : {'float32', 'float64'}, default=None
        Dtype to compile for; None for both.
    solver : str, default=None
        Solver to compile for; None for all.
    activation : str or list of str, default='relu'
        Activations of hidden layers; 'all' for every one.
    loss : str or list of str, default=None
        Losses, each with its default output activation, for both estimators if both
        have the loss. 'all' for every one; None for scikit-learn's: 'log_loss' of the
        classifier, 'squared_error' and 'poisson' of the regressor.
    normalization : {'batch', 'layer'}, default=None
        Normalization of the hidden layers. With 'batch', "all solvers" leaves out
        'lbfgs', which does not support it.
    estimator : object, default=None
        A fitted estimator of skmlp, or one in which there are such: a `Pipeline`, a
        search, an ensemble. The other parameters above must be left at their defaults.
    cache_dir : str or path-like, default=None
        Folder to ship to other processes or machines, which read it where
        ``SKMLP_CACHE_DIR`` names it. It is made if it does not exist, and readable by
        everybody, but only root and its owner can write it. A new process fills it;
        this one's kernels stay as they are. None for the cache of this process.
    cpu : str, default='native'
        Processors that run the kernels: 'native' for those like this one, or the
        features that all of them have, by LLVM's name: 'x86-64', 'x86-64-v2',
        'x86-64-v3' (AVX2) or 'x86-64-v4' (AVX-512), and 'generic' on 64-bit ARM. Needs
        `cache_dir`. Results on one processor and another then have the same bits; from
        those of 'native' they may differ by rounding.

    Raises
    ------
    ValueError
        For any other value; for a `cpu` whose features this processor lacks.
    NotFittedError, TypeError
        If `estimator` contains no fitted network.
    OSError
        If `cache_dir` cannot be made or written, or if others can write it.
    RuntimeError
        If the new process fails.

    Examples
    --------
    >>> import skmlp
    >>> skmlp.precompile(dtype="float32", solver="adam")
    >>> skmlp.precompile(dtype="float32", activation=["gelu"], loss="huber")

    What a fitted model predicts with, for any server with AVX2:

    >>> import tempfile
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    >>> model = skmlp.MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skmlp.precompile(estimator=model, cache_dir=folder)  # cpu="x86-64-v3"
    """
    arguments = {
        "dtype": dtype,
        "solver": solver,
        "activation": activation,
        "loss": loss,
        "normalization": normalization,
    }
    if estimator is not None:
        given = [name for name in arguments if arguments[name] != _DEFAULTS[name]]
        if given:
            raise ValueError(
                f"estimator says what to compile: leave {', '.join(given)} at the "
                "default."
            )
        arguments = {"networks": fitted_networks(estimator)}
    else:
        _names("activation", activation, ACTIVATIONS)
        [*_examples(loss)]
    if cache_dir is not None:
        _shipping.check_cpu(cpu)
        folder = _shipping.made_folder(cache_dir)
        _shipping.compile_apart(arguments, folder, cpu)
    elif cpu != "native":
        raise ValueError(
            f"cpu={cpu!r} needs cache_dir: this process compiles for its own processor."
        )
    else:
        compile_all(**arguments)


_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(precompile).parameters.items()
}


def compile_all(*, networks=None, **arguments):
    """Compile for settings, or for the predictions of networks.

    Parameters
    ----------
    networks : list or None
        From `fitted_networks`.
    **arguments
        The first five of `precompile`.
    """
    if networks is None:
        _compile_settings(**arguments)
        return
    for network, layer in networks:
        predict_once(network, layer)


def _compile_settings(dtype, solver, activation, loss, normalization):
    activations = _names("activation", activation, ACTIVATIONS)
    examples = [*_examples(loss)]
    dtypes = _DTYPES if dtype is None else (dtype,)
    solvers = [solver]
    if solver is None:
        unsupported = "lbfgs" if normalization == "batch" else None
        solvers = [name for name in SOLVERS if name != unsupported]
    for dtype, solver in product(dtypes, solvers):
        for estimator, y in examples:
            estimator.set_params(
                hidden_layer_sizes=(2,) * len(activations),
                activation=activations,
                solver=solver,
                normalization=normalization,
                # The training stops early and does not warn.
                tol=1e9,
                n_iter_no_change=1,
                dtype=dtype,
                n_jobs=1,
                random_state=0,
            )
            with warnings.catch_warnings():
                for category in _ABOUT_FITS:
                    warnings.simplefilter("ignore", category)
                estimator.fit(_X, y, X_val=_X, y_val=y).predict(_X)
            if hasattr(estimator, "predict_proba"):
                estimator.predict_proba(_X)


def _names(parameter, value, table):
    """The names of a table's rows that a parameter selects."""
    if isinstance(value, str) and value == "all":
        return [*table]
    names = [value] if isinstance(value, str) else [*value]
    if not names or not all(name in table for name in names):
        raise ValueError(
            f"{parameter} must be 'all', or one or several of {sorted(table)}, got "
            f"{value!r}."
        )
    return names


def _examples(loss):
    """Estimators and targets that use every form of a loss."""
    if loss is None:
        classifiers, regressors = _DEFAULT_CLASSIFICATION, _DEFAULT_REGRESSION
    else:
        names = _names("loss", loss, {**_CLASSIFICATION, **_REGRESSION})
        classifiers = [name for name in names if name in _CLASSIFICATION]
        regressors = [name for name in names if name in _REGRESSION]
    for name, y in product(classifiers, _CLASSES):
        yield MLPClassifier(loss=name), y
    for row in COLUMN_LOSSES.values():
        if loss is not None and row.name in classifiers:
            yield MLPClassifier(loss=row.name), _COLUMNS
    for row in REGRESSION_LOSSES.values():
        if row.name in regressors:
            yield MLPRegressor(row.name), _NUMBERS
            if row.of_list is not None:
                several: Any = {parameter.name: _LEVELS for parameter in row.parameters}
                yield MLPRegressor(row.name, **several), _NUMBERS
