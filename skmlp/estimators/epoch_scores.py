"""scikit-learn's scores of classes, from outputs of an epoch that are there already.

A scorer of scikit-learn predicts, validates and encodes anew at every call, which for
small networks takes longer than the epoch that it scores. Its metrics are functions of
counts by class, or of the true classes in the order of the scores, and those are
vector operations on numbers at hand. What is not known here to be the same, or not
defined, is left to scikit-learn, with its warnings and errors.
"""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from sklearn import metrics

from skmlp.estimators.class_priors import DECISIONS, PROBABILITIES, shifted
from skmlp.estimators.label_matrix import LabelMatrix
from skmlp.estimators.one_column import OneOfSeveral, TwoClasses
from skmlp.rules.activations import IDENTITY


class _Truth:
    """The true classes of the held-out rows.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    encoded : ndarray of int of shape (n_rows, n_columns)
    weights : ndarray of shape (n_rows,) or None

    Attributes
    ----------
    is_binary, is_multilabel : bool
    """

    is_multilabel = False

    def __init__(self, classes, encoded, weights):
        self.classes = classes.tolist()
        self.is_binary = len(self.classes) == 2
        self.encoded = encoded
        self.codes = encoded.ravel()
        weights = np.ones(len(encoded)) if weights is None else weights
        self.weights = weights.astype(np.float64)

    def index(self, label):
        """The code of a label, or None."""
        return self.classes.index(label) if label in self.classes else None

    def has_all(self):
        """Whether there are rows of each class."""
        return len(np.unique(self.codes)) == len(self.classes)

    def counts(self, predicted):
        """Of each class the weights of rows found, of it, and predicted as it."""
        predicted = predicted.ravel()
        found = np.where(predicted == self.codes, self.weights, 0.0)
        return tuple(
            np.bincount(codes, weights, minlength=len(self.classes))
            for codes, weights in (
                (self.codes, found),
                (self.codes, self.weights),
                (predicted, self.weights),
            )
        )

    def sides(self, scores):
        """Whether each row is of a class, and the scores of that, class by class."""
        if self.is_binary:
            scores = scores if scores.ndim == 1 else scores[:, 1]
            return [(self._sides[1], scores)]
        return zip(self._sides, np.ascontiguousarray(scores.T), strict=True)

    @cached_property
    def _sides(self):
        return self.codes == np.arange(len(self.classes))[:, np.newaxis]

    def mean(self, values):
        """Weighted mean over the rows."""
        return np.average(values, weights=self.weights)


class _TrueLabels(_Truth):
    """The labels of the held-out rows, a column each."""

    is_multilabel = True

    def __init__(self, classes, encoded, weights):
        super().__init__(classes, encoded, weights)
        self.is_binary = False

    def has_all(self):
        """Whether there are rows with and without each label."""
        return np.all(np.ptp(self.encoded, axis=0) > 0)

    def counts(self, predicted):
        """Of each label the weights of rows found, with it, and predicted to have it.

        Products of matrices add in an order that depends on the machine; sums do not.
        """
        weights = self.weights[:, np.newaxis]
        parts = (self.encoded & predicted, self.encoded, predicted)
        return tuple(np.sum(weights * part, axis=0) for part in parts)

    @cached_property
    def _sides(self):
        return np.ascontiguousarray(self.encoded.T == 1)


def epoch_scorer(scorer, labels, targets, weights):
    """A function that scores an epoch's outputs as a scorer of scikit-learn does.

    Parameters
    ----------
    scorer : callable
    labels : skmlp.estimators.labels.Labels
    targets : ndarray of shape (n_rows, n_columns)
        Encoded.
    weights : ndarray of shape (n_rows,) or None

    Returns
    -------
    callable or None
        ``score(estimator, raw, activated, output)`` takes an estimator in training,
        raw outputs, outputs and the name of the output activation. It returns None
        where the score is not defined. None in its place for other scorers and
        targets.
    """
    metric = getattr(scorer, "_score_func", None)
    kind = _KINDS.get(type(labels))
    if kind is None or metric is None:
        return None
    truth = kind(labels.classes, targets.astype(np.intp), weights)
    if not truth.has_all():
        return None
    response = scorer._response_method
    for table, evidence in (
        (_OF_PREDICTIONS, _predictions),
        (_OF_RANKS, _ranking(response)),
        (_OF_PROBABILITIES, _probabilities),
    ):
        if metric in table and _is_for(response, evidence):
            function = table[metric](truth, **scorer._kwargs)
            return function and partial(_signed, scorer._sign, evidence, function)
    return None


def _signed(sign, evidence, function, estimator, raw, activated, output):
    def outputs(activation=None):
        return raw if activation == IDENTITY else activated.copy()

    value = function(evidence(estimator, outputs, output))
    return None if value is None or not np.isfinite(value) else sign * float(value)


def _predictions(estimator, outputs, output):
    raw = shifted(estimator, outputs, DECISIONS)(IDENTITY)
    return estimator._labels.predicted(raw, 0.0)


def _decisions(estimator, outputs, output):
    raw = shifted(estimator, outputs, DECISIONS)(IDENTITY)
    return estimator._labels.decision(raw, output)


def _probabilities(estimator, outputs, output):
    moved = shifted(estimator, outputs, PROBABILITIES)
    return estimator._labels.probabilities(moved, output)


def _ranking(response):
    """What a scorer of ranks is asked for first."""
    first = response if isinstance(response, str) else response[0]
    return _probabilities if first == "predict_proba" else _decisions


def _is_for(response, evidence):
    """Whether a scorer asks for this evidence."""
    first = response if isinstance(response, str) else response[0]
    asked = {
        "predict": _predictions,
        "decision_function": _decisions,
        "predict_proba": _probabilities,
    }
    return asked.get(first) is evidence


