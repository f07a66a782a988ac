"""A network and its data in the form that kernels read.

Here the rules of a network become addresses of compiled loops, and arrays get the few
types that kernels are compiled for.
"""

import functools
from types import SimpleNamespace

import numpy as np
from scipy import sparse

from skmlp.backends.cpu.kernels import elementwise, losses
from skmlp.backends.cpu.kernels.embedding import EmbeddedRows, find_bins
from skmlp.backends.cpu.kernels.input_layer import SparseRows
from skmlp.backends.cpu.kernels.layer_norm import layer_norm_loops
from skmlp.backends.cpu.kernels.structs import NetDesc
from skmlp.compiler.struct_pointer import PackedStruct
from skmlp.network import embedding_part, layout
from skmlp.rules.activations import activation_rule


def read_only(array):
    """A read-only view: kernels see one type, whether the caller's array is writable.

    Numba would otherwise compile a kernel for each.
    """
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def as_if_writable(array):
    """The array's memory as a writable array, for kernels that only read it.

    As `read_only`, but where most arrays are writable: those of a model are, unless it
    is memory-mapped.
    """
    if array.flags.writeable:
        return array
    interface = dict(array.__array_interface__)
    interface["data"] = (interface["data"][0], False)
    # It holds the array, which owns the memory.
    return np.asarray(SimpleNamespace(__array_interface__=interface, owner=array))


def kernel_x(x, network, params):
    """X in the form of `input_layer`, for a network with some parameters."""
    if network.embedding is not None:
        return Bins(network, params.dtype).embedded_rows(x, params)
    if sparse.issparse(x):
        return SparseRows(*map(read_only, (x.data, x.indices, x.indptr)))
    return read_only(x)


class Bins:
    """The bins of an embedding as kernels read them.

    Parameters
    ----------
    network : Network
    dtype : dtype
    """

    def __init__(self, network, dtype):
        self._network = network
        embedding = network.embedding
        self._n_bins = _int_array(embedding.n_bins)
        self._columns = _int_array(embedding.columns)
        self._edges = np.concatenate([np.empty(0), *embedding.edges]).astype(dtype)
        self._offset = layout(network).embedding_offset
        # Parameters, and the embeddings of the edges by them.
        self._seen: tuple | None = None

    def knots(self, params):
        """Embeddings of the edges; those of the last call if they have not changed."""
        part = embedding_part(self._network, params)
        seen = self._seen
        if seen is None or not np.array_equal(part, seen[0]):
            seen = self._seen = part.copy(), self._network.embedding.knots(part)
        return seen[1]

    def embedded_rows(self, x, params):
        """X with the bins of its embedded columns, and the embeddings of the edges."""
        shape = (len(x), len(self._columns))
        knot_ids = np.empty(shape, dtype=np.int32)
        positions = np.empty(shape, dtype=params.dtype)
        find_bins(
            read_only(x), self._columns, self._edges, self._n_bins, knot_ids, positions
        )
        embedding = self._network.embedding
        return EmbeddedRows(
            x=read_only(x),
            knot_ids=knot_ids,
            positions=positions,
            knots=self.knots(params),
            n_bins=self._n_bins,
            dim=embedding.dim,
            width=embedding.width,
            offset=self._offset,
        )


def _net_desc(network, dtype):
    """The network for the kernels, without the loops that only training calls."""
    offsets = layout(network)
    has_layer_norm = network.normalization == "layer"
    forward, in_predictions, backward = (
        layer_norm_loops(dtype) if has_layer_norm else (0, 0, 0)
    )
    return NetDesc(
        sizes=_int_array(network.sizes),
        weight_offsets=_int_array(offsets.weight_offsets),
        bias_offsets=_int_array(offsets.bias_offsets),
        activation_fns=_int_array(
            elementwise.activation(row, dtype, in_place=True)
            for row in network.activation_rows
        ),
        slope_fns=_int_array(()),
        single_output_slope_fns=_int_array(()),
        needs_preactivation=np.zeros(len(network.activation_rows), dtype=np.int64),
        stores_preactivation=np.zeros(len(network.activation_rows), dtype=np.int64),
        loss_fn=0,
        loss_params=np.zeros(1, dtype=dtype),
        scale_offsets=_int_array(offsets.scale_offsets),
        layer_norm_fn=forward,
        layer_norm_predict_fn=in_predictions,
        layer_norm_backward_fn=backward,
    )


def _int_array(values):
    return np.array([*values], dtype=np.int64)


def training_net(network, dtype, *, has_dropout):
    """The network with all loops of a minibatch."""
    rows = network.activation_rows
    # Dropout comes between the product and the slope, which this loop combines.
    has_single_output = network.sizes[-1] == 1 and not has_dropout
    single_output_slopes = (
        [elementwise.single_output_slope(row, dtype) for row in rows]
        if has_single_output
        else []
    )
    needs_preactivation = _int_array(row.needs_preactivation for row in rows)
    return _net_desc(network, dtype)._replace(
        activation_fns=_int_array(
            elementwise.activation(row, dtype, in_place=not row.needs_preactivation)
            for row in rows
        ),
        slope_fns=_int_array(elementwise.slope(row, dtype) for row in rows),
        single_output_slope_fns=_int_array(single_output_slopes),
        needs_preactivation=needs_preactivation,
        stores_preactivation=(
            np.ones_like(needs_preactivation) if has_dropout else needs_preactivation
        ),
        loss_fn=losses.loss(network.loss, dtype),
        loss_params=np.array(network.loss_params, dtype=dtype),
    )


@functools.lru_cache(maxsize=64)
def prediction_net(network, output, dtype):
    """The network with an output activation, for `predict`."""
    net = _net_desc(network, dtype)
    last = elementwise.activation(activation_rule(output), dtype, in_place=True)
    return PackedStruct(
        net._replace(activation_fns=np.append(net.activation_fns, last))
    )
