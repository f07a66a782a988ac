"""Which row of the losses' tables the estimators' parameters select.

A custom loss becomes a row here. A loss of the identity may get another output
activation: its scalar rules then take that activation's value.
"""

import numpy as np

from skmlp.rules.activations import ACTIVATIONS, OUTPUT_ONLY, activation_rule
from skmlp.rules.loss_row import Decoder, Loss, row_of, unchanged
from skmlp.rules.losses import (
    BINARY_LOSSES,
    COLUMN_LOSSES,
    LABEL_SMOOTHING,
    MULTICLASS_LOSSES,
    QUANTILES,
    REGRESSION_LOSSES,
)

# Activations that may follow a regression's last layer, beside the identity.
LINKS = ("relu", "softplus", "exp", "logistic", "tanh")
LINKED_RANGES = {"logistic": (0.0, 1.0), "tanh": (-1.0, 1.0)}
_BINARY_OUTPUTS = ("identity", "logistic")
# Output activations of classifiers.
CLASSIFIER_OUTPUTS = (*_BINARY_OUTPUTS, "softmax")


def regression_loss(loss, output="auto", settings=None):
    """The row of a regression's loss with some output activation.

    Parameters
    ----------
    loss : str or Loss
        Name of a row of `REGRESSION_LOSSES`, or a custom loss.
    output : str, default='auto'
        'auto' is the loss's own.
    settings : object, default=None
        Has the estimator's parameters as attributes; None for single numbers.

    Returns
    -------
    LossRow

    Raises
    ------
    ValueError
        If the two do not go together; the message says what would.
    """
    rows = REGRESSION_LOSSES.values()
    if isinstance(loss, Loss):
        row = row_of(loss, (*ACTIVATIONS, *OUTPUT_ONLY), _parameters_of(rows))
    else:
        row = next(row for row in rows if row.name == loss)
    if row.of_list is not None and any(
        np.iterable(getattr(settings, parameter.name, None))
        for parameter in row.parameters
    ):
        row = row.of_list
        if output not in ("auto", row.output):
            raise ValueError(
                f"out_activation={output!r} does not go with several {row.name}: use "
                f"{row.output!r} or 'auto'."
            )
    if output in ("auto", row.output):
        return row
    if row.output != "identity" or row.value is None:
        raise ValueError(
            f"out_activation={output!r} does not go with loss={row.name!r}, whose own "
            f"is {row.output!r}: use that or 'auto'."
        )
    return linked(row, output)


def _parameters_of(rows):
    """Parameters that a custom loss may take, beside the smoothing of labels."""
    return {parameter.name: parameter for row in rows for parameter in row.parameters}


def linked(row, output):
    """A loss of the identity with scalar rules, with another output activation."""
    low, high = LINKED_RANGES.get(output, (row.low, row.high))
    link = activation_rule(output)
    return row._replace(
        output=output, link=link, low=max(low, row.low), high=min(high, row.high)
    )


def classification_loss(loss, output, multiclass, settings=None):
    """The row of a classifier's loss with some output activation.

    Parameters
    ----------
    loss : str or Loss
        The parameter ``loss``.
    output : str
        'auto' or the name of an output activation.
    multiclass : bool
        Whether samples belong to one of several classes; else to one of two, or to
        any number of labels.
    settings : object, default=None
        Has the estimator's parameters as attributes; None for the defaults.

    Returns
    -------
    LossRow

    Raises
    ------
    ValueError
        If they do not go together; the message says what would.
    """
    binary = BINARY_LOSSES.values()
    if isinstance(loss, Loss):
        outputs = CLASSIFIER_OUTPUTS if multiclass else _BINARY_OUTPUTS
        row = row_of(loss, outputs, _parameters_of(binary), labels=True)
        candidates = [row._replace(labels=multiclass)]
    else:
        table = MULTICLASS_LOSSES.values() if multiclass else binary
        candidates = [row for row in table if row.name == loss]
        # One of two classes alone tells each class from all others, too.
        candidates = candidates or [
            row._replace(labels=True) for row in binary if row.name == loss
        ]
    _check_smoothing(candidates[0], loss, settings)
    for row in candidates:
        if output in ("auto", row.output):
            return row
    names = " or ".join(repr(row.output) for row in candidates)
    target = "several classes" if multiclass else "two classes or labels"
    one_hot = ""
    if not multiclass and output in {row.output for row in MULTICLASS_LOSSES.values()}:
        one_hot = " If each row of y marks one class by a 1, pass y.argmax(axis=1)."
    raise ValueError(
        f"out_activation={output!r} does not go with loss={candidates[0].name!r} for "
        f"{target}: use {names} or 'auto'.{one_hot}"
    )


def column_loss(loss, output, settings):
    """The row of a classifier's loss for several columns of classes.

    Parameters
    ----------
    loss, output, settings
        As of `classification_loss`.

    Returns
    -------
    LossRow

    Raises
    ------
    ValueError
        For a loss or an output activation that has no such row.
    """
    rows = COLUMN_LOSSES.values()
    for row in rows:
        if row.name == loss and output in ("auto", row.output):
            _check_smoothing(row, loss, settings)
            return row
    pairs = " or ".join(
        f"loss={row.name!r} with out_activation={row.output!r} or 'auto'"
        for row in rows
    )
    raise ValueError(
        f"loss={loss!r} with out_activation={output!r} does not go with several "
        f"columns of classes: use {pairs}."
    )


def is_ordered(loss):
    """Whether a classifier's loss takes the order of the classes into account."""
    return any(row.ordered and row.name == loss for row in MULTICLASS_LOSSES.values())


def _check_smoothing(row, loss, settings):
    """Refuse to smooth the labels of a loss that has no smoothing."""
    amount = getattr(settings, LABEL_SMOOTHING.name, 0)
    if amount > 0 and row.smoothing is None:
        names = [row.name for row in BINARY_LOSSES.values() if row.smoothing]
        raise ValueError(
            f"{LABEL_SMOOTHING.name}={amount} needs loss="
            f"{' or '.join(map(repr, names))}, got loss={loss!r}."
        )


def all_losses():
    """Every row, for tests and documentation."""
    regression = [*REGRESSION_LOSSES.values(), QUANTILES]
    links = [linked(regression[0], output) for output in LINKS]
    return [
        *regression,
        *links,
        *BINARY_LOSSES.values(),
        *MULTICLASS_LOSSES.values(),
        *COLUMN_LOSSES.values(),
    ]


def decoder_to_state(decoder):
    """A `Decoder` as a plain dict, for a pickle: the name of its loss, no functions."""
    name = None
    if decoder.decode is not unchanged or decoder.std is not None:
        name = next(
            row.name
            for row in all_losses()
            if row.decode is decoder.decode and row.std is decoder.std
        )
    return {"loss": name, "levels": decoder.levels, "params": decoder.params}


def decoder_from_state(state):
    """The `Decoder` of a `decoder_to_state`."""
    name, levels, params = state["loss"], state["levels"], state["params"]
    if name is None:
        return Decoder(decode=unchanged, std=None, levels=levels, params=params)
    decoders = [row.decoder(params) for row in all_losses() if row.name == name]
    return next(decoder for decoder in decoders if decoder.levels == levels)
