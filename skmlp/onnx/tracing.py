"""Rules of skmlp as expressions, found by calling them.

A rule is a Python function of scalars, or of arrays where it decodes outputs. Called
with a `Traced` in place of a number it writes down what it does. A condition is tried
both ways, and becomes a choice between what the two ways return. So an activation, a
link or a decoder has no second definition for ONNX: new rows of the tables and the
user's own activations are converted as they are, or refused.
"""

import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from skmlp.rules import polynomials

# Ways through a rule that are tried, and conditions on a way. More are of a loop that
# depends on its argument.
_MAX_WAYS = 64


_NODES: weakref.WeakValueDictionary = weakref.WeakValueDictionary()


class _Way(threading.local):
    """The way through a rule that is tried in this thread.

    Attributes
    ----------
    met : list of Traced
        Its conditions, in the order in which they are met.
    decisions : list of bool
        What the first of them are taken to be; the others are taken to hold.
    """

    def __init__(self):
        self.met, self.decisions = [], []

    def begin(self, decisions):
        self.met, self.decisions = [], decisions

    def decide(self, condition):
        """Whether a condition is taken to hold; the same each time it is met."""
        index = next((i for i, one in enumerate(self.met) if one is condition), None)
        if index is None:
            index = len(self.met)
            if index == _MAX_WAYS:
                raise NotImplementedError(f"it meets more than {index} conditions")
            self.met.append(condition)
        return self.decisions[index] if index < len(self.decisions) else True


_WAY = _Way()


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """A node of an expression; `Traced(value)` is a constant.

    Attributes
    ----------
    operator : str
        Of ONNX; 'Constant', 'Input', 'Columns' and 'IsLargest' are none.
    arguments : tuple of Traced
    value : object
        The number of a constant, the indices of columns, else None.
    columns : int or None
        Columns of an array; None for a number.
    """

    operator: str
    arguments: tuple["Traced", ...]
    value: Any
    columns: int | None

    def __new__(cls, value):
        """A constant; what is traced already stays what it is."""
        if isinstance(value, Traced):
            return value
        return cls._node("Constant", value=np.asarray(value))

    @classmethod
    def _node(cls, operator, *arguments, value=None, columns=None):
        """A node, which is the same object where all of this is the same.

        A node keeps its arguments alive, so that their ids are theirs alone.
        """
        content = None if value is None else (value.dtype, value.shape, value.tobytes())
        key = (operator, *map(id, arguments), content, columns)
        node = _NODES.get(key)
        if node is not None:
            return node
        node = object.__new__(cls)
        node.operator, node.arguments, node.value = operator, arguments, value
        known = [each.columns for each in arguments if each.columns is not None]
        node.columns = columns if columns is not None else max(known, default=None)
        return _NODES.setdefault(key, node)

    @classmethod
    def input(cls, columns=None):
        """What a rule is called with."""
        return cls._node("Input", columns=columns)

    @property
    def is_constant(self):
        """Whether it is a number or an array that depends on no input."""
        return self.operator == "Constant"

    @property
    def shape(self):
        """Of an array, the number of whose rows is not known."""
        return () if self.columns is None else (None, self.columns)

    def __bool__(self):
        if self.is_constant:
            return bool(self.value)
        return _WAY.decide(self)

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        form = _FORMS.get(ufunc)
        if method != "__call__" or keywords or form is None:
            raise NotImplementedError(f"{ufunc.__name__} has no form here")
        nodes = [Traced(each) for each in inputs]
        if all(each.is_constant for each in nodes):
            return Traced(ufunc(*(each.value for each in nodes)))
        if isinstance(form, str):
            return Traced._node(form, *nodes)
        return form(*nodes)

    def __array_function__(self, function, types, arguments, keywords):
        form = _ARRAY_FORMS.get(function)
        if form is None:
            raise NotImplementedError(f"{function.__name__} has no form here")
        return form(*arguments, **keywords)

    def __getitem__(self, item):
        rows, columns = item
        if rows != slice(None) or self.columns is None:
            raise NotImplementedError("rows are not chosen here")
        indices = np.atleast_1d(np.arange(self.columns)[columns])
        if np.array_equal(indices, np.arange(self.columns)):
            return self
        return Traced._node("Columns", self, value=indices, columns=len(indices))

    # Comparisons are expressions: nodes are the same where they are one object.
    __hash__ = object.__hash__


def choose(condition, yes, no):
    """One of two expressions, by a condition."""
    condition, yes, no = Traced(condition), Traced(yes), Traced(no)
    if condition.is_constant and condition.value.ndim == 0:
        return yes if condition.value else no
    return Traced._node("Where", condition, yes, no)


def largest_column(x):
    """The largest column of each row."""
    return Traced._node("ReduceMax", x, columns=1)


def is_largest(x):
    """Whether a column is the first of the largest ones of its row."""
    return Traced._node("IsLargest", x)


