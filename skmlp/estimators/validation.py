"""Validation data: their checks, and the score of a network in training on them.

The training loop only calls a `ValidationScorer` after each epoch. It does not know
whether the user has passed the data or a split has held them out, nor how they are
scored.
"""

import inspect
import re
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import get_scorer

from skmlp.estimators.class_scoring import adapted
from skmlp.estimators.data import (
    Sample,
    canonical_x,
    combine_weights,
    reject_masked,
    validated,
)
from skmlp.estimators.epoch_scores import epoch_scorer
from skmlp.estimators.value_suggestions import check_scorer


class ValidationData(NamedTuple):
    """Validation data as the user has passed them to `fit` or `partial_fit`."""

    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None


def check_complete(data):
    """Refuse incomplete validation data, with the messages of `HistGradientBoosting`.

    Raises
    ------
    ValueError
    """
    for name, other in (("X_val", "y_val"), ("y_val", "X_val")):
        if getattr(data, name) is not None and getattr(data, other) is None:
            raise ValueError(f"{name} is provided, but {other} was not provided.")
    if data.sample_weight_val is not None and data.X_val is None:
        raise ValueError("sample_weight_val is provided, but X_val was not provided.")


# What errors of data that a Pipeline has not transformed are about.
_UNTRANSFORMED = re.compile("convert|string|features|feature names|X contains NaN")


@contextmanager
def naming(names):
    """Let errors of scikit-learn's validation say which data they are about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        cls = TypeError if isinstance(error, TypeError) else ValueError
        advice = ""
        if "X_val" in names and _UNTRANSFORMED.search(str(error)):
            advice = (
                "\nA Pipeline transforms X_val like X only if it is made with "
                'transform_input=["X_val"].'
            )
        raise cls(f"In {names}: {error}{advice}") from error


def validate_held_out(estimator, data, sample):
    """Validation data as a `Sample`, checked like the training data.

    Parameters
    ----------
    estimator : BaseMLP
        After the validation of the training data.
    data : ValidationData
        Complete, by `as_supported`.
    sample : Sample
        The training data.

    Returns
    -------
    Sample or None
        None without validation data. Its `row_ids` are None if all rows have a positive
        weight.

    Raises
    ------
    ValueError, TypeError
    """
    if data.X_val is None:
        return None
    reject_masked(**data._asdict())
    dtype = sample.x.dtype
    with naming("X_val, y_val"):
        x, y = validated(estimator, data.X_val, data.y_val, dtype=dtype, reset=False)
    with naming("y_val"):
        y = estimator._validate_y_val(y)
        targets = estimator._targets(y, dtype)
        columns, expected = targets.shape[1], sample.targets.shape[1]
        if columns != expected:
            raise ValueError(f"{columns} columns, but y has {expected}.")
    with naming("sample_weight_val"):
        weights, row_ids = combine_weights(data.sample_weight_val, x, dtype)
    if len(row_ids) < 2:
        raise ValueError("X_val must have at least two rows of positive weight.")
    return Sample(
        x=canonical_x(x, dtype),
        y=y,
        targets=targets,
        sample_weight=weights,
        row_ids=row_ids if len(row_ids) < len(targets) else None,
    )


class ValidationScorer:
    """Callable that returns loss and score of held-out data.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network
    target : skmlp.estimators.devices.Target
    session : skmlp.backends.Session
        Its current parameters are scored.
    held_out : Sample
    """

    def __init__(self, estimator, network, target, session, held_out):
        self._network = network
        self._backend = target.backend
        self._session = session
        self._x = held_out.x
        self._row_ids = held_out.row_ids
        self._targets = _rows(held_out.targets, held_out.row_ids)
        self._sample_weight = _rows(held_out.sample_weight, held_out.row_ids)
        self._estimator = estimator
        self._scoring = estimator.scoring
        if self._scoring not in (None, "loss"):
            view = _view(estimator, target.device)
            held_out = held_out._replace(
                targets=self._targets, sample_weight=self._sample_weight
            )
            self._scorer = _Scorer(view, network, held_out)

    def __call__(self):
        """Loss and score with the session's current parameters."""
        raw = self._session.outputs(self._x, self._row_ids)
        loss, predictions = self._backend.evaluate(
            self._network, raw, self._targets, self._sample_weight
        )
        return loss, self._score(raw, loss, predictions)

    def _score(self, raw, loss, predictions):
        if self._scoring is None:
            return self._estimator._validation_score(
                raw, predictions, self._targets, self._sample_weight
            )
        if self._scoring == "loss":
            return -loss
        # Metrics refuse outputs that are not finite; here they only mean a bad epoch.
        if not np.isfinite(raw).all():
            return np.nan
        score = self._scorer.of_outputs(raw, predictions)
        return self._scorer(self._session.params) if score is None else score


