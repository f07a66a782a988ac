"""The first pass over chunks: what a training must know of all rows beforehand.

`fit` sees all rows at once. Where they come in chunks, their number, which schedules
count on, the classes, the mean weight and the scale of the target are found by reading
y and the weights once. X is only counted, so that a memory-mapped one is not read.
"""

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import is_regressor

from skmlp.estimators.chunks import (
    Shape,
    checked_chunk,
    checked_target,
    chunk_weights,
    read_chunks,
)
from skmlp.estimators.class_priors import class_sums, prior_parameters
from skmlp.estimators.class_weights import check_declared, is_balanced
from skmlp.estimators.data import combine_weights
from skmlp.estimators.target_kinds import canonical_labels, declared_labels, labels_of
from skmlp.estimators.target_scaling import (
    TargetScale,
    is_centered,
    scale_of_parts,
    stand_ins,
)
from skmlp.estimators.validation import naming
from skmlp.rules.loss_choice import is_ordered


class Facts(NamedTuple):
    """What is known of all rows.

    Attributes
    ----------
    shape : Shape
    dtype : numpy dtype
        Of X in the training.
    row_bytes : float
        Bytes of a row of X, by the first chunk.
    n_rows : int
        Rows of positive weight.
    total_weight : float or None
        Sum of their weights; None without weights.
    class_sums : ndarray or None
        As of `skmlp.estimators.class_priors.class_sums`, where parameters need them.
    """

    shape: Shape
    dtype: np.dtype
    row_bytes: float
    n_rows: int = 0
    total_weight: float | None = None
    class_sums: np.ndarray | None = None

    @property
    def mean_weight(self):
        """Mean weight of the rows; None without weights."""
        return None if self.total_weight is None else self.total_weight / self.n_rows


class _Numbers:
    """Gathers what a regressor must know of its target."""

    def __init__(self, estimator):
        self._estimator = estimator
        self._parts: list = []

    def add(self, chunk, y, weights, row_ids):
        if self._estimator.scale_target and len(row_ids):
            centered = is_centered(self._estimator._loss())
            y = y.reshape(len(y), -1)
            self._parts.append(stand_ins(y, weights, row_ids, is_centered=centered))

    def publish(self):
        scale = TargetScale(None, None)
        if self._estimator.scale_target:
            centered = is_centered(self._estimator._loss())
            scale = scale_of_parts(self._parts, is_centered=centered)
        self._estimator.target_mean_, self._estimator.target_scale_ = scale


class _Classes:
    """Gathers the classes, and how many rows each has.

    Where they are known, by the user or by a network that goes on, others are refused.
    """

    def __init__(self, estimator, classes, *, resumes):
        self._estimator = estimator
        self._declared = classes
        self._labels: Any = estimator._labels if resumes else None
        if resumes and classes is not None:
            _check_same(classes, estimator._labels.classes)
        self._first: Any = None
        self._kind: tuple = ()
        # Classes so far, by column.
        self._found: list = []
        self._counts: Counter = Counter()

    def add(self, chunk, y, weights, row_ids):
        self._first = self._first or chunk
        with naming(chunk.name):
            y = canonical_labels(y)
            if self._labels is None and self._declared is not None:
                self._labels = self._labels_of(self._declared)
            if self._labels is not None:
                self._labels.check_known(y, warm_start=False)
            else:
                self._gather(y)
        if y.ndim == 1:
            found, counts = np.unique(y[row_ids], return_counts=True)
            self._counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def _gather(self, y):
        labels = labels_of(y)
        several = isinstance(labels.classes, list)
        classes = labels.classes if several else [labels.classes]
        kind = labels.multilabel, several, len(classes)
        if not self._found:
            self._kind, self._found = kind, classes
        elif kind != self._kind:
            raise ValueError(
                "y is another kind of target than in the chunks before, or has another "
                "number of columns."
            )
        else:
            self._found = [
                np.union1d(a, b) for a, b in zip(self._found, classes, strict=True)
            ]

    def _labels_of(self, classes):
        y = self._first.y
        return declared_labels(y, classes, ordered=is_ordered(self._estimator.loss))

    def publish(self):
        estimator, labels = self._estimator, self._labels
        if labels is None:
            several = self._kind[1]
            labels = self._labels_of(self._found if several else self._found[0])
        estimator._set_labels(labels)
        if is_balanced(estimator.class_weight):
            estimator.class_weight = self._balanced(labels)
        else:
            check_declared(estimator.class_weight, labels)

    def _balanced(self, labels):
        """The weights of 'balanced' as a dict."""
        if not labels.one_column:
            raise ValueError(
                f"class_weight={self._estimator.class_weight!r} is not supported for "
                "fit_batches with several columns of labels: pass a list with a dict "
                "for each."
            )
        n_rows = sum(self._counts.values())
        return {
            label: n_rows / (len(self._counts) * count)
            for label, count in self._counts.items()
        }


