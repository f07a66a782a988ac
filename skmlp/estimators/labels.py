"""The kind of a classifier's target: what all kinds have in common.

Whatever depends on the kind stands in its class, behind one interface: the number of
outputs, labels to the network's targets and back, probabilities, strata. The classifier
calls it and knows no kinds; `target_kinds` chooses the class.

Classes stay integers: there is no one-hot matrix of shape (samples, classes), unless
the target is multilabel and so a matrix already.
"""

from abc import ABC, abstractmethod

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils.multiclass import unique_labels

from skmlp.rules.loss_choice import classification_loss


def labels_in(y):
    """Sorted labels of a target.

    A column of integers can only be labels. scikit-learn's function checks that first,
    which is far slower than sorting a few thousand of them.

    Raises
    ------
    ValueError
        If the target is not one of classes.
    """
    if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biu":
        # In the byte order of the machine, as scikit-learn's.
        return np.unique(y.astype(y.dtype.newbyteorder("="), copy=False))
    return unique_labels(y)


def check_among(found, classes):
    """Refuse classes of y that are not among those of the network.

    Raises
    ------
    ValueError
    """
    if len(np.setdiff1d(found, classes, assume_unique=True)):
        raise ValueError(
            "`y` has classes not in `self.classes_`. "
            f"`self.classes_` has {classes}. 'y' has {found}."
        )


def positive(probabilities):
    """Probabilities that are never zero, so that logarithms stay finite; in place."""
    smallest = np.finfo(probabilities.dtype).tiny
    return np.maximum(probabilities, smallest, out=probabilities)


class Labels(ABC):
    """A target of classes: its labels, encoding, probabilities and decisions.

    Network outputs come as ``outputs(activation)``, a function that predicts for the
    rows in question through a named output activation, or without an argument through
    the network's own.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,), or a list of such
        Sorted; the fitted attribute ``classes_``.

    Attributes
    ----------
    multilabel : bool
        Whether a sample may have several labels.
    one_of_several : bool
        Whether a sample belongs to one of more than two classes.
    one_column : bool
        Whether the target has one column.
    """

    multilabel = False
    one_of_several = False
    one_column = False

    def __init__(self, classes):
        self.classes = classes

    def attributes(self):
        """Fitted attributes that describe the target; those that are None are not."""
        return {"classes_": self.classes, "label_names_": None, "class_order_": None}

    @property
    @abstractmethod
    def n_outputs(self):
        """Units of the output layer."""

    def loss(self, settings, n_columns):
        """The row of the loss, and its parameters, for an estimator's parameters.

        Parameters
        ----------
        settings : object
            Has the estimator's parameters as attributes.
        n_columns : int
            Columns of the encoded target.

        Raises
        ------
        ValueError
            For a loss or an output activation that the target cannot have.
        """
        row = classification_loss(
            settings.loss, settings.out_activation, self.one_of_several, settings
        )
        return row, row.loss_params(settings, n_columns)

    @abstractmethod
    def encode(self, y, dtype):
        """The network's targets: the index of the class, or one column per label.

        Returns
        -------
        ndarray of shape (n_samples, n_columns), C-contiguous

        Raises
        ------
        ValueError
            For a target of another number of columns.
        """

    @abstractmethod
    def strata(self, targets):
        """Classes to stratify a split by, from encoded targets; None for none."""

    @abstractmethod
    def predicted(self, outputs, threshold):
        """Predictions, encoded as by `encode`.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Raw outputs or probabilities.
        threshold : float
            A single output above it means the second class, or the label.
        """

    def scored(self, raw, outputs, threshold):
        """Predictions for the validation score, encoded.

        From the activated outputs, as in scikit-learn, or from the raw ones where the
        probabilities are not simply these.
        """
        return self.predicted(outputs, threshold)

    @abstractmethod
    def decode(self, raw):
        """Predicted labels from raw outputs."""

    @abstractmethod
    def decision(self, raw, output):
        """The evidence for each class, from raw outputs and the output activation."""

    @abstractmethod
    def probabilities(self, outputs, output):
        """Probabilities, none of them zero.

        Parameters
        ----------
        outputs : callable
        output : str
            Name of the network's output activation.
        """

    @abstractmethod
    def log_probabilities(self, outputs, output):
        """Logarithms of the probabilities, from the logits: exact in the tails."""

    def class_sums(self, targets, weights):
        """Sums of the weights by class, or by label, from encoded targets.

        Raises
        ------
        ValueError
            For kinds whose classes have no shares to adjust by.
        """
        raise ValueError(
            "logit_adjustment and prior need a target of one column of classes, or of "
            "labels that may occur together."
        )

    def log_prior(self, shares):
        """What is added to raw outputs when the classes' shares are multiplied."""
        raise NotImplementedError

    def check_known(self, y, warm_start):
        """Refuse classes that the network was not made for.

        Raises
        ------
        ValueError
        """
        found = labels_in(y)
        if not warm_start:
            check_among(found, self.classes)
        elif set(found) != set(self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in "
                f"the previous call to fit. Previously got {self.classes}, `y` has "
                f"{found}"
            )

    def check_order(self, order):
        """Refuse categories in another order than the network was made for.

        Parameters
        ----------
        order : ndarray or None
            As of `target_names.TargetInfo`.

        Raises
        ------
        ValueError
        """
        own = self.attributes()["class_order_"]
        if own is None or order is None:
            return
        own, given = own.tolist(), order.tolist()
        if [c for c in own if c in given] != [c for c in given if c in own]:
            raise ValueError(
                f"The categories of y are in the order {given}, but the network was "
                f"made for {own}, from the lowest class to the highest."
            )

    @abstractmethod
    def missing(self, y):
        """The classes that no row has, or the labels that no row or every row has."""

    @abstractmethod
    def columns(self, y):
        """Values and classes of each column of a validated target, as pairs."""

    def accuracy(self, y, predicted, sample_weight):
        """Weighted share of the rows that are predicted right, in all columns."""
        return accuracy_score(y, predicted, sample_weight=sample_weight)

    @abstractmethod
    def to_state(self):
        """The labels as a plain dict, for a pickle."""
