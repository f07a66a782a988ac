"""Multilabel targets: a matrix of 0 and 1, a column a label."""

import numpy as np
from scipy import sparse

from skmlp.estimators.labels import Labels, positive
from skmlp.estimators.target_names import named
from skmlp.rules.activations import IDENTITY


def is_indicator(y):
    """Whether all elements of a matrix are 0 or 1."""
    values = y.data if sparse.issparse(y) else np.asarray(y)
    return bool(np.all((values == 0) | (values == 1)))


class LabelMatrix(Labels):
    """Labels that do not exclude each other: an output each.

    Parameters
    ----------
    classes : ndarray of shape (n_labels,)
        Numbers of the columns.
    sparse_output : bool, default=False
        Whether predictions are sparse, because the target was.
    names : ndarray of str, default=None
        Names of the columns, where they have any.
    """

    multilabel = True

    def __init__(self, classes, sparse_output=False, names=None):
        super().__init__(classes)
        self.sparse_output = sparse_output
        self.names = names

    def attributes(self):
        """Fitted attributes, the names of the labels among them."""
        return {**super().attributes(), "label_names_": self.names}

    @property
    def n_outputs(self):
        """One a label."""
        return len(self.classes)

    def check_known(self, y, warm_start):
        """Refuse other columns, and other elements than 0 and 1."""
        self._check_shape(y)
        if is_indicator(y):
            return
        y = _dense(y)
        bad = np.flatnonzero(~np.all((y == 0) | (y == 1), axis=0))
        raise ValueError(
            "`y` has classes not in `self.classes_`: a matrix of labels has 0 and 1, "
            f"but {named(self.names, bad[0])} of y has {np.unique(y[:, bad[0]])}."
        )

    def _check_shape(self, y):
        if len(y.shape) != 2 or y.shape[1] != len(self.classes):
            raise ValueError(
                f"y has shape {y.shape}, but the network was made for "
                f"{len(self.classes)} labels, a column each."
            )

    def encode(self, y, dtype):
        """The matrix, dense."""
        self._check_shape(y)
        return np.ascontiguousarray(_dense(y), dtype=dtype)

    def strata(self, targets):
        """None: combinations of labels are too many."""

    def predicted(self, outputs, threshold):
        """The labels whose outputs are above the threshold."""
        return (outputs > threshold).astype(np.intp)

    def decode(self, raw):
        """An indicator matrix, sparse if the target was."""
        encoded = self.predicted(raw, 0.0)
        return sparse.csr_matrix(encoded) if self.sparse_output else encoded

    def class_sums(self, targets, weights):
        """Sums of the weights of the rows that have each label."""
        return weights @ targets

    def log_prior(self, shares):
        """The logit of each label's share."""
        return np.log(shares) - np.log1p(-shares)

    def decision(self, raw, output):
        """The evidence for each label."""
        return raw.ravel() if raw.shape[1] == 1 else raw

    def probabilities(self, outputs, output):
        """The probability of each label."""
        return positive(outputs())

    def log_probabilities(self, outputs, output):
        """The logarithm of each label's."""
        raw = outputs(IDENTITY)
        # Near one, where labels tie once rounded, the logarithms must tie too.
        likely = np.log(np.maximum(self.probabilities(outputs, output), 0.5))
        return np.where(raw > 0, likely, -np.logaddexp(0, -raw))

    def missing(self, y):
        """The labels that no row or every row has."""
        y = _dense(y)
        varies = np.any(y != 0, axis=0) & np.any(y == 0, axis=0)
        return self.classes[~varies]

    def columns(self, y):
        """Whether the rows have each label."""
        for i in range(y.shape[1]):
            column = y[:, [i]].toarray().ravel() if sparse.issparse(y) else y[:, i]
            yield (column != 0).astype(int), np.arange(2)

    def to_state(self):
        """The labels as a plain dict, for a pickle."""
        names = {} if self.names is None else {"names": self.names}
        return {
            "classes": self.classes,
            "multilabel": True,
            "sparse_output": self.sparse_output,
            **names,
        }


def _dense(y):
    return y.toarray() if sparse.issparse(y) else np.asarray(y)
