"""Warnings of targets that are probably not what was meant."""

import warnings

import numpy as np

from skmlp.call_site import user_stacklevel
from skmlp.estimators.ineffective import warn_of_one_hot

# Columns that a message names.
_NAMED = 3


def warn_of_target(estimator, sample):
    """Warn of one-hot labels, and of columns of y with the same label in all rows.

    Parameters
    ----------
    estimator : BaseMLP
        After the validation of the training data.
    sample : Sample
    """
    labels = getattr(estimator, "_labels", None)
    if labels is None or labels.one_column:
        return
    if labels.multilabel:
        warn_of_one_hot(sample.y)
    _warn_of_constant(labels, sample)


def _warn_of_constant(labels, sample):
    targets, row_ids = sample.targets, sample.row_ids
    if len(row_ids) < len(targets):
        targets = targets[row_ids]
    constant = np.flatnonzero(targets.min(axis=0) == targets.max(axis=0))
    if len(constant) == 0:
        return
    parts = []
    for c in constant[:_NAMED]:
        label = int(targets[0, c])
        if not labels.multilabel:
            label = labels.classes[c].tolist()[label]
        name = c if labels.names is None else repr(labels.names[c])
        parts.append(f"{name} has {label!r}")
    others = len(constant) - len(parts)
    more = f" and {others} more" if others > 0 else ""
    warnings.warn(
        "Some columns of y have the same label in all rows, which is all that can be "
        f"learned of them: column {', '.join(parts)}{more}.",
        stacklevel=user_stacklevel(),
    )
