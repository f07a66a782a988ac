"""Which values the parameters of both estimators may take.

Those that name a rule are read off the rules' tables, at every look, so that a row
added to a table is allowed at once.
"""

import re
from collections import ChainMap
from collections.abc import Set
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skmlp.rules.activations import ACTIVATIONS, Activation
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.schedules import SCHEDULES

STOCHASTIC_SOLVERS = OPTIMIZERS.keys()
SOLVERS = ChainMap[str, Any](OPTIMIZERS, {"lbfgs": None}).keys()
WEIGHT_INITS = ChainMap[str, Any](INITIALIZERS, {"auto": None}).keys()


class LossNames(Set):
    """Names of a table of losses, whose keys are pairs of loss and output."""

    _from_iterable = set

    def __init__(self, table):
        self._table = table

    def __contains__(self, name):
        return any(name == row.name for row in self._table.values())

    def __iter__(self):
        return iter(dict.fromkeys(row.name for row in self._table.values()))

    def __len__(self):
        return sum(1 for _ in self)


class Devices(StrOptions):
    """The CPU, or a GPU by its number, of which there may be any."""

    def __init__(self):
        super().__init__({"auto", "cpu", "cuda"})

    def is_satisfied_by(self, val):
        """Whether a value names a device."""
        of_number = isinstance(val, str) and re.fullmatch("cuda:(0|[1-9][0-9]*)", val)
        return bool(of_number) or super().is_satisfied_by(val)

    def __str__(self):
        return "a str among {'auto', 'cpu', 'cuda', 'cuda:0', 'cuda:1', ...}"


class Dtypes(StrOptions):
    """Single and double precision, by name or as a dtype of NumPy."""

    def __init__(self):
        super().__init__({"float32", "float64"})

    def is_satisfied_by(self, val):
        """Whether a value names one of them, as a str, a type or a dtype."""
        if isinstance(val, type | np.dtype):
            return np.dtype(val).name in self.options and np.dtype(val).isnative
        return super().is_satisfied_by(val)

    def __str__(self):
        return f"{super().__str__()} or a NumPy dtype among them"


COMMON = {
    "hidden_layer_sizes": [
        "array-like",
        Interval(Integral, 1, None, closed="left"),
    ],
    "activation": [StrOptions(ACTIVATIONS.keys()), Activation, "array-like"],
    "solver": [StrOptions(SOLVERS)],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [
        StrOptions({"auto"}),
        Interval(Integral, 1, None, closed="left"),
    ],
    "learning_rate": [StrOptions(SCHEDULES.keys())],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [
        Interval(Integral, 1, None, closed="left"),
        Options(Real, {np.inf}),
    ],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "weight_init": [StrOptions(WEIGHT_INITS), list, tuple],
    "fit_intercept": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "input_noise": [Interval(Real, 0, None, closed="left")],
    "normalization": [StrOptions({"batch", "layer"}), None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_norm": [Interval(Real, 0, None, closed="neither"), None],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "rho": [Interval(Real, 0, 1, closed="left")],
    "warmup_epochs": [Interval(Real, 0, None, closed="left")],
    "decay_factor": [Interval(Real, 0, 1, closed="neither")],
    "decay_epochs": [Interval(Integral, 1, None, closed="left")],
    "plateau_patience": [Interval(Integral, 1, None, closed="left")],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "max_time": [Interval(Real, 0, None, closed="neither"), None],
    "n_jobs": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
        None,
    ],
    "device": [Devices()],
    "dtype": [Dtypes(), None],
    "matmul_precision": [StrOptions({"highest", "tf32"})],
}
