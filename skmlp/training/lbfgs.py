"""Training by L-BFGS: SciPy's optimizer over a backend's loss and gradient.

SciPy's own vectors go through its BLAS, which shares dot products of more than some
10,000 elements among its threads: for networks beyond that the last bits depend on
the limit of BLAS threads that the process has, as in scikit-learn.
"""

import warnings
from typing import NamedTuple

import scipy
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from skmlp.training.finite import check_finite


class Limits(NamedTuple):
    """When to stop: iterations, calls of the loss, largest gradient; what to print."""

    max_iter: int
    max_fun: int
    tol: float
    verbose: bool | int


def minimise(session, parameters, limits):
    """Minimise the session's loss.

    Parameters
    ----------
    session : a backend's session
    parameters : ndarray
        Where to start.
    limits : Limits

    Returns
    -------
    parameters : ndarray of float64
    loss : float
    n_iter : int

    Raises
    ------
    ValueError
        If the parameters found are not finite.
    """
    result = scipy.optimize.minimize(
        session.loss_and_gradient,
        parameters,
        method="L-BFGS-B",
        jac=True,
        options={
            "maxfun": limits.max_fun,
            "maxiter": limits.max_iter,
            "gtol": limits.tol,
            **_printing(limits.verbose),
        },
    )
    check_finite(result.x)
    if result.status != 0:
        _warn(result, limits)
    # SciPy can count one iteration more than it was allowed.
    return result.x, float(result.fun), min(result.nit, limits.max_iter)


def _printing(verbose):
    """SciPy's option to print, which its releases from 1.15 on no longer have."""
    if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15):
        return {}
    return {"iprint": 1 if verbose else -1}


def _warn(result, limits):
    message = (
        f"lbfgs failed to converge after {result.nit} iteration(s) "
        f"(status={result.status}):\n{result.message}\n"
    )
    if result.nit == limits.max_iter:
        message += (
            f"\nIncrease the number of iterations to improve the convergence "
            f"(max_iter={limits.max_iter})."
        )
    message += (
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
