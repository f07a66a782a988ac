"""Which program trains, which kernel predicts, how big tiles are, and how many blocks.

The number of blocks does not change a result: sums run in the order of their tile (see
`tiles`), which depends on the work and the device alone. The constants are estimates
from the instructions that the compiler makes; `benchmarks/gpu.py` is where they are to
be measured.
"""

import os
from typing import NamedTuple

from skmlp.backends.cuda.kernels.backward import SPARSE_FEATURES
from skmlp.backends.cuda.kernels.gemm import Tile
from skmlp.backends.cuda.kernels.reductions import lanes_of

# Threads of a side, rows and columns of each, and depth: tiles of 64 rows and columns.
_TILE = (16, 4, 32)
# That of the simulator, where every thread is slow.
_SIMULATED = (4, 2, 4)
# Those of the kernel that predicts in one go, the better one first: with the threads of
# the tile above, so that sums over a row's units are the same.
_FUSED_TILES = (_TILE, (16, 2, 16))
_FUSED_SIMULATED = (_SIMULATED, (4, 1, 4))
# Shared memory that every device grants a block unasked, but for what newer ones keep
# of it for themselves.
_SHARED_BYTES = 47 * 1024
# For a row's outputs not to depend on how many rows are beside it.
NEVER_FEW = 0
# Floating-point operations of a step from which on cuBLAS, with a launch an operation,
# is expected to overtake the kernel of whole spans. An estimate, never measured.
STEPWISE_FLOP = 5e9
# Operations of a launch that goes over all rows, unless one batch has more: less than a
# third of a second where double precision is slowest (a 64th of single precision), a
# millisecond elsewhere. An estimate.
_SWEEP_FLOP = 2e10
# Blocks a multiprocessor of kernels that wait for memory: as many as can be there.
_BLOCKS_EACH = 8


class Work(NamedTuple):
    """The products of a step.

    Attributes
    ----------
    rows : int
        Of a batch.
    shapes : list of tuple of 2 int
        Fan-in and fan-out of each layer.
    sparse : bool
        Whether the first layer's inputs are sparse.
    """

    rows: int
    shapes: list
    sparse: bool

    @property
    def products(self):
        """Rows, columns and inner dimension of each product of a step."""
        for layer, (fan_in, fan_out) in enumerate(self.shapes):
            if layer > 0:
                yield self.rows, fan_in, fan_out
            if layer > 0 or not self.sparse:
                yield self.rows, fan_out, fan_in
                yield fan_in, fan_out, self.rows

    @property
    def flop(self):
        """Multiplications and additions of these products."""
        return sum(2 * rows * columns * inner for rows, columns, inner in self.products)


def choose_program(work, tf32):
    """Which of the two programs trains.

    Parameters
    ----------
    work : Work
    tf32 : bool
        Whether products round their factors to TensorFloat-32, as only cuBLAS does.

    Returns
    -------
    {'spanwise', 'stepwise'}
    """
    return "stepwise" if tf32 or work.flop >= STEPWISE_FLOP else "spanwise"


def sweeps_at_once(work):
    """Batches of one launch of a sum over all rows, one at least.

    Nothing ends a launch, so Ctrl-C waits for it. Those that train are as long as
    training wants them, by the time that they take (`skmlp.training.minibatch`). What
    sparse rows take is little, and not counted.
    """
    return max(1, int(_SWEEP_FLOP // max(1, work.flop)))


def few_for(n_processors):
    """Tiles that are too few for so many multiprocessors."""
    return n_processors // 2


def _is_simulated():
    return os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


def choose_tile(few):
    """How products are cut into tiles.

    Parameters
    ----------
    few : int
        See `Tile`.

    Returns
    -------
    Tile
    """
    return Tile(*(_SIMULATED if _is_simulated() else _TILE), few=few)


def units_by_turns(sizes):
    """The most units of the layers that share one of two places by turns.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, features and outputs included.

    Returns
    -------
    (int, int)
        Of the first layer, the third and so on, and of the others.
    """
    return max(sizes[1::2]), max(sizes[2::2], default=0)


def choose_fused_tile(sizes, itemsize):
    """How products are cut where a block keeps its rows' outputs in shared memory.

    Nothing but the widths counts: where they fit, the kernel has as much to do at once
    as the other one, and less to wait for.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, features and outputs included.
    itemsize : int
        Bytes of a number.

    Returns
    -------
    Tile or None
        None if they do not fit.
    """
    units = sum(units_by_turns(sizes))
    for shape in _FUSED_SIMULATED if _is_simulated() else _FUSED_TILES:
        tile = Tile(*shape, few=NEVER_FEW)
        if (tile.buffer + tile.width * units) * itemsize <= _SHARED_BYTES:
            return tile
    return None


def gradient_items(work, tile):
    """Tiles of the gradients of all layers, or what stands for them."""
    items = [tile.number_for(fan_in, fan_out) for fan_in, fan_out in work.shapes]
    if work.sparse:
        items[0] = -(-work.shapes[0][0] // SPARSE_FEATURES)
    return items


def weight_items(work, size):
    """Parts of so many weights of all layers, or what stands for them."""
    items = [-(-fan_in * fan_out // size) for fan_in, fan_out in work.shapes]
    if work.sparse:
        items[0] = -(-work.shapes[0][0] // SPARSE_FEATURES)
    return items


def blocks_for(items, n_processors):
    """Blocks of a kernel whose blocks do not wait for each other."""
    return max(1, min(items, _BLOCKS_EACH * n_processors))


def choose_blocks(work, tile, n_processors):
    """Blocks of a cooperative grid: one a multiprocessor, if there is work for all.

    One fits whatever registers the kernel takes; idle blocks would cost time where the
    grid meets.
    """
    width = lanes_of(tile.threads)
    phases = [tile.number_for(rows, columns) for rows, columns, _ in work.products]
    own = zip(gradient_items(work, tile), work.shapes, strict=True)
    phases += [items + -(-fan_out // width) for items, (_, fan_out) in own]
    if work.sparse:
        phases.append(work.rows)
    return max(1, min(n_processors, max(phases)))
