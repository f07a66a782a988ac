"""`to_sklearn`: a fitted network as an estimator of scikit-learn.

A machine that only predicts need not have Numba. What scikit-learn lacks is refused by
name; what acts in training alone can be left out.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import (
    InvalidParameterError,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted

from skmlp.embedding import PIECEWISE_LINEAR
from skmlp.estimators.class_priors import DECISIONS, PROBABILITIES
from skmlp.estimators.fitted import Fitted
from skmlp.network import Network, views
from skmlp.rules.activations import IDENTITY, activation_rule, exponential, logistic
from skmlp.rules.loss_row import unchanged
from skmlp.rules.optimizers import OPTIMIZERS, adam, sgd
from skmlp.rules.parameters import is_default

# Parameters that say how to compute, not what.
_OF_THE_HARDWARE = {"n_jobs", "device", "dtype", "matmul_precision"}
# Fitted attributes that scikit-learn's estimators have, too.
_SHARED = ("loss_", "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_")
_OF_EPOCHS = ("loss_curve_", "best_loss_", "validation_scores_")


class ToScikitLearn(Fitted):
    """Base of the estimators that scikit-learn has, too: the method `to_sklearn`."""

    intercepts_: list
    _target_scale: Any
    _labels: Any
    _decoder: Any

    def to_sklearn(self, *, predict_only=False):
        """The fitted network as an estimator of `sklearn.neural_network`.

        It predicts the same numbers, but for rounding, without skmlp or Numba.

        Parameters
        ----------
        predict_only : bool, default=False
            Whether parameters that act in training alone, and that scikit-learn lacks,
            are left out: ``dropout``, a solver, a loss of the identity and so on. A
            prior and a scaled target are then part of the weights. To train such a
            model further would train another one.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted. Without `predict_only` its ``partial_fit`` and warm starts go on
            from the state of 'adam' or 'sgd', by the numbers of scikit-learn.

        Raises
        ------
        ValueError
            If scikit-learn lacks something; the message names all of it.

        Examples
        --------
        >>> from skmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((50,), max_iter=1000, random_state=0).fit(X, y)
        >>> twin = model.to_sklearn()
        >>> type(twin).__module__.startswith("sklearn.")
        True
        >>> bool((twin.predict(X) == model.predict(X)).all())
        True
        """
        check_is_fitted(self)
        theirs = _counterpart(self)
        missing = _missing_in_predictions(self)
        hint = "" if missing else " For predictions call to_sklearn(predict_only=True)."
        unknown = _unknown_to(theirs, self)
        if not predict_only:
            parts = [f"{name}={_shown(value)}" for name, value in unknown.items()]
            named = {part.partition("=")[0] for part in missing}
            missing += [part for part in parts if part.partition("=")[0] not in named]
        if missing:
            lacked = ", no ".join(missing)
            raise ValueError(f"scikit-learn's {theirs.__name__} has no {lacked}.{hint}")
        names = set(theirs._get_param_names()) - set(unknown)
        model = theirs(**{name: getattr(self, name) for name in sorted(names)})
        model.activation = _one_activation(self, model.activation)
        _set_network(self, model)
        _set_training(self, model)
        return model


def _counterpart(estimator):
    """scikit-learn's class of the same name."""
    from sklearn import neural_network

    kind = "MLPClassifier" if is_classifier(estimator) else "MLPRegressor"
    return getattr(neural_network, kind)


def _shown(value):
    """A parameter's value in a message: functions by their names."""
    return repr(getattr(value, "name", value))


def _is_allowed(theirs, name, value):
    try:
        validate_parameter_constraints(
            {name: theirs._parameter_constraints[name]}, {name: value}, theirs.__name__
        )
    except InvalidParameterError:
        return False
    return True


def _unknown_to(theirs, estimator):
    """Parameters that scikit-learn lacks, and values that it does not have."""
    shared, unknown = set(theirs._get_param_names()), {}
    for name, parameter in inspect.signature(type(estimator)).parameters.items():
        value = getattr(estimator, name)
        if name in shared:
            if name == "activation":
                value = _one_activation(estimator, value)
            if not _is_allowed(theirs, name, value):
                unknown[name] = value
        elif name == "out_activation":
            if value not in (parameter.default, _own_output(theirs, estimator)):
                unknown[name] = value
        elif name not in _OF_THE_HARDWARE and not is_default(value, parameter.default):
            unknown[name] = value
    return unknown


def _one_activation(estimator, activation):
    """The activation of all hidden layers of the network, if it is one."""
    found = set(estimator._fitted_network()[0].activations)
    if len(found) > 1:
        return list(estimator._fitted_network()[0].activations)
    return found.pop() if found else activation


def _own_output(theirs, estimator):
    """The output activation of the network, where scikit-learn would choose it."""
    output = estimator._fitted_network()[0].output
    row = activation_rule(output)
    if is_classifier(estimator):
        is_own = (
            row.by_rows if estimator._labels.one_of_several else row.value is logistic
        )
    else:
        is_own = output == IDENTITY or row.value is exponential
    return output if is_own else None


