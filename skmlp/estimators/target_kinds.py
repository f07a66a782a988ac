"""Which kind of target y is, and the kinds as pickles store them."""

from scipy import sparse
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skmlp.estimators.label_matrix import LabelMatrix
from skmlp.estimators.labels import check_among, labels_in
from skmlp.estimators.one_column import OneOfSeveral, SingleClass, TwoClasses

# Kinds of target, by scikit-learn's names.
_ONE_COLUMN = {"binary", "multiclass"}
_MULTILABEL = "multilabel-indicator"


def labels_of(y, classes=None):
    """The labels of a target.

    Parameters
    ----------
    y : array-like or sparse matrix
    classes : ndarray, default=None
        All that there are, where the user names them; those of a multilabel target
        must be among them.

    Returns
    -------
    skmlp.estimators.labels.Labels

    Raises
    ------
    ValueError
        For a target that is not one of classes, or of several multiclass columns.
    """
    kind = type_of_target(y, input_name="y")
    if kind == _MULTILABEL:
        found = labels_in(y)
        if classes is not None:
            check_among(found, classes)
        return LabelMatrix(found, sparse.issparse(y))
    if kind not in _ONE_COLUMN:
        check_classification_targets(y)
        raise ValueError(
            "Multioutput target data is not supported with label binarization: "
            "y of type 'multiclass-multioutput' has several columns of classes. "
            "sklearn.multioutput.MultiOutputClassifier fits a network a column."
        )
    return _one_column(labels_in(y) if classes is None else classes)


def _one_column(classes):
    if len(classes) > 2:
        return OneOfSeveral(classes)
    return TwoClasses(classes) if len(classes) == 2 else SingleClass(classes)


def labels_from_state(state):
    """The labels of a `Labels.to_state`."""
    if state["multilabel"]:
        return LabelMatrix(state["classes"], state["sparse_output"])
    return _one_column(state["classes"])
