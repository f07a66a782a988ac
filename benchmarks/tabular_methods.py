"""The methods that `tabular.py` compares, each as an estimator that takes a raw frame.

All have their library's defaults, the same seed and the same number of threads. The
boosted trees and the tabular networks get categories as they are; for plain networks
numbers are standardized and categories are one-hot encoded.
"""

import importlib.metadata
import subprocess
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import ensemble, neural_network
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import skmlp
from skmlp.tabular.presets import PRESETS

_WARM_UP_ROWS = 1_100
_MISSING = "missing"


class Job(NamedTuple):
    """What a method is told of a table.

    Attributes
    ----------
    kind : {'binary', 'multiclass', 'regression'}
    categories : list of str
        Names of the columns of categories.
    seed, threads : int
    is_warm_up : bool
        Whether a few epochs or trees will do.
    """

    kind: str
    categories: list
    seed: int
    threads: int
    is_warm_up: bool = False


class Method(NamedTuple):
    """One method.

    Attributes
    ----------
    package : str
        The version of this distribution is a part of its figures.
    make : callable
        From a `Job` to an estimator.
    """

    package: str
    make: Callable


def _class_of(module, name, job):
    """The classifier or the regressor of a library."""
    suffix = "Regressor" if job.kind == "regression" else "Classifier"
    return getattr(module, name + suffix)


def encoded(estimator):
    """A plain network behind the encoding that it needs."""
    numbers = make_column_selector(dtype_include="number")
    levels = make_column_selector(dtype_include="category")
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder = ColumnTransformer(
        [("numbers", StandardScaler(), numbers), ("levels", one_hot, levels)]
    )
    return make_pipeline(encoder, estimator)


def _plain(module, job):
    params = {"max_iter": 2} if job.is_warm_up else {}
    if module is skmlp:
        params["n_jobs"] = job.threads
    return encoded(_class_of(module, "MLP", job)(random_state=job.seed, **params))


def _tabular(preset, job, params=None, mlp_params=None):
    mlp_params = dict(mlp_params or {})
    if job.is_warm_up:
        mlp_params["max_iter"] = 2
    return _class_of(skmlp, "TabularMLP", job)(
        preset,
        mlp_params=mlp_params,
        n_jobs=job.threads,
        random_state=job.seed,
        **(params or {}),
    )


def _without_calibration(preset, job):
    """The full recipe; in regression there is nothing to calibrate."""
    params = {} if job.kind == "regression" else {"calibrate": False}
    return _tabular(preset, job, params)


def _hist_gradient_boosting(job):
    return _class_of(ensemble, "HistGradientBoosting", job)(
        categorical_features="from_dtype",
        max_iter=2 if job.is_warm_up else 100,
        random_state=job.seed,
    )


def _lightgbm(job):
    import lightgbm

    return _class_of(lightgbm, "LGBM", job)(
        n_estimators=2 if job.is_warm_up else 100,
        n_jobs=job.threads,
        random_state=job.seed,
        verbose=-1,
    )


def _with_missing_level(X):
    """CatBoost takes categories as text, and no NaN among them."""
    levels = X.select_dtypes("category")
    return X.assign(
        **{name: levels[name].astype(object).fillna(_MISSING) for name in levels}
    )


def _catboost(job):
    import catboost

    model = _class_of(catboost, "CatBoost", job)(
        iterations=2 if job.is_warm_up else None,
        cat_features=job.categories or None,
        thread_count=job.threads,
        random_seed=job.seed,
        verbose=False,
        allow_writing_files=False,
    )
    return make_pipeline(FunctionTransformer(_with_missing_level), model)


class _Deadline:
    """A callback of CatBoost that ends the training after some seconds."""

    def __init__(self, seconds):
        self._end = time.perf_counter() + seconds

    def after_iteration(self, info):
        """Whether to go on."""
        return time.perf_counter() < self._end


class _Stopped(Pipeline):
    """A pipeline whose CatBoost model gets a deadline when the fit begins."""

    seconds: float

    def fit(self, X, y):
        """Fit for some seconds at most."""
        callbacks = {f"{self.steps[-1][0]}__callbacks": [_Deadline(self.seconds)]}
        return super().fit(X, y, **callbacks)


