"""What a row of the tables of losses says, and the part of it that users may set.

`Loss` is public: a value and a slope by scalars. `LossRow` has in addition what only
the tables need: rules of whole rows, links, several outputs for a target, and how raw
outputs are decoded. `row_of` turns the first into the second, here and nowhere else.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from skmlp.rules.activations import IDENTITY, Activation
from skmlp.rules.checks import check_loss
from skmlp.rules.own_functions import canonical
from skmlp.rules.parameters import Parameter

# Scalar rules are compiled for this many parameters at most.
MAX_PARAMETERS = 3


class Loss(NamedTuple):
    """A custom loss by raw output, for the parameter ``loss``.

    Its functions are scalar functions that Numba can compile (see `Activation`).

    Parameters
    ----------
    name : str
        Name for error messages.
    output : str
        Name of the output activation that turns z into the prediction.
    value : callable
        ``value(y, z, *parameters)``, the loss for one element of the target; scalars
        of one dtype. In a classifier y is 1 for the output of the true class and 0
        for the others.
    slope : callable
        ``slope(y, z, *parameters)``, its derivative by z.
    parameters : tuple of str, default=()
        Names of the estimator's parameters that both take after z, three at most:
        'quantile', 'delta' and 'power' in regression, 'focal_gamma' and 'focal_alpha'
        in classification.
    low, high : float, default=-inf, inf
        Range of the targets; not needed for classes.
    closed : bool, default=True
        Whether `low` itself is in the range.

    Examples
    --------
    >>> from skmlp import Loss
    >>> import numpy as np
    >>> cosh = Loss("cosh", "identity", lambda y, z: np.cosh(z - y) - 1,
    ...             lambda y, z: np.sinh(z - y))
    """

    name: str
    output: str
    value: Callable
    slope: Callable
    parameters: tuple[str, ...] = ()
    low: float = float("-inf")
    high: float = float("inf")
    closed: bool = True


class Decoder(NamedTuple):
    """What the outputs of a fitted network mean.

    Attributes
    ----------
    decode : callable
    std : callable or None
        As in `LossRow`.
    levels : tuple of float or None
        Levels of the quantiles that the columns of the prediction are.
    params : tuple of float
        The loss's parameters.
    """

    decode: Callable
    std: Callable | None
    levels: tuple[float, ...] | None
    params: tuple[float, ...]

    def prediction(self, outputs):
        """Predicted targets, of shape (n_samples, n_columns)."""
        return self.decode(outputs, self.params)

    def standard_deviation(self, outputs):
        """Standard deviations of the targets, of the same shape; only with `std`."""
        assert self.std is not None
        return self.std(outputs, self.params)


def unchanged(outputs, params):
    """The outputs are the prediction."""
    return outputs


def one_number_each(row, settings, n_columns):
    """Values of the row's parameters, each a single number."""
    values = []
    for parameter in row.declares:
        value = getattr(settings, parameter.name)
        if value is None or np.iterable(value):
            raise ValueError(f"{parameter.name} must be one number for this loss.")
        values.append(float(value))
    return tuple(values) or (0.0,)


