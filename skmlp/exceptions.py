"""The warnings of skmlp, one class each, so that each can be filtered alone.

They do not derive from `sklearn.exceptions.ConvergenceWarning`. That warning is often
silenced, because it mostly says that `max_iter` was small, and these have other causes.
"""

from sklearn import exceptions as _of_sklearn


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


class PoorFitWarning(UserWarning):
    """The fitted model is no better than a constant prediction.

    Issued at the end of ``fit``, never by ``partial_fit``. The training loss, without
    the L2 penalty, is compared with the loss of the best constant prediction: the mean
    of y for the squared error, the class frequencies for the log-loss, and so on. The
    warning comes if it is not smaller, or smaller by less than 5 % and the data or the
    loss curve show why, or by less than half where `y` is not scaled and ``max_iter``
    ended a training that was still improving, or smaller by any part where such a
    training of a stochastic solver still gained 2 % of that loss in its last tenth. It
    names the likely cause.

    A training that a limit (``max_iter``, ``max_time``, Ctrl-C) ends after fewer than
    ten epochs or iterations, and whose loss has not risen, is not judged. Neither is
    one of fewer than ten epochs, or one that ``max_iter`` ended while its loss was
    falling, where the data show no cause: there `ConvergenceWarning` says enough. Nor a
    target that is constant itself. Of more than 5,000 rows, so many are looked at.

    The estimators for tables compare their ensemble's error on the validation rows.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import PoorFitWarning
    >>> warnings.simplefilter("ignore", PoorFitWarning)
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


class IneffectiveParameterWarning(UserWarning):
    """A parameter that the user has set is not read beside the others.

    Issued once by ``fit``, or by the first ``partial_fit``, for values other than the
    default: ``quantile`` without ``loss='quantile'``, ``momentum`` without
    ``solver='sgd'``, ``scoring`` without held-out data, and so on. Also where a
    schedule of the learning rate, or what follows its warmup, would begin only after
    ``max_iter`` epochs.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import IneffectiveParameterWarning
    >>> warnings.simplefilter("ignore", IneffectiveParameterWarning)
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

    Or those that were shipped in a folder that cannot be written are for other versions
    or another processor. Given once a process; the message says why and what to do.
    Results do not change; every process compiles its kernels again, which takes some
    seconds. ``SKMLP_CACHE_DIR``, set to an empty value, turns the cache off without a
    warning.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import KernelCacheWarning
    >>> warnings.simplefilter("ignore", KernelCacheWarning)
    """


class InconsistentVersionWarning(_of_sklearn.InconsistentVersionWarning):
    """A saved model is loaded by another release of skmlp than saved it.

    Derives from scikit-learn's warning of that name, so that one filter silences both.
    Models of earlier releases are loaded; this says that it is so.

    Parameters
    ----------
    estimator_name : str
        Name of the model's class.
    current_version : str
        The release that loads it.
    original_version : str
        The release that saved it.

    Examples
    --------
    >>> import warnings
    >>> from skmlp.exceptions import InconsistentVersionWarning
    >>> warnings.simplefilter("ignore", InconsistentVersionWarning)
    """

    def __init__(self, *, estimator_name, current_version, original_version):
        self.estimator_name = estimator_name
        self.current_version = current_version
        self.original_version = original_version

    def __str__(self):
        return (
            f"{self.estimator_name} was saved by skmlp {self.original_version} and is "
            f"loaded by skmlp {self.current_version}. Its predictions should be the "
            "same; check them, and save it again."
        )
