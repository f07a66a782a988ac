"""Predictions on a device: chunks of rows through the whole network at once.

One of two kernels predicts (see `kernels.predict`): the fused one for narrow networks,
the one that works layer by layer for wide ones. Both take the same arguments and
predict the same bits; they differ in where the layers' outputs are.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors, net_of, reg_of, spec_of
from skmlp.backends.cuda.kernels import predict
from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.kernels.structs import TrainContext, TrainingData, Workspace
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.runtime.memory import (
    allocate,
    download,
    is_on_device,
    upload,
    vector_of,
)
from skmlp.backends.cuda.workspace import forward_workspace, warps_of
from skmlp.network import Network, fold_batch_norm
from skmlp.rules.activations import activation_rule

# Of the outputs of all layers for a chunk of rows, in whichever memory they are; this
# also bounds the time of a launch.
_CHUNK_BYTES = 1 << 27
# Of X on the device at a time.
_UPLOAD_BYTES = 1 << 29


def data_of(x, dtype):
    """X on the device, for kernels that need no targets."""
    no_integers = upload(np.zeros(0, dtype=np.int64))
    no_floats = upload(np.zeros(0, dtype=dtype))
    data = TrainingData(
        x=no_floats,
        indices=no_integers,
        indptr=no_integers,
        targets=no_floats,
        sample_weight=no_floats,
        row_ids=no_integers,
    )
    if not sparse.issparse(x):
        return data._replace(x=vector_of(x))
    indices, indptr = (upload(part.astype(np.int64)) for part in (x.indices, x.indptr))
    return data._replace(x=upload(x.data), indices=indices, indptr=indptr)


class PredictionLaunch(NamedTuple):
    """A launch of one of the two kernels, but for the data.

    Attributes
    ----------
    kernel : compiled kernel
    spec : Spec
    blocks : int
    shared_bytes : int
        Dynamic shared memory of a block.
    ws : Workspace
    """

    kernel: object
    spec: Spec
    blocks: int
    shared_bytes: int
    ws: Workspace


def choose_launch(network, row, dtype, n_rows, features_are_sparse):
    """The launch for at most `n_rows` rows.

    Parameters
    ----------
    network : Network
    row : skmlp.rules.activations.Activation
        Of the outputs.
    dtype : numpy dtype
    n_rows : int
    features_are_sparse : bool

    Returns
    -------
    PredictionLaunch
    """
    embeds = network.embedding is not None
    fused_tile = plan.choose_fused_tile(network.sizes, dtype.itemsize, embeds)
    tile = fused_tile or plan.choose_tile(plan.NEVER_SPLIT)
    spec = spec_of(network, dtype, tile, sparse=features_are_sparse, forward_only=True)
    make = _by_layers if fused_tile is None else _fused
    return make(network, spec, row, n_rows)


def _by_layers(network, spec, row, n_rows):
    """All rows through one layer after the other, with outputs in global memory."""
    work = plan.Work(n_rows, network.shapes, spec.sparse, spec.embeds)
    inputs, *units = network.sizes
    ends = n_rows * np.cumsum([0, inputs if spec.copies_x else 0, *units])
    outputs = allocate(ends[-1], spec.dtype)
    return PredictionLaunch(
        kernel=predict.predicting(spec, row),
        spec=spec,
        blocks=plan.choose_blocks(work, spec.tile, n_processors()),
        shared_bytes=0,
        ws=forward_workspace(ends[:-1], outputs, n_rows),
    )


def _fused(network, spec, row, n_rows):
    """A tile of rows through all layers, with outputs in shared memory."""
    tile_rows = spec.tile.width
    odd, even = plan.fused_buffer_units(network.sizes, spec.copies_x)
    offsets = np.zeros(len(network.sizes))
    offsets[::2] = tile_rows * odd
    no_outputs = upload(np.zeros(0, dtype=spec.dtype))
    return PredictionLaunch(
        kernel=predict.predicting_fused(spec, row),
        spec=spec,
        blocks=plan.blocks_for(-(-n_rows // tile_rows), n_processors()),
        shared_bytes=tile_rows * (odd + even) * spec.dtype.itemsize,
        ws=forward_workspace(offsets, no_outputs, tile_rows),
    )


class Predictor:
    """A network on the device, ready to predict.

    Parameters
    ----------
    network : Network
    parameters : ndarray or device array
        A device array only of a network without batch normalization, which is folded
        on the host.
    activation : str
        Name of the output activation.
    """

    def __init__(self, network, params, activation):
        if isinstance(params, np.ndarray):
            network, params = fold_batch_norm(network, params)
            params = upload(params)
        self._network = network
        self._params = params
        self._row = activation_rule(activation)
        self._dtype = np.dtype(params.dtype)
        self._net = net_of(network, self._dtype)
        self._reg = reg_of(None, self._dtype)

    def predict(self, data, row_ids, features_are_sparse):
        """Outputs of some rows of data on the device."""
        return self._predict(data, row_ids, features_are_sparse, checks_x=False)[0]

    def predict_all(self, data, n_rows):
        """Outputs of all rows of a dense X on the device, and the sum of that X."""
        return self._predict(data, np.arange(n_rows), False, checks_x=True)

    def _predict(self, data, row_ids, features_are_sparse, checks_x):
        """Outputs, and the sum of X if `checks_x`, for which rows must be in order."""
        network, dtype = self._network, self._dtype
        # Rows of X are read in place, embedded ones are not.
        stored = network.sizes[network.embedding is None :]
        row_bytes = sum(stored) * dtype.itemsize
        chunk = max(1, min(len(row_ids), _CHUNK_BYTES // row_bytes))
        launch = choose_launch(network, self._row, dtype, chunk, features_are_sparse)
        columns, checked = network.sizes[-1], network.n_features if checks_x else 0
        out = allocate(chunk * columns, dtype)
        sums = upload(np.zeros(launch.blocks * warps_of(launch.spec), dtype=dtype))
        kernel = configured(
            launch.kernel,
            launch.blocks,
            launch.spec.tile.threads,
            shared_bytes=launch.shared_bytes,
        )
        outputs = np.empty((len(row_ids), columns), dtype=dtype)
        for first in range(0, len(row_ids), chunk):
            ids = row_ids[first : first + chunk]
            last = first + len(ids)
            ctx = TrainContext(
                net=self._net,
                data=data._replace(row_ids=upload(ids)),
                ws=launch.ws,
                reg=self._reg,
                params=self._params,
            )
            kernel(ctx, len(ids), out, data.x[first * checked : last * checked], sums)
            part = outputs[first:last]
            part[:] = download(out[: len(ids) * columns]).reshape(part.shape)
        with np.errstate(invalid="ignore"):  # of infinities of both signs
            return outputs, float(download(sums).sum(dtype=np.float64))


def outputs(network, params, x, activation):
    """Predictions for all rows of X, and whether the sum of a dense X is finite.

    Of an X that is not on the device, `_UPLOAD_BYTES` go there at a time.
    """
    predictor = Predictor(network, params, activation)
    if is_on_device(x):
        data = data_of(x, params.dtype)
        predictions, total = predictor.predict_all(data, x.shape[0])
        return predictions, math.isfinite(total)
    is_sparse = sparse.issparse(x)
    predictions = np.empty((x.shape[0], network.sizes[-1]), dtype=params.dtype)
    total = 0.0
    n_rows = max(1, _UPLOAD_BYTES // max(1, _row_bytes(x)))
    for first in range(0, x.shape[0], n_rows):
        part = x[first : first + n_rows]
        rows = slice(first, first + part.shape[0])
        data = data_of(part, params.dtype)
        if is_sparse:
            row_ids = np.arange(part.shape[0])
            predictions[rows] = predictor.predict(data, row_ids, True)
        else:
            predictions[rows], part_sum = predictor.predict_all(data, part.shape[0])
            total += part_sum
    return predictions, math.isfinite(total)


def _row_bytes(x):
    """Bytes of a row of X on the device."""
    if sparse.issparse(x):
        return int(x.nnz / max(1, x.shape[0]) * (x.data.itemsize + 8)) + 8
    return x.shape[1] * x.itemsize


def evaluate(network, raw, targets, weights):
    """Mean loss of raw outputs, and the predictions that they stand for."""
    losses, out = _evaluated(network, raw, targets, weights)
    total = download(losses)[: len(raw)].sum(dtype=np.float64)
    divisor = len(raw) if weights is None else weights.sum(dtype=np.float64)
    return float(total / divisor), download(out)[: raw.size].reshape(raw.shape)


def row_losses(network, raw, targets):
    """Loss of each row of raw outputs."""
    losses, _ = _evaluated(network, raw, targets, None)
    return download(losses)[: len(raw)].astype(np.float64)


def _evaluated(network, raw, targets, weights):
    """Weighted losses of rows of raw outputs, and predictions, on the device."""
    n_rows, columns = raw.shape
    dtype = raw.dtype
    # A network of one layer, whose product is the raw outputs and whose biases are 0.
    single = Network(
        sizes=(1, columns),
        activations=(),
        loss=network.loss,
        output=network.output,
        loss_params=network.loss_params,
    )
    tile = plan.choose_tile(plan.NEVER_SPLIT)
    spec = spec_of(single, dtype, tile)
    no_x = np.zeros((0, 1), dtype=dtype)
    sample_weight = np.zeros(0, dtype=dtype) if weights is None else weights
    losses = allocate(n_rows, dtype)
    ctx = TrainContext(
        net=net_of(single, dtype),
        data=data_of(no_x, dtype)._replace(
            targets=upload(targets),
            sample_weight=upload(sample_weight),
            row_ids=upload(np.arange(n_rows)),
        ),
        ws=forward_workspace(
            np.zeros(2),
            upload(raw),
            n_rows,
            deltas=allocate(n_rows * columns, dtype),
            losses=losses,
        ),
        reg=reg_of(None, dtype),
        params=upload(np.zeros(2 * columns, dtype=dtype)),
    )
    out = allocate(n_rows * columns, dtype)
    kernel = predict.evaluating(spec, activation_rule(network.output))
    blocks = max(1, min(n_processors(), n_rows // tile.threads + 1))
    configured(kernel, blocks, tile.threads)(ctx, n_rows, out)
    return losses, out
