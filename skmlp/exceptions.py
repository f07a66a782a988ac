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


class KernelCacheWarning(UserWarning):
    """Compiled kernels are not kept on disk, or not read from there.

    Given once a process; the message says why. Results do not change; every process
    compiles its kernels again, which takes some seconds. ``SKMLP_CACHE_DIR``, set to an
    empty value, turns the cache off without a warning.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import KernelCacheWarning
    >>> warnings.simplefilter("ignore", KernelCacheWarning)
    """
