"""scikit-learn's callbacks: a fit as a task, its epochs as tasks of that.

The training tells a listener of its epochs; here they become scikit-learn's callback
contexts, and a `Snapshot` of the training a fitted estimator. Of scikit-learn only what
its developers' guide names is used, and the attribute in which its mixin keeps the
callbacks, so that a fit without callbacks has no context.
"""

import copy
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import Any

import sklearn

from skmlp.estimators.fit_values import fit_result
from skmlp.estimators.fitted import OF_CALLBACKS
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS

try:
    from sklearn.callback import CallbackSupportMixin, FitCallback
except ImportError:  # before scikit-learn 1.9
    FitCallback = None

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Says where callbacks are missed what they need."""

        def __getattr__(self, name):
            if name == "set_callbacks":
                raise AttributeError(
                    f"{type(self).__name__!r} object has no attribute {name!r}. "
                    "Callbacks need scikit-learn 1.9 or later, this is "
                    f"{sklearn.__version__}"
                )
            # Again, for the error that was raised before this method was called.
            return object.__getattribute__(self, name)


_HOOKS = _BEGIN, _END = "on_fit_task_begin", "on_fit_task_end"


def open_callbacks(estimator, user_input, task_name, *, n_tasks, in_order=True):
    """Set up an estimator's callbacks, and tell them that a fit begins.

    scikit-learn's decorator of `fit` tears them down.

    Parameters
    ----------
    estimator : CallbackSupport
    user_input : skmlp.estimators.data.UserInput
        As the user has passed it.
    task_name : str
    n_tasks : int
        How many tasks of the fit there may be.
    in_order : bool
        Whether they run one after the other.

    Returns
    -------
    FitCallbacks or None
        None where there are no callbacks.
    """
    if not getattr(estimator, "_skl_callbacks", None):
        return None
    context = estimator._init_callback_context(
        task_name=task_name, max_subtasks=n_tasks, sequential_subtasks=in_order
    )
    callbacks = FitCallbacks(estimator, user_input, context)
    callbacks.begin()
    return callbacks


class FitCallbacks:
    """The callbacks of one fit.

    Parameters
    ----------
    estimator : CallbackSupport
    user_input : skmlp.estimators.data.UserInput
    context : sklearn.callback.CallbackContext
        Of the fit.

    Attributes
    ----------
    arguments : dict
        Keywords of all calls of hooks.
    """

    def __init__(self, estimator, user_input, context):
        X, y, sample_weight = user_input
        # Scorers get all metadata as keywords.
        has_weights = sample_weight is not None
        metadata = {"sample_weight": sample_weight} if has_weights else None
        self.arguments = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._estimator = estimator
        self._context = context

    def begin(self):
        """Tell that the fit begins."""
        self._context.call_on_fit_task_begin(**self.arguments)

    def end(self):
        """Tell that the estimator is fitted."""
        self._context.call_on_fit_task_end(
            **self.arguments, reconstruction_attributes={}
        )

    def subtask(self, name, index=None):
        """The context of a task of the fit."""
        return self._context.subcontext(task_name=name, task_id=index)

    @contextmanager
    def around(self, task, sub_estimator):
        """Tell of a task that is the fit of another estimator, and let that tell more.

        Parameters
        ----------
        task : sklearn.callback.CallbackContext
            By `subtask`.
        sub_estimator : CallbackSupport
        """
        with task.propagate_callback_context(sub_estimator):
            task.call_on_fit_task_begin(**self.arguments)
            yield
            task.call_on_fit_task_end(**self.arguments)

    def own_hooks(self, name):
        """The hooks of that name, without the protocol's.

        That one does nothing, but asks for a fitted estimator.
        """
        return [
            getattr(callback, name)
            for callback in self._estimator._skl_callbacks
            if getattr(type(callback), name, None) is not getattr(FitCallback, name)
        ]


@contextmanager
def listening(estimator, fit):
    """A listener of a training, an `EpochTasks`; None where nobody listens.

    Parameters
    ----------
    estimator : CallbackSupport
    fit : skmlp.estimators.fit_values.FitValues
    """
    callbacks = fit.callbacks
    if callbacks is None or not any(map(callbacks.own_hooks, _HOOKS)):
        yield None
        return
    is_stochastic = estimator.solver in STOCHASTIC_SOLVERS
    tasks = EpochTasks(estimator, fit, "epoch" if is_stochastic else "iteration")
    yield tasks
    tasks.close()


class EpochTasks:
    """Turns what a training tells of its epochs into hooks of callbacks.

    Parameters
    ----------
    estimator : CallbackSupport
        Gets ``history_`` as it grows.
    fit : skmlp.estimators.fit_values.FitValues
    task_name : str

    Attributes
    ----------
    takes_snapshots : bool
        Whether a callback asks for a fitted estimator at the end of an epoch.
    """

    def __init__(self, estimator, fit, task_name):
        self._callbacks = fit.callbacks
        self._estimator = estimator
        self._fit = fit
        self._task_name = task_name
        at_begin, at_end = map(fit.callbacks.own_hooks, _HOOKS)
        self._calls_begin, self._calls_end = bool(at_begin), bool(at_end)
        self.takes_snapshots = any(
            "fitted_estimator" in signature(hook).parameters for hook in at_end
        )
        # The task of the epoch that runs.
        self._task: Any = None

    def begin(self):
        """An epoch begins."""
        self._task = self._callbacks.subtask(self._task_name)
        if self._calls_begin:
            self._task.call_on_fit_task_begin(**self._callbacks.arguments)

    def end(self, record):
        """It has ended; returns whether a callback asks for the training to stop."""
        self._estimator.history_ = record.history.columns()
        task, self._task = self._task, None
        if not self._calls_end:
            return False
        make = (
            partial(self._fitted_attributes, record) if self.takes_snapshots else None
        )
        return task.call_on_fit_task_end(
            **self._callbacks.arguments, reconstruction_attributes=make
        )

    def close(self):
        """End the task of an epoch that was broken off; there is nothing to tell."""
        if self._task is not None and self._calls_end:
            self._task.call_on_fit_task_end(estimator=self._estimator)

    def _fitted_attributes(self, record):
        """The attributes by which a copy of the estimator is a fitted one."""
        before = vars(self._estimator)
        changed = {
            name: value
            for name, value in vars(
                fitted_view(self._estimator, self._fit, record)
            ).items()
            if name not in before or before[name] is not value
        }
        # It is a model, not a fit that anybody follows.
        return changed | {"_skl_callbacks": []}


def fitted_view(estimator, fit, record):
    """A copy of an estimator in training, fitted as if it had ended with an epoch.

    Parameters
    ----------
    estimator : BaseMLP
    fit : skmlp.estimators.fit_values.FitValues
    record : skmlp.training.listener.EpochRecord
    """
    snapshot = record.snapshot()
    # `copy` would copy the curves of all epochs before.
    view = object.__new__(type(estimator))
    vars(view).update(vars(estimator))
    history, optimizer = snapshot.history, snapshot.optimizer
    resumable = history
    if optimizer is None:
        # Those of earlier calls; a later one copies the optimizer before a step.
        resumable = fit.resumable.copy()
        optimizer = getattr(view, "_optimizer", None)
    generator = copy.deepcopy(fit.generator)
    fit = fit._replace(resumable=resumable, generator=generator)
    result = fit_result(fit, snapshot.outcome, history, optimizer)
    view._set_fitted(result, incremental=False)
    return view


class CallbackSupport(CallbackSupportMixin):
    """Base of the estimators: `set_callbacks`, from scikit-learn 1.9 on."""

    max_iter: int

    def _open_callbacks(self, user_input, *, n_left=None):
        """`open_callbacks` for `fit`, or for `resume` and the epochs that are left."""
        if n_left is None:
            return open_callbacks(self, user_input, "fit", n_tasks=self.max_iter)
        return open_callbacks(self, user_input, "resume", n_tasks=n_left)

    def __getstate__(self):
        state = super().__getstate__()
        return {k: value for k, value in state.items() if k not in OF_CALLBACKS}