def _stopped_catboost(seconds, job):
    pipeline = _Stopped(_catboost(job).steps)
    pipeline.seconds = seconds
    return pipeline


def limited(seconds):
    """Methods that end after some seconds with what they have by then.

    Parameters
    ----------
    seconds : float

    Returns
    -------
    dict of Method
    """
    params = {"max_time": seconds}
    presets = {
        f"{name}/{seconds:g}s": Method(
            "skmlp", lambda job, name=name: _tabular(name, job, params)
        )
        for name in ("default", "best")
    }
    stopped = Method("catboost", partial(_stopped_catboost, seconds))
    return {**presets, f"catboost/{seconds:g}s": stopped}


def _pytabkit(name, job):
    import pytabkit

    return _class_of(pytabkit, name, job)(
        device="cpu",
        n_epochs=1 if job.is_warm_up else None,
        n_threads=job.threads,
        random_state=job.seed,
    )


METHODS = {
    "sklearn_mlp": Method("scikit-learn", partial(_plain, neural_network)),
    "skmlp": Method("skmlp", partial(_plain, skmlp)),
    **{name: Method("skmlp", partial(_tabular, name)) for name in PRESETS},
    "hgb": Method("scikit-learn", _hist_gradient_boosting),
    "lightgbm": Method("lightgbm", _lightgbm),
    "catboost": Method("catboost", _catboost),
    "realmlp_td_s": Method("pytabkit", partial(_pytabkit, "RealMLP_TD_S_")),
    "realmlp_td": Method("pytabkit", partial(_pytabkit, "RealMLP_TD_")),
    "tabm": Method("pytabkit", partial(_pytabkit, "TabM_D_")),
}


def ablations(preset):
    """The recipe of a preset, and the same without one ingredient at a time.

    Parameters
    ----------
    preset : str

    Returns
    -------
    dict of Method
        The full recipe is the first one.
    """
    changes = {
        "relu": {"activation": "relu"},
        "no_dropout": {"dropout": 0.0},
        "no_decay": {"weight_decay": 0.0},
        "plain_init": {"weight_init": "auto"},
        "constant_rate": {"learning_rate": "constant", "learning_rate_init": 0.001},
        "beta_2_0.999": {"beta_2": 0.999},
        "half_epochs": {"max_iter": PRESETS[preset].max_iter // 2},
    }
    methods = {preset: METHODS[preset]}
    for name, mlp_params in changes.items():
        make = partial(_tabular, preset, mlp_params=mlp_params)
        methods[f"{preset}/{name}"] = Method("skmlp", make)
    make = partial(_without_calibration, preset)
    methods[f"{preset}/no_temperature"] = Method("skmlp", make)
    return methods


@cache
def version(package):
    """Version of a distribution; of skmlp the commit that changed it last.

    Returns
    -------
    str or None
        None if the library is not installed.
    """
    if package == "skmlp":
        return f"skmlp {_commit()}"
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit():
    """The last commit of the package's folder, and a sign for changes since then."""
    folder = Path(skmlp.__file__).parent

    def git(*words):
        command = ["git", "-C", str(folder), *words, "--", "."]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    try:
        commit = git("log", "-1", "--format=%h").stdout.strip()
        changed = git("status", "--porcelain").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit, changed = "", ""
    return (commit or skmlp.__version__) + ("+changes" if changed else "")


@cache
def warm_up(make, kind, threads):
    """Fit a method for a moment, so that it is compiled and imported; once each.

    An error is left for the first real fit to report.
    """
    generator = np.random.default_rng(0)
    x = generator.standard_normal((_WARM_UP_ROWS, 4))
    X = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    X["level"] = pd.Categorical.from_codes(np.digitize(x[:, 3], [-1, 0]), list("uvw"))
    y = x[:, 0] + x[:, 1]
    if kind != "regression":
        y = np.digitize(y, [0.0] if kind == "binary" else [-0.5, 0.5])
    try:
        model = make(Job(kind, ["level"], 0, threads, is_warm_up=True)).fit(X, y)
        model.predict(X)
    except Exception as error:
        print(f"warm-up failed: {type(error).__name__}: {error}")
