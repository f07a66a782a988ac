"""A deterministic simulator of CUDA kernels, for tests on machines without a GPU.

numba-cuda brings a simulator of its own, which runs every CUDA thread as a thread of
the operating system. It takes tens of milliseconds for a barrier, knows no shuffles,
and runs the blocks of a cooperative grid one after the other, which is silently wrong
as soon as there are two. This one keeps its host side (device arrays, streams) and
replaces the device side: all threads of all blocks are greenlets of one thread, which
switch at barriers only, in an order that a test can choose. What is wrong by CUDA's
rules is an error here even where a device would often get away with it:

- a barrier that some threads of its group never reach, or reach at another line;
- a lane read by a shuffle in which it takes no part;
- an index that is negative or too large, in device, shared or local memory;
- more shared memory, or more blocks of a cooperative grid, than a device has.

Memory that was never written holds nan, or the integer -1. Accesses that race are
found by `races_watched`.

It does not show what the compiler makes of a kernel: which types expressions have, and
whether a kernel compiles at all. That is what `tests/cuda/test_compile.py` is for.
"""

from cuda_simulator.install import install
from cuda_simulator.launch import in_order
from cuda_simulator.memory import races_watched
from cuda_simulator.races import RaceError
from cuda_simulator.schedule import BarrierError

__all__ = ["BarrierError", "RaceError", "in_order", "install", "races_watched"]
