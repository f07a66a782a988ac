"""Class labels as ONNX has them: 64-bit integers or strings."""

import numpy as np

from skmlp.onnx.heads import is_by_column


def as_labels(labels, *, has_indices):
    """The classes as arrays of int64 or of strings, one for each column of the target.

    As with scikit-learn's classifiers, booleans become 0 and 1, and floats that are
    whole numbers integers.

    Parameters
    ----------
    labels : skmlp.estimators.labels.Labels
    has_indices : bool
        Whether predictions are indices of the classes (the option 'nocl').

    Returns
    -------
    list of ndarray

    Raises
    ------
    NotImplementedError
        For other labels, and for columns of which some have strings and some numbers.
    """
    if labels.multilabel:
        return [np.arange(2)] * len(labels.classes)
    columns = labels.classes if is_by_column(labels) else [labels.classes]
    if has_indices:
        return [np.arange(len(classes)) for classes in columns]
    found = [_as_labels(np.asarray(classes)) for classes in columns]
    if len({classes.dtype.kind for classes in found}) > 1:
        raise NotImplementedError(
            "Some columns of y have strings and some numbers, which do not fit into "
            "one array of an ONNX model. Fit with y.astype(str)."
        )
    return found


def _as_labels(classes):
    if classes.dtype.kind == "O":
        classes = np.array(classes.tolist())
    if classes.dtype.kind == "U":
        return classes
    if classes.dtype.kind in "biuf":
        whole = classes.astype(np.int64)
        if np.array_equal(whole, classes):
            return whole
    raise NotImplementedError(
        "Labels of an ONNX model are strings or 64-bit integers, but classes_ has "
        f"{classes.tolist()!r}. Fit with labels of such a type."
    )
