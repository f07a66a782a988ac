"""The working memory of a fit on the CPU, for minibatches of one size.

What one core writes lies apart from what another one writes at the same time. A core
fetches ahead of the addresses that it runs through, beyond their end, too, and would
take from the other what that one is about to write: passes over a block took twice as
long, and where cores are far from each other four times.
"""

import numpy as np
from scipy import sparse

from skmlp.backends.cpu import plan
from skmlp.backends.cpu.gemm import matmul
from skmlp.backends.cpu.intrinsics import LINE_BYTES
from skmlp.backends.cpu.kernels.structs import Room
from skmlp.network import layout, views


def aligned(size, dtype):
    """A vector, not filled, that begins where a line of the cache does.

    Large arrays of NumPy's begin 16 bytes later, and a register of 64 bytes is then
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
    """The number of elements of the lines that hold so many."""
    per_line = LINE_BYTES // dtype.itemsize
    return -(-size // per_line) * per_line


def transposed(network, parameters):
    """Every layer's weights but the first's, transposed, one after the other."""
    coefs, _ = views(network, parameters)
    parts = [coef.T.ravel() for coef in coefs[1:]]
    return np.concatenate([np.empty(0, parameters.dtype), *parts])


def make_room(problem, batch_size, parameters):
    """Working memory for batches of a size."""
    network, dtype = problem.network, parameters.dtype
    sizes = list(network.sizes)
    if sparse.issparse(problem.x):
        sizes[0] = 0  # sparse rows are read where they lie
    block = plan.block_rows(sizes, batch_size, dtype.itemsize)
    n_blocks = -(-batch_size // block)
    offsets = layout(network)
    may_sum = network.normalization != "batch" and not sparse.issparse(problem.x)
    sums_all = may_sum and plan.sums_blocks(sizes, batch_size, n_blocks)
    sums_size = offsets.n_trained - (0 if sums_all else offsets.bias_offsets[0])
    between = plan.GAP_BYTES // dtype.itemsize
    # Slabs of a gradient of its own read a layer's rows across all blocks.
    gap = between if sums_all else 0
    sums_step = whole_lines(sums_size, dtype) + between
    lengths = [whole_lines(batch_size * units, dtype) for units in sizes]
    ends = np.cumsum([0] + [length + n_blocks * gap for length in lengths])
    normalizes = network.normalization is not None
    slabs = plan.slabs(network, batch_size, dtype.itemsize, summed=sums_all)
    sums = aligned(n_blocks * sums_step + offsets.n_trained, dtype)
    keeps = problem.regularization.dropout or any(
        row.needs_preactivation for row in network.activation_rows
    )
    return Room(
        outputs=aligned(ends[-1], dtype),
        deltas=aligned(ends[-1], dtype),
        inputs=aligned(ends[-1] if keeps else 0, dtype),
        at=ends[:-1].astype(np.int64),
        gap=gap,
        gradient=sums[n_blocks * sums_step :],
        losses=np.zeros(n_blocks),
        squares=np.zeros(len(slabs)),
        norms=np.zeros(len(slabs)),
        sums=sums,
        sums_size=sums_size,
        sums_step=sums_step,
        normed=aligned(ends[-1] if normalizes else 0, dtype),
        inverses=aligned(batch_size * len(sizes), dtype),
        slabs=slabs,
        block=block,
        multiply=matmul.multiplier(dtype),
        transposed=aligned_copy(transposed(network, parameters)),
    )


def rows_of(room, layer, units, n_rows):
    """A copy of a layer's outputs for a batch's first rows, whose blocks lie apart."""
    size, first = room.block * units, room.at[layer]
    starts = [first + n * (size + room.gap) for n in range(-(-n_rows // room.block))]
    blocks = [room.outputs[start : start + size] for start in starts]
    return np.concatenate(blocks)[: n_rows * units].reshape(n_rows, units)
