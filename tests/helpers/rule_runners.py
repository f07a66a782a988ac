"""How the tests run a rule: in Python, and compiled as the backends compile it.

Also the losses of the tables, by name, with targets in the range of each.
"""

import functools

import numpy as np
from numba import njit

from skmlp.backends.cpu.kernels import losses as loss_loops
from skmlp.backends.reference_rules import losses as loss_by_definition
from skmlp.compiler import jit
from skmlp.network import Network
from skmlp.rules.loss_choice import all_losses
from skmlp.rules.losses import BINARY_LOSSES

DTYPES = [np.float32, np.float64]


@functools.cache
def compiled(function, n_arguments=1):
    """A scalar rule inlined into a loop that vectorizes; it must keep the dtype."""
    rule = jit.inline_always(function)
    if n_arguments == 1:

        def loop(out, a):
            for i in range(out.shape[0]):
                out[i] = rule(a[i])

    elif n_arguments == 2:

        def loop(out, a, b):
            for i in range(out.shape[0]):
                out[i] = rule(a[i], b[i])

    elif n_arguments == 3:

        def loop(out, a, b, c):
            for i in range(out.shape[0]):
                out[i] = rule(a[i], b[i], c[i])

    else:

        def loop(out, a, b, c, d):
            for i in range(out.shape[0]):
                out[i] = rule(a[i], b[i], c[i], d[i])

    kernel = njit(loop)

    def run(*arrays):
        out = np.empty_like(arrays[0])
        kernel(out, *arrays)
        for kinds, compilation in rule.overloads.items():
            assert compilation.signature.return_type == kinds[0]
        return out

    return run


def in_python(function, n_arguments=1):
    def run(*arrays):
        with np.errstate(all="ignore"):
            values = [function(*scalars) for scalars in zip(*arrays, strict=True)]
        assert all(type(value) is arrays[0].dtype.type for value in values)
        return np.array(values, dtype=arrays[0].dtype)

    return run


RUNNERS = {"python": in_python, "compiled": compiled}


@njit
def _call_loss(address, arguments):
    return loss_loops.call_loss(address, arguments)


def losses_and_gradients(row, targets, z, parameters=(0.0,), *, backend="cpu"):
    """Loss of every row of raw outputs and its gradient by them, by a backend."""
    z = np.ascontiguousarray(z)
    targets = np.array(targets, dtype=z.dtype, order="C")
    if backend == "reference":
        network = Network((1, z.shape[1]), (), row, row.output, parameters)
        with np.errstate(all="ignore"):
            return loss_by_definition(network, targets, z.astype(np.float64))
    address = loss_loops.loss(row, z.dtype)
    delta, losses = np.empty_like(z), np.empty(len(z))
    targets.flags.writeable = False
    weights = np.empty(0, z.dtype)
    weights.flags.writeable = False
    p = np.array(parameters, z.dtype)
    for i in range(len(z)):
        number = np.array([i])
        number.flags.writeable = False
        some = (z[i : i + 1].copy(), delta[i : i + 1], targets, weights, number)
        losses[i] = _call_loss(address, (*some, z.dtype.type(1), p))
    return losses, delta


LOSSES = all_losses()
BINARY = list(BINARY_LOSSES.values())
LEVELS = (0.1, 0.5, 0.8)
# Values of the losses' parameters in these tests, where they are not the defaults.
PARAMETERS = {
    "quantile": (0.3,),
    "quantiles": LEVELS,
    "huber": (0.8,),
    "focal": (2.0, 0.3),
}
# Classes of the columns of losses of several.
SIZES = (3, 1, 2)


def name_of(row):
    kinds = {
        "-labels": row.labels,
        "-columns": row.by_column,
        "-shares": is_of_shares(row),
    }
    kind = next((kind for kind, is_kind in kinds.items() if is_kind), "")
    return f"{row.name}-{row.output}{kind}"


def is_of_shares(row):
    """Whether the targets of a regression's loss end at one."""
    return row.high == 1 and row.link is None


def parameters_of(row):
    if row.name in PARAMETERS:
        return PARAMETERS[row.name]
    defaults = tuple(float(parameter.default) for parameter in row.declares) or (0.0,)
    return (*map(float, SIZES), *defaults) if row.by_column else defaults


def smoothed_parameters(row, smoothing):
    """Parameters of a loss with label smoothing, which is the last of them."""
    return (*parameters_of(row)[:-1], smoothing)


def row_of(name):
    return next(row for row in LOSSES if name_of(row) == name)


def evaluate(row, y, z, backend="cpu", **settings):
    parameters = settings.get("parameters", parameters_of(row))
    return losses_and_gradients(row, y, z, parameters, backend=backend)


def one_hot(y, z):
    return (np.arange(z.shape[1]) == y).astype(float)


def targets_of(row, n_rows, rng):
    """Targets over all of a loss's range, its ends and zeros included."""
    if row.labels:
        return rng.integers(0, 4, (n_rows, 1)).astype(float)
    if row.by_column:
        return rng.integers(0, SIZES, (n_rows, len(SIZES))).astype(float)
    columns = {0: 1, 1: 3, 2: 2}[row.outputs_per_target]
    if row in BINARY:
        return rng.integers(0, 2, (n_rows, columns)).astype(float)
    low, high = max(row.low, -3.0), min(row.high, 3.0)
    y = rng.uniform(low if row.closed else low + 0.01, high, (n_rows, columns))
    if row.closed and row.low == 0:
        y[rng.random(y.shape) < 0.3] = 0.0
    if is_of_shares(row):
        y[rng.random(y.shape) < 0.3] = 1.0
    return y


def outputs_of(row, n_columns):
    """Number of raw outputs."""
    if row.labels:
        return 4 - row.ordered
    if row.by_column:
        return sum(SIZES)
    return n_columns * row.outputs_per_target or len(LEVELS)
