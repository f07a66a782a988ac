"""`from_sklearn`: a fitted network of scikit-learn as an estimator of skmlp."""

import copy

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmlp.estimators.base import BaseMLP
from skmlp.estimators.classifier import MLPClassifier
from skmlp.estimators.fitted import FitResult
from skmlp.estimators.rate_factors import rate_segments
from skmlp.estimators.regressor import MLPRegressor
from skmlp.estimators.target_kinds import labels_from_state
from skmlp.network import Network, pack
from skmlp.training.history import History, Outcome, ValidationHistory
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config


def from_sklearn(model):
    """A fitted network of scikit-learn as an estimator of skmlp.

    It predicts the same numbers, but for rounding. ``partial_fit`` and warm starts go
    on from scikit-learn's state; ``resume`` needs a ``fit`` of skmlp.

    Parameters
    ----------
    model : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted. Its parameters become those of the result; other parameters have their
        defaults.

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted.

    Raises
    ------
    TypeError
        For any other estimator.
    NotFittedError
        Before ``fit``.

    Examples
    --------
    >>> import skmlp
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> theirs = MLPClassifier((50,), max_iter=1000, random_state=0).fit(X, y)
    >>> model = skmlp.from_sklearn(theirs)
    >>> bool((model.predict(X) == theirs.predict(X)).all())
    True
    """
    from sklearn import neural_network

    classes: dict[type, type[BaseMLP]] = {
        neural_network.MLPClassifier: MLPClassifier,
        neural_network.MLPRegressor: MLPRegressor,
    }
    if type(model) not in classes:
        raise TypeError(
            "from_sklearn needs an MLPClassifier or an MLPRegressor of "
            f"sklearn.neural_network, got {model!r}."
        )
    check_is_fitted(model, "coefs_")
    estimator = classes[type(model)](**model.get_params(deep=False))
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(model, name):
            setattr(estimator, name, copy.copy(getattr(model, name)))
    if isinstance(estimator, MLPClassifier):
        _set_labels(model, estimator)
    else:
        estimator.target_mean_ = estimator.target_scale_ = None
    network = _network(model, estimator)
    params = pack(model.coefs_, model.intercepts_, model.coefs_[0].dtype)
    history = _history(model)
    has_epochs = hasattr(model, "loss_curve_")
    estimator._set_fitted(
        FitResult(
            device="cpu",
            network=network,
            outcome=Outcome(params, model.loss_, model.n_iter_),
            history=history,
            resumable=history if has_epochs else History(samples_seen=model.t_),
            optimizer=_optimizer(model, estimator, network, params),
            generator=copy.deepcopy(model._random_state),
            resumption=None,
        ),
        incremental=False,
    )
    return estimator


def _set_labels(model, estimator):
    """Set the classes, and that there is no prior."""
    binarizer = model._label_binarizer
    is_matrix = binarizer.y_type_.startswith("multilabel")
    state = {
        "classes": model.classes_.copy(),
        "multilabel": is_matrix,
        "sparse_output": bool(binarizer.sparse_input_) and is_matrix,
    }
    estimator._set_labels(labels_from_state(state))
    estimator.class_shares_ = estimator._prior_offsets = None


def _network(model, estimator):
    """The network of a model, with its loss."""
    sizes = (len(model.coefs_[0]), *map(len, model.intercepts_))
    _, loss, loss_params = estimator._head(np.empty((0, sizes[-1])))
    return Network(
        sizes=sizes,
        activations=(model.activation,) * (len(sizes) - 2),
        loss=loss,
        output=model.out_activation_,
        loss_params=loss_params,
    )


def _history(model):
    """The curves of a model; what it has not recorded is nan."""
    losses = list(getattr(model, "loss_curve_", []))
    unknown = [np.nan] * len(losses)
    stops = getattr(model, "validation_scores_", None) is not None
    validation = None
    if stops:
        scores, best = list(model.validation_scores_), model.best_validation_score_
        validation = ValidationHistory(
            measure=f"{None!r} of the split",
            best_params=pack(
                model._best_coefs, model._best_intercepts, model.coefs_[0].dtype
            ),
            losses=unknown.copy(),
            scores=scores,
            loss_column=[],
            score_column=scores,
            best_score=best,
            best_epoch=scores.index(best) + 1 if best in scores else 0,
        )
        validation.loss_column = validation.losses
    best_loss = getattr(model, "best_loss_", None)
    return History(
        loss_curve=losses,
        learning_rates=unknown,
        seconds=unknown.copy(),
        best_loss=np.inf if best_loss is None else best_loss,
        validation=validation,
        no_improvement_count=getattr(model, "_no_improvement_count", 0),
        samples_seen=model.t_,
        n_epochs=model.n_iter_,
    )


def _optimizer(model, estimator, network, params):
    """The state of a model's optimizer; None without one."""
    theirs = getattr(model, "_optimizer", None)
    if theirs is None:
        return None
    slots = [theirs.ms, theirs.vs] if hasattr(theirs, "ms") else [theirs.velocities]
    config = make_optimizer_config(estimator, rate_segments(estimator, network))
    optimizer = OptimizerState(config, params.size, params.dtype)
    if len(slots) != len(optimizer.slots):  # another solver was set after the fit
        return None
    for slot, parts in zip(optimizer.slots, slots, strict=True):
        slot[:] = pack(parts, (), params.dtype)
    optimizer.t = getattr(theirs, "t", 0)
    optimizer.epoch = len(getattr(model, "loss_curve_", []))
    if not hasattr(theirs, "ms"):
        optimizer.learning_rate = theirs.learning_rate
    return optimizer
