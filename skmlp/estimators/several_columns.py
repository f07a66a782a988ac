"""Targets of several columns of classes: one network with a softmax a column.

What scikit-learn calls multioutput-multiclass. Attributes and predictions have the
form that its forests give them: lists with an array a column.
"""

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import type_of_target

from skmlp.estimators.labels import Labels, positive
from skmlp.estimators.log_odds import log_odds
from skmlp.estimators.target_names import named
from skmlp.rules.activations import IDENTITY
from skmlp.rules.loss_choice import column_loss


def typed_table(y):
    """A target of objects as one of numbers, if all of its columns are such."""
    if y.ndim != 2 or y.dtype.kind != "O":
        return y
    columns = typed_columns(y)
    if any(column.dtype.kind == "O" for column in columns):
        return y
    return np.column_stack(columns)


def typed_columns(y):
    """The columns of a table, those of numbers as arrays of numbers."""
    return [_typed(column) for column in np.asarray(y).T]


def _typed(column):
    if column.dtype.kind != "O":
        return column
    values = np.array(column.tolist())
    return values if values.dtype.kind in "biuf" else column


class SeveralColumns(Labels):
    """Several columns of classes: outputs are a block a column, with a softmax each.

    Parameters
    ----------
    classes : list of ndarray
        Sorted classes of each column.
    names : ndarray of str, default=None
        Names of the columns, where they have any.
    """

    def __init__(self, classes, names=None):
        super().__init__(classes)
        self.names = names

    @classmethod
    def of(cls, y, names):
        """The labels of a table with a class a column in each row.

        Raises
        ------
        ValueError
            For a column that is not one of classes, or whose labels have no common
            order.
        """
        classes = []
        for c, column in enumerate(typed_columns(y)):
            is_number = column.dtype.kind == "f"
            if is_number and type_of_target(column).startswith("continuous"):
                raise ValueError(
                    f"Unknown label type: {named(names, c)} of y is continuous. A "
                    "classifier needs discrete classes."
                )
            try:
                classes.append(np.unique(column))
            except TypeError as error:
                raise ValueError(
                    f"{named(names, c)} of y mixes labels of different types, which "
                    "cannot be sorted. Convert them: astype(str)."
                ) from error
        return cls(classes, names)

    def attributes(self):
        """Fitted attributes, the names of the columns among them."""
        return {**super().attributes(), "label_names_": self.names}

    @property
    def n_outputs(self):
        """One a class of each column."""
        return sum(map(len, self.classes))

    def loss(self, settings, n_columns):
        """The row of the loss; its parameters begin with the blocks' sizes."""
        row = column_loss(settings.loss, settings.out_activation, settings)
        sizes = (float(len(classes)) for classes in self.classes)
        return row, (*sizes, *row.loss_params(settings, n_columns))

    def check_known(self, y, warm_start):
        """Refuse classes that the network was not made for, by column."""
        self._check_shape(y)
        for c, (column, classes) in enumerate(self.columns(y)):
            found, known = set(column.tolist()), set(classes.tolist())
            place = named(self.names, c)
            if found - known:
                unknown = sorted(found - known, key=str)
                raise ValueError(
                    f"`y` has classes not in `self.classes_`: {place} has {unknown}, "
                    f"but `self.classes_[{c}]` has {classes.tolist()}."
                )
            if warm_start and known - found:
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in "
                    f"the previous call to fit. In {place} it does not have "
                    f"{sorted(known - found, key=str)}."
                )

    def _check_shape(self, y):
        if np.ndim(y) != 2 or y.shape[1] != len(self.classes):
            raise ValueError(
                f"y has shape {y.shape}, but the network was made for "
                f"{len(self.classes)} columns of classes."
            )

    def encode(self, y, dtype):
        """The index of the class in each column."""
        self._check_shape(y)
        codes = [
            np.searchsorted(classes, column) for column, classes in self.columns(y)
        ]
        return np.ascontiguousarray(np.column_stack(codes), dtype=dtype)

    def columns(self, y):
        """Values and classes of each column."""
        return list(zip(typed_columns(y), self.classes, strict=True))

    def strata(self, targets):
        """None: combinations of classes are too many."""

    def missing(self, y):
        """None that a metric would miss: none has columns of probabilities."""
        return np.array([], dtype=object)

    def _blocks(self, raw):
        ends = np.cumsum([len(classes) for classes in self.classes])
        return np.split(raw, ends[:-1], axis=1)

    def predicted(self, outputs, threshold):
        """The class of the largest output in each block of raw outputs."""
        return np.column_stack([b.argmax(axis=1) for b in self._blocks(outputs)])

    def scored(self, raw, outputs, threshold):
        """From the raw outputs, whose blocks have a softmax each."""
        return self.predicted(raw, threshold)

    def decode(self, raw):
        """The classes of the rows, of shape (n_samples, n_columns)."""
        codes = self.predicted(raw, 0.0)
        columns = [
            classes[code] for classes, code in zip(self.classes, codes.T, strict=True)
        ]
        kinds = {column.dtype.kind for column in columns}
        if len(kinds) > 1 and not kinds <= set("iuf"):
            columns = [column.astype(object) for column in columns]
        return np.column_stack(columns)

    def decision(self, raw, output):
        """By column as of a target with that column alone."""
        return [_decision(block) for block in self._blocks(raw)]

    def probabilities(self, outputs, output):
        """A list of the classes' probabilities, an array a column."""
        blocks = self._blocks(outputs(IDENTITY))
        return [positive(softmax(block, axis=1)) for block in blocks]

    def log_probabilities(self, outputs, output):
        """A list of their logarithms."""
        return [log_softmax(b, axis=1) for b in self._blocks(outputs(IDENTITY))]

    def accuracy(self, y, predicted, sample_weight):
        """Weighted share of the rows that are right in all columns."""
        check_consistent_length(y, predicted, sample_weight)
        y = np.asarray(y)
        self._check_shape(y)
        right = y.astype(object) == predicted.astype(object)
        return float(np.average(np.all(right, axis=1), weights=sample_weight))

    def to_state(self):
        """The labels as a plain dict, for a pickle."""
        return {"classes": self.classes, "names": self.names, "multilabel": False}


def _decision(block):
    """Log-odds of the second class of two, of each of several; zero of a single."""
    if block.shape[1] == 1:
        return np.zeros(len(block), dtype=block.dtype)
    return block[:, 1] - block[:, 0] if block.shape[1] == 2 else log_odds(block)
