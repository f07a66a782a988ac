"""Private attributes of a fitted estimator, found again in its public ones.

Users build models by setting ``coefs_``, ``intercepts_``, ``classes_`` and
``out_activation_``, as they do with scikit-learn's: averaged networks, weights from a
file. A fit sets the private attributes itself; these stand in where there was none.
"""

from collections.abc import Callable

import numpy as np

from skmlp.embedding import Embedding
from skmlp.estimators.label_matrix import LabelMatrix
from skmlp.estimators.one_column import OrderedClasses, ranks_of
from skmlp.estimators.several_columns import SeveralColumns
from skmlp.estimators.target_kinds import labels_from_state
from skmlp.rules.activations import activation_rule, logistic


class Rebuilt:
    """An attribute that is computed wherever the instance has none of that name.

    Parameters
    ----------
    compute : callable
        Of the estimator; its value is not kept, so that edits count.
    *needs : str
        Attributes without which there is none.
    """

    def __init__(self, compute: Callable, *needs: str):
        self._compute, self._needs = compute, needs

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        if not all(name in vars(instance) for name in self._needs):
            raise AttributeError(
                f"{type(instance).__name__!r} object has no attribute {self._name!r}"
            )
        return self._compute(instance)


def activations_of(estimator):
    """Those that the parameters ask for."""
    return estimator._layer_activations([len(b) for b in estimator.intercepts_[:-1]])


def embedding_of(estimator):
    """The embedding of ``bin_edges_`` and ``embedding_weights_``, or None."""
    edges = vars(estimator).get("bin_edges_")
    weights = vars(estimator).get("embedding_weights_")
    if edges is None or not weights:
        return None
    columns = tuple(i for i, column in enumerate(edges) if len(column))
    of_columns = tuple(np.asarray(edges[i], dtype=np.float64) for i in columns)
    return Embedding(len(edges), columns, of_columns, weights[0].shape[1])


def n_features_of(estimator):
    """Columns of X: inputs of the first layer, or those that are embedded."""
    embedding = estimator._embedding
    return len(estimator.coefs_[0]) if embedding is None else embedding.n_features


def labels_of_classes(estimator):
    """The labels of ``classes_`` and of the outputs.

    Where the output activation is logistic and there is one output a class, these are
    labels that do not exclude each other, as with scikit-learn, if the classes are
    numbered.

    Raises
    ------
    ValueError
        Where numbers of classes and outputs do not fit together.
    """
    attributes, classes = vars(estimator), estimator.classes_
    n_outputs = len(estimator.intercepts_[-1])
    names = attributes.get("label_names_")
    if isinstance(classes, list) and all(np.ndim(column) == 1 for column in classes):
        columns = [np.asarray(column) for column in classes]
        return _fitting(SeveralColumns(columns, names), n_outputs)
    classes = np.asarray(classes)
    if "class_order_" in attributes:
        order = np.asarray(estimator.class_order_)
        return _fitting(OrderedClasses(classes, ranks_of(classes, order)), n_outputs)
    is_logistic = activation_rule(estimator.out_activation_).value is logistic
    numbered = np.array_equal(classes, np.arange(n_outputs))
    if is_logistic and numbered and n_outputs > 1:
        return LabelMatrix(classes, names=names)
    state = {"classes": classes, "multilabel": False}
    return _fitting(labels_from_state(state), n_outputs)


def _fitting(labels, n_outputs):
    if labels.n_outputs != n_outputs:
        raise ValueError(
            f"classes_ needs {labels.n_outputs} outputs, but intercepts_[-1] has "
            f"{n_outputs}: {labels.classes!r}."
        )
    return labels


def decoder_of(estimator):
    """What the outputs of a regressor mean, by its parameters."""
    loss = estimator._loss()
    n_outputs = len(estimator.intercepts_[-1])
    n_columns = loss.target_columns(n_outputs, 0)
    return loss.decoder(loss.loss_params(estimator, n_columns))
