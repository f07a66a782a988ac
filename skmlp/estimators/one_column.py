"""Targets of one column: a single class, two classes, or one of several."""

import numpy as np
from scipy.special import log_softmax

from skmlp.estimators.labels import Labels, positive
from skmlp.estimators.log_odds import log_odds
from skmlp.rules.activations import IDENTITY, activation_rule
from skmlp.rules.coupled import ordered_log_probabilities


class OneColumn(Labels):
    """A target of one column; the network's target is the index of the class."""

    one_column = True

    def check_known(self, y, warm_start):
        """Refuse several columns, and classes that the network was not made for."""
        self._check_shape(y)
        super().check_known(y, warm_start)

    def _check_shape(self, y):
        if np.ndim(y) != 1:
            raise ValueError(
                f"y has shape {y.shape}, but the network was made for one class a "
                "sample, a single column."
            )

    def encode(self, y, dtype):
        """The index of each row's class."""
        self._check_shape(y)
        return np.searchsorted(self.classes, y).astype(dtype).reshape(-1, 1)

    def missing(self, y):
        """The classes of which there is no row."""
        return np.setdiff1d(self.classes, y)

    def columns(self, y):
        """The only one."""
        return [(y, self.classes)]

    def decode(self, raw):
        """The classes of the rows."""
        return self.classes[self.predicted(raw, 0.0).ravel()]

    def class_sums(self, targets, weights):
        """Sums of the weights by class."""
        codes = targets.ravel().astype(np.intp)
        return np.bincount(codes, weights, minlength=len(self.classes))

    def to_state(self):
        """The labels as a plain dict, for a pickle."""
        return {"classes": self.classes, "multilabel": False, "sparse_output": False}


class TwoClasses(OneColumn):
    """Two classes, told apart by one output: the logit of the second."""

    @property
    def n_outputs(self):
        """One."""
        return 1

    def strata(self, targets):
        """Whether each row is of the second class."""
        return targets.astype(bool)

    def predicted(self, outputs, threshold):
        """The second class where the output is above the threshold."""
        return (outputs > threshold).astype(np.intp)

    def log_prior(self, shares):
        """The logit of the second class's share."""
        return np.log(shares[1:]) - np.log(shares[:1])

    def decision(self, raw, output):
        """The evidence for the second class."""
        return raw.ravel()

    def probabilities(self, outputs, output):
        """Both from the logit: 1 - p would lose the small one."""
        return positive(_logistic_of_negative(_both_signs(outputs(IDENTITY))))

    def log_probabilities(self, outputs, output):
        """Logarithms of both."""
        return -np.logaddexp(0, _both_signs(outputs(IDENTITY)))


class SingleClass(TwoClasses):
    """A single class, which is certain whatever the output is."""

    def log_prior(self, shares):
        """Nothing."""
        return np.zeros(1)

    def predicted(self, outputs, threshold):
        """The class."""
        return np.zeros(outputs.shape, dtype=np.intp)

    def probabilities(self, outputs, output):
        """Ones."""
        return np.ones_like(outputs(IDENTITY))

    def log_probabilities(self, outputs, output):
        """Zeros."""
        return np.zeros_like(outputs(IDENTITY))


class OneOfSeveral(OneColumn):
    """One of more than two classes: an output each."""

    one_of_several = True
    ordered = False

    def loss(self, settings, n_columns):
        """The row of the loss, which counts on an order if the labels have one."""
        row, params = super().loss(settings, n_columns)
        if row.ordered != self.ordered:
            raise ValueError(
                f"loss={settings.loss!r} needs another number of outputs than the "
                "fitted network has: for classes in an order they are one less than "
                "the classes. Fit a new network with warm_start=False."
            )
        return row, params

    @property
    def n_outputs(self):
        """One a class."""
        return len(self.classes)

    def strata(self, targets):
        """The index of each row's class."""
        return targets.ravel()

    def predicted(self, outputs, threshold):
        """The class of the largest output."""
        return outputs.argmax(axis=1).reshape(-1, 1)

    def log_prior(self, shares):
        """The logarithms of the shares."""
        return np.log(shares)

    def decision(self, raw, output):
        """Log-odds of each class against all others, or what the outputs are."""
        return log_odds(raw) if _sums_to_one(output) else raw

    def probabilities(self, outputs, output):
        """Those of the outputs, made to sum to one."""
        if _sums_to_one(output):
            return positive(outputs())
        return positive(np.exp(self.log_probabilities(outputs, output)))

    def log_probabilities(self, outputs, output):
        """Logarithms of them."""
        raw = outputs(IDENTITY)
        if _sums_to_one(output):
            return log_softmax(raw, axis=1)
        return log_softmax(-np.logaddexp(0, -raw), axis=1)


