"""Held-out data: how they are checked, and how a network in training is scored on them.

It stands apart from `base` because a fit need not know any of it: it gets something
to call after each epoch, whether the data were passed in or split off, and whatever
scores them.
"""

import copy
import inspect
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from sklearn.metrics import get_scorer

from skmlp.estimators.data import Sample, canonical_x, reject_masked, validated, weigh
from skmlp.estimators.gpu_arrays import on_host


class Given(NamedTuple):
    """Validation data as the user has passed them to `fit` or `partial_fit`."""

    X_val: object = None
    y_val: object = None
    sample_weight_val: object = None


def check_complete(given):
    """Refuse halves of validation data, in the words of `HistGradientBoosting`.

    Raises
    ------
    ValueError
    """
    for name, other in (("X_val", "y_val"), ("y_val", "X_val")):
        if getattr(given, name) is not None and getattr(given, other) is None:
            raise ValueError(f"{name} is provided, but {other} was not provided.")
    if given.sample_weight_val is not None and given.X_val is None:
        raise ValueError("sample_weight_val is provided, but X_val was not provided.")


@contextmanager
def _naming(names):
    """Let errors of scikit-learn's validation say which data they are about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"In {names}: {error}") from error


def checked(estimator, given, sample):
    """Validation data as a `Sample`, by the measure of the training data.

    Parameters
    ----------
    estimator : BaseMLP
        It has seen the training data.
    given : Given
        Complete.
    sample : Sample
        The training data.

    Returns
    -------
    Sample or None
        Its `rows` are None where all of them take part.

    Raises
    ------
    ValueError, TypeError
    """
    if given.X_val is None:
        return None
    y_val, weights_val = on_host(
        estimator.device,
        y_val=given.y_val,
        sample_weight_val=given.sample_weight_val,
    )
    given = Given(given.X_val, y_val, weights_val)
    reject_masked(**given._asdict())
    dtype = sample.x.dtype
    with _naming("X_val, y_val"):
        x, y = validated(
            estimator, given.X_val, y_val, dtype=dtype, reset=False, name="X_val"
        )
    with _naming("y_val"):
        y = estimator._validate_y_val(y)
        targets = estimator._targets(y, dtype)
        columns, expected = targets.shape[1], sample.targets.shape[1]
        if columns != expected:
            raise ValueError(f"{columns} columns, but y has {expected}.")
    with _naming("sample_weight_val"):
        weights, rows = weigh(given.sample_weight_val, None, x, y, dtype)
    if len(rows) < 2:
        raise ValueError("X_val must have at least two rows of positive weight.")
    every = rows if len(rows) < len(targets) else None
    return Sample(canonical_x(x, dtype), y, targets, weights, every)


class Judge:
    """Loss and score of held-out data, each time that it is called.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network
    backend : module
    session : the backend's session
        Its current parameters are judged.
    held_out : Sample
    """

    def __init__(self, estimator, network, backend, session, held_out):
        self._network = network
        self._backend = backend
        self._session = session
        self._x = held_out.x
        self._rows = held_out.rows
        self._targets = _taken(held_out.targets, held_out.rows)
        self._weights = _taken(held_out.weights, held_out.rows)
        self._estimator = estimator
        self._scoring = estimator.scoring
        if self._scoring not in (None, "loss"):
            self._scorer = _Scorer(estimator, network, held_out, self._weights)

    def __call__(self):
        """Loss and score with the session's current parameters."""
        raw = self._session.outputs(self._x, self._rows)
        loss, predictions = self._backend.evaluate(
            self._network, raw, self._targets, self._weights
        )
        return loss, self._score(raw, loss, predictions)

    def _score(self, raw, loss, predictions):
        if self._scoring is None:
            return self._estimator._validation_score(
                predictions, self._targets, self._weights
            )
        if self._scoring == "loss":
            return -loss
        # Metrics refuse what is not finite; here it only means a bad epoch.
        if not np.isfinite(raw).all():
            return np.nan
        return self._scorer(self._session.parameters)


class _Scorer:
    """A scorer of scikit-learn's kind, asked about a network in training.

    It gets a copy of the estimator whose weights are views on the parameters, and the
    validated X, so that neither is copied or checked for every epoch.
    """

    def __init__(self, estimator, network, held_out, weights):
        self._name = estimator.scoring
        self._score = (
            get_scorer(self._name) if isinstance(self._name, str) else self._name
        )
        self._network = network
        self._view = copy.copy(estimator)
        # The validated X has no names.
        vars(self._view).pop("feature_names_in_", None)
        self._x = _taken(held_out.x, held_out.rows)
        self._y = _taken(held_out.y, held_out.rows)
        self._weights = {}
        if weights is not None and _takes_weights(self._score):
            self._weights["sample_weight"] = weights

    def __call__(self, parameters):
        self._view._publish(self._network, parameters)
        try:
            score = self._score(self._view, self._x, self._y, **self._weights)
            return float(score)
        except Exception as error:
            raise ValueError(
                f"scoring={self._name!r} failed on the validation data: {error}"
            ) from error


def _takes_weights(scorer):
    # What scikit-learn's scorers accept is not what their metrics do.
    if hasattr(scorer, "_accept_sample_weight"):
        return scorer._accept_sample_weight()
    return "sample_weight" in inspect.signature(scorer).parameters


def _taken(array, rows):
    return array if array is None or rows is None else array[rows]
