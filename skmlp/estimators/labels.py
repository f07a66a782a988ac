"""Label encoding: classes to the network's targets, and predictions to labels.

Classes stay integers: there is no one-hot matrix of shape (samples, classes), unless
the target is multilabel and so a matrix already.
"""

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import (
    check_classification_targets,
    type_of_target,
    unique_labels,
)

# Supported types of target, by scikit-learn's names.
_TARGET_TYPES = {"binary", "multiclass", "multilabel-indicator"}


def _labels_in(y):
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


class Labels:
    """The classes, and their encoding as targets and outputs.

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
        """The labels of a target, or all classes where the user names them.

        Raises
        ------
        ValueError
            For a target that is not one of classes, or of several multiclass columns.
        """
        target_type = type_of_target(y, input_name="y")
        if target_type not in _TARGET_TYPES:
            check_classification_targets(y)
            raise ValueError(
                "Multioutput target data is not supported with label binarization: "
                "y of type 'multiclass-multioutput' has several columns of classes. "
                "sklearn.multioutput.MultiOutputClassifier fits a network a column."
            )
        multilabel = target_type == "multilabel-indicator"
        if classes is None or multilabel:
            classes = _labels_in(y)
        return cls(classes, multilabel, sparse.issparse(y))

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
        """Refuse classes that the network was not made for.

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
        """Refuse classes that are not among some others.

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
        """The network's targets: the index of the class, or one column per label.

        Returns
        -------
        ndarray of shape (n_samples, n_columns), C-contiguous

        Raises
        ------
        ValueError
            If a multilabel target does not have one column per label, or another
            target has several.
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

    def predicted(self, outputs, threshold):
        """Predictions, encoded as by `encode`.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Raw outputs or probabilities.
        threshold : float
            A single output above it means the second class, or the label.
        """
        if self.one_of_several:
            return outputs.argmax(axis=1).reshape(-1, 1)
        if len(self.classes) == 1 and not self.multilabel:
            return np.zeros(outputs.shape, dtype=np.intp)
        return (outputs > threshold).astype(np.intp)

    def decode(self, raw):
        """Predicted labels from raw outputs."""
        encoded = self.predicted(raw, 0.0)
        if not self.multilabel:
            return self.classes[encoded.ravel()]
        return sparse.csr_matrix(encoded) if self.sparse_output else encoded

    def to_state(self):
        """The labels as a plain dict, for a pickle."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state):
        """The labels of a `to_state`."""
        return cls(**state)
