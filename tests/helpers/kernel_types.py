"""Numba's types of the arguments of the CUDA backend's kernels."""

import numba
from numba import types

from skmlp.backends.cuda.kernels import structs

INTEGER, INTEGERS = types.int64, types.int64[::1]


def struct(cls, **fields):
    """Numba's type of one of the backend's structs."""
    return types.NamedTuple([fields[name] for name in cls._fields], cls)


def embedding_type(dtype):
    """The type of an `EmbeddingDesc`."""
    fields = dict.fromkeys(structs.EmbeddingDesc._fields, INTEGER)
    fields |= dict.fromkeys(("columns", "first_bins", "bin_columns"), INTEGERS)
    fields |= {"edges": numba.from_dtype(dtype)[::1]}
    return struct(structs.EmbeddingDesc, **fields)


def context_type(dtype, embeds=False):
    """The type of a `TrainContext`."""
    scalar = numba.from_dtype(dtype)
    floats = scalar[::1]
    net = dict.fromkeys(structs.NetDesc._fields, INTEGERS)
    data = dict.fromkeys(structs.TrainingData._fields, INTEGERS)
    ws = dict.fromkeys(structs.Workspace._fields, floats)
    reg = dict.fromkeys(structs.RegularizationDesc._fields, scalar)
    net |= {"loss_params": floats, "n_trained": INTEGER}
    net |= {"embedding": embedding_type(dtype) if embeds else types.Tuple(())}
    data |= {"x": floats, "targets": floats, "sample_weight": floats}
    ws |= {"offsets": INTEGERS, "n_partials": INTEGER, "batch_size": INTEGER}
    reg |= {"dropout_thresholds": INTEGERS, "dropout_scales": floats, "seed": INTEGER}
    reg |= {"dropout_stride": INTEGER}
    return struct(
        structs.TrainContext,
        net=struct(structs.NetDesc, **net),
        data=struct(structs.TrainingData, **data),
        ws=struct(structs.Workspace, **ws),
        reg=struct(structs.RegularizationDesc, **reg),
        params=floats,
    )


def update_type(dtype):
    """The type of an `UpdateParams`."""
    scalar = numba.from_dtype(dtype)
    update = dict.fromkeys(structs.UpdateParams._fields, scalar[::1])
    update |= {"l2": scalar, "inv_mean_weight": scalar}
    return struct(structs.UpdateParams, **update)


def training_signature(dtype, embeds=False):
    sizes = dict.fromkeys(structs.BatchRangeSizes._fields, INTEGER)
    return (
        context_type(dtype, embeds),
        update_type(dtype),
        struct(structs.BatchRangeSizes, **sizes),
        numba.from_dtype(dtype)[::1],
    )


def predicting_signature(dtype, embeds=False):
    floats = numba.from_dtype(dtype)[::1]
    return (context_type(dtype, embeds), INTEGER, floats, floats, floats)


def evaluating_signature(dtype):
    return (context_type(dtype), INTEGER, numba.from_dtype(dtype)[::1])
