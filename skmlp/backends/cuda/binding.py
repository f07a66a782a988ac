"""Binding: a network and its rules in the form that kernels and their makers take."""

import numpy as np
from numba import cuda

from skmlp.backends.cuda.kernels.spec import Spec
from skmlp.backends.cuda.kernels.structs import (
    EmbeddingDesc,
    NetDesc,
    RegularizationDesc,
)
from skmlp.backends.cuda.runtime.memory import upload
from skmlp.backends.cuda.runtime.simulator import SIMULATED
from skmlp.backends.cuda.workspace import dropout_arrays
from skmlp.network import layout
from skmlp.segments import segment_at, segments_of

_SIMULATED_PROCESSORS = 3


def n_processors():
    """Multiprocessors of the current device."""
    if SIMULATED:
        return _SIMULATED_PROCESSORS
    return cuda.get_current_device().MULTIPROCESSOR_COUNT


def distinct_activations(network):
    """A network's hidden activations, each once, softmax excepted."""
    rows = [row for row in network.activation_rows if row.value is not None]
    return tuple(dict.fromkeys(rows))


def activation_ids(network):
    """Each hidden layer's index in `distinct_activations`; -1 for softmax."""
    ids = {row: i for i, row in enumerate(distinct_activations(network))}
    return [ids.get(row, -1) for row in network.activation_rows]


def net_of(network, dtype, segments=None):
    """The `NetDesc` of a network, with the segments of its parameters."""
    offsets, segments = layout(network), segments or segments_of(network)

    def segments_at(starts):
        return _integers([segment_at(segments, start) for start in starts])

    return NetDesc(
        sizes=_integers(network.sizes),
        weight_offsets=_integers(offsets.weight_offsets),
        bias_offsets=_integers(offsets.bias_offsets),
        scale_offsets=_integers(offsets.scale_offsets),
        mean_offsets=_integers(offsets.mean_offsets),
        variance_offsets=_integers(offsets.variance_offsets),
        weight_segments=segments_at(offsets.weight_offsets),
        bias_segments=segments_at(offsets.bias_offsets),
        scale_segments=segments_at(offsets.scale_offsets),
        segment_ends=_integers([segment.end for segment in segments]),
        activation_ids=_integers(activation_ids(network)),
        needs_preactivation=_integers(
            [row.needs_preactivation for row in network.activation_rows]
        ),
        loss_params=upload(np.array(network.loss_params, dtype=dtype)),
        n_trained=offsets.n_trained,
        embedding=_embedding_of(network, dtype, segments),
    )


def _integers(values):
    return upload(np.array(values, dtype=np.int64))


def _embedding_of(network, dtype, segments):
    """The `EmbeddingDesc` of a network; an empty tuple without an embedding."""
    embedding, offset = network.embedding, layout(network).embedding_offset
    if embedding is None:
        return ()
    n_bins = embedding.n_bins
    return EmbeddingDesc(
        n_features=embedding.n_features,
        dim=embedding.dim,
        columns=_integers(embedding.columns),
        first_bins=_integers([*embedding.first_bins, sum(n_bins)]),
        bin_columns=_integers(np.repeat(np.arange(len(n_bins)), n_bins)),
        edges=upload(np.concatenate(embedding.edges).astype(dtype)),
        offset=offset,
        segment=segment_at(segments, offset),
    )


def spec_of(network, dtype, tile, *, copies_x=False, **others):
    """What kernels for a network are compiled for; `others` are fields of `Spec`."""
    embeds = network.embedding is not None
    return Spec(
        dtype=np.dtype(dtype),
        tile=tile,
        activations=distinct_activations(network),
        softmax=any(row.value is None for row in network.activation_rows),
        loss=network.loss,
        normalization=network.normalization,
        intercepts=network.intercepts,
        copies_x=copies_x or embeds,
        embeds=embeds,
        **others,
    )


def reg_of(regularization, dtype):
    """The `RegularizationDesc` of a fit; of None for predictions."""
    scalar = np.dtype(dtype).type
    if regularization is None:
        return RegularizationDesc(
            seed=0,
            dropout_thresholds=upload(np.zeros(0, dtype=np.int64)),
            dropout_scales=upload(np.zeros(0, dtype=dtype)),
            dropout_stride=0,
            noise_std=scalar(0),
            max_grad_norm=scalar(np.inf),
            max_norm=scalar(np.inf),
        )
    rates = np.array(regularization.dropout, dtype=np.float64)
    thresholds, scales = dropout_arrays(rates)
    return RegularizationDesc(
        seed=regularization.seed,
        dropout_thresholds=upload(thresholds),
        dropout_scales=upload(scales.astype(dtype)),
        dropout_stride=0,
        noise_std=scalar(regularization.input_noise),
        max_grad_norm=scalar(regularization.max_grad_norm),
        max_norm=scalar(regularization.max_norm),
    )
