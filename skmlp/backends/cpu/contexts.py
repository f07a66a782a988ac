"""What a session on the CPU keeps for batches of one size."""

from typing import NamedTuple

from skmlp.backends.cpu.kernels.structs import Workspace
from skmlp.backends.cpu.threads.autotune import ThreadCountTuner
from skmlp.backends.cpu.threads.pool import ThreadPool
from skmlp.compiler.struct_pointer import PackedStruct


class BatchContext(NamedTuple):
    """The state of a session for batches of one size.

    Attributes
    ----------
    ws : Workspace
    packed_ws : list of PackedStruct of Workspace
        By worker.
    ctx : list of PackedStruct of TrainContext
        By worker.
    norm : PackedStruct of BatchNormDesc, or None without batch normalization
    pool : ThreadPool
    tuner : ThreadCountTuner
    """

    ws: Workspace
    packed_ws: list[PackedStruct]
    ctx: list[PackedStruct]
    norm: PackedStruct | None
    pool: ThreadPool
    tuner: ThreadCountTuner


def packed_by_worker(fields, structs):
    """``PackedStruct(fields(each))`` by worker; once where workers share a struct."""
    packed: dict[int, PackedStruct] = {}
    for each in structs:
        if id(each) not in packed:
            packed[id(each)] = PackedStruct(fields(each))
    return [packed[id(each)] for each in structs]
