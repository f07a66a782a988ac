"""The plan of a fit: row blocks, parameter ranges, and the number of threads.

The items of work depend on the shape of the batch and on the machine, never on the
number of threads: that makes results the same for every ``n_jobs``.
"""

import math
import os
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends.threads import available_threads
from skmlp.network import layout
from skmlp.segments import segment_at

# With fewer rows than this to a product, packing its other factor dominates; with fewer
# operations, the call does.
_MIN_BLOCK = 16
_MIN_PRODUCT = 2e5
# Two layers of a row block should stay in a core's second-level cache; they are a part
# of all its outputs and deltas. More rows reuse a layer's weights more often.
_MAX_BLOCK_BYTES = 1 << 21
# Rows that the matrix product takes at a time: other numbers leave a remainder, which
# is slower.
_STRIDE = 8
# The gradient of a range should still be in the second-level cache when the optimizer
# reads it, beside the parameters and the optimizer's slots. But every range reads all
# deltas: with fewer rows than this, that takes longer than the multiplication.
_RANGE_BYTES = 1 << 16
_RANGE_ROWS = 128
# With fewer parameters than this, the optimizer step takes less time than another core
# needs to fetch them.
_MIN_RANGE = 512
# Padding between memory that two cores write at the same time: one page was too little,
# four were enough.
PADDING_BYTES = 1 << 15
_PREDICT_BLOCK_BYTES = 1 << 18
# To wake one more thread takes as long as the optimizer's step on this many parameters.
_PARAMS_PER_WORKER = 1 << 17
# A barrier and the wait for the slowest worker cost about 10 microseconds together; one
# more thread must save a multiple of that. Operations of a forward pass, per step and
# thread.
_MIN_WORK = 2.5e5
# A prediction starts its threads: half a millisecond passes until the last one works.
MIN_PREDICTION = 6e7


# `ParamRange.first_layer` of an embedding's matrices.
EMBEDDING = -2


class ParamRange(NamedTuple):
    """A range of the parameter vector, the item of work of phase 2.

    A range of weights goes from a row of one layer to the row before one of the same or
    a later layer. Biases are one range, if they are trained, and scales another; they
    have no layers and no rows: -1. The matrices of an embedding are one more range,
    whose first layer is `EMBEDDING`. No range has parameters of two segments.

    Attributes
    ----------
    start, size : int
        First parameter, and number of parameters.
    segment : int
        Index of its segment (see `skmlp.segments`).
    first_layer, first_row : int
        Layer and row of the first weight.
    last_layer, last_row : int
        Layer of the last weight, and the row after its row.
    """

    start: int
    size: int
    segment: int
    first_layer: int = -1
    first_row: int = -1
    last_layer: int = -1
    last_row: int = -1


def _n_cores():
    """Smallest power of two not below the machine's number of cores."""
    return 1 << (max(1, os.cpu_count() or 1) - 1).bit_length()


def dense_row_work(shapes):
    """Multiplications and additions of a dense row's forward pass."""
    return 2.0 * sum(fan_in * fan_out for fan_in, fan_out in shapes)


def row_work(shapes, x):
    """Multiplications and additions of a row's forward pass, on average."""
    work = dense_row_work(shapes)
    if sparse.issparse(x):
        fan_in, fan_out = shapes[0]
        work -= 2.0 * fan_out * (fan_in - x.nnz / max(1, x.shape[0]))
    return work


