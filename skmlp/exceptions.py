"""Warnings of this package, each a class, so that it can be filtered by itself.

They are no `sklearn.exceptions.ConvergenceWarning`: that one is often silenced, since
it mostly says that `max_iter` was small, and what is warned of here is another matter.
"""


class DeadUnitsWarning(UserWarning):
    """Many units of a hidden layer are 0 for all training rows, and stay so.

    Given at the end of ``fit``. A network may converge in spite of it, on the units
    that are left.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import DeadUnitsWarning
    >>> warnings.simplefilter("ignore", DeadUnitsWarning)
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