def _view(estimator, device):
    """A copy of an estimator in training, for a scorer that calls its methods."""
    view = object.__new__(type(estimator))
    # Not by `copy`, which copies the curves of all epochs before.
    vars(view).update(vars(estimator), device_=device)
    # The validated X has no feature names.
    vars(view).pop("feature_names_in_", None)
    return view


class _Scorer:
    """A scorer of scikit-learn, applied to a network in training.

    The weights of the estimator that it gets are views on the parameters, and its X is
    the validated one, so that neither is copied or checked in every epoch.
    """

    def __init__(self, view, network, held_out):
        self._name = view.scoring
        check_scorer(self._name)
        self._score = (
            get_scorer(self._name) if isinstance(self._name, str) else self._name
        )
        self._network = network
        self._view = view
        self._x = _rows(held_out.x, held_out.row_ids)
        self._y = _rows(held_out.y, held_out.row_ids)
        self._weights = {}
        weights = held_out.sample_weight
        if weights is not None and _accepts_weights(self._score):
            self._weights["sample_weight"] = weights
        self._hint = ""
        labels = getattr(view, "_labels", None)  # a regressor has none
        if labels is not None:
            self._score = adapted(self._score, labels, self._y)
            self._hint = _hint(labels.missing(self._y))
        self._of_outputs = None
        if labels is not None and not _overrides_predictions(view):
            self._of_outputs = epoch_scorer(
                self._score, labels, held_out.targets, weights
            )

    def of_outputs(self, raw, predictions):
        """The score from outputs that are there; None if it takes the scorer itself."""
        if self._of_outputs is None:
            return None
        return self._of_outputs(self._view, raw, predictions, self._network.output)

    def __call__(self, params):
        self._view._publish(self._network, params)
        try:
            score = self._score(self._view, self._x, self._y, **self._weights)
            score = float(score)
        except Exception as error:
            raise ValueError(
                f"scoring={self._name!r} failed on the validation data: {error}"
                f"{self._hint}"
            ) from error
        # A metric that is nan for want of a class can have no best epoch. A callable
        # of the user may return nan on purpose.
        if np.isnan(score) and self._hint and hasattr(self._score, "_score_func"):
            raise ValueError(
                f"scoring={self._name!r} is nan on the validation data.{self._hint}"
            )
        return score


def _hint(missing):
    """What to do where a scorer needs the classes that are missing."""
    if len(missing) == 0:
        return ""
    return (
        f" The validation data do not have rows with and without {missing.tolist()}: "
        "pass X_val and y_val that do, or use scoring='loss'."
    )


def _overrides_predictions(estimator):
    """Whether a class of the user's own predicts otherwise."""
    return any(
        name in vars(cls)
        for cls in type(estimator).__mro__
        if cls.__module__.partition(".")[0] != "skmlp"
        for name in ("predict", "predict_proba", "decision_function")
    )


def _accepts_weights(scorer):
    # A scorer of scikit-learn accepts any keyword; its metric may not.
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in inspect.signature(scorer).parameters


def _rows(array, row_ids):
    return array if array is None or row_ids is None else array[row_ids]
