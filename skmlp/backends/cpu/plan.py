"""How work is cut into items and how many threads share them.

Items depend on the shape of the batch and on the machine, never on the number of
threads at work: that makes the results the same for every ``n_jobs``.
"""

import os
from itertools import pairwise

import joblib
import numpy as np

# Fewer rows than this to a product, and packing its other factor dominates; fewer
# operations of a product, and calling it does.
_MIN_BLOCK = 16
_MIN_PRODUCT = 2e5
# A block's outputs should stay in a core's second-level cache.
_MAX_BLOCK_BYTES = 1 << 20
_MIN_SLAB = 8
_PREDICT_BLOCK_BYTES = 1 << 18
# A barrier and the wait for the slowest cost about 10 microseconds in all; a thread
# more must save a multiple of that. Operations of a forward pass, by step and thread.
_MIN_WORK = 1e6


def _cores():
    """Power of two not below the machine's number of cores."""
    return 1 << (max(1, os.cpu_count() or 1) - 1).bit_length()


def available_threads(n_jobs):
    """Number of threads that a fit or a prediction may use.

    Parameters
    ----------
    n_jobs : int or None
        Negative numbers count back from all, as in joblib; None is all, but one in
        a worker of joblib that was given no share of the cores.
    """
    all_threads = joblib.cpu_count()
    # joblib gives each of its processes a share of the cores in this variable.
    share = os.environ.get("NUMBA_NUM_THREADS", "")
    has_share = share.isdigit() and int(share) > 0
    if has_share:
        all_threads = min(all_threads, int(share))
    if n_jobs is None:
        nested = joblib.parallel.get_active_backend()[0].nesting_level
        return 1 if nested and not has_share else all_threads
    if n_jobs < 0:
        return max(1, all_threads + 1 + n_jobs)
    return min(n_jobs, all_threads)


def threads_for(work, n_jobs):
    """Number of threads worth having for `work` operations between two barriers."""
    worth = int(work // _MIN_WORK)
    # Asking the system what is available takes longer than a small prediction.
    return 1 if worth < 2 else min(available_threads(n_jobs), worth)


def block_rows(sizes, batch_size, itemsize):
    """Rows of a block of phase 1, for a network of these sizes."""
    row_work = 2 * sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))
    at_least = max(_MIN_BLOCK, _MIN_PRODUCT // max(1, row_work))
    at_most = max(_MIN_BLOCK, _MAX_BLOCK_BYTES // (itemsize * 2 * sum(sizes)))
    share = -(-batch_size // _cores())
    return int(min(max(share, at_least), at_most, batch_size))


def predict_rows(width, n_rows, itemsize):
    """Rows of a block of a prediction whose widest layer has `width` units."""
    at_most = max(_MIN_BLOCK, _PREDICT_BLOCK_BYTES // (itemsize * width))
    return int(max(1, min(at_most, n_rows)))


def slabs(shapes, batch_size):
    """Slabs of all layers as rows (layer, first, last), the heaviest layers first.

    A layer's biases are a slab of their own, with first = last = -1.
    """
    pieces = []
    for layer in sorted(range(len(shapes)), key=lambda i: -np.prod(shapes[i])):
        fan_in, fan_out = shapes[layer]
        by_work = int(2 * batch_size * fan_in * fan_out // _MIN_PRODUCT)
        n_pieces = max(1, min(_cores(), fan_in // _MIN_SLAB, by_work))
        cuts = [fan_in * i // n_pieces for i in range(n_pieces + 1)]
        pieces += [(layer, a, b) for a, b in pairwise(cuts)]
    pieces += [(layer, -1, -1) for layer in range(len(shapes))]
    return np.array(pieces, dtype=np.int64)