class LossRow(NamedTuple):
    """A row of the tables of losses; functions are scalar rules unless noted.

    Attributes
    ----------
    name : str
        The value of the parameter ``loss``.
    output : str
        Name of the output activation that turns z into the prediction.
    value : callable or None
        ``value(y, z, *parameters)``, the loss for one element of the target. Without
        `value` and `row` the loss is softmax cross-entropy, which each backend writes
        as one loop.
    slope : callable or None
        ``slope(y, z, *parameters)``, its derivative by z.
    row : callable or None
        Instead of the two: ``row(y, z, delta, p)`` takes vectors, the targets and raw
        outputs of one row, writes the gradient to `delta` and returns the loss; p is
        the vector of the parameters' values.
    parameters : tuple of Parameter
        The estimator's parameters that the rules take; `MAX_PARAMETERS` at most for
        scalar rules.
    smoothing : Parameter or None
        The parameter by which labels are smoothed (see `losses.smoothed`), where the
        loss allows it. Its value follows those of `parameters`.
    link : Activation or None
        What scalar rules take instead of z: its value at z.
    outputs_per_target : int
        Raw outputs for one column of the target, blocks of a column each; 0 for a
        single column with as many outputs as the parameter has values.
    labels : bool
        Whether the target is the index of a class; a scalar rule is then called with
        y = 1 for the output of that index and y = 0 for the others.
    ordered : bool
        Whether the classes are in an order: the outputs are one less than the classes.
    by_column : bool
        Whether the target is the index of a class in each of several columns: the
        outputs are a block a column, and the values of the parameters begin with the
        blocks' sizes.
    low, high : float
        Range of the targets; not needed for classes.
    closed : bool
        Whether `low` itself is in the range.
    read : callable
        ``read(row, settings, n_columns)``, the values of the parameters as a tuple of
        float, from an object that has the estimator's parameters as attributes; raises
        ValueError for values that the constraints cannot exclude.
    decode : callable
        ``decode(outputs, params)``, the prediction (n_samples, n_columns) from arrays
        of the network's outputs and the parameters' values.
    std : callable or None
        ``std(outputs, params)``, the standard deviation of the same shape.
    levels : bool
        Whether the predictions are quantiles whose levels are the parameters' values.
    of_list : LossRow or None
        The row that takes over where the parameter is a list.
    constant : callable or None
        ``constant(targets, weights, params, n_outputs)``, the mean loss of the best
        constant prediction (see `best_constant`); None to search for it.
    proper : bool
        Whether the expected loss of a probability is least at the true one (Gneiting
        and Raftery, 2007).
    about : str
        Distribution and formula, for the documentation.
    """

    name: str
    output: str
    value: Callable | None = None
    slope: Callable | None = None
    row: Callable | None = None
    parameters: tuple[Parameter, ...] = ()
    smoothing: Parameter | None = None
    link: Activation | None = None
    outputs_per_target: int = 1
    labels: bool = False
    ordered: bool = False
    by_column: bool = False
    low: float = float("-inf")
    high: float = float("inf")
    closed: bool = True
    read: Callable = one_number_each
    decode: Callable = unchanged
    std: Callable | None = None
    levels: bool = False
    of_list: "LossRow | None" = None
    constant: Callable | None = None
    proper: bool = True
    about: str = ""

    @property
    def declares(self):
        """All parameters of the estimator that the row reads."""
        return self.parameters + ((self.smoothing,) if self.smoothing else ())

    @property
    def is_margin(self):
        """Whether a classifier's outputs are margins and not probabilities."""
        return self.output == IDENTITY

    def loss_params(self, settings, n_columns):
        """Values of the parameters; see `read`."""
        return self.read(self, settings, n_columns)

    def n_outputs(self, n_columns, params):
        """Raw outputs of a network for a target of some columns."""
        return n_columns * self.outputs_per_target or len(params)

    def target_columns(self, n_outputs, n_params):
        """Columns of the target, by the numbers of raw outputs and of parameters."""
        if self.by_column:
            return n_params - len(self.declares)
        if self.labels or self.outputs_per_target == 0:
            return 1
        return n_outputs // self.outputs_per_target

    def decoder(self, params):
        """What the outputs of a network that is trained with these values mean."""
        levels = params if self.levels else None
        return Decoder(self.decode, self.std, levels, params)


def takes_tuple(rule, n_params):
    """A scalar rule as a function of y, z and the tuple of its parameters.

    Compiled code has no ``rule(y, z, *p)``; hence a function for each number.
    """
    return (
        lambda y, z, p: rule(y, z),
        lambda y, z, p: rule(y, z, p[0]),
        lambda y, z, p: rule(y, z, p[0], p[1]),
        lambda y, z, p: rule(y, z, p[0], p[1], p[2]),
    )[n_params]


def first_params(n_params):
    """The function that makes that tuple, never empty, of the vector of all values."""
    return (
        lambda p: (p[0],),
        lambda p: (p[0],),
        lambda p: (p[0], p[1]),
        lambda p: (p[0], p[1], p[2]),
    )[n_params]


def smoothing_param(row):
    """The function that finds the label smoothing in the vector of all values."""
    index = len(row.parameters)
    return (lambda p: p[index]) if row.smoothing else (lambda p: type(p[0])(0))


def row_of(loss, outputs, parameters, *, labels=False):
    """The row of a custom loss, once it is checked.

    Parameters
    ----------
    loss : Loss
    outputs : collection of str
        Output activations that the estimator knows here.
    parameters : dict of str to Parameter
        The estimator's parameters that a loss may take.
    labels : bool, default=False
        Whether its targets are 0 and 1, and nothing between.

    Returns
    -------
    LossRow

    Raises
    ------
    ValueError
        If its slope is not the derivative of its value, or for an output or a
        parameter that the estimator does not have.
    """
    loss = loss._replace(value=canonical(loss.value), slope=canonical(loss.slope))
    check_loss(loss, labels=labels)
    if loss.output not in outputs:
        raise ValueError(
            f"loss {loss.name!r} has output={loss.output!r}, which must be one of "
            f"{', '.join(map(repr, outputs))} here."
        )
    if len(loss.parameters) > MAX_PARAMETERS:
        raise ValueError(
            f"loss {loss.name!r} has {len(loss.parameters)} parameters, but may have "
            f"{MAX_PARAMETERS} at most."
        )
    names = " or ".join(map(repr, parameters)) if parameters else "empty"
    for name in loss.parameters:
        if name not in parameters:
            raise ValueError(
                f"loss {loss.name!r} has the parameter {name!r}, but its parameters "
                f"must be {names} here."
            )
    return LossRow(
        name=loss.name,
        output=loss.output,
        value=loss.value,
        slope=loss.slope,
        parameters=tuple(parameters[name] for name in loss.parameters),
        low=loss.low,
        high=loss.high,
        closed=loss.closed,
    )
