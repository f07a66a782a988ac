"""Which parameters the estimators have, and their allowed values.

Names of rules are looked up in the rules' tables at every validation, and the
parameters that rows declare at every access to the constructor: a row that is added to
a table is known at once.
"""

import functools
import inspect
import re
from collections import ChainMap
from collections.abc import Set
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skmlp.embedding import PIECEWISE_LINEAR
from skmlp.estimators.rate_factors import NTK
from skmlp.rules.activations import ACTIVATIONS, Activation
from skmlp.rules.initializers import DATA_DRIVEN, INITIALIZERS
from skmlp.rules.optimizers import OPTIMIZERS
from skmlp.rules.parameters import Parameter, Range, declared
from skmlp.rules.schedules import SCHEDULES

STOCHASTIC_SOLVERS = OPTIMIZERS.keys()
SOLVERS = ChainMap[str, Any](OPTIMIZERS, {"lbfgs": None}).keys()
WEIGHT_INITS = ChainMap[str, Any](
    INITIALIZERS, {"auto": None, DATA_DRIVEN: None}
).keys()


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


class StrengthSchedules(Set):
    """Names of the schedules that weight decay and dropout may have."""

    _from_iterable = set

    def __contains__(self, name):
        return name in SCHEDULES and SCHEDULES[name].for_strengths

    def __iter__(self):
        return (name for name, row in SCHEDULES.items() if row.for_strengths)

    def __len__(self):
        return sum(row.for_strengths for row in SCHEDULES.values())


# By the rows' ids: the rows, so that no id is used again, and what they declare.
_DECLARED: dict[tuple[int, ...], tuple[list, dict[str, Parameter]]] = {}


def rule_parameters(tables):
    """Parameters that the rows of some tables declare, by name.

    The same dict as before, unless rows were added: every estimator that is made asks,
    and to hash all rows would take longer than to make it.
    """
    rows = [row for table in tables for row in table.values()]
    key = tuple(map(id, rows))
    if key not in _DECLARED:
        _DECLARED[key] = rows, declared(rows)
    return _DECLARED[key][1]


def _constraint(parameter):
    """A declared parameter's allowed values as scikit-learn's constraints."""
    return [
        Interval(
            Integral if item.integral else Real, item.low, item.high, closed=item.closed
        )
        if isinstance(item, Range)
        else item
        for item in parameter.constraint
    ]


def _takes_few_positional(function):
    """A constructor whose error about too many positional arguments names them."""
    parameters = [*inspect.signature(function).parameters.values()]
    kinds = [each.kind for each in parameters]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return function
    names = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    n_positional = len(kinds) - len(names)
    n_positional -= inspect.Parameter.VAR_KEYWORD in kinds

    @functools.wraps(function)
    def checked(*args, **keywords):
        if len(args) <= n_positional:
            return function(*args, **keywords)
        named = ", ".join(
            f"{name}={value!r}"
            for name, value in zip(names, args[n_positional:], strict=False)
        )
        raise TypeError(
            f"{function.__qualname__}() takes from 1 to {n_positional} positional "
            f"arguments but {len(args)} were given. Name the others: {named}."
        )

    return checked


class Constructor:
    """A descriptor for an estimator's ``__init__`` with parameters declared by rows.

    The function spells most of them out, for readers and editors, and takes others as
    ``**rule_parameters``. The signature that scikit-learn reads names them all. It is
    made once and again after rows were added: a search asks for it half a dozen times
    a fit, and that of so many parameters takes a tenth of a millisecond to make.

    Parameters
    ----------
    function : function
    tables : sequence of dict
        Whose rows declare parameters.
    constraints : dict
        The estimator's constraints, to which those of the parameters are added.
    """

    def __init__(self, function, tables, constraints):
        self._function = _takes_few_positional(function)
        self._tables = tables
        self._constraints = constraints
        self._written = inspect.signature(function)
        self._declared = None

    def __get__(self, instance, owner=None):
        parameters = rule_parameters(self._tables)
        if parameters is not self._declared:
            self._refresh(parameters)
            self._declared = parameters
        return self._function.__get__(instance, owner)

    def _refresh(self, parameters):
        written = [*self._written.parameters.values()]
        if written[-1].kind is inspect.Parameter.VAR_KEYWORD:
            written.pop()
            written += [
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=parameter.default
                )
                for name, parameter in parameters.items()
                if name not in self._written.parameters
            ]
        for name, parameter in parameters.items():
            self._constraints[name] = _constraint(parameter)
        self._function.__signature__ = self._written.replace(parameters=written)


def ordered(*names):
    """A set of names that messages list in this order."""
    return dict.fromkeys(names).keys()


class Devices(StrOptions):
    """The CPU, or a GPU by its index, which has no upper bound."""

    def __init__(self):
        super().__init__(ordered("auto", "cpu", "cuda"))

    def is_satisfied_by(self, val):
        """Whether a value names a device."""
        by_index = isinstance(val, str) and re.fullmatch("cuda:(0|[1-9][0-9]*)", val)
        return bool(by_index) or super().is_satisfied_by(val)

    def __str__(self):
        return "a str among {'auto', 'cpu', 'cuda', 'cuda:0', 'cuda:1', ...}"


class Dtypes(StrOptions):
    """Single and double precision, by name or as a dtype of NumPy."""

    def __init__(self):
        super().__init__(ordered("float32", "float64"))

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
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "n_iter_no_change": [
        Interval(Integral, 1, None, closed="left"),
        Options(Real, {np.inf}),
    ],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "weight_init": [StrOptions(WEIGHT_INITS), list, tuple],
    "fit_intercept": ["boolean"],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "input_noise": [Interval(Real, 0, None, closed="left")],
    "normalization": [StrOptions(ordered("batch", "layer")), None],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_norm": [Interval(Real, 0, None, closed="neither"), None],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "warmup_epochs": [Interval(Real, 0, None, closed="left")],
    "best_epoch": [StrOptions(ordered("first", "last"))],
    "weight_decay_schedule": [StrOptions(StrengthSchedules())],
    "dropout_schedule": [StrOptions(StrengthSchedules())],
    "learning_rate_factors": [StrOptions({NTK}), "array-like", None],
    "bias_learning_rate_factor": [Interval(Real, 0, None, closed="left")],
    "scoring": [
        StrOptions(ordered("loss", *sorted(get_scorer_names()))),
        callable,
        None,
    ],
    "sampling": [StrOptions(ordered("balanced", "weights")), None],
    "max_time": [Interval(Real, 0, None, closed="neither"), None],
    "n_jobs": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
        None,
    ],
    "device": [Devices()],
    "dtype": [Dtypes(), None],
    "matmul_precision": [StrOptions(ordered("highest", "tf32"))],
    "embedding": [StrOptions({PIECEWISE_LINEAR}), None],
    "n_bins": [Interval(Integral, 2, None, closed="left")],
    "embedding_dim": [Interval(Integral, 1, None, closed="left")],
    "embedding_learning_rate_factor": [Interval(Real, 0, None, closed="left")],
}
