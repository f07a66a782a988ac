"""Diagnosis of hidden layers: dead and saturated units, vanishing gradients.

A loss curve does not show whether units die, saturate or get no gradient. The figures
are computed by the reference backend, which is the definition of the network, in
float64 whatever the model's precision.
"""

import copy
import functools
import html
import math
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp.backends import reference
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.data import (
    Sample,
    UserInput,
    as_supported,
    canonical_x,
    combine_weights,
    reject_masked,
)
from skmlp.estimators.dead_units import dead_units
from skmlp.rules.activations import (
    IDENTITY,
    LARGEST_SLOPE_BY_ROWS,
    activation_rule,
)

# A slope below this fraction of the activation's largest one counts as saturated.
_SATURATED = 0.05
# Inputs where the largest slope is searched, and the ends that may be flat.
_MIDDLE = np.linspace(-10.0, 10.0, 2001)
_ENDS = np.array([-100.0, 100.0])
_CHUNK = 1000


class LayerReport(NamedTuple):
    """The figures of one hidden layer.

    Attributes
    ----------
    layer : int
        Index of the hidden layer, from 0.
    activation : str
        Its name.
    units : int
        How many it has.
    dead : float
        Fraction of the units whose slope is 0 for every row: no gradient reaches their
        weights. For 'relu' they are the units that are 0 for every row.
    saturated : float
        Fraction of the outputs (rows times units) where the activation's slope is below
        5 % of its largest slope; nan for activations that are not flat at both ends.
    mean, spread : float
        Mean and standard deviation of the outputs.
    slope : float
        Root mean square of the activation's slopes, by which the layer scales the
        gradient.
    gradient : float
        Root mean square, over rows and units, of the gradient of a row's loss by the
        inputs of the activation; nan without y.
    factor : float
        `gradient` over that of the next layer, the last hidden layer's over that of the
        output layer. Below 1, the gradient vanishes backwards, above 1 it grows;
        nan without y.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier, diagnose
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((20,), learning_rate="cosine", random_state=0)
    >>> model = model.fit(X, y)
    >>> (report,) = diagnose(model, X, y).rows
    >>> report.activation, report.units
    ('relu', 20)
    """

    layer: int
    activation: str
    units: int
    dead: float
    saturated: float
    mean: float
    spread: float
    slope: float
    gradient: float
    factor: float


_FORMATS = {
    "dead": "{:.1%}",
    "saturated": "{:.1%}",
    "mean": "{:.3g}",
    "spread": "{:.3g}",
    "slope": "{:.3g}",
    "gradient": "{:.2e}",
    "factor": "{:.3g}",
}


