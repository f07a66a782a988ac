"""Rows drawn by weight or by class, in place of gradients scaled by weights.

Both have the same expected gradient. A row that is drawn with a probability in
proportion to its weight, and then counts as one, contributes to a minibatch's mean
gradient what its weight would; so do rows of which each class is drawn equally often
what weights of the inverse frequencies would. Importance sampling; Katharopoulos and
Fleuret (2018), "Not all samples are created equal".
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import is_regressor

from skmlp.backends import Problem
from skmlp.estimators.class_weights import is_balanced
from skmlp.training.sampling import Drawn, Shuffled

BY_CLASS, BY_WEIGHT = "balanced", "weights"


class Sampling(NamedTuple):
    """A fit's problem, and how its rows are drawn.

    Attributes
    ----------
    problem : Problem
        What minibatches are trained on.
    objective : Problem
        The weighted problem whose loss is the expected loss of a drawn row.
    shares : ndarray
        Of `row_ids`, proportional to the probabilities.
    """

    problem: Problem
    objective: Problem
    shares: np.ndarray


def check_sampling(estimator):
    """Refuse a way to draw rows that the estimator cannot have.

    Raises
    ------
    ValueError
        For classes in a regression, and for classes that would be balanced twice.
    """
    if estimator.sampling != BY_CLASS:
        return
    if is_regressor(estimator):
        raise ValueError(
            f"sampling={BY_CLASS!r} draws each class equally often, but a regression "
            f"has no classes: sampling={BY_WEIGHT!r} draws rows by their sample_weight."
        )
    if is_balanced(estimator.class_weight):
        raise ValueError(
            f"sampling={BY_CLASS!r} and class_weight={estimator.class_weight!r} would "
            f"balance the classes twice: use one of them, or sampling={BY_WEIGHT!r}, "
            "which draws the rows by these weights."
        )


def rows_of_epochs(estimator, problem, generator):
    """What a fit by minibatches trains on, and in which order.

    Parameters
    ----------
    estimator : BaseMLP
    problem : Problem
    generator : numpy.random.RandomState

    Returns
    -------
    problem : Problem
        What minibatches are trained on.
    objective : Problem
        The weighted problem whose loss is their expected loss.
    orders : skmlp.training.sampling.Orders
    """
    rows = problem.row_ids
    if estimator.sampling is None:
        orders = Shuffled(rows, generator if estimator.shuffle else None)
        return problem, problem, orders
    classes = estimator._stratify(problem.targets[rows])
    sampling = drawn(problem, estimator.sampling, classes)
    return (
        sampling.problem,
        sampling.objective,
        Drawn(rows, generator, sampling.shares),
    )


def drawn(problem, sampling, classes):
    """How to draw the rows of a problem.

    Parameters
    ----------
    problem : Problem
        With the weights of the rows, if there are any.
    sampling : {'balanced', 'weights'}
    classes : ndarray of shape (n_rows,) or (n_rows, 1), or None
        Classes of the rows to train on; None where a row has not one class.

    Returns
    -------
    Sampling

    Raises
    ------
    ValueError
        For 'balanced' where a row has not one class.
    """
    rows, weights = problem.row_ids, problem.sample_weight
    weights = np.ones(len(rows)) if weights is None else weights[rows]
    weights = weights.astype(np.float64)
    if sampling == BY_WEIGHT:
        # The penalty counts against the sum of the weights, however rows are drawn.
        alpha = problem.alpha / problem.mean_sample_weight
        return Sampling(
            problem._replace(sample_weight=None, alpha=alpha), problem, weights
        )
    if classes is None:
        raise ValueError(
            f"sampling={sampling!r} needs one class a row, but y has "
            f"{problem.targets.shape[1]} columns of labels: sampling={BY_WEIGHT!r} "
            "draws rows by sample_weight and by class_weight, a list of dicts."
        )
    _, codes = np.unique(classes.ravel(), return_inverse=True)
    counts = np.bincount(codes)
    shares = 1.0 / counts[codes]
    shares *= len(rows) / len(counts)
    balanced = np.zeros(len(problem.targets), problem.targets.dtype)
    balanced[rows] = weights * shares
    return Sampling(
        problem._replace(drawn_mean_weight=float(np.mean(weights * shares))),
        problem._replace(sample_weight=balanced),
        shares,
    )