def threads_for(work, n_jobs, least=_MIN_WORK):
    """Number of threads that pay for `work` operations between two barriers.

    Each has `least` of them, at least.
    """
    worth = int(work // least)
    # Asking the system for its cores takes longer than a small prediction.
    return 1 if worth < 2 else min(available_threads(n_jobs), worth)


def workers_of_update(n_params):
    """Number of threads that pay for one step of an optimizer."""
    return 1 + n_params // _PARAMS_PER_WORKER


def block_rows(sizes, batch_size, itemsize):
    """Rows of a row block of phase 1, for the layers' sizes."""
    row_work = 2 * sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    at_least = max(_MIN_BLOCK, _round_up(_MIN_PRODUCT / max(1, row_work)))
    at_most = _largest_block(_MAX_BLOCK_BYTES // (itemsize * 2 * sum(sizes)))
    # The same number of blocks for every core, so that none waits for a last block.
    n_blocks = _n_cores() * math.ceil(batch_size / (_n_cores() * at_most))
    even = _round_up(batch_size / n_blocks)
    return int(min(max(even, min(at_least, at_most)), batch_size))


def _round_up(rows):
    """The number of rows, rounded up to a multiple of `_STRIDE`."""
    return _STRIDE * math.ceil(rows / _STRIDE)


def _largest_block(rows):
    """Rows of the largest block where `rows` rows fit."""
    return max(_MIN_BLOCK, rows // _STRIDE * _STRIDE)


def reduces_in_blocks(sizes, batch_size, n_blocks):
    """Whether row blocks compute partial gradients of the weights, to be reduced.

    Otherwise every range's gradient is computed from all rows' outputs and deltas, of
    which half or more come from other cores.
    """
    n_weights = sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    return n_blocks * n_weights <= batch_size * (2 * sum(sizes) - sizes[0])


def predict_rows(width, n_rows, itemsize):
    """Rows of a row block of a prediction whose widest layer has `width` units."""
    at_most = _largest_block(_PREDICT_BLOCK_BYTES // (itemsize * width))
    return int(max(1, min(at_most, n_rows)))


def param_ranges(network, segments, batch_size, itemsize, *, in_blocks):
    """The ranges into which phase 2 of a minibatch cuts the parameters.

    Parameters
    ----------
    network : Network
    segments : sequence of skmlp.segments.Segment
    batch_size : int
    itemsize : int
    in_blocks : bool
        Whether row blocks compute partial gradients of the weights. Then ranges have
        one size, except those that end with a segment; else none has rows of two
        layers, and the largest layers come first.

    Returns
    -------
    list of ParamRange
    """
    offsets, shapes = layout(network), network.shapes
    borders = {segment.begin for segment in segments}
    if in_blocks:
        layers = enumerate(offsets.weight_offsets)
        inner = {(layer, 0) for layer, offset in layers if offset in borders}
        pieces = list(pairwise(sorted(inner.union(_even_cuts(shapes)))))
    else:
        largest_first = sorted(range(len(shapes)), key=lambda i: -np.prod(shapes[i]))
        pieces = [
            ((layer, a), (layer, b))
            for layer in largest_first
            for a, b in pairwise(_cuts(shapes[layer], batch_size, itemsize))
        ]
    ranges = []
    for (first_layer, first_row), (last_layer, last_row) in pieces:
        start = offsets.weight_offsets[first_layer] + first_row * shapes[first_layer][1]
        end = offsets.weight_offsets[last_layer] + last_row * shapes[last_layer][1]
        ranges.append(
            ParamRange(
                start=start,
                size=end - start,
                segment=segment_at(segments, start),
                first_layer=first_layer,
                first_row=first_row,
                last_layer=last_layer,
                last_row=last_row,
            )
        )
    ends = [
        offsets.bias_offsets[0],
        *offsets.scale_offsets[:1],
        offsets.embedding_offset,
    ]
    if not network.intercepts:
        ends = ends[1:]
    ends = sorted(
        {*ends, *(border for border in borders if ends[0] < border < ends[-1])}
    )
    ranges += [
        ParamRange(start, end - start, segment_at(segments, start))
        for start, end in pairwise(ends)
    ]
    if network.embedding is not None:
        start, size = offsets.embedding_offset, network.embedding.n_params
        segment = segment_at(segments, start)
        ranges.append(ParamRange(start, size, segment, first_layer=EMBEDDING))
    return ranges


def _even_cuts(shapes):
    """Layer and row where ranges of one size begin, and where the last one ends."""
    sizes = [fan_in * fan_out for fan_in, fan_out in shapes]
    n_pieces = max(1, min(_n_cores(), sum(sizes) // _MIN_RANGE))
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
    """Rows where the ranges of a layer's weights begin, and where the last one ends."""
    fan_in, fan_out = shape
    by_bytes = fan_in // max(_RANGE_ROWS, _RANGE_BYTES // (itemsize * fan_out))
    by_work = int(2 * batch_size * fan_in * fan_out // _MIN_PRODUCT)
    n_pieces = max(1, min(max(_n_cores(), by_bytes), fan_in // _STRIDE, by_work))
    inner = {_round_up(fan_in * i / n_pieces) for i in range(1, n_pieces)}
    return sorted({0, *(cut for cut in inner if cut < fan_in), fan_in})
