"""The warnings of skmlp, one class each, so that each can be filtered alone.

They do not derive from `sklearn.exceptions.ConvergenceWarning`. That warning is often
silenced, because it mostly says that `max_iter` was small, and these have other causes.
"""


class DeadUnitsWarning(UserWarning):
    """Many units of a hidden layer are 0 for all training rows and cannot recover.

    Issued at the end of ``fit``. The training may have converged all the same, on the
    remaining units.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import DeadUnitsWarning
    >>> warnings.simplefilter("ignore", DeadUnitsWarning)
    """


class ValidationWarning(UserWarning):
    """Held-out data, or the rule that scores them, are probably not what was meant.

    Issued by ``fit`` for ``X_val`` or ``y_val`` far outside the range of the training
    data, and for early stopping by the fraction of rows all of whose labels are right.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import ValidationWarning
    >>> warnings.simplefilter("ignore", ValidationWarning)
    """


class CompilerFallbackWarning(UserWarning):
    """The installed Numba lacks an interface that makes compilation fast.

    Given once a process for each part of the compiler that is replaced by a slower one.
    Results do not change; the first fits of a process take longer.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import CompilerFallbackWarning
    >>> warnings.simplefilter("ignore", CompilerFallbackWarning)
    """
