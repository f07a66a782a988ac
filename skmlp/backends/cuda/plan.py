"""The plan of a fit: which program trains, which kernel predicts, tiles and blocks.

The number of blocks does not change a result: sums run in the order of their tile (see
`kernels.gemm`), which depends on the work and the device alone. The constants are
estimates from the instructions that the compiler makes; `benchmarks/gpu.py` is where
they are to be measured.
"""

from typing import NamedTuple

from skmlp.backends.cuda.kernels.backward import SPARSE_FEATURES
from skmlp.backends.cuda.kernels.reductions import lanes_of
from skmlp.backends.cuda.kernels.tile import Tile
from skmlp.backends.cuda.runtime import simulator

# The first three fields of `Tile`: tiles of 64 rows and columns.
_TILE = (16, 4, 32)
# That of the simulator, where every thread is slow.
_SIMULATED = (4, 2, 4)
# Those of the fused prediction kernel, the better one first: with the threads of the
# tile above, so that sums over a row's units are the same.
_FUSED_TILES = (_TILE, (16, 2, 16))
_FUSED_SIMULATED = (_SIMULATED, (4, 1, 4))
# Shared memory of a block that every device grants by default, less what newer ones
# reserve of it for the system.
_SHARED_BYTES = 47 * 1024
# Predictions are not split: a row's outputs must not depend on how many rows are beside
# it.
NEVER_SPLIT = 0
# Floating-point operations of a step from which on cuBLAS, with a launch for each
# operation, is expected to overtake the persistent kernel. An estimate, never measured.
PER_OP_FLOP = 5e9
# Operations of a launch that goes over all rows, unless one batch has more: less than a
# third of a second where double precision is slowest (a 64th of single precision), a
# millisecond elsewhere. An estimate.
_SWEEP_FLOP = 2e10
# Blocks per multiprocessor of kernels that wait for memory: as many as can be resident.
_BLOCKS_PER_PROCESSOR = 8


class Work(NamedTuple):
    """The matrix products of a step.

    Attributes
    ----------
    batch_size : int
    shapes : list of tuple of 2 int
        Fan-in and fan-out of each layer.
    sparse : bool
        Whether the first layer's inputs are sparse.
    embeds : bool, default=False
        Whether columns of X are embedded, which needs the deltas of the inputs.
    """

    batch_size: int
    shapes: list
    sparse: bool
    embeds: bool = False

    @property
    def products(self):
        """Rows, columns and inner dimension of each product of a step."""
        for layer, (fan_in, fan_out) in enumerate(self.shapes):
            if layer > 0 or self.embeds:
                yield self.batch_size, fan_in, fan_out
            if layer > 0 or not self.sparse:
                yield self.batch_size, fan_out, fan_in
                yield fan_in, fan_out, self.batch_size

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
    {'persistent', 'per_op'}
    """
    return "per_op" if tf32 or work.flop >= PER_OP_FLOP else "persistent"


def sweep_batches(work):
    """Batches of one launch of a sum over all rows, one at least.

    Nothing interrupts a launch, so Ctrl-C waits for it. Launches that train are sized
    by the time they take (`skmlp.training.minibatch`); these are sized by their
    operations. The work of sparse rows is little, and not counted.
    """
    return max(1, int(_SWEEP_FLOP // max(1, work.flop)))


def split_threshold_for(n_processors):
    """`Tile.split_threshold`: tiles that leave half of the multiprocessors idle."""
    return n_processors // 2


def choose_tile(split_threshold):
    """How products are cut into tiles.

    Parameters
    ----------
    split_threshold : int
        See `Tile`.

    Returns
    -------
    Tile
    """
    shape = _SIMULATED if simulator.is_enabled() else _TILE
    return Tile(*shape, split_threshold=split_threshold)


def fused_buffer_units(sizes, keeps_inputs=False):
    """Units of the widest layer in each of the two buffers that layers use by turns.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, features and outputs included.
    keeps_inputs : bool, default=False
        Whether the inputs of the first layer are in a buffer, too.

    Returns
    -------
    (int, int)
        Of the first layer, the third and so on, and of the others.
    """
    first_of_others = 0 if keeps_inputs else 2
    return max(sizes[1::2]), max(sizes[first_of_others::2], default=0)


def choose_fused_tile(sizes, itemsize, keeps_inputs=False):
    """The tile of the fused prediction kernel, which keeps outputs in shared memory.

    The widths alone decide: where they fit, the fused kernel has as much to do at once
    as the other one, and less to wait for.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, features and outputs included.
    itemsize : int
        Bytes of a scalar.
    keeps_inputs : bool, default=False
        See `fused_buffer_units`.

    Returns
    -------
    Tile or None
        None if they do not fit.
    """
    units = sum(fused_buffer_units(sizes, keeps_inputs))
    for shape in _FUSED_SIMULATED if simulator.is_enabled() else _FUSED_TILES:
        tile = Tile(*shape, split_threshold=NEVER_SPLIT)
        if (tile.smem_size + tile.width * units) * itemsize <= _SHARED_BYTES:
            return tile
    return None


def gradient_items(work, tile):
    """Work items of each layer's weight gradient: tiles, or groups of sparse features.

    An item stores one partial sum of squares per warp.
    """
    items = [tile.n_tiles(fan_in, fan_out) for fan_in, fan_out in work.shapes]
    return _with_sparse_items(items, work)


def weight_items(work, size):
    """As `gradient_items`, where an item is a run of `size` weights."""
    items = [-(-fan_in * fan_out // size) for fan_in, fan_out in work.shapes]
    return _with_sparse_items(items, work)


def _with_sparse_items(items, work):
    if work.sparse:
        items[0] = -(-work.shapes[0][0] // SPARSE_FEATURES)
    return items


def blocks_for(items, n_processors):
    """Blocks of a kernel without a grid barrier."""
    return max(1, min(items, _BLOCKS_PER_PROCESSOR * n_processors))


def choose_blocks(work, tile, n_processors):
    """Blocks of a cooperative grid: one per multiprocessor, if there is work for all.

    One block fits whatever registers the kernel uses. Idle blocks would make the grid
    barrier slower.
    """
    width = lanes_of(tile.threads)
    phases = [tile.n_tiles(rows, columns) for rows, columns, _ in work.products]
    weights = zip(gradient_items(work, tile), work.shapes, strict=True)
    phases += [items + -(-fan_out // width) for items, (_, fan_out) in weights]
    if work.sparse or work.embeds:
        phases.append(work.batch_size)
    return max(1, min(n_processors, max(phases)))