def total(x):
    """The sum of each row."""
    return Traced._node("ReduceSum", x, columns=1)


def mean(x):
    """The mean of each row."""
    return Traced._node("ReduceMean", x, columns=1)


def softmax(x):
    """Softmax of each row."""
    return Traced._node("Softmax", x)


def log_softmax(x):
    """Its logarithm."""
    return Traced._node("LogSoftmax", x)


def hstack(arrays):
    """Arrays side by side."""
    arrays = [Traced(each) for each in arrays]
    arrays = [each for each in arrays if each.columns != 0]
    columns = sum(each.columns for each in arrays)
    return Traced._node("Concat", *arrays, columns=columns)


def _cumsum(x, axis):
    if axis != 1:
        raise NotImplementedError("cumsum over rows has no form here")
    return Traced._node("CumSum", x)


def _expm1(x):
    """exp(x) - 1 without cancellation (Kahan): (u - 1) x / log(u), u = exp(x)."""
    u = np.exp(x)
    near = choose(u == 1.0, x, (u - 1.0) * (x / np.log(u)))
    return choose(np.absolute(x) > 0.5, u - 1.0, near)


def _log1p(x):
    """log(1 + x) without cancellation (Kahan): log(u) x / (u - 1), u = 1 + x."""
    u = x + 1.0
    near = choose(u == 1.0, x, np.log(u) * (x / (u - 1.0)))
    return choose(x > 1.0, np.log(u), near)


def _logaddexp(a, b):
    return np.maximum(a, b) + np.log1p(np.exp(-np.absolute(a - b)))


def _not_equal(a, b):
    return np.logical_not(np.equal(a, b))


# The ONNX operator of each function of NumPy and SciPy, or its form by others.
_FORMS: dict[np.ufunc, str | Callable] = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.true_divide: "Div",
    np.power: "Pow",
    np.negative: "Neg",
    np.absolute: "Abs",
    np.fabs: "Abs",
    np.exp: "Exp",
    np.log: "Log",
    np.sqrt: "Sqrt",
    np.tanh: "Tanh",
    np.sin: "Sin",
    np.cos: "Cos",
    np.sign: "Sign",
    np.floor: "Floor",
    np.maximum: "Max",
    np.minimum: "Min",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.equal: "Equal",
    np.not_equal: _not_equal,
    np.logical_or: "Or",
    np.bitwise_or: "Or",
    np.logical_and: "And",
    np.bitwise_and: "And",
    np.logical_not: "Not",
    np.invert: "Not",
    np.positive: lambda x: x,
    np.isnan: "IsNaN",
    np.arctan: "Atan",
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1.0 / x,
    np.cosh: lambda x: 0.5 * (np.exp(x) + np.exp(-x)),
    np.sinh: lambda x: 0.5 * (np.expm1(x) - np.expm1(-x)),
    np.expm1: _expm1,
    np.log1p: _log1p,
    np.logaddexp: _logaddexp,
    special.expit: "Sigmoid",
    special.erf: "Erf",
}
_ARRAY_FORMS: dict[Any, Callable] = {
    np.where: choose,
    np.hstack: hstack,
    np.cumsum: _cumsum,
}


def traced(function, argument, *others):
    """The expression of what a function returns.

    Parameters
    ----------
    function : callable
    argument : Traced
        Its first argument.
    *others : object
        Those behind it.

    Returns
    -------
    Traced

    Raises
    ------
    NotImplementedError
        If it does what has no form in ONNX.
    """
    n_tried = 0

    def result(decisions):
        nonlocal n_tried
        n_tried += 1
        if n_tried > _MAX_WAYS:
            raise NotImplementedError(f"it has more than {_MAX_WAYS} ways through it")
        _WAY.begin(decisions)
        returned, way = Traced(function(argument, *others)), _WAY.met
        for n in reversed(range(len(decisions), len(way))):
            before = [*decisions, *([True] * (n - len(decisions)))]
            returned = choose(way[n], returned, result([*before, False]))
        return returned

    return result([])


def _with_globals(function, **names):
    """A function that finds other values by some of its globals' names."""
    return types.FunctionType(function.__code__, function.__globals__ | names)


# In double precision ONNX Runtime has no Erf and no Atan: the polynomials of compiled
# code, without their arithmetic by bits. 2^k exp(r) is exp(x), also with k = 0.
_OF_DOUBLES = {
    "_magnitude_float64": np.absolute,
    "_with_sign_float64": lambda y, x: choose(x < 0.0, -y, y),
    "_split_float64": lambda x: (0.5, x),
    "_expm1_near_0_float64": np.expm1,
}
IN_DOUBLES = {
    # Older ones fuse z times the operator into one that they have no code for.
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Erf": _with_globals(polynomials.erf_float64, **_OF_DOUBLES),
    "Atan": _with_globals(polynomials.arctan_float64, **_OF_DOUBLES),
}
