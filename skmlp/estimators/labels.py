"""Class labels to the numbers that a network is trained on, and back.

Classes stay integers: nothing of the size (samples × classes) is made, unless the
target is multilabel, where the labels come as a matrix.
"""

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import (
    check_classification_targets,
    type_of_target,
    unique_labels,
)

# Of targets, in scikit-learn's words, that networks are made for.
_KINDS = {"binary", "multiclass", "multilabel-indicator"}


def _labels_in(y):
    """Labels of a target, sorted.

    A column of integers cannot be anything but labels. scikit-learn's function makes
    sure of that, which takes far longer than to sort a few thousand of them.

    Raises
    ------
    ValueError
        If the target is not one of classes.
    """
    if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "biu":
        return np.unique(y)
    return unique_labels(y)


class Labels:
    """The classes and how outputs stand for them.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    multilabel : bool
        Whether a sample may have several labels.
    sparse_output : bool
        Whether predictions are sparse, because the multilabel target was.
    """

    def __init__(self, classes, multilabel=False, sparse_output=False):
        self.classes = classes
        self.multilabel = multilabel
        self.sparse_output = sparse_output

    @classmethod
    def of(cls, y, classes=None):
        """From a target, and where given the classes that are yet to come.

        Raises
        ------
        ValueError
            For a target that is not one of classes, or of several multiclass columns.
        """
        kind = type_of_target(y, input_name="y")
        if kind not in _KINDS:
            check_classification_targets(y)
            raise ValueError(
                "Multioutput target data is not supported with label binarization: "
                "y of type 'multiclass-multioutput' has several columns of classes."
            )
        if classes is None or kind == "multilabel-indicator":
            classes = _labels_in(y)
        return cls(classes, kind == "multilabel-indicator", sparse.issparse(y))

    @property
    def n_outputs(self):
        """Units of the output layer."""
        n_classes = len(self.classes)
        return n_classes if self.multilabel or n_classes > 2 else 1

    @property
    def one_of_several(self):
        """Whether a sample belongs to one of more than two classes."""
        return not self.multilabel and len(self.classes) > 2

    def check_known(self, y, warm_start):
        """Refuse classes that were not there when the network was made.

        Raises
        ------
        ValueError
        """
        of_y = Labels(_labels_in(y))
        if not warm_start:
            of_y.check_among(self.classes)
        elif set(of_y.classes) != set(self.classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in "
                f"the previous call to fit. Previously got {self.classes}, `y` has "
                f"{of_y.classes}"
            )

    def check_among(self, classes):
        """Refuse to stand for anything but some of the given classes.

        Raises
        ------
        ValueError
        """
        if len(np.setdiff1d(self.classes, classes, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {classes}. 'y' has {self.classes}."
            )

    def encode(self, y, dtype):
        """Target as the network sees it: a class's number, or one column a label.

        Returns
        -------
        ndarray of shape (n_samples, n_columns), C-contiguous

        Raises
        ------
        ValueError
            If a multilabel target has not one column a label, or no columns.
        """
        if self.multilabel:
            y = y.toarray() if sparse.issparse(y) else np.asarray(y)
            if y.ndim != 2 or y.shape[1] != len(self.classes):
                raise ValueError(
                    f"y has shape {y.shape}, but the network was made for "
                    f"{len(self.classes)} labels, a column each."
                )
            return np.ascontiguousarray(y, dtype=dtype)
        if np.ndim(y) != 1:
            raise ValueError(
                f"y has shape {y.shape}, but the network was made for one class a "
                "sample, a single column."
            )
        return np.searchsorted(self.classes, y).astype(dtype).reshape(-1, 1)

    def numbers(self, outputs, threshold):
        """Predictions in the form of `encode`.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Raw outputs or probabilities.
        threshold : float
            Above which a single output means the second class, or the label.
        """
        if self.one_of_several:
            return outputs.argmax(axis=1).reshape(-1, 1)
        if len(self.classes) == 1 and not self.multilabel:
            return np.zeros(outputs.shape, dtype=np.intp)
        return (outputs > threshold).astype(np.intp)

    def decode(self, raw):
        """Predicted labels from raw outputs."""
        numbers = self.numbers(raw, 0.0)
        if not self.multilabel:
            return self.classes[numbers.ravel()]
        return sparse.csr_matrix(numbers) if self.sparse_output else numbers
