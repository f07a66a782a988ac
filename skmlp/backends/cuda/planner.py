"""Which program trains, how big tiles are, and how many blocks work on them.

The number of blocks does not change a result: sums run in the order of their tile (see
`tiles`), which depends on the work and the device alone. The constants are estimates
from the instructions that the compiler makes; `benchmarks/gpu.py` is where they are to
be measured.
"""

import os
from typing import NamedTuple

from skmlp.backends.cuda.backward import SPARSE_FEATURES
from skmlp.backends.cuda.teams import lanes_of
from skmlp.backends.cuda.tiles import Tile

# Threads of a side, rows and columns of each, and depth: tiles of 64 rows and columns.
_TILE = (16, 4, 32)
# That of the simulator, where every thread is slow.
_SIMULATED = (4, 2, 4)
# Floating-point operations of a step from which on cuBLAS, with a launch an operation,
# is expected to overtake the kernel of whole spans. An estimate, never measured.
STEPWISE_FLOP = 5e9
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


def few_for(n_processors):
    """Tiles that are too few for so many multiprocessors."""
    return n_processors // 2


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
    simulated = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
    return Tile(*(_SIMULATED if simulated else _TILE), few=few)


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