class LayerTable:
    """The table that `diagnose` returns, one row per hidden layer.

    Attributes
    ----------
    rows : list of LayerReport
        From the first hidden layer to the last.
    n_samples : int
        Rows of X with a positive weight.
    output_gradient : float
        Root mean square of the gradient by the raw outputs; nan without y.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmlp import MLPClassifier, diagnose
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((20,), learning_rate="cosine", random_state=0)
    >>> model = model.fit(X, y)
    >>> print(diagnose(model, X))
    hidden layers on 150 rows
    layer  activation  units  dead ...
    """

    def __init__(self, rows, n_samples, output_gradient):
        self.rows = rows
        self.n_samples = n_samples
        self.output_gradient = output_gradient

    def to_dict(self) -> dict[str, Any]:
        """Columns by name: ``pandas.DataFrame(table.to_dict())`` is the table.

        Returns
        -------
        dict of lists
            An element for each hidden layer.
        """
        names = LayerReport._fields
        return {name: [getattr(row, name) for row in self.rows] for name in names}

    def _cells(self):
        """The table as text, line by line, without columns that are all nan."""
        columns = self.to_dict()
        for name, form in _FORMATS.items():
            values = columns[name]
            if all(math.isnan(value) for value in values):
                del columns[name]
            else:
                columns[name] = [
                    "-" if math.isnan(value) else form.format(value) for value in values
                ]
        return [list(columns), *zip(*columns.values(), strict=True)]

    def _title(self):
        if not self.rows:
            return "no hidden layers"
        return f"hidden layers on {self.n_samples:,} rows"

    def __str__(self):
        if not self.rows:
            return self._title()
        cells = [[str(cell) for cell in line] for line in self._cells()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = (
            "  ".join(
                cell.rjust(width) for cell, width in zip(line, widths, strict=True)
            )
            for line in cells
        )
        return "\n".join([self._title(), *lines])

    __repr__ = __str__

    def _repr_html_(self):
        if not self.rows:
            return f"<p>{self._title()}</p>"
        head, *body = (
            [f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in line]
            for tag, line in zip(
                ["th"] + ["td"] * len(self.rows), self._cells(), strict=True
            )
        )
        lines = "".join(f"<tr>{''.join(line)}</tr>" for line in (head, *body))
        return f"<table><caption>{self._title()}</caption>{lines}</table>"


def diagnose(
    model: Any, X: Any, y: Any = None, sample_weight: Any = None
) -> "LayerTable":
    """Diagnose the hidden layers of a fitted network on some data.

    Computes about a million activations a second in NumPy: for large data, a sample of
    a few thousand rows tells as much.

    Parameters
    ----------
    model : MLPClassifier or MLPRegressor
        Fitted. For a pipeline pass its last step, and X as that step receives it.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Labels or numbers, to compute the gradient of the model's loss.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; with y they are multiplied by the model's ``class_weight``,
        as in training; 'balanced' balances the rows given here.

    Returns
    -------
    LayerTable
        With a `LayerReport` per hidden layer; it prints itself.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    TypeError
        If the model is not one of this package.
    ValueError
        For data that cannot be used.

    Examples
    --------
    >>> import skmlp
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = skmlp.MLPClassifier((20, 5), learning_rate="cosine", random_state=0)
    >>> model = model.fit(X, y)
    >>> table = skmlp.diagnose(model, X, y)
    >>> table.rows[0].units
    20
    """
    if not isinstance(model, BaseMLP):
        raise TypeError(
            "diagnose takes a fitted MLPClassifier or MLPRegressor of skmlp, got "
            f"{type(model).__name__}. Of a pipeline pass the last step, and X as that "
            "step gets it: diagnose(pipeline[-1], pipeline[:-1].transform(X), y)."
        )
    check_is_fitted(model)
    sample = _validate(
        model, as_supported(model.device, UserInput(X, y, sample_weight))
    )
    network, params = _network(model, sample.targets)
    tallies = [_Tally(activation) for activation in network.activations]
    outputs = _Tally(IDENTITY)
    row_ids = sample.row_ids
    for start in range(0, len(row_ids), _CHUNK):
        chunk = row_ids[start : start + _CHUNK]
        weights = np.ones(len(chunk))
        if sample.sample_weight is not None:
            weights = sample.sample_weight[chunk]
        targets = None if sample.targets is None else sample.targets[chunk]
        trace = reference.trace(network, params, sample.x[chunk], targets)
        inputs, layers, deltas = trace
        for i, tally in enumerate(tallies):
            tally.add(inputs[i], layers[i], weights)
        if deltas is not None:
            for tally, delta in zip([*tallies, outputs], deltas, strict=True):
                tally.add_gradient(delta, weights)
    reports = [tally.report(i, tallies, outputs) for i, tally in enumerate(tallies)]
    return LayerTable(reports, len(row_ids), outputs.gradient)


def _validate(model, user_input):
    """The data as a `Sample`, whose y and targets are None without y."""
    if user_input.y is not None:
        # A warm start would demand that all classes are there.
        reader = copy.copy(model)
        reader.warm_start = False
        return reader._validate(user_input, first=False)
    dtype = model.coefs_[0].dtype
    reject_masked(sample_weight=user_input.sample_weight)
    x = canonical_x(model._validate_for_prediction(user_input.X), dtype)
    weights, row_ids = combine_weights(user_input.sample_weight, x, dtype)
    return Sample(x=x, y=None, targets=None, sample_weight=weights, row_ids=row_ids)


def _network(model, targets):
    """The fitted network, with a loss if there are targets; float64 parameters."""
    network, params = model._fitted_network()
    params = params.astype(np.float64)
    if targets is None:
        return network, params
    n_outputs, loss, loss_params = model._head(targets)
    if n_outputs != network.sizes[-1]:
        raise ValueError(
            f"y has {targets.shape[1]} columns, for which a network has {n_outputs} "
            f"outputs; this one was trained with {network.sizes[-1]}."
        )
    return network._replace(loss=loss, loss_params=loss_params), params


@functools.lru_cache(maxsize=64)
def _largest_slope(activation):
    """Largest absolute slope of an activation; nan if it is not flat at both ends."""
    row = activation_rule(activation)
    if row.by_rows:
        return LARGEST_SLOPE_BY_ROWS
    value = np.vectorize(row.value, otypes=[np.float64])
    with np.errstate(all="ignore"):
        middle, ends = (
            np.abs(reference.slope(activation, z, value(z))) for z in (_MIDDLE, _ENDS)
        )
    largest = np.nanmax(middle)
    return float(largest) if np.all(ends < _SATURATED * largest) else math.nan


class _Tally:
    """Sums over chunks of rows for one layer."""

    def __init__(self, activation):
        self.activation = activation
        self.dead = np.ones(1, dtype=bool)
        self.center = 0.0
        self.weight = self.saturated = self.shifted = self.squares = self.slopes = 0.0
        self.gradient_weight = self.gradients = 0.0

    def add(self, z, a, weights):
        """Add a chunk's inputs and outputs."""
        slope = np.abs(reference.slope(self.activation, z, a))
        self.dead = self.dead & dead_units(slope)
        # Deviations from a number near the mean, whose squares do not cancel.
        if self.weight == 0:
            self.center = float(np.mean(a))
        deviations = a - self.center
        self.weight += a.shape[1] * weights.sum()
        self.shifted += weights @ deviations.sum(axis=1)
        self.squares += weights @ (deviations**2).sum(axis=1)
        self.slopes += weights @ (slope**2).sum(axis=1)
        limit = _SATURATED * _largest_slope(self.activation)
        self.saturated += weights @ (slope < limit).sum(axis=1)

    def add_gradient(self, delta, weights):
        """Add a chunk's gradients."""
        self.gradient_weight += delta.shape[1] * weights.sum()
        self.gradients += weights @ (delta**2).sum(axis=1)

    @property
    def gradient(self):
        """Root mean square of the gradients; nan without any."""
        if self.gradient_weight == 0:
            return math.nan
        return math.sqrt(self.gradients / self.gradient_weight)

    def report(self, layer, tallies, outputs):
        """The layer's row; the gradient is compared with the next layer's."""
        next_gradient = [*tallies, outputs][layer + 1].gradient
        bounded = not math.isnan(_largest_slope(self.activation))
        shift = self.shifted / self.weight
        return LayerReport(
            layer=layer,
            activation=getattr(self.activation, "name", self.activation),
            units=len(self.dead),
            dead=float(np.mean(self.dead)),
            saturated=self.saturated / self.weight if bounded else math.nan,
            mean=float(self.center + shift),
            spread=math.sqrt(max(0.0, self.squares / self.weight - shift**2)),
            slope=math.sqrt(self.slopes / self.weight),
            gradient=self.gradient,
            factor=self.gradient / next_gradient if next_gradient > 0 else math.nan,
        )
