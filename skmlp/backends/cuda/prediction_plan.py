"""What is launched to predict some rows: one of two kernels, and what it works with.

Narrow networks are for `fused`, wide ones for `predicting`, which brings all rows
through one layer after the other. Both take the same arguments and predict the same
bits; they differ in where the outputs of layers are.
"""

from typing import NamedTuple

import numpy as np

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors, spec_of
from skmlp.backends.cuda.kernels import predict, predict_fused
from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.kernels.structs import Room
from skmlp.backends.cuda.runtime.memory import allocate, upload


class Pass(NamedTuple):
    """A launch, but for the data.

    Attributes
    ----------
    kernel : compiled kernel
    spec : Spec
    blocks : int
    shared_bytes : int
        Dynamic shared memory of a block.
    room : Room
    """

    kernel: object
    spec: Spec
    blocks: int
    shared_bytes: int
    room: Room


def choose(network, row, dtype, n_rows, features_are_sparse):
    """The launch for so many rows.

    Parameters
    ----------
    network : Network
    row : skmlp.rules.activations.Activation
        Of the outputs.
    dtype : numpy dtype
    n_rows : int
        At most.
    features_are_sparse : bool
    """
    fused_tile = plan.choose_fused_tile(network.sizes, dtype.itemsize)
    tile = fused_tile or plan.choose_tile(plan.NEVER_FEW)
    spec = spec_of(network, dtype, tile, sparse=features_are_sparse, forward_only=True)
    make = _by_layers if fused_tile is None else _in_one_go
    return make(network, spec, row, n_rows)


def _by_layers(network, spec, row, n_rows):
    """All rows through one layer after the other, whose outputs are in memory."""
    work = plan.Work(n_rows, network.shapes, spec.sparse)
    blocks = plan.choose_blocks(work, spec.tile, n_processors())
    ends = np.cumsum([0, 0, *(n_rows * units for units in network.sizes[1:])])
    outputs = allocate(ends[-1], spec.dtype)
    room = _room(ends[:-1], outputs, n_rows)
    return Pass(predict.predicting(spec, row), spec, blocks, 0, room)


def _in_one_go(network, spec, row, n_rows):
    """The rows of a tile through all layers, whose outputs are in shared memory."""
    rows = spec.tile.width
    blocks = plan.blocks_for(-(-n_rows // rows), n_processors())
    odd, even = plan.units_by_turns(network.sizes)
    at = np.zeros(len(network.sizes))
    at[2::2] = rows * odd
    room = _room(at, upload(np.zeros(0, dtype=spec.dtype)), rows)
    shared_bytes = rows * (odd + even) * spec.dtype.itemsize
    kernel = predict_fused.predicting_in_one_go(spec, row)
    return Pass(kernel, spec, blocks, shared_bytes, room)


def _room(at, outputs, n_rows):
    """A room for what goes forward only: for outputs."""
    none = upload(np.zeros(0, dtype=outputs.dtype))
    return Room(
        *(upload(at.astype(np.int64)), outputs, none, none, none, none),
        *(none, none, none, none, none, 0, n_rows),
    )
