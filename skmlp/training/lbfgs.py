"""Training by L-BFGS: SciPy's optimizer over a backend's loss and gradient.

SciPy's own vectors go through its BLAS, which shares dot products of more than some
10,000 elements among its threads: for networks beyond that the last bits depend on
the limit of BLAS threads that the process has, as in scikit-learn.
"""

import warnings
from typing import NamedTuple

import numpy as np
import scipy
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from skmlp.training.clock import Clock
from skmlp.training.finite import check_finite


class Limits(NamedTuple):
    """When to stop and what to print.

    Attributes
    ----------
    max_iter, max_fun : int
        Iterations, and calls of the loss.
    tol : float
        Largest element of the gradient; what a better validation score is better by.
    n_iter_no_change : int or inf
        Iterations without a better validation score, where that decides.
    max_time : float or None
        Seconds.
    verbose : bool or int
    """

    max_iter: int
    max_fun: int
    tol: float
    n_iter_no_change: float
    max_time: float | None
    verbose: bool | int


class _Watch:
    """What is done after each iteration: record it, and see whether to stop.

    Attributes
    ----------
    out_of_time : bool
    no_longer_better : bool
        Whether the validation score, where it decides, has ended the training.
    """

    def __init__(self, session, progress, limits, measure):
        self._session = session
        self._progress = progress
        self._limits = limits
        self._measure = measure
        self._clock = Clock(limits.max_time)
        self.out_of_time = False
        self.no_longer_better = False

    # SciPy looks at the parameter's name to know what to pass.
    def __call__(self, intermediate_result):
        progress, limits = self._progress, self._limits
        measured = None
        if self._measure is not None:
            with np.errstate(over="ignore"):
                self._session.set_parameters(intermediate_result.x)
            measured = (*self._measure(), self._session.parameters)
        loss = float(intermediate_result.fun)
        progress.judge(loss, measured, limits.tol)
        progress.seconds.append(self._clock.seconds)
        self.no_longer_better = (
            progress.judged_by_score
            and progress.no_improvement_count > limits.n_iter_no_change
        )
        self.out_of_time = self._clock.left <= 0
        if self.no_longer_better or self.out_of_time:
            raise StopIteration


def minimize(session, parameters, progress, limits, measure=None):
    """Minimize the session's loss.

    Parameters
    ----------
    session : a backend's session
    parameters : ndarray
        Where to start.
    progress : skmlp.training.history.Progress
        Filled in iteration by iteration; with `measure` it has a `validation`, which
        says whether the score may end the training too.
    limits : Limits
    measure : callable, optional
        ``measure()`` gives loss and score of the held-out data with the session's
        current parameters.

    Returns
    -------
    parameters : ndarray
        The last, in float64, or those of the best validation score where that decides.
    loss : float
        The last.
    n_iter : int

    Raises
    ------
    ValueError
        If the parameters found are not finite.
    """
    watch = _Watch(session, progress, limits, measure)
    result = scipy.optimize.minimize(
        session.loss_and_gradient,
        parameters,
        method="L-BFGS-B",
        jac=True,
        callback=watch,
        options={
            "maxfun": limits.max_fun,
            "maxiter": limits.max_iter,
            "gtol": limits.tol,
            **_printing(limits.verbose),
        },
    )
    check_finite(result.x)
    if result.status != 0 and not watch.no_longer_better:
        _warn(result, limits, watch.out_of_time)
    found = result.x
    if progress.judged_by_score:
        found = progress.validation.best_parameters
    # SciPy can count one iteration more than it was allowed.
    return found, float(result.fun), min(result.nit, limits.max_iter)


def _printing(verbose):
    """SciPy's option to print, which its releases from 1.15 on no longer have."""
    if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15):
        return {}
    return {"iprint": 1 if verbose else -1}


def _warn(result, limits, out_of_time):
    reason = "MAXIMUM TIME REACHED" if out_of_time else result.message
    message = (
        f"lbfgs failed to converge after {result.nit} iteration(s) "
        f"(status={result.status}):\n{reason}\n"
    )
    if out_of_time:
        message += f"\nIncrease the time (max_time={limits.max_time} s)."
    elif result.nit == limits.max_iter:
        message += (
            f"\nIncrease the number of iterations to improve the convergence "
            f"(max_iter={limits.max_iter})."
        )
    message += (
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