class OrderedClasses(OneOfSeveral):
    """One of more than two classes in an order: an output less than classes.

    ``classes`` stay sorted, as scikit-learn's metrics expect the columns of
    probabilities; the network's targets are the ranks.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
    ranks : ndarray of int of shape (n_classes,)
        Of each class, from 0 for the lowest.
    """

    ordered = True

    def __init__(self, classes, ranks):
        super().__init__(classes)
        self.ranks = ranks

    def attributes(self):
        """Fitted attributes, the classes from the lowest to the highest among them."""
        return {**super().attributes(), "class_order_": self._from_lowest}

    @property
    def _from_lowest(self):
        return self.classes[np.argsort(self.ranks)]

    @property
    def n_outputs(self):
        """One between each class and the next."""
        return len(self.classes) - 1

    def encode(self, y, dtype):
        """The rank of each row's class."""
        codes = super().encode(y, np.intp)
        return self.ranks[codes].astype(dtype)

    def predicted(self, outputs, threshold):
        """The rank of the most probable class, from raw outputs."""
        return ordered_log_probabilities(outputs).argmax(axis=1).reshape(-1, 1)

    def scored(self, raw, outputs, threshold):
        """From the raw outputs, which the probabilities are made of."""
        return self.predicted(raw, threshold)

    def decode(self, raw):
        """The most probable classes."""
        return self._from_lowest[self.predicted(raw, 0.0).ravel()]

    def decision(self, raw, output):
        """Log-odds of each class against all others."""
        return log_odds(self._logarithms(raw))

    def probabilities(self, outputs, output):
        """Those of the classes, which sum to one."""
        return positive(np.exp(self._logarithms(outputs(IDENTITY))))

    def log_probabilities(self, outputs, output):
        """Logarithms of them."""
        return self._logarithms(outputs(IDENTITY))

    def _logarithms(self, raw):
        return ordered_log_probabilities(raw)[:, self.ranks]

    def to_state(self):
        """The labels as a plain dict, for a pickle."""
        return {**super().to_state(), "ranks": self.ranks}


def ranks_of(classes, order):
    """The rank of each class in an order, or in their own without one.

    Raises
    ------
    ValueError
        For classes that the order does not have.
    """
    if order is None:
        return np.arange(len(classes))
    places = {label: place for place, label in enumerate(order.tolist())}
    unknown = [label for label in classes.tolist() if label not in places]
    if unknown:
        raise ValueError(
            f"classes has {unknown}, which are none of the ordered categories of y, "
            f"{order.tolist()}."
        )
    return np.argsort(np.argsort([places[label] for label in classes.tolist()]))


def _sums_to_one(output):
    """Whether the output activation couples the classes, as softmax does."""
    return activation_rule(output).by_rows


def _both_signs(raw):
    """A column of logits and that of their negatives."""
    both = np.empty((len(raw), 2), dtype=raw.dtype)
    both[:, :1] = raw
    np.negative(raw, out=both[:, 1:])
    return both


def _logistic_of_negative(z):
    """1 / (1 + exp(z)), in place: NumPy's exp is vectorized, SciPy's expit is not."""
    with np.errstate(over="ignore"):  # Infinity stands for a probability of zero.
        np.exp(z, out=z)
    z += 1
    return np.reciprocal(z, out=z)
