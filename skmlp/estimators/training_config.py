"""What the parameters say about a training: batches, epochs, schedules."""

import warnings

from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.rules.schedules import SCHEDULES
from skmlp.training.minibatch import Rules


def check_course(estimator, incremental):
    """Refuse what the solver, or a call of ``partial_fit``, would leave undone.

    Raises
    ------
    ValueError
    """
    if incremental and SCHEDULES[estimator.learning_rate].ends:
        raise ValueError(
            f"partial_fit does not support learning_rate={estimator.learning_rate!r}, "
            "which ends with the last epoch: partial_fit does not know the last."
        )
    if estimator.weight_decay > 0 and estimator.solver not in STOCHASTIC_SOLVERS:
        raise ValueError(
            f"weight_decay > 0 needs a stochastic solver, not {estimator.solver!r}: "
            "there the L2 penalty alpha does the same."
        )


def rules_of(estimator, n_rows, incremental):
    """When the training is to stop and what it prints.

    Parameters
    ----------
    estimator : BaseMLP
    n_rows : int
        Rows to train on.
    incremental : bool
        Whether it is a call of ``partial_fit``.

    Returns
    -------
    skmlp.training.minibatch.Rules
    """
    if estimator.batch_size == "auto":
        batch_size = min(200, n_rows)
    else:
        if estimator.batch_size > n_rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is "
                "going to be clipped",
                stacklevel=6,
            )
        batch_size = int(min(estimator.batch_size, n_rows))
    return Rules(
        batch_size,
        estimator.max_iter,
        estimator.shuffle,
        estimator.tol,
        estimator.n_iter_no_change,
        estimator.verbose,
        incremental,
        estimator.max_time,
    )
