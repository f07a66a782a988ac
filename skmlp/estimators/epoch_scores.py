"""scikit-learn's scores of classes, from outputs of an epoch that are there already.

A scorer of scikit-learn predicts, validates and encodes anew at every call, which for
small networks takes longer than the epoch that it judges. Its metrics are functions of
a confusion matrix, or of the true classes in the order of the scores, and those are
vector operations on numbers at hand. What is not known here to be the same, or not
defined, is left to scikit-learn, with its warnings and errors.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn import metrics

from skmlp.estimators.class_priors import DECISIONS, PROBABILITIES, shifted
from skmlp.estimators.one_column import OneOfSeveral, TwoClasses
from skmlp.rules.activations import IDENTITY


class _Truth:
    """The true classes of the held-out rows.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    codes : ndarray of int of shape (n_rows,)
    weights : ndarray of shape (n_rows,) or None
    """

    def __init__(self, classes, codes, weights):
        self.classes = classes.tolist()
        self.codes = codes
        weights = np.ones(len(codes)) if weights is None else weights
        self.weights = weights.astype(np.float64)

    def index(self, label):
        """The code of a label, or None."""
        return self.classes.index(label) if label in self.classes else None

    def confusion(self, predicted):
        """Weights of the rows by true and by predicted class."""
        n = len(self.classes)
        counts = np.bincount(
            self.codes * n + predicted.ravel(), self.weights, minlength=n * n
        )
        return counts.reshape(n, n)

    def mean(self, values):
        """Weighted mean over the rows."""
        return np.average(values, weights=self.weights)


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
    if type(labels) not in (TwoClasses, OneOfSeveral) or metric is None:
        return None
    codes = targets.ravel().astype(np.intp)
    if len(np.unique(codes)) < len(labels.classes):
        return None
    truth = _Truth(labels.classes, codes, weights)
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


# Of predictions: functions of the confusion matrix. A factory takes the truth and the
# keywords of the scorer, and returns None for those that it does not know.


def _of_confusion(formula):
    def factory(truth, **keywords):
        if keywords:
            return None
        return lambda predicted: formula(truth.confusion(predicted))

    return factory


def _accuracy(counts):
    return np.trace(counts) / counts.sum()


def _balanced_accuracy(counts):
    return np.mean(np.diagonal(counts) / counts.sum(axis=1))


def _matthews(counts):
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    size = counts.sum()
    of_both = np.trace(counts) * size - true @ predicted
    spread = (size**2 - predicted @ predicted) * (size**2 - true @ true)
    return of_both / np.sqrt(spread) if spread > 0 else None


def _by_class(parts):
    """A metric that is a ratio for each class, and its averages."""

    def factory(
        truth, *, average="binary", pos_label=1, labels=None, zero_division="warn"
    ):
        chosen = [*range(len(truth.classes))]
        if average == "binary":
            if len(truth.classes) > 2 or labels is not None:
                return None
            chosen = [truth.index(pos_label)]
        elif labels is not None:
            chosen = [truth.index(label) for label in labels]
        if None in chosen or average not in ("binary", "micro", "macro", "weighted"):
            return None
        return lambda predicted: _averaged(
            truth.confusion(predicted), parts, chosen, average
        )

    return factory


def _averaged(counts, parts, chosen, average):
    of_both = np.diagonal(counts)[chosen]
    true, predicted = counts.sum(axis=1)[chosen], counts.sum(axis=0)[chosen]
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
    codes, weights = truth.codes, truth.weights
    values, shares = [], []
    for k in range(len(truth.classes)):
        side = codes == k
        values.append(formula(*_above(side, weights, scores[:, k])))
        shares.append(weights[side].sum())
    return np.average(values, weights=shares if average == "weighted" else None)


def _of_two(truth, formula, scores):
    scores = scores if scores.ndim == 1 else scores[:, 1]
    return formula(*_above(truth.codes == 1, truth.weights, scores))


def _roc_auc(truth, *, multi_class="raise", average="macro"):
    if len(truth.classes) == 2:
        return partial(_of_two, truth, _area_of_roc)
    if multi_class != "ovr" or average not in ("macro", "weighted"):
        return None
    return partial(_over_classes, truth, _area_of_roc, average)


def _precision_recall(truth, *, average="macro", pos_label=1):
    if len(truth.classes) == 2:
        # Of the other class scikit-learn would turn the scores over.
        if truth.index(pos_label) != 1:
            return None
        return partial(_of_two, truth, _average_precision)
    if pos_label != 1 or average not in ("macro", "weighted"):
        return None
    return partial(_over_classes, truth, _average_precision, average)


# Of probabilities.


def _log_loss(truth, **keywords):
    if keywords:
        return None
    rows = np.arange(len(truth.codes))

    def score(probabilities):
        eps = np.finfo(probabilities.dtype).eps
        if len(truth.classes) == 2:
            of_second = probabilities[:, 1]
            probabilities = np.column_stack([1 - of_second, of_second])
        own = np.clip(probabilities[rows, truth.codes], eps, 1 - eps)
        return -truth.mean(np.log(own))

    return score


def _brier(truth, **keywords):
    if keywords or len(truth.classes) > 2 or truth.index(1) != 1:
        return None
    return lambda probabilities: truth.mean((truth.codes - probabilities[:, 1]) ** 2)


_OF_PREDICTIONS: dict[Callable, Callable] = {
    metrics.accuracy_score: _of_confusion(_accuracy),
    metrics.balanced_accuracy_score: _of_confusion(_balanced_accuracy),
    metrics.matthews_corrcoef: _of_confusion(_matthews),
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
