"""The workspace of a fit: its buffers, for minibatches of one size.

Memory that two cores write at the same time is padded. Otherwise the hardware prefetch
past the end of a block causes false sharing with the next worker's block: passes over a
block took twice as long, and four times on a machine with distant cores.
"""

import numpy as np
from scipy import sparse

from skmlp.backends.cpu import plan
from skmlp.backends.cpu.gemm import matmul
from skmlp.backends.cpu.intrinsics import LINE_BYTES
from skmlp.backends.cpu.kernels.structs import Workspace
from skmlp.network import layout, views


def aligned(size, dtype):
    """An uninitialized vector, aligned to a cache line.

    Large NumPy arrays start 16 bytes after a line, and a register of 64 bytes is then
    loaded from two lines: training takes 1 to 5 % longer.
    """
    n_bytes = size * dtype.itemsize
    memory = np.empty(n_bytes + LINE_BYTES, dtype=np.uint8)
    start = -memory.ctypes.data % LINE_BYTES
    return memory[start : start + n_bytes].view(dtype)


def aligned_copy(values):
    """An aligned copy of a vector."""
    out = aligned(values.size, values.dtype)
    out[:] = values
    return out


def whole_lines(size, dtype):
    """The number of elements, rounded up to whole cache lines."""
    per_line = LINE_BYTES // dtype.itemsize
    return -(-size // per_line) * per_line


def transposed_weights(network, params):
    """Weights of every layer but the first, transposed, one after the other.

    At the end those of the first layer that embedded numbers have.
    """
    coefs, _ = views(network, params)
    parts = [coef.T.ravel() for coef in coefs[1:]]
    if network.embedding is not None:
        parts.append(coefs[0][network.embedding.n_features :].T.ravel())
    return np.concatenate([np.empty(0, params.dtype), *parts])


def make_workspace(problem, batch_size, params):
    """The workspace for batches of a size."""
    network, dtype = problem.network, params.dtype
    sizes = list(network.sizes)
    if sparse.issparse(problem.x):
        sizes[0] = 0  # sparse rows are read in place
    row_block = plan.block_rows(sizes, batch_size, dtype.itemsize)
    n_blocks = -(-batch_size // row_block)
    offsets = layout(network)
    may_reduce = network.normalization != "batch" and not sparse.issparse(problem.x)
    in_blocks = may_reduce and plan.reduces_in_blocks(sizes, batch_size, n_blocks)
    partial_size = offsets.n_trained - (0 if in_blocks else offsets.bias_offsets[0])
    padding = plan.PADDING_BYTES // dtype.itemsize
    # Without partial gradients of the weights, a range's product reads a layer's rows
    # across all blocks: they must be contiguous.
    gap = padding if in_blocks else 0
    stride = whole_lines(partial_size, dtype) + padding
    lengths = [whole_lines(batch_size * units, dtype) for units in sizes]
    ends = np.cumsum([0] + [length + n_blocks * gap for length in lengths])
    normalizes = network.normalization is not None
    ranges = plan.param_ranges(
        network, problem.segments, batch_size, dtype.itemsize, in_blocks=in_blocks
    )
    partial_grads = aligned(n_blocks * stride + offsets.n_trained, dtype)
    stores_preactivations = problem.regularization.dropout or any(
        row.needs_preactivation for row in network.activation_rows
    )
    return Workspace(
        outputs=aligned(ends[-1], dtype),
        deltas=aligned(ends[-1], dtype),
        preactivations=aligned(ends[-1] if stores_preactivations else 0, dtype),
        offsets=ends[:-1].astype(np.int64),
        gap=gap,
        gradient=partial_grads[n_blocks * stride :],
        losses=np.zeros(n_blocks),
        param_sq_sums=np.zeros(len(ranges)),
        grad_sq_sums=np.zeros(len(ranges)),
        partial_grads=partial_grads,
        partial_grads_size=partial_size,
        partial_grads_stride=stride,
        normalized=aligned(ends[-1] if normalizes else 0, dtype),
        inv_stds=aligned(batch_size * len(sizes), dtype),
        param_ranges=np.array(ranges, dtype=np.int64),
        row_block=row_block,
        gemm=matmul.multiplier(dtype, aligned(0, dtype)),
        transposed_weights=aligned_copy(transposed_weights(network, params)),
    )


def workspaces_of_workers(ws, width, n_workers):
    """The workspace with a separate packing buffer for each of some workers.

    Where no products of rows of `width` elements need one, all are the same object.
    """
    dtype = ws.outputs.dtype
    size = matmul.packing_size(width, dtype)
    if size == 0:
        return [ws] * n_workers
    padding = plan.PADDING_BYTES // dtype.itemsize
    buffers = [aligned(size + padding, dtype)[:size] for _ in range(n_workers)]
    return [ws._replace(gemm=matmul.multiplier(dtype, each)) for each in buffers]


def layer_rows(ws, layer, units, n_rows):
    """A copy of a layer's outputs for a batch's first rows, without the gaps."""
    size, first = ws.row_block * units, ws.offsets[layer]
    starts = [first + i * (size + ws.gap) for i in range(-(-n_rows // ws.row_block))]
    blocks = [ws.outputs[start : start + size] for start in starts]
    return np.concatenate(blocks)[: n_rows * units].reshape(n_rows, units)
