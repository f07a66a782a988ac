"""How work is cut into items and how many threads share them.

Items depend on the shape of the batch and on the machine, never on the number of
threads at work: that makes the results the same for every ``n_jobs``.
"""

import math
import os
from itertools import pairwise

import numpy as np

from skmlp.backends.threads import available_threads
from skmlp.network import layout

# Fewer rows than this to a product, and packing its other factor dominates; fewer
# operations of a product, and calling it does.
_MIN_BLOCK = 16
_MIN_PRODUCT = 2e5
# Two layers of a block should stay in a core's second-level cache, which of all its
# outputs and deltas are a part; more rows reuse a layer's weights more often.
_MAX_BLOCK_BYTES = 1 << 21
# Rows that the product of matrices takes at a time: any other number has a remainder,
# which is slower.
_STRIDE = 8
# The gradient of a slab should still be in the second-level cache when the optimizer
# reads it, beside the parameters and the optimizer's vectors. But all deltas pass by
# for each slab: fewer rows than this, and fetching them takes longer than multiplying.
_SLAB_BYTES = 1 << 16
_SLAB_ROWS = 128
# Fewer parameters than this, and the optimizer's step on them is over sooner than
# another core has fetched them.
_MIN_SLAB = 512
# Between what two cores write at the same time: a page was too little, four enough.
GAP_BYTES = 1 << 15
_PREDICT_BLOCK_BYTES = 1 << 18
# A barrier and the wait for the slowest cost about 10 microseconds in all; a thread
# more must save a multiple of that. Operations of a forward pass, by step and thread.
_MIN_WORK = 2.5e5


def _cores():
    """Power of two not below the machine's number of cores."""
    return 1 << (max(1, os.cpu_count() or 1) - 1).bit_length()


def threads_for(work, n_jobs):
    """Number of threads worth having for `work` operations between two barriers."""
    worth = int(work // _MIN_WORK)
    # Asking the system what is available takes longer than a small prediction.
    return 1 if worth < 2 else min(available_threads(n_jobs), worth)


def block_rows(sizes, batch_size, itemsize):
    """Rows of a block of phase 1, for a network of these sizes."""
    row_work = 2 * sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    at_least = max(_MIN_BLOCK, _whole_strides(_MIN_PRODUCT / max(1, row_work)))
    at_most = _at_most(_MAX_BLOCK_BYTES // (itemsize * 2 * sum(sizes)))
    # As many for every core, so that none waits for a last one.
    n_blocks = _cores() * math.ceil(batch_size / (_cores() * at_most))
    share = _whole_strides(batch_size / n_blocks)
    return int(min(max(share, min(at_least, at_most)), batch_size))


def _whole_strides(rows):
    """The number of rows, made a multiple of `_STRIDE`."""
    return _STRIDE * math.ceil(rows / _STRIDE)


def _at_most(rows):
    """The largest block where so many rows fit."""
    return max(_MIN_BLOCK, rows // _STRIDE * _STRIDE)


def sums_blocks(sizes, batch_size, n_blocks):
    """Whether blocks of rows compute gradients of their own, to be summed.

    Else every slab's gradient is computed from all rows' outputs and deltas, of which
    the half and more come from other cores.
    """
    n_weights = sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    return n_blocks * n_weights <= batch_size * (2 * sum(sizes) - sizes[0])


def predict_rows(width, n_rows, itemsize):
    """Rows of a block of a prediction whose widest layer has `width` units."""
    at_most = _at_most(_PREDICT_BLOCK_BYTES // (itemsize * width))
    return int(max(1, min(at_most, n_rows)))


def slabs(network, batch_size, itemsize, *, summed):
    """Slabs as rows (start, size, first layer, its row, last layer, its row).

    A slab of weights goes from a row of one layer to the row before another's. Biases,
    where they are trained, are one slab, whose layers are -1; so are the scales.

    Parameters
    ----------
    network : Network
    batch_size : int
    itemsize : int
    summed : bool
        Whether blocks of rows sum the weights' gradients. Then slabs are of one size;
        else no slab has rows of two layers, and the heaviest layers come first.
    """
    offsets, shapes = layout(network), network.shapes
    if summed:
        pieces = list(pairwise(_even_cuts(shapes)))
    else:
        heaviest = sorted(range(len(shapes)), key=lambda i: -np.prod(shapes[i]))
        pieces = [
            ((layer, a), (layer, b))
            for layer in heaviest
            for a, b in pairwise(_cuts(shapes[layer], batch_size, itemsize))
        ]
    rows = []
    for first, last in pieces:
        start, end = (
            offsets.weight_offsets[layer] + row * shapes[layer][1]
            for layer, row in (first, last)
        )
        rows.append((start, end - start, *first, *last))
    ends = [offsets.bias_offsets[0], *offsets.scale_offsets[:1], offsets.n_trained]
    if not network.intercepts:
        ends = ends[1:]
    rows += [(start, end - start, *(-1,) * 4) for start, end in pairwise(ends)]
    return np.array(rows, dtype=np.int64)


def _even_cuts(shapes):
    """Layer and row where slabs of one size begin, and where the last one ends."""
    sizes = [fan_in * fan_out for fan_in, fan_out in shapes]
    n_pieces = max(1, min(_cores(), sum(sizes) // _MIN_SLAB))
    cuts = {_row_of(sum(sizes) * i // n_pieces, shapes) for i in range(n_pieces)}
    return [*sorted(cuts), (len(shapes) - 1, shapes[-1][0])]


def _row_of(element, shapes):
    """Layer and row of an element of the weights."""
    layer = 0
    while element >= shapes[layer][0] * shapes[layer][1]:
        element -= shapes[layer][0] * shapes[layer][1]
        layer += 1
    return layer, element // shapes[layer][1]


def _cuts(shape, batch_size, itemsize):
    """Where the slabs of a layer's weights begin, and where the last one ends."""
    fan_in, fan_out = shape
    by_bytes = fan_in // max(_SLAB_ROWS, _SLAB_BYTES // (itemsize * fan_out))
    by_work = int(2 * batch_size * fan_in * fan_out // _MIN_PRODUCT)
    n_pieces = max(1, min(max(_cores(), by_bytes), fan_in // _STRIDE, by_work))
    inner = {_whole_strides(fan_in * i / n_pieces) for i in range(1, n_pieces)}
    return sorted({0, *(cut for cut in inner if cut < fan_in), fan_in})
