"""`resume`: to go on with a fit as if it had not ended.

A fit leaves behind the state of its random numbers before it split and shuffled the
rows. To go on, the split and the shuffles are drawn again, which costs less than row
indices in every saved model.
"""

import copy
import warnings
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmlp.call_site import user_stacklevel
from skmlp.estimators.data import UserInput
from skmlp.estimators.fitted import Fitted
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.estimators.validation import ValidationData
from skmlp.training.history import History, ValidationHistory


class Resumption(NamedTuple):
    """From where a fit goes on.

    Attributes
    ----------
    max_iter : int
        Epochs of the fit in all.
    n_epochs : int
        Epochs that it has trained, an unfinished one included.
    generator : numpy.random.RandomState
        As it was before the split.
    last_params : ndarray or None
        The parameters to go on from; None if they are the fitted ones.
    """

    max_iter: int
    n_epochs: int
    generator: np.random.RandomState
    last_params: np.ndarray | None


def resumption_state(fit, outcome):
    """What `resume` needs beside the fitted attributes, as a dict for a pickle.

    Parameters
    ----------
    fit : skmlp.estimators.fit_values.FitValues
    outcome : skmlp.training.history.Outcome

    Returns
    -------
    dict or None
        None where there is nothing to go on with.
    """
    if not outcome.can_resume:
        return None
    return {
        "generator": fit.generator_state,
        "n_rows": len(fit.sample.row_ids),
        "n_epochs": outcome.n_iter,
        "last_params": outcome.last_params,
        "has_stopped": outcome.has_stopped,
    }


def check_same_rows(estimator, sample):
    """Refuse data of another size than those of the fit.

    Raises
    ------
    ValueError
    """
    n_rows = estimator._resumption["n_rows"]
    if len(sample.row_ids) != n_rows:
        raise ValueError(
            f"resume needs the data of the fit, which had {n_rows} rows of positive "
            f"weight, got {len(sample.row_ids)}. For other data call partial_fit, or "
            "fit with warm_start=True."
        )


def check_same_measure(resumption, *, is_same):
    """Refuse to resume with scores that cannot be compared with those of the fit.

    Raises
    ------
    ValueError
    """
    if resumption is not None and not is_same:
        raise ValueError(
            "resume needs the validation data, the scoring and the early_stopping of "
            "the fit."
        )


class Resuming(Fitted):
    """Base of the estimators: the method `resume`."""

    solver: str
    max_iter: int
    _fit: Any
    _open_callbacks: Any

    def _check_resumable(self):
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "resume is only available for stochastic solvers. After "
                f"solver={self.solver!r} call fit with warm_start=True."
            )
        return True

    @available_if(_check_resumable)
    @_fit_context(prefer_skip_nested_validation=True)
    def resume(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        max_iter: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Go on with the last ``fit`` as if it had not ended.

        After it has ended at ``max_iter``, at ``max_time`` or by Ctrl-C: network,
        curves and counts are those of one call of ``fit`` with the new ``max_iter``,
        bit for bit, also where an epoch was cut. Optimizer, schedule, order of the
        rows, split, best parameters and patience go on. Pass the same data, and keep
        the parameters. A saved model can resume, too.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The training data of ``fit``. After a `Pipeline`'s fit, its last step
            resumes on what the others transform:
            ``pipe[-1].resume(pipe[:-1].transform(X), y)``.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their labels or numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights.
        max_iter : int, default=None
            Epochs in all, those of ``fit`` included. None for the parameter
            ``max_iter``.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            The validation data of ``fit``, if it had any.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or numbers.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator. As it was, with a warning, if the training has
            stopped by itself or has ``max_iter`` epochs already.

        Raises
        ------
        ValueError
            Where the last call was none of ``fit`` or ``resume``, for other data, and
            for another ``max_iter`` with a schedule that ends with the last epoch.
            The estimator is then unchanged.

        Examples
        --------
        >>> import warnings
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.exceptions import ConvergenceWarning
        >>> from skmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", ConvergenceWarning)
        ...     whole = MLPClassifier((10,), max_iter=20, random_state=0).fit(X, y)
        ...     parts = MLPClassifier((10,), max_iter=8, random_state=0).fit(X, y)
        ...     parts = parts.resume(X, y, max_iter=20)
        >>> parts.loss_curve_ == whole.loss_curve_
        True
        """
        check_is_fitted(self)
        state = getattr(self, "_resumption", None)
        if state is None:
            raise ValueError(
                "resume goes on with a call of fit, but the last call was partial_fit "
                "or fit_batches, used solver='lbfgs', was broken off in the middle of "
                "a step, or its state was dropped. Call partial_fit, or fit with "
                "warm_start=True."
            )
        max_iter = self._checked_max_iter(max_iter)
        n_whole = state["n_epochs"] - (self._history.unfinished is not None)
        if state["has_stopped"] or n_whole >= max_iter:
            _warn_of_the_end(state["has_stopped"], n_whole, max_iter)
            return self
        generator = np.random.RandomState()
        generator.set_state(state["generator"])
        user_input = UserInput(X, y, sample_weight)
        callbacks = self._open_callbacks(user_input, n_left=max_iter - n_whole)
        with self._unchanged_on_failure():
            return self._fit(
                user_input,
                ValidationData(X_val, y_val, sample_weight_val),
                incremental=False,
                resumption=Resumption(
                    max_iter, state["n_epochs"], generator, state["last_params"]
                ),
                callbacks=callbacks,
            )

    def _resumable_history(self, resumes):
        """The history that this call appends to, or a new one."""
        history = getattr(self, "_history", None) if resumes else None
        if history is None:
            return History()
        # Of an unfinished epoch entries are removed, which cutting does not restore.
        is_whole = history.unfinished is None
        return history.resumed() if is_whole else copy.deepcopy(history)

    def _validation_history(self, fit, history, held_out):
        """The validation history of earlier calls if it is comparable, or a new one.

        None without held-out data.
        """
        before = history.validation
        if held_out is None:
            check_same_measure(fit.resumption, is_same=before is None)
            return None
        data = "the split" if fit.held_out is None else "X_val"
        measure = f"{self.scoring!r} of {data}"
        if (
            before is not None
            and before.measure == measure
            and before.stops == self.early_stopping
        ):
            return before
        check_same_measure(fit.resumption, is_same=False)
        return ValidationHistory.begin(
            measure,
            fit.params if self.early_stopping else None,
            n_before=len(history.loss_curve),
        )

    def _checked_max_iter(self, max_iter):
        """Epochs in all, by the argument or else by the parameter."""
        if max_iter is None:
            max_iter = self.max_iter
        if not isinstance(max_iter, Integral) or max_iter < 1:
            raise ValueError(f"max_iter must be a positive integer, got {max_iter!r}.")
        planned = self._optimizer.planned_epochs
        if planned is not None and planned != max_iter:
            raise ValueError(
                "A schedule of the fit, of the learning rate or a strength, ends with "
                f"epoch {planned}, so that resume cannot train up to "
                f"max_iter={max_iter}."
            )
        return int(max_iter)


def _warn_of_the_end(has_stopped, n_epochs, max_iter):
    if has_stopped:
        reason = (
            f"the training has stopped by itself after {n_epochs} epochs. To train "
            "on all the same, call fit with warm_start=True"
        )
    else:
        reason = (
            f"{n_epochs} epochs are trained and max_iter={max_iter} are all that there "
            "may be. Pass a larger max_iter"
        )
    warnings.warn(f"resume changes nothing: {reason}.", stacklevel=user_stacklevel())