def _missing_in_predictions(estimator):
    """What predictions need and scikit-learn lacks, as phrases."""
    theirs, missing = _counterpart(estimator), []
    network, _ = estimator._fitted_network()
    activation = _one_activation(estimator, None)
    if activation is not None and not _is_allowed(theirs, "activation", activation):
        shown = [_shown(each) for each in network.activations]
        layers = shown[0] if len(set(shown)) == 1 else f"[{', '.join(shown)}]"
        missing.append(f"activation={layers}")
    if network.normalization is not None:
        missing.append(f"normalization={network.normalization!r}")
    if network.embedding is not None:
        missing.append(f"embedding={PIECEWISE_LINEAR!r}")
    kind = _kind_of_target(estimator) if is_classifier(estimator) else None
    if kind is not None:
        missing.append(kind)
    elif _own_output(theirs, estimator) is None:
        missing.append(f"out_activation={network.output!r}")
    if is_classifier(estimator):
        offsets = getattr(estimator, "_prior_offsets", None)
        if offsets and not np.array_equal(
            offsets[DECISIONS], _or_zeros(offsets[PROBABILITIES], offsets[DECISIONS])
        ):
            missing.append("logit_adjustment")
    elif estimator._decoder.decode is not unchanged:
        missing.append(f"loss={_shown(estimator.loss)}")
    return missing


def _or_zeros(offset, like):
    return np.zeros_like(like) if offset is None else offset


def _kind_of_target(estimator):
    """A phrase for a target that scikit-learn's classifier does not have, or None."""
    labels = estimator._labels
    if isinstance(labels.classes, list):
        return "target of several columns of classes"
    if getattr(labels, "ordered", False):
        return "loss of classes in an order"
    if len(labels.classes) == 1 and not labels.multilabel:
        return "probabilities of a single class"
    return None


def _set_network(estimator, model):
    """Set what the predictions of scikit-learn's estimator read."""
    for name in (*_SHARED, "n_features_in_", "feature_names_in_"):
        if hasattr(estimator, name):
            setattr(model, name, copy.copy(getattr(estimator, name)))
    model.coefs_ = [coef.copy() for coef in estimator.coefs_]
    model.intercepts_ = [intercept.copy() for intercept in estimator.intercepts_]
    model.n_layers_ = len(model.coefs_) + 1
    model.n_outputs_ = len(model.intercepts_[-1])
    if is_classifier(estimator):
        _set_labels(estimator, model)
    else:
        _include_scale(estimator._target_scale(), model)


def _set_labels(estimator, model):
    """Set the classes, and add a prior to the biases."""
    labels, binarizer = estimator._labels, LabelBinarizer()
    if labels.multilabel:
        binarizer.fit(np.repeat([[0], [1]], len(labels.classes), axis=1))
        binarizer.sparse_input_ = labels.sparse_output
    else:
        binarizer.fit(labels.classes)
    model._label_binarizer, model.classes_ = binarizer, binarizer.classes_
    offsets = getattr(estimator, "_prior_offsets", None)
    if offsets:
        offset = _or_zeros(offsets[PROBABILITIES], offsets[DECISIONS])
        model.intercepts_[-1] += offset.astype(model.intercepts_[-1].dtype)


def _include_scale(scale, model):
    """Make a scaled target's units those of the last layer."""
    if scale.scale is None:
        return
    last, dtype = model.intercepts_[-1], model.coefs_[0].dtype
    if activation_rule(model.out_activation_).value is exponential:
        model.intercepts_[-1] = (last + np.log(scale.scale)).astype(dtype)
        return
    model.coefs_[-1] = (model.coefs_[-1] * scale.scale).astype(dtype)
    model.intercepts_[-1] = (last * scale.scale + scale.mean).astype(dtype)


def _set_training(estimator, model):
    """Set what further training reads: curves, counts and the optimizer."""
    # A stopped training would end with these; so they are there without one, too.
    model._best_coefs = [coef.copy() for coef in model.coefs_]
    model._best_intercepts = [intercept.copy() for intercept in model.intercepts_]
    model._random_state = copy.deepcopy(getattr(estimator, "_random_state", None))
    if not hasattr(estimator, "loss_curve_"):
        return
    for name in _OF_EPOCHS:
        setattr(model, name, copy.copy(getattr(estimator, name)))
    model.best_validation_score_ = estimator.best_validation_score_
    model._no_improvement_count = estimator.no_improvement_count_
    if model.best_loss_ is not None:
        # Scores that did not decide: scikit-learn has none.
        model.validation_scores_ = model.best_validation_score_ = None
    optimizer = getattr(estimator, "_optimizer", None)
    if optimizer is None or optimizer.name != model.solver:
        return
    convert = _OPTIMIZERS[OPTIMIZERS[optimizer.name].update]
    sizes = (len(model.coefs_[0]), *map(len, model.intercepts_))
    plain = Network(sizes, (), None, IDENTITY)
    slots = [
        [part.copy() for parts in views(plain, slot) for part in parts]
        for slot in optimizer.slots
    ]
    model._optimizer = convert(model, optimizer, slots)


def _their_adam(model, optimizer, slots):
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

    theirs = AdamOptimizer(
        [], model.learning_rate_init, model.beta_1, model.beta_2, model.epsilon
    )
    theirs.t = optimizer.t
    theirs.ms, theirs.vs = slots
    return theirs


def _their_sgd(model, optimizer, slots):
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    theirs = SGDOptimizer(
        [],
        model.learning_rate_init,
        model.learning_rate,
        model.momentum,
        model.nesterovs_momentum,
        model.power_t,
    )
    theirs.learning_rate = optimizer.learning_rate
    (theirs.velocities,) = slots
    return theirs


# scikit-learn's form of the optimizers that it has, by their rules.
_OPTIMIZERS: dict[Callable, Callable] = {adam: _their_adam, sgd: _their_sgd}
