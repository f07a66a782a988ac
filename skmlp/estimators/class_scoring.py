"""Scorers of probabilities on held-out rows that lack a class.

scikit-learn's metrics take the classes from the rows that they get. Where one is
missing they fail, or are nan, although the network has a column for it.
"""

import copy
import functools
import inspect

import numpy as np
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import label_binarize

# Metrics that are means over the classes, each against the rest.
_BY_CLASS = (roc_auc_score, average_precision_score)


def adapted(scorer, labels, y):
    """A scorer of scikit-learn for held-out rows that lack a class; others unchanged.

    Parameters
    ----------
    scorer : callable
    labels : skmlp.estimators.labels.Labels
    y : ndarray or sparse matrix

    Returns
    -------
    callable
    """
    metric = getattr(scorer, "_score_func", None)
    if metric is None or scorer._response_method == "predict":
        return scorer
    if not len(labels.missing(y)):
        return scorer
    options = scorer._kwargs
    twin = copy.copy(scorer)
    if _is_mean_over_classes(metric, options) and labels.n_outputs > 1:
        # They describe the target, which is binarized here.
        described = ("multi_class", "labels")
        twin._kwargs = {k: v for k, v in options.items() if k not in described}
        twin._score_func = functools.partial(_mean_over_varying, metric, labels)
    elif "labels" in inspect.signature(metric).parameters and not labels.multilabel:
        twin._kwargs = {"labels": labels.classes, **options}
    return twin


def _is_mean_over_classes(metric, options):
    return (
        metric in _BY_CLASS
        and options.get("multi_class") != "ovo"
        and options.get("average", "macro") in ("macro", "weighted")
    )


def _mean_over_varying(
    metric, labels, y_true, y_score, *, sample_weight=None, **options
):
    """A metric over the classes that some rows have and others have not."""
    if labels.multilabel:
        indicator = _dense(y_true)
    else:
        indicator = label_binarize(y_true, classes=labels.classes)
    varying = _varies(indicator)
    if not varying.any():
        return np.nan
    return metric(
        indicator[:, varying],
        np.asarray(y_score)[:, varying],
        sample_weight=sample_weight,
        **options,
    )


def _dense(y):
    return y.toarray() if sparse.issparse(y) else np.asarray(y)


def _varies(indicator):
    return np.any(indicator != 0, axis=0) & np.any(indicator == 0, axis=0)
