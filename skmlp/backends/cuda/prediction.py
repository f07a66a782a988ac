"""Predictions on a device: rows by the chunk, through the whole network at once."""

import math

import numpy as np
from scipy import sparse

from skmlp.backends.cuda import plan, prediction_plan
from skmlp.backends.cuda.binding import extras_of, n_processors, net_of, spec_of
from skmlp.backends.cuda.kernels import predict
from skmlp.backends.cuda.kernels.structs import Data, Room
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.runtime.memory import (
    allocate,
    download,
    is_on_device,
    upload,
    vector_of,
)
from skmlp.backends.cuda.workspace import warps_of
from skmlp.network import Network, fold_batch_norm
from skmlp.rules.activations import activation_rule

# Of the outputs of all layers for a chunk of rows, wherever they are kept: that also
# bounds the time of a launch.
_CHUNK_BYTES = 1 << 27


def data_of(x, dtype):
    """X on the device, for kernels that need no targets."""
    nothing = upload(np.zeros(0, dtype=np.int64))
    none = upload(np.zeros(0, dtype=dtype))
    if sparse.issparse(x):
        indices, indptr = (
            upload(part.astype(np.int64)) for part in (x.indices, x.indptr)
        )
        return Data(upload(x.data), indices, indptr, none, none, nothing)
    return Data(vector_of(x), nothing, nothing, none, none, nothing)


class Predictor:
    """A network on the device, ready to predict.

    Parameters
    ----------
    network : Network
    parameters : ndarray or device array
        The device array of a network without statistics of minibatches to fold.
    activation : str
        Name of the output activation.
    """

    def __init__(self, network, parameters, activation):
        if isinstance(parameters, np.ndarray):
            network, parameters = fold_batch_norm(network, parameters)
            parameters = upload(parameters)
        self._network = network
        self._parameters = parameters
        self._row = activation_rule(activation)
        self._dtype = np.dtype(parameters.dtype)
        self._net = net_of(network, self._dtype)
        self._extras = extras_of(None, self._dtype)

    def predict(self, data, order, features_are_sparse):
        """Outputs of some rows of data on the device."""
        return self._predict(data, order, features_are_sparse, looks=False)[0]

    def predict_all(self, data, n_rows):
        """Outputs of all rows of a dense X on the device, and the sum of that X."""
        return self._predict(data, np.arange(n_rows), False, looks=True)

    def _predict(self, data, order, features_are_sparse, looks):
        """Outputs, and the sum of the rows' X if they are looked at, being in order."""
        network, dtype = self._network, self._dtype
        width = sum(network.sizes[1:]) * dtype.itemsize
        chunk = max(1, min(len(order), _CHUNK_BYTES // width))
        way = prediction_plan.choose(
            network, self._row, dtype, chunk, features_are_sparse
        )
        columns, looked_at = network.sizes[-1], network.sizes[0] if looks else 0
        out = allocate(chunk * columns, dtype)
        sums = upload(np.zeros(way.blocks * warps_of(way.spec), dtype=dtype))
        threads, shared_bytes = way.spec.tile.threads, way.shared_bytes
        found = np.empty((len(order), columns), dtype=dtype)
        for first in range(0, len(order), chunk):
            part = order[first : first + chunk]
            last = first + len(part)
            some = data._replace(order=upload(part))
            configured(way.kernel, way.blocks, threads, shared_bytes=shared_bytes)(
                *(self._net, some, way.room, self._extras, self._parameters),
                *(len(part), out),
                *(data.x[first * looked_at : last * looked_at], sums),
            )
            here = found[first:last]
            here[:] = download(out[: len(part) * columns]).reshape(here.shape)
        with np.errstate(invalid="ignore"):  # of infinities of both signs
            return found, float(download(sums).sum(dtype=np.float64))


def outputs(network, parameters, x, activation):
    """Predictions for all rows of X, and whether the sum of a dense X is finite.

    Rows that do not fit the device go through it a part at a time.
    """
    predictor = Predictor(network, parameters, activation)
    if is_on_device(x):
        found, total = predictor.predict_all(data_of(x, parameters.dtype), x.shape[0])
        return found, math.isfinite(total)
    is_sparse = sparse.issparse(x)
    found = np.empty((x.shape[0], network.sizes[-1]), dtype=parameters.dtype)
    total = 0.0
    step = max(1, _UPLOAD_BYTES // max(1, _row_bytes(x)))
    for first in range(0, x.shape[0], step):
        part = x[first : first + step]
        here = slice(first, first + part.shape[0])
        data = data_of(part, parameters.dtype)
        if is_sparse:
            found[here] = predictor.predict(data, np.arange(part.shape[0]), True)
        else:
            found[here], some = predictor.predict_all(data, part.shape[0])
            total += some
    return found, math.isfinite(total)


# Of X on the device at a time.
_UPLOAD_BYTES = 1 << 29


def _row_bytes(x):
    """Bytes of a row of X on the device."""
    if sparse.issparse(x):
        return int(x.nnz / max(1, x.shape[0]) * (x.data.itemsize + 8)) + 8
    return x.shape[1] * x.itemsize


def evaluate(network, raw, targets, weights):
    """Mean loss of raw outputs, and the predictions that they stand for."""
    n, columns = raw.shape
    dtype = raw.dtype
    single = Network(
        (1, columns), (), network.loss, network.output, network.loss_parameters
    )
    tile = plan.choose_tile(plan.NEVER_FEW)
    spec = spec_of(single, dtype, tile)
    none = upload(np.zeros(0, dtype=dtype))
    nothing = upload(np.zeros(0, dtype=np.int64))
    given = none if weights is None else upload(weights)
    data = Data(
        *(none, nothing, nothing, upload(targets), given),
        upload(np.arange(n)),
    )
    losses = allocate(n, dtype)
    at = upload(np.zeros(2, dtype=np.int64))
    room = Room(
        *(at, upload(raw), allocate(n * columns, dtype), none, none, none, none),
        *(none, losses, none, none, 0, n),
    )
    out = allocate(n * columns, dtype)
    kernel = predict.evaluating(spec, activation_rule(network.output))
    parameters = upload(np.zeros(2 * columns, dtype=dtype))
    blocks = max(1, min(n_processors(), n // tile.threads + 1))
    net = net_of(single, dtype)
    configured(kernel, blocks, tile.threads)(net, data, room, parameters, n, out)
    total = download(losses)[:n].sum(dtype=np.float64)
    by = n if weights is None else weights.sum(dtype=np.float64)
    return float(total / by), download(out)[: n * columns].reshape(raw.shape)
