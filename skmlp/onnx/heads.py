"""What a classifier makes of raw outputs, as expressions.

Each kind of target has its row in `HEADS`; a kind without one is refused. Outputs are
Traced arrays of raw outputs, `sums_to_one` says whether the output activation is a
softmax.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from skmlp.estimators.label_matrix import LabelMatrix
from skmlp.estimators.one_column import (
    OneOfSeveral,
    OrderedClasses,
    SingleClass,
    TwoClasses,
)
from skmlp.estimators.several_columns import SeveralColumns
from skmlp.onnx.tracing import (
    choose,
    hstack,
    is_largest,
    largest_column,
    softmax,
    total,
)
from skmlp.rules.coupled import ordered_log_probabilities


class Head(NamedTuple):
    """How a kind of target reads the raw outputs.

    Attributes
    ----------
    evidence : callable
        ``evidence(raw, labels)``: the class is that of the largest column.
    scores : callable
        ``scores(raw, labels, sums_to_one)``: as ``decision_function``, but for two
        classes a column each.
    probabilities : callable
        ``probabilities(raw, labels, sums_to_one)``: as ``predict_proba``.
    """

    evidence: Callable
    scores: Callable
    probabilities: Callable


def log_odds(z):
    """log(p / (1 - p)) of p = softmax(z), as `skmlp.estimators.log_odds` has it."""
    is_best, largest = is_largest(z), largest_column(z)
    powers = choose(is_best, 0.0, np.exp(z - largest))
    rest = np.maximum(total(powers) - powers, 0.0)
    of_others = z - largest - np.log1p(rest)
    others = choose(is_best, float(np.finfo(np.float32).min), z)
    second = largest_column(others)
    of_best = largest - second - np.log(total(np.exp(others - second)))
    return choose(is_best, of_best, of_others)


def _both(raw):
    """Evidence for the first and the second class."""
    return hstack([-raw, raw])


def _ones(raw):
    return choose(raw > 0.0, 1.0, 1.0)


def _of_several(raw, labels, sums_to_one):
    if sums_to_one:
        return softmax(raw)
    return softmax(-np.logaddexp(0.0, -raw))


def _ordered(raw, labels):
    """Logarithms of the probabilities, in the order of the classes."""
    return ordered_log_probabilities(raw)[:, labels.ranks]


HEADS: dict[type, Head] = {
    SingleClass: Head(
        evidence=lambda raw, labels: raw,
        scores=lambda raw, labels, sums_to_one: raw,
        probabilities=lambda raw, labels, sums_to_one: _ones(raw),
    ),
    TwoClasses: Head(
        evidence=lambda raw, labels: _both(raw),
        scores=lambda raw, labels, sums_to_one: _both(raw),
        probabilities=lambda raw, labels, sums_to_one: special.expit(_both(raw)),
    ),
    OneOfSeveral: Head(
        evidence=lambda raw, labels: raw,
        scores=lambda raw, labels, sums_to_one: log_odds(raw) if sums_to_one else raw,
        probabilities=_of_several,
    ),
    OrderedClasses: Head(
        evidence=_ordered,
        scores=lambda raw, labels, sums_to_one: log_odds(_ordered(raw, labels)),
        probabilities=lambda raw, labels, sums_to_one: np.exp(_ordered(raw, labels)),
    ),
}


def column_head(n_classes):
    """The `Head` of a block of outputs, that of one column of classes of several."""
    if n_classes == 1:
        return HEADS[SingleClass]._replace(
            scores=lambda raw, labels, sums_to_one: choose(raw > 0.0, 0.0, 0.0)
        )
    if n_classes > 2:
        return HEADS[OneOfSeveral]
    return HEADS[OneOfSeveral]._replace(
        scores=lambda raw, labels, sums_to_one: _both(raw[:, [1]] - raw[:, [0]])
    )


# A label is there where its raw output is positive.
LABEL_MATRIX = Head(
    evidence=lambda raw, labels: raw,
    scores=lambda raw, labels, sums_to_one: raw,
    probabilities=lambda raw, labels, sums_to_one: special.expit(raw),
)


def head_of(labels):
    """The `Head` of a kind of target.

    Raises
    ------
    NotImplementedError
        For a kind that has none.
    """
    if type(labels) is LabelMatrix:
        return LABEL_MATRIX
    head = HEADS.get(type(labels))
    if head is None:
        raise NotImplementedError(
            f"The target's kind {type(labels).__name__} has no form in ONNX."
        )
    return head


def is_by_column(labels):
    """Whether outputs are blocks, one for each column of classes."""
    return isinstance(labels, SeveralColumns)