def _check_same(classes, fitted):
    """Refuse classes that are not those of the network that goes on."""
    mine, theirs = (
        [each.tolist() for each in (part if isinstance(part, list) else [part])]
        for part in (classes, fitted)
    )
    if mine != theirs:
        raise ValueError(
            f"classes={classes!r} are not those of the fitted network, {fitted!r}: "
            "with warm_start they must stay."
        )


def first_pass(estimator, make_chunks, classes, *, resumes):
    """Learn from all chunks what a training must know beforehand.

    Sets the estimator's features, its labels or the scale of its target, and a dict in
    place of ``class_weight='balanced'``.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    make_chunks : callable
    classes : array-like, list of array-likes or None
        All classes, as the user has declared them.
    resumes : bool
        Whether a fitted network goes on.

    Returns
    -------
    Facts

    Raises
    ------
    ValueError, TypeError
        For chunks that cannot be used; the message names the first one.
    """
    facts = None
    target = (
        _Numbers(estimator)
        if is_regressor(estimator)
        else _Classes(estimator, _sorted(classes), resumes=resumes)
    )
    for chunk in read_chunks(make_chunks):
        if facts is None:
            facts, y = _begin(estimator, chunk, resumes=resumes)
        else:
            facts.shape.check(chunk)
            y = checked_target(estimator, chunk)
        with naming(chunk.name):
            weights, row_ids = combine_weights(
                chunk.sample_weight, y, facts.dtype, may_be_empty=True
            )
        target.add(chunk, y, weights, row_ids)
        facts = _counted(facts, weights, row_ids)
    if facts is None:
        raise ValueError("make_chunks() returned chunks without any row.")
    if not (resumes and is_regressor(estimator)):
        target.publish()
    if not is_regressor(estimator):
        facts = _with_classes(estimator, make_chunks, facts)
    if facts.n_rows == 0:
        raise ValueError("The weights of all rows of all chunks are zero.")
    return facts


def _sorted(classes):
    if classes is None:
        return None
    if any(map(np.ndim, classes)):
        return [np.unique(column) for column in classes]
    return np.unique(classes)


def _begin(estimator, chunk, *, resumes):
    """The facts by the first chunk, before its rows are counted, and its target."""
    dtypes = estimator._allowed_dtypes(not resumes)
    X, y, _ = checked_chunk(estimator, chunk, dtypes, reset=not resumes)
    if sparse.issparse(X):
        n_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    else:
        n_bytes = X.shape[1] * X.dtype.itemsize * X.shape[0]
    return Facts(Shape.of(chunk), X.dtype, n_bytes / X.shape[0]), y


def _counted(facts, weights, row_ids):
    """The facts with the rows of one more chunk."""
    total = facts.total_weight
    if weights is not None:
        total = (total or 0.0) + float(np.sum(weights[row_ids], dtype=np.float64))
    return facts._replace(n_rows=facts.n_rows + len(row_ids), total_weight=total)


def _with_classes(estimator, make_chunks, facts):
    """The facts with class weights and shares, for which y is read once more."""
    needs_sums = bool(prior_parameters(estimator))
    if estimator.class_weight is None and not needs_sums:
        return facts
    facts, sums = facts._replace(n_rows=0, total_weight=None), []
    for chunk in read_chunks(make_chunks):
        y = canonical_labels(checked_target(estimator, chunk))
        weights, row_ids = chunk_weights(estimator, chunk, y, y, facts.dtype)
        facts = _counted(facts, weights, row_ids)
        if needs_sums:
            targets = estimator._targets(y, facts.dtype)[row_ids]
            weights = None if weights is None else weights[row_ids]
            sums.append(class_sums(estimator._labels, targets, weights))
    return facts._replace(class_sums=np.sum(sums, axis=0) if needs_sums else None)