# Of predictions. A factory takes the truth and the keywords of the scorer, and returns
# None for those that it does not know.


def _accuracy(truth, **keywords):
    if keywords:
        return None
    return lambda predicted: truth.mean(np.all(predicted == truth.encoded, axis=1))


def _of_counts(formula):
    def factory(truth, **keywords):
        if keywords or truth.is_multilabel:
            return None
        return lambda predicted: formula(*truth.counts(predicted))

    return factory


def _balanced_accuracy(of_both, true, predicted):
    return np.mean(of_both / true)


def _matthews(of_both, true, predicted):
    size = true.sum()
    agreement = of_both.sum() * size - true @ predicted
    spread = (size**2 - predicted @ predicted) * (size**2 - true @ true)
    return agreement / np.sqrt(spread) if spread > 0 else None


def _by_class(parts):
    """A metric that is a ratio for each class, and its averages."""

    def factory(
        truth, *, average="binary", pos_label=1, labels=None, zero_division="warn"
    ):
        chosen = [*range(len(truth.classes))]
        if average == "binary":
            if not truth.is_binary or labels is not None:
                return None
            chosen = [truth.index(pos_label)]
        elif labels is not None:
            chosen = [truth.index(label) for label in labels]
        if None in chosen or average not in ("binary", "micro", "macro", "weighted"):
            return None
        return lambda predicted: _averaged(
            truth.counts(predicted), parts, chosen, average
        )

    return factory


def _averaged(counts, parts, chosen, average):
    of_both, true, predicted = (part[chosen] for part in counts)
    if average == "micro":
        of_both, true, predicted = (
            part.sum(keepdims=True) for part in (of_both, true, predicted)
        )
    above, below = parts(of_both, true, predicted)
    if not np.all(below > 0):
        return None
    return np.average(above / below, weights=true if average == "weighted" else None)


def _recall(of_both, true, predicted):
    return of_both, true


def _precision(of_both, true, predicted):
    return of_both, predicted


def _f1(of_both, true, predicted):
    return 2 * of_both, true + predicted


def _jaccard(of_both, true, predicted):
    return of_both, true + predicted - of_both


# Of ranks: functions of the weights of both sides above each score.


def _above(side, weights, scores):
    """Weights of both sides at and above each distinct score, from the highest."""
    order = np.argsort(scores, kind="stable")[::-1]
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(order) - 1)
    own = np.where(side[order], weights[order], 0.0)
    other = np.where(side[order], 0.0, weights[order])
    return np.cumsum(own)[ends], np.cumsum(other)[ends]


def _area_of_roc(own, other):
    own, other = np.append(0.0, own), np.append(0.0, other)
    area = np.sum(np.diff(other) * (own[1:] + own[:-1])) / 2
    return area / (own[-1] * other[-1])


def _average_precision(own, other):
    return np.sum(np.diff(own, prepend=0.0) * (own / (own + other))) / own[-1]


def _over_classes(truth, formula, average, scores):
    """The mean of a metric over the classes, each against all others."""
    values, shares = [], []
    for side, column in truth.sides(scores):
        values.append(formula(*_above(side, truth.weights, column)))
        shares.append(truth.weights[side].sum())
    return np.average(values, weights=shares if average == "weighted" else None)


def _roc_auc(truth, *, multi_class="raise", average="macro"):
    is_known = truth.is_binary or truth.is_multilabel or multi_class == "ovr"
    if not is_known or average not in ("macro", "weighted"):
        return None
    return partial(_over_classes, truth, _area_of_roc, average)


def _precision_recall(truth, *, average="macro", pos_label=1):
    # Of the other class of two scikit-learn would turn the scores over.
    is_known = truth.index(pos_label) == 1 if truth.is_binary else pos_label == 1
    if not is_known or average not in ("macro", "weighted"):
        return None
    return partial(_over_classes, truth, _average_precision, average)


# Of probabilities.


def _log_loss(truth, **keywords):
    if keywords or truth.is_multilabel:
        return None
    rows = np.arange(len(truth.codes))

    def score(probabilities):
        eps = np.finfo(probabilities.dtype).eps
        if truth.is_binary:
            of_second = probabilities[:, 1]
            probabilities = np.column_stack([1 - of_second, of_second])
        own = np.clip(probabilities[rows, truth.codes], eps, 1 - eps)
        return -truth.mean(np.log(own))

    return score


def _brier(truth, **keywords):
    if keywords or not truth.is_binary or truth.index(1) != 1:
        return None
    return lambda probabilities: truth.mean((truth.codes - probabilities[:, 1]) ** 2)


_OF_PREDICTIONS: dict[Callable, Callable] = {
    metrics.accuracy_score: _accuracy,
    metrics.balanced_accuracy_score: _of_counts(_balanced_accuracy),
    metrics.matthews_corrcoef: _of_counts(_matthews),
    metrics.recall_score: _by_class(_recall),
    metrics.precision_score: _by_class(_precision),
    metrics.f1_score: _by_class(_f1),
    metrics.jaccard_score: _by_class(_jaccard),
}
_OF_RANKS: dict[Callable, Callable] = {
    metrics.roc_auc_score: _roc_auc,
    metrics.average_precision_score: _precision_recall,
}
_OF_PROBABILITIES: dict[Callable, Callable] = {
    metrics.log_loss: _log_loss,
    metrics.brier_score_loss: _brier,
}
_KINDS: dict[type, type[_Truth]] = {
    TwoClasses: _Truth,
    OneOfSeveral: _Truth,
    LabelMatrix: _TrueLabels,
}
