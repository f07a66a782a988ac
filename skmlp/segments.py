"""Segments of the flat parameter vector, each with its own factors of an update.

A segment's factors multiply the learning rate and the weight decay of its parameters.
Backends never see the factors: what depends on the step, the coefficients of an
optimizer's rule among it, comes to them as a table of numbers with some columns for
each segment and one for the strength of dropout. Every range of parameters that they
update lies in one segment.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skmlp.network import Network, layout
from skmlp.rules.optimizers import MAX_COEFFICIENTS

# Rates and decays of the segments of a network without factors: weights, and the rest.
_WITHOUT_FACTORS = ((1.0, 1.0), (1.0, 0.0))
# Of each segment: the weight decay, then the coefficients of the rule.
COLUMNS = 1 + MAX_COEFFICIENTS


class Segment(NamedTuple):
    """Consecutive parameters that are updated alike.

    Attributes
    ----------
    begin, end : int
        Offsets of the first one, and of the one after the last.
    rate : float
        Factor of the learning rate.
    decay : float
        Factor of the decoupled weight decay, which `rate` does not multiply.
    """

    begin: int
    end: int
    rate: float
    decay: float


def segments_of(
    network: Network,
    weight_rates: Sequence[float] = (),
    bias_rate=1.0,
    embedding_rate=1.0,
):
    """The segments of a network's trained parameters, ascending and without a gap.

    Parameters
    ----------
    network : Network
    weight_rates : sequence of float
        Factor of the learning rate of each layer's weights; empty for ones.
    bias_rate : float
        That of biases and of the scales of a normalization, which do not decay.
    embedding_rate : float
        That of the matrices of an embedding, which do not decay.

    Returns
    -------
    tuple of Segment
        Neighbors with the same factors are one segment: two for a network without
        factors.
    """
    offsets = layout(network)
    n_layers = len(offsets.weight_offsets)
    ends = pairwise([*offsets.weight_offsets, offsets.bias_offsets[0]])
    rates = weight_rates or (1.0,) * n_layers
    weights = [
        Segment(begin, end, float(rate), 1.0)
        for (begin, end), rate in zip(ends, rates, strict=True)
    ]
    borders = offsets.bias_offsets[0], offsets.embedding_offset, offsets.n_trained
    others = [
        Segment(begin, end, float(rate), 0.0)
        for (begin, end), rate in zip(
            pairwise(borders), (bias_rate, embedding_rate), strict=True
        )
        if end > begin
    ]
    return _merged([*weights, *others])


def _merged(segments):
    """The same segments, neighbors with the same factors joined."""
    merged = segments[:1]
    for segment in segments[1:]:
        last = merged[-1]
        if segment[2:] == last[2:]:
            merged[-1] = last._replace(end=segment.end)
        else:
            merged.append(segment)
    return tuple(merged)


def factors_of(segments):
    """Rate and decay of each segment; of none those of a network without factors."""
    return [segment[2:] for segment in segments] or _WITHOUT_FACTORS


def segment_at(segments, offset):
    """Index of the segment of a trained parameter."""
    return next(i for i, segment in enumerate(segments) if offset < segment.end)


def n_columns(n_segments):
    """Columns of a table of steps."""
    return n_segments * COLUMNS + 1


def step_table(by_segment, dropout=1.0):
    """The table of some steps, a row a step.

    Parameters
    ----------
    by_segment : list of tuple of ndarray or float
        Of each segment the weight decay in each step and the coefficients of the rule,
        up to `MAX_COEFFICIENTS`.
    dropout : ndarray or float
        Factor of the dropout rates in each step.
    """
    table = np.zeros((np.size(by_segment[0][0]), n_columns(len(by_segment))))
    for i, columns in enumerate(by_segment):
        for j, column in enumerate(columns, start=i * COLUMNS):
            table[:, j] = column
    table[:, -1] = dropout
    return table


class SplitTable(NamedTuple):
    """The parts of a table of steps, as views.

    Attributes
    ----------
    decays : ndarray of shape (n_steps, n_segments)
    coefficients : ndarray of shape (n_steps, n_segments, MAX_COEFFICIENTS)
    dropout : ndarray of shape (n_steps,)
    """

    decays: np.ndarray
    coefficients: np.ndarray
    dropout: np.ndarray


def split_table(table):
    """Take a table of steps apart."""
    by_segment = table[:, :-1].reshape(len(table), -1, COLUMNS)
    return SplitTable(by_segment[:, :, 0], by_segment[:, :, 1:], table[:, -1])
