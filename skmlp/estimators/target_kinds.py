"""Which kind of target y is, and the kinds as pickles store them."""

import numpy as np
from scipy import sparse
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
)

from skmlp.estimators.data_advice import as_column
from skmlp.estimators.label_matrix import LabelMatrix, is_indicator
from skmlp.estimators.labels import check_among, labels_in
from skmlp.estimators.one_column import (
    OneOfSeveral,
    OrderedClasses,
    SingleClass,
    TwoClasses,
    ranks_of,
)
from skmlp.estimators.several_columns import SeveralColumns, typed_table
from skmlp.estimators.target_names import NO_INFO, described

# Kinds of target, by scikit-learn's names.
_ONE_COLUMN = {"binary", "multiclass"}
_MULTILABEL = "multilabel-indicator"


def canonical_labels(y):
    """A target of one column as a vector, a table of numbers as one of their dtype."""
    if y.ndim == 2 and y.shape[1] == 1:
        return as_column(y)
    return y if sparse.issparse(y) else typed_table(y)


def labels_of(y, info=NO_INFO, *, ordered=False):
    """The labels of a target.

    Parameters
    ----------
    y : ndarray or sparse matrix
        Validated.
    info : TargetInfo, optional
        What it said of itself before.
    ordered : bool, default=False
        Whether the order of more than two classes counts.

    Returns
    -------
    skmlp.estimators.labels.Labels

    Raises
    ------
    ValueError
        For a target that is not one of classes.
    """
    return _labels(y, None, info, ordered)


def declared_labels(y, classes, *, ordered=False):
    """The labels of the first chunk's target, of which the user has named all.

    Parameters
    ----------
    y : array-like or sparse matrix
        As the user has passed it.
    classes : ndarray, or list of ndarray
        Sorted; a list for several columns of classes. The columns of a multilabel
        target must be among them.
    ordered : bool, default=False
        As of `labels_of`.

    Raises
    ------
    ValueError
        As `labels_of`, and for another number of columns.
    """
    info = described(y)
    if isinstance(classes, list):
        labels = SeveralColumns(classes, info.names)
        labels.check_known(np.asarray(y), warm_start=False)
        return labels
    return _labels(y if sparse.issparse(y) else np.asarray(y), classes, info, ordered)


def _labels(y, classes, info, ordered):
    if not sparse.issparse(y):
        y = typed_table(y)
        if y.ndim == 2 and y.dtype.kind == "O" and y.shape[1] > 1:
            return SeveralColumns.of(y, info.names)
    kind = type_of_target(y, input_name="y")
    # scikit-learn's kind is any two values, but only 0 and 1 mark labels.
    if kind == _MULTILABEL and is_indicator(y):
        found = labels_in(y)
        if classes is not None:
            check_among(found, classes)
        return LabelMatrix(found, sparse.issparse(y), info.names)
    if kind in _ONE_COLUMN:
        found = labels_in(y) if classes is None else classes
        if ordered and len(found) > 2:
            return OrderedClasses(found, ranks_of(found, info.order))
        return _one_column(found)
    check_classification_targets(y)
    if sparse.issparse(y):
        raise ValueError(
            "Sparse y must be a matrix of labels, 0 or 1. For several columns of "
            "classes pass y.toarray()."
        )
    if classes is not None:
        raise ValueError(
            f"y has {y.shape[1]} columns of classes, but classes={classes!r} are those "
            "of one: pass a list with the classes of each column."
        )
    return SeveralColumns.of(y, info.names)


def _one_column(classes):
    if len(classes) > 2:
        return OneOfSeveral(classes)
    return TwoClasses(classes) if len(classes) == 2 else SingleClass(classes)


def is_first_call(estimator, classes):
    """Whether a call of `partial_fit` is the first; it then sets ``classes_``.

    As scikit-learn's helper, which knows one column only.

    Raises
    ------
    ValueError
        Without classes in the first call, and for other ones later.
    """
    by_column = classes is not None and any(map(np.ndim, classes))
    before = getattr(estimator, "classes_", None)
    if not by_column and not (isinstance(before, list) and classes is None):
        return _check_partial_fit_first_call(estimator, classes)
    if not by_column:
        return False
    classes = [np.unique(column) for column in classes]
    if before is None:
        estimator.classes_ = classes
        return True
    is_same = (
        isinstance(before, list)
        and len(before) == len(classes)
        and all(map(np.array_equal, before, classes))
    )
    if not is_same:
        raise ValueError(
            f"`classes={classes!r}` is not the same as on last call to partial_fit, "
            f"was: {before!r}"
        )
    return False


def labels_from_state(state):
    """The labels of a `Labels.to_state`."""
    classes, multilabel = state["classes"], state["multilabel"]
    if multilabel:
        return LabelMatrix(classes, state["sparse_output"], state.get("names"))
    if isinstance(classes, list):
        return SeveralColumns(classes, state["names"])
    if "ranks" in state:
        return OrderedClasses(classes, state["ranks"])
    return _one_column(classes)
