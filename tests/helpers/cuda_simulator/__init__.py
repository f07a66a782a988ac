"""A deterministic simulator of CUDA kernels, for tests on machines without a GPU.

numba-cuda's own simulator runs every CUDA thread as a thread of the operating system.
A barrier takes tens of milliseconds there, shuffles are missing, and the blocks of a
cooperative grid run one after the other, which is silently wrong for two blocks or
more. This simulator keeps its host side (device arrays, streams) and replaces the
device side: all threads of all blocks are greenlets of one host thread. They switch at
barriers only, in an order that a test can choose. Undefined behavior is an error, even
where a device would often tolerate it:

- a barrier that some threads of its group never reach, or reach at another line
- a shuffle that reads a lane which does not participate
- an index that is negative or too large, in device, shared or local memory
- more shared memory, or more blocks of a cooperative grid, than a device has

Uninitialized memory holds nan, or the integer -1. `races_watched` detects data races.

The simulator does not show what the compiler makes of a kernel: the types of its
expressions, and whether it compiles at all. `tests/cuda/test_compile.py` does.
"""

from cuda_simulator.install import install
from cuda_simulator.launch import in_order
from cuda_simulator.memory import races_watched
from cuda_simulator.races import RaceError
from cuda_simulator.schedule import BarrierError

__all__ = ["BarrierError", "RaceError", "in_order", "install", "races_watched"]
