"""The kernel that predicts with narrow networks: a block's rows through all layers.

Where layers are narrow, arithmetic is not what the kernel of `predicting` takes its
time for. Every layer's outputs go to memory and come back, and the whole grid waits for
the last of its blocks in between. Here a block has the rows of a tile to itself, from X
to the predictions. What its layers put out stays in its shared memory, in two places by
turns; weights come from the cache, where one block finds what another has read.

The phases are those of all other kernels (see `ways`), for a team of one block whose
room is in shared memory: there is no second copy of a rule. Each element of a product
is added up along the inner dimension, one after the other, whatever the tile, and sums
over a row's units are those of a warp in both. So the two kernels predict the same
bits, and which of them does it is the planner's to choose.
"""

import functools

from numba import cuda

from skmlp.backends.cuda.kernels import passes, reductions
from skmlp.backends.cuda.kernels.predict import output, sum_of_x
from skmlp.backends.cuda.kernels.structs import Batch, Room
from skmlp.backends.cuda.runtime.jit import device, kernel, scalar_type


@device
def _in_shared_memory(room, outputs):
    """A room of which there is nothing but where outputs are, and the outputs."""
    none = room.outputs
    return Room(
        room.at, outputs, none, none, none, none, none, none, none, none, none, 0, 0
    )


@functools.lru_cache(maxsize=64)
def predicting_in_one_go(spec, row):
    """The kernel that predicts some rows, with an output activation.

    Its arguments are those of `predicting.predicting`. Of the room it has `at`, by
    which layers take turns in the dynamic shared memory.
    """
    scalar, buffer = scalar_type(spec.dtype), spec.tile.buffer
    rows, meet = spec.tile.width, reductions.meet_in_block
    way = passes.forward_way(spec, meet)
    finish, sum_up = output(spec, row), sum_of_x(spec)

    def predict(net, data, room, extras, parameters, n, out, looked_at, sums):
        strips = cuda.shared.array(buffer, scalar, alignment=16)
        own = _in_shared_memory(room, cuda.shared.array(0, scalar))
        grid, block = (cuda.blockIdx.x, cuda.gridDim.x), (0, 1)
        sum_up(grid, looked_at, sums)
        for first in range(grid[0] * rows, n, grid[1] * rows):
            batch = Batch(0, first, min(rows, n - first), 0, scalar(1))
            way(block, net, data, own, extras, batch, parameters, strips)
            finish(block, net, own, parameters, batch, out)
            meet()

    return kernel(predict, spec, row)
