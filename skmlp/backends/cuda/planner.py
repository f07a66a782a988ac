"""Which program trains, how big tiles are, and how many blocks work on them.

Tiles and blocks do not change a result: sums run in an order of their own (see
`tiles`). The constants are estimates from the instructions that the compiler makes;
`benchmarks/gpu.py` is where they are to be measured.
"""

import os
from typing import NamedTuple

from skmlp.backends.cuda.backward import SPARSE_FEATURES
from skmlp.backends.cuda.teams import lanes_of
from skmlp.backends.cuda.tiles import Tile

# Rows and columns a thread, and what share of its instructions multiply and add.
_SHARES = {2: 0.25, 4: 0.5, 8: 0.76}
# The same for the simulator, where every thread is slow.
_SIMULATED = Tile(side=4, each=2, depth=4)
_SIDE, _DEPTH = 16, 16
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


def _cost(tile, work, n_processors):
    """Time of a step's products, up to a factor."""
    share = _SHARES[tile.each]
    turns = (
        -(-tile.number_for(rows, columns) // n_processors) * inner
        for rows, columns, inner in work.products
    )
    return sum(turns) * tile.each**2 / share


def choose_tile(work, n_processors):
    """The tile that is expected to be fastest.

    Parameters
    ----------
    work : Work
    n_processors : int
        Multiprocessors of the device.

    Returns
    -------
    Tile
    """
    if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
        return _SIMULATED
    tiles = [Tile(_SIDE, each, _DEPTH) for each in _SHARES]
    return min(tiles, key=lambda tile: _cost(tile, work, n_processors))


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
