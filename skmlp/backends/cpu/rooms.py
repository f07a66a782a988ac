"""The working memory of a fit on the CPU, for minibatches of one size.

What one core writes lies apart from what another one writes at the same time. A core
fetches ahead of the addresses that it runs through, beyond their end, too, and would
take from the other what that one is about to write: passes over a block took twice as
long, and where cores are far from each other four times.
"""

import numpy as np
from scipy import sparse

from skmlp.backends.cpu import plan, products
from skmlp.backends.cpu.structures import Room
from skmlp.network import layout, views


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
    places = layout(network)
    may_sum = network.normalization != "batch" and not sparse.issparse(problem.x)
    sums_all = may_sum and plan.sums_blocks(sizes, batch_size, n_blocks)
    sums_size = places.trained - (0 if sums_all else places.biases[0])
    between = plan.GAP_BYTES // dtype.itemsize
    # Slabs of a gradient of its own read a layer's rows across all blocks.
    gap = between if sums_all else 0
    sums_step = sums_size + between
    ends = np.cumsum([0] + [batch_size * units + n_blocks * gap for units in sizes])
    normalises = network.normalization is not None
    slabs = plan.slabs(
        *(network.shapes, batch_size, dtype.itemsize),
        biases=network.intercepts,
        scales=normalises,
    )
    keeps = problem.regularisation.dropout or any(row.by_input for row in network.rules)
    return Room(
        outputs=np.empty(ends[-1], dtype=dtype),
        deltas=np.empty(ends[-1], dtype=dtype),
        inputs=np.empty(ends[-1] if keeps else 0, dtype=dtype),
        at=ends[:-1].astype(np.int64),
        gap=gap,
        gradient=np.zeros(places.trained, dtype=dtype),
        losses=np.zeros(n_blocks),
        squares=np.zeros(len(slabs)),
        norms=np.zeros(len(slabs)),
        sums=np.empty(n_blocks * sums_step, dtype=dtype),
        sums_size=sums_size,
        sums_step=sums_step,
        normed=np.empty(ends[-1] if normalises else 0, dtype=dtype),
        inverses=np.empty(batch_size * len(sizes), dtype=dtype),
        slabs=slabs,
        block=block,
        multiply=products.multiplier(dtype),
        transposed=transposed(network, parameters),
    )
