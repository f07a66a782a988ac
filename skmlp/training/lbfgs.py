"""Training by L-BFGS: SciPy's optimizer over a backend's loss and gradient.

SciPy's own vectors go through its BLAS, which computes dot products of more than some
10,000 elements on several threads: for larger networks the last bits depend on the
process's number of BLAS threads, as in scikit-learn.
"""

import warnings
from typing import NamedTuple

import numpy as np
import scipy
import scipy.optimize
from sklearn.exceptions import ConvergenceWarning

from skmlp.call_site import user_stacklevel
from skmlp.training.history import Measurement, Outcome
from skmlp.training.listener import EpochRecord, Snapshot
from skmlp.training.report import ScikitLearnLines, reporter_of
from skmlp.training.stopping import Clock, check_finite


class LBFGSConfig(NamedTuple):
    """When to stop and what to print.

    Attributes
    ----------
    max_iter, max_fun : int
        Largest number of iterations and of calls of the loss.
    tol : float
        Largest element of the gradient at which to stop, and the improvement of the
        validation score that counts as one.
    n_iter_no_change : int or inf
        Patience: iterations without a better validation score, where the score stops
        the training.
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


class _Callback:
    """SciPy's callback: records each iteration and decides whether to stop.

    Attributes
    ----------
    out_of_time : bool
    is_to_stop : bool
        Whether the validation score or the listener has stopped the training.
    """

    def __init__(self, session, history, config, scorer, listener):
        self._session = session
        self._history = history
        self._config = config
        self._scorer = scorer
        self._listener = listener
        self._clock = Clock(config.max_time)
        reporter = reporter_of(config.verbose, self._clock)
        # As in scikit-learn, only SciPy itself would print lines of iterations.
        self._reporter = None if isinstance(reporter, ScikitLearnLines) else reporter
        self._has_begun = False
        self._gradient = np.zeros(0)
        self.out_of_time = False
        self.is_to_stop = False

    def loss_and_gradient(self, params):
        """The session's; the first call of an iteration begins it."""
        if not self._has_begun and self._listener is not None:
            self._listener.begin()
            self._has_begun = True
        loss, self._gradient = self._session.loss_and_gradient(params)
        return loss, self._gradient

    # SciPy chooses what to pass by the name of this parameter.
    def __call__(self, intermediate_result):
        history, config = self._history, self._config
        measured = None
        if self._scorer is not None:
            with np.errstate(over="ignore"):
                self._session.load_params(intermediate_result.x)
            loss, score = self._scorer()
            measured = Measurement(loss, score, self._session.params)
        history.record(float(intermediate_result.fun), measured, config.tol)
        # An iteration ends where the line search has looked last. Not a dot product:
        # BLAS would start threads for it.
        squares = np.sum(self._gradient * self._gradient)
        history.record_gradient(float(np.sqrt(squares)))
        history.seconds.append(self._clock.seconds)
        self.is_to_stop = (
            history.stops_by_score
            and history.no_improvement_count > config.n_iter_no_change
        )
        self._tell(intermediate_result)
        self.out_of_time = self._clock.left <= 0
        if self.is_to_stop or self.out_of_time:
            raise StopIteration

    def _tell(self, result):
        """Tell reporter and listener of the iteration; the latter may stop."""
        if self._reporter is None and self._listener is None:
            return
        history = self._history
        record = EpochRecord(
            epoch=len(history.loss_curve),
            max_epochs=self._config.max_iter,
            n_rows=None,
            history=history,
            snapshot=lambda: Snapshot(_outcome(result, history), history.copy(), None),
        )
        if self._reporter is not None:
            self._reporter.epoch(record)
        if self._listener is not None:
            self._has_begun = False
            self.is_to_stop |= self._listener.end(record)

    def finish(self):
        """The training has ended."""
        if self._reporter is not None:
            self._reporter.finish()


def minimize(session, params, history, config, scorer=None, listener=None):
    """Minimize the session's loss.

    Parameters
    ----------
    session : skmlp.backends.Session
    params : ndarray
        The initial parameters.
    history : skmlp.training.history.History
        Filled in iteration by iteration; with `scorer` it has a `validation`, whose
        scores may stop the training too.
    config : LBFGSConfig
    scorer : callable, optional
        ``scorer()`` returns loss and score of the held-out data with the session's
        current parameters.
    listener : skmlp.training.listener.Listener, optional
        Told of each iteration.

    Returns
    -------
    skmlp.training.history.Outcome
        Its parameters are the last ones, in float64, or those of the best validation
        score where the score decides.

    Raises
    ------
    ValueError
        If the last parameters are not finite.
    """
    callback = _Callback(session, history, config, scorer, listener)
    try:
        result = scipy.optimize.minimize(
            callback.loss_and_gradient,
            params,
            method="L-BFGS-B",
            jac=True,
            callback=callback,
            options={
                "maxfun": config.max_fun,
                "maxiter": config.max_iter,
                "gtol": config.tol,
                **_print_options(config.verbose),
            },
        )
    finally:
        callback.finish()
    check_finite(result.x)
    if result.status != 0 and not callback.is_to_stop:
        _warn(result, config, callback.out_of_time)
    # SciPy may count one iteration more than the limit.
    return _outcome(result, history)._replace(n_iter=min(result.nit, config.max_iter))


def _outcome(result, history):
    """The `Outcome` of a result of SciPy's, or of an intermediate one."""
    best = history.validation.best_params if history.stops_by_score else result.x
    return Outcome(
        params=best.copy(), loss=float(result.fun), n_iter=len(history.loss_curve)
    )


def _print_options(verbose):
    """SciPy's option to print, which its releases from 1.15 on no longer have."""
    if tuple(map(int, scipy.__version__.split(".")[:2])) >= (1, 15):
        return {}
    return {"iprint": 1 if verbose and verbose != 2 else -1}


def _warn(result, config, out_of_time):
    reason = "MAXIMUM TIME REACHED" if out_of_time else result.message
    message = (
        f"lbfgs failed to converge after {result.nit} iteration(s) "
        f"(status={result.status}):\n{reason}\n"
    )
    if out_of_time:
        message += f"\nIncrease the time (max_time={config.max_time} s)."
    elif result.nit == config.max_iter:
        message += (
            f"\nIncrease the number of iterations to improve the convergence "
            f"(max_iter={config.max_iter})."
        )
    message += (
        "\nYou might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )
    warnings.warn(message, ConvergenceWarning, stacklevel=user_stacklevel())
